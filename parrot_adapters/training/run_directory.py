"""A run's directory: what is in it, whether to begin, go on or leave it alone, and that one process group has it.

config.yaml       the whole configuration, with its hash and the versions that began the run
metrics.jsonl     one object for each log step
checkpoints/      what a run goes on from
adapter/          what it made, for parrot_adapters.load_adapter
host/             after full training of the language model: the host the adapter belongs to
rejects.jsonl     samples that were skipped, with reasons
bad_batch.json    after a run that diverged: which samples, and what was measured
tensorboard/      if asked for
finished.json     when it is done, and after how many steps
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from parrot_adapters.atomic_files import write_text
from parrot_adapters.errors import ConfigError, TrainingError, explain, writing
from parrot_adapters.operating_system import hold
from parrot_adapters.training.config_hash import config_hash, config_to_dict, differences
from parrot_adapters.training.config_yaml import read_yaml
from parrot_adapters.training.training_config import TrainingConfig
from parrot_adapters.training.whole_checkpoints import Checkpoints

__all__ = ["RunDirectory"]

CONFIG, METRICS, CHECKPOINTS, ADAPTER, HOST = "config.yaml", "metrics.jsonl", "checkpoints", "adapter", "host"
REJECTS, BAD_BATCH, TENSORBOARD, FINISHED, LOCK = (
    "rejects.jsonl",
    "bad_batch.json",
    "tensorboard",
    "finished.json",
    ".lock",
)
WRITTEN = (CONFIG, METRICS, CHECKPOINTS, ADAPTER, HOST, REJECTS, BAD_BATCH, TENSORBOARD, FINISHED)
WRITTEN_BY_A_RUN = "# sha256 "
PACKAGES = ("parrot_adapters", "torch", "transformers", "accelerate", "peft", "numpy")
_HELD: dict[Path, IO[str]] = {}
"""Locks that this process holds."""


class RunDirectory:
    """The directory of one run.

    Args:
        config: of the run; its ``out`` says where.

    Attributes:
        checkpoints: of the run.
        leads: whether this process, of several, is the one that writes and speaks.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.path = Path(config.out)
        self.checkpoints = Checkpoints(self.path / CHECKPOINTS, config.checkpoint.keep)
        self.leads = True

    @property
    def metrics(self) -> Path:
        return self.path / METRICS

    @property
    def adapter(self) -> Path:
        return self.path / ADAPTER

    @property
    def host(self) -> Path:
        return self.path / HOST

    @property
    def rejects(self) -> Path:
        return self.path / REJECTS

    @property
    def bad_batch(self) -> Path:
        return self.path / BAD_BATCH

    @property
    def tensorboard(self) -> Path:
        return self.path / TENSORBOARD

    @property
    def profile(self) -> Path:
        return self.path / "profile"

    def finished(self) -> int | None:
        """After how many steps the run was done, or None."""
        try:
            return int(json.loads((self.path / FINISHED).read_text("utf-8"))["steps"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def is_done(self) -> bool:
        """Whether this very run, of this length, has been finished: without looking at data or host."""
        try:
            asked = json.loads((self.path / FINISHED).read_text("utf-8"))["asked"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return bool(asked == _length(self.config)) and self.adapter.is_dir()

    def holds_work(self) -> bool:
        """Whether a run came as far as a logged step, a checkpoint or a result here."""
        logged = self.metrics.is_file() and self.metrics.stat().st_size > 0
        made = any((self.path / name).exists() for name in (FINISHED, ADAPTER, HOST))
        return logged or made or self.checkpoints.newest() is not None

    def require_own_config(self) -> None:
        """Refuse a directory whose ``config.yaml`` is somebody's own, which a run would replace.

        Raises:
            ConfigError: no run wrote it.
        """
        path = self.path / CONFIG
        if path.exists() and not path.read_bytes().startswith(WRITTEN_BY_A_RUN.encode()):
            raise ConfigError(
                explain(
                    f"{path} was not written by a run, which would put its own there.",
                    to_do="choose another out, or give the file another name",
                )
            )

    def require_same_run(self) -> None:
        """Refuse to go on with what another configuration began.

        A directory in which no step was logged yet may be taken over: nothing is lost.

        Raises:
            ConfigError: the settings that decide the weights differ, or the stored configuration cannot be read.
        """
        if not (self.path / CONFIG).exists():
            if self.checkpoints.newest() is not None:
                raise ConfigError(
                    explain(
                        f"{self.path} holds checkpoints but no {CONFIG}, so nobody knows of which run.",
                        to_do="--fresh starts over; or choose another out",
                    )
                )
            return
        if not self.holds_work():  # begun in vain, for example with a misspelt path: nothing is lost
            return
        if changed := self._changed():
            raise ConfigError(
                explain(
                    f"{self.path} was begun with another configuration.",
                    **{f"differs_{i}": text for i, text in enumerate(changed, 1)},
                    to_do="set them back to go on; or choose another out; or start over with --fresh",
                )
            )

    def _changed(self) -> list[str]:
        """``key: was OLD, is NEW`` for each setting that decides the weights and is not what began the run."""
        if not (self.path / CONFIG).exists():
            return []
        stored, now = read_yaml(self.path / CONFIG), config_to_dict(self.config)
        return [f"{key}: was {_at(stored, key)!r}, is {_at(now, key)!r}" for key in differences(stored, now)]

    def begin(self, *, fresh: bool = False) -> None:
        """Take the directory for this process and write the configuration down.

        Args:
            fresh: first remove what a run wrote here.

        Raises:
            TrainingError: another process has it, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._take()
            if fresh:
                self.clear()
            elif not self.holds_work() and self._changed():
                for name in (CONFIG, REJECTS):  # of an attempt that came to nothing
                    (self.path / name).unlink(missing_ok=True)
            self.checkpoints.clean()
            if not (self.path / CONFIG).exists():
                write_text(self.path / CONFIG, _described(self.config))
            self.bad_batch.unlink(missing_ok=True)
        except OSError as error:
            raise TrainingError(explain(f"{self.path} cannot be written.", because=error)) from error

    def clear(self) -> None:
        """Remove what a run wrote here, and nothing else."""
        for name in WRITTEN:
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def finish(self, steps: int) -> None:
        """Note that the run is done."""
        done = {"steps": steps, "asked": _length(self.config), "hash": config_hash(self.config)}
        with writing(self.path / FINISHED, TrainingError):
            write_text(self.path / FINISHED, json.dumps(done) + "\n")

    def release(self) -> None:
        """Let others have the directory. The operating system does so too when the process ends, however it ends."""
        if lock := _HELD.pop(self.path.resolve(), None):
            lock.close()

    def _take(self) -> None:
        if self.path.resolve() in _HELD:
            return
        lock = open(self.path / LOCK, "w")  # noqa: SIM115 (held until release)
        # By process: data workers do not inherit it, and so cannot keep it when their parent is killed.
        if hold(lock, by_process=True) is False:
            lock.close()
            raise TrainingError(
                explain(f"another process is training in {self.path}.", to_do="wait for it, or choose another out")
            )
        _HELD[self.path.resolve()] = lock


def _described(config: TrainingConfig) -> str:
    import yaml

    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    body = yaml.safe_dump(config_to_dict(config), sort_keys=False, allow_unicode=True, width=120)
    return f"{WRITTEN_BY_A_RUN}{config_hash(config)}\n# begun with {versions}\n{body}"


def _length(config: TrainingConfig) -> dict[str, Any]:
    return {"steps": config.steps, "epochs": config.epochs}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"


def _at(values: Any, path: str) -> Any:
    for key in path.split("."):
        if isinstance(values, Mapping):
            values = values.get(key)
        elif isinstance(values, list) and key.isdigit() and int(key) < len(values):
            values = values[int(key)]
        else:
            return None
    return values
