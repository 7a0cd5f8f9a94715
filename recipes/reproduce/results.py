"""From cells to `results.json`: every number of the report, and the plain table of the README.

T  seeds    Q  questions    L  languages
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from parrot_recipes.emoji.languages import CODES, ENGLISH, OTHERS
from parrot_recipes.emoji.scores import MEASURES, SPLITS

from . import registration, registration_2
from .amounts import amounts, amounts_table
from .answer_arrays import others, shared, values
from .arms import BY_KEY
from .intervals import contrast, difference, holm, interaction, over_questions, over_seeds
from .presets import REGIMES
from .registration import GUIDED_TWICE, METRIC, REFERENCE, SPLIT, TWO_BY_TWO, verdict

if TYPE_CHECKING:
    from parrot_recipes.emoji.concepts import Concept
    from parrot_recipes.emoji.presets import QuickstartConfig

    from .cells import CellResult
    from .study_results import Results

__all__ = ["COMPARISONS", "describe", "describe_regime", "run", "write_results"]

# Pairs of arms and the question that their difference answers.
COMPARISONS: tuple[tuple[str, str, str], ...] = (
    ("mixture", "picture-only", "does the mixture need the text?"),
    ("single", "dense", "does a single expert need the text?"),
    ("mixture", "single", "full adapter, or one conditioned expert of the same size?"),
    ("conditioned-mixture", "single", "given conditioned experts, does mixing add anything?"),
    ("mixture", "as-written", "does normalising the router's inputs help?"),
    ("supervised", "mixture", "does teaching the router languages help?"),
    ("language-id", "mixture", "is one fixed expert for each language better than a learned router?"),
    ("uniform", "dense", "six experts, never chosen: are they one dense expert?"),
)


def describe(results: Results, concepts: Sequence[Concept]) -> dict[str, Any]:
    """Everything a study found, as plain data."""
    from parrot_recipes.emoji.quickstart import provenance

    from .remedies import remedies

    rules = results.config.rules
    by_regime: dict[str, dict[int, list[CellResult]]] = {}
    for (regime, seed), found in results.cells.items():
        by_regime.setdefault(regime, {})[seed] = found
    return {
        "format_version": 1,
        "preset": results.config.name,
        "main": results.config.main,
        "compute": asdict(results.config.compute),
        "rules": rules,
        "registration": registration.__doc__,
        **({"registration_2": registration_2.__doc__} if rules == 2 else {}),
        "config": results.config.to_dict(),
        "concepts": {split: sum(concept.split == split for concept in concepts) for split in SPLITS},
        "rates": dict(results.rates),
        "tuning": {group: {f"{r:g}": round(v, 4) for r, v in grid.items()} for group, grid in results.tuning.items()},
        "regimes": {
            regime: {
                "title": REGIMES[regime].title,
                "repeats": REGIMES[regime].repeats,
                **_differs(results.config.setting_of(regime, 0, 0.0)),
                "data": {str(seed): results.data[regime, seed] for seed in seeds},
                **describe_regime(list(seeds.values())),
                **({"remedies": remedies(list(seeds.values()))} if rules == 2 else {}),
                "seeds": list(seeds),
            }
            for regime, seeds in by_regime.items()
        },
        "runs": [
            {"regime": regime, "seed": seed, **run(result)}
            for (regime, seed), found in results.cells.items()
            for result in found
        ],
        **provenance(),
    }


def _differs(setting: QuickstartConfig) -> dict[str, Any]:
    return {"text_model": setting.text_model, "multilingual": setting.multilingual}


def run(result: CellResult) -> dict[str, Any]:
    """One arm with one seed: what it reached, and what it cost.

    Returns:
        ``choice``, ``naming`` and ``fidelity`` (the answer is a name in the asked language) by language and for the
        mean of the five ``others``, seen concepts; ``hits`` behind them, by measure, split and language: a 1 or a 0
        for each question, in one order for all arms of a run; ``text_drift``, relative change of perplexity by
        language, and the same with the end of the text as a token (see the amendment in `registration_2.py`);
        ``text_agreement``, share of greedy text-only answers left as they were; ``text_identical``, whether all logits
        are the same bits; ``parameters`` trained beside the projector and ``trained`` in all; ``rate`` of its own
        parameters; ``seconds``.
    """
    measures = {"choice": "choice", "naming": "naming", "fidelity": "in_language"}
    scores = {
        name: {
            **{code: round(float(values([result], measure, SPLIT, code).mean()), 4) for code in CODES},
            "others": round(float(others([result], measure).mean()), 4),
        }
        for name, measure in measures.items()
    }
    return {
        "arm": result.key,
        **scores,
        "hits": {
            name: {
                split: {code: _digits(values([result], measure, split, code)[0]) for code in CODES} for split in SPLITS
            }
            for name, measure in measures.items()
        },
        "text_drift": {code: round(found["after"] / found["before"] - 1, 6) for code, found in result.text.items()},
        "text_drift_with_end": {
            code: round(found["after_with_end"] / found["before_with_end"] - 1, 6)
            for code, found in result.text.items()
        },
        "text_agreement": {code: found["agreement"] for code, found in result.text.items()},
        "text_identical": all(found["identical"] for found in result.text.values()) if result.text else None,
        "parameters": result.parameters,
        "trained": result.trained,
        "rate": result.rate,
        "seconds": round(sum(result.seconds.values()), 1),
    }


def _digits(hits: np.ndarray) -> str:
    return "".join("1" if hit else "0" for hit in hits)


def describe_regime(seeds: Sequence[Sequence[CellResult]]) -> dict[str, Any]:
    """One regime: the results of each seed. Arms that some seeds lack are compared on the seeds they have in common."""
    arms: dict[str, dict[int, CellResult]] = {}
    for place, found in enumerate(seeds):
        for result in found:
            arms.setdefault(result.key, {})[place] = result
    described = {key: _arm(key, *shared(arms, key, REFERENCE)) for key in arms}
    reference = list(arms[REFERENCE].values())
    return {
        "questions": {split: int(others(reference, METRIC, split).shape[1]) for split in SPLITS},
        "arms": described,
        "two_by_two": _two_by_two(arms, TWO_BY_TWO),
        "guided_twice": _two_by_two(arms, GUIDED_TWICE),
        "comparisons": _comparisons(arms),
    }


def write_results(results: Results, concepts: Sequence[Concept], out: Path) -> dict[str, Any]:
    """Write `results.json` and `table.md`."""
    described = describe(results, concepts)
    (out / "results.json").write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "table.md").write_text(markdown(described), encoding="utf-8")
    return described


def markdown(described: Mapping[str, Any]) -> str:
    """The README's tables."""
    from .remedies import tables

    if by_share := amounts(described):
        return amounts_table(by_share)
    parts = []
    for found in described["regimes"].values():
        count = len(found["seeds"])
        head = (
            f"**{found['title'][0].upper()}{found['title'][1:]}** "
            f"({found['questions']['seen']} pictures, {count} {found['repeats']}{'s' if count > 1 else ''})\n\n"
        )
        if "remedies" in found:
            parts.append(head + tables(found))
            continue
        parts.append(
            f"{head}| arm | en | five others | gain | by seed | naming | in language | repairs |\n"
            "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
            + "".join(_line(arm) for arm in found["arms"].values())
        )
    return "\n".join(parts)


