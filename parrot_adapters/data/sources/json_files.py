"""JSON lists and JSON lines, by number or one record after the other, without keeping them in memory.

A file is read in pieces. By number, it is read once to find where its records begin: 8 bytes of memory a line and 16 an
element of a list, whatever their sizes, and nothing that worker processes would have to copy. As a stream, its position
is a byte.
"""

from __future__ import annotations

import codecs
import json
import re
from array import array
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.sources.source import IndexedSource, Source
from parrot_adapters.errors import DataError, explain, first_line

__all__ = ["BOM", "JsonRecords", "JsonStream", "open_json", "parse_record"]

BOM = b"\xef\xbb\xbf"
SPACE = b" \t\r\n"
LINE_END, LARGEST_SPACE = ord("\n"), ord(" ")
PIECE = 1 << 18  # bytes that are read at once: what is read stays in a usual second-level cache
DECODER = json.JSONDecoder()
WHITE = re.compile(r"[ \t\r\n]+")
LONGEST_LINE = 1 << 26  # bytes of a first line; a longer one is a whole list

Layout = Literal["list", "lines"]
Place = tuple[int, int]
"""Where a record begins and ends, in bytes."""


def open_json(path: str, *, streaming: bool) -> Source:
    """The records of a JSON list or JSON-lines file, whichever the content is.

    Args:
        path: of a UTF-8 file, with or without byte-order mark, any line ends.
        streaming: spare the index.

    Raises:
        DataError: the file is missing, empty, not UTF-8 (for a list), not JSON, or one object instead of a list.
    """
    return JsonStream(Path(path)) if streaming else JsonRecords(Path(path))


