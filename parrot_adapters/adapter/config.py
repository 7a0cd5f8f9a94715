"""What an adapter is made of. Plain data: no torch here, and nothing that JSON cannot hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Self

from parrot_adapters.adapter.field_rules import Number, OneOf, PlainOptions, Text, WholeNumber, field_faults
from parrot_adapters.errors import ConfigError, explain, suggest

__all__ = ["AdapterConfig"]

LARGEST = 1e30  # a factor beyond it overflows float32

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
        text_scope: which text of a prompt the router reads: ``"first-turn"``, or ``"reference"`` for released
            checkpoints.
        router_options: keyword arguments of the router's factory, e.g. ``{"normalize": "none"}``.
        expert_options: keyword arguments of the expert's factory.
        host_options: fields of the host's :class:`~parrot_adapters.HostSpec` to override, for example
            ``{"deepstack": "align"}``.
        detector: a registered language detector, asked when no language was declared; None asks nobody.
        seed: of the adapter's initial weights; the global random state is never touched.

    Raises:
        ConfigError: unknown names, wrong types or impossible values, all reported together.
    """

    router: Annotated[str, Text()] = "text-guided"
    expert: Annotated[str, Text()] = "swiglu"
    num_experts: Annotated[int, WholeNumber(1)] = 6
    expert_hidden_size: Annotated[int, WholeNumber(1)] = 4096
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

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        # Before the generated __init__ sees them, so that a misspelt key is our error rather than a TypeError.
        _reject_unknown(kwargs)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        if faults := field_faults(self):
            raise ConfigError("AdapterConfig cannot be built:\n  " + "\n  ".join(faults))
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


def _reject_unknown(values: Mapping[str, object]) -> None:
    known = [f.name for f in fields(AdapterConfig)]
    unknown = [f"{key!r}.{suggest(str(key), known)}" for key in values if key not in known]
    if unknown:
        raise ConfigError(explain(f"unknown adapter setting {', '.join(unknown)}", known=", ".join(known)))
