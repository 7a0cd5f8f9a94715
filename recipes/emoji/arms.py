"""One arm of the comparison, from a saved host to answers: attach, train stage 2, ask, save.

An arm runs in a process of its own, so everything it takes and gives is plain data on disk or in dataclasses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

import parrot_adapters as pa
from parrot_adapters.core import RoutingStatistics

from . import picture_router
from .concepts import Concept
from .declared import declared
from .evaluation import Answer, evaluate
from .features import Features
from .host import load_host, load_vocabulary, projector
from .languages import CODES
from .presets import Arm, QuickstartConfig
from .questions import Question
from .tokenizer import Vocabulary
from .training import Auxiliary, TrainingSet, train

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration

__all__ = [
    "ArmResult",
    "Probe",
    "Setting",
    "adapter_directories",
    "attach_arm",
    "lora_parameters",
    "probe",
    "register_plugins",
    "run_arm",
]

Progress = Callable[[str, str, int, int], None]  # (arm, what is being done, done, in all)
REPORT_EVERY = 10  # steps


@dataclass(frozen=True, eq=False)
class Setting:
    """What all arms share."""

    config: QuickstartConfig
    concepts: Sequence[Concept]
    features: Features
    questions: Sequence[Question]
    host: Path  # after stage 1


@dataclass(frozen=True, eq=False)
class Probe:
    """What a host computes for a few questions: enough to see whether two hosts are the same."""

    logits: Tensor
    answers: list[str]

    def difference(self, other: Probe) -> float:
        return float((self.logits - other.logits).abs().max())


@dataclass
class ArmResult:
    key: str
    title: str
    answers: list[Answer]
    parameters: int = 0  # of the adapter
    losses: list[float] = field(default_factory=list)
    routing: np.ndarray | None = None  # (languages, E) mean weights, for arms that route
    statistics: RoutingStatistics | None = None  # of the same
    probe: Probe | None = None  # of the trained host, for arms whose adapter is saved
    seconds: dict[str, float] = field(default_factory=dict)


def run_arm(setting: Setting, arm: Arm | None, save_to: Path | None, progress: Progress) -> ArmResult:
    """Train and evaluate one arm; ``None`` evaluates the host as stage 1 left it."""
    config, clock = setting.config, _Clock()
    torch.manual_seed(config.seed)
    host = load_host(setting.host)
    vocabulary = load_vocabulary(setting.host)
    result = ArmResult("stage-1", "stage 1 only", []) if arm is None else ArmResult(arm.key, arm.title, [])

    def tell(what: str, done: int, total: int) -> None:
        if done % REPORT_EVERY == 0 or total < REPORT_EVERY or done == total:
            progress(result.key, what, done, total)

    handle = None
    if arm is not None:
        handle, groups = attach_arm(host, arm, config, vocabulary)
        result.parameters = 0 if handle is None else sum(p.numel() for p in handle.module.parameters())
        data = TrainingSet(setting.concepts, setting.features, vocabulary, config.multilingual)
        result.losses = train(
            host,
            groups,
            data,
            config.stage2,
            config.seed,
            lambda done, total, _: tell("training", done, total),
            auxiliary=None if handle is None or not arm.losses else Auxiliary(handle, arm.losses, arm.loss_options),
        )
        host.eval()
    result.seconds["training"] = clock.lap()

    result.answers = evaluate(
        host,
        setting.concepts,
        setting.features.test,
        setting.questions,
        vocabulary,
        progress=lambda done, total: tell("asking", done, total),
    )
    result.seconds["evaluation"] = clock.lap()

    if handle is not None:
        if arm is not None and arm.routes:
            result.routing, result.statistics = routing_by_language(handle, setting, vocabulary)
        if save_to is not None:
            handle.save_pretrained(save_to)
            result.probe = probe(host, setting, vocabulary)
    tell("done", 1, 1)
    return result


@torch.inference_mode()
def probe(host: LlavaForConditionalGeneration, setting: Setting, vocabulary: Vocabulary, count: int = 4) -> Probe:
    """Logits of the last prompt token, and greedy answers, for a few pictures in every language."""
    asked = setting.questions[:count]
    pictures = setting.features.test[[q.concept for q in asked]].float()
    logits, answers = [], []
    for language in CODES:
        prompt = torch.tensor([vocabulary.prompt(language, host.config.image_seq_length)] * len(asked))
        inputs = {"input_ids": prompt, "attention_mask": torch.ones_like(prompt), "pixel_values": pictures}
        with declared(host, [language] * len(asked)):
            logits.append(host(**inputs).logits[:, -1])
            generated = host.generate(**inputs, max_new_tokens=20, do_sample=False)
        answers += [vocabulary.decode(ids) for ids in generated[:, prompt.shape[1] :].tolist()]
    return Probe(torch.stack(logits), answers)


@torch.inference_mode()
def routing_by_language(
    handle: pa.Attachment, setting: Setting, vocabulary: Vocabulary
) -> tuple[np.ndarray, RoutingStatistics | None]:
    """Mean routing weights over all test pictures, (languages, E), and what else there is to say of them, if any."""
    host = handle.model
    pictures = setting.features.test[[question.concept for question in setting.questions]].float()
    rows, records = [], []
    for language in CODES:
        prompt = torch.tensor([vocabulary.prompt(language, host.config.image_seq_length)] * len(pictures))
        with declared(host, [language] * len(pictures)), handle.record_routing() as log:
            host.model(input_ids=prompt, attention_mask=torch.ones_like(prompt), pixel_values=pictures, use_cache=False)
        rows.append(torch.cat([record.weights for record in log]).mean(0))
        records += log
    left_alone = all(record.abstain is not None and bool(record.abstain.all()) for record in records)
    return torch.stack(rows).numpy(), None if left_alone else RoutingStatistics.of(records)


def adapter_directories(config: QuickstartConfig, out: Path) -> dict[str, Path]:
    """Where the adapters that are kept go, by the key of their arm: ``adapter``, then ``adapter-KEY``."""
    return {key: out / ("adapter" if place == 0 else f"adapter-{key}") for place, key in enumerate(config.saved)}


def register_plugins() -> None:
    """Offer this recipe's own router to the library, once in each process."""
    try:
        pa.plugins.find("router", "picture-only")
    except pa.ParrotError:
        pa.plugins.register(picture_router)


