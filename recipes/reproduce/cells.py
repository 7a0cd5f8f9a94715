"""One cell of the study: one arm, one seed, one regime, one rate; trained, asked, looked at, written to one file.

A cell's file is named after everything that decides what is in it, and appears whole or not at all. So a study that was
killed goes on where it was, and a changed setting makes new cells instead of mixing with old ones.

    K  concepts    V  visual tokens    C  channels
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from parrot_recipes.emoji.arms import Setting, attach_arm, register_plugins
from parrot_recipes.emoji.compute import Compute
from parrot_recipes.emoji.concepts import Split
from parrot_recipes.emoji.errors import RecipeError
from parrot_recipes.emoji.evaluation import Answer, evaluate
from parrot_recipes.emoji.host import load_host, load_vocabulary
from parrot_recipes.emoji.presets import Arm, QuickstartConfig
from parrot_recipes.emoji.scores import MEASURES, SPLITS, table
from parrot_recipes.emoji.training import Auxiliary, TrainingSet, train
from torch import Tensor

import parrot_adapters as pa

from . import plugin
from .looking import look

__all__ = ["Cell", "CellResult", "FingerprintedSet", "read_cell", "read_file", "run_cell", "same_data", "write_cell"]

Progress = Callable[[str, str, int, int], None]  # (arm, what is being done, done, in all)
Art = Literal["test", "validation"]
FORMAT = 1  # raise when what a cell measures changes
REPORT_EVERY = 10  # steps


@dataclass(frozen=True)
class Cell:
    """What is trained and on which pictures it is asked.

    Attributes:
        arm: None asks the host as stage 1 left it.
        config: of the run; its seed, text model and rate included.
        art: ``"test"``, or ``"validation"``: new views of the training art, for choices.
        compute: where, and how precisely.
    """

    arm: Arm | None
    config: QuickstartConfig
    art: Art = "test"
    compute: Compute = field(default_factory=Compute)

    @property
    def key(self) -> str:
        return "stage-1" if self.arm is None else self.arm.key

    def described(self) -> dict[str, Any]:
        """Everything that decides the result, as plain data."""
        config = asdict(replace(self.config, arms=(), saved=(), workers=0))
        elsewhere = {} if self.compute == Compute() else {"compute": asdict(self.compute)}
        return {
            **elsewhere,
            "format": FORMAT,
            "arm": None if self.arm is None else {**asdict(self.arm), "title": ""},
            "config": config,
            "art": self.art,
            "torch": torch.__version__,
        }

    def path(self, out: Path) -> Path:
        """Its file."""
        text = json.dumps(self.described(), sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return out / "cells" / self.config.name / f"seed-{self.config.seed}" / f"{self.key}-{self.art}-{digest}.json"


@dataclass(frozen=True)
class CellResult:
    """What a cell found.

    Attributes:
        key: of the arm.
        answers: to every question in every language.
        parameters: of the adapter.
        data: fingerprint of everything it was trained on, batch by batch; empty for the host after stage 1.
        host: fingerprint of the host it started from.
        losses: mean next-token loss of each twentieth of the training.
        looked: see :func:`.looking.look`.
        seconds: by step.
    """

    key: str
    answers: tuple[Answer, ...]
    parameters: int
    data: str
    host: str
    losses: tuple[float, ...]
    looked: dict[str, Any]
    seconds: dict[str, float]

    @cached_property
    def tables(self) -> Mapping[tuple[str, Split], np.ndarray]:
        """(Q, L) of 0 and 1 by measure and split; see :func:`parrot_recipes.emoji.scores.table`."""
        return {(measure, split): table(self.answers, measure, split) for measure in MEASURES for split in SPLITS}


class FingerprintedSet(TrainingSet):
    """A training set that remembers, as one hash, every sample and every picture it gave out."""

    @cached_property
    def hash(self) -> hashlib._Hash:
        return hashlib.sha256()

    def draw(self, rng: random.Random, count: int) -> tuple[list[tuple[int, str]], Tensor]:
        asked, pictures = super().draw(rng, count)
        self.hash.update(repr(asked).encode())
        self.hash.update(pictures.contiguous().numpy().tobytes())
        return asked, pictures

    @property
    def fingerprint(self) -> str:
        return self.hash.hexdigest()[:16]


def run_cell(setting: Setting, cell: Cell, path: Path, progress: Progress) -> None:
    """Train and examine one arm, and write ``path``.

    Args:
        setting: concepts, pictures, questions and the host after stage 1; ``features.test`` are the pictures asked
            about, whichever art they are.
        cell: what to do.
        path: where the result goes.
        progress: told how far it is.
    """
    started = time.perf_counter()
    config, arm = cell.config, cell.arm
    register()
    torch.manual_seed(config.seed)
    host, vocabulary = load_host(setting.host), load_vocabulary(setting.host)

    cell.compute.place(host)

    def tell(what: str, done: int, total: int) -> None:
        if done % REPORT_EVERY == 0 or total < REPORT_EVERY or done == total:
            progress(cell.key, what, done, total)

    handle, fingerprint, losses = None, "", []
    if arm is not None:
        handle, groups = attach_arm(host, arm, config, vocabulary)
        data = FingerprintedSet(setting.concepts, setting.features, vocabulary, config.multilingual)
        auxiliary = Auxiliary(handle, arm.losses, arm.loss_options) if handle is not None and arm.losses else None
        losses = train(
            host,
            groups,
            data,
            config.stage2,
            config.seed,
            lambda done, total, _: tell("training", done, total),
            auxiliary,
            cell.compute,
        )
        host.eval()
        fingerprint = data.fingerprint
    trained = time.perf_counter()
    with cell.compute.autocast():
        answers = evaluate(
            host,
            setting.concepts,
            setting.features.test,
            setting.questions,
            vocabulary,
            progress=lambda done, total: tell("asking", done, total),
        )
    looked = look(host, handle, setting) if cell.art == "test" else {}
    parameters = 0 if handle is None else sum(p.numel() for p in handle.require_module().parameters())
    write_cell(
        path,
        {
            "cell": cell.described(),
            "parameters": parameters,
            "data": fingerprint,
            "host": file_digest(setting.host / "model.safetensors"),
            "losses": _twentieths(losses),
            "looked": looked,
            "seconds": {"training": round(trained - started, 1), "rest": round(time.perf_counter() - trained, 1)},
            "answers": [list(asdict(answer).values()) for answer in answers],
        },
    )
    tell("done", 1, 1)


def read_cell(cell: Cell, out: Path) -> CellResult | None:
    """The result, or None if the cell was not run yet.

    Raises:
        RecipeError: its file is not what :func:`run_cell` writes.
    """
    path = cell.path(out)
    return read_file(cell.key, path) if path.exists() else None


def read_file(key: str, path: Path) -> CellResult:
    """What a cell's file holds.

    Raises:
        RecipeError: it is not what :func:`run_cell` writes.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        answers = tuple(Answer(row[0], row[1], row[2], tuple(row[3]), *row[4:]) for row in found["answers"])
        rest = {name: found[name] for name in ("parameters", "data", "host", "looked", "seconds")}
        return CellResult(key=key, answers=answers, losses=tuple(found["losses"]), **rest)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise RecipeError(f"{path} is damaged ({error}).\n  to do  delete it; the study makes it again") from error


def same_data(results: Sequence[CellResult]) -> str:
    """The fingerprint of the data all these arms were trained on.

    Raises:
        RecipeError: they were not trained on the same samples in the same order, or not from the same host.
    """
    trained = [result for result in results if result.data]
    for what, values in {
        "data": {result.key: result.data for result in trained},
        "host": {result.key: result.host for result in results},
    }.items():
        if len(set(values.values())) > 1:
            listed = ", ".join(f"{key}: {value}" for key, value in values.items())
            raise RecipeError(f"these arms cannot be compared: not the same {what}.\n  given  {listed}")
    return trained[0].data if trained else ""


def register() -> None:
    """The recipes' own routers, once in each process."""
    register_plugins()
    try:
        pa.plugins.find("router", "text-guided-sharp")
    except pa.ParrotError:
        pa.plugins.register(plugin)


def file_digest(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _twentieths(losses: Sequence[float]) -> list[float]:
    size = max(1, len(losses) // 20)
    return [round(sum(part) / len(part), 4) for i in range(0, len(losses), size) if (part := losses[i : i + size])]


def write_cell(path: Path, content: dict[str, Any]) -> None:
    """The whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False)
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
