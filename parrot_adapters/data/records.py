"""Random access to the records of a JSON list or JSON-lines file without keeping them in memory.

A file is read once, when it is opened, to find where its records begin. After that a record costs one read of its own
bytes: 16 bytes of memory per record, whatever its size, and nothing that worker processes would have to copy.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from parrot_adapters.data.problems import BadSample
from parrot_adapters.errors import DataError, explain

__all__ = ["JsonRecords", "LineStream", "RecordStream", "Records", "read_text"]

Records = Sequence[Any]
"""What a format reads samples from: records by number. Getting one may raise :class:`BadSample`."""


class RecordStream(Protocol):
    """Records one after the other with their numbers, and a position that can be taken up again.

    What cannot be read comes as bytes (of JSON that is still to be parsed) or as the :class:`BadSample` it is, so that
    the next record can be read. ``state_dict`` is plain data; it says where the record after the last one begins.
    """

    def __iter__(self) -> Iterator[tuple[int, Any]]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


BOM = b"\xef\xbb\xbf"
SPACE = b" \t\r\n"


class JsonRecords(Sequence[Any]):
    """The records of a ``.json`` list or a ``.jsonl`` file, whichever the content is.

    Args:
        path: UTF-8, with or without byte-order mark, any line ends.

    Raises:
        DataError: the file is missing, empty, not UTF-8 (for a list), not JSON, or one object instead of a list.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content = _content(path)
        start = len(BOM) if content.startswith(BOM) else 0
        first = content[start:].lstrip(SPACE)[:1]
        if not first:
            raise DataError(explain("the file is empty.", file=path, to_do="give a JSON list or JSON lines"))
        if first == b"[" and not _is_lines(content, start):
            self._bounds = _list_bounds(content, start, path)
        elif first in b"{[":
            self._bounds = _line_bounds(content, start, path)
        else:
            raise DataError(
                explain("the file is neither a JSON list nor JSON lines.", file=path, begins=repr(content[start:][:60]))
            )

    def __len__(self) -> int:
        return len(self._bounds) // 2

    def __getitem__(self, number: Any) -> Any:
        begin, end = self._bounds[2 * number], self._bounds[2 * number + 1]
        with self.path.open("rb") as file:
            file.seek(begin)
            return parse_record(file.read(end - begin))


class LineStream:
    """Records of a JSON-lines file of any size; the position is a byte.

    Args:
        path: UTF-8.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._done, self._at = path, 0, 0

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        try:
            file = self._path.open("rb")
        except OSError as error:
            raise DataError(explain("the file cannot be read.", file=self._path, because=error.strerror)) from None
        with file:
            file.seek(self._at)
            for line in file:
                text = line.removeprefix(BOM) if self._at == 0 else line
                self._at += len(line)
                if text.strip():
                    self._done += 1
                    yield self._done - 1, text

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
        raise BadSample("bad-record", f"not JSON that can be read: {str(error).splitlines()[0]}") from None


def read_text(path: Path) -> str:
    """A whole UTF-8 file, its byte-order mark removed.

    Raises:
        DataError: it is missing or not UTF-8.
    """
    return _decoded(_content(path).removeprefix(BOM), path)


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(explain("there is no such file.", file=path)) from None
    except OSError as error:
        raise DataError(explain("the file cannot be read.", file=path, because=error.strerror)) from None
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(explain("the file is UTF-16 text.", file=path, to_do="save it as UTF-8"))
    return content


def _decoded(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            explain("the file is not UTF-8 text.", file=path, line=line, because=error.reason, to_do="save it as UTF-8")
        ) from None


def _is_lines(content: bytes, start: int) -> bool:
    """Whether a file that begins with a bracket is lines that are lists themselves, rather than one list."""
    begin = start + len(content[start:]) - len(content[start:].lstrip(SPACE))
    line, _, rest = content[begin:].partition(b"\n")
    if not rest.strip(SPACE):
        return False
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _line_bounds(content: bytes, start: int, path: Path) -> array[int]:
    bounds, begin = array("Q"), start
    while begin < len(content):
        end = content.find(b"\n", begin)
        end = len(content) if end < 0 else end
        if content[begin:end].strip(SPACE):
            bounds.extend((begin, end))
        begin = end + 1
    if path.suffix.lower() != ".jsonl" and _one_object(content, start):
        keys = ", ".join(list(json.loads(content[start:]))[:8])
        raise DataError(
            explain(
                "the file holds one JSON object instead of a list of samples.",
                file=path,
                keys=keys,
                to_do="give the list itself, or one object a line (.jsonl)",
            )
        )
    return bounds


def _one_object(content: bytes, start: int) -> bool:
    try:
        return isinstance(json.loads(content[start:]), dict)
    except (ValueError, RecursionError):
        return False


def _list_bounds(content: bytes, start: int, path: Path) -> array[int]:
    """Byte positions of a list's elements, each parsed once and dropped."""
    text = _decoded(content[start:], path)
    decoder, bounds = json.JSONDecoder(), array("Q")
    position, at_byte = _after_space(text, text.index("[") + 1), start
    counted = 0  # characters of text that at_byte stands for
    while position < len(text) and text[position] != "]":
        try:
            _, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise _broken_list(text, position, len(bounds) // 2, path, error) from None
        at_byte += len(text[counted:position].encode())
        size = len(text[position:end].encode())
        bounds.extend((at_byte, at_byte + size))
        at_byte, counted = at_byte + size, end
        position = _after_space(text, end)
        if text[position : position + 1] == ",":
            position = _after_space(text, position + 1)
        elif position < len(text) and text[position] != "]":
            raise _broken_list(text, position, len(bounds) // 2, path, "a comma or the list's end is missing")
    if position >= len(text):
        raise _broken_list(text, position, len(bounds) // 2, path, "the file ends inside the list")
    if text[position + 1 :].strip():
        raise _broken_list(text, position, len(bounds) // 2, path, "there is text after the list")
    return bounds


def _after_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _broken_list(text: str, position: int, records: int, path: Path, because: object) -> DataError:
    return DataError(
        explain(
            "the file is not a JSON list that can be read.",
            file=path,
            line=text.count("\n", 0, position) + 1,
            after=f"{records} records",
            because=str(because).splitlines()[0],
            to_do="the file may have been cut short; JSON lines (.jsonl) survive that",
        )
    )
