"""What version 2 of the rules makes of the results: gains, costs, planned comparisons, and what follows for defaults.

T  seeds (runs)    Q  questions    L  languages
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from parrot_recipes.emoji.languages import CODES, ENGLISH

from .answer_arrays import others, shared, values
from .arms import BY_KEY
from .intervals import contrast, holm, over_both
from .registration import METRIC, REFERENCE, SPLIT, verdict
from .registration_2 import COST, DECIDED, FEWEST_RUNS, PLANNED, TODAY

if TYPE_CHECKING:
    from .cells import CellResult

    Arms = Mapping[str, Mapping[int, CellResult]]

__all__ = ["planned", "recommended", "remedies", "tables"]


def remedies(seeds: Sequence[Sequence[CellResult]]) -> dict[str, Any]:
    """Everything that version 2 of the rules asks for, as plain data.

    Args:
        seeds: the results of each; arms may be missing.
    """
    arms: dict[str, dict[int, CellResult]] = {}
    for place, found in enumerate(seeds):
        for result in found:
            arms.setdefault(result.key, {})[place] = result
    judged = {key: _judged(arms, key) for key in arms if key in BY_KEY}
    pairs = planned(arms)
    return {"version": 2, "arms": judged, "planned": pairs, "defaults": recommended(judged, pairs)}


def _judged(arms: Arms, key: str) -> dict[str, Any]:
    """Gain and cost of one arm."""
    ours, none = shared(arms, key, REFERENCE)
    text = {code: [result.text[code] for result in ours] for code in CODES}
    drift = {code: float(np.mean([one["after"] / one["before"] - 1 for one in found])) for code, found in text.items()}
    described = {
        "title": BY_KEY[key].title,
        "runs": len(ours),
        "trained_beside_projector": ours[0].parameters,
        "drift": {code: round(value, 6) for code, value in drift.items()},
        "agreement": round(float(np.mean([one["agreement"] for found in text.values() for one in found])), 4),
        "leaves_text_alone": all(one["identical"] for found in text.values() for one in found),
        "costs": max(drift.values()) > COST,
    }
    if key != REFERENCE:
        english = [values(results, METRIC, SPLIT, ENGLISH) for results in (ours, none)]
        repairs = verdict(others(ours), english[0], others(none), english[1])
        described |= {
            "gain": {**repairs.gain.to_dict(), "both": _both(others(ours) - others(none))},
            "gain_english": repairs.english.to_dict(),
            "repairs": repairs.repairs,
            "because": list(repairs.because),
        }
    return described


def planned(arms: Arms) -> list[dict[str, Any]]:
    """The planned pairs that were run. Their p are adjusted for all planned pairs, those not run counting as one."""
    contrasts = [
        None if ours not in arms or theirs not in arms else np.subtract(*map(others, shared(arms, ours, theirs)))
        for ours, theirs, _ in PLANNED
    ]
    found = [None if one is None or len(one) == 0 else contrast(one) for one in contrasts]
    adjusted = holm([1.0 if one is None else one.probability for one in found])
    described = []
    for (ours, theirs, question), pair, one, p in zip(PLANNED, found, contrasts, adjusted, strict=True):
        if pair is None or one is None:
            continue
        both = _both(one)
        described.append(
            {
                "ours": ours,
                "theirs": theirs,
                "question": question,
                "runs": len(one),
                **pair.to_dict(),
                "both": both,
                "p_holm": round(p, 4),
                "decided": _decided(pair.seeds, both, p),
            }
        )
    return described


def _both(difference: np.ndarray) -> list[float | None]:
    """The interval over questions and runs; nothing with one run."""
    found = over_both(difference)
    return [round(found.low, 4), round(found.high, 4)] if len(difference) > 1 else [None, None]


def _decided(seeds: Sequence[float], both: Sequence[float | None], p: float) -> bool:
    low, high = both
    if len(seeds) < FEWEST_RUNS or low is None or high is None:
        return False
    agree = all(value > 0 for value in seeds) or all(value < 0 for value in seeds)
    return p < DECIDED and agree and (low > 0 or high < 0)


def recommended(judged: Mapping[str, Mapping[str, Any]], pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the rule about defaults gives.

    Returns:
        ``form``, the key of the recommended arm, or None; ``because``; ``beside``, the arms that cost and gain more
        than it, decidedly; and ``not_asked``, the arms that gain more and cost nothing, but have no planned comparison
        with today's form, so that they cannot take its place.
    """
    ready = {key: arm for key, arm in judged.items() if "gain" in arm and arm["runs"] >= FEWEST_RUNS}
    if TODAY not in ready:
        return {
            "form": None,
            "because": f"fewer than {FEWEST_RUNS} runs: nothing is decided",
            "beside": [],
            "not_asked": [],
        }
    good = [key for key, arm in ready.items() if arm["repairs"] and not arm["costs"]]
    asked = {TODAY, *(ours for ours, theirs, _ in PLANNED if theirs == TODAY)}
    candidates = [key for key in good if key in asked]
    if not candidates:
        return {"form": None, "because": "no arm repairs without costing", "beside": [], "not_asked": good}
    best = max(candidates, key=lambda key: ready[key]["gain"]["value"])
    ahead = {pair["ours"] for pair in pairs if pair["theirs"] == TODAY and pair["decided"] and pair["value"] > 0}
    form = best if best in ahead else TODAY
    most = "it gains most of those that repair, do not cost, and have a planned comparison with today's form"
    because = most if form == best else f"{best} is not decidedly ahead"
    gain_of_form = ready[form]["gain"]["value"]
    dearer = {
        pair["ours"] for pair in pairs if pair["theirs"] == form and pair["decided"] and pair["value"] > 0
    }  # fmt: skip
    return {
        "form": form,
        "because": because,
        "beside": sorted(key for key in dearer if key in judged and judged[key]["costs"]),
        "not_asked": [key for key in good if key not in asked and ready[key]["gain"]["value"] > gain_of_form],
    }


