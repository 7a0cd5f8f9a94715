"""Trainers are started often here: what they import is imported first, and then left alone by the collector."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(scope="session", autouse=True)
def _imported_once() -> None:
    import peft  # noqa: F401
    from transformers import Trainer  # noqa: F401

    import parrot_adapters.training.trainer  # noqa: F401

    gc.collect()
    gc.freeze()
