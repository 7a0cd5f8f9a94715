"""Log-likelihoods of options by `parrot evaluate`, against careful loops that ask one question at a time.

Each picture is asked about in six languages. ``one pass``: a loop that puts a prompt with each of its options into one
padded batch, the picture in each row. ``one prompt``: a loop that keeps a prompt's cache and appends its options to it
in one batch, the best that one question alone allows. The adapter is the standard one, its weights drawn: it routes by
text, so that prompts of different languages share no picture; ``experts for all`` stands for every form whose routing
does not depend on the words. `parrot evaluate` has its reading, hashing, checks and writing in its time. The ratio says
how many times as long a loop takes.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from harness import HERE, Options, Row, compare, rows_of

import parrot_adapters as pa
from parrot_adapters.evaluation import benchmark_named
from parrot_adapters.evaluation.answers.evaluate import evaluate
from parrot_adapters.evaluation.answers.evaluation_config import EvaluationConfig
from parrot_adapters.evaluation.answers.option_scorer import OptionScorer
from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost
from parrot_adapters.evaluation.benchmark.questions import Question, load_questions, load_subsets
from parrot_adapters.hosts.key_value_cache import cache_argument, cache_rows, made_cache
from parrot_adapters.testing import save_small_host

sys.path.insert(0, str(HERE.parent / "tests"))
from support import benchmark_files

COVERS = ("parrot_adapters/evaluation/", "parrot_adapters/hosts/", "parrot_adapters/adapter/")

LANGUAGES = ("en", "ar", "tr", "zh", "pt", "ru")
Ids = tuple[int, ...]


def measure(options: Options) -> Iterator[Row]:
    """Rows of a miniature and of something larger, without an adapter and with two kinds."""
    small = {"text": {"hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 4}, "side": 8, "pictures": 6}
    large = {"text": {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6}, "side": 16, "pictures": 2}
    for size in (small,) if options.tiny else (small, large):
        yield from rows(size["text"], size["side"], 2 if options.tiny else size["pictures"], options)


def rows(text: dict[str, int], side: int, pictures: int, options: Options) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        vision = {"hidden_size": 128, "intermediate_size": 256, "image_size": 8 * side, "patch_size": 8}
        model = save_small_host(folder / "host", text=text, vision=vision)
        data = benchmark_files.save_benchmark(folder / "data", questions=pictures, languages=LANGUAGES)
        host = EvaluationHost.load(str(model), device=options.device)
        config = EvaluationConfig(
            model=str(model),
            benchmark="mmmb",
            data=str(data),
            protocol="vlmevalkit-2025",
            out="",
            batch_size=6,
            scoring="loglik",
        )
        benchmark = benchmark_named("mmmb")
        questions = load_questions(load_subsets(config, benchmark), benchmark, config.prompt_style)
        size = f"{sum(p.numel() for p in host.model.parameters()) / 1e6:.0f}M parameters, {side**2} visual tokens"
        settings = f"{len(questions)} questions, {size}, {options.device}"
        for kind, limit in (("no adapter", 3.0), ("experts for all", 3.0), ("routing by text", None)):
            yield from of_one_kind(kind, limit, host, config, questions, folder, settings, options)


def of_one_kind(
    kind: str,
    limit: float | None,
    host: EvaluationHost,
    config: EvaluationConfig,
    questions: Sequence[Question],
    folder: Path,
    settings: str,
    options: Options,
) -> Iterator[Row]:
    if kind != "no adapter":
        router = "text-guided" if kind == "routing by text" else "uniform"
        host.adapter = pa.attach(host.model, pa.AdapterConfig(router=router), processor=host.processor)
        with torch.no_grad():
            for parameter in host.adapter.parameters():
                parameter.normal_(0, 0.05)
    fresh = itertools.count()

    def ours() -> None:
        evaluate(replace(config, out=str(folder / f"{kind} {next(fresh)}")), host=host)

    runs: dict[str, Callable[[], object]] = {
        "parrot evaluate": ours,
        "a loop, one pass": lambda: in_one_pass(host, questions),
        "a loop, one prompt": lambda: with_one_prompt(host, questions),
    }
    found = compare(runs, options)
    if host.adapter is not None:
        host.adapter.detach()
        host.adapter = None
    limits = {
        ("a loop, one pass", "parrot evaluate"): limit,
        ("a loop, one prompt", "parrot evaluate"): None,
    }
    yield from rows_of(found, limits, settings=f"{kind}; {settings}", at_least=True)


@torch.inference_mode()
def in_one_pass(host: EvaluationHost, questions: Sequence[Question]) -> None:
    scorer = OptionScorer(host)
    for question in questions:
        inputs = host.on_device(host.encode([question]).tensors)
        tokens, kept = padded(candidates_of(scorer, question), host.model.device)
        count = len(tokens)
        logits = host.model(
            input_ids=torch.cat([inputs["input_ids"].expand(count, -1), tokens], 1),
            attention_mask=torch.cat([inputs["attention_mask"].expand(count, -1), kept], 1),
            pixel_values=inputs["pixel_values"].expand(count, -1, -1, -1),
            logits_to_keep=tokens.shape[1] + 1,
        ).logits[:, :-1]
        summed(logits, tokens, kept)


@torch.inference_mode()
def with_one_prompt(host: EvaluationHost, questions: Sequence[Question]) -> None:
    scorer = OptionScorer(host)
    for question in questions:
        inputs = host.on_device(host.encode([question]).tensors)
        candidates = candidates_of(scorer, question)
        out = host.model(**inputs, use_cache=True, logits_to_keep=1)
        opening = out.logits[0, -1].float().log_softmax(-1)
        [opening[ids[0]].item() for ids in candidates]
        longer = [ids for ids in candidates if len(ids) > 1]
        tokens, kept = padded(longer, host.model.device)
        rows = torch.zeros(len(longer), dtype=torch.long, device=host.model.device)
        logits = host.model(
            input_ids=tokens[:, :-1],
            attention_mask=torch.cat([inputs["attention_mask"].expand(len(longer), -1), kept[:, :-1]], 1),
            **{cache_argument(host.model.forward): cache_rows(made_cache(out), rows)},
        ).logits
        summed(logits, tokens[:, 1:], kept[:, 1:])


def candidates_of(scorer: OptionScorer, question: Question) -> list[Ids]:
    return list(dict.fromkeys(scorer.ids(text) for text in (*question.options, *question.options.values())))


def padded(candidates: Sequence[Ids], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, candidates))
    tokens = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in candidates], device=device)
    kept = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in candidates], device=device)
    return tokens, kept


def summed(logits: torch.Tensor, tokens: torch.Tensor, kept: torch.Tensor) -> list[float]:
    likelihood = logits.float().log_softmax(-1).gather(-1, tokens[..., None]).squeeze(-1)
    return (likelihood * kept).sum(-1).tolist()
