"""``engine.pieces``: micro-batches run in parts, and every step holds the samples that it would have held."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from miniatures import FAMILIES
from support.tiers import late_unless
from support.training_runs import ToyCollator, ToyData, toy_config, toy_run

from parrot_adapters.errors import ConfigError
from parrot_adapters.training.micro_batches import MicroBatches


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Uneven:
    """Micro-batches of any sizes, as token budgets and grouping by length make them."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes

    def __getitem__(self, index: Any) -> Any:
        return index

    def batches(self, micro_batch: int, epoch: int) -> list[list[int]]:
        made, at = [], 1000 * epoch
        for size in self.sizes:
            made.append(list(range(at, at + size)))
            at += size
        return made


class Cut(MicroBatches):
    """The double: fewer samples in a micro-batch, and more of them in a step (``batch.per_device``)."""

    def __init__(self, data, micro_batch, per_step, *rest, pieces, **options):
        super().__init__(data, micro_batch // pieces, per_step * pieces, *rest, **options)


def steps_of(kind, data, micro_batch, per_step, steps, processes, pieces, *, done=0):
    """What each step holds, in order, over all processes."""
    dealt = [
        list(kind(data, micro_batch, per_step, steps, p, processes, pieces=pieces, done=done)) for p in range(processes)
    ]
    share = per_step // processes * pieces
    return [
        sorted(sample for mine in dealt for batch in mine[step * share : (step + 1) * share] for sample in batch)
        for step in range(steps - done)
    ]


@settings(deadline=None, max_examples=80)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=9),
    processes=st.sampled_from([1, 2, 3]),
    each=st.integers(1, 3),
    pieces=st.integers(1, 7),
    steps=st.integers(1, 6),
    done=st.integers(0, 6),
)
def test_a_step_holds_the_same_samples(sizes, processes, each, pieces, steps, done):
    data, per_step, done = Uneven(sizes), processes * each, min(done, steps)
    wanted = steps_of(MicroBatches, data, 7, per_step, steps, processes, 1)
    assert steps_of(MicroBatches, data, 7, per_step, steps, processes, pieces) == wanted
    # Whatever the pieces were up to a checkpoint, from there on it is the same too.
    assert steps_of(MicroBatches, data, 7, per_step, steps, processes, pieces, done=done) == wanted[done:]
    for process in range(processes):
        row = MicroBatches(data, 7, per_step, steps, process, processes, pieces=pieces)
        handed = list(row)
        assert len(handed) == len(row)
        assert all(len(batch) <= -(-7 // pieces) for batch in handed)
        for at in range(0, len(handed), pieces):
            lengths = [len(batch) for batch in handed[at : at + pieces]]
            assert max(lengths) - min(lengths) <= 1


def test_smaller_micro_batches_are_other_steps():
    data = ToyData(count=17)
    wanted = steps_of(MicroBatches, data, 4, 2, 9, 1, 1)
    assert steps_of(MicroBatches, data, 4, 2, 9, 1, 2) == wanted
    assert steps_of(Cut, data, 4, 2, 9, 1, 2) != wanted


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("family", late_unless(["qwen2_5_vl"], ["llava", "qwen2_5_vl"]))
def test_a_begun_run_goes_on_in_pieces(tmp_path, family):
    """As one that never changed, but for last bits."""
    batch = replace(toy_config("").batch, size=8, per_device=4)
    steady = {"batch": batch, "log__every": 1, "optim__schedule": "constant", "optim__warmup_ratio": 0.0}
    whole, _ = toy_run(toy_config(tmp_path / "whole", steps=6, **steady), family)
    toy_run(toy_config(tmp_path / "parts", steps=3, **steady), family)
    seen = []

    class Seeing(ToyCollator):
        def __call__(self, samples):
            seen.append(len(samples))
            return super().__call__(samples)

    collator = Seeing(FAMILIES[family])
    parts, result = toy_run(
        toy_config(tmp_path / "parts", steps=6, engine__pieces=3, **steady), family, collator=collator
    )
    assert (result.first, result.steps) == (3, 6)
    assert seen[: 3 * 2 * 3] == [1, 1, 2] * 6
    for (name, a), b in zip(whole.model.named_parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=2e-3, atol=2e-4, msg=lambda text, name=name: f"{name}: {text}")
    for here, there in zip(lines(tmp_path / "parts"), lines(tmp_path / "whole"), strict=True):
        assert here["loss"] == pytest.approx(there["loss"], rel=1e-4)
        assert here["languages"] == pytest.approx(there["languages"], rel=1e-4)
        assert (here["epoch"], here["tokens"]) == (there["epoch"], there["tokens"])
    # ... and fewer samples in a micro-batch are another run.
    with pytest.raises(ConfigError, match=r"batch\.per_device: was 4, is 2"):
        toy_run(toy_config(tmp_path / "parts", steps=8, **{**steady, "batch": replace(batch, per_device=2)}), family)
