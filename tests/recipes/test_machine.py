"""The quickstart starts where the system is asked in vain: macOS and Windows, faked."""

from __future__ import annotations

import os
import sys

import pytest
from parrot_recipes.emoji import dataset, machine, quickstart
from parrot_recipes.emoji.pretrained import PRETRAINED


def test_cores_on_linux_are_those_one_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 8}, raising=False)
    assert machine.usable_cores() == 3


@pytest.mark.parametrize(("count", "cores"), [(6, 6), (None, 1)])
def test_cores_elsewhere_are_the_machines(monkeypatch, count, cores):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert machine.usable_cores() == cores


def test_memory_is_unknown_on_windows(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert machine.peak_memory() is None


def test_memory_is_counted_in_bytes_on_macos(monkeypatch):
    here = machine.peak_memory()
    assert here
    monkeypatch.setattr(sys, "platform", "darwin")
    assert abs(machine.peak_memory() - here / 1024) <= 1


def test_the_quickstart_starts_there(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    started = []
    monkeypatch.setattr(quickstart, "run", lambda config, out: started.append((config.workers, out)))
    assert quickstart.command(["--out", str(tmp_path)]) == 0
    assert started == [(3, tmp_path)]


def test_the_text_models_of_the_command_are_those_there_are():
    assert ("siloed", *PRETRAINED) == dataset.TEXT_MODELS
