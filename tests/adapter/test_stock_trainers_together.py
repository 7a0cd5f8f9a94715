"""Stock trainers in two processes around an attached host: what they keep, take up again, share and refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support import stock_trainers
from support.adapters import logits, tiny_host, two_prompts
from support.two_processes import together

import parrot_adapters as pa

pytestmark = pytest.mark.slow

ENGINES = ("ddp", *stock_trainers.STATE_OF)
BOTH_WAYS = [("ddp", "projector"), ("ddp", "layers"), ("fsdp2", "layers"), ("fsdp2-shards", "both")]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether these are the same names with the same bits."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def kept(checkpoint: Path) -> set[str]:
    """Names of the weights in a checkpoint, in whatever form."""
    shards = checkpoint / "pytorch_model_fsdp_0"
    if shards.is_dir():
        from torch.distributed.checkpoint import FileSystemReader

        found = FileSystemReader(shards).read_metadata().state_dict_metadata
        return {name.removeprefix("model.") for name in found}
    if (checkpoint / "pytorch_model_fsdp.bin").is_file():
        whole = set(torch.load(checkpoint / "pytorch_model_fsdp.bin", weights_only=True))
        assert not (checkpoint / "model.safetensors").exists() or whole == set(
            load_file(checkpoint / "model.safetensors")
        )
        return whole
    return set(load_file(checkpoint / "model.safetensors"))


@pytest.mark.parametrize(("engine", "placement"), BOTH_WAYS)
def test_a_trainer_keeps_what_trains_and_goes_on_from_it(tmp_path, engine, placement):
    """Bit for bit, with batches without images on one process, then on the other."""

    def run(name: str, out: str, steps: int, **options: Any) -> dict[str, torch.Tensor]:
        found = together(
            tmp_path / name,
            stock_trainers.train,
            out=tmp_path / out,
            steps=steps,
            engine=engine,
            placement=placement,
            **options,
        )
        assert same(found[0]["end"], found[1]["end"])
        return found[0]["end"]

    whole = run("1", "whole", 4, final=tmp_path / "final")
    assert kept(tmp_path / "whole" / "checkpoint-2") == whole.keys()
    run("2", "halves", 2)
    assert same(run("3", "halves", 4, resume=True), whole)
    if engine == "fsdp2-shards":  # a Trainer writes none of a model's whole weights then
        return
    host, inputs = tiny_host(), two_prompts()
    pa.load_adapter(host, tmp_path / "final", strict=True)
    expected = stock_trainers.attached(placement)
    expected.model.load_state_dict(whole)
    assert torch.equal(logits(host.eval(), inputs), logits(expected.model.eval(), inputs))


@pytest.mark.parametrize("engine", ["ddp", "fsdp2"])
def test_the_best_model_is_the_one_that_stays(tmp_path, engine):
    every: dict[str, Any] = {"save_steps": 1, "eval_steps": 1, "eval_strategy": "steps", "load_best_model_at_end": True}
    found, _ = together(
        tmp_path / "run",
        stock_trainers.train,
        out=tmp_path / "out",
        steps=3,
        engine=engine,
        metric_for_best_model="loss",
        greater_is_better=True,  # so that the first step is the best
        **every,
    )
    assert found["best"] == 1
    assert [step for step, state in found["seen"].items() if same(state, found["end"])] == [1]


@pytest.mark.parametrize("engine", ENGINES)
def test_accelerate_keeps_what_trains_and_goes_on_from_it(tmp_path, engine):
    def run(name: str, **options: Any) -> dict[str, torch.Tensor]:
        return together(tmp_path / name, stock_trainers.accelerated, engine=engine, **options)[0]["end"]

    whole = run("1", state=tmp_path / "whole", steps=4)
    run("2", state=tmp_path / "half", steps=2)
    assert kept(tmp_path / "half") == whole.keys()
    assert same(run("3", state=tmp_path / "half", steps=2, take_up=True), whole)


@pytest.mark.parametrize("find_unused", [False, True])
def test_a_plain_loop_learns_what_one_process_learns(tmp_path, find_unused):
    found = together(tmp_path / "run", stock_trainers.plain_loop, find_unused=find_unused)
    assert same(found[0]["end"], found[1]["end"])
    assert found[0]["state"].keys() == found[0]["end"].keys()
    alone, before = stock_trainers.alone(), stock_trainers.trained(stock_trainers.attached("both").model)
    for name, value in found[0]["end"].items():
        torch.testing.assert_close(value, alone[name], rtol=1e-4, atol=1e-5)
        assert not torch.equal(value, before[name])


def test_trl_keeps_what_trains_and_goes_on_from_it(tmp_path):
    pytest.importorskip("trl")

    def run(name: str, out: str, steps: int, **options: Any) -> dict[str, torch.Tensor]:
        found = together(tmp_path / name, stock_trainers.train_sft, out=tmp_path / out, steps=steps, **options)
        return found[0]["end"]

    whole = run("1", "whole", 4, final=tmp_path / "final")
    assert kept(tmp_path / "whole" / "checkpoint-2") == whole.keys()
    run("2", "halves", 2)
    assert same(run("3", "halves", 4, resume=True), whole)
    pa.load_adapter(tiny_host(), tmp_path / "final", strict=True)


@pytest.mark.parametrize("wrapper", ["ddp", "fully_shard"])
def test_an_adapter_that_came_after_the_wrapper_is_refused_in_training(tmp_path, wrapper):
    for said in together(tmp_path / "run", stock_trainers.wrapped_first, wrapper=wrapper):
        assert "every process would train it for itself" in said


def test_an_adapter_on_a_sharded_host_is_switched_and_saved_whole(tmp_path):
    found, _ = together(tmp_path / "run", stock_trainers.save_from_shards, directory=tmp_path / "adapter")
    assert not torch.equal(found["before"], found["bare"])
    for name in ("after", "enabled"):
        assert torch.equal(found[name], found["before"])
    for name in ("bare in a block", "bare while disabled"):
        assert torch.equal(found[name], found["bare"])
    host = tiny_host()
    pa.load_adapter(host, tmp_path / "adapter", strict=True)
    batch = stock_trainers.collate([stock_trainers.Rows()[2]])
    assert torch.equal(logits(host.eval(), batch), found["before"])


@pytest.mark.parametrize("placement", ["projector", "both"])
def test_under_zero_3_an_adapter_is_saved_whole_or_refused(tmp_path, placement):
    pytest.importorskip("deepspeed")
    run, directory = tmp_path / "run", tmp_path / "adapter"
    found, _ = together(run, stock_trainers.zero3, directory=directory, placement=placement)
    host = tiny_host()
    pa.load_adapter(host, directory, strict=True)
    batch = stock_trainers.collate([stock_trainers.Rows(())[2]])
    torch.testing.assert_close(logits(host.eval(), batch), found["logits"], rtol=1e-5, atol=1e-5)
    assert "a batch without images under ZeRO-3" in found["text"]
    assert "disabled()" in found["disable"]
    assert "attach to the whole host" in found["attach"]