def tables(found: Mapping[str, Any]) -> str:
    """The README's two tables.

    Args:
        found: of one regime, as `results.json` holds it.
    """
    judged, scores = found["remedies"]["arms"], found["arms"]
    arms = "".join(_line(judged[key], scores[key]["scores"][SPLIT]) for key in judged)
    pairs = "".join(_pair(pair, judged) for pair in found["remedies"]["planned"])
    return (
        "| arm | runs | trained beside the projector | en | five others | gain | by run | naming | in language "
        "| text perplexity, worst language | mean of six | text-only answers kept | repairs | costs |\n"
        f"|{' --- |' * 14}\n{arms}\n"
        "| planned comparison | runs | difference | over questions and runs | by run | p (Holm) | decided |\n"
        f"|{' --- |' * 7}\n{pairs}"
    )


def _line(arm: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    gain, drift = arm.get("gain"), list(arm["drift"].values())
    alone = arm["leaves_text_alone"]
    cells = [
        arm["title"],
        str(arm["runs"]),
        f"{arm['trained_beside_projector']:,}",
        f"{100 * scores['choice'][ENGLISH]['value']:.1f}",
        f"{100 * scores['choice']['others']['value']:.1f}",
        _with_interval(gain) if gain else "",
        _points(gain["seeds"]) if gain else "",
        f"{100 * scores['naming']['others']['value']:.0f}",
        f"{100 * scores['in_language']['others']['value']:.0f}",
        "0, bit for bit" if alone else f"{100 * max(drift):+.1f}%",
        "0, bit for bit" if alone else f"{100 * float(np.mean(drift)):+.1f}%",
        f"{100 * arm['agreement']:.0f}%",
        _verdict(arm, "repairs"),
        _verdict(arm, "costs"),
    ]
    return f"| {' | '.join(cells)} |\n"


def _pair(pair: Mapping[str, Any], judged: Mapping[str, Mapping[str, Any]]) -> str:
    low, high = pair["both"]
    cells = [
        f"{judged[pair['ours']]['title']} - {judged[pair['theirs']]['title']}",
        str(pair["runs"]),
        _with_interval(pair),
        "" if low is None else f"{100 * low:+.1f} to {100 * high:+.1f}",
        _points(pair["seeds"]),
        f"{pair['p_holm']:.3f}",
        "yes" if pair["decided"] else "no" if pair["runs"] >= FEWEST_RUNS else "too few runs",
    ]
    return f"| {' | '.join(cells)} |\n"


def _verdict(arm: Mapping[str, Any], what: str) -> str:
    """Fewer runs than the rules ask for are no verdict."""
    if what not in arm:
        return ""
    said = "yes" if arm[what] else "no"
    return said if arm["runs"] >= FEWEST_RUNS else f"{said}, so far"


def _with_interval(difference: Mapping[str, Any]) -> str:
    value, low, high = (100 * difference[name] for name in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def _points(seeds: Sequence[float]) -> str:
    return " ".join(f"{100 * value:+.1f}" for value in seeds)
