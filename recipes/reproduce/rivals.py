"""The same table for a host of one's own.

    parrot reproduce --rivals CONFIG --out DIR -- --benchmark mmmb --data DIR --protocol paper-2024

`CONFIG` is a file of `parrot train`: her host, her data, her adapter (or her LoRA). It is trained as it is, and
beside it, on the same data in the same order and for as many steps, what people do instead (`RIVALS`). Every arm is
then asked with the words behind ``--``, which are `parrot evaluate`'s, and reads plain text. Training, asking and
reading are processes of their own, each of which goes on where it was stopped; what is done is not done again.

    T  seeds    Q  questions    L  languages
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from parrot_recipes.emoji.console import Display
from parrot_recipes.emoji.errors import RecipeError
from parrot_recipes.emoji.languages import ENGLISH

from parrot_adapters.training import TrainingConfig, load_config

from .drift import Reading, text_drift
from .intervals import difference
from .registration_2 import COST

__all__ = ["RIVALS", "Rival", "run_rivals", "settings_of"]

UNTOUCHED, YOURS = "untouched", "yours"
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
LORA_RATE = 4e-4  # of LoRA and of experts in the layers; chosen in the study of `registration_2.py`
RANK = 24


@dataclass(frozen=True)
class Rival:
    """One way to go.

    Attributes:
        title: for the table.
        adapter: arguments of `AdapterConfig`; None for none.
        lora: arguments of `peft.LoraConfig`; none for none.
        rates: learning rates by role, where the configuration's are not meant for this arm.
    """

    title: str
    adapter: Mapping[str, Any] | None = None
    lora: Mapping[str, Any] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)


RIVALS: Mapping[str, Rival] = {
    "none": Rival("the projector alone"),
    "single": Rival(
        "single conditioned expert", {"router": "text-guided", "expert": "conditioned-swiglu", "num_experts": 1}
    ),
    "lora": Rival(
        f"LoRA r = {RANK}",
        lora={"r": RANK, "lora_alpha": 2 * RANK, "target_modules": list(ATTENTION)},
        rates={"lora": LORA_RATE},
    ),
    "deep-1": Rival(
        "one expert in the layers",
        {"placement": "layers", "router": "uniform", "num_experts": 1, "layer_rank": RANK},
        rates={"adapter": LORA_RATE},
    ),
    "deep-text": Rival(
        "in the layers, shared and routed",
        {
            "placement": "layers", "router": "text-guided", "num_experts": 6, "layer_rank": 2,
            "expert_options": {"shared_rank": RANK // 2},
        },
        rates={"adapter": LORA_RATE},
    ),
}  # fmt: skip


def run_rivals(
    config: Path,
    out: Path,
    asked: Sequence[str],
    *,
    arms: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    launcher: str | None = None,
    display: Display | None = None,
) -> Mapping[str, Any]:
    """Train, ask and read every arm with every seed, or what is left of it; write `results.json` and `table.md`.

    Args:
        config: a file of `parrot train`.
        out: where everything is kept.
        asked: arguments of `parrot evaluate`, without model, adapter and out.
        arms: keys of :data:`RIVALS`; None for all. The untouched host and the configuration's own arm are always there.
        seeds: of weights and order.
        launcher: what starts a training process in place of this Python, for example
            ``torchrun --nproc-per-node 8``.
        display: shows progress.

    Returns:
        what `results.json` holds.

    Raises:
        RecipeError: there is no such arm, nothing is asked, or a process failed.
        ConfigError: the configuration is wrong.
    """
    if not asked:
        raise RecipeError(
            "nothing to ask the arms.\n  to do  end the command with the words of parrot evaluate: "
            "-- --benchmark mmmb --data DIR --protocol paper-2024"
        )
    keys = tuple(RIVALS) if arms is None else tuple(dict.fromkeys(arms))
    if unknown := [key for key in keys if key not in RIVALS]:
        raise RecipeError(f"no rival named {unknown[0]!r}.\n  known  {', '.join(RIVALS)}")
    display = display or Display()
    base = load_config(config)
    if base.train.language_model == "full":
        raise RecipeError(
            "rivals are adapters of one host, and this configuration trains the language model whole.\n"
            "  to do  train.language_model=frozen, or lora"
        )
    out.mkdir(parents=True, exist_ok=True)
    starts = [sys.executable] if launcher is None else shlex.split(launcher)
    found: dict[str, list[dict[str, Any]]] = {}
    untouched = _measured(base, None, out / "untouched", asked, display)
    for seed in seeds:
        for key, settings in settings_of(base, keys, seed).items():
            place = out / f"{key}-seed-{seed}"
            display.step(f"{key}, seed {seed}")
            trained = _trained(settings, place, starts)
            measured = _measured(base, trained / "adapter", place, asked, display)
            found.setdefault(key, []).append({"seed": seed, "rate": _rate(settings), **measured, **_sizes(trained)})
    described = _described(untouched, found)
    (out / "results.json").write_text(json.dumps(described, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (out / "table.md").write_text(table(described), encoding="utf-8")
    display.console.print((out / "table.md").read_text(encoding="utf-8"), highlight=False, soft_wrap=True, markup=False)
    return described


def settings_of(base: TrainingConfig, keys: Sequence[str], seed: int) -> dict[str, TrainingConfig]:
    """The configuration of each arm: the base's data, steps and batches, the arm's adapter, LoRA and rates.

    Args:
        base: the user's own.
        keys: of :data:`RIVALS`.
        seed: of weights and order.
    """
    made = {YOURS: replace(base, seed=seed)}
    for key in keys:
        rival = RIVALS[key]
        if key == "none" and not base.train.projector:
            continue  # nothing would train: it is the untouched host
        tuned = "lora" if rival.lora else "frozen"
        train = replace(base.train, adapter=rival.adapter is not None, language_model=tuned)  # type: ignore[arg-type]
        roles = {"adapter": rival.adapter is not None, "lora": bool(rival.lora), "projector": bool(train.projector)}
        kept = {role: rate for role, rate in base.optim.learning_rates.items() if roles.get(role, True)}
        made[key] = replace(
            base,
            seed=seed,
            adapter=None if rival.adapter is None else dict(rival.adapter),
            lora=dict(rival.lora),
            losses={},
            loss_options={},
            train=train,
            optim=replace(base.optim, learning_rates={**kept, **rival.rates}),
        )
    return made


def _trained(settings: TrainingConfig, place: Path, starts: Sequence[str]) -> Path:
    """Train an arm, or what is left of it; the run's directory."""
    place.mkdir(parents=True, exist_ok=True)
    run = place / "run"
    file = place / "train.yaml"
    file.write_text(yaml.safe_dump(_plain(replace(settings, out=str(run.absolute())))), encoding="utf-8")
    _process([*starts, "-m", "parrot_adapters", "train", str(file)])
    return run


