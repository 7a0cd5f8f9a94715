"""A router computes in float32, whatever the host's dtype; a softmax in half precision is a known defect elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from hypothesis import strategies as st
from torch import Tensor

from parrot_adapters.core import RoutingInputs
from parrot_adapters.testing.batches import cast
from parrot_adapters.testing.checks import Skipped, agree, for_all
from parrot_adapters.testing.router_subject import RouterSubject
from parrot_adapters.testing.strategies import HALF_DTYPES

__all__ = ["autocast", "float32_inside", "half_module", "softmax_in_float32"]

COARSE = 64


def softmax_in_float32(subject: RouterSubject) -> None:
    """For float32 inputs the weights are float32, and no digit of them is lost to a softmax in half precision."""

    def holds(inputs: RoutingInputs) -> None:
        found = subject.answer(inputs)
        weights = found["weights"].detach()
        assert weights.dtype in (torch.float32, torch.float64), f"weights are {weights.dtype} for float32 inputs"
        difference = float((weights - found["logits"].detach().softmax(-1)).abs().max())
        rounded = [dtype for dtype in HALF_DTYPES if torch.equal(weights, weights.to(dtype).to(weights.dtype))]
        plain = torch.equal(weights, (weights * COARSE).round() / COARSE)  # 0, 1, 1/4: exact in any precision
        # Nearly but not quite the softmax of the logits, and without a digit that half precision could not hold.
        assert not (1e-6 < difference < 2e-2 and rounded and not plain), (
            f"the softmax was taken in {_short(rounded[0])}: weights differ from softmax(logits) by {difference:.2g}"
        )

    for_all(subject.cases(), holds)


def float32_inside(subject: RouterSubject) -> None:
    """For half-precision inputs it computes as for the same numbers in float32, softmax included."""

    def holds(case: tuple[RoutingInputs, torch.dtype, bool]) -> None:
        inputs, dtype, also_summary = case
        summary = dtype if also_summary else torch.float32
        half = cast(inputs, dtype, summary=summary)
        found = subject.answer(half)
        assert found["logits"].dtype == torch.float32, f"logits are {found['logits'].dtype} for {dtype} inputs"
        wanted = subject.answer(cast(half, torch.float32))
        _same_numbers(found, wanted, found_is=f"in {_short(dtype)}", wanted_is="same numbers in float32")

    for_all(st.tuples(subject.cases(), st.sampled_from(HALF_DTYPES), st.booleans()), holds)


def autocast(subject: RouterSubject) -> None:
    """Under bfloat16 autocast it runs and gives finite weights. (The layer switches autocast off around a router.)"""

    def holds(inputs: RoutingInputs) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            weights = subject.answer(inputs)["weights"].detach().float()
        assert bool(weights.isfinite().all()), "weights are not finite under autocast"

    for_all(subject.cases(), holds)


def half_module(subject: RouterSubject) -> None:
    """Cast to bfloat16 itself (``host.bfloat16()``), it computes in float32 with its rounded parameters."""
    if subject.traits.casts is False:
        raise Skipped("it does not run when cast to half precision (declare casts=True to demand that it does)")

    def holds(inputs: RoutingInputs) -> None:
        half = cast(inputs, torch.bfloat16, summary=torch.float32)
        found = subject.answer(half, subject.fresh().to(torch.bfloat16))
        wanted = subject.answer(cast(half, torch.float32), subject.fresh().to(torch.bfloat16).float())
        _same_numbers(found, wanted, found_is="cast to bfloat16", wanted_is="same numbers in float32")

    for_all(subject.cases(), holds)


def _same_numbers(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, found_is: str, wanted_is: str) -> None:
    agree(found, wanted, found_is=found_is, wanted_is=wanted_is, only=["logits"])
    dtype = found["weights"].dtype
    if dtype not in HALF_DTYPES:
        agree(found, wanted, found_is=found_is, wanted_is=wanted_is, only=["weights"])
        return
    # Weights may be handed on in the host's dtype, but then they are float32 weights rounded once.
    exact, given = wanted["weights"].detach().float(), found["weights"].detach().float()
    excess = float(((given - exact).abs() - (exact.to(dtype).float() - exact).abs()).max())
    assert excess < 2e-5, (
        f"the softmax was taken in {_short(dtype)}: weights {found_is} are {excess:.2g} farther from those of the "
        f"{wanted_is} than rounding explains"
    )


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