def attach_arm(
    host: LlavaForConditionalGeneration, arm: Arm, config: QuickstartConfig, vocabulary: Vocabulary
) -> tuple[pa.Attachment | None, list[tuple[list[torch.nn.Parameter], float]]]:
    """Attach, and say what is trained at which rate: (parameters, factor of the schedule's rate)."""
    host.requires_grad_(False)
    groups: list[tuple[list[torch.nn.Parameter], float]] = []
    handle = None
    if arm.adapter is not None:
        register_plugins()
        handle = pa.attach(
            host,
            pa.AdapterConfig(**arm.adapter, seed=config.seed),
            processor=vocabulary.tokenizer,
            train_projector=True,
            lora=arm.lora,
        )
        rate = config.adapter_rate if arm.adapter_rate is None else arm.adapter_rate
        groups.append((list(handle.module.parameters()), rate))
    elif arm.lora is not None:
        handle = pa.attach_projector(host, processor=vocabulary.tokenizer, lora=arm.lora)
    if arm.lora is not None:
        rate = 1.0 if arm.adapter is not None or arm.adapter_rate is None else arm.adapter_rate
        groups.append((list(lora_parameters(host).values()), rate))
    projector(host).requires_grad_(True)
    groups.append((list(projector(host).parameters()), 1.0))
    whole = config.text_model_rate if config.train_text_model else arm.text_model_rate
    if whole is not None:
        text = host.model.language_model.requires_grad_(True)
        groups.append((list(text.parameters()), whole))
    return handle, groups


def lora_parameters(host: LlavaForConditionalGeneration) -> dict[str, torch.nn.Parameter]:
    """The weights of LoRA on a host, by name; none where it has no LoRA."""
    return {name: parameter for name, parameter in host.named_parameters() if ".lora_" in name}


class _Clock:
    def __init__(self) -> None:
        self.started = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        elapsed, self.started = now - self.started, now
        return round(elapsed, 2)
