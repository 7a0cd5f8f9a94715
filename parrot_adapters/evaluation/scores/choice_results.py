"""A run scored, and written so that every number says where it comes from."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

from parrot_adapters.atomic_files import write_json, write_text
from parrot_adapters.evaluation.answers.evaluate import Evaluation
from parrot_adapters.evaluation.answers.evaluation_config import OPTION_SCORES
from parrot_adapters.evaluation.answers.reply_text import reply
from parrot_adapters.evaluation.benchmark.protocols import protocol_named
from parrot_adapters.evaluation.matching.extract_choice import ROBUST
from parrot_adapters.evaluation.scores.calibration import Calibration, calibration_of
from parrot_adapters.evaluation.scores.erosion import Analysis, analyse
from parrot_adapters.evaluation.scores.provenance import prompts_hash, run_provenance
from parrot_adapters.evaluation.scores.reply_language import Detector, Fidelity, language_fidelity
from parrot_adapters.evaluation.scores.routing_summary import routing_statistics
from parrot_adapters.evaluation.scores.score_report import ScoreReport, means
from parrot_adapters.evaluation.scores.subset_score import SubsetScore, score_subset

__all__ = ["RunResult", "score_run", "write_results"]


@dataclass(frozen=True)
class RunResult:
    """A run with its scores and statistics."""

    run: Evaluation
    report: ScoreReport
    statistics: Mapping[str, Analysis]
    """Of the reference scores and of the robust ones."""
    replies: Mapping[str, Mapping[int, str | None]]
    """What the matchers read, by language and row."""
    option_scores: Mapping[str, Mapping[str, float | None]]
    """With log-likelihoods: accuracy by kind of likelihood and subset."""
    calibration: Mapping[str, Calibration]
    """With log-likelihoods: is the likeliest letter right as often as it is likely? By subset."""

    @property
    def scores(self) -> Mapping[str, SubsetScore]:
        """Of the matcher that was asked for."""
        return self.report.robust if self.run.config.matcher == ROBUST else self.report.reference

    @property
    def analysis(self) -> Analysis:
        """Of the matcher that was asked for."""
        return self.statistics[self.run.config.matcher]

    def provenance(self) -> dict[str, object]:
        """What every number of this run depends on."""
        config, protocol = self.run.config, self.report.protocol
        return run_provenance(
            self.run,
            protocol=protocol.name,
            unit=protocol.unit(self.report.benchmark),
            matcher=config.matcher,
            by_option=config.scoring == "loglik",
        )

    def as_json(self) -> dict[str, object]:
        """The content of ``results.json``."""
        scored, chosen = self.report.as_json(), self.run.config.matcher
        by_matcher = {"reference": self.report.reference, ROBUST: self.report.robust}
        return (
            scored
            | self.provenance()
            | {
                "subsets": {name: _subset(score) for name, score in self.scores.items()},
                "means": means(self.scores),
                "matchers": {
                    name: {
                        "overall": {subset: score.overall for subset, score in scores.items()},
                        "not_found": {subset: score.not_found for subset, score in scores.items()},
                        "means": means(scores),
                        "hits": {subset: _keyed(score.hits) for subset, score in scores.items()},
                        "choices": {subset: _keyed(score.choices) for subset, score in scores.items()},
                        "statistics": self.statistics[name].as_json(),
                    }
                    for name, scores in by_matcher.items()
                },
                "statistics": self.statistics[chosen].as_json(),
                "prompts_sha256": {name: prompts_hash(self.run.questions, name) for name in self.scores},
                "cut_off": _shares(self.run, lambda i: not self.run.answers[i].finished),
                "option_scores": self.option_scores,
                "calibration": {name: found.error for name, found in self.calibration.items()},
                "reliability": {name: [b._asdict() for b in found.bins] for name, found in self.calibration.items()},
                "confusion": confusion(self),
                "routing": routing(self.run),
                "config": asdict(self.run.config),
                "answers": {"new": self.run.made, "batch_size": self.run.batch_size},
            }
        )


def score_run(run: Evaluation, *, resamples: int = 2000) -> RunResult:
    """Score a run's answers under its protocol, by both matchers."""
    config = run.config
    benchmark, protocol = config.source, protocol_named(config.protocol)
    replies = _replies(run, config.option_score)
    reference, robust, warned = {}, {}, []
    for language, subset in run.subsets.items():
        said = replies.get(language, {})
        reference[subset.name] = score_subset(subset, said, protocol, benchmark)
        robust[subset.name] = score_subset(subset, said, protocol, benchmark, matcher=ROBUST)
        published = benchmark.md5.get(language)
        if published and subset.md5 != published:
            warned.append(f"{subset.path.name} is not the published file: its md5 is {subset.md5}, not {published}")
        warned += [*subset.warnings, *reference[subset.name].warnings]
    warned += [
        f"{name}: {count} of {of} replies were cut off at {config.max_new_tokens} tokens"
        for name, (count, of) in _counts(run, lambda i: not run.answers[i].finished).items()
        if count
    ]
    subsets = {subset.name: subset for subset in run.subsets.values()}
    report = ScoreReport(
        benchmark,
        protocol,
        subsets,
        reference,
        robust,
        _replies_hash(replies),
        tuple(warned),
        _fidelity(run, replies) if config.scoring == "generate" else {},
    )
    statistics = {
        "reference": analyse(report, resamples=resamples),
        ROBUST: analyse(replace(report, reference=robust), resamples=resamples),
    }
    kinds: dict[str, dict[str, float | None]] = {}
    if config.scoring == "loglik":
        for kind in OPTION_SCORES:
            by_kind = _replies(run, kind)
            kinds[kind] = {
                subset.name: score_subset(subset, by_kind.get(language, {}), protocol, benchmark).overall
                for language, subset in run.subsets.items()
            }
    return RunResult(run, report, statistics, replies, kinds, calibration_of(run))


