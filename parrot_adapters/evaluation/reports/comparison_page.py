"""A comparison as one self-contained page."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from parrot_adapters.atomic_files import write_text
from parrot_adapters.errors import ConfigError, writing
from parrot_adapters.evaluation.scores.compare_results import Comparison
from parrot_adapters.pages import direction, render_page

__all__ = ["write_comparison"]


def write_comparison(comparison: Comparison, path: str | Path) -> None:
    """Write the page to ``path``."""
    a, b = comparison.a, comparison.b
    settings = [
        (key, json.dumps(one, ensure_ascii=False), json.dumps(other, ensure_ascii=False))
        for key, (one, other) in comparison.differing.items()
    ]
    rows = [*comparison.by_subset.items(), ("all languages", comparison.overall)]
    ends = [abs(end) for _, row in rows for end in (row.interval.low, row.interval.high)]
    page = render_page(
        __package__,
        "comparison.html",
        filters={"p": _p_value},
        a=str(a.path),
        b=str(b.path),
        result=a.result,
        rows=rows,
        holm=comparison.holm,
        scale=max(0.05, math.ceil(max(ends) * 20) / 20),
        settings=settings,
        warnings=comparison.warnings,
        data=_flipped(comparison),
    )
    with writing(path, ConfigError):
        write_text(path, page)


def _p_value(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0")


def _flipped(comparison: Comparison) -> dict[str, Any]:
    matcher = comparison.a.result.matcher or "reference"
    before, after = comparison.a.rows(), comparison.b.rows()
    items = []
    for name, units in comparison.flipped.items():
        for unit in units:
            one, other = before.get((name, unit), {}), after.get((name, unit), {})
            items.append(
                {
                    "subset": name,
                    "unit": unit,
                    "gained": bool(comparison.b.result.subsets[name].hits[unit]),  # and so not A's
                    "lang": one.get("language", ""),
                    "dir": direction(one.get("language", "")),
                    "prompt": one.get("prompt", ""),
                    "answer": one.get("answer", ""),
                    "choices": [one.get(matcher, ""), other.get(matcher, "")],
                    "replies": [one.get("prediction", ""), other.get("prediction", "")],
                }
            )
    return {"items": items, "subsets": list(comparison.flipped)}
