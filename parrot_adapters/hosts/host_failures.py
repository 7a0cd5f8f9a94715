"""What a host's own code raises while it computes, as an error of the library that says what the host was given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb

import torch

from parrot_adapters.errors import ParrotError, explain, first_line

__all__ = ["failures_named", "host_says", "raised_at"]


def host_says(error: BaseException) -> str:
    """An error in one line, with its class: many say nothing without it (``KeyError: 'cache'``)."""
    said = first_line(error)
    return said if said == type(error).__name__ else f"{type(error).__name__}: {said}"


def raised_at(error: BaseException) -> str | None:
    """The line of code that raised an error; None of one that was never raised."""
    frames = extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name} line {frames[-1].lineno}, in {frames[-1].name}" if frames else None


@contextmanager
def failures_named(kind: type[ParrotError], what: str, given: Mapping[str, object], **more: object) -> Iterator[None]:
    """Say what a host was given when the block fails in its code.

    What the library itself raises there stays what it is, with what was given added. Want of memory passes: who made
    the batch knows how to make a smaller one.

    Args:
        kind: Class of the error that is raised.
        what: Sentence that says what happened.
        given: What the host was given, by name.
        more: Further facts, behind the reason.

    Raises:
        ParrotError: Of this kind, the host's own error being its cause.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except ParrotError as error:
        error.args = (explain(str(error), **given),)
        raise
    except Exception as error:  # whatever a stranger's code raises
        facts = {"because": host_says(error), "raised_at": raised_at(error)}
        raise kind(explain(what, **given, **facts, **more)) from error
