"""What no type says: ranges, settings that exclude each other, names that somebody must have registered."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, Literal

from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.errors import ConfigError, explain, suggest
from parrot_adapters.plugins import manager
from parrot_adapters.training.config_faults import Fault
from parrot_adapters.training.training_config import TrainingConfig, TrainSettings

__all__ = ["accumulation_steps", "learning_rate", "rule_faults", "trained_roles", "with_recipe_defaults"]

Check = Callable[[Any], bool]

AT_LEAST_ONE: tuple[str, Check] = ("must be at least 1", lambda x: x >= 1)
NOT_NEGATIVE: tuple[str, Check] = ("must be 0 or more", lambda x: 0 <= x < math.inf)
POSITIVE: tuple[str, Check] = ("must be more than 0", lambda x: 0 < x < math.inf)
RANGES: dict[str, tuple[str, Check]] = {
    "seed": ("must be from 0 to 2**32 - 1", lambda x: 0 <= x < 2**32),
    "epochs": POSITIVE,
    "steps": AT_LEAST_ONE,
    "data.max_length": AT_LEAST_ONE,
    "data.language_temperature": POSITIVE,
    "data.token_budget": AT_LEAST_ONE,
    "data.workers": NOT_NEGATIVE,
    "batch.size": AT_LEAST_ONE,
    "batch.per_device": AT_LEAST_ONE,
    "engine.pieces": AT_LEAST_ONE,
    "optim.learning_rate": POSITIVE,
    "optim.weight_decay": NOT_NEGATIVE,
    "optim.epsilon": POSITIVE,
    "optim.warmup_ratio": ("must be from 0 to 1", lambda x: 0 <= x <= 1),
    "optim.max_grad_norm": NOT_NEGATIVE,
    "checkpoint.every": AT_LEAST_ONE,
    "checkpoint.keep": AT_LEAST_ONE,
    "log.every": AT_LEAST_ONE,
}
# Which key of `train` says whether a role trains; LoRA and the language model share one.
SWITCH = {"lora": "train.language_model", "language_model": "train.language_model"}
RATES = {"stage1": 1e-3, "stage2": 2e-5, "retrofit": 1e-4}
"""Learning rate of each recipe."""


def with_recipe_defaults(config: TrainingConfig) -> TrainingConfig:
    """The same run with its learning rate and everything under ``train`` decided, as its recipe says.

    Doing it twice changes nothing.

    Raises:
        ConfigError: It is no configuration.
    """
    if not isinstance(config, TrainingConfig):
        raise ConfigError(
            explain(
                f"a configuration of a run is a TrainingConfig, not {type(config).__name__}.",
                given=repr(config)[:80],
                to_do="read the file first: parrot_adapters.training.load_config(path)",
            )
        )
    given = config.train
    tuned: Literal["frozen", "lora", "full"] = "full" if config.recipe == "stage2" else "frozen"
    if config.lora:
        tuned = "lora"
    adapter = config.recipe != "stage1" if given.adapter is None else given.adapter
    projector = config.recipe != "retrofit" if given.projector is None else given.projector
    train = replace(given, adapter=adapter, projector=projector, language_model=given.language_model or tuned)
    return replace(config, train=train, optim=replace(config.optim, learning_rate=learning_rate(config)))


def learning_rate(config: TrainingConfig) -> float:
    """That of every role without its own: the configuration's, else its recipe's."""
    return RATES[config.recipe] if config.optim.learning_rate is None else config.optim.learning_rate


def accumulation_steps(config: TrainingConfig, processes: int) -> int:
    """Micro-batches of one process in one optimizer step.

    Args:
        config: the run.
        processes: how many share the global batch.

    Raises:
        ConfigError: the global batch cannot be divided so.
    """
    together = config.batch.per_device * processes
    if config.batch.size % together:
        fits = [n for n in range(1, config.batch.per_device) if config.batch.size % (n * processes) == 0]
        raise ConfigError(
            explain(
                f"batch.size {config.batch.size} cannot be shared out.",
                given=f"batch.per_device {config.batch.per_device} x {processes} processes = {together} at a time",
                to_do=f"batch.per_device={fits[-1]}" if fits else f"make batch.size a multiple of {together}",
            )
        )
    return config.batch.size // together


def rule_faults(config: TrainingConfig) -> Iterator[tuple[Fault, tuple[str, ...]]]:
    """Everything impossible about a configuration whose types are right.

    Args:
        config: with what the recipe says filled in.

    Yields:
        a fault, and the other keys that it rests on.
    """
    yield from _ranges(config)
    yield from _sources(config)
    yield from _what_trains(config)
    yield from _adapter(config)
    yield from _losses(config)
    yield from _lora(config)


def _ranges(config: TrainingConfig) -> Iterator[tuple[Fault, tuple[str, ...]]]:
    if not config.out.strip():
        yield Fault("out", "must name a directory"), ()
    for key, (text, holds) in RANGES.items():
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        if value is not None and not holds(value):
            yield Fault(key, f"{text}, given {value}"), ()
    for number, beta in enumerate(config.optim.betas):
        if not 0 <= beta < 1:
            yield Fault(f"optim.betas.{number}", f"must be from 0 to below 1, given {beta}"), ()
    for role, rate in config.optim.learning_rates.items():
        if not 0 < rate < math.inf:
            yield Fault(f"optim.learning_rates.{role}", f"must be more than 0, given {rate}"), ()
    for language, cap in config.data.language_caps.items():
        if cap < 1:
            yield Fault(f"data.language_caps.{language}", f"must be at least 1, given {cap}"), ()
    if config.batch.size >= 1 and config.batch.per_device >= 1 and config.batch.size % config.batch.per_device:
        what = f"must be a multiple of batch.per_device {config.batch.per_device}, given {config.batch.size}"
        yield Fault("batch.size", what), ("batch.per_device",)
    if 1 <= config.batch.per_device < config.engine.pieces:
        what = f"must be at most batch.per_device {config.batch.per_device}, given {config.engine.pieces}"
        yield Fault("engine.pieces", what), ("batch.per_device",)
    if config.data.token_budget is not None and config.data.token_budget < config.data.max_length:
        what = f"must hold one sample of data.max_length {config.data.max_length}, given {config.data.token_budget}"
        yield Fault("data.token_budget", what), ("data.max_length",)
    if config.data.packing and config.data.group_by_length:
        what = "excludes data.group_by_length: packed rows have hardly any padding, and grouping makes batches alike"
        yield Fault("data.packing", what), ("data.group_by_length",)
    if config.data.packing and config.batch.per_device == 1:
        yield (
            Fault("data.packing", "needs batch.per_device of 2 or more: it packs a micro-batch's samples"),
            ("batch.per_device",),
        )


def _sources(config: TrainingConfig) -> Iterator[tuple[Fault, tuple[str, ...]]]:
    sources = config.data.sources
    if not sources:
        yield Fault("data.sources", "must name at least one source"), ()
    elif all(source.weight == 0 for source in sources):
        yield Fault("data.sources", "every weight is 0, so nothing would be drawn"), ()
    for number, source in enumerate(sources):
        key = f"data.sources.{number}"
        if not 0 <= source.weight < math.inf:
            yield Fault(f"{key}.weight", f"must be 0 or more, given {source.weight}"), ()
        if source.format != "auto":
            yield from _registered("data-format", source.format, f"{key}.format")
        if source.limit is not None and source.limit < 1:
            yield Fault(f"{key}.limit", f"must be at least 1, given {source.limit}"), ()


def _what_trains(config: TrainingConfig) -> Iterator[tuple[Fault, tuple[str, ...]]]:
    train = config.train
    if config.recipe == "stage1":
        if train.adapter:
            yield Fault("train.adapter", "stage1 aligns the projector alone; no adapter is attached"), ("recipe",)
        if train.language_model != "frozen":
            yield Fault("train.language_model", "stage1 leaves the language model frozen"), ("recipe", "lora")
    if config.lora and train.language_model != "lora":
        what = f"needs train.language_model: lora, given {train.language_model}"
        yield Fault("lora", what), ("train.language_model", "recipe")
    if train.embeddings and train.language_model != "full":
        what = f"needs train.language_model: full, given {train.language_model}"
        yield Fault("train.embeddings", what), ("train.language_model", "lora", "recipe")
    trained = trained_roles(train)
    if not trained:
        yield Fault("train", "nothing would train"), ("recipe",)
    for role in config.optim.learning_rates:
        if role not in trained:
            key = SWITCH.get(role, f"train.{role}")
            what = f"has no effect: the {role} does not train (see {key})"
            yield Fault(f"optim.learning_rates.{role}", what), (key, "recipe", "lora")


def trained_roles(train: TrainSettings) -> set[str]:
    """The roles that train, all of ``train`` being decided."""
    kinds = {"full": {"language_model"}, "lora": {"lora"}}
    named = {role for role in ("adapter", "projector", "vision_tower", "embeddings") if getattr(train, role)}
    return named | kinds.get(str(train.language_model), set())


def _adapter(config: TrainingConfig) -> Iterator[tuple[Fault, tuple[str, ...]]]:
    given = config.adapter
    if config.recipe == "stage1":
        if given is not None:
            yield Fault("adapter", "stage1 attaches none; leave it out"), ("recipe",)
        return
    if given is None:
        if config.train.adapter:
            yield Fault("adapter", "is missing; 'adapter: {}' takes every default"), ("recipe", "train.adapter")
        return
    known = [field.name for field in fields(AdapterConfig)]
    for key in given:
        if key not in known:
            yield Fault(f"adapter.{key}", f"there is no such key.{suggest(key, known)}", unknown=True), ()
    settings = {key: value for key, value in given.items() if key in known}
    wrong = _adapter_problems(settings)
    for key, what in wrong.items():
        yield Fault(f"adapter.{key}", what), ()
    made = AdapterConfig.from_dict({key: value for key, value in settings.items() if key not in wrong})
    names = {"router": made.router, "expert": made.expert, "detector": made.detector}
    names |= {} if made.summary == "auto" else {"summary": made.summary}
    names |= {} if made.placement == "projector" else {"layer-expert": made.layer_expert}
    for kind, name in names.items():
        if name is not None:
            yield from _registered(kind, name, f"adapter.{kind.replace('-', '_')}")


def _adapter_problems(settings: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with each setting; :class:`AdapterConfig` says ``key=value what`` or ``key what``, one a line."""
    try:
        AdapterConfig.from_dict(settings)
    except ConfigError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        keys = [next(key for key in settings if re.match(rf"{key}\b", line)) for line in lines]
        return {key: line.removeprefix(key).lstrip(" =") for key, line in zip(keys, lines, strict=True)}
    return {}