def _line(arm: Mapping[str, Any]) -> str:
    scores, gain = arm["scores"]["seen"], arm.get("gain")
    cells = [
        arm["title"],
        _percent(scores["choice"][ENGLISH]["value"]),
        _percent(scores["choice"]["others"]["value"]),
        f"{_points(gain['value'])} ({_points(gain['low'])} to {_points(gain['high'])})" if gain else "",
        " ".join(_points(value) for value in gain["seeds"]) if gain else "",
        _percent(scores["naming"]["others"]["value"]),
        _percent(scores["in_language"]["others"]["value"]),
        _verdict(arm),
    ]
    return "| " + " | ".join(cells) + " |\n"


def _verdict(arm: Mapping[str, Any]) -> str:
    """Three text models are the least that the rule about text models means anything for."""
    if "verdict" not in arm:
        return ""
    if not arm["verdict"]["repairs"]:
        return "no"
    return "**yes**" if len(arm["gain"]["seeds"]) >= 3 else "so far"


def _arm(key: str, results: Sequence[CellResult], reference: Sequence[CellResult]) -> dict[str, Any]:
    study_arm = BY_KEY.get(key)
    described: dict[str, Any] = {
        "title": study_arm.title if study_arm else "stage 1 only",
        "purpose": study_arm.purpose if study_arm else "the host before stage 2, English only: where erosion shows",
        "group": study_arm.group if study_arm else None,
        "parameters": results[0].parameters,
        "scores": {
            split: {
                measure: {
                    **{code: _estimate(values(results, measure, split, code)) for code in CODES},
                    "others": _estimate(others(results, measure, split)),
                }
                for measure in MEASURES
            }
            for split in SPLITS
        },
        "erosion": {
            code: _estimate(values(results, METRIC, SPLIT, ENGLISH) - values(results, METRIC, SPLIT, code))
            for code in OTHERS
        },
        "looked": _looked(results),
        "final_loss": round(float(np.mean([r.losses[-1] for r in results])), 4) if results[0].losses else None,
        "seconds": [sum(result.seconds.values()) for result in results],
    }
    if study_arm and key != REFERENCE:
        judged = verdict(
            others(results),
            values(results, METRIC, SPLIT, ENGLISH),
            others(reference),
            values(reference, METRIC, SPLIT, ENGLISH),
        )
        described |= {
            "gain": judged.gain.to_dict(),
            "gain_english": judged.english.to_dict(),
            "gain_naming": difference(others(results, "naming"), others(reference, "naming")).to_dict(),
            "gain_held_out": difference(
                others(results, METRIC, "held-out"), others(reference, METRIC, "held-out")
            ).to_dict(),
            "verdict": {"repairs": judged.repairs, "because": list(judged.because)},
        }
    return described


