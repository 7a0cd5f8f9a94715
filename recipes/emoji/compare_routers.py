"""Routers side by side: same pictures, same host, same training, several seeds, one table with intervals.

    parrot compare-routers text-guided per-token visual-only --preset tiny_cpu
    parrot compare-routers text-guided 'top-k={"top_k": 2}' --preset quickstart

Every seed trains a host of its own (stage 1), and on it every router with the same experts (stage 2). The host without
adapter is always a row. Prompts come with their language declared, so ``language-id`` can take part; routers that read
the prompt do not heed it. Each trained adapter is also diagnosed on test pictures: can languages be told by its
routing, is another artist's drawing of the same thing still found by its visual tokens, and what does each language
lose without each expert?

    Q  questions    L  languages    T  seeds    E  experts
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

import parrot_adapters as pa
from parrot_adapters.cli.commands import argument, option, parrot_command

from .errors import RecipeError
from .presets import NONE, PRESETS, Arm, QuickstartConfig, preset

if TYPE_CHECKING:
    from rich.text import Text

    from parrot_adapters.analysis import Diagnosis
    from parrot_adapters.console import Table

    from .arms import ArmResult, Progress, Setting
    from .console import Display
    from .scores import Estimate

__all__ = ["Compared", "command", "compare_routers", "router_arm"]

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
        RecipeError: it is not that.
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
    pa.plugins.find("router", name, asked_by="parrot compare-routers")
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
    from .compute import one_thread
    from .console import Display
    from .quickstart import Clock, prepare, require_packages, stage1
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
            titles = [(row.arm.key, row.arm.title) for row in rows]
            with clock.step(f"seed {seed}: {len(rows)} arms"), display.arms(titles) as progress:
                results = workers.run(run_arm, jobs, progress)
            for row, result in zip(rows, results, strict=True):
                row.results.append(result)
            looks = [(setting, row.arm.key, directory) for row, directory in zip(rows, kept, strict=True) if directory]
            with clock.step(f"seed {seed}: {len(arms)} diagnoses"), display.arms(titles[1:]) as progress:
                found = workers.run(diagnose_adapter, looks, progress)
            for row, diagnosis in zip(rows[1:], found, strict=True):
                row.diagnoses.append(diagnosis)
    return rows


def diagnose_adapter(setting: Setting, key: str, directory: Path, progress: Progress) -> Diagnosis:
    """Load an adapter into a fresh host and look at its routing, its visual tokens and what each expert is worth.

    Args:
        setting: what it was trained in.
        key: of its arm, for ``progress``.
        directory: where it is.
        progress: told how many prompts are done, of how many.
    """
    import torch

    from parrot_adapters.analysis import Sample, diagnose

    from .arms import register_plugins
    from .host import load_host, load_vocabulary
    from .languages import CODES, ENGLISH

    register_plugins()
    host, vocabulary = load_host(setting.host), load_vocabulary(setting.host)
    handle = pa.load_adapter(host, directory, processor=vocabulary.tokenizer)
    features = setting.features
    length = host.config.image_seq_length

    def asked(language: str) -> dict[str, torch.Tensor]:
        ids = torch.tensor([vocabulary.prompt(language, length)])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    samples = []
    for question in setting.questions[:DIAGNOSED]:
        shown = {"pixel_values": features.test[[question.concept]].float()}  # (1, V, C)
        drawn = {"pixel_values": features.train[[question.concept], 0].float()}  # the other artist's
        for language in CODES:
            names = [setting.concepts[option].names[language] for option in question.options]
            samples.append(
                Sample(
                    {**asked(language), **shown},
                    language,
                    picture=question.concept,
                    options=tuple((*vocabulary.name(name), vocabulary.eos) for name in names),
                    answer=question.answer,
                    other_view={**asked(language), **drawn},
                    variants={} if language == ENGLISH else {"English prompt": {**asked(ENGLISH), **shown}},
                    category=setting.concepts[question.concept].category,
                )
            )

    def tell(done: int, total: int) -> None:
        if done % 10 == 0 or done == total:
            progress(key, "diagnosing", done, total)

    found = diagnose(handle, samples, progress=tell)
    progress(key, "done", 1, 1)
    return found


def estimate(values: np.ndarray) -> Estimate:
    """Mean of (T, Q) values; the interval is over other seeds *and* questions (coarse with three seeds)."""
    from parrot_adapters.statistics import crossed_interval

    from .scores import Estimate

    return Estimate.of(crossed_interval(values))


def values_of(row: Compared, measure: str, split: str) -> np.ndarray:
    """(T, Q): the mean over all languages but English, for each seed and question."""
    from .languages import CODES, OTHERS
    from .scores import table

    others = [CODES.index(code) for code in OTHERS]
    return np.stack([table(result.answers, measure, split)[:, others].mean(1) for result in row.results])  # type: ignore[arg-type]


def expert_values(diagnoses: Sequence[Diagnosis]) -> dict[str, dict[str, Any]]:
    """language -> accuracy of the host, with the adapter, and without each expert in turn; a number for each seed."""
    if not diagnoses or not diagnoses[0].accuracy:
        return {}
    return {
        language: {
            "host": [d.host_accuracy[language] for d in diagnoses],
            "adapter": [d.accuracy[language] for d in diagnoses],
            "without expert": np.transpose([d.ablation[language] for d in diagnoses]).tolist(),  # (E, T)
        }
        for language in diagnoses[0].accuracy
    }


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
        "experts": expert_values(row.diagnoses),
        "diagnoses": [diagnosis.to_dict() for diagnosis in row.diagnoses],
    }


def show(rows: Sequence[Compared], display: Display) -> None:
    """One table, one for each router's experts, and what was flagged."""
    display.console.print(router_table(rows))
    for row in rows[1:]:
        if row.diagnoses[0].routing.num_experts > 1:
            display.console.print(expert_table(row))
    for row in rows:
        flags = {flag for diagnosis in row.diagnoses for flag in diagnosis.flags() if "confused" not in flag}
        for flag in sorted(flags):
            display.say(f"  {row.arm.title}: {flag}")


