"""The report's figures, from `results.json` alone. Languages and arms are labelled in plain ASCII or by code."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from parrot_recipes.emoji.errors import require
from parrot_recipes.emoji.figures import COLOURS, INK, STYLE
from parrot_recipes.emoji.languages import CODES, OTHERS

from .amounts import amounts
from .registration_2 import COST

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_figures"]

PLAIN, GUIDED, BETTER, WORSE = COLOURS[0], COLOURS[4], COLOURS[3], COLOURS[6]


def draw_figures(described: Mapping[str, Any]) -> dict[str, bytes]:
    """PNG files by name; those of a regime end in its name.

    ``gains``, ``languages``, ``routing``, ``two-by-two`` and ``frontier`` for each regime that has what they show;
    ``regimes`` where there are several, or ``amounts`` where they differ in their share of multilingual samples.
    """
    require("matplotlib", "the report's figures")
    import matplotlib
    from matplotlib.figure import Figure

    def new(width: float, height: float) -> Figure:
        return Figure(figsize=(width, height))

    with matplotlib.rc_context(STYLE):
        figures = {}
        for regime, found in described["regimes"].items():
            arms = found["arms"]
            if any("gain" in arm for arm in arms.values()):
                figures[f"gains-{regime}"] = _gains(new(8.6, 0.9 + 0.36 * len(arms)), arms)
            figures[f"languages-{regime}"] = _languages(new(8.6, 1.0 + 0.3 * len(arms)), arms)
            if found["two_by_two"]:
                figures[f"two-by-two-{regime}"] = _two_by_two(new(8.6, 3.1), found)
            if any(arm["looked"]["routing"] for arm in arms.values()):
                figures[f"routing-{regime}"] = _routing(new(8.6, 2.3), arms)
            if "remedies" in found:
                figures[f"frontier-{regime}"] = _frontier(new(8.6, 1.3 + 0.36 * len(arms)), found["remedies"]["arms"])
        if by_share := amounts(described):
            figures["amounts"] = _amounts(new(6.4, 3.6), by_share)
        elif len(described["regimes"]) > 1:
            figures["regimes"] = _regimes(new(8.6, 3.2), described["regimes"])
        return {name: _png(figure) for name, figure in figures.items()}


def _gains(figure: Figure, arms: Mapping[str, Any]) -> Figure:
    """Gain over no adapter: thick over other pictures, thin over other runs or text models, a dot for each of ours."""
    axes = figure.subplots()
    shown = [(key, arm) for key, arm in arms.items() if "gain" in arm]
    for place, (_, arm) in enumerate(reversed(shown)):
        gain = arm["gain"]
        colour = BETTER if gain["low"] > 0 else WORSE if gain["high"] < 0 else PLAIN
        low, high = gain["across_seeds"]
        if low is not None:
            axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=1, alpha=0.6)
        axes.plot([100 * gain["low"], 100 * gain["high"]], [place, place], color=colour, linewidth=6, alpha=0.35)
        axes.plot([100 * s for s in gain["seeds"]], [place] * len(gain["seeds"]), "o", color=colour, markersize=3.5)
        axes.plot(100 * gain["value"], place, "|", color=INK, markersize=13, markeredgewidth=2)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(shown)), [arm["title"] for _, arm in reversed(shown)])
    axes.set_xlim(*_limits([arm["gain"] for _, arm in shown]))
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("points of choice accuracy over no adapter, mean of zh pt ar tr ru")
    return figure


def _frontier(figure: Figure, arms: Mapping[str, Any]) -> Figure:
    """What each arm gains and, in the same row, what it costs; who gains most comes first."""
    gained, cost = figure.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": [3, 2], "wspace": 0.08})
    rows = sorted((arm for arm in arms.values() if "gain" in arm), key=lambda arm: arm["gain"]["value"])
    for place, arm in enumerate(rows):
        gain, colour = arm["gain"], WORSE if arm["costs"] else BETTER
        gained.plot([100 * gain["low"], 100 * gain["high"]], [place, place], color=colour, linewidth=6, alpha=0.35)
        gained.plot([100 * seed for seed in gain["seeds"]], [place] * len(gain["seeds"]), "o", color=colour, ms=3.5)
        gained.plot(100 * gain["value"], place, "|", color=INK, markersize=13, markeredgewidth=2)
        rise = 100 * max(0.0, *arm["drift"].values())
        same = arm["leaves_text_alone"]
        cost.plot(rise, place, "o", color=colour, markerfacecolor=colour if same else "white", markersize=6)
        said = "none" if same else f"{rise:.1f}%"
        cost.annotate(said, (rise, place), (8, 0), textcoords="offset points", fontsize=8, va="center", color=INK)
    cost.axvline(100 * COST, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    cost.set_xscale("symlog", linthresh=100 * COST)
    cost.set_xlim(-0.15, 100)
    cost.set_xticks([0, 1, 5, 20, 50], ["0", "1", "5", "20", "50"])
    gained.axvline(0, color=INK, linewidth=0.8)
    gained.set_yticks(range(len(rows)), [arm["title"] for arm in rows])
    gained.set_xlabel("gain: points of choice accuracy over\nno adapter, mean of zh pt ar tr ru")
    cost.set_xlabel("cost: rise of text-only perplexity, %, worst of\nsix languages (dashed: limit; filled: same bits)")
    for axes in (gained, cost):
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
    return figure


def _amounts(figure: Figure, by_share: Mapping[float, Mapping[str, Any]]) -> Figure:
    """Accuracy in the five others by share of multilingual samples; a band is 95% over pictures."""
    axes = figure.subplots()
    shares = [100 * share for share in by_share]
    titles = {key: arm["title"] for key, arm in next(iter(by_share.values())).items() if arm["group"]}
    for place, (key, title) in enumerate(titles.items()):
        found = [arms[key]["scores"]["seen"]["choice"]["others"] for arms in by_share.values()]
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(shares, [100 * one["value"] for one in found], "o-", color=colour, label=title, markersize=4)
        low, high = ([100 * one[end] for one in found] for end in ("low", "high"))
        axes.fill_between(shares, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.axhline(25, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_xscale("log")
    axes.set_xticks(shares, [f"{share:.0f}" for share in shares])
    axes.minorticks_off()
    axes.set_xlabel("% of stage 2 that is multilingual")
    axes.set_ylabel("% right, five others")
    axes.legend(loc="upper left", fontsize=8)
    return figure


def _limits(gains: list[Mapping[str, Any]]) -> tuple[float, float]:
    """Room for the pictures' intervals and the seeds; the wide t intervals may leave the frame."""
    lows = [min(gain["low"], *gain["seeds"]) for gain in gains]
    highs = [max(gain["high"], *gain["seeds"]) for gain in gains]
    low, high = 100 * min(0, *lows), 100 * max(0, *highs)
    margin = 0.25 * (high - low) + 1
    return low - margin, high + margin


