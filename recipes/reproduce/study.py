"""The study, from pictures to verdicts.  parrot reproduce [--out DIR] [--preset NAME]

Read :func:`run` from top to bottom: hosts -> learning rates, chosen on validation views -> every cell (arm, seed,
regime) -> numbers -> report. Everything made is kept in ``out``; the same command goes on where it was killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parrot_recipes.emoji.compute import Compute
from parrot_recipes.emoji.errors import RecipeError

from .arms import GROUPS, StudyArm, arm_named, with_sources
from .presets import StudyConfig
from .registration import REFERENCE

if TYPE_CHECKING:
    from parrot_recipes.emoji.arms import Setting
    from parrot_recipes.emoji.console import Display
    from parrot_recipes.emoji.presets import Arm, QuickstartConfig
    from parrot_recipes.emoji.workers import Workers

    from .cells import Art, Cell, CellResult
    from .study_results import Results

__all__ = ["Study", "beyond_the_edge", "restricted", "run"]


def run(config: StudyConfig, out: Path, display: Display | None = None, *, so_far: bool = False) -> Results:
    """Run a study, or what is left of it, and write results and report into ``out``.

    Args:
        config: what to run.
        out: where everything is kept.
        display: shows progress.
        so_far: train nothing; report what an unfinished study has found.
    """
    from parrot_recipes.emoji.compute import one_thread
    from parrot_recipes.emoji.console import Display
    from parrot_recipes.emoji.quickstart import require_packages
    from parrot_recipes.emoji.workers import Workers

    from .cells import same_data
    from .conclusion import conclusions
    from .report import write_report
    from .results import write_results
    from .study_results import Results

    require_packages()
    display = display or Display()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecipeError(f"cannot write to {out}: {error.strerror}") from error
    with Workers(config.workers) as workers, one_thread():
        study = Study(config, out, display, workers, trains=not so_far)
        display.step("learning rates, on validation views")
        rates, tuning = study.choose_rates()
        results = Results(config, rates, tuning)
        for regime, keys, seeds in study.finished(rates) if so_far else config.rounds:
            for seed in seeds:
                display.step(f"{regime}, seed {seed}: {', '.join(keys)}")
                cells = study.cells(regime, seed, [arm_named(key) for key in keys], rates)
                news = not all(cell.path(out).exists() for cell in cells)
                found = study.run(cells)
                earlier = results.cells.get((regime, seed), [])
                whole = [*earlier, *(result for result in found if result.key not in {r.key for r in earlier})]
                results.cells[regime, seed], results.data[regime, seed] = whole, same_data(whole)
                if news:  # so that a study still running can be read
                    write_report(write_results(results, study.setting(cells[-1]).concepts, out), out)
        described = write_results(results, study.setting(cells[-1]).concepts, out)
        page = write_report(described, out)
    for sentence in conclusions(described):
        display.console.print(f"  • {sentence}", highlight=False)
    display.console.print(f"  report   [bold]{page}[/bold]", highlight=False, soft_wrap=True)
    display.console.print(f"  numbers  [bold]{out / 'results.json'}[/bold]", highlight=False, soft_wrap=True)
    return results


class Study:
    """Makes what cells need, and runs the cells that are not there yet.

    Args:
        config: what to run.
        out: where everything is kept.
        display: shows progress.
        workers: where cells run.
        trains: whether missing cells are run; otherwise asking for one is an error.
    """

    def __init__(
        self, config: StudyConfig, out: Path, display: Display, workers: Workers, *, trains: bool = True
    ) -> None:
        self.config, self.out, self.display, self.workers, self.trains = config, out, display, workers, trains
        self._settings: dict[str, Setting] = {}

    def choose_rates(self) -> tuple[dict[str, float], dict[str, dict[float, float]]]:
        """Rates by group: the best for the arm that stands for it, one seed, validation views.

        Returns:
            the rates, and validation accuracy by group and rate; none where the study has one rate only.
        """
        used = {arm_named(key).group for arms, _ in self.config.regimes.values() for key in arms}
        groups = [group for group in GROUPS if group in used]
        scores: dict[str, dict[float, float]] = {group: {} for group in groups}
        if len(self.config.rates) == 1:
            return dict.fromkeys(groups, self.config.rates[0]), scores
        wanted = [(group, rate) for group in groups for rate in self.config.rates]
        while wanted:
            arms = [arm_named(GROUPS[group]).arm for group, _ in wanted]
            found = self.validated([(arm, rate) for arm, (_, rate) in zip(arms, wanted, strict=True)])
            for (group, rate), score in zip(wanted, found, strict=True):
                scores[group][rate] = score
            wanted = [(group, rate) for group in groups for rate in beyond_the_edge(scores[group])]
        return {group: max(values, key=values.__getitem__) for group, values in scores.items()}, scores

    def validated(self, tried: Sequence[tuple[Arm, float]]) -> list[float]:
        """The primary metric of arms at rates on validation views, main regime, tuning seed."""
        from parrot_recipes.emoji.scores import mean_of_others

        from .registration import METRIC, SPLIT

        settings = [self.config.setting_of(self.config.main, self.config.tuning_seed, rate) for _, rate in tried]
        cells = [self.cell(arm, config, "validation") for (arm, _), config in zip(tried, settings, strict=True)]
        return [mean_of_others(result.answers, METRIC, SPLIT).value for result in self.run(cells)]

    def cells(self, regime: str, seed: int, arms: Sequence[StudyArm], rates: Mapping[str, float]) -> list[Cell]:
        """The cells of one regime and seed; the host as stage 1 left it comes first."""
        made = [self.cell(arm.arm, self.config.setting_of(regime, seed, rates[arm.group])) for arm in arms]
        return [self.cell(None, made[0].config), *made]

    def cell(self, arm: Arm | None, config: QuickstartConfig, art: Art = "test") -> Cell:
        """A cell, computed where the study is."""
        from .cells import Cell

        return Cell(arm, config, art, self.config.compute)

    def finished(self, rates: Mapping[str, float]) -> list[tuple[str, tuple[str, ...], tuple[int, ...]]]:
        """Rounds of which every cell is there: the arms of a round's first seed, and other seeds that have all of them.

        Raises:
            RecipeError: no regime has no adapter and the host after stage 1.
        """
        found = []
        for regime, keys, seeds in self.config.rounds:
            arms = [arm_named(key) for key in keys]
            done = {
                seed: {cell.key for cell in self.cells(regime, seed, arms, rates) if cell.path(self.out).exists()}
                for seed in seeds
            }
            first = done[seeds[0]]
            started = (REFERENCE in keys and {"stage-1", REFERENCE} <= first) or regime in {name for name, *_ in found}
            if started and first & set(keys):
                kept = tuple(seed for seed in seeds if done[seed] >= first)
                found.append((regime, tuple(key for key in keys if key in first), kept))
        if not found:
            raise RecipeError("no regime of this study has gone far enough to report")
        return found

    def run(self, cells: Sequence[Cell]) -> list[CellResult]:
        """Results of cells in order; those already there are read.

        Raises:
            RecipeError: one is not there, and this study trains nothing.
        """
        from .cells import read_cell, run_cell

        missing = [cell for cell in cells if read_cell(cell, self.out) is None]
        if missing and not self.trains:
            raise RecipeError(f"not run yet: {', '.join(f'{cell.key} ({cell.art})' for cell in missing)}")
        derived = [cell for cell in missing if cell.arm is not None and cell.arm.weights_of is not None]
        for part in ([cell for cell in missing if cell not in derived], derived):  # these take weights of those
            if not part:
                continue
            jobs = [(self.setting(cell), cell, cell.path(self.out)) for cell in part]
            names = [(f"{cell.key}", f"{cell.key}") for cell in part]
            with self.display.arms(list(dict.fromkeys(names))) as progress:
                self.workers.run(run_cell, jobs, progress)
        found = [read_cell(cell, self.out) for cell in cells]
        assert all(result is not None for result in found)
        return found  # type: ignore[return-value]

    def setting(self, cell: Cell) -> Setting:
        """Concepts, pictures, questions and the host after stage 1 for a cell; made on first use."""
        from .validation import validation_features

        setting = self._prepared(cell.config)
        if cell.art == "validation":
            features = validation_features(setting.concepts, setting.features, cell.config.grid)
            setting = replace(setting, features=features)
        return replace(setting, config=cell.config)

    def _prepared(self, config: QuickstartConfig) -> Setting:
        from parrot_recipes.emoji.quickstart import prepare, stage1

        before = replace(  # what stage 1 knows nothing of takes no part in its name
            config, name="", stage2=config.stage1, multilingual=0.5, train_text_model=False, adapter_rate=1.0,
            text_model_rate=1.0, workers=0,
        )  # fmt: skip
        compute = self.config.compute
        described = asdict(before) if compute == Compute() else {**asdict(before), "compute": asdict(compute)}
        digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()[:12]
        if digest not in self._settings:
            name = f"{config.text_model}-seed-{config.seed}-{digest}"
            setting = prepare(config, self.out / "hosts" / name, self.display, self.workers)
            place = self.out / "hosts" / name
            if not place.exists():
                self.display.step(f"  stage 1, {config.text_model} text model, seed {config.seed}", style="")
                place.parent.mkdir(parents=True, exist_ok=True)
                scratch = Path(tempfile.mkdtemp(dir=place.parent))
                try:
                    stage1(replace(setting, host=scratch), self.display, compute)
                    os.replace(scratch, place)
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
            self._settings[digest] = replace(setting, host=place)
        return self._settings[digest]


def beyond_the_edge(scores: Mapping[float, float], most: int = 5) -> list[float]:
    """The next rate to try, a factor of two outside, where the best is at the edge; none when it is inside.

    >>> beyond_the_edge({1e-3: 0.5, 2e-3: 0.6})
    [0.004]
    >>> beyond_the_edge({1e-3: 0.5, 2e-3: 0.6, 4e-3: 0.55})
    []
    """
    best = max(scores, key=scores.__getitem__)
    if len(scores) >= most or min(scores) < best < max(scores):
        return []
    return [2 * best if best == max(scores) else best / 2]


def restricted(
    config: StudyConfig,
    regimes: Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    arms: Sequence[str] | None = None,
) -> StudyConfig:
    """Some regimes, some seeds, some arms; cells are the same as in the whole study.

    Args:
        config: of the whole study.
        regimes: names; None for all.
        seeds: how many of the first, or which, the study's own or others; None for the study's own.
        arms: keys, in any regime whether it has them or not, with no adapter and the arms that others are made from;
            None for each regime's own.

    Raises:
        RecipeError: nothing is left, or there is no such arm.
    """
    only = None if arms is None else with_sources([REFERENCE, *arms])
    kept: dict[str, Any] = {
        name: (only or keys, _seeds(numbers, seeds))
        for name, (keys, numbers) in config.regimes.items()
        if regimes is None or name in regimes
    }
    if not kept or any(not numbers for _, numbers in kept.values()):
        raise RecipeError(
            f"nothing is left to run.\n  given  regimes {regimes}, seeds {seeds}\n  known  {', '.join(config.regimes)}"
        )
    return replace(config, regimes=kept)


def _seeds(own: tuple[int, ...], asked: int | Sequence[int] | None) -> tuple[int, ...]:
    """The study's own, the first of them (further ones follow where there are too few), or those asked for."""
    if asked is None:
        return own
    if isinstance(asked, int):
        return (*own[:asked], *range(own[-1] + 1, own[-1] + 1 + asked - len(own)))
    return tuple(dict.fromkeys(asked))
