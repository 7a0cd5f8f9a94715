"""What a check is, how it is run over drawn batches, and how its failure reads.

A check is a function of a *subject* (a factory with its traits) that raises AssertionError where a property
does not hold. The name of the function names the check; the first line of its docstring states the property.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import Flaky
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from parrot_adapters.testing.batches import describe

__all__ = [
    "Check",
    "Factory",
    "Outcome",
    "Skipped",
    "agree",
    "checks_of",
    "examples",
    "for_all",
    "run_checks",
    "seeded",
]

Factory = Callable[..., Any]
Case = TypeVar("Case")
_EXAMPLES: ContextVar[int] = ContextVar("parrot_testing_examples", default=30)

SETTINGS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=False,
    report_multiple_bugs=False,
    verbosity=Verbosity.quiet,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


class Skipped(Exception):
    """Raised by a check that does not apply to its subject; the text says why."""


@dataclass(frozen=True)
class Check:
    """One conformance check, as a callable: ``check(factory)`` raises AssertionError if it fails.

    Attributes:
        name: Name of the check; every message begins with it.
        states: The property that must hold, in one sentence.
        test: Function of a subject that raises AssertionError where the property does not hold.
        subject: Function ``(factory, traits) -> subject``.
        traits: What the component declares of itself, as ``RouterTraits`` or ``ExpertTraits`` or a mapping of their
            fields; None (default) reads it off the factory's ``conformance``.
    """

    name: str
    states: str
    test: Callable[[Any], None]
    subject: Callable[[Factory, Any], Any]
    traits: Any = None

    def __call__(self, factory: Factory) -> None:
        """Raise AssertionError if the check fails; a check that does not apply passes."""
        outcome = self.outcome(factory)
        if outcome.error is not None:
            raise AssertionError(f"{self.name}: {outcome.error}") from outcome.cause

    def outcome(self, factory: Factory) -> Outcome:
        """As a call, with the result returned rather than raised."""
        try:
            with seeded(0), _one_thread():
                self.test(self.subject(factory, self.traits))
        except Skipped as reason:
            return Outcome(self, skipped=str(reason))
        except Exception as error:
            cause = error.__cause__ if isinstance(error, _Counterexample) else error
            return Outcome(self, error=f"required: {self.states}\n  {_text(error)}", cause=cause)
        return Outcome(self)


@dataclass(frozen=True)
class Outcome:
    """What came of one check.

    Attributes:
        check: The check that was tried.
        error: What went wrong with the smallest batch found; None (default) where the check passed.
        skipped: Why the check does not apply; None (default) where it does.
        cause: Exception behind ``error``, or None (default).
    """

    check: Check
    error: str | None = None
    skipped: str | None = None
    cause: BaseException | None = None


def checks_of(subject: Callable[[Factory, Any], Any], tests: Iterable[Callable[[Any], None]]) -> tuple[Check, ...]:
    """Checks from functions: the name is the function's, what it states is its docstring's first line."""
    return tuple(Check(t.__name__, (t.__doc__ or "").strip().splitlines()[0], t, subject) for t in tests)


def run_checks(checks: Sequence[Check], factory: Factory) -> Iterator[Outcome]:
    """Try checks on one component, one after the other.

    Args:
        checks: Conformance checks, for example ``ROUTER_CHECKS``.
        factory: Factory of the router or the expert bank, as :func:`check_router` and :func:`check_expert` take it.

    Yields:
        The outcome of each check as soon as it is known.
    """
    for check in checks:
        yield check.outcome(factory)


def for_all(cases: SearchStrategy[Case], holds: Callable[[Case], None], *, also: Sequence[Case] = ()) -> None:
    """Try ``holds`` on drawn cases, then on some fixed ones.

    Args:
        cases: a failure among them is shrunk, and the smallest described.
        holds: raises AssertionError where it does not.
        also: tried last, as they are: what drawn cases are too small for.

    Raises:
        AssertionError: it failed on a case.
    """

    @settings(SETTINGS, max_examples=_EXAMPLES.get())
    @given(cases)
    def run(case: Case) -> None:
        _hold(holds, case, "smallest batch found")

    try:
        run()
    except Flaky as error:
        seen = next(iter(getattr(error, "exceptions", ())), error)
        raise AssertionError(f"a batch failed once, and not when it was tried again.\n  {_text(seen)}") from error
    for case in also:
        _hold(holds, case, "on a fixed batch")


def _hold(holds: Callable[[Case], None], case: Case, which: str) -> None:
    try:
        with seeded(0):
            holds(case)
    except Skipped:
        raise
    except Exception as error:
        raise _Counterexample(f"{_text(error)}\n  {which}: {describe(case)}") from error


@contextmanager
def examples(count: int) -> Iterator[None]:
    """Set, within a ``with`` block, on how many drawn batches each check is tried: fewer is quicker, more is surer.

    Args:
        count: Number of batches, at least 1; outside such a block it is 30.
    """
    token = _EXAMPLES.set(count)
    try:
        yield
    finally:
        _EXAMPLES.reset(token)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The random states of torch (CPU) and Python set for a while, and put back."""
    generator, python = torch.default_generator, random.getstate()
    state = generator.get_state()
    generator.manual_seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        generator.set_state(state)
        random.setstate(python)


def agree(
    found: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    *,
    found_is: str,
    wanted_is: str,
    rtol: float = 1e-4,
    atol: float = 1e-5,
    only: Iterable[str] | None = None,
) -> None:
    """AssertionError unless two named sets of tensors agree, saying which one differs and how.

    Args:
        found: by name.
        wanted: by name.
        found_is: what made ``found``, e.g. ``"alone"``.
        wanted_is: what made ``wanted``.
        rtol: relative to the largest finite value of ``wanted``.
        atol: absolute.
        only: names to compare; None for all.
    """
    names = list(wanted if only is None else only)
    missing = [name for name in names if (name in found) != (name in wanted)]
    if missing:
        raise AssertionError(f"{', '.join(missing)} given {wanted_is} or {found_is}, but not both")
    for name in names:
        if name not in wanted:
            continue
        a, b = found[name].detach().float(), wanted[name].detach().float()
        if a.shape != b.shape:
            raise AssertionError(f"{name} has shape {tuple(a.shape)} {found_is}, {tuple(b.shape)} {wanted_is}")
        finite = b[b.isfinite()]
        allowed = atol + rtol * float(finite.abs().max() if finite.numel() else 0.0)
        if not torch.allclose(a, b, rtol=0.0, atol=allowed):
            difference = (a - b).abs().nan_to_num(nan=float("inf"))
            row = int(difference.reshape(a.shape[0], -1).amax(-1).argmax()) if a.ndim > 1 else 0
            shown_a, shown_b = (_numbers(x[row] if x.ndim > 1 else x) for x in (a, b))
            raise AssertionError(
                f"{name} differ by {float(difference.max()):.3g} (allowed {allowed:.1g}):"
                f"\n    {found_is}: {shown_a}\n    {wanted_is}: {shown_b}"
            )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Batches here are tiny: more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Counterexample(AssertionError):
    pass


def _numbers(row: Tensor, most: int = 6) -> str:
    shown = ", ".join(f"{x:.4g}" for x in row.flatten()[:most].tolist())
    return f"[{shown}{', ...' if row.numel() > most else ''}]"


def _text(error: BaseException) -> str:
    if isinstance(error, AssertionError):
        return str(error) or "assertion failed"
    return f"it raised {type(error).__name__}: {error}"
