"""Routers side by side: same pictures, same host, same training, several seeds, one table with intervals.

    parrot compare-routers text-guided per-token visual-only --preset tiny_cpu
    parrot compare-routers text-guided 'top-k={"top_k": 2}' --preset quickstart

Every seed trains a host of its own (stage 1), and on it every router with the same experts (stage 2). The host without
adapter is always a row. Each trained adapter is also diagnosed on test pictures: can languages be told by its routing,
is another artist's drawing of the same thing still found by its visual tokens?

    Q  questions    L  languages    T  seeds
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import parrot_adapters as pa

from .errors import RecipeError
from .presets import NONE, PRESETS, Arm, QuickstartConfig, preset

if TYPE_CHECKING:
    from parrot_adapters.seeing import Diagnosis

    from .arms import ArmResult, Setting
    from .console import Display
    from .scores import Estimate

__all__ = ["Compared", "command", "compare_routers", "router_arm"]

RESAMPLES = 2000
DIAGNOSED = 20  # pictures, each in every language
MEASURES = ("choice", "naming")


@dataclass
class Compared:
    """One row of the table.

    Attributes:
        arm: what was trained.
        results: one for each seed.
        diagnoses: likewise; none for the host without adapter.
    """

    arm: Arm
    results: list[ArmResult] = field(default_factory=list)
    diagnoses: list[Diagnosis] = field(default_factory=list)


def router_arm(text: str) -> Arm:
    """``NAME``, or ``NAME={"top_k": 2}`` with settings of `AdapterConfig`.

    Raises:
        RecipeError: it is not that, or the router goes by declared languages, and nobody declares any here.
        UnknownNameError: nobody registered it.
    """
    from .arms import register_plugins
    from .presets import MIXTURE

    name, _, given = text.partition("=")
    try:
        settings = json.loads(given or "{}")
    except json.JSONDecodeError as error:
        raise RecipeError(f"{text!r}: settings must be JSON, for example 'top-k={{\"top_k\": 2}}' ({error})") from None
    if not isinstance(settings, dict):
        raise RecipeError(f"{text!r}: settings must be a JSON object")
    assert MIXTURE.adapter is not None
    adapter = {**MIXTURE.adapter, **settings, "router": name}
    pa.AdapterConfig(**adapter)  # a misspelt setting is reported before anything is trained
    register_plugins()
    factory = pa.plugins.find("router", name, asked_by="parrot compare-routers").factory
    if getattr(factory, "conformance", {}).get("needs_languages") and "detector" not in settings:
        raise RecipeError(
            f"router {name!r} goes by the language of a prompt, and this recipe declares none.\n"
            f'  to do  name a detector: \'{name}={{"detector": "langid"}}\' (plugins/parrot-detector-langid)'
        )
    return Arm(text, text, adapter)


def compare_routers(
    config: QuickstartConfig, arms: Sequence[Arm], seeds: Sequence[int], out: Path, display: Display | None = None
) -> list[Compared]:
    """Train and diagnose every arm for every seed; the host without adapter comes first.

    Args:
        config: of one run; its own arms and seed are not used.
        arms: from :func:`router_arm`, their keys all different.
        seeds: of everything random.
        out: hosts and adapters go to ``seed-N/``.
        display: shows progress.
    """
    if len({arm.key for arm in arms}) < len(arms):
        raise RecipeError(f"a router is named twice: {', '.join(arm.key for arm in arms)}")
    from .arms import run_arm
    from .console import Display
    from .quickstart import Clock, one_thread, prepare, require_packages, stage1
    from .workers import Workers

    require_packages()
    display = display or Display()
    clock = Clock(display)
    rows = [Compared(arm) for arm in (NONE, *arms)]
    with Workers(config.workers) as workers, one_thread():
        for seed in seeds:
            place = out / f"seed-{seed}"
            with clock.step(f"seed {seed}: host"):
                setting = prepare(
                    replace(config, seed=seed, arms=tuple(arms), saved=()), place, display=display, workers=workers
                )
                stage1(setting, display)
            kept = [None if row.arm is NONE else place / f"adapter-{n}" for n, row in enumerate(rows)]
            jobs = [(setting, row.arm, directory) for row, directory in zip(rows, kept, strict=True)]
            with clock.step(f"seed {seed}: {len(rows)} arms"):
                with display.arms([(row.arm.key, row.arm.title) for row in rows]) as progress:
                    results = workers.run(run_arm, jobs, progress)
                for row, result, directory in zip(rows, results, kept, strict=True):
                    row.results.append(result)
                    if directory is not None:
                        row.diagnoses.append(diagnose_adapter(setting, directory))
    return rows


def diagnose_adapter(setting: Setting, directory: Path) -> Diagnosis:
    """Load an adapter into a fresh host and look at its routing and its visual tokens."""
    import torch

    from parrot_adapters.seeing import Sample, diagnose

    from .host import load_host
    from .languages import CODES
    from .tokenizer import Vocabulary, load_tokenizer

    host, vocabulary = load_host(setting.host), Vocabulary(load_tokenizer())
    handle = pa.load_adapter(host, directory, processor=load_tokenizer())
    features = setting.features
    samples = []
    for question in setting.questions[:DIAGNOSED]:
        for language in CODES:
            ids = torch.tensor([vocabulary.prompt(language, host.config.image_seq_length)])
            prompt = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            shown = features.test[[question.concept]].float()  # (1, V, C)
            drawn = features.train[[question.concept], 0].float()  # the other artist's
            samples.append(
                Sample(
                    {**prompt, "pixel_values": shown},
                    language,
                    picture=question.concept,
                    other_view={**prompt, "pixel_values": drawn},
                )
            )
    return diagnose(handle, samples)


def estimate(values: np.ndarray, seed: int = 0) -> Estimate:
    """Mean of (T, Q) values; the interval holds 95% of resamples of seeds *and* questions (coarse with three seeds)."""
    from .scores import Estimate

    if values.size == 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    seeds, questions = values.shape
    drawn_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds  # (R, T)
    drawn = rng.multinomial(questions, np.full(questions, 1 / questions), size=RESAMPLES) / questions  # (R, Q)
    means = np.einsum("rt,tq,rq->r", drawn_seeds, values, drawn)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high))


def values_of(row: Compared, measure: str, split: str) -> np.ndarray:
    """(T, Q): the mean over all languages but English, for each seed and question."""
    from .languages import CODES, OTHERS
    from .scores import table

    others = [CODES.index(code) for code in OTHERS]
    return np.stack([table(result.answers, measure, split)[:, others].mean(1) for result in row.results])  # type: ignore[arg-type]


def described(row: Compared, reference: Compared) -> dict[str, Any]:
    """A row's numbers as plain data; differences are to ``reference``, by the same seeds and questions."""
    from .scores import SPLITS

    scores: dict[str, Any] = {}
    for split in SPLITS:
        for measure in MEASURES:
            values, theirs = values_of(row, measure, split), values_of(reference, measure, split)
            scores[f"{measure}, {split}"] = {
                **estimate(values).to_dict(),
                "difference": estimate(values - theirs).to_dict(),
                "seeds": values.mean(1).round(4).tolist(),
            }
    return {
        "router": row.arm.key,
        "adapter": None if row.arm.adapter is None else dict(row.arm.adapter),
        "parameters": row.results[0].parameters,
        "scores": scores,
        "diagnoses": [diagnosis.to_dict() for diagnosis in row.diagnoses],
    }


