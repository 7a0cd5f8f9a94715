"""The arms, and what each one is there to rule out.

`ARMS` are the first study's: ten ways to spend the same 203,000 parameters on the same pictures. Hidden sizes make all
adapters equal in size on a host of width 128 (a test counts); no adapter has none. `REMEDIES` join them on real
weights: what people do instead, at several sizes (`registration_2.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

__all__ = ["ARMS", "GROUPS", "REMEDIES", "StudyArm", "arm_named", "with_sources"]

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
    "language model": "lora-24",
    "in the layers": "deep-1",
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


def _lora(rank: int) -> dict[str, object]:
    """LoRA on the attention of every layer, twice as strong as its rank says, as is usual."""
    return {"r": rank, "lora_alpha": 2 * rank, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}


def _deep(key: str, title: str, router: str, experts: int = 6, layer_rank: int = 4, shared: int = 0) -> Arm:
    """Experts on the attention of every layer, at visual positions only; they learn at LoRA's rate, and are as many."""
    adapter: dict[str, object] = {
        "placement": "layers", "router": router, "num_experts": experts, "layer_rank": layer_rank,
    }  # fmt: skip
    if router == "language-id":
        adapter["router_options"] = {"languages": EXPERT_OF}
    if shared:
        adapter["expert_options"] = {"shared_rank": shared}
    return Arm(key, title, adapter, adapter_rate=1.0)


def _merged(percent: int) -> StudyArm:
    return StudyArm(
        Arm(
            f"lora-24-at-{percent}", f"LoRA r = 24, at {percent}% strength", lora=_lora(24),
            weights_of="lora-24", lora_strength=percent / 100,
        ),
        "language model",
        "LoRA merged back with the untouched model: what keeps text and most of the gain?",
    )  # fmt: skip


REMEDIES: tuple[StudyArm, ...] = (
    StudyArm(
        Arm(
            "taught",
            "full adapter, taught languages",
            dict(MIXTURE.adapter or {}),
            losses={"language-supervision": 1.0},
            loss_options={"language-supervision": {"experts": EXPERT_OF}},
        ),
        "routed",
        "the full adapter, whose router is taught one expert for each language, ten times harder than at first",
    ),
    StudyArm(
        Arm(
            "language-vector",
            "one vector per language",
            {"router": "language-id", "router_options": {"languages": EXPERT_OF}, "expert": "vector"},
        ),
        "routed",
        "the smallest thing that can know a language",
    ),
    StudyArm(Arm("lora-4", "LoRA r = 4", lora=_lora(4)), "language model", "LoRA, small"),
    StudyArm(
        Arm("lora-11", "LoRA r = 11", lora=_lora(11)), "language model", "LoRA with the adapters' number of parameters"
    ),
    StudyArm(
        Arm("lora-24", "LoRA r = 24", lora=_lora(24), kept=True), "language model", "what people do instead: LoRA"
    ),
    _merged(25),
    _merged(50),
    _merged(75),
    StudyArm(
        Arm("single-lora-24", "single conditioned expert + LoRA r = 24", dict(SINGLE.adapter or {}), lora=_lora(24)),
        "language model",
        "does the adapter add anything to LoRA?",
    ),
    StudyArm(
        Arm("whole", "language model trained whole", text_model_rate=0.125),
        "language model",
        "the largest remedy, and the dearest",
    ),
    StudyArm(
        _deep("deep-1", "one expert in the layers", "uniform", experts=1, layer_rank=24),
        "in the layers",
        "what the place alone buys: one expert for all languages, at visual positions, nothing is chosen",
    ),
    StudyArm(
        _deep("deep-declared", "in the layers, shared and one per language", "language-id", layer_rank=2, shared=12),
        "in the layers",
        "a shared expert and one fixed expert for each language: what knowing the language adds there",
    ),
    StudyArm(
        replace(
            _deep("deep-taught", "in the layers, shared and routed", "text-guided", layer_rank=2, shared=12),
            losses={"language-supervision": 1.0},
            loss_options={"language-supervision": {"experts": EXPERT_OF}},
        ),
        "in the layers",
        "the same, where a router that is taught languages reads the prompt: nobody has to declare anything",
    ),
    StudyArm(
        _deep("deep-routed", "in the layers, one per language", "language-id", layer_rank=4),
        "in the layers",
        "one fixed expert for each language and nothing shared",
    ),
    StudyArm(
        _deep("deep-text", "in the layers, routed", "text-guided", layer_rank=4),
        "in the layers",
        "the paper's router, not taught, in front of experts in the layers",
    ),
    StudyArm(
        Arm(
            "deep-both",
            "in the layers and at the projector",
            {**(SINGLE.adapter or {}), "placement": "both", "layer_rank": 24},
            adapter_rate=1.0,
        ),
        "in the layers",
        "does the single conditioned expert add anything to one in the layers?",
    ),
)
BY_KEY = {arm.key: arm for arm in (*ARMS, *REMEDIES)}


def arm_named(key: str) -> StudyArm:
    """The arm of a key.

    Raises:
        UnknownChoiceError: there is none.
    """
    from parrot_recipes.emoji.errors import UnknownChoiceError, unknown

    if key not in BY_KEY:
        raise UnknownChoiceError(unknown("arm", key, BY_KEY))
    return BY_KEY[key]


def with_sources(keys: Sequence[str]) -> tuple[str, ...]:
    """The arms asked for, each once and after the one that its weights are taken from.

    Raises:
        RecipeError: there is no arm of that name.
    """
    found: dict[str, None] = {}
    for key in keys:
        source = arm_named(key).arm.weights_of
        found |= dict.fromkeys((key,) if source is None else (source, key))
    return tuple(found)
