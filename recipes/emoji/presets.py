"""Every run is a complete, frozen configuration; a preset is a function that returns one.

| preset | what it is |
| --- | --- |
| `quickstart` | 300 concepts, four arms, minutes on two cores |
| `full` | all 1,629 concepts, every arm |
| `tiny_cpu` | the same code in half a minute, for tests; its numbers mean nothing |
| `text_model_trained` | stage 2 also trains the text model: the gap closes without an adapter |
| `linked_languages` | a text model whose pre-training links the languages: should leave no gap (not measured yet) |
| `five_percent` | only 5% of stage 2 is multilingual: too little for any arm |

The last three are regimes in which an adapter helps little or not at all (README.md has numbers). They are here so that
nobody has to take our word for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .concepts import CATEGORIES, CONCRETE
from .schedule import Schedule

__all__ = ["PRESETS", "Arm", "QuickstartConfig", "preset"]


@dataclass(frozen=True)
class Arm:
    """One way to go through stage 2. Every arm trains the projector.

    Attributes:
        key: names it in files.
        title: names it for people.
        adapter: arguments of `AdapterConfig`; None for no adapter.
        losses: factors of auxiliary losses, by registered name.
        loss_options: arguments of their factories.
        lora: arguments of `peft.LoraConfig` for the language model; None for none. It learns at the projector's rate,
            but see ``adapter_rate``.
        text_model_rate: the language model is trained whole, at so many times the projector's rate; None leaves it to
            the run's configuration.
        kept: whether the trained weights of projector and LoRA are kept beside the result, for arms made from them.
        weights_of: key of the arm whose kept weights it takes; it trains nothing itself.
        lora_strength: factor of LoRA's change after training: below one it is merged back with the untouched model.
        adapter_rate: the adapter's learning rate in units of the projector's, or LoRA's where it is all there is; None
            leaves an adapter's to the run's configuration.
    """

    key: str
    title: str
    adapter: Mapping[str, Any] | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    loss_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lora: Mapping[str, Any] | None = None
    text_model_rate: float | None = None
    kept: bool = False
    weights_of: str | None = None
    lora_strength: float = 1.0
    adapter_rate: float | None = None

    @property
    def routes(self) -> bool:
        """Whether there is anything to choose from."""
        return self.adapter is not None and self.adapter.get("num_experts", 6) > 1


# Hidden sizes are chosen so that all adapters hold about 203,000 parameters on a host of width 128.
NONE = Arm("none", "no adapter")
WITHOUT_TEXT = Arm(
    "picture-only", "mixture without text", {"router": "picture-only", "expert": "swiglu", "expert_hidden_size": 88}
)
SINGLE = Arm(
    "single",
    "single conditioned expert",
    {"router": "text-guided", "expert": "conditioned-swiglu", "num_experts": 1, "expert_hidden_size": 396},
)
MIXTURE = Arm("mixture", "mixture of experts", {"router": "text-guided", "expert": "swiglu", "expert_hidden_size": 88})
AS_WRITTEN = Arm(
    "as-written",
    "mixture, formula as written",
    {**MIXTURE.adapter, "router_options": {"normalize": "none"}},  # type: ignore[dict-item]
)
QKV = Arm(
    "qkv", "mixture, learned attention", {"router": "text-guided-qkv", "expert": "swiglu", "expert_hidden_size": 66}
)
CONDITIONED_MIXTURE = Arm(
    "conditioned-mixture",
    "mixture of conditioned experts",
    {"router": "text-guided", "expert": "conditioned-swiglu", "expert_hidden_size": 66},
)


@dataclass(frozen=True)
class QuickstartConfig:
    """Everything that decides what a run does.

    Attributes:
        name: of the preset.
        categories: of concepts.
        max_words: longest English name; None for any.
        limit: most concepts; None for all.
        grid: the tower's features are pooled to grid x grid visual tokens.
        views: of each training picture.
        warm_start: contrastive fit of the projector.
        stage1: English only, projector only.
        stage2: several languages, projector and adapter.
        multilingual: share of stage 2 that is not English.
        adapter_rate: the adapter's learning rate, in units of the projector's.
        text_model: ``"siloed"`` (committed), ``"linked"`` (its languages are linked; made on first use, minutes), or a
            pretrained one of a package, see :mod:`.pretrained`.
        text_model_seed: of its pre-training; 0 is the committed one, others are made on first use (minutes).
        train_text_model: whether stage 2 trains the text model, too.
        text_model_rate: its learning rate then, in units of the projector's.
        arms: what is compared.
        saved: keys of the arms whose adapters are kept, chosen here and not by test score; the first becomes
            ``adapter/``, the others ``adapter-KEY/``.
        workers: processes, each on one thread; 0 does everything here, one thing after the other.
        seed: of everything random.
    """

    name: str = "quickstart"
    categories: tuple[str, ...] = CONCRETE
    max_words: int | None = 1
    limit: int | None = 300
    grid: int = 3
    views: int = 6
    warm_start: Schedule = field(default_factory=lambda: Schedule(steps=300, learning_rate=2e-3, batch_size=128))
    stage1: Schedule = field(default_factory=lambda: Schedule(steps=200, learning_rate=1e-3))
    stage2: Schedule = field(default_factory=lambda: Schedule(steps=700, learning_rate=1e-3))
    multilingual: float = 0.5
    adapter_rate: float = 4.0
    text_model: str = "siloed"
    text_model_seed: int = 0
    train_text_model: bool = False
    text_model_rate: float = 1.0
    arms: tuple[Arm, ...] = (NONE, WITHOUT_TEXT, SINGLE, MIXTURE)
    saved: tuple[str, ...] = (SINGLE.key, MIXTURE.key)
    workers: int = 2
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def quickstart() -> QuickstartConfig:
    # The best one rate for all arms on new views of the training art (recipes/reproduce); test art did not choose it.
    return QuickstartConfig(stage2=Schedule(steps=700, learning_rate=2e-3))


def full() -> QuickstartConfig:
    return QuickstartConfig(
        name="full",
        categories=tuple(CATEGORIES),
        max_words=None,
        limit=None,
        stage1=Schedule(steps=2000, learning_rate=1e-3),
        stage2=Schedule(steps=5000, learning_rate=1e-3),
        arms=(NONE, WITHOUT_TEXT, SINGLE, MIXTURE, AS_WRITTEN, QKV, CONDITIONED_MIXTURE),
    )


def tiny_cpu() -> QuickstartConfig:
    return QuickstartConfig(
        name="tiny_cpu",
        categories=("animal",),
        limit=12,
        grid=2,
        views=2,
        warm_start=Schedule(steps=20, learning_rate=2e-3, batch_size=16),
        stage1=Schedule(steps=3, learning_rate=1e-3, batch_size=8),
        stage2=Schedule(steps=3, learning_rate=5e-4, batch_size=8),
        workers=0,
    )


UNTUNED = Schedule(steps=700, learning_rate=1e-3)  # of the regimes: never chosen on validation views


def text_model_trained() -> QuickstartConfig:
    return replace(quickstart(), name="text_model_trained", stage2=UNTUNED, train_text_model=True, saved=())


def linked_languages() -> QuickstartConfig:
    return replace(quickstart(), name="linked_languages", stage2=UNTUNED, text_model="linked")


def five_percent() -> QuickstartConfig:
    return replace(quickstart(), name="five_percent", stage2=UNTUNED, multilingual=0.05)


PRESETS: Mapping[str, Callable[[], QuickstartConfig]] = {
    function.__name__: function
    for function in (quickstart, full, tiny_cpu, text_model_trained, linked_languages, five_percent)
}


def preset(name: str) -> QuickstartConfig:
    """The configuration of a preset.

    Raises:
        UnknownChoiceError: no preset has this name.
    """
    from .errors import UnknownChoiceError, unknown

    if name not in PRESETS:
        raise UnknownChoiceError(unknown("preset", name, PRESETS))
    return PRESETS[name]()
