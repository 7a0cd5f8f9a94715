"""The README's Python runs, its files exist, and its commands are the command line's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import transformers
from miniatures import FAMILIES
from support.folders import ROOT

from parrot_adapters import cli

README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A miniature stands in for the published weights; everything else in the README's code is real."""

    def miniature(*_: Any) -> Any:
        return FAMILIES["llava"].build()

    monkeypatch.setattr(transformers.LlavaForConditionalGeneration, "from_pretrained", staticmethod(miniature))
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", staticmethod(lambda *_: None))


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_python_runs(number: int, no_downloads: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[number], f"README.md block {number}", "exec"), {})


def test_there_is_python_to_run() -> None:
    assert len(BLOCKS) >= 3


def test_linked_files_exist() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_commands_exist() -> None:
    named = set(re.findall(r"`parrot ([a-z-]+)", README))
    assert {"quickstart", "plugins", "import-reference"} <= named
    assert named <= set(cli._targets())
