"""Tables are read as pandas reads them by default; every expected value below was printed by pandas 3.1."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from parrot_adapters.evaluation.benchmark.cell_values import NOT_A_VALUE
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
from parrot_adapters.evaluation.benchmark.tsv import Table, column_values, read_tsv

NONE = None

# cells of one column, and what pandas.read_csv makes of them (None for NaN)
COLUMNS = [
    (["1", "2"], ["1", "2"]),
    (["1", "NA"], ["1.0", NONE]),
    (["007", "+4"], ["7", "4"]),
    (["1.50", "2"], ["1.5", "2.0"]),
    (["1.50", "x"], ["1.50", "x"]),
    ([".5", "1."], ["0.5", "1.0"]),
    (["1e5", "3"], ["100000.0", "3.0"]),
    (["1e400", "1"], ["inf", "1.0"]),
    (["inf", "-Infinity"], ["inf", "-inf"]),
    ([" 1", "2 "], ["1", "2"]),
    (["1 2", "3"], ["1 2", "3"]),
    (["1_000", "2"], ["1_000", "2"]),
    (["0x10", "2"], ["0x10", "2"]),
    (["١", "2"], ["١", "2"]),
    (["1,5", "2"], ["1,5", "2"]),
    (["9223372036854775807", "1"], ["9223372036854775807", "1"]),
    (["9223372036854775808", "1"], ["9223372036854775808", "1"]),
    (["9223372036854775808", "-1"], ["9223372036854775808", "-1"]),
    (["18446744073709551616", "1"], ["18446744073709551616", "1"]),
    (["True", "FALSE"], ["True", "False"]),
    (["true", ""], ["True", NONE]),
    (["True", "1"], ["True", "1"]),
    (["TrUe", "False"], ["TrUe", "False"]),
    (["None", "nan"], [NONE, NONE]),
    (["none", "N/A"], ["none", NONE]),
    (["<NA>", "x"], [NONE, "x"]),
    (["NaN ", "x"], ["NaN ", "x"]),
    ([" ", "x"], [" ", "x"]),
    (["-", "x"], ["-", "x"]),
]


def printed(values: list) -> list:
    return [None if value is None else str(value) for value in values]


def check_columns(read: Callable[[list[str]], list]) -> None:
    assert [printed(read(cells)) for cells, _ in COLUMNS] == [expected for _, expected in COLUMNS]


def test_columns_are_read_as_pandas_does() -> None:
    check_columns(column_values)


@pytest.mark.parametrize(
    "broken",
    [
        list,  # text as it stands
        lambda cells: [None if c in NOT_A_VALUE else c for c in cells],  # no numbers
        lambda cells: [column_values([c])[0] for c in cells],  # cell by cell, not by column
    ],
)
def test_the_check_of_columns_bites(broken: Callable[[list[str]], list]) -> None:
    with pytest.raises(AssertionError):
        check_columns(broken)


def table(tmp_path: Path, text: str | bytes) -> Table:
    path = tmp_path / "t.tsv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_tsv(path)


def test_quotes_tabs_and_lines_inside_cells(tmp_path: Path) -> None:
    read = table(tmp_path, 'a\tb\n"tab\there"\t"one\ntwo"\r\n"say ""hi"""\tmid"quote\n\n"x"y\tz\n')
    assert [list(row.values()) for row in read.rows] == [
        ["tab\there", "one\ntwo"],
        ['say "hi"', 'mid"quote'],
        ["xy", "z"],
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert table(tmp_path, b"\xef\xbb\xbfindex\tA\n1\tx\n").columns == ["index", "A"]


def test_short_rows_are_filled_with_nothing(tmp_path: Path) -> None:
    assert table(tmp_path, "a\tb\nx\n").rows == [{"a": "x", "b": None}]


def test_vanished_cells_are_listed(tmp_path: Path) -> None:
    assert table(tmp_path, "a\tb\nx\tNone\nN/A\t\n").vanished == [(0, "b", "None"), (1, "a", "N/A")]


def test_large_cells_are_read_and_the_global_limit_is_put_back(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    assert len(str(table(tmp_path, "a\n" + "x" * 300_000).rows[0]["a"])) == 300_000
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("a\ta\n1\t2\n", "named twice"),
        ("a\tb\n1\t2\t3\n", "row 1 has 3 cells for 2 columns"),
        ('a\tb\n1\t"2\n3\t4\n', "ends inside a quoted cell"),
        (b"a\tb\n\xff\tx\n", "not UTF-8"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(EvaluationDataError, match=says) as caught:
        table(tmp_path, text)
    assert "t.tsv" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationDataError, match=r"gone\.tsv"):
        read_tsv(tmp_path / "gone.tsv")
