"""`parrot train` on a GPU: what a CPU run holds to. Skipped where there is none.

PARROT_TEST_DEVICE=cpu pytest -m gpu tests/gpu/test_training_cuda.py    # tries the tests themselves, without a GPU
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from miniatures import FAMILIES
from support.training_runs import toy_config, toy_run

import parrot_adapters as pa

DEVICE = os.environ.get("PARROT_TEST_DEVICE", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="no GPU here"),
]
PRECISIONS = [
    {"host__dtype": "float32", "engine__compute": "float32"},
    {"host__dtype": "bfloat16", "engine__compute": "bfloat16"},
]


def losses_of(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("precision", PRECISIONS, ids=["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "gemma3"])
def test_it_learns_and_the_adapter_loads_on_a_cpu(tmp_path: Path, family: str, precision: dict[str, Any]) -> None:
    config = toy_config(tmp_path, steps=40, engine__device=DEVICE, **precision)
    handle, _ = toy_run(config, family)
    losses = losses_of(tmp_path)
    assert losses[-1] < 0.8 * losses[0]
    host = FAMILIES[family].build().to(getattr(torch, config.host.dtype))
    loaded = pa.load_adapter(host, tmp_path / "adapter")
    theirs = dict(handle.require_module().named_parameters())
    for name, weight in loaded.require_module().named_parameters():
        assert torch.equal(weight, theirs[name].cpu()), name


def test_a_gpu_and_a_cpu_learn_the_same(tmp_path: Path) -> None:
    lines = {}
    for device in {"cpu", DEVICE}:
        toy_run(toy_config(tmp_path / device, engine__device=device))
        lines[device] = losses_of(tmp_path / device)
    assert lines[DEVICE] == pytest.approx(lines["cpu"], rel=1e-3)


def test_a_stopped_run_goes_on_to_the_same_losses(tmp_path: Path) -> None:
    schedule = {"engine__device": DEVICE, "optim__schedule": "constant"}  # a schedule's shape depends on the steps
    toy_run(toy_config(tmp_path / "whole", **schedule))
    toy_run(toy_config(tmp_path / "halves", **schedule, steps=6))
    toy_run(toy_config(tmp_path / "halves", **schedule))
    assert losses_of(tmp_path / "halves") == pytest.approx(losses_of(tmp_path / "whole"), rel=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a limit of a GPU's memory")
def test_too_large_a_batch_is_told_what_to_do(tmp_path: Path) -> None:
    torch.cuda.set_per_process_memory_fraction(0.0005)
    try:
        with pytest.raises(pa.ParrotError, match=r"(?s)ran out of memory.*batch\.per_device"):
            toy_run(toy_config(tmp_path, engine__device=DEVICE, batch={"size": 4096, "per_device": 4096}, steps=1))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
