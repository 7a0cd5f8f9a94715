"""What the search tries: settings of an arm, as data.

`CANDIDATES` change arms of the miniature study, `IN_LAYERS` change experts in the layers on real weights. The arms that
they are changes of are among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from parrot_recipes.emoji.presets import Arm
from parrot_recipes.emoji.schedule import Schedule

from .arms import EXPERT_OF, arm_named

__all__ = ["CANDIDATES", "IN_LAYERS", "Candidate", "candidates_of"]

TAUGHT = {"language-supervision": {"experts": EXPERT_OF}}


@dataclass(frozen=True)
class Candidate:
    """A setting to try.

    Attributes:
        arm: what is trained.
        group: whose learning rate it starts from.
        rate: factor of that rate.
        changes: fields of `QuickstartConfig`.
        equal: whether it is as large as the study's arms.
        of: key of the study's arm that it is a change of; None where that says nothing.
    """

    arm: Arm
    group: str
    rate: float = 1.0
    changes: Mapping[str, Any] = field(default_factory=dict)
    equal: bool = True
    of: str | None = None

    @property
    def key(self) -> str:
        return self.arm.key


def _like(key: str, new: str, losses: Mapping[str, float] | None = None, **settings: Any) -> Arm:
    """A study's arm with some settings of its adapter changed."""
    arm = arm_named(key).arm
    taught = {"losses": losses, "loss_options": TAUGHT} if losses else {}
    return replace(arm, key=new, title=new, adapter={**(arm.adapter or {}), **settings}, **taught)


SUPERVISED = {"language-supervision": 1.0}
CANDIDATES: tuple[Candidate, ...] = (
    Candidate(_like("single", "single"), "conditioned"),
    Candidate(_like("mixture", "mixture"), "routed"),
    Candidate(_like("single", "single, adapter rate x 2"), "conditioned", changes={"adapter_rate": 8.0}),
    Candidate(_like("single", "single, adapter rate / 2"), "conditioned", changes={"adapter_rate": 2.0}),
    Candidate(_like("conditioned-mixture", "conditioned mixture, taught", SUPERVISED), "conditioned"),
    Candidate(_like("mixture", "mixture, taught hard", SUPERVISED), "routed"),
    Candidate(
        _like("mixture", "mixture, sharp router", router="text-guided-sharp", router_options={"sharpness": 8.0}),
        "routed",
    ),
    Candidate(
        _like(
            "conditioned-mixture",
            "conditioned mixture, sharp router",
            router="text-guided-sharp",
            router_options={"sharpness": 8.0},
        ),
        "conditioned",
    ),
    Candidate(_like("single", "single, summary first-token", summary="first-token"), "conditioned"),
    Candidate(_like("single", "single, twice as wide", expert_hidden_size=792), "conditioned", equal=False),
    Candidate(
        _like("single", "single, learned attention", router="text-guided-qkv", expert_hidden_size=300), "conditioned"
    ),
)


def _in_layers(title: str, key: str = "deep-1", *, rate: float = 1.0, equal: bool = True, **settings: Any) -> Candidate:
    """A change of an arm in the layers; its adapter learns at ``rate`` times the arm's rate."""
    arm = _like(key, title, **settings)
    return Candidate(replace(arm, adapter_rate=rate * (arm.adapter_rate or 1.0)), "in the layers", equal=equal, of=key)


def _lora(title: str, *, rate: float = 1.0) -> Candidate:
    """LoRA of the same size at another rate: what experts in the layers are tried with, the rival is tried with."""
    arm = replace(arm_named("lora-24").arm, key=title, title=title, kept=False, adapter_rate=rate)
    return Candidate(arm, "language model", of="lora-24")


ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
LONGER = {"stage2": Schedule(steps=300, learning_rate=4e-4, batch_size=16)}
LAYERS = 18  # of Gemma 3 270M

IN_LAYERS: tuple[Candidate, ...] = (
    _in_layers("deep-1"),
    _in_layers("deep-declared", "deep-declared"),
    _in_layers("deep-1, rate x 2", rate=2.0),
    _in_layers("deep-1, rate / 2", rate=0.5),
    _lora("lora-24"),
    _lora("lora-24, rate x 2", rate=2.0),
    _lora("lora-24, rate / 2", rate=0.5),
    _in_layers("deep-1, rate x 4", rate=4.0),
    _lora("lora-24, rate x 4", rate=4.0),
    _in_layers("deep-1, attention and MLP, r = 9", layer_modules=[*ATTENTION, *MLP], layer_rank=9),
    _in_layers("deep-1, early half, r = 48", layers=list(range(LAYERS // 2)), layer_rank=48),
    _in_layers("deep-1, late half, r = 48", layers=list(range(LAYERS // 2, LAYERS)), layer_rank=48),
    _in_layers("deep-1, dropout 0.1", expert_options={"layer_dropout": 0.1}),
    _in_layers("deep-declared, dropout 0.1", "deep-declared", expert_options={"shared_rank": 12, "layer_dropout": 0.1}),
    _in_layers("deep-1, r = 6", equal=False, layer_rank=6),
    _in_layers("deep-1, r = 96", equal=False, layer_rank=96),
    _in_layers("deep-1, gate reads the context", equal=False, router="text-guided", layer_expert="gated"),
    replace(_in_layers("deep-1, twice the steps"), changes=LONGER),
    replace(_in_layers("deep-declared, twice the steps", "deep-declared"), changes=LONGER),
)


def candidates_of(rules: int) -> Mapping[str, Candidate]:
    """The candidates of a study under this version of the rules, by key."""
    return {candidate.key: candidate for candidate in (CANDIDATES if rules == 1 else IN_LAYERS)}