def _languages(figure: Figure, arms: Mapping[str, Any]) -> Figure:
    """Choice accuracy of every arm in every language."""
    axes = figure.subplots()
    columns = (*CODES, "others")
    grid = np.array([[100 * arm["scores"]["seen"]["choice"][c]["value"] for c in columns] for arm in arms.values()])
    image = axes.imshow(grid, cmap="cividis", vmin=25, vmax=max(60.0, grid.max()), aspect="auto")
    for (row, column), value in np.ndenumerate(grid):
        dark = value < 25 + 0.55 * (image.get_clim()[1] - 25)
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", color="white" if dark else "black", fontsize=8)
    axes.set_xticks(range(len(columns)), [*CODES, "five\nothers"])
    axes.set_yticks(range(len(arms)), [arm["title"] for arm in arms.values()])
    axes.axvline(0.5, color="white", linewidth=3)
    axes.axvline(len(OTHERS) + 0.5, color="white", linewidth=3)
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, label="% right, chance 25", fraction=0.03, pad=0.02)
    return figure


def _two_by_two(figure: Figure, found: Mapping[str, Any]) -> Figure:
    """Two lines for each design: parallel means no interaction."""
    designs = [(name, found[name]["choice"]) for name in ("two_by_two", "guided_twice") if found[name]]
    titles = {"two_by_two": "guidance by the router", "guided_twice": "guidance by router and gates"}
    panels = figure.subplots(1, len(designs), sharey=True, squeeze=False)[0]
    for axes, (name, design) in zip(panels, designs, strict=True):
        for row, (guidance, colour) in enumerate((("text not heard", PLAIN), ("text heard", GUIDED))):
            cells = design["cells"][row]
            means = np.array([100 * cell["value"] for cell in cells])
            spread = np.array([[m - 100 * c["low"], 100 * c["high"] - m] for m, c in zip(means, cells, strict=True)]).T
            axes.errorbar(
                [0, 1], means, np.clip(spread, 0, None), color=colour, marker="o", linewidth=2, capsize=3,
                label=guidance,
            )  # fmt: skip
        effect = design["interaction"]
        axes.set_title(
            f"{titles[name]}\ninteraction {100 * effect['value']:+.1f} "
            f"({100 * effect['low']:+.1f} to {100 * effect['high']:+.1f})",
            loc="left",
            fontsize=9,
        )
        axes.set_xticks([0, 1], ["one expert", "six experts"])
        axes.set_xlim(-0.35, 1.35)
        _room(axes)
    panels[0].set_ylabel("% right, five others")
    panels[0].legend(loc="best", fontsize=8)
    return figure


