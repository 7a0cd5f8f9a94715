"""``parrot score`` on files as they really come: refused clearly, or a counted note and the right numbers.

Every file holds the same three questions and replies, so that whatever is not refused scores alike.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from parrot_adapters.cli import main
from parrot_adapters.evaluation import BENCHMARKS, EvaluationDataError, load_subset, read_predictions
from parrot_adapters.evaluation.benchmark.xlsx import LARGEST_PART
from parrot_adapters.evaluation.pictures import check_references, decode_picture, resolve_pictures

Row = Callable[..., dict]
Write = Callable[..., Path]
PICTURE = "iVBORw0KGgo" * 12
HITS = {"1": 1, "2": 0, "3": 1}
REPLIES = [{"lang": "en", "index": i, "prediction": reply} for i, reply in ((1, "A"), (2, "A"), (3, "B. blue"))]


@pytest.fixture
def rows(row: Row) -> list[dict]:
    return [row(1), row(2, answer="B"), row(3, answer="B")]


def write_data(folder: Path, rows: Sequence[dict], name: str = "MMMB_en", **how: str) -> Path:
    folder.mkdir(exist_ok=True)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    settings = {"delimiter": "\t", "lineterminator": "\n"} | {k: v for k, v in how.items() if k != "encoding"}
    with (folder / f"{name}.tsv").open("w", encoding=how.get("encoding", "utf-8"), newline="") as file:
        writer = csv.DictWriter(file, columns, **settings)
        writer.writeheader()
        writer.writerows(rows)
    return folder


def write_replies(path: Path, records: Sequence[dict] = REPLIES) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def score(data: Path, predictions: Path) -> tuple[int, dict]:
    out = predictions.parent / "out.json"
    options = {
        "benchmark": "mmmb",
        "protocol": "vlmevalkit-2024",
        "data": data,
        "predictions": predictions,
        "json": out,
    }
    status = main(["score", *(part for name, value in options.items() for part in (f"--{name}", str(value)))])
    return status, json.loads(out.read_text("utf-8")) if out.exists() else {}


# --- benchmark files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [{"encoding": "utf-8-sig"}, {"lineterminator": "\r\n"}, {"quoting": csv.QUOTE_ALL}],
    ids=["byte order mark", "CRLF", "all quoted"],
)
def test_a_file_as_another_program_writes_it(tmp_path: Path, rows: list[dict], how: dict) -> None:
    status, result = score(write_data(tmp_path / "data", rows, **how), write_replies(tmp_path / "p.jsonl"))
    assert (status, result["subsets"]["MMMB_en"]["hits"], len(result["warnings"])) == (0, HITS, 1), result["warnings"]


def test_newlines_tabs_and_quotes_inside_cells(tmp_path: Path, rows: list[dict]) -> None:
    rows[0] |= {"question": 'two\nlines, a\ttab and a "quote"', "B": "x\r\ny\tz"}
    assert (
        score(write_data(tmp_path / "data", rows), write_replies(tmp_path / "p.jsonl"))[1]["subsets"]["MMMB_en"]["hits"]
        == HITS
    )


def test_a_picture_longer_than_the_csv_modules_limit(tmp_path: Path, rows: list[dict]) -> None:
    limit = csv.field_size_limit()
    rows[0]["image"] = "iVBO" * limit
    assert (
        score(write_data(tmp_path / "data", rows), write_replies(tmp_path / "p.jsonl"))[1]["subsets"]["MMMB_en"]["hits"]
        == HITS
    )
    assert csv.field_size_limit() == limit, "the limit is global, and was put back"


def test_blank_lines_are_no_rows(tmp_path: Path, rows: list[dict]) -> None:
    folder = write_data(tmp_path / "data", rows)
    with (folder / "MMMB_en.tsv").open("a", newline="") as file:
        file.write("\n   \n\r\n")
    assert score(folder, write_replies(tmp_path / "p.jsonl"))[1]["subsets"]["MMMB_en"]["hits"] == HITS


def test_indices_written_as_decimals(tmp_path: Path, rows: list[dict]) -> None:
    rows = [row | {"index": f"{row['index']}.0"} for row in rows]
    replies = [{**REPLIES[0], "index": "1.0"}, {**REPLIES[1], "index": 2.0}, {**REPLIES[2], "index": "3"}]
    status, result = score(write_data(tmp_path / "data", rows), write_replies(tmp_path / "p.jsonl", replies))
    assert (status, result["subsets"]["MMMB_en"]["hits"]) == (0, HITS)


def test_columns_in_capitals(tmp_path: Path, rows: list[dict]) -> None:
    """Read as the harness reads them; its blindness to a ``Hint`` stays, and is said."""
    rows = [{k if len(k) == 1 else k.title(): v for k, v in row.items()} | {"Hint": "Look."} for row in rows]
    _, result = score(write_data(tmp_path / "data", rows), write_replies(tmp_path / "p.jsonl"))
    assert result["subsets"]["MMMB_en"]["hits"] == HITS
    assert "MMMB_en: columns are read in lower case: Index, Question, Answer, Image" in result["warnings"]
    assert "MMMB_en: unknown columns are ignored: Hint" in result["warnings"]


def test_broken_pictures_are_counted_and_scores_intact(tmp_path: Path, rows: list[dict]) -> None:
    rows[1]["image"] = "!" * 80
    rows[2]["image"] = "['####', '####']"
    status, result = score(write_data(tmp_path / "data", rows), write_replies(tmp_path / "p.jsonl"))
    assert (status, result["subsets"]["MMMB_en"]["hits"]) == (0, HITS)
    said = "MMMB_en: 2 images are not valid base64; scores do not depend on them: 2, 3"
    assert said in result["warnings"]


def test_languages_without_predictions_are_named(tmp_path: Path, rows: list[dict]) -> None:
    folder = write_data(tmp_path / "data", rows)
    for name in ("MMMB_cn", "MMMB_fr", "notes_en"):
        write_data(folder, rows, name)
    _, result = score(folder, write_replies(tmp_path / "p.jsonl"))
    assert list(result["subsets"]) == ["MMMB_en"]
    assert "no predictions for MMMB_cn, MMMB_fr: not scored" in result["warnings"]


@pytest.mark.parametrize("code", ["cn", "zh", "CN", "zh-CN"])
def test_every_code_of_chinese(tmp_path: Path, rows: list[dict], code: str) -> None:
    replies = [record | {"lang": code} for record in REPLIES]
    _, result = score(write_data(tmp_path / "data", rows, "MMMB_cn"), write_replies(tmp_path / "p.jsonl", replies))
    assert result["subsets"]["MMMB_cn"]["hits"] == HITS


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"index": 2}, "1 indices stand on more than one row"),
        ({"image": "4"}, "takes its image from row '4', which is not there"),
        ({"image": "3"}, "go round in a circle"),
        ({"index": ""}, "1 rows have no whole number as index"),
        ({"index": "3.5"}, "1 rows have no whole number as index"),
    ],
)
def test_files_that_cannot_be_right_leave_no_result(
    tmp_path: Path, rows: list[dict], change: dict, says: str, capsys
) -> None:
    rows[2] |= change
    assert score(write_data(tmp_path / "data", rows), write_replies(tmp_path / "p.jsonl")) == (1, {})
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the table is empty"),
        (b"\xff\xfeindex", "not UTF-8"),
        (b'index\tquestion\tA\tanswer\n1\t"open\tx\tA\n', "ends inside a quoted cell"),
        (b"index\tquestion\tA\tanswer\n1\ta\tb\tA\textra\n", "5 cells for 4 columns"),
        (b"index,question,A,answer\n1,a,b,A\n", "lacks columns: index, question, answer"),
        (b"index\tindex\n1\t1\n", "columns are named twice"),
    ],
)
def test_files_that_are_no_table_leave_no_result(tmp_path: Path, content: bytes, says: str, capsys) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "MMMB_en.tsv").write_bytes(content)
    assert score(tmp_path / "data", write_replies(tmp_path / "p.jsonl")) == (1, {})
    assert says in capsys.readouterr().err


def test_odd_rows_are_counted_and_the_others_score(tmp_path: Path, rows: list[dict], row: Row) -> None:
    rows += [row(4, A="", B=""), row(5, answer="C"), row(6, answer=""), row(7, A="None"), row(8, image="")]
    replies = [*REPLIES, *({"lang": "en", "index": i, "prediction": "A"} for i in (4, 5, 6, 7, 8, 99))]
    _, result = score(write_data(tmp_path / "data", rows), write_replies(tmp_path / "p.jsonl", replies))
    assert result["subsets"]["MMMB_en"]["hits"] == HITS | {"4": 0, "5": 0, "6": 0, "7": 0}
    said = "\n".join(result["warnings"])
    for part in (
        "1 rows have no options and can never be right: 4",
        "3 rows have an answer that is none of their options: 5, 6, 7",
        "1 options spelled like a missing value vanish, as in the harness: 7 (None)",
        "1 rows without an image are left out: 8",
        "1 predictions are for rows without an image and are left out: 8",
        "1 predictions are for rows that the file does not have and are left out: 99",
    ):
        assert part in said


# --- predictions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encode", ["utf-8-sig", "utf-8"])
def test_lines_with_a_mark_and_crlf(tmp_path: Path, rows: list[dict], encode: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes("\r\n".join(["", *map(json.dumps, REPLIES), "", ""]).encode(encode))
    assert score(write_data(tmp_path / "data", rows), path)[1]["subsets"]["MMMB_en"]["hits"] == HITS


def harness_table(index: str = "index", prediction: str = "prediction") -> list[list[object]]:
    header = [index, "question", "A", prediction]
    return [header, *([r["index"], "?", "red", r["prediction"]] for r in REPLIES)]


@pytest.mark.parametrize("header", [("index", "prediction"), ("Index", "Prediction")])
def test_a_workbook_of_one_language(
    tmp_path: Path, rows: list[dict], write_workbook: Write, header: tuple[str, str]
) -> None:
    path = write_workbook("Some-Model_MMMB_en.XLSX", harness_table(*header))
    assert score(write_data(tmp_path / "data", rows), path)[1]["subsets"]["MMMB_en"]["hits"] == HITS


def test_a_workbook_of_all_languages(tmp_path: Path, rows: list[dict], write_workbook: Write) -> None:
    folder = write_data(tmp_path / "data", rows)
    write_data(folder, rows, "MMMB_cn")
    table = [["index", "SUB_DATASET", "original_index", "prediction"]]
    table += [[n, name, r["index"], r["prediction"]] for n, name in enumerate(("MMMB_cn", "MMMB_en")) for r in REPLIES]
    _, result = score(folder, write_workbook("Some-Model_MMMB.xlsx", table))
    assert {name: subset["hits"] for name, subset in result["subsets"].items()} == {"MMMB_cn": HITS, "MMMB_en": HITS}


def test_lines_of_the_harness_say_their_language_in_the_files_name(tmp_path: Path, rows: list[dict]) -> None:
    records = [{k: v for k, v in record.items() if k != "lang"} for record in REPLIES]
    path = write_replies(tmp_path / "Some-Model_MMMB_en.jsonl", records)
    assert score(write_data(tmp_path / "data", rows), path)[1]["subsets"]["MMMB_en"]["hits"] == HITS


@pytest.mark.parametrize("reply", [None, "", "nan", "None", float("nan")])
def test_no_reply_is_a_wrong_answer_and_not_a_missing_row(tmp_path: Path, rows: list[dict], reply: object) -> None:
    replies = [REPLIES[0], {**REPLIES[1], "prediction": reply}, REPLIES[2]]
    _, result = score(write_data(tmp_path / "data", rows), write_replies(tmp_path / "p.jsonl", replies))
    assert result["subsets"]["MMMB_en"]["hits"] == HITS
    assert result["subsets"]["MMMB_en"]["choices"]["2"] is None
    assert not any("no prediction" in said for said in result["warnings"])


def test_missing_rows_are_counted_and_never_guessed(tmp_path: Path, rows: list[dict]) -> None:
    _, result = score(write_data(tmp_path / "data", rows), write_replies(tmp_path / "p.jsonl", REPLIES[:2]))
    assert result["subsets"]["MMMB_en"]["hits"] == {"1": 1, "2": 0}
    assert "MMMB_en: 1 of 3 rows have no prediction and are left out of the score: 3" in result["warnings"]


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"lang": "en", "index": 2, "prediction": "B"}, "1 rows have more than one prediction"),
        ({"lang": "fr", "index": 4, "prediction": "B"}, "predictions for fr, but no benchmark file"),
        ({"lang": "en", "index": "3.5", "prediction": "B"}, "an index is not a whole number"),
        ({"lang": "en", "index": None, "prediction": "B"}, "an index is not a whole number"),
        ({"lang": "en", "index": 4, "prediction": ["B"]}, "a prediction is not text"),
        ({"lang": "en", "index": 4}, "line 4 lacks 'prediction'"),
        ({"index": 4, "prediction": "B"}, "line 4 lacks 'lang'"),
    ],
)
def test_predictions_that_cannot_be_right_leave_no_result(
    tmp_path: Path, rows: list[dict], record: dict, says: str, capsys
) -> None:
    path = write_replies(tmp_path / "p.jsonl", [*REPLIES, record])
    assert score(write_data(tmp_path / "data", rows), path) == (1, {})
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "table", "says"),
    [
        ("model_MMMB_en.xlsx", [["index", "reply"], [1, "A"]], "row 1 lacks an index or a prediction"),
        ("model.xlsx", harness_table(), "does not say which language"),
        ("model_MMMB_en.xlsx", [["index", "prediction"]], "holds no predictions"),
        (
            "m.xlsx",
            [["SUB_DATASET", "original_index", "prediction"], ["MMStar", 1, "A"]],
            "row 1 is of another benchmark",
        ),
    ],
)
def test_workbooks_that_cannot_be_right_leave_no_result(
    tmp_path: Path, rows: list[dict], write_workbook: Write, name: str, table: list, says: str, capsys
) -> None:
    assert score(write_data(tmp_path / "data", rows), write_workbook(name, table)) == (1, {})
    assert says in capsys.readouterr().err


def test_a_second_run_that_fails_leaves_the_first_result(tmp_path: Path, rows: list[dict]) -> None:
    data = write_data(tmp_path / "data", rows)
    first = score(data, write_replies(tmp_path / "p.jsonl"))
    assert score(data, write_replies(tmp_path / "p.jsonl", [*REPLIES, REPLIES[0]])) == (1, first[1])


# --- what is small and unpacks to much ------------------------------------------------------------------------------


def refused(call: Callable[[], object], says: str) -> None:
    """Our own error, and at once: each of these took minutes or gigabytes."""
    start = time.process_time()
    with pytest.raises(EvaluationDataError, match=says):
        call()
    assert time.process_time() - start < 5


def test_pictures_named_in_a_long_chain() -> None:
    images = {str(i): str(i + 1) for i in range(1500)} | {"1500": PICTURE}
    refused(lambda: check_references(images), "more than 16 rows name each other's image")
    assert resolve_pictures("1490", images) == [PICTURE]


def test_a_picture_of_many_pixels() -> None:
    kept = io.BytesIO()
    Image.new("1", (13_300, 13_300)).save(kept, "PNG")
    text = base64.b64encode(kept.getvalue()).decode()
    assert len(text) < 100_000
    refused(lambda: decode_picture(text, row="MMMB_en 1"), r"too large(.|\n)*MMMB_en 1(.|\n)*13,300")


@pytest.mark.parametrize("cell", ["[{[]:1}]", "[0x" + "f" * 100_000 + "]", "[1, 2]", "[" * 5000 + "]" * 5000, "[]"])
def test_odd_lists_of_pictures(cell: str) -> None:
    refused(lambda: resolve_pictures("1", {"1": cell[:-1] + " " * 80 + "]"}), "image list cannot be read")


def test_many_columns_are_read_in_time(tmp_path: Path, rows: list[dict]) -> None:
    start = time.process_time()
    status, result = score(
        write_data(tmp_path / "data", [row | {f"c{i}": "" for i in range(20_000)} for row in rows]),
        write_replies(tmp_path / "p.jsonl"),
    )
    assert (status, result["subsets"]["MMMB_en"]["hits"]) == (0, HITS)
    assert time.process_time() - start < 20
    assert max(map(len, result["warnings"])) < 300, "columns are not listed one by one"


def workbook(path: Path, name: str, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr(name, content)
        book.writestr("xl/workbook.xml", "<workbook/>")
    return path


def test_a_workbook_that_unpacks_to_more_than_anybody_wrote(tmp_path: Path) -> None:
    path = workbook(tmp_path / "m_MMMB_en.xlsx", "xl/sharedStrings.xml", b" " * (LARGEST_PART + 1))
    assert path.stat().st_size < 2**20
    refused(lambda: read_predictions(path, BENCHMARKS["mmmb"]), "sharedStrings.xml unpacks to")


@pytest.mark.parametrize(("offset", "value"), [(0, 1), (2, 99)], ids=["encrypted", "unknown compression"])
def test_a_workbook_that_cannot_be_unpacked(tmp_path: Path, offset: int, value: int) -> None:
    path = workbook(tmp_path / "m_MMMB_en.xlsx", "xl/other.xml", b"<worksheet/>")
    spoiled = bytearray(path.read_bytes())
    for mark, extra in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = spoiled.find(mark)
        while place >= 0:
            spoiled[place + extra + offset] = value
            place = spoiled.find(mark, place + 4)
    path.write_bytes(bytes(spoiled))
    refused(lambda: read_predictions(path, BENCHMARKS["mmmb"]), "workbook cannot be read")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"lang": "en", "index": ' + "9" * 5000 + ', "prediction": "A"}'])
@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_json_that_python_will_not_read(tmp_path: Path, text: str, suffix: str) -> None:
    path = tmp_path / f"m_MMMB_en.{suffix}"
    path.write_text(text)
    refused(lambda: read_predictions(path, BENCHMARKS["mmmb"]), "not JSON")


def test_an_index_of_thousands_of_digits(tmp_path: Path, rows: list[dict]) -> None:
    folder = write_data(tmp_path / "data", [rows[0] | {"index": "9" * 5000}])
    refused(lambda: load_subset(folder / "MMMB_en.tsv", BENCHMARKS["mmmb"]), "no whole number as index")
