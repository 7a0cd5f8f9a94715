"""Benchmark files: what is wrong is refused by name, what is odd is counted, nothing is guessed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from parrot_adapters.evaluation import BENCHMARKS, EvaluationDataError, find_subsets, load_subset

MMMB = BENCHMARKS["mmmb"]
Row = Callable[..., dict]
Write = Callable[..., Path]


def test_a_plain_file_has_no_warnings(write_tsv: Write, row: Row) -> None:
    subset = load_subset(write_tsv([row(1), row(2, answer="B", hint="Look.")]), MMMB)
    assert (subset.name, subset.language, subset.warnings) == ("MMMB_en", "en", ())
    assert [r.index for r in subset.rows] == [1, 2]
    assert subset.pictures(1)[0].startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["MMMB_cn", "mmmb_cn", "MMMB_zh"])
def test_chinese_goes_by_both_codes(write_tsv: Write, row: Row, name: str) -> None:
    path = write_tsv([row()], name)
    assert find_subsets(path.parent, MMMB) == {"zh": path}
    assert load_subset(path, MMMB).name == "MMMB_cn"


@pytest.mark.parametrize(
    ("name", "subset"), [("MMMB_zh_TW", "MMMB_zh-tw"), ("mmmb_es_419", "MMMB_es-419"), ("MMMB_sr_Latn", "MMMB_sr-latn")]
)
def test_regions_are_known_behind_an_underscore_too(write_tsv: Write, row: Row, name: str, subset: str) -> None:
    path = write_tsv([row()], name)
    assert [MMMB.subset(language) for language in find_subsets(path.parent, MMMB)] == [subset]
    assert load_subset(path, MMMB).name == subset


def test_two_files_of_one_language_are_refused(write_tsv: Write, row: Row) -> None:
    write_tsv([row()], "MMMB_cn")
    path = write_tsv([row()], "MMMB_zh")
    with pytest.raises(EvaluationDataError, match="two files for language 'zh'"):
        find_subsets(path.parent, MMMB)


def test_a_missing_file_says_where_it_is_published_and_its_md5(tmp_path: Path) -> None:
    with pytest.raises(EvaluationDataError, match=r"mmmb/mmmb_tr\.tsv .*0733739d43090327975294292bc5cd67"):
        load_subset(tmp_path / "MMMB_tr.tsv", MMMB)
    with pytest.raises(EvaluationDataError, match="f3a18b6385f1d9701840aa42de27aead"):
        find_subsets(tmp_path, MMMB)
    with pytest.raises(EvaluationDataError, match="no such directory"):
        find_subsets(tmp_path / "gone", MMMB)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ([{}, {"index": 1}], "1 indices stand on more than one row"),
        ([{"index": "x"}, {}], "no whole number as index"),
        ([{"index": "1.5"}, {}], "no whole number as index"),
        ([{}, {"index": 2, "image": "3"}], "takes its image from row '3', which is not there"),
        ([{"image": "2"}, {"index": 2, "image": "1"}], "round in a circle"),
        ([{"image": "1"}], "round in a circle"),
        ([{"image": "[oops]"}], "image list cannot be read"),
    ],
)
def test_what_cannot_be_right_is_refused(write_tsv: Write, row: Row, change: list[dict], says: str) -> None:
    with pytest.raises(EvaluationDataError, match=says):
        load_subset(write_tsv([row() | cells for cells in change]), MMMB)


@pytest.mark.parametrize("column", ["index", "question", "answer"])
def test_absent_columns_are_named(write_tsv: Write, row: Row, column: str) -> None:
    cells = {name: value for name, value in row().items() if name != column}
    with pytest.raises(EvaluationDataError, match=f"lacks columns: {column}"):
        load_subset(write_tsv([cells]), MMMB)


def test_a_file_without_options_is_refused(write_tsv: Write) -> None:
    with pytest.raises(EvaluationDataError, match="no option columns"):
        load_subset(write_tsv([{"index": 1, "question": "?", "answer": "A"}]), MMMB)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ([{"surprise": "x"}], "MMMB_en: unknown columns are ignored: surprise"),
        ([{}, {"index": 2, "image": ""}], "1 rows without an image are left out: 2"),
        ([{"B": "None"}], "1 options spelled like a missing value vanish, as in the harness: 1 (None)"),
        ([{"hint": "N/A"}, {"index": 2, "hint": "x"}], "1 hints spelled like a missing value vanish"),
        ([{}, {"index": 2, "A": "", "B": ""}], "1 rows have no options and can never be right: 2"),
        ([{"answer": "C"}], "1 rows have an answer that is none of their options: 1"),
        ([{"answer": "a"}], "1 rows have an answer that is none of their options: 1"),
    ],
)
def test_what_is_odd_is_counted_and_named(write_tsv: Write, row: Row, change: list[dict], says: str) -> None:
    subset = load_subset(write_tsv([row() | cells for cells in change]), MMMB)
    assert any(says in warning for warning in subset.warnings), subset.warnings


def test_many_rows_are_named_by_the_first_few(write_tsv: Write, row: Row) -> None:
    subset = load_subset(write_tsv([row(i, answer="D") for i in range(20)]), MMMB)
    assert subset.warnings == (
        "MMMB_en: 20 rows have an answer that is none of their options: 0, 1, 2, 3, 4, 5, 6, 7, ... and 12 more",
    )


def test_broken_base64_matters_only_where_it_is_decoded(write_tsv: Write, row: Row) -> None:
    subset = load_subset(write_tsv([row(1), row(2, image="!" * 80), row(3, image="2")]), MMMB)
    assert subset.pictures(1)
    for index in (2, 3):
        with pytest.raises(EvaluationDataError, match=f"not valid base64(.|\n)*row +{index}"):
            subset.pictures(index)


def test_pictures_follow_references_and_lists(write_tsv: Write, row: Row) -> None:
    first = row(1)["image"]
    rows = [row(1), row(2, image="1"), row(3, image="2"), row(4, image=f"['{first}', '{first}']"), row(5, image="4")]
    subset = load_subset(write_tsv(rows), MMMB)
    assert [len(subset.pictures(i)) for i in (1, 2, 3, 4, 5)] == [1, 1, 1, 2, 2]
    assert subset.pictures(3) == subset.pictures(1)


def test_files_of_other_names_are_not_the_benchmark(write_tsv: Write, row: Row) -> None:
    for name in ("MMMB_ar_small", "MMMB", "MMBench_dev_ar", "xMMMB_ar", "MMMB_a1"):
        path = write_tsv([row()], name)
    with pytest.raises(EvaluationDataError, match="no MMMB_<language>"):
        find_subsets(path.parent, MMMB)


def test_a_row_without_options_is_named_for_that_alone(write_tsv: Write, row: Row) -> None:
    bare = row() | dict.fromkeys("ABCD", "")
    warnings = load_subset(write_tsv([row(), bare | {"index": 2}]), MMMB).warnings
    assert any("1 rows have no options and can never be right: 2" in warning for warning in warnings)
    assert not any("none of their options" in warning for warning in warnings)
