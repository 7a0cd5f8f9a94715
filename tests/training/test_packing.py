"""A packed run is the run it would be unpacked: losses, gradients, weights. Hosts that mix samples are refused.

Several processes: ``test_engines.py``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from miniatures import FAMILIES
from safetensors.torch import load_file
from support.tiers import late_unless
from support.training_runs import ToyCollator, ToyData, toy_config, toy_handle, toy_run

from parrot_adapters.data import Collator, PackedCollator
from parrot_adapters.data.packing import SEGMENTS
from parrot_adapters.errors import ConfigError
from parrot_adapters.hosts.packed_rows import packed_arguments as trainer_arguments
from parrot_adapters.training import packing_check, trainer

ROW = {"llava": 60, "qwen2_5_vl": 30, "internvl": 24}  # tokens: two or three samples
BATCH = replace(toy_config("").batch, size=8, per_device=4)
TEXT_ONLY = (1, 5, 8, 16)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(out: Any, family: str = "llava", *, packing: bool = True, **changes: Any) -> list[dict[str, Any]]:
    """Train; the lines of its metrics."""
    collator = changes.pop("collator", None)
    changes = {"batch": BATCH, "steps": 6, "log__every": 1, "data__max_length": ROW[family]} | changes
    toy_run(toy_config(out, data__packing=packing, **changes), family, ToyData(text_only=TEXT_ONLY), collator=collator)
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]


def assert_same(here: Any, there: Any) -> None:
    """Metrics and adapters of two runs, up to rounding."""
    lines = [
        [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()] for out in (here, there)
    ]
    for mine, other in zip(*lines, strict=True):
        assert mine["tokens"] == other["tokens"]
        for key in ("loss", "grad_norm", "epoch", "languages", "losses"):
            assert mine.get(key, {}) == pytest.approx(other.get(key, {}), rel=1e-4), (mine["step"], key)
        usage, other_usage = (line.get("routing", {}).get("usage", []) for line in (mine, other))
        assert usage == pytest.approx(other_usage, rel=1e-4)
    names = sorted(path.relative_to(here) for path in (here / "adapter").rglob("*.safetensors"))
    assert names
    for name in names:
        weights, others = load_file(here / name), load_file(there / name)
        for key, value in weights.items():
            torch.testing.assert_close(others[key], value, rtol=1e-2, atol=1e-3)


def for_training(samples: list[Any]) -> bool:
    """And not for the check, which has fewer, or the same twice."""
    return len({sample.identity for sample in samples}) == BATCH.per_device


class Watching(ToyCollator):
    """Remembers the batches that training was given."""

    def __init__(self, family: str) -> None:
        super().__init__(FAMILIES[family])
        self.made: list[dict[str, Any]] = []

    def __call__(self, samples: list[Any]) -> dict[str, Any]:
        batch = super().__call__(samples)
        if for_training(samples):
            self.made.append(batch)
        return batch


@pytest.mark.parametrize(
    ("family", "what"),
    [
        pytest.param("llava", {"losses": {"load-balancing": 0.1}}, marks=pytest.mark.slow),
        ("llava", {"train__language_model": "lora", "lora": {"r": 2}, "engine__gradient_checkpointing": True}),
        pytest.param("llava", {"recipe": "stage1", "adapter": None, "train__adapter": None}, marks=pytest.mark.slow),
        pytest.param("qwen2_5_vl", {}, marks=pytest.mark.slow),
        pytest.param("internvl", {"train__language_model": "full", "recipe": "stage2"}, marks=pytest.mark.slow),
    ],
    ids=["llava", "lora, recomputed", "stage1", "qwen2_5_vl", "full"],
)
@pytest.mark.few(1)
def test_packed_training_is_unpacked_training(tmp_path, family, what):
    run(tmp_path / "plain", family, packing=False, **what)
    lines = run(tmp_path / "packed", family, **what)
    assert_same(tmp_path / "plain", tmp_path / "packed")
    assert all(line["padding"] < line["padding_unpacked"] for line in lines)


def test_a_run_that_mixes_samples_is_another(tmp_path, monkeypatch):
    """The double lets the host have a cache, and so no borders."""
    run(tmp_path / "plain", packing=False)
    monkeypatch.setattr(trainer, "packed_arguments", lambda *given: trainer_arguments(*given) | {"use_cache": True})
    run(tmp_path / "packed")
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "plain", tmp_path / "packed")


def test_padding_is_counted(tmp_path):
    collator = Watching("llava")
    lines = run(tmp_path, collator=collator, steps=2)
    masks = [batch["attention_mask"] for batch in collator.made]
    packed = [PackedCollator(lambda batch: batch, ROW["llava"])(batch)[SEGMENTS] for batch in collator.made]
    for number, line in enumerate(lines):
        mine = slice(2 * number, 2 * number + 2)
        real = sum(int(mask.sum()) for mask in masks[mine])
        assert line["tokens"] == real
        assert line["padding_unpacked"] == pytest.approx(1 - real / sum(m.numel() for m in masks[mine]), abs=1e-6)
        assert line["padding"] == pytest.approx(1 - real / sum(s.numel() for s in packed[mine]), abs=1e-6)
        assert all(s.shape[0] > 1 for s in packed[mine]), "several rows, several samples in one"
        assert all(s.shape[0] < BATCH.per_device for s in packed[mine])


def test_unpacked_runs_tell_their_padding_too(tmp_path):
    lines = run(tmp_path, packing=False, steps=2)
    assert all(0 < line["padding"] < 1 for line in lines)
    assert all("padding_unpacked" not in line for line in lines)


def test_a_collator_that_packs_is_taken_as_it_is(tmp_path):
    collator = PackedCollator(ToyCollator(FAMILIES["llava"]), ROW["llava"])
    assert run(tmp_path / "a", collator=collator, steps=2)[-1]["loss"] == run(tmp_path / "b", steps=2)[-1]["loss"]


# -- hosts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gemma3", "lfm2_vl"])
def test_a_host_that_mixes_samples_is_refused(tmp_path, family):
    config = toy_config(tmp_path, data__packing=True, batch=BATCH)
    with pytest.raises(ConfigError, match="does not keep packed samples apart") as caught:
        toy_run(config, family, ToyData())
    for said in (family, "sdpa", "group_by_length"):
        assert said in str(caught.value)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_the_check_bites(tmp_path, monkeypatch):
    """A host that is given no borders, and one that fails at packed rows."""
    monkeypatch.setattr(packing_check, "packed_arguments", lambda base, given, segments: {**given, "use_cache": False})
    with pytest.raises(ConfigError, match="does not keep packed samples apart"):
        run(tmp_path / "mixes")

    def fails(base: Any, given: Any, segments: Any) -> Any:
        raise ValueError("no such positions\nhere")

    monkeypatch.setattr(packing_check, "packed_arguments", fails)
    with pytest.raises(ConfigError, match=r"because +no such positions"):
        run(tmp_path / "fails")


def test_the_check_leaves_the_model_as_it_was(monkeypatch):
    handle = toy_handle(toy_config("unused"))
    handle.model.train()
    handle.projector.eval()
    before = [module.training for module in handle.model.modules()]
    state = torch.get_rng_state()
    collator = PackedCollator(ToyCollator(FAMILIES["llava"]), 60)
    asked = (handle.model, handle.parts.base, ToyData(), collator, 4, torch.device("cpu"))
    packing_check.require_packing(*asked)
    assert [module.training for module in handle.model.modules()] == before
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in handle.model.parameters())


def test_the_check_looks_for_pictures():
    data = ToyData(text_only=range(21))
    order = list(range(24))
    chosen = packing_check._two_samples(data, order, ToyCollator(FAMILIES["llava"]))
    assert [sample.identity for sample in chosen] == ["s21", "s22"]
    chosen = packing_check._two_samples(data, order[:22], ToyCollator(FAMILIES["llava"]))
    assert [sample.identity for sample in chosen] == ["s21", "s0"]
    chosen = packing_check._two_samples(data, order[:1], ToyCollator(FAMILIES["llava"]))
    assert [sample.identity for sample in chosen] == ["s0", "s0"]
    assert packing_check._two_samples(data, [], ToyCollator(FAMILIES["llava"])) == []


# -- going on ---------------------------------------------------------------------------------------------------------


class Stopped(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("workers", late_unless([0], [0, 2]))
def test_an_interrupted_run_ends_bit_for_bit_as_another(tmp_path, workers):
    """With dropout: the check, which a resumed run repeats, draws no random number."""

    class Interrupted(ToyCollator):
        made = 0

        def __call__(self, samples: list[Any]) -> dict[str, Any]:
            self.made += for_training(samples)
            if self.made == (5 if workers else 9):  # of this process; in step 5
                raise Stopped
            return super().__call__(samples)

    what = {"train__language_model": "lora", "lora": {"r": 2, "lora_dropout": 0.2}, "checkpoint__every": 2}
    what |= {"data__workers": workers}
    whole = run(tmp_path / "whole", **what)
    with pytest.raises(Stopped):
        run(tmp_path / "resumed", **what, collator=Interrupted(FAMILIES["llava"]))
    assert [path.name for path in (tmp_path / "resumed" / "checkpoints").glob("step-*")]
    resumed = run(tmp_path / "resumed", **what)
    for line in (*whole, *resumed):
        del line["tokens_per_second"]
    assert resumed == whole
    for name in ("adapter_model.safetensors", "projector.safetensors"):
        here, there = (load_file(tmp_path / out / "adapter" / name) for out in ("whole", "resumed"))
        assert all(torch.equal(here[key], there[key]) for key in here)


# -- the library's own collator ---------------------------------------------------------------------------------------


def test_a_batch_that_lost_its_samples_can_be_packed():
    from support.chat_processors import llava

    packed = PackedCollator(Collator(llava()), 20)([])
    assert packed[SEGMENTS].tolist() == [[0] * packed["input_ids"].shape[1]]
    assert (packed["labels"] == -100).all()


def test_a_run_whose_samples_are_all_skipped_is_not_the_checks_to_refuse():
    handle = toy_handle(toy_config("unused"))

    class Skipping(ToyCollator):
        def __call__(self, samples: list[Any]) -> dict[str, Any]:
            batch = super().__call__(samples)
            return batch | {"labels": torch.full_like(batch["labels"], -100)}

    collator = PackedCollator(Skipping(FAMILIES["llava"]), 60)
    packing_check.require_packing(
        handle.model, handle.parts.base, ToyData(), collator, 4, torch.device("cpu")
    )  # says nothing


def test_every_sample_is_trained_on_once_an_epoch(tmp_path):
    collator = Watching("llava")
    run(tmp_path, collator=collator, steps=3)
    seen = [name for batch in collator.made for name in batch["parrot_identities"]]
    assert sorted(seen) == sorted(f"s{n}" for n in range(24))
