"""Every error the library raises on purpose, in one tree.

A message says what happened, what was given, what exists, and what to do. Build the longer ones with
:func:`explain` so that they all read alike.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

__all__ = [
    "AlreadyAttachedError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "HostError",
    "HostMismatchError",
    "MissingDependencyError",
    "ParrotError",
    "ParrotWarning",
    "PlaceholderError",
    "PluginError",
    "RoutingError",
    "SelfTestError",
    "TrainingError",
    "UnknownNameError",
    "explain",
    "first_line",
    "suggest",
    "writing",
]


class ParrotError(Exception):
    """Root of every error that parrot_adapters raises on purpose."""


class ConfigError(ParrotError, ValueError):
    """A setting has an unknown name or an impossible value."""


class UnknownNameError(ConfigError):
    """A router, expert, summary, host ... was asked for by a name that nobody registered."""


class DataError(ParrotError, ValueError):
    """A training file, or a sample of one, cannot be used; the message names file, sample and reason."""


class PluginError(ParrotError):
    """A plugin failed to load, is missing, or clashes with another one."""


class MissingDependencyError(ParrotError, ImportError):
    """An optional package is needed for this and is not installed."""


class HostError(ParrotError):
    """The model cannot carry an adapter, or was called in a way the adapter cannot follow."""


class AlreadyAttachedError(HostError):
    """The model carries an adapter already."""


class PlaceholderError(HostError, ValueError):
    """The image placeholders in the prompt do not match the visual tokens of the images."""


class SelfTestError(HostError):
    """The adapter's effect on this host is not what it should be; see :func:`parrot_adapters.self_test`."""


class RoutingError(ParrotError, ValueError):
    """A router or expert returned something of the wrong shape or type."""


class CheckpointError(ParrotError):
    """An adapter directory is incomplete, damaged, or not an adapter directory."""


class HostMismatchError(CheckpointError):
    """The adapter was made for another host (architecture, widths or weights)."""


class TrainingError(ParrotError):
    """A training run cannot go on; its last checkpoint is intact."""


class ParrotWarning(UserWarning):
    """Something works but may not be what was meant."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Ask, in a message, whether the nearest known name was meant: `` Did you mean 'x'?``, or the empty string where
    none is near.

    Args:
        name: Name that is not known.
        known: Names that are.
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def explain(what: str, **facts: object) -> str:
    """Write an error message: one sentence, then an aligned line for each fact that is not None.

    Args:
        what: Sentence that says what happened.
        facts: What was given, what exists and the like, by name; what the reader can do is called ``to_do`` everywhere.
            A name that is a Python keyword takes an underscore (``in_``).

    >>> print(explain("no router named 'sinkhorm'.", known="text-guided", to_do="pip install ..."))
    no router named 'sinkhorm'.
      known  text-guided
      to do  pip install ...
    """
    lines: Mapping[str, object] = {k.replace("_", " "): v for k, v in facts.items() if v is not None}
    width = max((len(k) for k in lines), default=0)
    return "\n".join([what, *(f"  {k:<{width}}  {v}" for k, v in lines.items())])


def first_line(error: BaseException) -> str:
    """Say in one line what an error says; its class where it says nothing.

    Args:
        error: Any exception.
    """
    return (message(error).strip() or type(error).__name__).splitlines()[0]


def message(error: BaseException) -> str:
    """What an error says; nothing where it fails to say it.

    Args:
        error: Any exception, of a stranger's class too.
    """
    try:
        return str(error)
    except Exception:
        return ""


@contextmanager
def writing(place: object, error: type[ParrotError] = CheckpointError) -> Iterator[None]:
    """Make an error of the operating system (a full disk, a name too long, no permission) one of the library's.

    Args:
        place: File or directory that the block writes; the message names it.
        error: What is raised instead (default :class:`CheckpointError`).

    Raises:
        ParrotError: Of the kind of ``error``, where the block raised ``OSError``.
    """
    try:
        yield
    except OSError as cause:
        raise error(explain(f"cannot write {place}.", because=cause)) from cause
