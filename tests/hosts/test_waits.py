"""A call with pictures waits for the device once, counted for an imagined device as ``benchmarks/syncs.py`` does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, FAMILIES, PROMPTS, awake

import parrot_adapters as pa
from parrot_adapters.hosts.native_seam import NativeSeam

PLACEMENTS: list[dict[str, Any]] = [{}, {"placement": "layers", "layer_rank": 2}]


@pytest.fixture(scope="module")
def device_waits() -> Any:
    path = Path(__file__).parents[2] / "benchmarks" / "device_waits.py"
    spec = importlib.util.spec_from_file_location("device_waits", path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules["device_waits"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def waits(device_waits: Any, model: Any, inputs: dict[str, Any]) -> int:
    """Those of the library, without the looks at a router's answers in the first passes."""
    with torch.no_grad(), device_waits.counted_waits("cpu") as counted:
        model(**inputs)
    ours = {place: n for (whose, place), n in counted.items() if whose == device_waits.OWN}
    return sum(n for place, n in ours.items() if "check_values" not in place)


@pytest.mark.parametrize("placement", PLACEMENTS, ids=str)
def test_a_call_waits_once(device_waits, monkeypatch, placement: dict[str, Any]) -> None:
    model = awake(pa.attach(FAMILIES["llava"].build(), ADAPTER | placement)).model
    inputs, text = FAMILIES["llava"].batch(PROMPTS), FAMILIES["llava"].batch([PROMPTS[2]])
    embeds = {n: v for n, v in inputs.items() if n != "input_ids"}
    embeds["inputs_embeds"] = model.get_input_embeddings()(inputs["input_ids"]).detach()
    assert [waits(device_waits, model, given) for given in (inputs, embeds, text)] == [1, 1, 0]
    monkeypatch.setattr(NativeSeam, "_check_width", lambda self, tokens: tokens.sum().item())
    assert waits(device_waits, model, inputs) == 2