def _measured(
    base: TrainingConfig, adapter: Path | None, place: Path, asked: Sequence[str], display: Display
) -> dict[str, Any]:
    """Ask one arm and let it read."""
    place.mkdir(parents=True, exist_ok=True)
    there = [] if adapter is None else ["--adapter", str(adapter)]
    answers, text = place / "answers", place / "plain-text.json"
    _process(
        [
            *(sys.executable, "-m", "parrot_adapters", "evaluate", "--model", base.host.path),
            *(*there, *_as_trained(base), *asked, "--out", str(answers)),
        ]
    )
    if not text.exists():
        display.step(f"  {place.name}: prompts without pictures", style="")
        _process(
            [
                *(sys.executable, "-m", "parrot_recipes.reproduce.text_cost", "--host", base.host.path),
                *(*there, "--dtype", base.host.dtype, "--out", str(text)),
            ]
        )
    result = json.loads((answers / "results.json").read_text(encoding="utf-8"))
    return {
        "choice": {name: score["overall"] for name, score in result["subsets"].items()},
        "hits": {name: score["hits"] for name, score in result["subsets"].items()},
        "reading": json.loads(text.read_text(encoding="utf-8")),
    }


def _as_trained(base: TrainingConfig) -> list[str]:
    """Words of `parrot evaluate` for what training changes of the host: how precise it is, what its processor shows."""
    settings = [f"{key}={json.dumps(value)}" for key, value in base.host.processor.items()]
    return ["--dtype", base.host.dtype, *(word for setting in settings for word in ("--processor", setting))]


def _process(words: Sequence[str]) -> None:
    """Run to its end; its output is the user's to see."""
    if status := subprocess.call(list(words)):
        raise RecipeError(
            f"a part of the comparison failed (exit code {status}).\n  it was  {shlex.join(words)}\n"
            "  to do   mend what it says; the same command goes on from there"
        )


def _plain(settings: Any) -> Any:
    """As YAML has it: no None, no tuples."""

    def clean(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: clean(one) for key, one in value.items() if one is not None}
        return [clean(one) for one in value] if isinstance(value, (list, tuple)) else value

    return clean(asdict(settings))


