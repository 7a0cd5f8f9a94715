"""A run's figures as PNG files, for papers and slides; the page draws its own and needs none of them.

Labels are names of files and letters, never questions: no font has every script.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from parrot_adapters.errors import MissingDependencyError
from parrot_adapters.evaluation.matching.extract_choice import ROBUST

if TYPE_CHECKING:
    from parrot_adapters.evaluation.scores.result import Result, Statistics
    from parrot_adapters.statistics import Interval

__all__ = ["run_figures"]

INK, GRID, REFERENCE, OURS = "#3b4252", "#d8dee9", "#3465a4", "#2e7d4f"
COLUMNS = 3


def run_figures(result: Result) -> dict[str, bytes]:
    """PNG bytes by name, as far as they apply: accuracy, erosion, position_bias, calibration, routing.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise MissingDependencyError("figures need matplotlib\n  to do  pip install matplotlib") from error
    draw: dict[str, Callable[[Result], Any]] = {"accuracy": _accuracy}
    if _chosen(result).erosion:
        draw["erosion"] = _erosion
    if _chosen(result).position_bias:
        draw["position_bias"] = _position_bias
    if result.reliability:
        draw["calibration"] = _calibration
    if result.routing:
        draw["routing"] = _routing
    made = {}
    style: dict[Any, Any] = {
        "font.size": 9,
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
        "axes.edgecolor": GRID,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with matplotlib.rc_context(style):
        for name, figure in ((name, make(result)) for name, make in draw.items()):
            held = io.BytesIO()
            figure.savefig(held, format="png", dpi=150)
            made[name] = held.getvalue()
    return made


def _chosen(result: Result) -> Statistics:
    assert result.statistics is not None  # every multiple-choice result has them
    return result.statistics


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _accuracy(result: Result) -> Any:
    names = list(result.subsets)
    figure = _figure(6.4, 1.2 + 0.42 * len(names))
    axis = figure.subplots()
    for kind, colour, shift in (("reference", REFERENCE, -0.14), (ROBUST, OURS, 0.14)):
        intervals = [result.matchers[kind].statistics.intervals.get(name) for name in names]
        _whiskers(axis, intervals, colour, shift, f"{kind} matcher")
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlim(0, 100)
    axis.set_xlabel("accuracy in %, 95 % intervals over questions")
    axis.set_title(f"{result.benchmark}, protocol {result.protocol}", fontsize=10)
    axis.grid(axis="x", color=GRID, linewidth=0.6)
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    return figure


def _erosion(result: Result) -> Any:
    lost = _chosen(result).erosion
    names = list(lost)
    figure = _figure(6.4, 1.1 + 0.36 * len(names))
    axis = figure.subplots()
    _whiskers(axis, list(lost.values()), REFERENCE, 0.0, "")
    axis.axvline(0, color=INK, linewidth=0.8)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlabel("accuracy lost from English, in points, on the same questions")
    axis.grid(axis="x", color=GRID, linewidth=0.6)
    return figure


def _whiskers(axis: Any, intervals: Sequence[Interval | None], colour: str, shift: float, label: str) -> None:
    drawn = [(place + shift, found) for place, found in enumerate(intervals) if found is not None]
    axis.hlines(
        [y for y, _ in drawn], [100 * i.low for _, i in drawn], [100 * i.high for _, i in drawn], colour, linewidth=2.4,
        alpha=0.45,
    )  # fmt: skip
    axis.plot([100 * i.estimate for _, i in drawn], [y for y, _ in drawn], "o", color=colour, markersize=5, label=label)


def _panels(names: Sequence[str], height: float) -> tuple[Any, list[Any]]:
    columns = min(COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    figure = _figure(2.5 * columns + 0.4, height * rows + 0.5)
    axes = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    return figure, axes


def _position_bias(result: Result) -> Any:
    found = _chosen(result).position_bias
    figure, axes = _panels(list(found), 1.9)
    letters = sorted({letter for bias in found.values() for letter in bias.chosen})
    for axis, (name, bias) in zip(axes, found.items(), strict=False):
        axis.bar(letters, [100 * bias.chosen.get(letter, 0) for letter in letters], color=REFERENCE, alpha=0.6)
        right = [100 * bias.keyed.get(letter, 0) for letter in letters]
        axis.plot(letters, right, "_", color=INK, markersize=18, markeredgewidth=1.6)
        axis.set_title(f"{name}: {100 * bias.distance:.0f} points apart", fontsize=9)
    figure.supylabel("share of answers, %", fontsize=9)
    figure.supxlabel("bars: letters chosen; strokes: letters that are right", fontsize=9)
    return figure


def _calibration(result: Result) -> Any:
    figure, axes = _panels(list(result.reliability), 2.4)
    for axis, (name, bins) in zip(axes, result.reliability.items(), strict=False):
        axis.plot([0, 100], [0, 100], color=GRID, linewidth=1)
        most = max(held.rows for held in bins)
        axis.plot([100 * b.confidence for b in bins], [100 * b.accuracy for b in bins], color=REFERENCE)
        axis.scatter(
            [100 * b.confidence for b in bins],
            [100 * b.accuracy for b in bins],
            [12 + 80 * b.rows / most for b in bins],
            color=REFERENCE,
            alpha=0.8,
        )
        axis.set(xlim=(0, 103), ylim=(-3, 103), aspect="equal")
        axis.set_title(f"{name}: ECE {100 * result.calibration[name]:.1f}", fontsize=9)
    figure.supxlabel("confidence in the likeliest letter, %", fontsize=9)
    figure.supylabel("accuracy, %", fontsize=9)
    return figure


def _routing(result: Result) -> Any:
    assert result.routing is not None
    weights = result.routing.subsets
    experts = len(next(iter(weights.values())))
    figure = _figure(1.6 + 0.8 * experts, 1.0 + 0.36 * len(weights))
    axis = figure.subplots()
    axis.imshow(list(weights.values()), vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for row, line in enumerate(weights.values()):
        for column, value in enumerate(line):
            colour = "white" if value > 0.6 else INK
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
    axis.set_yticks(range(len(weights)), list(weights))
    axis.set_xticks(range(experts))
    axis.set_xlabel("expert: mean routing weight")
    axis.tick_params(length=0)
    return figure