def write_results(result: RunResult, out: str | Path) -> None:
    """Write ``results.json``, ``scores.csv``, ``rows.csv`` and ``predictions.jsonl``; each whole or not at all."""
    folder = Path(out)
    write_json(folder / "results.json", result.as_json())
    write_text(folder / "scores.csv", _csv(_score_rows(result)))
    write_text(folder / "rows.csv", _csv(_question_rows(result)))
    lines = (
        json.dumps({"lang": language, "index": index, "prediction": text}, ensure_ascii=False) + "\n"
        for language, said in result.replies.items()
        for index, text in said.items()
    )
    write_text(folder / "predictions.jsonl", "".join(lines))


def confusion(result: RunResult) -> dict[str, dict[str, dict[str, int]]]:
    """By subset: right letter to chosen letter (``-`` for none) to how many rows."""
    tables: dict[str, dict[str, dict[str, int]]] = {}
    for question in result.run.questions:
        choices = result.scores[question.subset].choices
        if question.row.answer is None or question.index not in choices:
            continue
        counts = tables.setdefault(question.subset, {}).setdefault(question.row.answer, {})
        chosen = choices[question.index] or "-"
        counts[chosen] = counts.get(chosen, 0) + 1
    return {
        name: {answer: dict(sorted(counts.items())) for answer, counts in sorted(table.items())}
        for name, table in tables.items()
    }


def routing(run: Evaluation) -> dict[str, object] | None:
    """Mean routing weights by subset and by category, and statistics of it all; None without an adapter."""
    routed = [(q, a.routing) for q, a in zip(run.questions, run.answers, strict=True) if a.routing is not None]
    if not routed:
        return None
    by_subset: dict[str, list[list[float]]] = {}
    by_category: dict[str, list[list[float]]] = {}
    for question, weights in routed:
        by_subset.setdefault(question.subset, []).append(weights)
        by_category.setdefault(question.row.label("category") or "-", []).append(weights)
    return {
        "subsets": {name: _mean(rows) for name, rows in by_subset.items()},
        "categories": {name: _mean(by_category[name]) for name in sorted(by_category)},
        "statistics": routing_statistics(run),
    }


def _mean(rows: Sequence[Sequence[float]]) -> list[float]:
    return [fmean(values) for values in zip(*rows, strict=True)]


def _replies(run: Evaluation, option_score: str) -> dict[str, dict[int, str | None]]:
    found: dict[str, dict[int, str | None]] = {}
    for question, answer in zip(run.questions, run.answers, strict=True):
        text = reply(question, answer, think=run.config.think, option_score=option_score)
        found.setdefault(question.language, {})[question.index] = text
    return found


