"""The arms: ten ways to spend the same 203,000 parameters on the same pictures, and what each one is there to rule out.

Hidden sizes make all adapters equal in size on a host of width 128 (a test counts); no adapter has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from parrot_recipes.emoji.languages import CODES
from parrot_recipes.emoji.presets import (
    AS_WRITTEN,
    CONDITIONED_MIXTURE,
    MIXTURE,
    NONE,
    SINGLE,
    WITHOUT_TEXT,
    Arm,
)

__all__ = ["ARMS", "GROUPS", "StudyArm", "arm_named"]

EXPERT_OF = {code: number for number, code in enumerate(CODES)}


@dataclass(frozen=True)
class StudyArm:
    """One arm.

    Attributes:
        arm: what is trained.
        group: arms of one group share a learning rate.
        purpose: what it is there to rule out, for the report.
    """

    arm: Arm
    group: str
    purpose: str

    @property
    def key(self) -> str:
        return self.arm.key

    @property
    def title(self) -> str:
        return self.arm.title


def _swiglu(key: str, title: str, router: str, experts: int = 6, hidden: int = 88, **settings: object) -> Arm:
    adapter = {"router": router, "expert": "swiglu", "num_experts": experts, "expert_hidden_size": hidden, **settings}
    return Arm(key, title, adapter)


# Every arm's rate is chosen with its group's first arm below.
GROUPS: Mapping[str, str] = {
    "no adapter": "none",
    "text-blind": "picture-only",
    "routed": "mixture",
    "conditioned": "single",
}

ARMS: tuple[StudyArm, ...] = (
    StudyArm(NONE, "no adapter", "the same training of the projector alone: what data without an adapter buys"),
    StudyArm(
        _swiglu("dense", "dense MLP", "uniform", experts=1, hidden=528),
        "text-blind",
        "one SwiGLU that hears no text: what parameters alone buy",
    ),
    StudyArm(WITHOUT_TEXT, "text-blind", "six experts chosen by the picture: what mixing alone buys"),
    StudyArm(SINGLE, "conditioned", "one SwiGLU whose gate hears the question: what guidance alone buys"),
    StudyArm(replace(MIXTURE, title="full adapter"), "routed", "the paper's adapter, text and summary normalised"),
    StudyArm(replace(AS_WRITTEN, title="full adapter, as written"), "routed", "the paper's formula, not normalised"),
    StudyArm(CONDITIONED_MIXTURE, "conditioned", "the router and every expert's gate hear the question"),
    StudyArm(
        Arm(
            "supervised",
            "routing taught languages",
            dict(MIXTURE.adapter or {}),
            losses={"language-supervision": 0.1},
            loss_options={"language-supervision": {"experts": EXPERT_OF}},
        ),
        "routed",
        "the full adapter, whose router is also taught one expert for each language",
    ),
    StudyArm(
        _swiglu("language-id", "routing fixed to languages", "language-id", router_options={"languages": EXPERT_OF}),
        "routed",
        "one expert for each language, no router: perfect routing, a sixth of the parameters at work",
    ),
    StudyArm(_swiglu("uniform", "uniform routing", "uniform"), "text-blind", "six experts, always all alike"),
)  # fmt: skip
BY_KEY = {arm.key: arm for arm in ARMS}


def arm_named(key: str) -> StudyArm:
    """The arm of a key.

    Raises:
        RecipeError: there is none.
    """
    from parrot_recipes.emoji.errors import RecipeError

    if key not in BY_KEY:
        raise RecipeError(f"no arm named {key!r}.\n  known  {', '.join(BY_KEY)}")
    return BY_KEY[key]
