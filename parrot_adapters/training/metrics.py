"""What a run measures: sums between two log steps, and the file they end up in.

Sums belong to a process and are kept in checkpoints, so that a resumed run writes the same lines as one that was never
interrupted. Every mean is over tokens: a long micro-batch counts for more than a short one, as it does in the loss.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parrot_adapters.core.routing_statistics import Tally

__all__ = ["Measured", "MetricsFile"]

UNKNOWN = "unknown"  # the language of samples that say none


@dataclass
class Measured:
    """Sums since the last log step.

    Attributes:
        losses: term -> sum over micro-batches of its mean times the learned tokens; ``"language_model"`` is the
            host's own.
        learned: learned tokens.
        read: tokens that are no padding, visual ones included.
        positions: of the micro-batches, padding included.
        unpacked: what they would be with a row for each sample; equal to ``positions`` where nothing is packed.
        languages: language -> (sum of the loss over learned tokens, learned tokens).
        routing: what the router did.
    """

    losses: dict[str, float] = field(default_factory=dict)
    learned: int = 0
    read: int = 0
    positions: int = 0
    unpacked: int = 0
    languages: dict[str, tuple[float, int]] = field(default_factory=dict)
    routing: Tally = field(default_factory=Tally)

    def add_losses(
        self, terms: Mapping[str, float], learned: int, read: int, positions: int = 0, unpacked: int = 0
    ) -> None:
        """Count a micro-batch.

        Args:
            terms: mean of each term over its learned tokens.
            learned: how many those are.
            read: its tokens that are no padding.
            positions: of its rows, padding included.
            unpacked: what they would be with a row for each sample.
        """
        for name, value in terms.items():
            self.losses[name] = self.losses.get(name, 0.0) + value * learned
        self.learned += learned
        self.read += read
        self.positions += positions
        self.unpacked += unpacked

    def add_language(self, language: str | None, loss: float, learned: int) -> None:
        """Count a sample: the sum of its loss over its learned tokens."""
        before = self.languages.get(language or UNKNOWN, (0.0, 0))
        self.languages[language or UNKNOWN] = (before[0] + loss, before[1] + learned)

    @staticmethod
    def of(stored: Mapping[str, Any]) -> Measured:
        """From what ``dataclasses.asdict`` made of it."""
        return Measured(**{**stored, "routing": Tally(**stored["routing"])})

    @staticmethod
    def together(all_of: Iterable[Measured]) -> Measured:
        """What several processes measured."""
        total = Measured()
        for one in all_of:
            for name, value in one.losses.items():
                total.losses[name] = total.losses.get(name, 0.0) + value
            total.learned += one.learned
            total.read += one.read
            total.positions += one.positions
            total.unpacked += one.unpacked
            for language, (loss, learned) in one.languages.items():
                total.add_language(language, loss, learned)
            _add(total.routing, one.routing)
        return total

    def padding(self) -> dict[str, float]:
        """``padding``, the share of positions that were; where samples were packed also ``padding_unpacked``."""
        found = {"padding": round(1 - self.read / self.positions, 6)} if self.positions else {}
        if self.unpacked != self.positions:
            found["padding_unpacked"] = round(1 - self.read / self.unpacked, 6)
        return found

    def summary(self) -> dict[str, Any]:
        """``loss`` and, where there is something to tell, ``losses``, ``languages``, ``routing``."""
        tokens = max(self.learned, 1)
        means = {name: value / tokens for name, value in sorted(self.losses.items())}
        found: dict[str, Any] = {"loss": sum(means.values())}
        if len(means) > 1:
            found["losses"] = means
        languages = {name: loss / learned for name, (loss, learned) in sorted(self.languages.items()) if learned}
        if set(languages) - {UNKNOWN}:
            found["languages"] = languages
        if sum(self.routing.counts.values()):
            seen = self.routing.statistics()
            found["routing"] = {
                "entropy": seen.entropy,
                "language_information": seen.language_information,
                "usage": seen.usage,
                "collapse": seen.collapse,
            }
        return found


def _add(total: Tally, one: Tally) -> None:
    for kept, more in ((total.weights, one.weights), (total.top, one.top)):
        for language, value in more.items():
            kept[language] = kept[language] + value if language in kept else value.clone()
    for language, count in one.counts.items():
        total.counts[language] = total.counts.get(language, 0) + count
    total.entropy += one.entropy
    total.abstained += one.abstained


class MetricsFile:
    """``metrics.jsonl``: a line for each log step, only ever appended to.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def go_back_to(self, step: int) -> None:
        """Drop lines beyond a step, and a last one that was cut short: they are written again."""
        if not self.path.exists():
            return
        kept = [line for line in self.path.read_bytes().splitlines(keepends=True) if _step(line) <= step]
        size = sum(map(len, kept))
        if size != self.path.stat().st_size:  # lines are in order, so what goes is the file's end
            with self.path.open("rb+") as file:
                file.truncate(size)

    def append(self, values: Mapping[str, Any]) -> None:
        """Write a line."""
        with self.path.open("ab") as file:
            file.write((json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n").encode())

    def flush(self) -> None:
        """Have the operating system write it to disk, before a checkpoint that counts on it."""
        if self.path.exists():
            with self.path.open("rb") as file:
                os.fsync(file.fileno())

    def lines(self) -> Sequence[Mapping[str, Any]]:
        """Everything written so far."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]


def _step(line: bytes) -> float:
    try:
        return float(json.loads(line)["step"]) if line.endswith(b"\n") else float("inf")
    except (ValueError, KeyError, TypeError):
        return float("inf")
