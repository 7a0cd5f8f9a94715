"""TensorBoard shows what the statistics say, every so many passes, and is asked for by a variable or in code."""

from __future__ import annotations

import copy
import importlib.util
import os
import pickle
import subprocess
import sys

import pytest
import torch
from miniatures import ADAPTER, FAMILIES, PROMPTS, awake

import parrot_adapters as pa
from parrot_adapters.analysis import TensorBoardObserver
from parrot_adapters.core import RoutingStatistics
from parrot_adapters.errors import ConfigError, MissingDependencyError

needs_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed"
)


@pytest.fixture
def inputs():
    return FAMILIES["llava"].batch(PROMPTS)


def run(handle, inputs, times=1, languages=("en", "tr", None)):
    with torch.no_grad(), handle.languages(languages):
        for _ in range(times):
            handle.model(**inputs)


def curves(directory):
    """tag -> [(step, value)], over all files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory))
    events.Reload()
    found = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    texts = events.Tags()["tensors"]
    return found | {tag: [e.tensor_proto.string_val[0].decode() for e in events.Tensors(tag)] for tag in texts}


@needs_tensorboard
def test_curves_are_the_statistics(handle, inputs, tmp_path):
    observer = TensorBoardObserver(tmp_path, every=2, handle=handle)
    with handle.add_observer(observer), handle.record_routing() as log:
        run(handle, inputs, 4)
    seen = RoutingStatistics.of(log)
    found = curves(tmp_path)
    assert [step for step, _ in found["routing/eval/entropy"]] == [2, 4]
    assert found["routing/eval/entropy"][0][1] == pytest.approx(seen.entropy)
    assert found["routing/eval/expert_language_information"][0][1] == pytest.approx(seen.language_information, abs=1e-6)
    for expert, share in enumerate(seen.by_language["tr"]):
        assert found[f"routing/eval/usage_tr/expert_{expert}"][1][1] == pytest.approx(share)
    assert not any("/train/" in tag for tag in found)


@needs_tensorboard
def test_training_and_evaluation_are_told_apart_and_the_rest_is_written_at_the_end(handle, inputs, tmp_path):
    observer = TensorBoardObserver(tmp_path, every=100, handle=handle)
    with handle.add_observer(observer):
        run(handle, inputs, 3)
        handle.model.train()
        run(handle, inputs, 2)
    assert not list(tmp_path.iterdir())  # nothing is opened before there is something to write
    observer.close()
    found = curves(tmp_path)
    assert [step for step, _ in found["routing/eval/entropy"]] == [3]
    assert [step for step, _ in found["routing/train/entropy"]] == [2]


@needs_tensorboard
def test_collapse_is_flagged_and_abstaining_counted(inputs, tmp_path):
    options = {"languages": {"en": 1, "tr": 1}}
    handle = pa.attach(FAMILIES["llava"].build(), {**ADAPTER, "router": "language-id", "router_options": options})
    observer = TensorBoardObserver(tmp_path, every=1)
    with handle.add_observer(observer):
        run(handle, inputs)
        run(handle, inputs, languages=(None, None, None))  # nothing was routed: nothing but that is written
    observer.close()
    found = curves(tmp_path)
    assert found["routing/train/collapse_single_expert"] == [(1, 1.0)]
    assert found["routing/train/dead_experts"] == [(1, 2.0)]
    left_alone = 1 - (inputs_of(PROMPTS[:2]) / inputs_of(PROMPTS))
    assert found["routing/train/left_alone"] == [(1, pytest.approx(left_alone)), (2, 1.0)]
    assert "single-expert collapse: expert 1" in found["routing/train/text_summary"][0]


def inputs_of(prompts):
    """How many images these prompts have."""
    return sum(not isinstance(part, int) for prompt in prompts for part in prompt)


@needs_tensorboard
def test_asked_for_by_a_variable(inputs, tmp_path, monkeypatch):
    monkeypatch.setenv("PARROT_TENSORBOARD", str(tmp_path / "runs"))
    monkeypatch.setenv("PARROT_TENSORBOARD_EVERY", "1")
    handle = awake(pa.attach(FAMILIES["llava"].build(), ADAPTER))
    run(handle, inputs)
    assert "routing/eval/usage/expert_0" in curves(tmp_path / "runs")
    twin = copy.deepcopy(handle.model)  # with files of its own
    run(pa.attachment_of(twin), inputs)
    assert len(list((tmp_path / "runs").iterdir())) == 2
    monkeypatch.setenv("PARROT_TENSORBOARD_EVERY", "often")
    with pytest.raises(ConfigError, match="PARROT_TENSORBOARD_EVERY='often'"):
        pa.attach(FAMILIES["llava"].build(), ADAPTER)


@needs_tensorboard
def test_what_is_left_is_written_when_the_program_ends(tmp_path):
    program = """
import torch
from parrot_adapters import RoutingRecord
from parrot_adapters.analysis import TensorBoardObserver
kept = TensorBoardObserver("runs", every=2)
for _ in range(3):
    kept(RoutingRecord(torch.eye(2), torch.eye(2), torch.tensor([0, 1]), torch.tensor([0, 1, 2]), unit="item"))
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert [step for step, _ in curves(tmp_path / "runs")["routing/train/entropy"]] == [2, 3]


@needs_tensorboard
def test_each_process_of_several_writes_by_itself(handle, inputs, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    observer = TensorBoardObserver(tmp_path, every=1)
    with handle.add_observer(observer):
        run(handle, inputs)
    observer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["rank-1"]
    assert pickle.loads(pickle.dumps(observer)).directory == tmp_path


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "tensorboard" else find(name, *a))
    with pytest.raises(MissingDependencyError, match=r"parrot_adapters\[tensorboard\]"):
        TensorBoardObserver(tmp_path)


def test_nobody_asks_nothing_is_loaded(inputs):
    assert "PARROT_TENSORBOARD" not in os.environ
    handle = pa.attach(FAMILIES["llava"].build(), ADAPTER)
    assert not handle.carried.seam.observers


def test_impossible_intervals(tmp_path):
    with pytest.raises(ConfigError, match="every=0"):
        TensorBoardObserver(tmp_path, every=0)
