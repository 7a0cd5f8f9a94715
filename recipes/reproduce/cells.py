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
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from parrot_recipes.emoji.arms import Setting, attach_arm, lora_parameters, register_plugins
from parrot_recipes.emoji.compute import Compute
from parrot_recipes.emoji.concepts import Split
from parrot_recipes.emoji.errors import RecipeError
from parrot_recipes.emoji.evaluation import Answer, evaluate
from parrot_recipes.emoji.host import load_host, load_vocabulary, projector
from parrot_recipes.emoji.presets import Arm, QuickstartConfig
from parrot_recipes.emoji.scores import MEASURES, SPLITS, table
from parrot_recipes.emoji.tokenizer import Vocabulary
from parrot_recipes.emoji.training import Auxiliary, TrainingSet, train
from torch import Tensor, nn

import parrot_adapters as pa

from . import language_vector, plugin
from .arms import arm_named
from .drift import Reading, read_once, read_text, text_drift
from .looking import look

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration

__all__ = ["Cell", "CellResult", "FingerprintedSet", "read_cell", "read_file", "run_cell", "same_data", "write_cell"]

Progress = Callable[[str, str, int, int], None]  # (arm, what is being done, done, in all)
Art = Literal["test", "validation"]
FORMAT = 3  # raise when what a cell measures changes
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
        name = self.key.replace("/", "_")  # candidates of the search have words for keys, such as "rate / 2"
        return out / "cells" / self.config.name / f"seed-{self.config.seed}" / f"{name}-{self.art}-{digest}.json"


@dataclass(frozen=True)
class CellResult:
    """What a cell found.

    Attributes:
        key: of the arm.
        answers: to every question in every language.
        parameters: trained beside the projector: of adapter, LoRA and language model.
        trained: all that were trained, the projector's included.
        rate: of the arm's own parameters, the projector's where it has none.
        data: fingerprint of everything it was trained on, batch by batch; empty for the host after stage 1.
        host: fingerprint of the host it started from.
        losses: mean next-token loss of each twentieth of the training.
        looked: see :func:`.looking.look`.
        text: what became of prompts without pictures, by language; see :class:`.drift.TextDrift`.
        seconds: by step.
    """

    key: str
    answers: tuple[Answer, ...]
    parameters: int
    trained: int
    rate: float | None
    data: str
    host: str
    losses: tuple[float, ...]
    looked: dict[str, Any]
    text: dict[str, dict[str, Any]]
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

    host.requires_grad_(False)
    training = Training() if arm is None else _train(host, setting, cell, arm, vocabulary, path, tell)
    host.eval()
    trained = time.perf_counter()
    with cell.compute.autocast(), cell.compute.frozen_linears(host):
        answers = evaluate(
            host,
            setting.concepts,
            setting.features.test,
            setting.questions,
            vocabulary,
            progress=lambda done, total: tell("asking", done, total),
        )
    looked = look(host, training.handle, setting) if cell.art == "test" else {}
    text = text_drift(read_text(host, vocabulary), _untouched(setting, cell)) if cell.art == "test" else {}
    write_cell(
        path,
        {
            "cell": cell.described(),
            "parameters": training.parameters,
            "trained": training.trained,
            "rate": training.rate,
            "data": training.data,
            "host": file_digest(setting.host / "model.safetensors"),
            "losses": training.losses,
            "looked": looked,
            "text": text,
            "seconds": {"training": round(trained - started, 1), "rest": round(time.perf_counter() - trained, 1)},
            "answers": [list(asdict(answer).values()) for answer in answers],
        },
    )
    tell("done", 1, 1)


def _untouched(setting: Setting, cell: Cell) -> Reading:
    """How the host after stage 1 reads plain text; read once for all cells of a host."""

    def read() -> Reading:
        host = load_host(setting.host)
        cell.compute.place(host)
        return read_text(host, load_vocabulary(setting.host))

    return read_once(setting.host / f"plain-text-{FORMAT}-{cell.compute.device}.json", read)


@dataclass(frozen=True)
class Training:
    """What became of a host in stage 2; nothing, for the host as stage 1 left it. Fields are those of a result."""

    handle: pa.Attachment | None = None
    parameters: int = 0
    trained: int = 0
    rate: float | None = None
    data: str = ""
    losses: list[float] = field(default_factory=list)


def _train(
    host: LlavaForConditionalGeneration,
    setting: Setting,
    cell: Cell,
    arm: Arm,
    vocabulary: Vocabulary,
    path: Path,
    tell: Callable[[str, int, int], None],
) -> Training:
    """Attach an arm, and train it or give it the weights of the arm it is made from."""
    config = cell.config
    handle, groups = attach_arm(host, arm, config, vocabulary)
    sizes = [sum(parameter.numel() for parameter in parameters) for parameters, _ in groups]
    beside = sum(sizes) - sum(parameter.numel() for parameter in projector(host).parameters())
    own = [factor for parameters, factor in groups if parameters[0] is not next(projector(host).parameters())]
    rate = config.stage2.learning_rate * (own[0] if own else 1.0)
    if arm.weights_of is not None:
        source = path.with_name(replace(cell, arm=arm_named(arm.weights_of).arm).path(path).name)
        _take_weights(host, source.with_suffix(".safetensors"), arm)
        original = read_file(arm.weights_of, source)
        return Training(handle, beside, sum(sizes), rate, original.data, list(original.losses))
    data = FingerprintedSet(setting.concepts, setting.features, vocabulary, config.multilingual)
    auxiliary = Auxiliary(handle, arm.losses, arm.loss_options) if handle is not None and arm.losses else None
    with cell.compute.frozen_linears(host):
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
    if arm.kept:
        _keep_weights(host, path.with_suffix(".safetensors"))
    return Training(handle, beside, sum(sizes), rate, data.fingerprint, _twentieths(losses))


def _kept(host: LlavaForConditionalGeneration) -> dict[str, nn.Parameter]:
    """What arms made from others take: LoRA and the projector, by name."""
    found = {f"projector.{name}": parameter for name, parameter in projector(host).named_parameters()}
    return {**found, **lora_parameters(host)}


def _keep_weights(host: LlavaForConditionalGeneration, path: Path) -> None:
    """The whole file or none."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    try:
        save_file({name: parameter.detach().cpu().contiguous() for name, parameter in _kept(host).items()}, scratch)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


@torch.no_grad()
def _take_weights(host: LlavaForConditionalGeneration, path: Path, arm: Arm) -> None:
    """Give an arm the weights of the one it is made from, LoRA at the arm's strength.

    Raises:
        RecipeError: they are not there.
    """
    from safetensors.torch import load_file

    if not path.exists():
        raise RecipeError(
            f"{arm.key!r} is made from the weights of {arm.weights_of!r}, and they are not there.\n"
            f"  looked for  {path}\n  to do  run that arm first; if its result is there, delete it"
        )
    weights = load_file(path)
    for name, parameter in _kept(host).items():
        parameter.copy_(weights[name])
        if ".lora_B." in name:  # LoRA adds B A x: scaling B scales the change
            parameter.mul_(arm.lora_strength)


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
        rest = {
            name: found[name] for name in ("parameters", "trained", "rate", "data", "host", "looked", "text", "seconds")
        }
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
    """The recipes' own routers and experts, once in each process."""
    register_plugins()
    for kind, name, offers in (("router", "text-guided-sharp", plugin), ("expert", "vector", language_vector)):
        try:
            pa.plugins.find(kind, name)
        except pa.ParrotError:
            pa.plugins.register(offers)


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
