"""What the numbers say, in sentences. Every sentence is computed; none knows its outcome beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["conclusions"]


def conclusions(described: Mapping[str, Any]) -> list[str]:
    """Sentences for the report's head and the terminal."""
    sentences = []
    for regime, found in described["regimes"].items():
        sentences.append(_verdicts(found))
        if "remedies" in found:
            sentences += [*_not_told_apart(found["remedies"]), *_costs(found["remedies"])]
        if regime == described["main"] and found["two_by_two"]:
            sentences.append(_two_by_two(found["two_by_two"]["choice"]))
            sentences += [_compared(pair, found["arms"]) for pair in found["comparisons"] if clear(pair)]
            unclear = [pair for pair in found["comparisons"] if not clear(pair)]
            if unclear:
                listed = "; ".join(f"{pair['question']} {points(pair)}" for pair in unclear)
                sentences.append(f"Not decided by these data: {listed}.")
    return sentences


def clear(difference: Mapping[str, Any]) -> bool:
    """The interval over pictures excludes zero, and no text model disagrees."""
    values = difference["seeds"]
    same_sign = all(value > 0 for value in values) or all(value < 0 for value in values)
    return (difference["low"] > 0 or difference["high"] < 0) and same_sign


def points(difference: Mapping[str, Any]) -> str:
    """``+1.2 (-0.3 to +2.7)``."""
    return f"{100 * difference['value']:+.1f} ({100 * difference['low']:+.1f} to {100 * difference['high']:+.1f})"


def _verdicts(found: Mapping[str, Any]) -> str:
    arms = {key: arm for key, arm in found["arms"].items() if "verdict" in arm}
    repairing = [arm for arm in arms.values() if arm["verdict"]["repairs"]]
    none = found["arms"]["none"]["scores"]["seen"]["choice"]
    english = f"{100 * none['en']['value']:.0f}"
    start = (
        f"{found['title'][0].upper()}{found['title'][1:]}: without an adapter {100 * none['others']['value']:.0f}% "
        f"in the five other languages, {english}% in English."
    )
    if not repairing:
        return f"{start} By the registered rules no arm repairs erosion."
    count = len(next(iter(arms.values()))["gain"]["seeds"])
    if count < 3:
        repeats = found["repeats"] + ("s" if count > 1 else "")
        start += f" Only {count} {repeats} yet, so what follows is no verdict about others."
    ordered = sorted(repairing, key=lambda arm: -arm["gain"]["value"])
    each = "; ".join(f"{arm['title']} {points(arm['gain'])}" for arm in ordered)
    return f"{start} By the registered rules these repair erosion, gains in points: {each}. No other arm does."


def _not_told_apart(found: Mapping[str, Any]) -> list[str]:
    """What no planned comparison parts from the arm that gains most."""
    judged = found["arms"]
    most = max(
        (key for key in judged if judged[key].get("repairs")), key=lambda k: judged[k]["gain"]["value"], default=None
    )
    pairs = [pair for pair in found["planned"] if most in (pair["ours"], pair["theirs"]) and not pair["decided"]]
    others = [judged[pair["theirs"] if pair["ours"] == most else pair["ours"]]["title"] for pair in pairs]
    return (
        [f"{judged[most]['title']} gains most, but is not told apart from: {_listed(others)}."]
        if most and others
        else []
    )


def _costs(found: Mapping[str, Any]) -> list[str]:
    """Version 2 of the rules: what the arms cost, and the form that the rule about defaults gives."""
    judged = found["arms"]
    sentences = []
    if alone := [arm["title"] for arm in judged.values() if arm["leaves_text_alone"]]:
        sentences.append(f"Text without pictures is answered as before, bit for bit: {_listed(alone)}.")
    for arm in judged.values():
        if not arm["leaves_text_alone"]:
            drift = arm["drift"]
            worst = max(drift, key=drift.__getitem__)
            sentences.append(
                f"{arm['title']}: text-only perplexity {100 * drift[worst]:+.1f}% in {worst} (the worst), "
                f"{100 * arm['agreement']:.0f}% of text-only answers as before; by the rules it "
                f"{'costs' if arm['costs'] else 'does not cost'}."
            )
    defaults = found["defaults"]
    form = judged[defaults["form"]]["title"] if defaults["form"] else "none"
    sentences.append(f"Recommended form by the registered rule: {form} ({defaults['because']}).")
    if more := [judged[key]["title"] for key in defaults["not_asked"]]:
        sentences.append(
            f"Gains more at no cost, but was not planned to be compared with today's form: {_listed(more)}."
        )
    return sentences


def _two_by_two(design: Mapping[str, Any]) -> str:
    parts = [f"{name} {points(design[name])}" for name in ("guidance", "mixture", "interaction")]
    kind = "together they do less than the sum" if design["interaction"]["value"] < 0 else "together they do more"
    verdict = kind if clear(design["interaction"]) else "no clear interaction"
    return f"The 2 x 2, in points: {', '.join(parts)}; {verdict}."


def _compared(pair: Mapping[str, Any], arms: Mapping[str, Any]) -> str:
    question = pair["question"][0].upper() + pair["question"][1:]
    return (
        f"{question} {arms[pair['ours']]['title']} against {arms[pair['theirs']]['title']}: {points(pair)} points, "
        f"p {pair['p_holm']:.3f} (Holm)."
    )


def _listed(names: Sequence[str]) -> str:
    """Some names of arms have commas of their own."""
    if not any(", " in name for name in names):
        return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]
    return "; ".join(names)
