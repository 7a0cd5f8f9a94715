"""Scores that others have published, each with the protocol behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

__all__ = ["PublishedScore", "published_scores"]


class PublishedScore(NamedTuple):
    """A row of somebody's table. Scores are fractions by language code."""

    model: str
    source: str
    protocol: str
    protocol_from: str
    """How we know the protocol: few sources say."""
    scores: Mapping[str, float]

    @property
    def mean(self) -> float:
        """Over languages, as papers print it."""
        return sum(self.scores.values()) / len(self.scores)


@lru_cache(maxsize=1)
def _table() -> dict[str, object]:
    return json.loads(files(__package__).joinpath("published_scores.json").read_text("utf-8"))


def published_scores(benchmark: str) -> list[PublishedScore]:
    """The published rows of ``mmmb`` or ``mmbench``; of other benchmarks there are none."""
    table: dict = _table()
    found = []
    for row in table["scores"]:
        percent = row.get(benchmark)
        if not percent:
            continue
        origin = table["sources"][row["source"]]
        scores = {code: value / 100 for code, value in zip(table["order"], percent, strict=True) if value is not None}
        found.append(PublishedScore(row["model"], row["source"], origin["protocol"], origin["protocol_from"], scores))
    return found
