"""What must not change a router's answer: neighbours, order, padding (letters: ``parrot_adapters.core.types``)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from parrot_adapters.core import RoutingInputs
from parrot_adapters.testing.batches import (
    fill_masked,
    garbage,
    insert_columns,
    item_alone,
    other_neighbours,
    reorder_rows,
    take_items,
)
from parrot_adapters.testing.checks import Skipped, for_all
from parrot_adapters.testing.checks import agree as agree_within
from parrot_adapters.testing.router_subject import RouterSubject

__all__ = [
    "alone_equals_batch",
    "alone_equals_batch_in_training",
    "item_order",
    "masked_values",
    "padding_length",
    "placeholders",
    "prompt_order",
]

# The same numbers, added up in another order at most: a thousandth of a neighbour must not pass for rounding.
agree = functools.partial(agree_within, rtol=3e-5, atol=3e-6)


def alone_equals_batch(subject: RouterSubject) -> None:
    """An item is routed the same alone as in any batch."""
    if not subject.traits.independent_items:
        raise Skipped("declared: items compete across the batch (independent_items=False)")

    def holds(inputs: RoutingInputs) -> None:
        together = subject.answer(inputs)
        for item in range(inputs.offsets.numel() - 1):
            alone = subject.answer(item_alone(inputs, item))
            batch = subject.of_items(together, inputs, [item])
            agree(alone, batch, found_is=f"item {item} alone", wanted_is=f"item {item} in the batch")

    for_all(subject.cases(), holds, also=[subject.crowd()])


def alone_equals_batch_in_training(subject: RouterSubject) -> None:
    """In training, too, an item's routing does not depend on the other items and prompts of its batch."""
    t = subject.traits
    declared = t.independent_items if t.independent_in_training is None else t.independent_in_training
    if not declared:
        raise Skipped("declared: items compete across the batch in training")

    def holds(inputs: RoutingInputs) -> None:
        # An item alone would draw other noise; among neighbours of other values and the same shapes it draws the same.
        wanted = subject.answer(inputs, subject.fresh().train())
        found = subject.answer(other_neighbours(inputs, 0), subject.fresh().train())
        agree(
            subject.of_items(found, inputs, [0]),
            subject.of_items(wanted, inputs, [0]),
            found_is="item 0 among other neighbours",
            wanted_is="item 0",
        )

    for_all(subject.cases(), holds, also=[subject.crowd()])


def item_order(subject: RouterSubject) -> None:
    """Items in another order are routed the same, in that order."""

    def holds(case: tuple[RoutingInputs, list[int]]) -> None:
        inputs, priorities = case
        order = _order(priorities, inputs.offsets.numel() - 1)
        moved = subject.answer(take_items(inputs, order))
        wanted = subject.of_items(subject.answer(inputs), inputs, order)
        agree(moved, wanted, found_is="reordered", wanted_is="as they were")

    backwards = list(range(subject.crowd().rows.numel()))[::-1]
    for_all(st.tuples(subject.cases(), _priorities()), holds, also=[(subject.crowd(), backwards)])


def prompt_order(subject: RouterSubject) -> None:
    """Prompts in another order, each item still with its own, change nothing."""

    def holds(case: tuple[RoutingInputs, list[int]]) -> None:
        inputs, priorities = case
        moved = subject.answer(reorder_rows(inputs, _order(priorities, inputs.text.shape[0])))
        agree(moved, subject.answer(inputs), found_is="rows reordered", wanted_is="as they were")

    for_all(st.tuples(subject.cases(), _priorities()), holds)


def masked_values(subject: RouterSubject) -> None:
    """Whatever stands where ``text_mask`` is False (padding, placeholders, special tokens) changes nothing."""

    def holds(case: tuple[RoutingInputs, float]) -> None:
        inputs, size = case
        noisy = fill_masked(inputs, garbage(inputs, size))
        agree(
            subject.answer(noisy),
            subject.answer(inputs),
            found_is="other values under the mask",
            wanted_is="as it was",
        )

    for_all(st.tuples(subject.cases(), st.sampled_from((1.0, 99.0, 1e4))), holds)


def padding_length(subject: RouterSubject) -> None:
    """More padding, on the left or on the right, changes nothing."""

    def holds(case: tuple[RoutingInputs, int]) -> None:
        inputs, count = case
        wanted = subject.answer(inputs)
        for side, at in (("left", 0), ("right", inputs.text.shape[1])):
            agree(
                subject.answer(insert_columns(inputs, at, count)),
                wanted,
                found_is=f"{count} more columns of padding on the {side}",
                wanted_is="as it was",
            )

    for_all(st.tuples(subject.cases(), st.integers(1, 4)), holds)


def placeholders(subject: RouterSubject) -> None:
    """Image placeholders between the words of a prompt change nothing."""

    def holds(case: tuple[RoutingInputs, int]) -> None:
        inputs, count = case
        wanted = subject.answer(inputs)
        for at in range(1, inputs.text.shape[1]):  # every gap: a drawn one would mostly miss the words
            agree(
                subject.answer(insert_columns(inputs, at, count)),
                wanted,
                found_is=f"{count} placeholders before column {at}",
                wanted_is="as it was",
            )

    for_all(st.tuples(subject.cases(), st.integers(1, 4)), holds)


def _priorities() -> SearchStrategy[list[int]]:
    return st.permutations(range(6))


def _order(priorities: Sequence[int], count: int) -> list[int]:
    return [p for p in priorities if p < count]
