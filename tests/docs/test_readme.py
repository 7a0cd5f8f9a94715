"""The README's Python runs, its files exist, and its commands are the command line's."""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import click
import pytest
import transformers
from miniatures import FAMILIES
from support.folders import ROOT

from parrot_adapters import cli

GROUP = "parrot_adapters.commands"
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


def commands_in(text: str) -> list[list[str]]:
    """The words of every command the text shows, in a code span or a block of shell."""
    spans = re.findall(r"`(parrot [^`\n]+)`", text) + re.findall(r"^(parrot (?:[^\n\\]|\\\n)+)", text, re.MULTILINE)
    return [span.replace("\\\n", " ").split()[1:] for span in spans]


def table_of_commands() -> str:
    return "\n".join(line for line in README.splitlines() if line.startswith("| `parrot "))


def test_the_table_of_commands_is_the_command_lines_own() -> None:
    own = set(cli.BUILT_IN) | {point.name for point in distribution("parrot_adapters").entry_points.select(group=GROUP)}
    assert {words[0] for words in commands_in(table_of_commands())} == own


def options_of(words: list[str]) -> set[str]:
    """Every option of the command that these words begin with."""
    command: Any = cli._targets()[words[0]].load()
    while isinstance(command, click.Group) and len(words) > 1 and words[1] in command.commands:
        words, command = words[1:], command.commands[words[1]]
    return {"--help", "--plugin-file", *(name for parameter in command.params for name in parameter.opts)}


def unknown_options(text: str) -> list[str]:
    return [
        f"{words[0]} {option}"
        for words in commands_in(text)
        for option in re.findall(r"--[a-z][a-z-]*", " ".join(words))
        if words[0] in cli._targets() and option not in options_of(words)
    ]


def test_commands_and_their_options_exist() -> None:
    named = {words[0] for words in commands_in(README)}
    assert {"quickstart", "plugins", "import-reference"} <= named
    assert named <= set(cli._targets())
    assert unknown_options(README) == []


def test_the_check_of_options_bites() -> None:
    planted = "| `parrot emoji export --langages all` |\n\n```\nparrot plan x.yaml \\\n    --jason\n```"
    assert unknown_options(planted) == ["emoji --langages", "plan --jason"]
