"""A multiple-choice run scored: its answers as a :class:`Result`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from parrot_adapters.digests import text_digest
from parrot_adapters.evaluation.answers.evaluate import Evaluation
from parrot_adapters.evaluation.answers.evaluation_config import OPTION_SCORES
from parrot_adapters.evaluation.answers.reply_text import reply
from parrot_adapters.evaluation.benchmark.predictions import Predictions
from parrot_adapters.evaluation.benchmark.protocols import protocol_named
from parrot_adapters.evaluation.scores.calibration import calibration_of
from parrot_adapters.evaluation.scores.choice_result import choice_result
from parrot_adapters.evaluation.scores.reply_language import Detector, language_fidelity
from parrot_adapters.evaluation.scores.result import Fidelity, Result, SubsetScore
from parrot_adapters.evaluation.scores.routing_summary import routing_use
from parrot_adapters.evaluation.scores.run_origin import with_origin
from parrot_adapters.evaluation.scores.score_subset import score_subset

__all__ = ["replies_of", "score_run"]


def score_run(run: Evaluation, *, resamples: int = 2000) -> Result:
    """Score a run's answers under its protocol, by both matchers.

    Args:
        run: The answered questions.
        resamples: How often the questions are drawn again for intervals.
    """
    config, benchmark, protocol = run.config, run.config.source, protocol_named(run.config.protocol)
    replies = replies_of(run)
    by_option = config.scoring == "loglik"
    scored = choice_result(
        run.subsets,
        replies,
        protocol,
        benchmark,
        matcher=config.matcher,
        task=config.task,
        fidelity={} if by_option else _fidelity(run, replies),
        resamples=resamples,
    )
    cut_off = _counts(run, lambda i: not run.answers[i].finished)
    warned = [
        f"{name}: {count} of {of} replies were cut off at {config.max_new_tokens} tokens"
        for name, (count, of) in cut_off.items()
        if count
    ]
    calibration = calibration_of(run)
    return with_origin(
        replace(
            scored,
            predictions_sha256=_replies_hash(replies),
            cut_off={name: count / of for name, (count, of) in cut_off.items()},
            option_scores=_by_likelihood(run) if by_option else {},
            calibration={name: found.error for name, found in calibration.items()},
            reliability={name: found.bins for name, found in calibration.items()},
            confusion=_confusion(run, scored.subsets),
            routing=routing_use(run),
            warnings=(*scored.warnings, *warned),
        ),
        run,
        by_option=by_option,
    )


def replies_of(run: Evaluation, option_score: str | None = None) -> Predictions:
    """Return the texts that the matchers read, by language and row.

    Args:
        run: The answered questions.
        option_score: Which log-likelihood chooses, where options were scored; by default the run's own.
    """
    found: Predictions = {}
    for question, answer in zip(run.questions, run.answers, strict=True):
        text = reply(question, answer, think=run.config.think, option_score=option_score or run.config.option_score)
        found.setdefault(question.language, {})[question.index] = text
    return found


def _by_likelihood(run: Evaluation) -> dict[str, dict[str, float | None]]:
    """Accuracy by each way to read the options' log-likelihoods, and subset."""
    benchmark, protocol = run.config.source, protocol_named(run.config.protocol)
    found: dict[str, dict[str, float | None]] = {}
    for kind in OPTION_SCORES:
        replies = replies_of(run, kind)
        found[kind] = {
            subset.name: score_subset(subset, replies.get(language, {}), protocol, benchmark).overall
            for language, subset in run.subsets.items()
        }
    return found


def _confusion(run: Evaluation, scores: Mapping[str, SubsetScore]) -> dict[str, dict[str, dict[str, int]]]:
    """By subset: right letter to chosen letter (``-`` for none) to how many rows."""
    tables: dict[str, dict[str, dict[str, int]]] = {}
    for question in run.questions:
        choices = scores[question.subset].choices
        if question.row.answer is None or question.index not in choices:
            continue
        counts = tables.setdefault(question.subset, {}).setdefault(question.row.answer, {})
        chosen = choices[question.index] or "-"
        counts[chosen] = counts.get(chosen, 0) + 1
    return {
        name: {answer: dict(sorted(counts.items())) for answer, counts in sorted(table.items())}
        for name, table in tables.items()
    }


def _fidelity(run: Evaluation, replies: Predictions) -> dict[str, Fidelity]:
    name = run.config.detector
    detector: Detector | None = None
    if name is not None:
        from parrot_adapters.evaluation.matching.plain_text_detector import text_detector

        detector = text_detector(name)
    return language_fidelity(replies, detector=detector, name=name or "script")


def _counts(run: Evaluation, holds: Callable[[int], bool]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for i, question in enumerate(run.questions):
        count, of = found.get(question.subset, (0, 0))
        found[question.subset] = (count + bool(holds(i)), of + 1)
    return found


def _replies_hash(replies: Predictions) -> str:
    text = json.dumps({language: sorted(said.items()) for language, said in sorted(replies.items())})
    return text_digest(text)
