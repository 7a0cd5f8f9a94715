"""Settings of LoRA, checked before a host is touched: which are supported, and which layers and ranks they mean.

Settings may come from a stranger's file. So peft is handed nothing that was not looked at first: no setting that this
library does not know, no rank beyond reason, and no regular expression. Those are matched here, against a clock, and
peft gets the names of the layers that they mean.
"""

from __future__ import annotations

import copy
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

import regex
from torch import Tensor, nn

from parrot_adapters.errors import CheckpointError, ConfigError, explain, suggest
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.limits import limit

__all__ = ["PEFT_PREFIX", "LoraPlan", "checked_config", "mistyped_arguments", "plan_lora", "unknown_arguments"]

PEFT_PREFIX = "base_model.model."  # what peft puts before a host's parameter names on disk
LARGEST = 1e30  # a factor beyond it overflows float32
HARMLESS_INITS = (True, False, "gaussian", "orthogonal")  # others (pissa, olora, ...) change the host's weights
# Every other setting of LoraConfig reaches beyond layers put beside the host's, is ignored by peft with our targets, or
# is newer than this library: it has to be left at its default.
COMPUTED = (
    *("r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "rank_pattern", "alpha_pattern"),
    *("bias", "init_lora_weights", "fan_in_fan_out", "use_rslora", "use_dora", "lora_bias"),
)
ORIGIN = ("task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision")
SUPPORTED = (*COMPUTED, *ORIGIN, "inference_mode", "runtime_config")


def unknown_arguments(given: Mapping[str, Any]) -> dict[str, str]:
    """The arguments that LoraConfig does not take, each with a suggestion (or an empty string)."""
    known = list(_lora_fields())
    return {name: suggest(str(name), known) for name in given if name not in known}


def mistyped_arguments(given: Mapping[str, Any]) -> dict[str, str]:
    """The arguments whose values are none that LoraConfig means (it hardly looks), each with a sentence."""
    return {
        name: f"{rule}, given {_short(given[name])}"
        for name, (rule, holds) in _rules().items()
        if name in given and not holds(given[name])
    }


def _rules() -> dict[str, tuple[str, Callable[[Any], bool]]]:
    """What the value of a setting has to be, in words and as a function."""
    switches = ("fan_in_fan_out", "use_rslora", "use_dora", "lora_bias", "inference_mode")
    most = limit("lora_rank")
    rank = (f"must be a whole number of at least 1, and at most {most:,}", _is_rank)
    names = ("must be text or a list of texts", _is_names)
    return {
        **{name: ("must be true or false", lambda value: isinstance(value, bool)) for name in switches},
        "r": rank,
        "lora_alpha": ("must be a number", _is_number),
        "lora_dropout": ("must be a number from 0 to below 1", lambda value: _is_number(value) and 0 <= value < 1),
        "target_modules": names,
        "exclude_modules": names,
        "bias": ("must be text", lambda value: isinstance(value, str)),
        "init_lora_weights": ("must be text, true or false", lambda value: isinstance(value, str | bool)),
        "rank_pattern": (f"must map texts to ranks: each {rank[0]}", lambda value: _is_pattern(value, _is_rank)),
        "alpha_pattern": ("must map texts to numbers", lambda value: _is_pattern(value, _is_number)),
        **{name: ("must be text", lambda value: value is None or isinstance(value, str)) for name in ORIGIN},
        "auto_mapping": ("must be a mapping", lambda value: value is None or isinstance(value, Mapping)),
        "runtime_config": ("must be peft's", _is_runtime),
    }


def _is_runtime(value: Any) -> bool:
    from peft import LoraRuntimeConfig

    return isinstance(value, LoraRuntimeConfig)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _is_rank(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= limit("lora_rank")


def _is_names(value: Any) -> bool:
    several = isinstance(value, list | tuple | set) and all(isinstance(name, str) for name in value)
    return value is None or isinstance(value, str) or several


def _is_pattern(value: Any, holds: Callable[[Any], bool]) -> bool:
    if value is None:
        return True
    return isinstance(value, Mapping) and all(isinstance(key, str) and holds(each) for key, each in value.items())


def _short(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**30:
        return f"a number of about {int(math.log10(abs(value)))} digits"  # Python writes no more than 4,300
    try:
        return repr(value)[:200]
    except ValueError:
        return f"a {type(value).__name__}"


@dataclass(frozen=True)
class LoraPlan:
    """LoRA that can be put on a host: everything that can be refused has been.

    Attributes:
        config: The ``peft.LoraConfig``; ``target_modules`` is a regular expression over the host's module names.
        ranks: Rank of each layer that gets LoRA, by its full name in the host.
        alphas: Alpha of those layers for which ``alpha_pattern`` has one, by name.
    """

    config: Any
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]

    def for_peft(self) -> Any:
        """A ``LoraConfig`` that means the same layers, ranks and alphas by their names alone."""
        config = copy.deepcopy(self.config)
        config.target_modules = _any_of(self.ranks)
        config.exclude_modules = None
        config.rank_pattern = _by_value({name: rank for name, rank in self.ranks.items() if rank != config.r})
        config.alpha_pattern = _by_value(self.alphas)
        return config

    def require_weights(self, state: Mapping[str, Tensor]) -> None:
        """Refuse stored weights of other layers or ranks, before layers of this size are made.

        Args:
            state: LoRA weights by the names they have in a peft directory.

        Raises:
            CheckpointError: They do not belong to these settings.
        """
        stored: dict[str, int] = {}
        for name, value in state.items():
            layer, found, rest = name.removeprefix(PEFT_PREFIX).partition(".lora_")
            if found and rest.split(".")[0] in ("A", "embedding_A") and value.ndim:
                stored[layer] = value.shape[0]
        other = [
            f"{name}: {stored.get(name, 'nothing')} in the file, rank {self.ranks.get(name, 'none')} in its config"
            for name in sorted(stored.keys() | self.ranks.keys())
            if stored.get(name) != self.ranks.get(name)
        ]
        if other:
            raise CheckpointError(explain("llm_lora/ does not fit this host.", differing="; ".join(other[:5])))


def checked_config(given: Any) -> Any:
    """A ``peft.LoraConfig`` of plain LoRA with possible values; peft sees none of it before it was checked.

    Args:
        given: A ``peft.LoraConfig`` or a mapping of its arguments.

    Raises:
        ConfigError: Not plain LoRA, unknown names or impossible values.
    """
    from peft import LoraConfig

    if not isinstance(given, Mapping | LoraConfig):
        raise ConfigError(f"lora must be a peft.LoraConfig or a mapping of its arguments, not {type(given).__name__}")
    settings = given if isinstance(given, Mapping) else {name: getattr(given, name) for name in _lora_fields()}
    faults = {name: f"unknown.{near}" for name, near in unknown_arguments(settings).items()}
    if faults := faults | mistyped_arguments(settings):
        because = {str(name)[:80]: what for name, what in faults.items()}
        raise ConfigError(explain("lora cannot be built from these arguments.", **because))
    _refuse_what_changes_the_host(settings)
    try:
        config = LoraConfig(**settings) if isinstance(given, Mapping) else copy.deepcopy(given)
    except Exception as error:  # peft has many kinds
        raise ConfigError(explain("lora cannot be built from these arguments.", peft_says=error)) from error
    return config


def plan_lora(parts: HostParts, given: Any) -> LoraPlan:
    """Check settings of LoRA against a host, which is left alone.

    Args:
        parts: The host; its language model is known.
        given: A ``peft.LoraConfig`` or a mapping of its arguments.

    Raises:
        ConfigError: Not plain LoRA, impossible values, or targets that lie outside the language model or do not exist.
    """
    config = checked_config(given)
    clock = _Clock(limit("pattern_seconds"))
    config.target_modules = _targets(parts, config.target_modules, clock)
    names = [name for name, _ in parts.outer.named_modules()]
    excluded = _excluded(names, config.exclude_modules, clock)
    chosen = [name for name in clock.matching(config.target_modules, names, "target_modules") if name not in excluded]
    if not chosen:
        raise ConfigError(
            explain("lora found nothing to adapt.", target_modules=_short(config.target_modules), to_do="name layers")
        )
    ranks = dict.fromkeys(chosen, int(config.r)) | clock.assigned(config.rank_pattern or {}, chosen, "rank_pattern")
    return LoraPlan(config, ranks, clock.assigned(config.alpha_pattern or {}, chosen, "alpha_pattern"))


def _lora_fields() -> dict[str, Field[Any]]:
    from peft import LoraConfig

    return {f.name: f for f in fields(LoraConfig) if f.init}


def _refuse_what_changes_the_host(settings: Mapping[str, Any]) -> None:
    """Only layers beside the host's own can be taken off bit for bit."""
    known = _lora_fields()
    beyond = [name for name in settings if name not in SUPPORTED and not _is_default(settings[name], known[name])]
    if settings.get("bias", "none") != "none":
        beyond.append(f"bias={settings['bias']!r}")
    if (init := settings.get("init_lora_weights", True)) not in HARMLESS_INITS:
        beyond.append(f"init_lora_weights={init!r}")
    if beyond:
        raise ConfigError(
            explain(
                f"lora with {', '.join(beyond)} cannot be taken off bit for bit, or not be confined to some layers.",
                to_do="leave it unset; to choose layers, give target_modules as a regular expression over module names",
                known_init_lora_weights=", ".join(map(str, HARMLESS_INITS)),
            )
        )


def _is_default(value: Any, setting: Field[Any]) -> bool:
    """Whether a setting is what it is when nothing is said; ``0`` and ``[]`` are not None, and peft takes them up."""
    made = setting.default_factory() if setting.default_factory is not MISSING else setting.default
    return bool(type(value) is type(made) and value == made)


def _targets(parts: HostParts, wanted: Any, clock: _Clock) -> str:
    """The layers to adapt as a regular expression over the host's module names."""
    prefix = f"{parts.base_prefix}{parts.language_model}"
    language_model = parts.module(parts.language_model)
    assert language_model is not None
    linear = [name for name, module in language_model.named_modules() if isinstance(module, nn.Linear)]
    known = sorted({name.rpartition(".")[2] for name in linear})
    if isinstance(wanted, str) and wanted != "all-linear":
        names = [name for name, _ in parts.outer.named_modules()]
        matched = clock.matching(wanted, names, "target_modules")
        if outside := [name for name in matched if not name.startswith(f"{prefix}.")]:
            raise ConfigError(
                explain(
                    f"lora target_modules={_short(wanted)} reaches outside the language model.",
                    outside=", ".join(outside[:3]),
                    to_do=f"begin the expression with {re.escape(prefix)!r}",
                )
            )
        return wanted
    suffixes = known if wanted is None or wanted == "all-linear" else sorted(wanted)
    ends = {end for name in linear for end in _ends(name)}
    if missing := [suffix for suffix in suffixes if suffix not in ends]:
        raise ConfigError(
            explain(
                f"lora target {', '.join(missing[:10])} is no linear layer of the language model.",
                known=", ".join(known),
            )
        )
    return rf"{re.escape(prefix)}\.(?:.*\.)?(?:{'|'.join(map(re.escape, suffixes))})"


def _excluded(names: Sequence[str], unwanted: Any, clock: _Clock) -> set[str]:
    """What peft leaves out: a string is a regular expression, of a list each item is the end of a path."""
    if not unwanted:
        return set()
    if isinstance(unwanted, str):
        return set(clock.matching(unwanted, names, "exclude_modules"))
    ends = set(unwanted)
    return {name for name in names if not ends.isdisjoint(_ends(name))}


def _ends(name: str) -> list[str]:
    """``a.b.c``: itself, ``b.c`` and ``c``."""
    levels = name.split(".")
    return [".".join(levels[at:]) for at in range(len(levels))]


def _any_of(names: Iterable[str]) -> str:
    return "|".join(map(re.escape, names))


def _by_value(values: Mapping[str, Any]) -> dict[str, Any]:
    """As peft takes them, one regular expression for all names of one value."""
    return {
        _any_of(name for name, each in values.items() if each == value): value for value in sorted(set(values.values()))
    }


class _Clock:
    """Regular expressions of a stranger, matched against many names within some seconds altogether.

    Args:
        seconds: The time that all of them have.
    """

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def matching(self, pattern: str, names: Iterable[str], setting: str) -> list[str]:
        """The names that an expression means as a whole.

        Raises:
            ConfigError: It is none, or does not come to an end.
        """
        if len(pattern) > limit("pattern_letters"):
            raise self._refused(pattern, setting, f"is longer than {limit('pattern_letters'):,} letters")
        try:
            compiled = regex.compile(pattern, cache_pattern=False)
            return [name for name in names if compiled.fullmatch(name, timeout=self._left())]
        except TimeoutError as error:
            raise self._refused(pattern, setting, "takes too long: something in it can match in many ways") from error
        except (regex.error, ValueError, OverflowError, RecursionError, MemoryError) as error:
            raise self._refused(pattern, setting, f"is no regular expression ({error})") from error

    def assigned(self, values: Mapping[str, Any], names: Sequence[str], setting: str) -> dict[str, Any]:
        """As peft reads ``rank_pattern``: each key means ends of names, and the first that does so wins."""
        found: dict[str, Any] = {}
        for key, value in values.items():
            rest = [name for name in names if name not in found]
            found |= dict.fromkeys(self.matching(rf"(?:.*\.)?(?:{key})", rest, setting), value)
        return found

    def _left(self) -> float:
        return max(self.end - time.monotonic(), 1e-3)

    def _refused(self, pattern: str, setting: str, why: str) -> ConfigError:
        to_do = "give a list of layer names, or a simpler expression; PARROT_LIMIT_PATTERN_SECONDS gives it more time"
        return ConfigError(explain(f"lora {setting} {why}.", given=_short(pattern), to_do=to_do))
