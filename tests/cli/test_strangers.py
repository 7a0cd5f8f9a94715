"""Commands of strangers: shown with a help line without being imported, given their words as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from parrot_adapters.cli import main

STRANGER = """
'''Not this: the function has a docstring of its own.'''
import sys
print("imported", file=sys.stderr)

def command(argv):
    '''Count words, as a stranger does.

    More that the list does not show.
    '''
    print(argv)
    return len(argv)
"""


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A distribution with three commands, installed as pip leaves it."""
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "far" / "__init__.py").write_text("raise SystemExit('a package was imported to show a help line')")
    (tmp_path / "far" / "away" / "__init__.py").write_text("'''Of the module, where the function has none.'''")
    (tmp_path / "stranger.py").write_text(STRANGER)
    info = tmp_path / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[parrot_adapters.commands]\ncount = stranger:command\nfar = far.away:command\ngone = not_there:command\n"
    )
    return tmp_path


def parrot(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "parrot_adapters", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(place)},
    )


def test_they_are_shown_with_a_line_and_not_imported(stranger: Path) -> None:
    shown = parrot(stranger, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = {words[0]: " ".join(words[1:]) for line in shown.stdout.splitlines() if (words := line.split())}
    assert lines["count"] == "Count words, as a stranger does"
    assert lines["far"] == "Of the module, where the function has none"
    assert lines["gone"] == ""


def test_they_get_every_word_as_it_is(stranger: Path) -> None:
    for words in (["--nonsense", "x"], ["--help"], ["-h", "--", "-y", "--plugin-file"]):
        done = parrot(stranger, "count", *words)
        assert (done.stdout, done.returncode) == (f"{words}\n", len(words))


# --- --plugin-file ---------------------------------------------------------------------------------------------------

PLUGIN = """
from parrot_adapters import hookimpl
from parrot_adapters.core import TextGuidedRouter

@hookimpl
def register_routers(register):
    register("from-a-file", TextGuidedRouter)
"""


@pytest.mark.slow
def test_a_plugin_file_runs_where_it_is_asked_for_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    flag = ["--plugin-file", str(tmp_path / "mine.py")]
    for words in ([*flag, "plugins", "--json"], ["plugins", "--json", *flag]):
        assert "from-a-file" in parrot(tmp_path, *words).stdout
    assert "from-a-file" not in parrot(tmp_path, "plugins", "--json").stdout


def test_the_flag_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    flag = ["--plugin-file", str(tmp_path / "mine.py")]
    for before in ("", None):
        if before is None:
            monkeypatch.delenv("PARROT_PLUGIN_FILE")
        else:
            monkeypatch.setenv("PARROT_PLUGIN_FILE", before)
        assert main([*flag, "plugins", "--installed"]) == 0
        assert main(["plugins", "--installed", *flag]) == 0
        assert os.environ.get("PARROT_PLUGIN_FILE") == before
