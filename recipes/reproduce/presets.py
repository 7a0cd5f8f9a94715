"""What a study runs: arms x seeds x regimes. Plain data, read without torch.

| preset | what it is |
| --- | --- |
| `study` | ten arms and three text models in the main regime, five arms in the others; hours on one core |
| `long` | the same with five text models |
| `tiny_cpu` | the same code in a minute, for tests; its numbers mean nothing |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from parrot_recipes.emoji import presets as emoji
from parrot_recipes.emoji.presets import QuickstartConfig
from parrot_recipes.emoji.schedule import Schedule

from .arms import ARMS

__all__ = ["PRESETS", "REGIMES", "Regime", "StudyConfig", "preset"]


@dataclass(frozen=True)
class Regime:
    """A way to train stage 2.

    Attributes:
        title: for the report.
        changes: fields of `QuickstartConfig` that differ from the study's base.
    """

    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)


MAIN = "siloed"
REGIMES: Mapping[str, Regime] = {
    MAIN: Regime("siloed text model, frozen"),
    "text_model_trained": Regime("stage 2 trains the text model, too", {"train_text_model": True}),
    "five_percent": Regime("5% of stage 2 is multilingual", {"multilingual": 0.05}),
    "linked_languages": Regime("text model with linked languages, frozen", {"text_model": "linked"}),
}
EVERY_ARM = tuple(arm.key for arm in ARMS)
FEW_ARMS = ("none", "dense", "picture-only", "single", "mixture")  # no adapter and the 2 x 2


@dataclass(frozen=True)
class StudyConfig:
    """Everything that decides what a study finds.

    Attributes:
        name: of the preset.
        base: data and schedules; its arms, seed and rate of stage 2 are the study's to set.
        regimes: name -> (arms, seeds), run in this order.
        rates: the projector's rates in stage 2 to begin the choice with; adapters learn at ``base.adapter_rate`` times
            it. A best rate at the edge moves the edge by a factor of two, until the best has neighbours on both sides.
        tuning_seed: the seed whose validation views choose the rates.
        workers: processes; 0 does everything here.
    """

    name: str
    base: QuickstartConfig
    regimes: Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]]
    rates: tuple[float, ...] = (1e-3, 2e-3)
    tuning_seed: int = 0
    workers: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def setting_of(self, regime: str, seed: int, rate: float) -> QuickstartConfig:
        """The configuration of one run: the regime's, with a text model of its own for each seed."""
        stage2 = replace(self.base.stage2, learning_rate=rate)
        changes = {**REGIMES[regime].changes, "text_model_seed": seed}
        return replace(self.base, name=regime, seed=seed, stage2=stage2, arms=(), saved=(), **changes)


def study() -> StudyConfig:
    seeds = (0, 1, 2)
    return StudyConfig(
        "study",
        emoji.quickstart(),
        {
            MAIN: (EVERY_ARM, seeds),
            "text_model_trained": (FEW_ARMS, seeds),
            "five_percent": (FEW_ARMS, seeds),
            "linked_languages": (FEW_ARMS, (0,)),
        },
    )


def long() -> StudyConfig:
    seeds = tuple(range(5))
    return replace(study(), name="long", regimes=dict.fromkeys(REGIMES, (EVERY_ARM, seeds)))


def tiny_cpu() -> StudyConfig:
    base = replace(emoji.tiny_cpu(), stage2=Schedule(steps=3, learning_rate=1e-3, batch_size=8))
    return StudyConfig(
        "tiny_cpu",
        base,
        # Seed 0 alone has a committed text model; a second one would take 18 minutes.
        {MAIN: (EVERY_ARM, (0,)), "five_percent": (("none", "single"), (0,))},
        rates=(1e-3,),
    )


PRESETS: Mapping[str, Callable[[], StudyConfig]] = {function.__name__: function for function in (study, long, tiny_cpu)}


def preset(name: str) -> StudyConfig:
    """The configuration of a preset.

    Raises:
        RecipeError: no preset has this name.
    """
    from parrot_recipes.emoji.errors import RecipeError

    if name not in PRESETS:
        raise RecipeError(f"no preset named {name!r}.\n  known  {', '.join(PRESETS)}")
    return PRESETS[name]()
