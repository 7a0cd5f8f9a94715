"""What an adapter is made of. Plain data: no torch here, and nothing that JSON cannot hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from parrot_adapters.errors import ConfigError, explain, suggest

__all__ = ["AdapterConfig"]

LARGEST = 1e30  # a factor beyond it overflows float32

PLACEMENTS = ("projector", "layers", "both")

TEXT_SCOPES = {
    "first-turn": "text of the first user turn; the same in training and inference, whatever was answered",
    "reference": "all text that is not a label in training, the whole prompt at inference: the original's behaviour",
}


@dataclass(frozen=True)
class AdapterConfig:
    """Settings of one adapter. Names of routers, experts and summaries are looked up when it is attached.

    Args:
        router: a registered router: ``"text-guided"`` (the paper's), ``"text-guided-qkv"``, ``"per-token"``,
            ``"top-k"`` (sparse, balanced), ``"language-id"``, the controls ``"visual-only"``, ``"uniform"`` and
            ``"frozen"``, or a plugin's.
        expert: a registered expert bank: ``"swiglu"`` (released code), ``"mlp"`` (paper's text),
            ``"conditioned-swiglu"``, ``"shared-swiglu"``, ``"merged"`` (SMEAR), ``"low-rank"``, or a plugin's.
        num_experts: E.
        expert_hidden_size: F, hidden width of one expert. The paper's 4096 suits hosts of width 4096; three matrices
            of F x width per expert.
        top_k: experts kept per item, weights renormalised; None keeps all. With 1 the only weight is always one, so the
            task's loss gives the router no gradient: add a loss on its logits, or use more.
        residual_scale: factor of the visual tokens as they came.
        moe_scale: factor of the experts' mixture. The original is ``residual_scale=0.1, moe_scale=1``.
        summary: a registered visual summary, or ``"auto"``: the host's best (its CLS token, else the mean).
        text_scope: which text steers: ``"first-turn"``, or ``"reference"`` for released checkpoints.
        router_options: keyword arguments of the router's factory, e.g. ``{"normalize": "none"}``.
        expert_options: keyword arguments of the expert's factory. For experts inside the layers: ``{"shared_rank": r}``
            puts an expert of rank r beside the routed ones that every visual token gets, and ``{"layer_scale": s}`` is
            the factor of their sum, LoRA's ``alpha / rank`` (default 2).
        host_options: fields of the host's :class:`~parrot_adapters.HostSpec` to override, for example
            ``{"deepstack": "align"}``.
        placement: where experts stand: ``"projector"`` (default), between vision and language model; ``"layers"``,
            inside the language model's linear layers, as low-rank experts that act on visual tokens only; or
            ``"both"``, with one routing. Text-only prompts run the host's untouched weights wherever the experts stand.
        layer_rank: rank r of each expert at each linear layer, at least 1 (default 8).
        layer_modules: names of the linear layers that get experts, as the host calls them, by default
            ``["q_proj", "k_proj", "v_proj", "o_proj"]``; ``"self_attn.q_proj"`` names it by the end of its path.
        layers: numbers of the decoder layers that get experts, counted from 0, or ``"all"`` (default).
        detector: a registered language detector, asked when no language was declared; None asks nobody.
        seed: of the adapter's initial weights; the global random state is never touched.

    Raises:
        ConfigError: unknown names, wrong types or impossible values, all reported together.
    """

    router: str = "text-guided"
    expert: str = "swiglu"
    num_experts: int = 6
    expert_hidden_size: int = 4096
    top_k: int | None = None
    residual_scale: float = 1.0
    moe_scale: float = 1.0
    summary: str = "auto"
    text_scope: str = "first-turn"
    router_options: Mapping[str, Any] = field(default_factory=dict)
    expert_options: Mapping[str, Any] = field(default_factory=dict)
    host_options: Mapping[str, Any] = field(default_factory=dict)
    detector: str | None = None
    placement: str = "projector"
    layer_rank: int = 8
    layer_modules: list[str] = field(default_factory=lambda: ["q_proj", "k_proj", "v_proj", "o_proj"])
    layers: str | list[int] = "all"
    seed: int = 0

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        # Before the generated __init__ sees them, so that a misspelt key is our error rather than a TypeError.
        _reject_unknown(kwargs)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ConfigError("AdapterConfig cannot be built:\n  " + "\n  ".join(problems))
        for name in ("layer_modules", "layers"):
            if not isinstance(getattr(self, name), str):
                object.__setattr__(self, name, list(getattr(self, name)))
        for name in ("router_options", "expert_options", "host_options"):
            # A copy of its own, in the form JSON gives back (tuples become lists), so that a round trip is exact.
            object.__setattr__(self, name, json.loads(json.dumps(dict(getattr(self, name)))))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AdapterConfig:
        """The config behind :meth:`to_dict`.

        Raises:
            ConfigError: as the constructor.
        """
        _reject_unknown(values)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary that JSON can hold."""
        return asdict(self)

    def _problems(self) -> list[str]:
        found: list[str] = []
        found += _placement_problems(self)
        for name in ("router", "expert", "summary", "text_scope", "detector"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (name == "detector" and value is None):
                found.append(f"{name}={value!r} must be a string")
        for name in ("num_experts", "expert_hidden_size"):
            if not _is_int(getattr(self, name)) or getattr(self, name) < 1:
                found.append(f"{name}={getattr(self, name)!r} must be a whole number of at least 1")
        if not _is_int(self.seed) or not 0 <= self.seed < 2**63:
            found.append(f"seed={self.seed!r} must be a whole number from 0 to 2**63 - 1")
        if self.top_k is not None and not (
            _is_int(self.top_k) and _is_int(self.num_experts) and 1 <= self.top_k <= self.num_experts
        ):
            found.append(f"top_k={self.top_k!r} must be None or between 1 and num_experts={self.num_experts}")
        for name in ("residual_scale", "moe_scale"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
                found.append(f"{name}={value!r} must be a finite number")
        if isinstance(self.text_scope, str) and self.text_scope not in TEXT_SCOPES:
            known = "; ".join(f"{k!r}: {v}" for k, v in TEXT_SCOPES.items())
            found.append(
                f"text_scope={self.text_scope!r} is unknown.{suggest(self.text_scope, TEXT_SCOPES)} Known: {known}"
            )
        for name in ("router_options", "expert_options", "host_options"):
            found += _option_problems(name, getattr(self, name))
        return found


def _reject_unknown(values: Mapping[str, object]) -> None:
    known = [f.name for f in fields(AdapterConfig)]
    unknown = [f"{key!r}.{suggest(str(key), known)}" for key in values if key not in known]
    if unknown:
        raise ConfigError(explain(f"unknown adapter setting {', '.join(unknown)}", known=", ".join(known)))


def _placement_problems(config: AdapterConfig) -> list[str]:
    found = []
    if config.placement not in PLACEMENTS:
        found.append(f"placement={config.placement!r} is unknown. Known: {', '.join(PLACEMENTS)}")
    if not _is_int(config.layer_rank) or config.layer_rank < 1:
        found.append(f"layer_rank={config.layer_rank!r} must be a whole number of at least 1")
    names: object = config.layer_modules
    if (
        isinstance(names, str)
        or not isinstance(names, list | tuple)
        or not names
        or not all(_is_name(n) for n in names)
    ):
        found.append(f"layer_modules={names!r} must be a list of names")
    layers: object = config.layers
    if layers != "all" and not (
        isinstance(layers, list | tuple) and layers and all(_is_int(n) and n >= 0 for n in layers)
    ):
        found.append(f"layers={layers!r} must be 'all' or a list of numbers of decoder layers, counted from 0")
    if config.placement == "layers":
        found += [
            f"{name}={getattr(config, name)!r} acts on experts at the projector, and placement='layers' has none "
            "(inside the layers it is expert_options={'layer_scale': ...})"
            for name in ("residual_scale", "moe_scale")
            if getattr(config, name) != 1
        ]
    return found


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _option_problems(name: str, options: object) -> list[str]:
    if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
        return [f"{name}={options!r} must be a mapping from names to values"]
    try:
        json.dumps(dict(options), allow_nan=False)
    except (TypeError, ValueError) as error:
        return [f"{name} must hold plain values that JSON can store: {error}"]
    return []


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
