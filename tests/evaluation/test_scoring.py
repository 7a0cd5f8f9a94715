"""Units, groups and means, on cases small enough to check by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from parrot_adapters.evaluation import (
    BENCHMARKS,
    PROTOCOLS,
    SubsetScore,
    load_subset,
    means,
    score_predictions,
    score_subset,
)
from parrot_adapters.evaluation.benchmark.circular import rotated_rows
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
from parrot_adapters.evaluation.benchmark.rows import PASS
from parrot_adapters.evaluation.benchmark.rows import Row as Question
from parrot_adapters.evaluation.scores.result import Means

MMMB, MMBENCH = BENCHMARKS["mmmb"], BENCHMARKS["mmbench"]
Row = Callable[..., dict]
Write = Callable[..., Path]
Score = Callable[[Path, Mapping[int, str | None], str], SubsetScore]


def score(path: Path, replies: Mapping[int, str | None], protocol: str) -> SubsetScore:
    benchmark = MMBENCH if "MMBench" in path.name else MMMB
    return score_subset(load_subset(path, benchmark), replies, PROTOCOLS[protocol], benchmark)


def circular(row: Row) -> list[dict]:
    return [
        row(1, answer="A", category="color", l2_category="logic_reasoning", split="dev"),
        row(1_000_001, answer="B", category="wrong", l2_category="wrong", split="wrong"),
        row(2, answer="A", category="shape", l2_category="coarse_perception", split="dev"),
        row(3, answer="B", category="color", l2_category="own name", split="test"),
    ]


def check_circular(score: Score, write_tsv: Write, row: Row) -> None:
    """A question is right only in all its passes, and its base row says what it is about."""
    path = write_tsv(circular(row), "MMBench_dev_en")
    right = {1: "A", 1_000_001: "B", 2: "A", 3: "A"}
    result = score(path, right, "vlmevalkit-2024")
    assert result.hits == {1: 1, 2: 1, 3: 0}
    assert result.choices == {1: "A", 2: "A", 3: "A", 1_000_001: "B"}
    assert result.overall == pytest.approx(2 / 3)
    assert result.category == {"color": 0.5, "shape": 1.0}
    assert result.l2_category == {"CP": 1.0, "LR": 1.0, "own name": 0.0}
    assert result.split == {"dev": 1.0, "test": 0.0}
    assert score(path, right | {1_000_001: "A"}, "vlmevalkit-2024").hits == {1: 0, 2: 1, 3: 0}


def test_circular_units(write_tsv: Write, row: Row) -> None:
    check_circular(score, write_tsv, row)


def rows_alone(path: Path, replies: Mapping[int, str | None], protocol: str) -> SubsetScore:
    return score_subset(load_subset(path, MMBENCH), replies, PROTOCOLS[protocol], MMMB)


def any_pass_will_do(path: Path, replies: Mapping[int, str | None], protocol: str) -> SubsetScore:
    return score(path, {i: reply for i, reply in replies.items() if i < 1_000_000}, protocol)


@pytest.mark.parametrize("broken", [rows_alone, any_pass_will_do])
def test_the_check_of_circular_units_bites(broken: Score, write_tsv: Write, row: Row) -> None:
    with pytest.raises(AssertionError):
        check_circular(broken, write_tsv, row)


def test_a_question_has_as_many_passes_as_options() -> None:
    """Whatever other questions have; each option stands at each letter once, and the right one is known by its text."""
    rows = [
        Question(n, "B", dict(zip("ABCD", texts, strict=False)), {}) for n, texts in enumerate(["wxyz", "pq", "rst"])
    ]
    turned = rotated_rows(rows)
    assert [row.index for row in turned] == [*range(3), *(PASS + n for n in range(3)), 2 * PASS, 2 * PASS + 2, 3 * PASS]
    for row in rows:
        passes = [other for other in turned if other.question_id == row.index]
        assert {other.options[other.answer] for other in passes} == {row.options["B"]}
        for letter in row.options:
            assert sorted(other.options[letter] for other in passes) == sorted(row.options.values())


def test_mmmb_is_circular_in_the_paper_only(write_tsv: Write, row: Row) -> None:
    path = write_tsv([row(1, answer="A"), row(1_000_001, answer="B")])
    replies = {1: "A", 1_000_001: "A"}
    assert score(path, replies, "paper-2024").hits == {1: 0}
    for protocol in ("vlmevalkit-2024", "vlmevalkit-2025", "vlmevalkit-2026"):
        assert score(path, replies, protocol).hits == {1: 1, 1_000_001: 0}


def test_a_group_without_its_base_row_does_not_count(write_tsv: Write, row: Row) -> None:
    path = write_tsv([row(1), row(1_000_001), row(1_000_002)], "MMBench_dev_en")
    result = score(path, {1: "A", 1_000_001: "A", 1_000_002: "A"}, "vlmevalkit-2026")
    assert result.hits == {1: 1}
    assert any("base row is not scored, and do not count: 1000002" in warning for warning in result.warnings)


def test_groups_come_from_g_index_since_2025(write_tsv: Write, row: Row) -> None:
    path = write_tsv([row(10, g_index=10), row(11, g_index=10), row(12, g_index=12)], "MMBench_dev_en")
    replies = {10: "A", 11: "B", 12: "A"}
    assert score(path, replies, "vlmevalkit-2024").hits == {10: 1, 11: 0, 12: 1}
    assert score(path, replies, "vlmevalkit-2026").hits == {10: 0, 12: 1}


def test_rows_without_a_prediction_are_left_out_and_named(write_tsv: Write, row: Row) -> None:
    path = write_tsv([row(1), row(2), row(3, image="")])
    result = score(path, {1: "A", 3: "A", 7: "A"}, "vlmevalkit-2026")
    assert result.hits == {1: 1}
    assert result.overall == 1.0
    assert result.warnings == (
        "MMMB_en: 1 of 2 rows have no prediction and are left out of the score: 2",
        "MMMB_en: 1 predictions are for rows without an image and are left out: 3",
        "MMMB_en: 1 predictions are for rows that the file does not have and are left out: 7",
    )


def test_nothing_scored_is_no_score(write_tsv: Write, row: Row) -> None:
    result = score(write_tsv([row(1)]), {7: "A"}, "vlmevalkit-2026")
    assert (result.overall, result.not_found, result.hits) == (None, None, {})


def test_an_absent_or_missing_reply_is_never_right(write_tsv: Write, row: Row) -> None:
    """The harness reads a missing reply as "nan" (in which "an" stands); it also reads "None" so."""
    path = write_tsv([row(1, A="an", B="x"), row(2, A="an", B="on")])
    result = score(path, {1: None, 2: "None"}, "vlmevalkit-2026")
    assert result.choices == {1: "A", 2: "A"}
    robust = score_subset(
        load_subset(path, MMMB), {1: None, 2: "None"}, PROTOCOLS["vlmevalkit-2026"], MMMB, matcher="robust"
    )
    assert robust.choices == {1: None, 2: None}
    assert robust.not_found == 1.0


def test_the_answer_counts_as_it_is_written(write_tsv: Write, row: Row) -> None:
    path = write_tsv([row(1, answer="a"), row(2, answer="")])
    assert score(path, {1: "A", 2: "A"}, "vlmevalkit-2026").hits == {1: 0, 2: 0}


def test_both_means_and_how_they_differ(write_tsv: Write, write_jsonl: Write, row: Row) -> None:
    write_tsv([row(1), row(2), row(3)], "MMMB_en")
    path = write_tsv([row(1)], "MMMB_ar")
    replies = write_jsonl([("en", 1, "A"), ("en", 2, "A"), ("en", 3, "A"), ("ar", 1, "B")])
    report = score_predictions(path.parent, replies, PROTOCOLS["vlmevalkit-2026"], MMMB)
    assert (report.means.row_weighted, report.means.language_macro) == (0.75, 0.5)
    assert means({}) == Means(None, None)


def test_a_language_without_a_file_is_refused(write_tsv: Write, write_jsonl: Write, row: Row) -> None:
    folder = write_tsv([row(1)]).parent
    with pytest.raises(EvaluationDataError, match=r"MMMB_cn\.tsv.*13ed82fa89730037292fcaa27f08f430"):
        score_predictions(folder, write_jsonl([("zh", 1, "A")]), PROTOCOLS["paper-2024"], MMMB)


def test_a_language_without_predictions_is_named(write_tsv: Write, write_jsonl: Write, row: Row) -> None:
    write_tsv([row(1)], "MMMB_tr")
    folder = write_tsv([row(1)]).parent
    report = score_predictions(folder, write_jsonl([("en", 1, "A")]), PROTOCOLS["paper-2024"], MMMB)
    assert list(report.subsets) == ["MMMB_en"]
    assert "no predictions for MMMB_tr: not scored" in report.warnings


def test_a_row_alone_that_is_not_found_counts_as_z(write_tsv: Write, row: Row) -> None:
    """A quirk of the harness, kept in the reference protocols only; circular questions are free of it."""
    rows = [row(1, answer="Z"), row(2, answer="Z")]
    replies = {1: "hm", 2: "Z"}
    for name, unit_hits in (("MMMB_en", {1: 1, 2: 1}), ("MMBench_dev_en", {1: 0, 2: 1})):
        assert score(write_tsv(rows, name), replies, "vlmevalkit-2026").hits == unit_hits
    subset = load_subset(write_tsv(rows), MMMB)
    robust = score_subset(subset, replies, PROTOCOLS["vlmevalkit-2026"], MMMB, matcher="robust")
    assert robust.hits == {1: 0, 2: 1}


def test_scoring_needs_no_pictures(write_tsv: Write, row: Row) -> None:
    subset = load_subset(write_tsv([row(1), row(2, image="1"), row(3, image="")]), MMMB, keep_images=False)
    assert [r.index for r in subset.rows] == [1, 2]
    assert subset.images == {}
    assert all("image" not in r.cells for r in subset.rows)


def test_a_language_nobody_published_is_called_so(write_tsv: Write, write_jsonl: Write, row: Row) -> None:
    folder = write_tsv([row(1)]).parent
    with pytest.raises(EvaluationDataError, match=r"MMMB_xx\.tsv \(not a published language: ar, zh, en"):
        score_predictions(folder, write_jsonl([("xx", 1, "A")]), PROTOCOLS["paper-2024"], MMMB)
