"""Predictions: our JSON lines and the harness's own files say the same; what is unclear is refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.folders import FIXTURES

from parrot_adapters.evaluation import BENCHMARKS, EvaluationDataError, read_predictions

MMMB, HARNESS = FIXTURES / "mmmb", FIXTURES / "mmmb_harness"
MMMB = BENCHMARKS["mmmb"]
Write = Callable[..., Path]


def test_json_lines(write_jsonl: Write) -> None:
    path = write_jsonl([("en", 1, "A"), ("cn", 1, "B。"), ("zh", 2, ""), ("en", "2", None)])
    assert read_predictions(path, MMMB) == {"en": {1: "A", 2: None}, "zh": {1: "B。", 2: ""}}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 1 is not JSON"),
        ("[1]", "line 1 is not an object"),
        ('{"lang": "en", "index": 1, "predicton": "A"}', "lacks 'prediction'. Did you mean 'predicton'?"),
        ('{"index": 1, "prediction": "A"}', "lacks 'lang'"),
        ('{"lang": "en", "index": "x", "prediction": "A"}', "not a whole number"),
        ('{"lang": "en", "index": true, "prediction": "A"}', "not a whole number"),
        ('{"lang": "en", "index": 1, "prediction": "A"}\n' * 2, "1 rows have more than one prediction"),
        ("\n", "holds no predictions"),
    ],
)
def test_unclear_lines_are_refused(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(line)
    with pytest.raises(EvaluationDataError, match=says.replace("?", r"\?")):
        read_predictions(path, MMMB)


def test_a_line_separator_inside_a_reply_ends_no_line(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"lang": "en", "index": 1, "prediction": "A\u2028B"}\n', encoding="utf-8")
    assert read_predictions(path, MMMB) == {"en": {1: "A\u2028B"}}


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    with pytest.raises(EvaluationDataError, match="no such file"):
        read_predictions(tmp_path / "gone.jsonl", MMMB)
    (tmp_path / "p.pkl").touch()
    with pytest.raises(EvaluationDataError, match=r"\.pkl file(.|\n)*\.xlsx"):
        read_predictions(tmp_path / "p.pkl", MMMB)


@pytest.mark.parametrize("name", ["Some-Model_MMMB_tr.tsv", "MMMB_tr_exact.tsv"])
def test_a_harness_file_of_one_language_says_so_in_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("index\tquestion\tprediction\n1\t?\tA\n2\t?\tNone\n")
    assert read_predictions(path, MMMB) == {"tr": {1: "A", 2: None}}


def test_a_harness_file_without_a_language_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.tsv"
    path.write_text("index\tprediction\n1\tA\n")
    with pytest.raises(EvaluationDataError, match="does not say which language"):
        read_predictions(path, MMMB)


def test_a_harness_file_of_all_languages(tmp_path: Path) -> None:
    path = tmp_path / "Some-Model_MMMB.json"
    rows = [
        {"index": 0, "SUB_DATASET": "MMMB_ar", "original_index": 7, "prediction": "A"},
        {"index": 1, "SUB_DATASET": "MMMB_cn", "original_index": 7, "prediction": "B"},
    ]
    path.write_text(json.dumps(rows))
    assert read_predictions(path, MMMB) == {"ar": {7: "A"}, "zh": {7: "B"}}


def test_a_workbook_of_the_harness_reads_as_pandas_reads_it() -> None:
    """The workbook was written by pandas and xlsxwriter, as in the harness; the JSON beside it is what pandas reads."""
    here = HARNESS
    expected = json.loads((here / "read_by_pandas.json").read_text(encoding="utf-8"))
    read = read_predictions(here / "model_MMMB_ar.xlsx", MMMB)
    assert read == {"ar": {row["index"]: row["prediction"] for row in expected}}


def test_replies_that_all_look_like_numbers_are_read_as_numbers(write_workbook: Callable[..., Path]) -> None:
    """As pandas reads them, and so the harness; one word among them and they are text."""
    table = [["index", "prediction"], [1, "1.50"], [2, 2], [3, None]]
    path = write_workbook("model_MMMB_ar.xlsx", table)
    assert read_predictions(path, MMMB) == {"ar": {1: "1.5", 2: "2.0", 3: None}}
    path = write_workbook("model_MMMB_tr.xlsx", [*table, [4, "A"]])
    assert read_predictions(path, MMMB) == {"tr": {1: "1.50", 2: "2", 3: None, 4: "A"}}


def test_what_is_no_workbook_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model_MMMB_ar.xlsx"
    path.write_bytes(b"no zip")
    with pytest.raises(EvaluationDataError, match="workbook cannot be read"):
        read_predictions(path, MMMB)
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("xl/workbook.xml", "<a/>")
    with pytest.raises(EvaluationDataError, match="workbook cannot be read"):
        read_predictions(path, MMMB)