def _looked(results: Sequence[CellResult]) -> dict[str, Any]:
    """Means over seeds of the means over languages; routing is kept by seed."""
    means = [result.looked["mean"] for result in results]
    described: dict[str, Any] = {name: round(float(np.mean([m[name] for m in means])), 4) for name in means[0]}
    described["routing"] = [result.looked["routing"] for result in results if result.looked["routing"]]
    return described


def _two_by_two(arms: Mapping[str, Mapping[int, CellResult]], design: Mapping[str, Any]) -> dict[str, Any]:
    """By measure; empty where an arm was not run."""
    if any(key not in arms for keys in design.values() for key in keys):
        return {}
    return {measure: _effects(arms, design, measure) for measure in ("choice", "naming")}


def _effects(arms: Mapping[str, Mapping[int, CellResult]], design: Mapping[str, Any], measure: str) -> dict[str, Any]:
    keys = [*design["no guidance"], *design["guidance"]]
    dense, blind, single, both = (others(found, measure) for found in shared(arms, *keys))
    return {
        "arms": {row: list(keys) for row, keys in design.items()},
        "cells": [[_estimate(dense), _estimate(blind)], [_estimate(single), _estimate(both)]],
        "mixture": contrast(((blind - dense) + (both - single)) / 2).to_dict(),
        "guidance": contrast(((single - dense) + (both - blind)) / 2).to_dict(),
        "interaction": interaction(dense, blind, single, both).to_dict(),
    }


def _comparisons(arms: Mapping[str, Mapping[int, CellResult]]) -> list[dict[str, Any]]:
    """The pairs that were run, p adjusted for there being several (Holm)."""
    pairs = [pair for pair in COMPARISONS if pair[0] in arms and pair[1] in arms]
    found = [difference(*map(others, shared(arms, ours, theirs))) for ours, theirs, _ in pairs]
    adjusted = holm([pair.probability for pair in found])
    return [
        {"ours": ours, "theirs": theirs, "question": question, **pair.to_dict(), "p_holm": round(p, 4)}
        for (ours, theirs, question), pair, p in zip(pairs, found, adjusted, strict=True)
    ]


def _estimate(numbers: np.ndarray) -> dict[str, Any]:
    across = over_seeds(numbers.mean(1))
    finite = bool(np.isfinite(across.low))
    return {
        **over_questions(numbers).to_dict(),
        "across_seeds": [round(across.low, 4), round(across.high, 4)] if finite else [None, None],
        "seeds": [round(float(mean), 4) for mean in numbers.mean(1)],
    }


def _percent(value: float) -> str:
    return f"{100 * value:.0f}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"