def show(rows: Sequence[Compared], display: Display) -> None:
    """One table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title=f"{len(rows[0].results)} seeds; mean of zh pt ar tr ru in per cent, 95% over seeds and questions",
        caption="choice of four (chance 25) and naming, seen concepts in new art. probe: languages told by routing, "
        "chance 17. drawn otherwise: the same thing by another artist found by its visual tokens.",
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("\nrouter", overflow="fold")
    headings = ("choice\n", "naming\n", "choice\ngain", "en-\ntropy", "\nprobe", "drawn\notherwise", "\nflagged")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        choice = estimate(values_of(row, "choice", "seen"))
        naming = estimate(values_of(row, "naming", "seen"))
        gain = estimate(values_of(row, "choice", "seen") - values_of(rows[0], "choice", "seen"))
        table.add_row(
            row.arm.title,
            _interval(choice),
            _interval(naming),
            "" if row is rows[0] else _interval(gain, sign="+"),
            *_diagnosed(row.diagnoses),
        )
    display.console.print(table)
    for row in rows:
        flags = {flag for diagnosis in row.diagnoses for flag in diagnosis.flags() if "confused" not in flag}
        for flag in sorted(flags):
            display.console.print(f"  {row.arm.title}: {flag}", highlight=False, markup=False)


def _diagnosed(diagnoses: Sequence[Diagnosis]) -> list[str]:
    if not diagnoses:
        return [""] * 4
    probes = [d.probe.accuracy for d in diagnoses if d.probe is not None]
    before = [d.preservation.retrieval_before or 0.0 for d in diagnoses]
    after = [d.preservation.retrieval_after or 0.0 for d in diagnoses]
    flagged = sum(any("confused" not in flag for flag in d.flags()) for d in diagnoses)
    return [
        f"{np.mean([d.routing.entropy for d in diagnoses]):.2f}",
        f"{100 * np.mean(probes):.0f}" if probes else "",
        f"{100 * np.mean(before):.0f} → {100 * np.mean(after):.0f}",
        f"{flagged} of {len(diagnoses)}",
    ]


def _interval(value: Estimate, sign: str = "") -> str:
    return f"{100 * value.value:{sign}.0f} [dim]{100 * value.low:{sign}.0f}–{100 * value.high:{sign}.0f}[/dim]"


def command(argv: list[str]) -> int:
    """The ``parrot compare-routers`` command."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="parrot compare-routers", description=__doc__.splitlines()[0])
    parser.add_argument("routers", nargs="+", metavar="ROUTER", help='a name, or NAME={"top_k": 2}')
    parser.add_argument("--preset", choices=sorted(PRESETS), default="quickstart", help="what to run (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="how many (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("parrot-routers"), help="where results go (%(default)s)")
    asked = parser.parse_args(argv)
    if asked.seeds < 1:
        raise RecipeError(f"--seeds must be at least 1, not {asked.seeds}")
    arms = [router_arm(text) for text in asked.routers]
    from .console import Display
    from .quickstart import provenance, quiet

    quiet()
    display = Display()
    rows = compare_routers(preset(asked.preset), arms, range(asked.seeds), asked.out, display)
    show(rows, display)
    results: Mapping[str, Any] = {
        "format_version": 1,
        "preset": asked.preset,
        "seeds": asked.seeds,
        "rows": [described(row, rows[0]) for row in rows],
        **provenance(),
    }
    path = asked.out / "routers.json"
    path.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    display.console.print(f"  numbers  [bold]{path}[/bold]", highlight=False, soft_wrap=True)
    return 0
