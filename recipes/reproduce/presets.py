"""What a study runs: arms x seeds x regimes. Plain data, read without torch.

| preset | what it is |
| --- | --- |
| `study` | ten arms and three text models in the main regime, five arms in the others; hours on one core |
| `long` | the same with five text models |
| `tiny_cpu` | the same code in a minute, for tests; its numbers mean nothing |
| `pretrained` | real weights (Gemma 3 270M), remedies, rates chosen, three seeds; for a GPU (not run yet) |
| `pretrained_cpu` | remedies on real weights (`registration_2.py`), 100 concepts, not tuned; for one CPU core |
| `amounts_cpu` | three of its arms with 2 to 50% of stage 2 multilingual: how much does a remedy need? |
| `tiny_remedies` | the same code on the miniature, for tests; its numbers mean nothing |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from parrot_recipes.emoji import presets as emoji
from parrot_recipes.emoji.compute import Compute
from parrot_recipes.emoji.presets import QuickstartConfig
from parrot_recipes.emoji.pretrained import PRETRAINED
from parrot_recipes.emoji.schedule import Schedule

from .arms import ARMS, REMEDIES
from .registration_2 import DECIDING

__all__ = ["PRESETS", "REGIMES", "Regime", "StudyConfig", "preset"]


@dataclass(frozen=True)
class Regime:
    """A way to train stage 2.

    Attributes:
        title: for the report.
        changes: fields of `QuickstartConfig` that differ from the study's base.
        repeats: what differs between seeds: another text model (with other data), or data and projector alone.
    """

    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    repeats: str = "text model"


MAIN = "siloed"
AMOUNTS = (0.02, 0.05, 0.1, 0.25)  # of stage 2 that is multilingual, beside the half of the other regimes
REGIMES: Mapping[str, Regime] = {
    MAIN: Regime("siloed text model, frozen"),
    "text_model_trained": Regime("stage 2 trains the text model, too", {"train_text_model": True}),
    "five_percent": Regime("5% of stage 2 is multilingual", {"multilingual": 0.05}),
    "linked_languages": Regime("text model with linked languages, frozen", {"text_model": "linked"}),
    **{
        kind: Regime(model.title, {"text_model": kind, "text_model_seed": 0}, "run")
        for kind, model in PRETRAINED.items()
    },
    **{
        f"{kind}-{100 * share:.0f}-percent": Regime(
            f"{model.title}, {100 * share:.0f}% of stage 2 is multilingual",
            {"text_model": kind, "text_model_seed": 0, "multilingual": share},
            "run",
        )
        for kind, model in PRETRAINED.items()
        for share in AMOUNTS
    },
}
EVERY_ARM = tuple(arm.key for arm in ARMS)
REMEDY_ARMS = (*DECIDING, "mixture", "language-id", "dense", *(arm.key for arm in REMEDIES if arm.key not in DECIDING))
FEW_ARMS = ("none", "dense", "picture-only", "single", "mixture")  # no adapter and the 2 x 2


@dataclass(frozen=True)
class StudyConfig:
    """Everything that decides what a study finds.

    Attributes:
        name: of the preset.
        base: data and schedules; its arms, seed and rate of stage 2 are the study's to set.
        regimes: name -> (arms, seeds), run in this order.
        rules: version of the registered rules, 1 or 2.
        first: arms that every seed is run with before any other arm; none of them makes one round of all.
        rates: the projector's rates in stage 2 to begin the choice with; adapters learn at ``base.adapter_rate`` times
            it. A best rate at the edge moves the edge by a factor of two, until the best has neighbours on both sides.
            With one there is nothing to choose.
        tuning_seed: the seed whose validation views choose the rates.
        workers: processes; 0 does everything here.
        main: the regime that rates are chosen in, and that conclusions are drawn from.
        compute: where, and how precisely.
        by_amount: regimes differ in their share of multilingual samples alone, and are shown as one table and figure.
    """

    name: str
    base: QuickstartConfig
    regimes: Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]]
    rules: int = 1
    first: tuple[str, ...] = ()
    rates: tuple[float, ...] = (1e-3, 2e-3)
    tuning_seed: int = 0
    workers: int = 0
    main: str = MAIN
    compute: Compute = field(default_factory=Compute)
    by_amount: bool = False

    @property
    def rounds(self) -> list[tuple[str, tuple[str, ...], tuple[int, ...]]]:
        """(regime, arms, seeds) in the order they are run; a study stopped between two holds whole comparisons."""
        found = []
        for regime, (arms, seeds) in self.regimes.items():
            early = tuple(key for key in arms if key in self.first)
            late = tuple(key for key in arms if key not in self.first)
            found += [(regime, keys, seeds) for keys in (early, late) if keys]
        return found

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def setting_of(self, regime: str, seed: int, rate: float) -> QuickstartConfig:
        """The configuration of one run: the regime's, with a text model of its own for each seed."""
        stage2 = replace(self.base.stage2, learning_rate=rate)
        changes = {"text_model_seed": seed, **REGIMES[regime].changes}
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


def pretrained() -> StudyConfig:
    gemma = "gemma3-270m"
    base = replace(
        emoji.quickstart(),
        name=gemma,
        # Five times as wide as the miniature, so a fifth of its rates.
        stage1=Schedule(steps=200, learning_rate=2e-4, batch_size=128),
        stage2=Schedule(steps=700, learning_rate=4e-4, batch_size=256),
    )
    return StudyConfig(
        "pretrained",
        base,
        {gemma: ((*REMEDY_ARMS, "picture-only", "conditioned-mixture"), (0, 1, 2))},
        rules=2,
        first=DECIDING,
        rates=(2e-4, 4e-4),
        main=gemma,
        compute=Compute("cuda", "bfloat16"),
    )


def pretrained_cpu() -> StudyConfig:
    gpu = pretrained()
    base = replace(
        gpu.base,
        limit=100,
        stage1=Schedule(steps=60, learning_rate=2e-4, batch_size=16),
        stage2=Schedule(steps=150, learning_rate=4e-4, batch_size=16),
    )
    compute = Compute("cpu", "bfloat16")
    return replace(
        gpu,
        name="pretrained_cpu",
        base=base,
        regimes={gpu.main: (REMEDY_ARMS, (0, 1, 2, 3, 4))},
        rates=(4e-4,),
        compute=compute,
    )


def amounts_cpu() -> StudyConfig:
    whole = pretrained_cpu()
    names = [f"{whole.main}-{100 * share:.0f}-percent" for share in AMOUNTS]
    arms = ("none", "lora-24", "deep-taught")
    regimes = dict.fromkeys((whole.main, *names), (arms, (0,)))
    return replace(whole, name="amounts_cpu", regimes=regimes, first=(), by_amount=True)


def tiny_remedies() -> StudyConfig:
    few = ("none", "single", "lora-24", "lora-24-at-50", "language-vector", "whole")
    return replace(tiny_cpu(), name="tiny_remedies", regimes={MAIN: (few, (0,))}, rules=2, first=DECIDING)


PRESETS: Mapping[str, Callable[[], StudyConfig]] = {
    function.__name__: function
    for function in (study, long, tiny_cpu, pretrained, pretrained_cpu, amounts_cpu, tiny_remedies)
}


def preset(name: str) -> StudyConfig:
    """The configuration of a preset.

    Raises:
        UnknownChoiceError: no preset has this name.
    """
    from parrot_recipes.emoji.errors import UnknownChoiceError, unknown

    if name not in PRESETS:
        raise UnknownChoiceError(unknown("preset", name, PRESETS))
    return PRESETS[name]()