def _rate(settings: TrainingConfig) -> float:
    """Of the arm's own parameters; the projector's where it has none."""
    rates = settings.optim.learning_rates
    for role, trains in (
        ("adapter", settings.train.adapter),
        ("lora", settings.train.language_model == "lora"),
        ("projector", settings.train.projector),
    ):
        if trains:
            return rates.get(role, settings.optim.learning_rate)  # type: ignore[call-overload, no-any-return]
    return settings.optim.learning_rate


def _sizes(run: Path) -> dict[str, int]:
    """Parameters in the adapter's files: all, and those beside the projector."""
    from safetensors import safe_open

    sizes = {}
    for path in (run / "adapter").rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            sizes[path.name] = sum(int(np.prod(file.get_slice(name).get_shape())) for name in file.keys())  # noqa: SIM118
    return {
        "parameters": sum(size for name, size in sizes.items() if name != "projector.safetensors"),
        "trained": sum(sizes.values()),
    }


def _described(untouched: Mapping[str, Any], found: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Gains over the reference with their intervals, and costs."""
    before = Reading(**untouched["reading"])
    reference = found.get("none") or [untouched] * len(next(iter(found.values())))
    languages = list(untouched["hits"])
    english = [name for name in languages if name.lower().split("_")[-1] == ENGLISH]
    others = [name for name in languages if name not in english]
    arms = {}
    for key, runs in {UNTOUCHED: [untouched], **found}.items():
        described: dict[str, Any] = {
            "title": {UNTOUCHED: "untouched host", YOURS: "your configuration"}.get(key) or RIVALS[key].title,
            "runs": len(runs),
            "choice": {name: float(np.mean([run["choice"][name] for run in runs])) for name in languages},
            "others": float(np.mean([run["choice"][name] for run in runs for name in others])),
        }
        drift = [text_drift(Reading(**run["reading"]), before) for run in runs]
        described["text_drift"] = {
            code: float(np.mean([one[code]["after"] / one[code]["before"] - 1 for one in drift])) for code in drift[0]
        }
        described["text_agreement"] = float(np.mean([found["agreement"] for one in drift for found in one.values()]))
        described["text_identical"] = all(found["identical"] for one in drift for found in one.values())
        described["costs"] = max(described["text_drift"].values()) > COST
        if key in found:
            gain = difference(_hits(runs, others), _hits(reference, others))
            described |= {"gain": gain.to_dict(), "parameters": runs[0]["parameters"], "trained": runs[0]["trained"]}
            described["rate"] = runs[0]["rate"]
        arms[key] = described
    return {
        "format_version": 1,
        "gain_over": "none" if "none" in found else UNTOUCHED,
        "english": english,
        "others": others,
        "arms": arms,
        "runs": [{"arm": key, "seed": run["seed"], "choice": run["choice"]} for key in found for run in found[key]],
    }


def _hits(runs: Sequence[Mapping[str, Any]], languages: Sequence[str]) -> np.ndarray:
    """(T, Q): the mean over languages, of the questions that all of them have."""
    shared = sorted(set.intersection(*(set(run["hits"][name]) for run in runs for name in languages)))
    return np.array(
        [[np.mean([run["hits"][name][unit] for name in languages]) for unit in shared] for run in runs], dtype=float
    )


def table(described: Mapping[str, Any]) -> str:
    """The study's columns, as Markdown."""
    lines = [
        f"Gain: points over `{described['gain_over']}`, mean of {', '.join(described['others'])}; in brackets the 95% "
        "interval over questions. Text: perplexity of plain sentences, against the untouched host.\n",
        "| arm | runs | trained | English | others | gain | by run | text, worst language | text-only answers kept |",
        f"|{' --- |' * 9}",
    ]
    for arm in described["arms"].values():
        gain = arm.get("gain")
        english = [arm["choice"][name] for name in described["english"]]
        alone = arm["text_identical"]
        cells = [
            arm["title"],
            str(arm["runs"]),
            f"{arm.get('trained', 0):,}",
            f"{100 * np.mean(english):.1f}" if english else "",
            f"{100 * arm['others']:.1f}",
            f"{100 * gain['value']:+.1f} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})" if gain else "",
            " ".join(f"{100 * value:+.1f}" for value in gain["seeds"]) if gain else "",
            "0, bit for bit" if alone else f"{100 * max(arm['text_drift'].values()):+.1f}%",
            f"{100 * arm['text_agreement']:.0f}%",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
