"""The examples of each command's help: all are commands of the library, and run as they are written."""

from __future__ import annotations

import os
import re
import shlex
from contextlib import suppress
from pathlib import Path

import pytest
from support.folders import ROOT

from parrot_adapters.cli import BUILT_IN, main
from parrot_adapters.cli.commands import EXAMPLES, Command

COMMANDS = [
    *(["data", "check"] if name == "data" else [name] for name in (*BUILT_IN, "train", "quickstart")),
    *(["emoji", name] for name in ("export", "languages", "credits")),
]
WITHOUT = (["import-reference"], ["score"])  # a released checkpoint, and predictions made elsewhere, are not at hand
LONG = ("parrot quickstart",)  # minutes; recipes' own tests run it
FIRST = ("parrot train", "parrot measure-routing", "parrot evaluate")  # what the others look into


def examples_in(shown: str) -> list[str]:
    """The command lines of a help text, put together from the lines they are shown on."""
    _, _, below = shown.partition(f"{EXAMPLES}:\n")
    return [line.strip() for line in re.sub(r" \\\n +", " ", below).splitlines() if line.strip()]


def shown_by(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with suppress(SystemExit):
        main([*command, "--help"])
    return capsys.readouterr().out


@pytest.fixture
def examples(capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    return {" ".join(command): examples_in(shown_by(command, capsys)) for command in COMMANDS}


def test_every_command_has_one_of_its_own_and_each_is_understood(
    examples: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr(Command, "invoke", lambda self, context: asked.append(self.name))  # parsed, and no more
    assert [name for name, found in examples.items() if not found] == [" ".join(name) for name in WITHOUT]
    for name, found in examples.items():
        for example in found:
            program, *words = shlex.split(example)
            assert (program, words[: len(name.split())]) == ("parrot", name.split())
            assert main(words) == 0
            assert asked.pop() == name.split()[-1]
    for slip in (["evaluate", "--modl", "a"], ["grow", "only-one"], ["data", "chek"]):
        with pytest.raises(SystemExit) as stopped:
            main(slip)
        assert stopped.value.code == 2


def test_they_fit_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        assert all(len(line) <= 80 for line in shown_by(command, capsys).splitlines())


@pytest.mark.slow
def test_they_run_as_they_are_written(
    examples: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    commands = [example for found in examples.values() for example in found if not example.startswith(LONG)]
    rank = {first: place for place, first in enumerate(FIRST)}
    commands.sort(key=lambda example: rank.get(" ".join(example.split()[:2]), len(FIRST)))
    for example in commands:
        code = main(shlex.split(os.path.expandvars(example))[1:])
        said = capsys.readouterr()
        assert code == 0, f"{example}\n{said.out[-500:]}\n{said.err[-1500:]}"
