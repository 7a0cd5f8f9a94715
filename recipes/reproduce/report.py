"""One page that shows a study: verdicts first, then what they rest on.

`report.html` carries everything inside itself; the figures also lie beside it as PNG files. The page is made from
`results.json` alone, so it can be made again without training anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parrot_recipes.emoji.attribution import credits_with
from parrot_recipes.emoji.languages import CODES, OTHERS

from parrot_adapters.pages import data_url, render_page

from .conclusion import clear, conclusions, points
from .figures import draw_figures

__all__ = ["write_report"]


def write_report(described: Mapping[str, Any], out: Path) -> Path:
    """Write report.html and its figures into ``out``.

    Args:
        described: what `results.json` holds.
        out: an existing directory.
    """
    figures = draw_figures(described)
    for name, data in figures.items():
        (out / f"{name}.png").write_bytes(data)
    page = render_page(
        __package__,
        "report.html",
        filters={"points": lambda value: f"{100 * value:+.1f}", "with_interval": points, "clear": clear},
        found=described,
        conclusions=conclusions(described),
        figures={name: data_url(data) for name, data in figures.items()},
        main=described["main"],
        sizes=_sizes,
        codes=CODES,
        others=OTHERS,
        works=credits_with(*_text_models(described)),
        seeds=max(len(regime["seeds"]) for regime in described["regimes"].values()),
    )
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _text_models(described: Mapping[str, Any]) -> list[str]:
    """Whose weights the hosts of all regimes speak with; results of earlier releases have regimes of that name."""
    return list(dict.fromkeys(found.get("text_model", name) for name, found in described["regimes"].items()))


def _sizes(regime: Mapping[str, Any]) -> str:
    """How many parameters the adapters of a regime hold, in words; those within one per cent count as alike."""
    held = [arm["parameters"] for arm in regime["arms"].values() if arm["parameters"]]
    if not held:
        return "no"
    low, high = min(held), max(held)
    about = f"about {1000 * round(low / 1000):,}"
    return about if high <= 1.01 * low else f"{about} to {1000 * round(high / 1000):,}"