def _room(axes: Axes) -> None:
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))


def _routing(figure: Figure, arms: Mapping[str, Any]) -> Figure:
    """Mean weights by language, first seed."""
    routed = [(arm["title"], arm["looked"]["routing"][0]) for arm in arms.values() if arm["looked"]["routing"]]
    columns = min(4, len(routed))
    rows = -(-len(routed) // columns)
    routed = [(textwrap.fill(title, 92 // columns), routing) for title, routing in routed]  # no wider than its panel
    lines = max(title.count("\n") for title, _ in routed)
    figure.set_size_inches(8.6, 0.4 + (1.75 + 0.15 * lines) * rows)
    panels = figure.subplots(rows, columns, squeeze=False, gridspec_kw={"hspace": 0.65 + 0.2 * lines, "wspace": 0.3})
    image = None
    for axes, item in zip(panels.flat, [*routed, *[None] * (panels.size - len(routed))], strict=True):
        if item is None:
            axes.set_visible(False)
            continue
        title, routing = item
        image = axes.imshow(routing["weights"], cmap="cividis", vmin=0, vmax=1, aspect="auto")
        axes.set_yticks(range(len(CODES)), CODES, fontsize=7)
        axes.set_xticks(range(len(routing["weights"][0])), [])
        axes.set_title(
            f"{title}\nlanguage told: {100 * routing['language_information_share']:.0f}%", loc="left", fontsize=7.5
        )
        axes.grid(visible=False)
    if image is not None:
        figure.colorbar(image, ax=list(panels.flat), label="mean weight", fraction=0.03, pad=0.02)
    return figure


def _regimes(figure: Figure, regimes: Mapping[str, Any]) -> Figure:
    """Five others, by regime, for the arms that all regimes have."""
    axes = figure.subplots()
    shared = [
        key for key in next(iter(regimes.values()))["arms"] if all(key in found["arms"] for found in regimes.values())
    ]
    width = 0.8 / max(1, len(shared))
    for place, key in enumerate(shared):
        for column, found in enumerate(regimes.values()):
            score = found["arms"][key]["scores"]["seen"]["choice"]["others"]
            x = column + (place - (len(shared) - 1) / 2) * width
            colour = COLOURS[place % len(COLOURS)]
            label = found["arms"][key]["title"] if column == 0 else None
            axes.bar(x, 100 * score["value"], width * 0.9, color=colour, label=label)
            spread = [[max(0, 100 * (score["value"] - score["low"]))], [max(0, 100 * (score["high"] - score["value"]))]]
            axes.errorbar(x, 100 * score["value"], spread, fmt="none", ecolor=INK, elinewidth=0.8, alpha=0.6)
    for column, found in enumerate(regimes.values()):
        english = 100 * found["arms"]["none"]["scores"]["seen"]["choice"]["en"]["value"]
        axes.plot([column - 0.42, column + 0.42], [english, english], color=INK, linewidth=1)
        axes.text(column + 0.42, english, "en", fontsize=7, va="bottom", ha="right")
    axes.axhline(25, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    names = [found["title"].replace(", ", ",\n").replace(" is ", " is\n") for found in regimes.values()]
    axes.set_xticks(range(len(regimes)), names, fontsize=8)
    axes.set_ylabel("% right, five others")
    axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(-0.01, 1.0), fontsize=8, handlelength=1)
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, bbox_inches="tight", facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