def router_table(rows: Sequence[Compared]) -> Table:
    """A row for each router."""
    from parrot_adapters.console import Table

    from .console import interval

    cells = []
    for row in rows:
        choice, reference = values_of(row, "choice", "seen"), values_of(rows[0], "choice", "seen")
        cells.append(
            (
                row.arm.title,
                interval(estimate(choice)),
                interval(estimate(values_of(row, "naming", "seen"))),
                "" if row is rows[0] else interval(estimate(choice - reference), sign="+"),
                *_diagnosed(row.diagnoses),
            )
        )
    return Table(
        ("\nrouter", "choice\n", "naming\n", "choice\ngain", "en-\ntropy", "\nprobe", "drawn\notherwise", "\nflagged"),
        cells,
        title=f"{len(rows[0].results)} seeds; mean of zh pt ar tr ru in per cent, 95% over seeds and questions",
        caption="choice of four (chance 25) and naming, seen concepts in new art. probe: languages told by routing, "
        "chance 17. drawn otherwise: the same thing by another artist found by its visual tokens.",
        text=("\nrouter",),
    )


def expert_table(row: Compared) -> Table:
    """What each language loses without each expert, mean over seeds; bold where every seed has that sign."""
    from parrot_adapters.console import Table

    rows = []
    for language, values in expert_values(row.diagnoses).items():
        right = np.array(values["adapter"])
        changes = [np.array(without) - right for without in values["without expert"]]
        host = f"{100 * np.mean(values['host']):.0f}"
        rows.append((language, host, f"{100 * right.mean():.0f}", *map(_change, changes)))
    return Table(
        ("language", "host", "adapter", *(f"- e{e}" for e in range(row.diagnoses[0].routing.num_experts))),
        rows,
        title=f"{row.arm.title}: choice in per cent, and its change without each expert",
        caption=f"{DIAGNOSED} pictures each, at most; bold: every seed agrees on the sign",
    )


def _change(values: np.ndarray) -> Text:
    from rich.text import Text

    agreed = len(values) > 1 and ((values > 0).all() or (values < 0).all())
    return Text(f"{100 * values.mean():+.0f}", "bold" if agreed else "")


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


@parrot_command("compare-routers")
@argument("routers", nargs=-1, required=True, metavar="ROUTER...", help='a name, or NAME={"top_k": 2}')
@option(
    "--preset",
    "name",
    type=click.Choice(sorted(PRESETS)),
    default="quickstart",
    metavar="NAME",
    help=f"what to run: {', '.join(sorted(PRESETS))}",
)
@option("--seeds", type=click.IntRange(1), default=3, metavar="N", help="how many")
@option("--out", type=click.Path(path_type=Path), default=Path("parrot-routers"), help="where results go")
def command(routers: tuple[str, ...], name: str, seeds: int, out: Path) -> None:
    """Train routers on the same data, several seeds, one table.

    It runs on the CPU, each arm on one thread, so that numbers do not depend on the machine.
    """
    arms = [router_arm(text) for text in routers]
    from .compute import quiet
    from .console import Display
    from .quickstart import provenance

    quiet()
    display = Display()
    rows = compare_routers(preset(name), arms, range(seeds), out, display)
    show(rows, display)
    results: Mapping[str, Any] = {
        "format_version": 1,
        "preset": name,
        "seeds": seeds,
        "rows": [described(row, rows[0]) for row in rows],
        **provenance(),
    }
    path = out / "routers.json"
    path.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    display.say("  numbers  ", (str(path), "bold"))
