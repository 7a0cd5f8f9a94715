"""What an adapter is made of. Plain data: no torch here, and nothing that JSON cannot hold."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Self

from parrot_adapters.adapter.field_rules import (
    AllOrNumbers,
    Names,
    Number,
    OneOf,
    PlainOptions,
    Text,
    WholeNumber,
    field_faults,
)
from parrot_adapters.errors import ConfigError, explain, suggest

__all__ = ["AdapterConfig"]

LARGEST = 1e30  # a factor beyond it overflows float32

PLACEMENTS = {
    "projector": "between vision and language model, on the visual tokens as they go in",
    "layers": "inside the language model's linear layers, at visual tokens only",
    "both": "at the projector and inside the layers, with one routing",
}

LAYER_DEFAULTS: Mapping[str, Any] = {
    "placement": "projector",
    "layer_rank": 8,
    "layer_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "layers": "all",
    "layer_expert": "low-rank",
    "layer_groups": 1,
}

TEXT_SCOPES = {
    "first-turn": "the text of the first user turn; the same in training and inference, whatever was answered",
    "reference": "all text that is not a label in training, the whole prompt at inference: the original's behaviour",
}


@dataclass(frozen=True)
class AdapterConfig:
    """Settings of one adapter. Names of routers, experts and summaries are looked up when it is attached.

    Args:
        router: Name of a registered router: ``"text-guided"`` (default, the paper's), ``"text-guided-qkv"``,
            ``"per-token"``, ``"top-k"`` (sparse, balanced), ``"language-id"``, the controls ``"visual-only"``,
            ``"uniform"`` and ``"frozen"``, or a plugin's.
        expert: Name of a registered expert bank: ``"swiglu"`` (default, as in the released code), ``"mlp"`` (as in the
            paper's text), ``"conditioned-swiglu"``, ``"shared-swiglu"``, ``"merged"`` (SMEAR), ``"low-rank"``, or a
            plugin's.
        num_experts: Number of experts E, at least 1 (default 6).
        expert_hidden_size: Hidden width F of one expert, at least 1; an expert has three matrices of F x width. None
            (default) takes what suits the host: its width D, as in the paper (4096 and 4096), or what the expert bank
            declares (``"low-rank"``: D / 64, from 8 to 64). The handle's config, and files, have the number.
        top_k: Number of experts kept for each item, 1 to E, their weights renormalised; None (default) keeps all. With
            1 the only weight is always one, so the task's loss gives the router no gradient: add a loss on its logits,
            or use more.
        residual_scale: Factor of the visual tokens as they came (default 1).
        moe_scale: Factor of the experts' mixture (default 1). The original has ``residual_scale=0.1, moe_scale=1``.
        summary: Name of a registered visual summary, or ``"auto"`` (default): the host's best, its CLS token or else
            the mean.
        text_scope: Which text of a prompt the router reads: ``"first-turn"`` (default), or ``"reference"`` as released
            checkpoints do.
        router_options: Keyword arguments of the router's factory, for example ``{"normalize": "none"}``.
        expert_options: Keyword arguments of the expert bank's factory, for example ``{"recompute": True}``, which
            trains SwiGLU experts with almost no activations kept, for about a quarter more of their time. Inside the
            layers they are ``shared_rank``, the rank of an expert beside the routed ones that every visual token gets
            (default 0, none), ``layer_scale``, the factor of their sum, LoRA's ``alpha / rank`` (default 2), and
            ``layer_dropout``, LoRA's ``lora_dropout`` (default 0); with ``placement="both"`` the others are the bank's
            at the projector.
        host_options: Fields of the host's :class:`~parrot_adapters.HostSpec` to override, for example
            ``{"deepstack": "align"}``.
        detector: Name of a registered language detector, asked for prompts whose language was not declared; None
            (default) asks nobody.
        seed: Seed of the adapter's initial weights, 0 (default) to 2**63 - 1; the global random state is never touched.
        placement: Where experts stand: ``"projector"`` (default), between vision and language model; ``"layers"``,
            inside the language model's linear layers, as low-rank experts that act on visual tokens only; or
            ``"both"``, with one routing. Prompts without images run the host's untouched weights in every case.
        layer_rank: Rank r of each expert at each linear layer, at least 1 (default 8). Read, as are the next two, where
            experts stand inside the layers.
        layer_modules: Names of the linear layers that get experts, as the host calls them; ``"self_attn.q_proj"`` names
            one by the end of its path. ``"attention"`` stands for the projections of attention and ``"mlp"`` for the
            feed-forward networks, whatever the host calls them. The default, ``["q_proj", "k_proj", "v_proj",
            "o_proj"]``, means ``"attention"``. Experts of a mixture-of-experts language model cannot be chosen.
        layers: Numbers of the decoder layers that get experts, counted from 0, or ``"all"`` (default).
        layer_expert: Name of a registered kind of experts inside the layers: ``"low-rank"`` (default), ``"gated"``
            (low-rank, with units that the router's reading of the prompt opens and closes), or a plugin's.
        layer_groups: Number of groups of decoder layers, first to last and as even as can be, that weigh the experts
            each in its own way; at least 1 (default, one weight vector for all layers). The router answers once, and
            every group learns to lean that answer: it starts as the router's, and an expert without weight keeps none.

    Raises:
        ConfigError: Unknown names, wrong types or impossible values, all reported together.
    """

    router: Annotated[str, Text()] = "text-guided"
    expert: Annotated[str, Text()] = "swiglu"
    num_experts: Annotated[int, WholeNumber(1)] = 6
    expert_hidden_size: Annotated[int | None, WholeNumber(1)] = None
    top_k: Annotated[int | None, WholeNumber(1, "num_experts")] = None
    residual_scale: Annotated[float, Number(LARGEST)] = 1.0
    moe_scale: Annotated[float, Number(LARGEST)] = 1.0
    summary: Annotated[str, Text()] = "auto"
    text_scope: Annotated[str, OneOf(TEXT_SCOPES)] = "first-turn"
    router_options: Annotated[Mapping[str, Any], PlainOptions()] = field(default_factory=dict)
    expert_options: Annotated[Mapping[str, Any], PlainOptions()] = field(default_factory=dict)
    host_options: Annotated[Mapping[str, Any], PlainOptions()] = field(default_factory=dict)
    detector: Annotated[str | None, Text()] = None
    seed: Annotated[int, WholeNumber(0, 2**63 - 1, in_words="2**63 - 1")] = 0
    placement: Annotated[str, OneOf(PLACEMENTS)] = "projector"
    layer_rank: Annotated[int, WholeNumber(1)] = 8
    layer_modules: Annotated[list[str], Names()] = field(default_factory=lambda: list(LAYER_DEFAULTS["layer_modules"]))
    layers: Annotated[str | list[int], AllOrNumbers()] = "all"
    layer_expert: Annotated[str, Text()] = "low-rank"
    layer_groups: Annotated[int, WholeNumber(1)] = 1

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        # Before the generated __init__ sees them, so that a misspelt key is our error rather than a TypeError.
        _reject_unknown(kwargs)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        if faults := [*field_faults(self), *_scale_faults(self), *_group_faults(self)]:
            raise ConfigError("AdapterConfig cannot be built:\n  " + "\n  ".join(faults))
        # Copies of its own, in the form JSON gives back (tuples become lists), so that a round trip is exact.
        for name in ("router_options", "expert_options", "host_options"):
            object.__setattr__(self, name, json.loads(json.dumps(dict(getattr(self, name)))))
        for name in ("layer_modules", "layers"):
            object.__setattr__(self, name, json.loads(json.dumps(getattr(self, name))))
        for name in ("residual_scale", "moe_scale"):  # a whole number beyond 64 bits is none to torch
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def expert_kind(self) -> str:
        """The experts in a few words, for titles: ``"swiglu"``, ``"layers of rank 8"``, or both."""
        plain = self.layer_expert == LAYER_DEFAULTS["layer_expert"]
        inside = (
            f"layers of rank {self.layer_rank}" if plain else f"{self.layer_expert} layers of rank {self.layer_rank}"
        )
        return {"projector": self.expert, "layers": inside}.get(self.placement, f"{self.expert} and {inside}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The config behind :meth:`to_dict`.

        Raises:
            ConfigError: as the constructor.
        """
        _reject_unknown(values)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary that JSON can hold.

        The settings of experts inside the layers are in it where any of them is set: without them it is what releases
        write and read that know no such experts.
        """
        values = asdict(self)
        if all(values[name] == default for name, default in LAYER_DEFAULTS.items()):
            return {name: value for name, value in values.items() if name not in LAYER_DEFAULTS}
        return values


def _scale_faults(config: AdapterConfig) -> list[str]:
    if config.placement != "layers":
        return []
    return [
        f"{name}={getattr(config, name)!r} is a factor at the projector, where placement='layers' has no experts; "
        "theirs is expert_options={'layer_scale': ...}"
        for name in ("residual_scale", "moe_scale")
        if getattr(config, name) != 1
    ]


def _group_faults(config: AdapterConfig) -> list[str]:
    if config.placement == "projector" or config.layer_groups == 1 or 1 not in (config.num_experts, config.top_k):
        return []
    why = "num_experts=1" if config.num_experts == 1 else "top_k=1"
    return [f"layer_groups={config.layer_groups!r} has nothing to weigh: with {why} the only weight is always one"]


def _reject_unknown(values: Mapping[str, object]) -> None:
    known = [f.name for f in fields(AdapterConfig)]
    unknown = [f"{key!r}.{suggest(str(key), known)}" for key in values if key not in known]
    if unknown:
        raise ConfigError(explain(f"unknown adapter setting {', '.join(unknown)}", known=", ".join(known)))
