"""Whoever is asked for a file by a name that no file can have says so, whatever reads the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from parrot_adapters.atomic_files import as_path
from parrot_adapters.cli import main
from parrot_adapters.data import DataSettings, SourceSettings, open_data
from parrot_adapters.data.survey import survey
from parrot_adapters.errors import ConfigError
from parrot_adapters.evaluation import BENCHMARKS, find_subsets, load_languages, load_subset, read_predictions
from parrot_adapters.evaluation.comparison import read_run
from parrot_adapters.training import load_config

MMMB = BENCHMARKS["mmmb"]
NO_NAMES = {
    "too long": "x" * 300,
    "too long a folder": f"{'x' * 300}/a",
    "a null byte": "a\0b",
    "empty": "",
    "half": "\ud800",
}


def opened(path: str, **more: object) -> object:
    return open_data(DataSettings((SourceSettings(path, **more),)), seed=0)  # type: ignore[arg-type]


READERS: dict[str, Callable[[str], object]] = {
    "load_config": load_config,
    "load_subset": lambda path: load_subset(path, MMMB, "en"),
    "find_subsets": lambda path: find_subsets(path, MMMB),
    "read_predictions": lambda path: read_predictions(path, MMMB),
    "read_run": read_run,
    "load_languages": load_languages,
    "open_data": opened,
    "open_data, streamed": lambda path: opened(path, streaming=True),
    "survey": lambda path: survey(SourceSettings(path)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_that_no_file_can_have(reader: str, name: str) -> None:
    with pytest.raises(ConfigError, match=r"longer than a path can be|is no path|must be a path, not empty"):
        READERS[reader](NO_NAMES[name])


def test_names_of_files_that_are_not_there_are_names(tmp_path: Path) -> None:
    for name in ("gone", "gone/further", "x" * 255):
        assert as_path(tmp_path / name, "path") == tmp_path / name
    (tmp_path / "file").touch()
    assert as_path(tmp_path / "file" / "below", "path").name == "below"


def test_a_plugin_file_that_is_not_there_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["plugins", "--plugin-file", "nowhere.py"])
    assert stopped.value.code == 2
    assert "nowhere.py" in capsys.readouterr().err


def test_a_directory_that_is_called_nothing_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--model", "a", "--benchmark", "mmmb", "--data", "b", "--protocol", "vlmevalkit-2026"]
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", *asked, "--out", ""])
    assert stopped.value.code == 2
    assert "'--out': it is empty" in capsys.readouterr().err


def test_what_the_system_refuses_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import errno
    import os

    def full(path: object, **_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("parrot_adapters.cli.LazyGroup.get_command", lambda *_: full("report.html"))
    assert main(["env"]) == 1
    assert "No space left on device: 'report.html'" in capsys.readouterr().err
