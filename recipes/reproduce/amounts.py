"""How much multilingual data a remedy needs: the same arms, another share of stage 2 multilingual in each regime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parrot_recipes.emoji.languages import ENGLISH

from .registration import REFERENCE, SPLIT

__all__ = ["amounts", "amounts_table"]


def amounts(described: Mapping[str, Any]) -> dict[float, dict[str, Any]]:
    """The arms of each share of multilingual samples, smallest share first.

    Args:
        described: what `results.json` holds.

    Returns:
        share -> the regime's ``arms``, those that all shares have; empty where the study is not one of amounts.
    """
    if not described["config"].get("by_amount"):
        return {}
    regimes = {found["multilingual"]: found["arms"] for found in described["regimes"].values()}
    everywhere = [key for key in next(iter(regimes.values())) if all(key in arms for arms in regimes.values())]
    return {share: {key: regimes[share][key] for key in everywhere} for share in sorted(regimes)}


def amounts_table(by_share: Mapping[float, Mapping[str, Any]]) -> str:
    """What each arm reaches and gains with each share, as Markdown."""
    titles = {key: arm["title"] for key, arm in next(iter(by_share.values())).items() if arm["group"]}
    runs = max(len(arm["gain"]["seeds"]) for arms in by_share.values() for arm in arms.values() if "gain" in arm)
    gains = [key for key in titles if key != REFERENCE]
    head = [
        "multilingual samples of stage 2",
        *(f"{title}: five others (English)" for title in titles.values()),
        *(f"gain, {titles[key]}" for key in gains),
    ]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for share, arms in by_share.items():
        choices = [arms[key]["scores"][SPLIT]["choice"] for key in titles]
        reached = [f"{_percent(choice['others'])} ({_percent(choice[ENGLISH])})" for choice in choices]
        gained = [
            f"{_points(gain['value'])} ({_points(gain['low'])} to {_points(gain['high'])})"
            for gain in (arms[key]["gain"] for key in gains)
        ]
        lines.append(f"| {' | '.join([f'{100 * share:.0f}%', *reached, *gained])} |")
    return "\n".join(lines) + f"\n\n{runs} run{'s' if runs > 1 else ''}; in brackets 95% intervals over questions.\n"


def _percent(estimate: Mapping[str, Any]) -> str:
    return f"{100 * estimate['value']:.1f}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"
