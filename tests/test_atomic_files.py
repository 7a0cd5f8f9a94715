"""Files and directories appear whole or not at all, whatever fails, and leave no litter."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from parrot_adapters.atomic_files import appearing_directory, appearing_file, write_bytes, write_json, write_text
from parrot_adapters.digests import bytes_digest, file_digest, file_md5, json_digest, short_digest, text_digest

KILLED = """
import os, signal, sys
from pathlib import Path
from parrot_adapters.atomic_files import {how}
with {how}(sys.argv[1]) as beside:
    (beside if beside.suffix else beside / "part").write_text("half of it")
    os.kill(os.getpid(), signal.SIGKILL)
"""


class Failure(Exception):
    pass


def fail_half_way(path: Path) -> None:
    path.write_bytes(b"ne")
    raise Failure


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_its_directory_and_replaced(tmp_path):
    path = tmp_path / "a" / "b.txt"
    for text in ("first", "zweite Fassung"):
        write_text(path, text)
        assert path.read_text("utf-8") == text
    assert names(path.parent) == ["b.txt"]


def test_json_keeps_letters_and_refuses_nan(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"dil": "Türkçe"})
    assert "Türkçe" in path.read_text("utf-8")
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, float("nan"))
    assert json.loads(path.read_text("utf-8")) == {"dil": "Türkçe"}


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    with pytest.raises(Failure), appearing_file(path) as beside:
        fail_half_way(beside)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_content_reaches_the_disk_before_the_name(tmp_path, monkeypatch):
    done = []
    flush, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (done.append("flush"), flush(descriptor))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("rename"), rename(a, b))[1])
    write_bytes(tmp_path / "a", b"content")
    assert done == ["flush", "rename", "flush"]
    done.clear()
    with appearing_directory(tmp_path / "d") as new:
        (new / "below").mkdir()
        (new / "below" / "b").write_bytes(b"content")
    assert done == ["flush"] * 3 + ["rename", "flush"]  # the file, both directories, the new name


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_modes_are_those_of_any_other_file(tmp_path):
    write_text(tmp_path / "ours", "")
    (tmp_path / "theirs").write_text("")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "theirs").stat().st_mode)
    with appearing_directory(tmp_path / "ours.d"):
        pass
    (tmp_path / "theirs.d").mkdir()
    assert stat.S_IMODE((tmp_path / "ours.d").stat().st_mode) == stat.S_IMODE((tmp_path / "theirs.d").stat().st_mode)


def test_a_directory_that_stands_is_replaced_kept_or_refused(tmp_path):
    target = tmp_path / "d"
    target.mkdir()
    (target / "old").write_text("")
    for existing, left in (("keep", ["old"]), ("replace", ["new"])):
        with appearing_directory(target, existing=existing) as beside:
            (beside / "new").write_text("")
        assert names(target) == left
    with pytest.raises(OSError, match="not empty"), appearing_directory(target, existing="refuse") as beside:
        (beside / "newer").write_text("")
    assert names(target) == ["new"]
    assert names(tmp_path) == ["d"]


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
@pytest.mark.parametrize(("how", "name"), [("appearing_file", "whole.txt"), ("appearing_directory", "whole")])
def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path, how, name):
    path = tmp_path / name
    ended = subprocess.run([sys.executable, "-c", KILLED.format(how=how), str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not path.exists()
    assert len(names(tmp_path)) == 1  # the litter
    mine = tmp_path / names(tmp_path)[0].replace(names(tmp_path)[0].rsplit("-", 2)[1], str(os.getppid()))
    mine.mkdir()  # a live process is writing too
    with appearing_directory(path) if how == "appearing_directory" else appearing_file(path) as beside:
        (beside if beside.suffix else beside / "all").write_text("all of it")
    assert names(tmp_path) == sorted([mine.name, name])


def test_digests_say_what_is_the_same(tmp_path):
    assert json_digest({"a": 1, "b": [2]}) == json_digest({"b": [2], "a": 1})
    assert json_digest({"a": 1}) != json_digest({"a": 2})
    assert short_digest({"a": 1}) == json_digest({"a": 1})[:12]
    (tmp_path / "a").write_bytes("ü".encode())
    assert file_digest(tmp_path / "a") == text_digest("ü") == bytes_digest([b"\xc3", b"\xbc"])
    assert text_digest("ü") == hashlib.sha256("ü".encode()).hexdigest() != bytes_digest([b"\xbc", b"\xc3"])
    assert file_md5(tmp_path / "a") == hashlib.md5("ü".encode(), usedforsecurity=False).hexdigest()
    with pytest.raises(TypeError):
        json_digest(object())
