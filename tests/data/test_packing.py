"""Packed rows hold what was to be packed, once each, in rows that are not too long and have little padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parrot_adapters.data import Mixture, PackedCollator, Rejects
from parrot_adapters.data.batch_order import cut, padding
from parrot_adapters.data.packing import SEGMENTS, balanced, pack, row_sizes, share_out
from parrot_adapters.data.settings import DataSettings, SourceSettings
from parrot_adapters.errors import ConfigError

LONGEST = 50
lengths = st.lists(st.integers(1, LONGEST), min_size=1, max_size=12)
limits = st.integers(LONGEST, 4 * LONGEST)


def padded(counts: list[int], side: str = "right") -> dict[str, Any]:
    """A batch of samples whose tokens are all different, as a collator makes it."""
    size, start = max(counts), 100
    batch = {"input_ids": torch.full((len(counts), size), 5)}
    batch |= {"attention_mask": torch.zeros(len(counts), size, dtype=torch.long)}
    batch |= {"labels": torch.full((len(counts), size), -100), "token_type_ids": torch.full((len(counts), size), 7)}
    for row, count in enumerate(counts):
        here = slice(size - count, size) if side == "left" else slice(count)
        batch["input_ids"][row, here] = torch.arange(start, start + count)
        batch["attention_mask"][row, here] = 1
        batch["labels"][row, here] = batch["input_ids"][row, here]
        batch["token_type_ids"][row, here] = row
        start += count
    return {**batch, "pixel_values": torch.randn(len(counts), size), "parrot_identities": [f"s{n}" for n in counts]}


# -- rows -------------------------------------------------------------------------------------------------------------


@given(counts=lengths, limit=limits, side=st.sampled_from(["left", "right"]))
@settings(deadline=None)
def test_every_token_is_there_once_and_in_order(counts: list[int], limit: int, side: str) -> None:
    batch = padded(counts, side)
    packed = pack(batch, limit)
    ids, segments = packed["input_ids"], packed[SEGMENTS]
    assert "attention_mask" not in packed
    assert ids.shape == segments.shape == packed["labels"].shape == packed["token_type_ids"].shape
    assert ids.shape[1] <= limit
    assert ids[segments >= 0].tolist() == list(range(100, 100 + sum(counts))), "samples in order, row by row"
    assert segments[segments >= 0].tolist() == [n for n, count in enumerate(counts) for _ in range(count)]
    assert (ids[segments < 0] == 5).all(), "filled as the processor fills"
    assert (packed["token_type_ids"][segments < 0] == 7).all(), "whatever has a value for each position"
    assert (packed["labels"][segments < 0] == -100).all()
    assert packed["token_type_ids"][segments >= 0].tolist() == segments[segments >= 0].tolist()
    for row in segments.tolist():
        real = [number for number in row if number >= 0]
        assert real, "no row is empty"
        assert row == real + [-1] * (len(row) - len(real)), "padding is behind"
    assert packed["pixel_values"] is batch["pixel_values"]
    assert packed["parrot_identities"] == batch["parrot_identities"]


@given(counts=lengths, limit=limits)
@settings(deadline=None)
def test_a_first_token_is_never_predicted_from_another_sample(counts: list[int], limit: int) -> None:
    packed = pack(padded(counts), limit)
    learned = packed["labels"][:, 1:] != -100
    assert (packed[SEGMENTS][:, 1:] == packed[SEGMENTS][:, :-1])[learned].all()
    assert int(learned.sum()) == sum(counts) - len(counts), "as many as when each has a row of its own"


@given(counts=lengths, limit=limits)
@settings(deadline=None)
def test_no_layout_of_neighbours_has_less_padding(counts: list[int], limit: int) -> None:
    """The oracle tries every way to cut the list."""

    def positions(rows: list[int]) -> int:
        return len(rows) * max(rows)

    def cuts(left: list[int]) -> Any:
        if not left:
            yield []
        for end in range(1, len(left) + 1):
            if sum(left[:end]) <= limit:
                for rest in cuts(left[end:]):
                    yield [sum(left[:end]), *rest]

    counts = counts[:8]
    found, every = row_sizes(counts, limit), list(cuts(counts))
    assert sum(share_out(counts, limit)) == len(counts)
    assert max(found) <= limit
    least = min(map(positions, every))
    assert positions(found) == least
    assert len(found) == max(len(rows) for rows in every if positions(rows) == least), (
        "short rows where it costs nothing"
    )


@given(counts=lengths, limit=limits)
@settings(deadline=None)
def test_a_balanced_order_holds_everything(counts: list[int], limit: int) -> None:
    assert sorted(balanced(counts, limit)) == list(range(len(counts)))


def test_a_balanced_order_has_less_padding() -> None:
    generator = torch.Generator().manual_seed(0)
    many = torch.randint(20, LONGEST + 1, (200, 8), generator=generator).tolist()

    def share(ordered: list[list[int]]) -> float:
        rows = [row_sizes(counts, 2 * LONGEST) for counts in ordered]
        return 1 - sum(map(sum, rows)) / sum(len(sizes) * max(sizes) for sizes in rows)

    assert share([[counts[i] for i in balanced(counts, 2 * LONGEST)] for counts in many]) < 0.6 * share(many)


def test_a_collator_is_packed() -> None:
    collator = PackedCollator(padded, 20)
    assert collator([3, 4, 9])[SEGMENTS].tolist() == pack(padded([3, 4, 9]), 20)[SEGMENTS].tolist()


def test_a_sample_that_is_too_long_by_itself_has_a_row_of_its_own() -> None:
    assert share_out([30, 4, 4], 10) == [1, 1, 1]
    assert pack(padded([30]), 10)["input_ids"].shape == (1, 30)


# -- micro-batches ----------------------------------------------------------------------------------------------------


class FakeSource:
    def __init__(self, counts: list[int]) -> None:
        self.settings, self.languages, self.path = SourceSettings("fake"), [None] * len(counts), Path("fake")
        self.counts = counts

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, position: int) -> Any:
        return self.counts[position]


def mixture(counts: list[int], **more: Any) -> Mixture:
    source = FakeSource(counts)
    more = {"max_length": LONGEST, "packing": True} | more
    made = Mixture([source], DataSettings((source.settings,), **more), seed=0, rejects=Rejects())  # type: ignore[list-item]
    made.measure(lambda count: count)  # type: ignore[arg-type, return-value]
    return made


many = st.lists(st.integers(1, LONGEST), min_size=1, max_size=60)
sizes, worlds = st.integers(2, 9), st.sampled_from([1, 2, 3])
budgets = st.sampled_from([None, LONGEST, 3 * LONGEST])


@given(counts=many, size=sizes, budget=budgets, epoch=st.integers(0, 2), world=worlds)
@settings(deadline=None)
def test_every_sample_of_an_epoch_comes_once_and_no_row_is_too_long(
    counts: list[int], size: int, budget: int | None, epoch: int, world: int
) -> None:
    made = mixture(counts, token_budget=budget)
    shares = [list(made.batches(size, epoch, rank=rank, world=world)) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1, "every process takes part in every step"
    dealt = [batch for turn in zip(*shares, strict=True) for batch in turn if batch]
    assert sorted(index for batch in dealt for index in batch) == list(range(len(counts)))
    assert dealt == [batch for batch in made.batches(size, epoch) if batch], "the same for any number of processes"
    for batch in dealt:
        assert len(batch) <= size
        assert budget is None or sum(counts[i] for i in batch) <= budget or len(batch) == 1
        packed = pack(padded([counts[i] for i in batch]), LONGEST)
        assert packed["input_ids"].shape[1] <= LONGEST
        assert packed[SEGMENTS].unique()[-len(batch) :].tolist() == list(range(len(batch)))


@given(counts=many, size=sizes, epoch=st.integers(0, 2))
@settings(deadline=None)
def test_packing_changes_no_micro_batch_but_its_order(counts: list[int], size: int, epoch: int) -> None:
    packed, plain = mixture(counts).batches(size, epoch), mixture(counts, packing=False).batches(size, epoch)
    assert [sorted(batch) for batch in packed] == [sorted(batch) for batch in plain]


@given(counts=many, size=sizes, budget=budgets, skip=st.integers(0, 9))
@settings(deadline=None)
def test_skipping_gives_the_tail(counts: list[int], size: int, budget: int | None, skip: int) -> None:
    made = mixture(counts, token_budget=budget)
    assert list(made.batches(size, 0, skip=skip)) == list(made.batches(size, 0))[skip:]


def test_a_budget_counts_tokens_rather_than_positions() -> None:
    order, counts = torch.arange(4), torch.tensor([40, 5, 5, 5])
    assert cut(order, 4, lengths=counts, budget=60) == [[0], [1, 2, 3]]
    assert [sorted(batch) for batch in cut(order, 4, lengths=counts, budget=60, row=60)] == [[0, 1, 2, 3]]


def test_padding_of_layouts() -> None:
    counts = torch.tensor([10, 2, 2, 2, 4])
    assert padding([[0, 1, 2, 3, 4]], counts) == pytest.approx(1 - 20 / 50)
    assert padding([[0, 1, 2, 3, 4]], counts, row=10) == 0.0


def test_packing_asks_for_lengths() -> None:
    made = mixture([1])
    made._epochs._lengths = None  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="measure"):
        made.batches(2, 0)


def test_batches_of_like_length_come_in_another_order_in_each_epoch() -> None:
    order, lengths = torch.arange(64), torch.arange(64) % 9 + 1
    first, again, second = (cut(order, 4, lengths=lengths, group=True, seed=3, epoch=epoch) for epoch in (0, 0, 1))
    assert first == again
    assert first != second
    assert sorted(first) == sorted(second)
