"""JSON from a stranger: read within limits, or refused with one error that names the file.

Bytes, depth and digits are bounded (:mod:`parrot_adapters.limits`), NaN, infinity and half characters are refused, and
of two equal names in one object neither is taken.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn

from parrot_adapters.errors import CheckpointError, ParrotError, explain
from parrot_adapters.limits import limit

__all__ = ["parse_json", "read_json", "read_json_object"]

HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(path: Path, error: type[ParrotError] = CheckpointError) -> Any:
    """Plain data from a JSON file.

    Args:
        path: File to read.
        error: What is raised where it cannot be used (default :class:`CheckpointError`).

    Raises:
        ParrotError: Of the kind of ``error``; the message names the file and the reason.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit("json_bytes") + 1)
    except (OSError, ValueError) as cause:
        raise error(explain(f"{path} cannot be read.", because=cause)) from cause
    return parse_json(content, path, error)


def read_json_object(path: Path, error: type[ParrotError] = CheckpointError) -> dict[str, Any]:
    """The object that a JSON file holds; see :func:`read_json`.

    Raises:
        ParrotError: Of the kind of ``error``; also where the file holds something else.
    """
    found = read_json(path, error)
    if not isinstance(found, dict):
        raise error(f"{path} holds {type(found).__name__}, not an object")
    return found


def parse_json(content: bytes, named: object, error: type[ParrotError] = CheckpointError) -> Any:
    """Plain data from JSON.

    Args:
        content: The JSON, in UTF-8.
        named: What it is called in messages.
        error: What is raised where it cannot be used (default :class:`CheckpointError`).

    Raises:
        ParrotError: Of the kind of ``error``.
    """
    try:
        if len(content) > limit("json_bytes"):
            raise _beyond("bytes", "json_bytes")
        text = content.decode("utf-8-sig")
        found = json.loads(text, parse_int=_whole, parse_constant=_no_number, object_pairs_hook=_once)
        _require_shallow(found)
        if HALF.search(text):  # escaped: whole ones are two such escapes, or none
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as cause:
        why = _beyond("levels", "json_depth") if isinstance(cause, RecursionError) else cause
        raise error(explain(f"{named} is not valid JSON.", because=why)) from cause
    return found


def _beyond(what: str, name: str) -> ValueError:
    return ValueError(f"it has more than {limit(name):,} {what} (PARROT_LIMIT_{name.upper()} sets the limit)")


def _whole(digits: str) -> int:
    if len(digits) > limit("json_digits"):
        raise _beyond("digits in one number", "json_digits")
    return int(digits)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the name {twice[:80]!r} stands twice in one object")
    return found


def _require_shallow(value: Any) -> None:
    """Level by level rather than by recursion, whose depth is what is in question."""
    level = [value]
    for _ in range(limit("json_depth") + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise _beyond("levels", "json_depth")
