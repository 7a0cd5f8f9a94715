"""A save that is cut short, at any step, leaves the old adapter or the new one: never half of each."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from support.tiers import late_unless

import parrot_adapters as pa
from parrot_adapters.adapter import adapter_files
from parrot_adapters.adapter.read_adapter_files import read_adapter


class Killed(BaseException):
    """Nothing catches it on the way out."""


class Faults:
    """Make the n-th step that touches the disk fail halfway; with ``dead`` all later ones too: a killed process."""

    def __init__(self, monkeypatch, *, at: int, dead: bool, error: BaseException) -> None:
        self.at, self.dead, self.error, self.count = at, dead, error, 0
        self.patch = monkeypatch
        for owner, name in (
            (os, "replace"),
            (shutil, "rmtree"),
            (tempfile, "mkdtemp"),
            (Path, "mkdir"),
            (Path, "unlink"),
            (Path, "rmdir"),
            (Path, "chmod"),
        ):
            self._watch(owner, name, lambda *args: None)
        self._watch(adapter_files, "write_tensor_file", lambda path, tensors: path.write_bytes(b"half"))
        self._watch(Path, "write_text", lambda path, text: path.write_bytes(text.encode()[: len(text) // 2]))

    def _watch(self, owner, name, half) -> None:
        whole = getattr(owner, name)

        def step(*args, **kwargs):
            self.count += 1
            if self.count == self.at:
                half(*args)
                raise self.error
            if self.dead and self.count > self.at:
                raise self.error
            return whole(*args, **kwargs)

        self.patch.setattr(owner, name, step)


def what_loads(directory):
    """All weights of the adapter in a directory, or None if there is no directory."""
    if not directory.exists():
        return None
    stored = read_adapter(directory)
    return dict(stored.weights) | dict(stored.projector or {}) | dict(stored.lora or {})


def same(left, right) -> bool:
    return left.keys() == right.keys() and all(left[k].equal(right[k]) for k in left)


def check_cut_short(handle, prepare, work: Path, *, dead: bool, error: BaseException) -> tuple[int, int]:
    """Cut the saving of an adapter short at every step; count how often the old and the new one load.

    Args:
        handle: the new adapter.
        prepare: writes the old adapter to a directory, or does nothing.
        work: a directory to work in.
        dead: all later steps fail too.
        error: what is raised.
    """
    handle.save_pretrained(work / "new")
    wanted = what_loads(work / "new")
    before = after = 0
    for at in range(1, 100):
        target = work / f"{at}" / "adapter"
        target.parent.mkdir()
        prepare(target)
        had = what_loads(target)
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, at=at, dead=dead, error=error)
            with suppress(Killed, pa.ParrotError):
                handle.save_pretrained(target)
        if faults.count < at:
            return before, after
        found = what_loads(target)
        if found is had is None or (found and had and same(found, had)):
            before += 1
        else:
            assert found is not None, f"step {at}: the old adapter is gone"
            assert same(found, wanted), f"step {at}: neither the old adapter nor the new one"
            after += 1
        handle.save_pretrained(target)  # and the next save puts all right, whatever was left lying about
        assert same(what_loads(target), wanted)
        assert not list(target.rglob(".*.safetensors.*")), "pending files are cleared away"
        shutil.rmtree(target.parent)
    raise AssertionError("saving takes more than 100 steps?")


@pytest.fixture
def small_adapter(kit, make_host, small):
    """The layer alone."""
    handle = pa.attach(make_host(), small)
    kit.disturb(handle, seed=7)
    return handle


DEATHS = pytest.mark.parametrize(
    ("dead", "error"), [(True, Killed()), (False, OSError(28, "No space left on device"))], ids=["killed", "disk full"]
)


@DEATHS
def test_first_save(full, tmp_path, dead, error):
    before, after = check_cut_short(full, lambda target: None, tmp_path, dead=dead, error=error)
    assert before > 5
    assert after > 0


@DEATHS
@pytest.mark.parametrize("order", late_unless(["small over full"], ["small over full", "full over small"]))
def test_replacing(small_adapter, full, make_host, inputs, kit, tmp_path, dead, error, order):
    old, new = (full, small_adapter) if order == "small over full" else (small_adapter, full)
    old.save_pretrained(tmp_path / "old")

    def prepare(target):
        shutil.copytree(tmp_path / "old", target)

    before, after = check_cut_short(new, prepare, tmp_path, dead=dead, error=error)
    assert before > 3
    assert after > 3


def test_an_adapter_whose_files_wait_under_pending_names_loads(kit, small_adapter, full, make_host, inputs, tmp_path):
    """Killed right after the config took effect."""
    target = tmp_path / "adapter"
    small_adapter.save_pretrained(target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter_files, "suppress", _killed)
        with pytest.raises(Killed):
            full.save_pretrained(target)
    assert list(target.glob(".adapter_model.safetensors.*"))
    host = make_host()
    pa.load_adapter(host, target, strict=True)
    assert torch.equal(kit.logits(host, inputs), kit.logits(full.model, inputs))


def _killed(*args):
    raise Killed


def test_the_check_bites_when_files_are_replaced_one_by_one(small_adapter, full, tmp_path, monkeypatch):
    full.save_pretrained(tmp_path / "old")

    def one_by_one(directory, staging):
        for path in sorted(staging.iterdir()):
            os.replace(path, directory / path.name)

    monkeypatch.setattr(adapter_files, "_replace", one_by_one)
    with pytest.raises((AssertionError, pa.ParrotError)):
        check_cut_short(
            small_adapter,
            lambda target: shutil.copytree(tmp_path / "old", target),
            tmp_path,
            dead=True,
            error=Killed(),
        )


def test_a_disk_that_is_full_is_one_clear_error(small_adapter, tmp_path, monkeypatch):
    Faults(monkeypatch, at=3, dead=False, error=OSError(28, "No space left on device"))
    with pytest.raises(pa.ParrotError, match="No space left"):
        small_adapter.save_pretrained(tmp_path / "adapter")
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
