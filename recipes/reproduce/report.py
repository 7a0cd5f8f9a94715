"""One page that shows a study: verdicts first, then what they rest on.

`report.html` carries everything inside itself; the figures also lie beside it as PNG files. The page is made from
`results.json` alone, so it can be made again without training anything.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from parrot_recipes.emoji.attribution import CREDITS
from parrot_recipes.emoji.errors import require
from parrot_recipes.emoji.languages import CODES, OTHERS

from .conclusion import clear, conclusions, points
from .figures import draw_figures
from .presets import MAIN

__all__ = ["write_report"]


def write_report(described: Mapping[str, Any], out: Path) -> Path:
    """Write report.html and its figures into ``out``.

    Args:
        described: what `results.json` holds.
        out: an existing directory.
    """
    jinja2 = require("jinja2", "the report's page")
    figures = draw_figures(described)
    for name, data in figures.items():
        (out / f"{name}.png").write_bytes(data)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": lambda value: f"{100 * value:.0f}",
        "points": lambda value: f"{100 * value:+.1f}",
        "with_interval": points,
        "clear": clear,
    }
    template = environment.from_string(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    page = template.render(
        found=described,
        conclusions=conclusions(described),
        figures={name: f"data:image/png;base64,{base64.b64encode(data).decode()}" for name, data in figures.items()},
        main=MAIN,
        codes=CODES,
        others=OTHERS,
        credits=CREDITS,
        seeds=max(len(regime["seeds"]) for regime in described["regimes"].values()),
    )
    path = out / "report.html"
    path.write_text(page, encoding="utf-8")
    return path
