"""The matrix over every type, on a sample; in full by hand and nightly (``python tests/support/every_host``)."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import pytest
import torch
from miniatures import FAMILIES
from miniatures.own_calls import OWN_CALLS
from support.every_host.build import Miniature, NotBuilt, every_type, miniature
from support.every_host.matrix import CHECKS, run
from support.every_host.table import HEADING, table
from support.folders import ROOT

from parrot_adapters.hosts.native_seam import NativeSeam

PAGE = (ROOT / "docs" / "hosts.md").read_text("utf-8")
SAMPLE = {  # by rules alone, by hand, at its own calls; one that is refused
    "glm_ocr": "works",
    "qianfan_ocr": "works",
    "aria": "works",
    "gemma3": "works",
    "blip-2": "works",
    "kosmos-2": "works",
    "idefics": "refused",
    "udop": "refused",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_does_what_the_table_says(name: str) -> None:
    found = run(name)
    assert found["verdict"] == SAMPLE[name], found["why"]
    assert f"| {name} | {SAMPLE[name]} |" in PAGE
    if found["verdict"] == "works":
        assert tuple(found["checks"]) == CHECKS


@pytest.mark.slow
def test_a_seam_that_forgets_would_be_seen(monkeypatch) -> None:
    """A double that leaves the adapter on where it should be off, and one that is dead."""
    monkeypatch.setattr(NativeSeam, "enabled", property(lambda self: True))
    assert run("llava")["checks"]["disabled"].startswith("off by")
    monkeypatch.setattr(NativeSeam, "enabled", property(lambda self: False))
    checks = run("llava")["checks"]
    assert all(checks[name] != "ok" for name in ("effect", "self-test", "gradients"))


def test_the_page_has_a_line_for_every_type_of_its_release() -> None:
    lines = PAGE.partition(HEADING)[2].splitlines()
    listed = {line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")} - {"type", "---"}
    if f"transformers {version('transformers')}" in PAGE:
        assert listed >= set(every_type())
    assert set(FAMILIES) | set(OWN_CALLS) <= listed


def test_the_table_says_what_was_found() -> None:
    found: dict[str, Any] = {
        "b": {"verdict": "works", "why": "", "seam": "calls", "checks": {"identity": "ok", "none": "bare: X"}},
        "a": {"verdict": "fails", "why": "cache: 1 | 2\n<x>", "seam": "native", "checks": {"identity": "off"}},
        "c": {"verdict": "refused", "why": "no vision"},
    }
    old = {"a": {"verdict": "works", "why": "", "seam": "native", "checks": {"identity": "ok"}}, "c": found["c"]}
    old["d"] = {"verdict": "refused", "why": "gone since"}
    text = table(json.loads(json.dumps({"9.8": old, "9.10": found})))
    assert "3 types, transformers 9.10: 1 works, 1 fails, 1 refused." in text
    assert "3 types, transformers 9.8: 1 works, 2 refused." in text
    assert "| type | transformers 9.10 | seam | checks | 9.8 |  |\n| --- | --- | --- | --- | --- | --- |\n" in text
    assert "| b | works | calls | 1 of 2 |  | — none |" in text
    assert "| a | fails | native | 0 of 1 | works | cache: 1 \\| 2 &lt;x> |" in text
    assert "| c | refused |  |  | refused | no vision |" in text
    assert "| d |  |  |  | refused | 9.8: gone since |" in text
    assert text.index("| b |") < text.index("| a |") < text.index("| c |") < text.index("| d |")


def test_a_type_that_nobody_can_build_says_why(monkeypatch) -> None:
    monkeypatch.setattr("support.every_host.build.LARGEST", 10)
    with pytest.raises(NotBuilt, match="parameters at the smallest size"):
        miniature("qianfan_ocr")
    assert run("qianfan_ocr")["verdict"] == "not built"


def test_a_miniature_made_by_rules_is_the_same_every_time() -> None:
    made = miniature("qianfan_ocr")
    assert isinstance(made, Miniature)
    one, other = made.build().state_dict(), made.build().state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
