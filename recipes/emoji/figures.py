"""The report's figures. Languages are labelled by code, so that no font can lack a glyph."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .errors import require
from .languages import CODES, OTHERS
from .scores import erosion, per_language

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .arms import ArmResult

__all__ = ["draw_figures"]

# Okabe and Ito's colours: told apart with every common kind of colour blindness.
COLOURS = ("#999999", "#56B4E9", "#E69F00", "#009E73", "#0072B2", "#CC79A7", "#D55E00", "#F0E442")
INK, GRID = "#3b4252", "#d8dee9"
STYLE = {
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.bottom": False,
    "ytick.left": False,
    "legend.frameon": False,
}


def draw_figures(arms: Sequence[ArmResult]) -> dict[str, bytes]:
    """PNG files by name: ``choice``, ``naming``, ``erosion``, and ``routing`` where an arm routes."""
    require("matplotlib", "the report's figures")
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figures = {
            "choice": _bars(
                Figure(figsize=(9, 3.4)),
                arms,
                "choice",
                "seen",
                "right choice of four, seen concepts, new art",
                chance=25,
            ),
            "naming": _bars(Figure(figsize=(9, 3.4)), arms, "naming", "seen", "named exactly, seen concepts, new art"),
            "erosion": _erosion(Figure(figsize=(9, 3.2)), arms),
        }
        routed = [arm for arm in arms if arm.routing is not None]
        if routed:
            figures["routing"] = _routing(Figure(figsize=(min(9, 3.4 * len(routed) + 0.8), 3.2)), routed)
        return {name: _png(figure) for name, figure in figures.items()}


def _bars(
    figure: Figure, arms: Sequence[ArmResult], measure: str, split: str, title: str, chance: float | None = None
) -> Figure:
    axes = figure.subplots()
    width = 0.84 / len(arms)
    for place, arm in enumerate(arms):
        estimates = per_language(arm.answers, measure, split)  # type: ignore[arg-type]
        values = np.array([100 * estimates[code].value for code in CODES])
        spread = np.array([[100 * (e.value - e.low), 100 * (e.high - e.value)] for e in estimates.values()]).T
        x = np.arange(len(CODES)) + (place - (len(arms) - 1) / 2) * width
        axes.bar(x, values, width * 0.92, color=COLOURS[place % len(COLOURS)], label=arm.title)
        axes.errorbar(x, values, np.clip(spread, 0, None), fmt="none", ecolor=INK, elinewidth=0.8, alpha=0.6)
    if chance is not None:
        axes.axhline(chance, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.text(len(CODES) - 0.48, chance, " chance", va="center", fontsize=8)
    axes.set_xticks(range(len(CODES)), CODES)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("%")
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", pad=24)
    axes.legend(
        ncols=len(arms), loc="lower left", bbox_to_anchor=(-0.01, 1.0), fontsize=8, handlelength=1, columnspacing=1.2
    )
    return figure


def _erosion(figure: Figure, arms: Sequence[ArmResult]) -> Figure:
    """What each language lacks of English, as a slope from arm to arm."""
    axes = figure.subplots()
    for place, code in enumerate(OTHERS):
        gaps = [100 * erosion(arm.answers, "choice", "seen")[code].value for arm in arms]
        axes.plot(range(len(arms)), gaps, marker="o", color=COLOURS[place + 1], linewidth=1.8, markersize=5, label=code)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xticks(range(len(arms)), [arm.title.replace(" ", "\n", 1) for arm in arms], fontsize=8)
    axes.set_ylabel("points behind English")
    axes.set_title(
        "erosion: English minus language, choice, seen concepts", loc="left", fontsize=10, fontweight="bold", pad=24
    )
    axes.legend(ncols=len(OTHERS), loc="lower left", bbox_to_anchor=(-0.01, 1.0), fontsize=8, handlelength=1.4)
    return figure


def _routing(figure: Figure, arms: Sequence[ArmResult]) -> Figure:
    axes = figure.subplots(1, len(arms), squeeze=False)[0]
    highest = max(float(arm.routing.max()) for arm in arms if arm.routing is not None)
    image = None
    for axis, arm in zip(axes, arms, strict=True):
        assert arm.routing is not None
        image = axis.imshow(arm.routing, cmap="cividis", vmin=0, vmax=highest, aspect="auto")
        for (row, column), weight in np.ndenumerate(arm.routing):
            colour = "white" if weight < 0.55 * highest else "black"
            axis.text(column, row, f"{weight:.2f}", ha="center", va="center", fontsize=7, color=colour)
        axis.set_xticks(range(arm.routing.shape[1]), [str(i + 1) for i in range(arm.routing.shape[1])])
        axis.set_yticks(range(len(CODES)), CODES)
        axis.set_xlabel("expert")
        axis.set_title(arm.title, loc="left", fontsize=9, fontweight="bold")
        axis.grid(visible=False)
    if image is not None:
        figure.colorbar(image, ax=list(axes), label="mean routing weight", fraction=0.04)
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, bbox_inches="tight", facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
