"""The table of private names holds against the installed transformers, and each absence is refused loudly.

Run by hand against transformers 5.20.0, the oldest release we support, in November 2026: every entry is there, with the
same arguments as in 5.24.0, and this file passes. To do so again for another release:

    pip install --no-deps --target OLD transformers==5.20.0
    PYTHONPATH=OLD pytest tests/hosts/test_private_api.py
"""

from __future__ import annotations

import importlib
import re

import pytest
import torch
from miniatures import ADAPTER, FAMILIES

import parrot_adapters as pa
from parrot_adapters.errors import HostError, TrainingError
from parrot_adapters.hosts import private_api
from parrot_adapters.hosts.generation_override import GENERATION_HELPER
from parrot_adapters.hosts.private_api import PRIVATE_API, PrivateName, missing_names, require_for_training

NAMES = pytest.mark.parametrize("entry", PRIVATE_API, ids=lambda entry: entry.name)


def owner(entry: PrivateName) -> type:
    return getattr(importlib.import_module(entry.module), entry.owner)


def refuses(entry: PrivateName) -> None:
    """What needs the name refuses to start, and names it."""
    if entry.training:
        with pytest.raises(TrainingError, match=entry.name):
            require_for_training()
        return
    host = FAMILIES["llava"].build()
    for attach in (lambda: pa.attach(host, ADAPTER), lambda: pa.attach_projector(host)):
        with pytest.raises(HostError, match=entry.name):
            attach()
        assert pa.attachment_of(host) is None


@NAMES
def test_it_is_there(entry: PrivateName) -> None:
    assert entry.fault() is None


@NAMES
def test_its_absence_is_refused(entry: PrivateName, monkeypatch) -> None:
    holder = next(part for part in owner(entry).__mro__ if entry.name in vars(part))
    monkeypatch.delattr(holder, entry.name)
    monkeypatch.setattr(holder, "__annotations__", {})
    refuses(entry)


@pytest.mark.parametrize("entry", [e for e in PRIVATE_API if e.arguments], ids=lambda entry: entry.name)
def test_other_arguments_are_refused(entry: PrivateName, monkeypatch) -> None:
    monkeypatch.setattr(owner(entry), entry.name, lambda self, anything_else: None)
    refuses(entry)


@pytest.mark.parametrize("training", [True, False])
def test_an_entry_nobody_looks_at_is_caught(monkeypatch, training: bool) -> None:
    """A double of the table itself: the check really reads it."""
    gone = PrivateName("transformers", "GenerationMixin", "_was_never_there", "nothing", training=training)
    monkeypatch.setattr(private_api, "PRIVATE_API", (*PRIVATE_API, gone))
    assert list(missing_names(training=training).values()) == [gone]
    assert not missing_names(training=not training)
    refuses(gone)


def test_the_seam_and_the_trainer_use_nothing_else() -> None:
    """Private methods that our trainer overrides, and the one that the seam stands in for, are all in the table."""
    from transformers import Trainer

    from parrot_adapters.training.trainer import __file__ as source

    with open(source, encoding="utf-8") as file:
        overridden = {name for name in re.findall(r"def (_\w+)\(self", file.read()) if hasattr(Trainer, name)}
    listed = {entry.name for entry in PRIVATE_API}
    assert len(overridden) >= 5
    assert overridden | {GENERATION_HELPER} <= listed


def test_a_run_does_not_start_without_them(monkeypatch) -> None:
    from parrot_adapters.training import trainer

    kind = next(c for c in vars(trainer).values() if isinstance(c, type) and c.__module__ == trainer.__name__)
    monkeypatch.delattr(trainer.Trainer, "_load_rng_state")
    with pytest.raises(TrainingError, match="_load_rng_state"):
        _start(kind)


def _start(kind: type) -> None:
    from unittest.mock import MagicMock

    handle, parts = MagicMock(), torch.nn.Linear(1, 1)
    handle.model = parts
    arguments = dict.fromkeys(_parameters(kind), MagicMock()) | {"handle": handle}
    kind(**arguments)


def _parameters(kind: type) -> list[str]:
    import inspect

    return [name for name, p in inspect.signature(kind).parameters.items() if p.kind is not p.VAR_KEYWORD]
