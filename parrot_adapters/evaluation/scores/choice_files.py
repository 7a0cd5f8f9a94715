"""The files of a multiple-choice run: ``results.json``, ``scores.csv``, ``rows.csv`` and ``predictions.jsonl``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from parrot_adapters.atomic_files import write_json, write_text
from parrot_adapters.errors import ConfigError, writing
from parrot_adapters.evaluation.answers.evaluate import Evaluation
from parrot_adapters.evaluation.matching.extract_choice import ROBUST
from parrot_adapters.evaluation.scores.choice_result import REFERENCE
from parrot_adapters.evaluation.scores.result import Fidelity, Result
from parrot_adapters.evaluation.scores.score_choices import replies_of

__all__ = ["write_results"]


def write_results(result: Result, run: Evaluation, out: str | Path) -> None:
    """Write the files; each whole or not at all.

    Args:
        result: Scores of the run.
        run: The answered questions.
        out: Directory of the run.
    """
    folder, replies = Path(out), replies_of(run)
    with writing(folder, ConfigError):
        write_json(folder / "results.json", result.as_json())
        write_text(folder / "scores.csv", _csv(_score_rows(result, run)))
        write_text(folder / "rows.csv", _csv(_question_rows(result, run)))
    lines = (
        json.dumps({"lang": language, "index": index, "prediction": text}, ensure_ascii=False) + "\n"
        for language, said in replies.items()
        for index, text in said.items()
    )
    with writing(folder, ConfigError):
        write_text(folder / "predictions.jsonl", "".join(lines))


def _score_rows(result: Result, run: Evaluation) -> Iterable[dict[str, object]]:
    host: Mapping[str, Any] = run.host
    languages = {subset.name: language for language, subset in run.subsets.items()}
    for matcher in (REFERENCE, ROBUST):
        scores = result.matchers[matcher]
        for name, accuracy in scores.overall.items():
            interval, lost = scores.statistics.intervals.get(name), scores.statistics.erosion.get(name)
            fidelity = result.fidelity.get(name)
            yield {
                "subset": name,
                "language": languages[name],
                "units": len(scores.hits[name]),
                "accuracy": accuracy,
                "low": interval and interval.low,
                "high": interval and interval.high,
                "not_found": scores.not_found[name],
                "in_language": fidelity and fidelity.rate,
                "in_language_by": fidelity and fidelity.by,
                "erosion": lost and lost.estimate,
                "erosion_low": lost and lost.low,
                "erosion_high": lost and lost.high,
                "benchmark": result.benchmark,
                "protocol": result.protocol,
                "unit": result.unit,
                "matcher": matcher,
                "prompt_style": result.prompt_style,
                "prompts_sha256": result.prompts_sha256[name],
                "data_md5": result.data[name].md5,
                "generation": json.dumps(result.generation),
                "think": result.think,
                "processor": json.dumps(result.processor),
                "host": host.get("name"),
                "host_weights": host.get("weights"),
                "dtype": host.get("dtype"),
                "adapter": host["adapter"]["digest"] if host.get("adapter") else "",
                "versions": json.dumps(result.versions),
                "mode": result.mode,
            }


def _question_rows(result: Result, run: Evaluation) -> Iterable[dict[str, object]]:
    replies = replies_of(run)
    choices = {matcher: result.matchers[matcher].choices for matcher in (REFERENCE, ROBUST)}
    for question, answer in zip(run.questions, run.answers, strict=True):
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
            "reference": choices[REFERENCE][question.subset].get(question.index),
            "robust": choices[ROBUST][question.subset].get(question.index),
            "finished": int(answer.finished),
            "in_language": _yes_no(result.fidelity.get(question.subset), question.index),
            "prompt": question.prompt,
            "prediction": replies[question.language][question.index],
        }


def _yes_no(fidelity: Fidelity | None, index: int) -> str:
    verdict = fidelity.verdicts.get(index) if fidelity else None
    return {True: "yes", False: "no", None: ""}[verdict]


def _csv(rows: Iterable[Mapping[str, object]]) -> str:
    listed = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(listed[0]) if listed else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(listed)
    return text.getvalue()