class JsonRecords(IndexedSource):
    """The records of a JSON file by number.

    Args:
        path: of the file.

    Raises:
        DataError: as :func:`open_json`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._begins, self._ends, self._size = array("Q"), array("Q"), 0
        if _layout(path) == "lines":
            self._begins, self._size = _line_begins(path)
        else:
            for begin, end in _places(path, "list"):
                self._begins.append(begin)
                self._ends.append(end)

    def __len__(self) -> int:
        return len(self._begins)

    def __getitem__(self, number: int) -> Any:
        begin = self._begins[number]
        with self.path.open("rb") as file:
            file.seek(begin)
            return parse_record(file.read(self._end(range(len(self))[number]) - begin))

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        with _opened(self.path) as file:  # once: opening it for every record takes longer than reading them
            while self._done < len(self):
                number, begin = self._done, self._begins[self._done]
                self._done += 1
                file.seek(begin)
                try:
                    record = parse_record(file.read(self._end(number) - begin))
                except BadSample as problem:
                    record = problem
                yield number, record

    def _end(self, number: int) -> int:
        """Of an element, or of a line: where the next one begins, blank lines between them included."""
        if self._ends:
            return self._ends[number]
        return self._begins[number + 1] if number + 1 < len(self) else self._size


class JsonStream:
    """The records of a JSON file one after the other; the position is a byte.

    Args:
        path: of the file.

    Raises:
        DataError: as :func:`open_json`; what is wrong further on is said when it is reached.
    """

    length = None

    def __init__(self, path: Path) -> None:
        self._path, self._layout, self._done, self._at = path, _layout(path), 0, 0

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        with _opened(self._path) as reading:
            for begin, end in _places(self._path, self._layout, self._at, self._done):
                self._done, self._at = self._done + 1, end
                reading.seek(begin)
                try:
                    yield self._done - 1, parse_record(reading.read(end - begin))
                except BadSample as problem:
                    yield self._done - 1, problem

    def state_dict(self) -> dict[str, Any]:
        """Where it is."""
        return {"done": self._done, "at": self._at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._done, self._at = state["done"], state["at"]


def parse_record(text: bytes) -> Any:
    """One JSON value.

    Raises:
        BadSample: it is none.
    """
    try:
        return json.loads(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadSample("not-utf8", f"byte {error.start} of the record: {error.reason}") from None
    except json.JSONDecodeError as error:
        raise BadSample("bad-record", f"not JSON: {error.msg} at character {error.pos}") from None
    except (RecursionError, ValueError) as error:  # nested too deeply; a number of too many digits
        raise BadSample("bad-record", f"not JSON that can be read: {first_line(error)}") from None


def _opened(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise DataError(explain("there is no such file.", file=path)) from None
    except OSError as error:
        raise DataError(explain("the file cannot be read.", file=path, because=error.strerror)) from None


# --- list or lines -------------------------------------------------------------------------------------------------


def _layout(path: Path) -> Layout:
    """What the file is, by its beginning.

    Raises:
        DataError: it is neither a list nor lines.
    """
    with _opened(path) as file:
        head = file.read(len(BOM))
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(explain("the file is UTF-16 text.", file=path, to_do="save it as UTF-8"))
        start = _after_space_in(file, len(BOM) if head == BOM else 0)
        file.seek(start)
        first = file.read(1)
        if not first:
            raise DataError(explain("the file is empty.", file=path, to_do="give a JSON list or JSON lines"))
        if first not in (b"{", b"["):
            begins = repr(first + file.read(59))
            raise DataError(explain("the file is neither a JSON list nor JSON lines.", file=path, begins=begins))
        several = _first_line_is_a_record(file, start)
        if first == b"[":
            return "lines" if several else "list"
        if path.suffix.lower() != ".jsonl" and not several:
            _refuse_one_object(file, start, path)
        return "lines"


def _first_line_is_a_record(file: BinaryIO, start: int) -> bool:
    """Whether a line that begins somewhere is JSON of its own, and more follows it."""
    end = start
    file.seek(start)
    while (piece := file.readline(PIECE)) and end - start <= LONGEST_LINE:
        end += len(piece)
        if piece.endswith(b"\n"):
            break
    else:
        return False
    if _after_space_in(file, end) == file.seek(0, 2):
        return False
    file.seek(start)
    return _is_json(file.read(end - start))


def _after_space_in(file: BinaryIO, at: int) -> int:
    """The first byte from a place on that is no white space; the end where there is none."""
    file.seek(at)
    while piece := file.read(PIECE):
        rest = piece.lstrip(SPACE)
        if rest:
            return at + len(piece) - len(rest)
        at += len(piece)
    return at


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_one_object(file: BinaryIO, start: int, path: Path) -> None:
    file.seek(start)
    try:
        whole = json.loads(file.read())
    except (ValueError, RecursionError):
        return
    if isinstance(whole, dict):
        raise DataError(
            explain(
                "the file holds one JSON object instead of a list of samples.",
                file=path,
                keys=", ".join(list(whole)[:8]),
                to_do="give the list itself, or one object a line (.jsonl)",
            )
        )


# --- where records are ---------------------------------------------------------------------------------------------


def _places(path: Path, layout: Layout, at: int = 0, done: int = 0) -> Iterator[Place]:
    """The records of a file from a place behind one of them on, ``done`` records in."""
    with _opened(path) as file:
        if layout == "lines":
            yield from _lines(file, at)
        else:
            yield from _Elements(file, path, at, done)


def _lines(file: BinaryIO, at: int) -> Iterator[Place]:
    file.seek(at)
    for line in file:
        begin = at + (len(BOM) if at == 0 and line.startswith(BOM) else 0)
        at += len(line)
        if line[begin - at :].strip(SPACE):
            yield begin, at


def _line_begins(path: Path) -> tuple[array[int], int]:
    """Where lines with a record begin, and where the last of them ends. All pieces are read into one place."""
    begins, doubtful, room, is_new = array("Q"), [], np.empty(PIECE, np.uint8), True
    with _opened(path) as file:
        at = file.seek(len(BOM) if file.read(len(BOM)) == BOM else 0)
        while count := file.readinto(room.data):
            letters = room[:count]
            here = np.flatnonzero(letters == LINE_END) + 1
            if is_new:
                here = np.concatenate([[0], here])
            is_new = bool(letters[-1] == LINE_END)
            if is_new:
                here = here[:-1]  # whether a line begins there is seen with what follows
            doubtful += (here[letters[here] <= LARGEST_SPACE] + at).tolist()
            begins.frombytes((here + at).astype(np.uint64).tobytes())
            at += count
        blank = [begin for begin in doubtful if _is_blank(file, begin)]
    if blank:
        begins = array("Q", np.setdiff1d(np.frombuffer(begins, np.uint64), np.array(blank, np.uint64)).tobytes())
    return begins, at


def _is_blank(file: BinaryIO, begin: int) -> bool:
    file.seek(begin)
    return not file.readline().strip(SPACE)


class _Elements:
    """The elements of a JSON list, each parsed once and dropped.

    Args:
        file: opened.
        path: of it, for messages.
        at: 0, or the end of an element.
        done: elements before it.
    """

    def __init__(self, file: BinaryIO, path: Path, at: int, done: int) -> None:
        self._file, self._path, self._done, self._resumed = file, path, done, at > 0
        file.seek(at)
        if at == 0 and file.read(len(BOM)) == BOM:
            at = len(BOM)
        file.seek(at)
        self._text, self._at, self._ended = "", 0, False  # what was read; the next character in it; no more follows
        self._byte, self._line = at, 1  # of that character; lines are counted from where reading began
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._size = PIECE

    def __iter__(self) -> Iterator[Place]:
        if not self._resumed:
            self._peek()
            self._pass(1)  # the bracket
        elif self._peek() == ",":
            self._pass(1)
        while (follows := self._peek()) != "]":
            if not follows:
                raise self._broken("the file ends inside the list")
            begin, end = self._byte, self._element()
            self._pass(end - self._at)
            self._done += 1
            yield begin, self._byte
            follows = self._peek()
            if follows == ",":
                self._pass(1)
            elif follows not in ("]", ""):
                raise self._broken("a comma or the list's end is missing")
        self._pass(1)
        if self._peek():
            raise self._broken("there is text after the list")

    def _element(self) -> int:
        """Where in the text the element that comes next ends."""
        while True:
            try:
                _, end = DECODER.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:  # else a number could go on
                    self._size = PIECE
                    return end
            except RecursionError as error:
                raise self._broken(error) from None
            except ValueError as error:
                if self._ended:
                    raise self._broken(error, getattr(error, "pos", None)) from None
            self._more()

    def _peek(self) -> str:
        """The next character that is no white space; none at the end."""
        while True:
            white = WHITE.match(self._text, self._at)
            self._pass(0 if white is None else len(white[0]))
            if self._at < len(self._text):
                self._size = PIECE
                return self._text[self._at]
            if self._ended:
                return ""
            self._more()

    def _pass(self, characters: int) -> None:
        passed = self._text[self._at : self._at + characters]
        self._at += len(passed)
        self._byte += len(passed.encode())
        self._line += passed.count("\n")

    def _more(self) -> None:
        """Read on; twice as much each time that one element needs it, so that long ones take linear time."""
        self._text, self._at = self._text[self._at :], 0
        piece = self._file.read(self._size)
        self._size *= 2
        self._ended = not piece
        try:
            self._text += self._utf8.decode(piece, final=self._ended)
        except UnicodeDecodeError as error:
            line = self._line + self._text.count("\n") + piece.count(b"\n", 0, error.start)
            raise DataError(
                explain(
                    "the file is not UTF-8 text.",
                    file=self._path,
                    line=None if self._resumed else line,
                    because=error.reason,
                    to_do="save it as UTF-8",
                )
            ) from None

    def _broken(self, because: object, at: int | None = None) -> DataError:
        line = self._line + self._text.count("\n", self._at, self._at if at is None else at)
        return DataError(
            explain(
                "the file is not a JSON list that can be read.",
                file=self._path,
                line=None if self._resumed else line,
                after=f"{self._done} records",
                because=str(because).splitlines()[0],
                to_do="the file may have been cut short; JSON lines (.jsonl) survive that",
            )
        )
