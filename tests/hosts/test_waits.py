"""What waits for the device, and how often, counted for an imagined device as `make bench ARGS=waits` does."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, FAMILIES, PROMPTS, awake
from torch.nn.functional import cross_entropy

import parrot_adapters as pa
from parrot_adapters.core.types import IGNORED
from parrot_adapters.hosts.native_seam import NativeSeam
from parrot_adapters.training.batch_measures import measure, targets_of
from parrot_adapters.training.metrics import Measured

PLACEMENTS: list[dict[str, Any]] = [{}, {"placement": "layers", "layer_rank": 2}]
BANKS: list[tuple[dict[str, Any], int]] = [
    ({"expert": "merged"}, 1),
    ({"top_k": 2, "expert_options": {"grouped": True}}, 1),
    ({"top_k": 2, "expert_options": {"grouped": False}}, 2),  # how many tokens each expert has
]


@pytest.fixture(scope="module")
def device_waits() -> Any:
    path = Path(__file__).parents[2] / "benchmarks" / "device_waits.py"
    spec = importlib.util.spec_from_file_location("device_waits", path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules["device_waits"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def waits(device_waits: Any, call: Any, inputs: dict[str, Any]) -> int:
    """Those of the library, without the looks at a router's answers in the first passes."""
    with torch.no_grad(), device_waits.counted_waits("cpu") as counted:
        call(**inputs)
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


@pytest.mark.parametrize("placement", [*PLACEMENTS, {"placement": "both", "layer_rank": 2}], ids=str)
def test_generate_waits_once(device_waits, placement: dict[str, Any]) -> None:
    model = awake(pa.attach(FAMILIES["llava"].build(), ADAPTER | placement)).model
    generate = partial(model.generate, max_new_tokens=3, min_new_tokens=3, do_sample=False)
    assert waits(device_waits, generate, FAMILIES["llava"].batch(PROMPTS)) == 1


@pytest.mark.parametrize(("bank", "times"), BANKS, ids=str)
def test_banks_that_need_sizes(device_waits, bank: dict[str, Any], times: int) -> None:
    model = awake(pa.attach(FAMILIES["llava"].build(), ADAPTER | bank)).model
    assert waits(device_waits, model, FAMILIES["llava"].batch(PROMPTS)) == times


@pytest.mark.parametrize("placement", PLACEMENTS, ids=str)
def test_rows_with_adapters_wait_once_for_each_adapter_and_for_the_batch(
    device_waits, placement: dict[str, Any]
) -> None:
    handle = awake(pa.attach(FAMILIES["llava"].build(), ADAPTER | placement))
    handle.add_adapter("other", ADAPTER | placement)
    inside = "layers" in placement.values()
    with handle.adapter_names(["default", "other", None]):
        assert waits(device_waits, handle.model, FAMILIES["llava"].batch(PROMPTS)) == 3 + inside


def test_what_training_reports_of_a_micro_batch_is_read_at_once(device_waits) -> None:
    labels = torch.arange(12).view(2, 6)
    labels[:, :2] = IGNORED
    targets, measured = targets_of(labels, None), Measured()
    given = {"labels": labels, "attention_mask": torch.ones_like(labels)}
    outputs = {"logits": torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(0))}
    with device_waits.counted_waits("cpu") as counted:
        measure(measured, given, outputs, {"loss": torch.tensor(2.0)}, targets, ["en", "tr"], learned=8)
    assert sum(counted.values()) == 1
    losses = cross_entropy(outputs["logits"][:, :-1].flatten(0, 1), targets.flatten(), reduction="none")
    wanted = losses.double().view(2, 5).sum(1).tolist()  # what is ignored has a loss of zero
    assert measured.languages["en"] == (pytest.approx(wanted[0]), 4)
    assert measured.languages["tr"] == (pytest.approx(wanted[1]), 4)
    assert (measured.losses, measured.learned, measured.read) == ({"loss": 16.0}, 8, 12)