def _fidelity(run: Evaluation, replies: Mapping[str, Mapping[int, str | None]]) -> dict[str, Fidelity]:
    name = run.config.detector
    detector: Detector | None = None
    if name is not None:
        from parrot_adapters.evaluation.matching.plain_text_detector import text_detector

        detector = text_detector(name)
    found = language_fidelity(replies, detector=detector, name=name or "script")
    return {run.subsets[language].name: fidelity for language, fidelity in found.items()}


def _counts(run: Evaluation, holds: Callable[[int], bool]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for i, question in enumerate(run.questions):
        count, of = found.get(question.subset, (0, 0))
        found[question.subset] = (count + bool(holds(i)), of + 1)
    return found


def _shares(run: Evaluation, holds: Callable[[int], bool]) -> dict[str, float]:
    return {name: count / of for name, (count, of) in _counts(run, holds).items()}


def _replies_hash(replies: Mapping[str, Mapping[int, str | None]]) -> str:
    text = json.dumps({language: sorted(said.items()) for language, said in sorted(replies.items())})
    return hashlib.sha256(text.encode()).hexdigest()


def _keyed(values: Mapping[int, object]) -> dict[str, object]:
    return {str(key): value for key, value in values.items()}


def _subset(score: SubsetScore) -> dict[str, object]:
    return {
        "overall": score.overall,
        "category": dict(score.category),
        "l2_category": dict(score.l2_category),
        "split": dict(score.split),
        "choices": _keyed(score.choices),
        "hits": _keyed(score.hits),
    }


def _score_rows(result: RunResult) -> Iterable[dict[str, object]]:
    origin = result.provenance()
    host, adapter = result.run.host, result.run.host.get("adapter")
    for matcher, scores in (("reference", result.report.reference), (ROBUST, result.report.robust)):
        analysis = result.statistics[matcher]
        for name, score in scores.items():
            interval, subset = analysis.intervals.get(name), result.report.subsets[name]
            lost = analysis.erosion.get(name)
            yield {
                "subset": name,
                "language": subset.language,
                "units": len(score.hits),
                "accuracy": score.overall,
                "low": interval and interval.low,
                "high": interval and interval.high,
                "not_found": score.not_found,
                "in_language": result.report.fidelity[name].rate if name in result.report.fidelity else None,
                "in_language_by": result.report.fidelity[name].by if name in result.report.fidelity else None,
                "erosion": lost and lost.interval.estimate,
                "erosion_low": lost and lost.interval.low,
                "erosion_high": lost and lost.interval.high,
                **{key: origin[key] for key in ("benchmark", "protocol", "unit")},
                "matcher": matcher,
                "prompt_style": origin["prompt_style"],
                "prompts_sha256": prompts_hash(result.run.questions, name),
                "data_md5": subset.md5,
                "generation": json.dumps(origin["generation"]),
                "think": origin["think"],
                "processor": json.dumps(origin["processor"]),
                "host": host.get("name"),
                "host_weights": host.get("weights"),
                "dtype": host.get("dtype"),
                "adapter": adapter["digest"] if adapter else "",
                "versions": json.dumps(origin["versions"]),
            }


def _question_rows(result: RunResult) -> Iterable[dict[str, object]]:
    for question, answer in zip(result.run.questions, result.run.answers, strict=True):
        row = question.row
        yield {
            "subset": question.subset,
            "language": question.language,
            "index": question.index,
            "question_id": row.question_id,
            "category": row.label("category"),
            "l2-category": row.label("l2-category"),
            "split": row.label("split"),
            "answer": row.answer,
            "reference": result.report.reference[question.subset].choices.get(question.index),
            "robust": result.report.robust[question.subset].choices.get(question.index),
            "finished": int(answer.finished),
            "in_language": _yes_no(result.report.fidelity, question.subset, question.index),
            "prompt": question.prompt,
            "prediction": result.replies[question.language][question.index],
        }


def _yes_no(fidelity: Mapping[str, Fidelity], subset: str, index: int) -> str:
    verdict = fidelity[subset].verdicts.get(index) if subset in fidelity else None
    return {True: "yes", False: "no", None: ""}[verdict]


def _csv(rows: Iterable[Mapping[str, object]]) -> str:
    listed = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(listed[0]) if listed else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(listed)
    return text.getvalue()
