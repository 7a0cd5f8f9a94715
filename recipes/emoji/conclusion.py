"""What the numbers say, in plain sentences. Every sentence is computed; none knows its outcome beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .languages import ENGLISH
from .scores import Estimate, compare, mean_of_others, per_language

if TYPE_CHECKING:
    from .arms import ArmResult
    from .concepts import Split


__all__ = ["conclusions", "decided_winner", "language_information"]

CHANCE = 0.25
COLLAPSED = 0.9  # of the weight, in every language, on one expert


def conclusions(arms: Sequence[ArmResult]) -> list[str]:
    """Sentences for the report and the terminal."""
    by_key = {arm.key: arm for arm in arms}
    adapters = [arm for arm in arms if arm.key not in ("stage-1", "none")]
    sentences = []
    if stage1 := by_key.get("stage-1"):
        sentences.append(_erosion(stage1))
    if none := by_key.get("none"):
        sentences += [_against(arm, none, "the same training without an adapter") for arm in adapters]
    single, mixture, blind = (by_key.get(key) for key in ("single", "mixture", "picture-only"))
    if mixture and blind:
        sentences.append(_against(mixture, blind, "a mixture that cannot read the question"))
    if single and mixture:
        sentences.append(_mixture_or_guidance(mixture, single, by_key.get("none")))
    sentences += [_routing(arm) for arm in adapters if arm.routing is not None]
    sentences.append(_held_out(arms))
    return sentences


def language_information(routing: np.ndarray) -> float:
    """How much an expert tells about the language, from 0 (nothing) to 1 (everything).

    Mutual information between language and expert when every language is asked equally often, divided by the largest
    it can be: ``log(min(languages, experts))``.

    Args:
        routing: (languages, E) mean weights.
    """
    shares = routing / routing.sum(1, keepdims=True)

    def entropy(distribution: np.ndarray) -> np.ndarray:
        return -(distribution * np.log(np.clip(distribution, 1e-12, None))).sum(-1)

    most = np.log(min(routing.shape))
    return max(0.0, float((entropy(shares.mean(0)) - entropy(shares).mean()) / most)) if most > 0 else 0.0


def _erosion(stage1: ArmResult) -> str:
    english = per_language(stage1.answers, "choice", "seen")[ENGLISH]
    others = mean_of_others(stage1.answers, "choice", "seen")
    return (
        f"After stage 1, which is English only, the host picks the right name in {_p(english)} of the English "
        f"questions and {_p(others)} of the others (chance {CHANCE:.0%}). That gap is the erosion."
    )


def _against(ours: ArmResult, theirs: ArmResult, name: str) -> str:
    choice = compare(ours.answers, theirs.answers, "choice", "seen")
    naming = compare(ours.answers, theirs.answers, "naming", "seen")
    return f"{_capital(ours.title)}, against {name}: choice {_change(choice)}, exact naming {_change(naming)}."


def decided_winner(arms: Sequence[ArmResult], split: Split) -> ArmResult | None:
    """The arm that picks the right name more often than every other, each 95% interval of the difference above zero.

    None where two are not told apart, or where the best is not above chance.
    """
    best = max(arms, key=lambda arm: mean_of_others(arm.answers, "choice", split).value)
    ahead = all(compare(best.answers, arm.answers, "choice", split).low > 0 for arm in arms if arm is not best)
    return best if ahead and mean_of_others(best.answers, "choice", split).low > CHANCE else None


def _mixture_or_guidance(mixture: ArmResult, single: ArmResult, none: ArmResult | None) -> str:
    choice = compare(mixture.answers, single.answers, "choice", "seen")
    helped = none is not None and compare(single.answers, none.answers, "choice", "seen").low > 0
    if not choice.excludes_zero:
        verdict = "no clear winner" + (": reading the question is what helps, one expert is enough" if helped else "")
    elif choice.value > 0:
        verdict = "the mixture is better"
    else:
        verdict = "the mixture is worse" + (
            ": the gain comes from reading the question, not from mixing" if helped else ""
        )
    return (
        f"The mixture, against a single expert of the same size whose gate reads the question: "
        f"choice {_change(choice)}; {verdict}."
    )


def _routing(arm: ArmResult) -> str:
    assert arm.routing is not None
    information = language_information(arm.routing)
    favourites = arm.routing.argmax(1)
    if arm.routing.min(0).max() > COLLAPSED:
        how = "collapsed, one expert takes every language"
    elif information < 0.02:
        how = "hardly depends on the language"
    else:
        distinct = len(set(favourites.tolist()))
        how = f"follows the language: the six prefer {distinct} different expert{'s' if distinct > 1 else ''}"
    return f"Routing, {arm.title}: {how} (an expert tells {information:.2f} of what there is to know about it)."


def _held_out(arms: Sequence[ArmResult]) -> str:
    estimates = [(arm, mean_of_others(arm.answers, "choice", "held-out")) for arm in arms]
    better = [f"{arm.title} {_p(e)}" for arm, e in estimates if e.low > CHANCE]
    if not better:
        return (
            "On concepts that no training picture showed, no arm is clearly above chance: an adapter moves what the "
            "projector knows into other languages, it does not teach the eye new things."
        )
    return f"On concepts that no training picture showed, clearly above chance ({CHANCE:.0%}): {', '.join(better)}."


def _p(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.0f}%"


def _change(estimate: Estimate) -> str:
    text = f"{100 * estimate.value:+.1f} points ({100 * estimate.low:+.1f} to {100 * estimate.high:+.1f}"
    return f"{text})" if estimate.excludes_zero else f"{text}, no clear difference)"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
