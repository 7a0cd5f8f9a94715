"""Routing statistics as TensorBoard curves, for any training script as it is.

    PARROT_TENSORBOARD=runs/thai python train.py            # every adapter attached meanwhile is watched
    tensorboard --logdir runs/thai

or, in code of one's own, ``with handle.add_observer(TensorBoardObserver("runs/thai", handle=handle)): ...``.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parrot_adapters.core.routing_statistics import RoutingStatistics, Tally
from parrot_adapters.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment
    from parrot_adapters.core.routing_record import RoutingRecord

__all__ = ["TENSORBOARD_VARIABLE", "TensorBoardObserver"]

TENSORBOARD_VARIABLE = "PARROT_TENSORBOARD"
EVERY_VARIABLE = "PARROT_TENSORBOARD_EVERY"
EVERY = 50


class TensorBoardObserver:
    """Adds up what it is shown and, every so many passes, writes one point per curve.

    ``routing/train/...`` and, where the handle is known, ``routing/eval/...``: usage of each expert, over all and per
    declared language; entropy, balance, information; mutual information of expert and language, purity; dead experts;
    0 or 1 for each collapse; share of images left alone. What deserves a look is written as text, when it changes.

    Files are opened when the first point is written, so an observer can be copied and pickled with its host; a copy
    writes files of its own. With several processes, each writes to ``rank-N``.

    Args:
        directory: TensorBoard's ``--logdir``; made if needed.
        every: Number of passes for each point.
        handle: Handle of the adapter, which tells training from evaluation.

    Raises:
        MissingDependencyError: Tensorboard is not installed.
        ConfigError: ``every`` is less than 1.
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, every: int = EVERY, handle: Attachment | None = None
    ) -> None:
        if every < 1:
            raise ConfigError(f"every={every!r} must be at least 1")
        if importlib.util.find_spec("tensorboard") is None:
            raise MissingDependencyError(
                "curves of routing need tensorboard.\n  to do  pip install 'parrot_adapters[tensorboard]'"
            )
        self.directory, self.every, self.handle = Path(directory), every, handle
        self._tallies: dict[str, Tally] = {}
        self._passes: dict[str, int] = {}
        self._flags: dict[str, str] = {}
        self._writer: Any = None

    @classmethod
    def from_environment(cls, handle: Attachment) -> TensorBoardObserver | None:
        """The one that ``PARROT_TENSORBOARD`` asks for, or None. ``PARROT_TENSORBOARD_EVERY`` says how often.

        Raises:
            MissingDependencyError: tensorboard is not installed.
            ConfigError: the number cannot be used.
        """
        directory = os.environ.get(TENSORBOARD_VARIABLE)
        if not directory:
            return None
        every = os.environ.get(EVERY_VARIABLE, str(EVERY))
        if not every.isdecimal():
            raise ConfigError(f"{EVERY_VARIABLE}={every!r} must be a whole number of at least 1")
        return cls(directory, every=int(every), handle=handle)

    def __call__(self, record: RoutingRecord) -> None:
        """Count one pass."""
        mode = "eval" if self.handle is not None and not self.handle.model.training else "train"
        self._tallies.setdefault(mode, Tally()).add(record)
        self._passes[mode] = self._passes.get(mode, 0) + 1
        if self._passes[mode] % self.every == 0:
            self._write(mode)

    def close(self) -> None:
        """Write what is left and close the files. Runs by itself when the program ends; a later pass opens others."""
        for mode in list(self._tallies):
            self._write(mode)
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_writer": None}

    def _write(self, mode: str) -> None:
        tally, step, to = self._tallies.pop(mode), self._passes[mode], self._opened()
        counted = sum(tally.counts.values())
        if counted + tally.abstained:
            to.add_scalar(f"routing/{mode}/left_alone", tally.abstained / (counted + tally.abstained), step)
        if not counted:
            return
        seen = tally.statistics()
        for name, value in curves(seen).items():
            to.add_scalar(f"routing/{mode}/{name}", value, step)
        flags = "\n\n".join(seen.flags()) or "nothing to see"
        if self._flags.get(mode, "nothing to see") != flags:
            to.add_text(f"routing/{mode}", flags, step)
        self._flags[mode] = flags
        to.flush()

    def _opened(self) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            several = int(os.environ.get("WORLD_SIZE", "1")) > 1
            place = self.directory / f"rank-{os.environ.get('RANK', '0')}" if several else self.directory
            self._writer = SummaryWriter(str(place))
            atexit.register(_close, weakref.ref(self))
        return self._writer


def curves(seen: RoutingStatistics) -> dict[str, float]:
    """Every number of the statistics that makes a curve, by its name below ``routing/train/``."""
    found = {
        "entropy": seen.entropy,
        "balance": seen.balance,
        "information": seen.information,
        "dead_experts": float(len(seen.dead)),
        "collapse_uniform": float(seen.collapse == "uniform"),
        "collapse_single_expert": float(seen.collapse == "single expert"),
    }
    if seen.language_information is not None:
        found["expert_language_information"] = seen.language_information
    if seen.purity is not None:
        found["purity"] = seen.purity
    rows = {"usage": seen.usage, **{f"usage_{x}": row for x, row in seen.by_language.items() if x}}
    return found | {f"{name}/expert_{e}": share for name, row in rows.items() for e, share in enumerate(row)}


def _close(observer: weakref.ref[TensorBoardObserver]) -> None:
    if (alive := observer()) is not None:
        alive.close()
