"""A toy run: a miniature host, a task it can learn, a configuration. Imported by tests and by what they start."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from miniatures import ADAPTER, BOS, FAMILIES, FIRST_WORD, Family, Image

import parrot_adapters as pa
from parrot_adapters.data.settings import DataSettings, SourceSettings
from parrot_adapters.training import TrainingConfig, set_trainable
from parrot_adapters.training.training_config import (
    BatchSettings,
    CheckpointSettings,
    EngineSettings,
    HostSettings,
    LogSettings,
    OptimSettings,
    TrainSettings,
)
from support.folders import ROOT

LANGUAGES = ("en", "tr", "ru")
RECIPES = ROOT / "recipes" / "train"


@dataclass(frozen=True)
class Sample:
    """Name a picture: the answer depends on the picture and on the language of the question."""

    identity: str
    language: str | None
    prompt: tuple[int | Image, ...]
    answer: tuple[int, ...]


class ToyData:
    """Samples in a fixed order that depends on the epoch."""

    def __init__(self, count: int = 24, *, pictures: int = 4, text_only: Sequence[int] = (), seed: int = 0) -> None:
        self.samples = [self._sample(n, pictures, n in text_only) for n in range(count)]
        self.seed = seed

    @staticmethod
    def _sample(number: int, pictures: int, text_only: bool) -> Sample:
        language, picture = number % len(LANGUAGES), (number // len(LANGUAGES)) % pictures
        question = FIRST_WORD + 10 + language
        shown = () if text_only else (Image(picture),)
        answer = FIRST_WORD + 20 + (0 if text_only else 1 + picture) + 8 * language
        length = 1 + number % 3  # answers of one to three tokens
        return Sample(f"s{number}", LANGUAGES[language], (BOS, question, *shown, question), (answer,) * length)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def batches(self, micro_batch: int, epoch: int) -> list[list[int]]:
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(1000 * self.seed + epoch)).tolist()
        return [order[i : i + micro_batch] for i in range(0, len(order), micro_batch)]


class ToyCollator:
    """What the collator does, for a family of miniatures."""

    def __init__(self, family: Family) -> None:
        self.family = family

    def __call__(self, samples: list[Sample]) -> dict[str, Any]:
        batch = self.family.batch([(*s.prompt, *s.answer) for s in samples], padding="right")
        labels = torch.full_like(batch["input_ids"], -100)
        for row, sample in enumerate(samples):
            end = int(batch["attention_mask"][row].sum())
            labels[row, end - len(sample.answer) : end] = torch.tensor(sample.answer)
        return {
            **batch,
            "labels": labels,
            "parrot_identities": [s.identity for s in samples],
            "parrot_languages": [s.language for s in samples],
        }


def toy_config(out: Path | str, **changes: Any) -> TrainingConfig:
    """A run of ten steps; ``section__key=value`` changes what it says."""
    config = TrainingConfig(
        recipe="retrofit",
        out=str(out),
        host=HostSettings("miniature", dtype="float32"),
        data=DataSettings((SourceSettings("toy"),)),
        adapter=ADAPTER,
        steps=10,
        train=TrainSettings(adapter=True, projector=True, language_model="frozen"),
        batch=BatchSettings(size=4, per_device=2),
        optim=OptimSettings(learning_rate=1e-2, weight_decay=0.01),
        engine=EngineSettings(device="cpu", compute="float32"),
        checkpoint=CheckpointSettings(every=3),
        log=LogSettings(every=2, progress=False),
    )
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if isinstance(value, dict) and key == "batch":  # from JSON
            value = BatchSettings(**value)
        config = replace(config, **{section: replace(getattr(config, section), **{name: value}) if name else value})
    return config


def toy_handle(config: TrainingConfig, family: str = "llava") -> Any:
    """A miniature with what the configuration trains attached and made trainable."""
    model = FAMILIES[family].build().to(getattr(torch, config.host.dtype))
    lora = (config.lora or {"r": 2}) if config.train.language_model == "lora" else None
    owns = bool(config.train.projector) and config.train.language_model != "full"
    if config.recipe == "stage1":
        handle = pa.attach_projector(model)
    else:
        handle = pa.attach(model, config.adapter, train_projector=owns, lora=lora)
    set_trainable(handle, config)
    return handle


def toy_run(config: TrainingConfig, family: str = "llava", data: Any = None, **options: Any) -> tuple[Any, Any]:
    """Train; the handle and the result."""
    from parrot_adapters.training import train

    handle = toy_handle(config, family)
    collator = options.pop("collator", None) or ToyCollator(FAMILIES[family])
    settings = RECIPES / f"{config.engine.kind}.json"  # DeepSpeed's, as the recipes have them
    deepspeed = json.loads(settings.read_text("utf-8")) if settings.exists() else None
    if deepspeed is not None:
        deepspeed["zero_optimization"].update(options.pop("zero", {}))
    return handle, train(handle, None, config, data or ToyData(), collator=collator, deepspeed=deepspeed, **options)


# --- runs in processes of their own, to be killed ---------------------------------------------------------------------

MOMENTS = {  # where a process may be killed: before and after each of these
    "torch": ("save",),
    "os": ("fsync", "replace"),
    "shutil": ("rmtree",),
    "parrot_adapters.training.checkpoint_files": ("save_tensors",),
    "parrot_adapters.adapter.save": ("save_tensors",),
    "torch.optim": ("AdamW.step",),
}


def run_in_process(
    out: str, changes: dict[str, Any], die_at: int | None = None, largest_file: int | None = None
) -> None:
    """The target of a process: train, and be killed at some moment. An error's text is left in ``error.txt``.

    Args:
        out: as in :func:`toy_config`.
        changes: likewise; and ``family``, ``die_in_step``, ``text_only`` of :class:`ToyData`, ``zero`` for DeepSpeed's
            settings of that name, ``broken`` (:data:`BROKEN`), and ``then``: changes of a second run in this process.
        die_at: which of all moments (:data:`MOMENTS`) is the last.
        largest_file: bytes; what is longer cannot be written, as on a full disk.
    """
    import multiprocessing
    import os
    import resource

    multiprocessing.set_start_method("fork", force=True)  # the toy's collator holds functions that cannot be pickled
    torch.set_num_threads(1)
    if die_at is not None:
        die_at_moment(die_at)
    if "die_in_step" in changes:
        die_at_moment(2 * changes.pop("die_in_step"), {"parrot_adapters.training.loss_guard": ("LossGuard.verdict",)})
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    family, data = changes.pop("family", "llava"), ToyData(text_only=changes.pop("text_only", ()))
    zero, then = changes.pop("zero", {}), changes.pop("then", None)
    if broken := changes.pop("broken", None):
        BROKEN[broken]()
    options = {"zero": zero} if "zero" in changes.get("engine__kind", "") else {}
    try:
        _, result = toy_run(toy_config(out, **changes), family, data, **options)
        if then is not None:
            toy_run(toy_config(**{**changes, **then}), family, data)
    except pa.ParrotError as error:
        (Path(out) / "error.txt").write_text(str(error))
        os._exit(1)
    os._exit(128 + result.signal if result.signal else 0)


def forget_what_is_whole() -> None:
    """A double of ZeRO-3 as DeepSpeed has it: visual modules are gathered when they are called."""
    import parrot_adapters.training.trainer_callback as run_callback

    run_callback.keep_visual_parts_whole = lambda handle, optimizer: None


def gradients_in_any_order() -> None:
    """A double of the objective whose zeros are the newest part of the graph, so that backward comes to them first."""
    from parrot_adapters.adapter.added_losses import AddedLosses, _with_loss

    makes, ends = AddedLosses._zero_of_everything, AddedLosses.after_forward
    AddedLosses._zero_of_everything = lambda self: 0.0

    def after_forward(self: Any, host: Any, args: Any, kwargs: Any, output: Any) -> Any:
        output = ends(self, host, args, kwargs, output) or output
        return _with_loss(output, output["loss"] + makes(self))

    AddedLosses.after_forward = after_forward


BROKEN = {"whole": forget_what_is_whole, "order": gradients_in_any_order}


def die_at_moment(last: int, moments: dict[str, tuple[str, ...]] = MOMENTS) -> None:
    """SIGKILL this process at the ``last``-th moment from now."""
    import functools
    import importlib
    import os
    import signal

    left = [last]

    def moment() -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(function: Any) -> Any:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            moment()
            value = function(*args, **kwargs)
            moment()
            return value

        return call

    for module, names in moments.items():
        for name in names:
            owner, _, attribute = name.rpartition(".")
            holder = importlib.import_module(module)
            holder = getattr(holder, owner) if owner else holder
            setattr(holder, attribute, watched(getattr(holder, attribute)))


if __name__ == "__main__":  # under torchrun
    import sys

    run_in_process(sys.argv[1], json.loads(sys.argv[2]))
