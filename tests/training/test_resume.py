"""A run that is killed ends as one that is not: weights and metrics, bit for bit, on a CPU.

Processes are real and so is SIGKILL. Moments are counted, not timed: before and after every optimizer step and every
operation that touches the disk, checkpoints and results included.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import signal
import time

import pytest
import torch
from support.folders import TESTS
from support.training_runs import run_in_process, toy_config, toy_run

from parrot_adapters.errors import CheckpointError, ParrotWarning

WHAT = {"steps": 6, "checkpoint__every": 2, "log__every": 3, "checkpoint__keep": 2, "losses": {"router-z": 0.01}}


@pytest.fixture(scope="module")
def processes():
    """Starts processes in which everything is imported already."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(p for p in (str(TESTS), before) if p)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["support.training_runs", "parrot_adapters.training.trainer", "peft"])
    yield context
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def run(processes, out, *, die_at=None, largest_file=None, **changes):
    """Train in a process; its exit code."""
    process = processes.Process(target=run_in_process, args=(str(out), {**WHAT, **changes}, die_at, largest_file))
    process.start()
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


def outcome(out):
    """Everything a run leaves that must not depend on its interruptions."""
    files = {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("adapter", "host")
        for path in sorted((out / folder).rglob("*"))
        if path.is_file()
    }
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    for line in lines:
        del line["tokens_per_second"]  # a clock's
    return files, lines


@pytest.fixture(scope="module")
def uninterrupted(processes, tmp_path_factory):
    out = tmp_path_factory.mktemp("uninterrupted")
    assert run(processes, out) == 0
    return outcome(out)


def until_done(processes, out, moments, **changes):
    """Kill a run at each moment in turn, then let it finish."""
    deaths = 0
    for moment in moments:
        code = run(processes, out, die_at=moment, **changes)
        if code == 0:
            return deaths
        assert code == -signal.SIGKILL
        deaths += 1
        assert not list((out / "checkpoints").glob("step-*")) or resumable(out)
    assert run(processes, out, **changes) == 0
    return deaths


def resumable(out):
    from parrot_adapters.training.whole_checkpoints import Checkpoints

    return Checkpoints(out / "checkpoints", 2).newest() is not None or not list(out.glob("checkpoints/step-*/state.pt"))


@pytest.mark.slow
def test_killed_again_and_again(processes, uninterrupted, tmp_path):
    choice = random.Random(0)
    deaths = until_done(processes, tmp_path, [choice.randint(5, 45) for _ in range(4)])
    assert deaths >= 2
    assert outcome(tmp_path) == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize("first", range(6))
def test_killed_at_every_moment(processes, tmp_path, first):
    """Each run is killed once, at another moment; together at all of them."""
    short = {"steps": 4, "checkpoint__keep": 1}
    assert run(processes, tmp_path / "whole", **short) == 0
    wanted = outcome(tmp_path / "whole")
    moment, died = first + 1, True
    while died:
        out = tmp_path / str(moment)
        died = until_done(processes, out, [moment], **short) > 0
        assert outcome(out) == wanted, f"killed at moment {moment}"
        moment += 6
    assert moment > 60  # the counting counts


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.0, 0.1, 0.25, 0.5])
def test_killed_from_outside(processes, uninterrupted, tmp_path, wait):
    process = processes.Process(target=run_in_process, args=(str(tmp_path), dict(WHAT)))
    process.start()
    while not (tmp_path / "config.yaml").exists():
        time.sleep(0.01)
    time.sleep(wait)
    process.kill()
    process.join()
    assert run(processes, tmp_path) == 0
    assert outcome(tmp_path) == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize(
    "what",
    [
        {"train__language_model": "full", "recipe": "stage2"},
        {
            "train__language_model": "lora",
            "engine__gradient_checkpointing": True,
            "lora": {"r": 2, "lora_dropout": 0.2},
        },
        {"host__dtype": "bfloat16", "engine__compute": "bfloat16"},
        {"data__workers": 2},
    ],
    ids=["full", "lora with dropout", "bfloat16", "workers"],
)
def test_whatever_trains(processes, tmp_path, what):
    assert run(processes, tmp_path / "whole", **what) == 0
    assert until_done(processes, tmp_path / "killed", [20, 31], **what) == 2
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")


