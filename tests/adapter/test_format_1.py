"""Adapters that somebody saved before today: directories of format 1, written once (``fixtures/format_1/make.py``)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.folders import FIXTURES

import parrot_adapters as pa
from parrot_adapters.errors import HostMismatchError
from parrot_adapters.hosts import fingerprint as fingerprint_module

GOLDEN = FIXTURES / "format_1"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/case.json"))


def golden_host() -> Any:
    from transformers import LlavaForConditionalGeneration

    return LlavaForConditionalGeneration.from_pretrained(GOLDEN / "host").eval()


def check_golden(kit: Any, case: Path) -> None:
    """The adapter fits its host, weights included (``strict``), and gives the logits it gave when it was saved."""
    inputs, expected = load_file(GOLDEN / "inputs.safetensors"), load_file(case / "expected.safetensors")
    languages = json.loads((case / "case.json").read_text("utf-8"))["languages"]
    host = golden_host()
    torch.testing.assert_close(kit.logits(host, inputs), expected["bare"], rtol=1e-5, atol=1e-5)
    handle = pa.load_adapter(host, case / "adapter", strict=True)
    with handle.languages(languages or [None, None]):
        torch.testing.assert_close(kit.logits(host, inputs), expected["adapted"], rtol=1e-5, atol=1e-5)


def test_every_kind_is_there():
    assert CASES == [
        "chat",
        "conditioned",
        "language-id",
        "lora",
        "projector",
        "projector-only",
        "text-guided",
        "top-k",
    ]


@pytest.mark.parametrize("case", CASES)
def test_loads_as_it_was_saved(kit, case):
    check_golden(kit, GOLDEN / case)


@pytest.fixture
def copied(tmp_path):
    """``copied(case)``: a copy that a test may spoil."""
    return lambda case: Path(shutil.copytree(GOLDEN / case, tmp_path / case))


SPOILED = {
    "text-guided": "adapter_model.safetensors",
    "projector-only": "projector.safetensors",
    "lora": "llm_lora/adapter_model.safetensors",
}


@pytest.mark.parametrize("case", SPOILED)
def test_the_check_bites_when_one_weight_is_another(kit, copied, case):
    directory = copied(case)

    def spoil(tensors):
        tensors[sorted(tensors)[0]].view(-1)[0] += 0.5

    kit.edit_weights(directory / "adapter", spoil, SPOILED[case])
    with pytest.raises(AssertionError, match="not close"):
        check_golden(kit, directory)


def test_the_check_bites_when_the_chat_format_is_forgotten(kit, copied):
    directory = copied("chat")
    kit.edit_config(directory / "adapter", lambda described: described.pop("chat_format"))
    with pytest.raises(AssertionError, match="not close"):
        check_golden(kit, directory)


def test_the_check_bites_when_the_fingerprint_samples_other_values(kit, monkeypatch):
    """The host's sizes were chosen so that another arithmetic of the sampled places picks other values."""

    def whole_numbers(size, count):
        count = min(size, count)
        return torch.tensor([number * (size - 1) // max(count - 1, 1) for number in range(count)])

    monkeypatch.setattr(fingerprint_module, "sampled_places", whole_numbers)
    with pytest.raises(HostMismatchError, match="other weights"):
        check_golden(kit, GOLDEN / "text-guided")
