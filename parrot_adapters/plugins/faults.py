"""Faults of plugins: whose they are, and what is nobody's fault."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from parrot_adapters.errors import ParrotError, ParrotWarning, PluginError, explain, message

__all__ = ["SLOW_AFTER", "blaming", "described", "named_when_slow", "passes_through"]

SLOW_AFTER = 10.0  # seconds of import, after which a plugin is named


def passes_through(error: BaseException) -> bool:
    """Whether an error is the user's own interruption (or Python closing a generator) rather than a plugin's fault.

    Everything else a plugin raises is its fault, ``SystemExit`` and other ``BaseException`` included: a plugin does not
    decide that the program ends.

    Args:
        error: Exception that a plugin's code raised.
    """
    return isinstance(error, KeyboardInterrupt | GeneratorExit)


def described(error: BaseException | str) -> str:
    """An error in a line: type and message; the message alone where the library wrote it."""
    text = str(error) if isinstance(error, str | PluginError) else f"{type(error).__name__}: {message(error)}"
    first, *facts = text.splitlines() or [""]
    return first + "".join(f" ({' '.join(fact.split())})" for fact in facts if fact.strip())


@contextmanager
def blaming(what: object, **facts: object) -> Iterator[None]:
    """Turn whatever a plugin's code raises inside the block into a PluginError; the library's errors pass as they are.

    Args:
        what: Sentence that names the plugin and what it could not do.
        facts: Further lines of the message, by name.
    """
    try:
        yield
    except ParrotError:
        raise
    except BaseException as error:
        if passes_through(error):
            raise
        raise PluginError(explain(str(what), because=described(error), **facts)) from error


@contextmanager
def named_when_slow(who: object, seconds: float = SLOW_AFTER) -> Iterator[None]:
    """Warn, naming a plugin, as soon as its import takes longer than so many seconds; it may never end."""
    message = f"importing the plugin {who} takes more than {seconds:g} s; PARROT_PLUGINS_BLOCK leaves it out"
    timer = threading.Timer(seconds, _warn, (ParrotWarning(message),))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _warn(warning: ParrotWarning) -> None:
    """Warn from a thread that waits beside the import; an error raised here, as filters may ask, would stop nothing."""
    try:
        warnings.warn(warning, stacklevel=2)
    except ParrotWarning:
        print(f"{type(warning).__name__}: {warning}", file=sys.stderr, flush=True)