def _losses(config: TrainingConfig) -> Iterator[tuple[Fault, tuple[str, ...]]]:
    for name, scale in config.losses.items():
        yield from _registered("loss", name, f"losses.{name}")
        if not math.isfinite(scale):
            yield Fault(f"losses.{name}", f"must be a finite number, given {scale}"), ()
    for name in config.loss_options:
        if name not in config.losses:
            what = f"is the option of a loss that is not in losses.{suggest(name, config.losses)}"
            yield Fault(f"loss_options.{name}", what), ("losses",)


def _lora(config: TrainingConfig) -> Iterator[tuple[Fault, tuple[str, ...]]]:
    if config.lora:
        from parrot_adapters.hosts.lora_settings import mistyped_arguments, unknown_arguments

        for name, near in unknown_arguments(config.lora).items():
            yield Fault(f"lora.{name}", f"peft.LoraConfig has no such argument.{near}", unknown=True), ()
        for name, what in mistyped_arguments(config.lora).items():
            yield Fault(f"lora.{name}", what), ()


def _registered(kind: str, name: str, key: str) -> Iterator[tuple[Fault, tuple[str, ...]]]:
    try:
        manager.find(kind, name)
    except ConfigError as error:
        lines = str(error).splitlines()
        known = next((line.split(maxsplit=1)[1] for line in lines if line.strip().startswith("known")), "none")
        yield Fault(key, f"{lines[0]} Known: {known}"), ()
