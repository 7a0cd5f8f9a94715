"""Looking for settings in which an adapter repairs erosion better, or in more regimes.

    python -m parrot_recipes.reproduce.search [--out DIR] [--regime NAME]

Every candidate is trained on one text model and judged on *validation views* of the training art; test art is not
looked at. What wins is confirmed on text models it was not chosen on, with test art and held-out concepts
(`--confirm KEY`, by the rules of `registration.py`). Candidates are data (`candidates.py`): add a line. Cells are kept
and found again as in the study.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parrot_recipes.emoji.errors import RecipeError

from .arms import arm_named
from .candidates import Candidate, candidates_of
from .presets import PRESETS, REGIMES, StudyConfig, preset
from .registration import METRIC, REFERENCE, SPLIT, verdict
from .study import Study

if TYPE_CHECKING:
    from .cells import Cell

__all__ = ["command", "confirm", "search"]


def search(
    study: Study, rates: Mapping[str, float], regime: str, keys: Sequence[str] | None = None
) -> dict[str, float]:
    """Validation accuracy (primary metric, tuning seed) of no adapter and of every candidate, best first."""
    found = {}
    cells = {REFERENCE: _cell(study, Candidate(arm_named(REFERENCE).arm, "no adapter"), rates, regime)}
    known = candidates_of(study.config.rules)
    cells |= {key: _cell(study, known[key], rates, regime) for key in keys or known}
    for key, cell in cells.items():
        found[key] = _score(study, cell)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def confirm(study: Study, rates: Mapping[str, float], regime: str, key: str, seeds: Sequence[int]) -> dict[str, Any]:
    """A candidate against no adapter on other seeds, test art, by the registered rules; held-out concepts beside it.

    ``gain_over_arm`` is against the study's arm that it is a change of; None where it is of none.

    Raises:
        RecipeError: the candidate was chosen on one of these seeds, or nobody knows it.
    """
    from .answer_arrays import others, values
    from .cells import same_data
    from .intervals import difference

    if study.config.tuning_seed in seeds:
        raise RecipeError(f"seed {study.config.tuning_seed} chose the candidate, so it cannot confirm it")
    known = candidates_of(study.config.rules)
    if key not in known:
        raise RecipeError(f"no candidate named {key!r}.\n  known  {'; '.join(known)}")
    wanted = [known[key], Candidate(arm_named(REFERENCE).arm, "no adapter")]
    if (of := known[key].of) is not None:
        wanted.append(Candidate(arm_named(of).arm, arm_named(of).group))
    runs = []
    for seed in seeds:
        found = study.run([_cell(study, candidate, rates, regime, seed) for candidate in wanted])
        same_data(found)
        runs.append(found)
    ours, theirs, *same_arm = (list(cells) for cells in zip(*runs, strict=True))
    judged = verdict(
        others(ours), values(ours, METRIC, SPLIT, "en"), others(theirs), values(theirs, METRIC, SPLIT, "en")
    )
    return {
        "candidate": asdict(known[key]),
        "regime": regime,
        "seeds": list(seeds),
        "gain": judged.gain.to_dict(),
        "gain_over_arm": difference(others(ours), others(same_arm[0])).to_dict() if same_arm else None,
        "gain_english": judged.english.to_dict(),
        "gain_held_out": difference(others(ours, METRIC, "held-out"), others(theirs, METRIC, "held-out")).to_dict(),
        "gain_naming": difference(others(ours, "naming"), others(theirs, "naming")).to_dict(),
        "repairs": judged.repairs,
        "because": list(judged.because),
    }


def _cell(study: Study, candidate: Candidate, rates: Mapping[str, float], regime: str, seed: int | None = None) -> Cell:
    """On validation views of the tuning seed, or on the test art of another."""
    rate = candidate.rate * rates[candidate.group]
    config = study.config.setting_of(regime, study.config.tuning_seed if seed is None else seed, rate)
    return study.cell(candidate.arm, replace(config, **candidate.changes), "validation" if seed is None else "test")


def _score(study: Study, cell: Cell) -> float:
    from parrot_recipes.emoji.scores import mean_of_others

    return mean_of_others(study.run([cell])[0].answers, METRIC, SPLIT).value


def command(argv: list[str]) -> int:
    """The search's command line."""
    parser = argparse.ArgumentParser(prog="python -m parrot_recipes.reproduce.search", description="See --help.")
    parser.add_argument("--out", type=Path, default=Path("parrot-reproduce"), help="the study's (%(default)s)")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="study", help="of the study (%(default)s)")
    parser.add_argument("--regime", choices=sorted(REGIMES), help="where (the preset's main one)")
    parser.add_argument("--only", action="append", metavar="KEY", help="some candidates")
    parser.add_argument("--confirm", action="append", metavar="KEY", help="confirm candidates instead of searching")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="to confirm on (1 2)")
    asked = parser.parse_args(argv)
    from parrot_recipes.emoji.compute import one_thread, quiet
    from parrot_recipes.emoji.console import Display
    from parrot_recipes.emoji.quickstart import require_packages
    from parrot_recipes.emoji.workers import Workers

    quiet()
    require_packages()
    config: StudyConfig = preset(asked.preset)
    regime = asked.regime or config.main
    known = candidates_of(config.rules)
    if unknown := [key for key in (*(asked.only or ()), *(asked.confirm or ())) if key not in known]:
        parser.error(f"no candidate named {unknown[0]!r}; known are: {'; '.join(known)}")
    asked.out.mkdir(parents=True, exist_ok=True)
    with Workers(config.workers) as workers, one_thread():
        study = Study(config, asked.out, Display(), workers)
        rates, _ = study.choose_rates()
        if asked.confirm:
            found: dict[str, Any] = {key: confirm(study, rates, regime, key, asked.seeds) for key in asked.confirm}
            path = asked.out / f"confirmed-{regime}.json"
        else:
            found = {key: round(value, 4) for key, value in search(study, rates, regime, asked.only).items()}
            path = asked.out / f"search-{regime}.json"
    path.write_text(json.dumps(found, indent=1, default=str) + "\n", encoding="utf-8")
    print(path.read_text("utf-8"))
    return 0


if __name__ == "__main__":
    raise SystemExit(command(sys.argv[1:]))
