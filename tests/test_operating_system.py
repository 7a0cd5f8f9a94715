"""The operating system is asked in one place, which has an answer where the system gives none: others are faked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from parrot_recipes.emoji import dataset, quickstart
from parrot_recipes.emoji.pretrained import PRETRAINED
from support.folders import ROOT

from parrot_adapters import operating_system
from parrot_adapters.atomic_files import appearing_directory, write_text
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.rejects import Rejects
from parrot_adapters.evaluation.answers.store import AnswerStore

ASKED = re.compile(
    r"\bimport (?:fcntl|resource|msvcrt|pwd|termios)\b"
    r"|\bos\.(?:name\b|kill|fork|umask|uname|mkfifo|sched_|getuid|statvfs)"
    r"|sys\.platform|/proc/"
)


def asking(folders: list[Path]) -> list[str]:
    files = (file for folder in folders for file in sorted(folder.rglob("*.py")) if "tests" not in file.parts)
    return [file.name for file in files if ASKED.search(file.read_text("utf-8"))]


def test_systems_are_told_apart_in_one_file(tmp_path: Path) -> None:
    found = asking([ROOT / "parrot_adapters", ROOT / "recipes", ROOT / "plugins"])
    assert found == ["products.py", "operating_system.py"]  # core knows nothing of the library, so it asks by itself
    (tmp_path / "slip.py").write_text("import os\nif os.name == 'nt': pass\n")
    assert asking([tmp_path]) == ["slip.py"]


# -- files ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)


def test_locks_are_held_by_one(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with (tmp_path / "a").open("w") as first, (tmp_path / "a").open("w") as second:
        assert operating_system.hold(first) is True
        assert operating_system.hold(second) is False
        operating_system.release(first)
        assert operating_system.hold(second, wait=True) is True


def test_a_file_system_without_locks_is_not_somebody_who_holds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (tmp_path / "a").open("w") as file:
        assert operating_system.hold(file) is None
    AnswerStore(tmp_path / "answers.jsonl").close()


def test_a_reject_waits_for_whoever_is_writing(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    path = tmp_path / "rejects.jsonl"
    added = threading.Thread(
        target=lambda: Rejects(path).add(BadSample("over-long", "9 tokens"), source="a", number=1, identity="x")
    )
    with path.open("ab") as file:
        assert operating_system.hold(file)
        added.start()
        added.join(0.5)
        assert added.is_alive()
        assert path.read_bytes() == b""
    added.join(30)
    assert Rejects(path).counts() == {"over-long": 1}


@pytest.mark.usefixtures("without_locks")
def test_where_there_are_no_locks_everything_goes_on(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w") as file:
        assert operating_system.hold(file) is None
    with AnswerStore(tmp_path / "answers.jsonl") as one, AnswerStore(tmp_path / "answers-2.jsonl"):
        assert not one.others_write()
    rejects = Rejects(tmp_path / "rejects.jsonl")
    rejects.add(BadSample("over-long", "9 tokens"), source="a", number=1, identity="x")
    assert Rejects(tmp_path / "rejects.jsonl").counts() == {"over-long": 1}


def test_files_and_directories_are_written_as_windows_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, asked = [], os.open
    monkeypatch.setattr(operating_system, "WINDOWS", True)
    monkeypatch.setattr(
        os, "open", lambda path, flags, *more: (opened.append((path, flags)), asked(path, flags, *more))[1]
    )
    with appearing_directory(tmp_path / "made") as inside:
        write_text(inside / "a", "x")
    assert (tmp_path / "made" / "a").read_text() == "x"
    flushed = [(Path(path), flags) for path, flags in opened if flags in (os.O_RDWR, os.O_RDONLY)]
    assert flushed
    assert all(flags == os.O_RDWR and not path.is_dir() for path, flags in flushed)


# -- processes ------------------------------------------------------------------------------------------------------


def test_a_process_that_is_gone_is_told_from_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert operating_system.runs(os.getpid())
    assert not operating_system.runs(gone.pid)
    monkeypatch.setattr(operating_system, "WINDOWS", True)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("signal 0 ends a process there"))
    assert operating_system.runs(gone.pid)


# -- the machine ----------------------------------------------------------------------------------------------------


def test_cores_on_linux_are_those_one_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 8}, raising=False)
    assert operating_system.usable_cores() == 3


@pytest.mark.parametrize(("count", "cores"), [(6, 6), (None, 1)])
def test_cores_elsewhere_are_the_machines(monkeypatch: pytest.MonkeyPatch, count: int | None, cores: int) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert operating_system.usable_cores() == cores


def test_memory_is_unknown_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert operating_system.peak_memory() is None


def test_memory_is_counted_in_bytes_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    here = operating_system.peak_memory()
    assert here
    monkeypatch.setattr(sys, "platform", "darwin")
    assert abs((operating_system.peak_memory() or 0) - here / 1024) <= 1


def test_the_quickstart_starts_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    started = []
    monkeypatch.setattr(quickstart, "run", lambda config, out: started.append((config.workers, out)))
    assert quickstart.command(["--out", str(tmp_path)]) == 0
    assert started == [(3, tmp_path)]


def test_the_text_models_of_the_command_are_those_there_are() -> None:
    assert ("siloed", *PRETRAINED) == dataset.TEXT_MODELS
