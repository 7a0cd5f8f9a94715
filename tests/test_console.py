"""Tables fit and lose nothing; progress is a bar on a terminal and a line now and then elsewhere; JSON stands alone."""

from __future__ import annotations

import io
import json
import re
import sys
import threading

import pytest
from rich.console import Console
from rich.table import Table as RichTable

from parrot_adapters import console
from parrot_adapters.console import Table, print_json, print_or_write_json, progress, waiting

LANGUAGES = ["en", "zh", "pt", "ar", "tr", "ru", "es", "fr", "de", "it", "id", "sw", "ja", "ko", "hi", "bn", "th", "vi"]


def drawn(table: object, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue()


def wide_table() -> Table:
    rows = [(f"EMOJI_{row}", *(f"{row}-{column}" for column in LANGUAGES)) for row in LANGUAGES]
    return Table(("language", *(f"as {x}" for x in LANGUAGES)), rows, title="Languages", caption="in [%]")


def every_cell_is_in(shown: str) -> bool:
    return all(f"{row}-{column}" in shown for row in LANGUAGES for column in LANGUAGES)


@pytest.mark.parametrize("width", [50, 80, 390])
def test_a_wide_table_is_folded_below_itself_and_no_number_is_cut(width: int) -> None:
    shown = drawn(wide_table(), width)
    assert max(map(len, shown.splitlines())) <= width
    assert every_cell_is_in(shown)
    assert shown.count("Languages") == shown.count("in [%]") == 1
    for block in shown.split("language")[1:]:  # the first column is there each time
        assert all(f"EMOJI_{row}" in block for row in LANGUAGES)


def test_the_check_bites_on_a_table_as_rich_draws_it() -> None:
    table = RichTable("language", *LANGUAGES)
    for row in LANGUAGES:
        table.add_row(row, *(f"{row}-{column}" for column in LANGUAGES))
    assert not every_cell_is_in(drawn(table))


def test_running_text_is_wrapped_and_names_are_shown_as_they_are() -> None:
    words = [f"word{number}" for number in range(60)]
    shown = drawn(Table(("name", "says", "s"), [("[red]x", " ".join(words), "0.1")], text=("says",)))
    assert "[red]x" in shown
    assert all(word in shown.split() for word in words)
    assert max(map(len, shown.splitlines())) <= 80


def test_a_row_of_none_draws_a_line() -> None:
    rows = [("a", "1"), None, ("all", "2")]
    assert len(drawn(Table(("", "n"), rows)).splitlines()) == 1 + len(drawn(Table(("", "n"), rows[::2])).splitlines())


# --- progress --------------------------------------------------------------------------------------------------------


class Clock:
    """Time that goes by when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(console, "monotonic", lambda: self.now)


def test_piped_progress_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    clock = Clock(monkeypatch)
    with progress("asking") as shown:
        for done in range(1, 1801):
            clock.now += 0.1
            shown(done, 1800, beside="loss 0.5")
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert re.fullmatch(r"asking: 2[01] of 1,800  loss 0\.5  2 s", lines[0])
    assert 15 <= len(lines) <= 18  # three minutes, a line each ten seconds
    assert not any(sign in captured.err for sign in ("\x1b", "\r"))


def test_lines_come_ever_more_seldom(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    clock = Clock(monkeypatch)
    with progress("training") as shown:
        for hour in range(1, 24 * 60):
            clock.now += 60
            shown(hour, None)
    assert len(capsys.readouterr().err.splitlines()) < 150  # in a day


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture) -> None:
    with progress("asking") as shown, waiting("loading"):
        shown(1, 1)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_waiting_is_said_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said()  # capsys loses what another thread writes while it reads
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setattr(console, "FIRST_LINE", 0.01)
    with waiting("loading the host"):
        assert said.a_line.wait(20)
    assert said.getvalue() == "loading the host ...\n"


class Said(io.StringIO):
    """A stream that tells when a whole line stands in it."""

    def __init__(self) -> None:
        super().__init__()
        self.a_line = threading.Event()

    def flush(self) -> None:
        super().flush()
        if self.getvalue().endswith("\n"):
            self.a_line.set()


def test_a_terminal_gets_bars_with_their_own_names() -> None:
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=80)
    with progress("work", console=terminal) as shown:
        shown(1, 4, name="one arm")
        shown(3, 4, name="other arm", what="other arm: training")
        shown.bars.refresh()
        drawn_bars = out.getvalue()
        shown.end("one arm")
    assert "one arm" in drawn_bars
    assert "other arm: training" in drawn_bars
    assert "3/4" in drawn_bars


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_a_document_alone_or_in_a_file(tmp_path, capsys: pytest.CaptureFixture) -> None:
    document = {"a": ["ü", 1]}
    print_json(document)
    assert json.loads(capsys.readouterr().out) == document
    print_or_write_json(document, "-")
    assert json.loads(capsys.readouterr().out) == document
    print_or_write_json(document, str(tmp_path / "deep" / "file.json"))
    assert json.loads((tmp_path / "deep" / "file.json").read_text("utf-8")) == document
    assert capsys.readouterr().out == f"written: {tmp_path / 'deep' / 'file.json'}\n"
    print_or_write_json(document, None)
    assert capsys.readouterr().out == ""
