"""A profile knows whose time it was, forward and backward, and leaves nothing on the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import parrot_adapters as pa
from parrot_adapters.analysis import time_profile
from parrot_adapters.analysis.time_profile import profiled
from parrot_adapters.testing import small_llava

PICTURES = {"pixel_values": torch.ones(1, 3, 16, 16)}
IDS = torch.tensor([[1, *[3] * 16, 40, 41, 42]])


def steps(model: Any, count: int) -> None:
    for _ in range(count):
        model(input_ids=IDS, attention_mask=torch.ones_like(IDS), labels=IDS.clamp(min=5), **PICTURES).loss.backward()


def attached(**settings: Any) -> pa.Attachment:
    handle = pa.attach(small_llava(), pa.AdapterConfig(**settings))
    handle.model.train()
    return handle


def seconds(found: Any, name: str) -> tuple[float, float]:
    part = next((part for part in found.parts if part.name == name), None)
    return (0.0, 0.0) if part is None else (part.forward, part.backward)


def test_every_part_has_its_own_time(tmp_path: Path) -> None:
    handle = attached(expert_hidden_size=512)  # far more work than the rest of this host
    steps(handle.model, 1)  # transformers puts hooks of its own on a model that is called
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in handle.model.modules())
    with profiled(handle.model, handle, tmp_path / "profile", passes=2) as profile:
        steps(handle.model, 4)
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in handle.model.modules()) == hooks
    found = profile.found
    assert found.passes == 2
    for name in ("adapter", "language model"):
        assert min(seconds(found, name)) > 0, name
    for name in ("vision tower", "projector"):  # nothing of theirs trains
        forward, backward = seconds(found, name)
        assert forward > backward == 0
    events = json.loads((tmp_path / "profile" / "trace.json").read_text())["traceEvents"]
    ranges = [event for event in events if event.get("name") == "parrot: adapter" and event.get("cat") != "Trace"]
    assert len(ranges) >= 2
    written = json.loads((tmp_path / "profile" / "profile.json").read_text())
    assert [part["name"] for part in written["parts"]] == [part.name for part in found.parts]
    assert (tmp_path / "profile" / "profile.txt").read_text().startswith("2 passes, time on the cpu\npart")


def test_experts_in_the_layers_are_the_adapters(tmp_path: Path) -> None:
    handle = attached(placement="layers", layer_rank=4)
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.normal_()
    with profiled(handle.model, handle, tmp_path, passes=1) as profile:
        steps(handle.model, 2)
    experts = handle.require_module().layer_experts
    assert experts is not None
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    ranges = [event for event in events if event.get("name") == "parrot: adapter" and event.get("ph") == "X"]
    assert len(ranges) > len(list(experts.each()))  # and one of the router
    assert min(seconds(profile.found, "adapter")) > 0


def test_without_the_order_of_the_graph_backward_belongs_to_nobody(tmp_path: Path, monkeypatch: Any) -> None:
    """The double."""
    monkeypatch.setattr(time_profile, "_owners", lambda events: {})
    handle = attached()
    with profiled(handle.model, handle, tmp_path, passes=1) as profile:
        steps(handle.model, 2)
    assert seconds(profile.found, "adapter")[1] == 0


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_passes_are_said(count: int, tmp_path: Path) -> None:
    handle = attached()
    with profiled(handle.model, handle, tmp_path) as profile:
        steps(handle.model, count)
    assert "nothing was recorded" in profile.text()
    assert not (tmp_path / "trace.json").exists()


def test_a_block_that_fails_is_recorded_as_far_as_it_came(tmp_path: Path) -> None:
    handle = attached()
    with pytest.raises(ZeroDivisionError), profiled(handle.model, handle, tmp_path):  # noqa: PT012
        steps(handle.model, 2)
        raise ZeroDivisionError
    assert json.loads((tmp_path / "profile.json").read_text())["passes"] == 1
