"""A module is made again, loaded, copied or pickled, and answers the same."""

from __future__ import annotations

import copy
import io
import json
import pickle
import sys
from functools import partial
from typing import Any

import torch

from parrot_adapters.testing.checks import Skipped, agree
from parrot_adapters.testing.modules import seeded_call
from parrot_adapters.testing.subject import Subject, perturb

__all__ = ["config_round_trip", "deepcopy", "pickles", "state_dict_round_trip"]

same = partial(agree, rtol=0, atol=1e-6)


def state_dict_round_trip(subject: Subject[Any, Any]) -> None:
    """A new module that loads the state answers the same: all that matters is in the state dict."""
    old = subject.fresh()
    with io.BytesIO() as file:
        torch.save(old.state_dict(), file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
    new = subject.fresh(seed=1)  # so that values which were not saved differ
    new.load_state_dict(state, strict=True)
    case = subject.typical()
    same(seeded_call(subject, new, case), seeded_call(subject, old, case), found_is="loaded", wanted_is="saved")


def config_round_trip(subject: Subject[Any, Any]) -> None:
    """Made again from its options as an adapter's config stores them (JSON), it takes the weights and answers alike."""
    tried = [options for options in subject.option_sets() if options]
    if not tried:
        raise Skipped("it was given no options")
    case = subject.typical()
    for options in tried:
        try:
            stored = json.loads(json.dumps(options, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise AssertionError(f"an adapter's config cannot store the options {options}: {error}") from error
        before = copy.deepcopy(stored)
        old, new = subject.fresh(options=options), subject.fresh(seed=1, options=stored)
        assert stored == before, f"it changed the options that it was given: {before} became {stored}"
        new.load_state_dict(old.state_dict())
        same(
            seeded_call(subject, new, case),
            seeded_call(subject, old, case),
            found_is=f"made again with {json.dumps(stored)}",
            wanted_is=f"made with {options}",
        )


def deepcopy(subject: Subject[Any, Any]) -> None:
    """A deep copy, made after training steps, answers the same and is independent of the original."""
    module, case = subject.fresh(), subject.typical()
    answer = seeded_call(subject, module.train(), case)
    del answer
    copied = copy.deepcopy(module).eval()
    module.eval()
    before = seeded_call(subject, module, case)
    same(seeded_call(subject, copied, case), before, found_is="copy", wanted_is="original")
    perturb(module, seed=5)
    same(
        seeded_call(subject, copied, case),
        before,
        found_is="copy, after the original was trained on",
        wanted_is="copy before",
    )


def pickles(subject: Subject[Any, Any]) -> None:
    """The module can be pickled, and answers the same afterwards."""
    module, case = subject.fresh(), subject.typical()
    local = [type(m).__qualname__ for m in module.modules() if not _importable(type(m))]
    if local:
        raise Skipped(f"{local[0]} is defined inside a function or a script, where pickle cannot find any class")
    copied = pickle.loads(pickle.dumps(module))
    same(
        seeded_call(subject, copied, case),
        seeded_call(subject, module, case),
        found_is="unpickled",
        wanted_is="original",
    )


def _importable(cls: type) -> bool:
    found: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is cls