def test_a_signal_saves_and_the_run_goes_on(processes, uninterrupted, tmp_path):
    slow = {**WHAT, "checkpoint__every": 100, "log__every": 1}
    process = processes.Process(target=run_in_process, args=(str(tmp_path), {**slow, "steps": 4000}))
    process.start()
    while not (tmp_path / "metrics.jsonl").exists():
        time.sleep(0.01)
    process.terminate()
    process.join(60)
    assert process.exitcode == 128 + signal.SIGTERM
    (saved,) = (tmp_path / "checkpoints").glob("step-*")
    assert int(saved.name[5:]) == len((tmp_path / "metrics.jsonl").read_text().splitlines())
    assert not (tmp_path / "adapter").exists()
    assert toy_run(toy_config(tmp_path, **{**slow, "steps": int(saved.name[5:]) + 1}))[1].finished


def test_a_full_disk(processes, uninterrupted, tmp_path):
    """Nothing longer than some bytes can be written: the checkpoint fails, what was there stays, and space mends it."""
    assert run(processes, tmp_path, steps=2) == 0
    assert run(processes, tmp_path, largest_file=12_000) == 1
    assert "step 4 cannot be written" in (tmp_path / "error.txt").read_text()
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]
    assert run(processes, tmp_path) == 0
    files, lines = outcome(tmp_path)
    wanted, _ = uninterrupted
    assert lines[-1]["step"] == 6
    assert files.keys() == wanted.keys()


def test_another_number_of_threads_is_said(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    toy_run(toy_config(tmp_path, steps=2))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.warns(ParrotWarning, match="1 threads, this run goes on with 2"):
        toy_run(toy_config(tmp_path, steps=4))


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    """Not even under an equal configuration: the host may be another."""
    from miniatures import FAMILIES
    from support.training_runs import ToyCollator, ToyData, toy_handle

    from parrot_adapters.training import train

    config = toy_config(tmp_path, steps=3)
    toy_run(config)
    handle = toy_handle(config)
    handle.parts.module(handle.parts.vision_tower).requires_grad_(True)
    with pytest.raises(CheckpointError, match="does not hold what trains here"):
        train(handle, None, toy_config(tmp_path, steps=5), ToyData(), collator=ToyCollator(FAMILIES["llava"]))


def test_the_schedule_follows_the_number_of_steps(tmp_path):
    """A run made longer takes the longer schedule from where it is."""
    toy_run(toy_config(tmp_path / "short", steps=4, log__every=1))
    toy_run(toy_config(tmp_path / "short", steps=8, log__every=1))
    toy_run(toy_config(tmp_path / "long", steps=8, log__every=1))
    short, long = (
        [json.loads(line)["lr"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("short", "long")
    )
    assert short[4:] == long[4:]
    assert short[:4] != long[:4]


def test_what_is_compared_can_differ(uninterrupted, tmp_path):
    """The double: a run that forgets its optimizer ends elsewhere."""
    torch.set_num_threads(1)
    toy_run(toy_config(tmp_path, **{**WHAT, "steps": 4}))
    (tmp_path / "finished.json").unlink()
    newest = tmp_path / "checkpoints" / "step-00000004"
    torch.save({}, newest / "optimizer.pt")
    sizes = {p.name: p.stat().st_size for p in newest.iterdir() if p.name != "manifest.json"}
    (newest / "manifest.json").write_text(json.dumps(sizes))
    toy_run(toy_config(tmp_path, **WHAT))
    assert (
        outcome(tmp_path)[0]["adapter/adapter_model.safetensors"]
        != (uninterrupted[0]["adapter/adapter_model.safetensors"])
    )
