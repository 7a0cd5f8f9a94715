"""Tar shards made on the fly, good ones and others."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from parrot_adapters.data import Picture, Turn

QUESTION = {"from": "human", "value": "<image>\nBu ne?"}
ANSWER = {"from": "gpt", "value": "kırmızı"}


def record(*said: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """A record as LLaVA writes them."""
    return {"conversations": list(said or (QUESTION, ANSWER)), **more}


def encoded(value: object) -> bytes:
    """Bytes as they are, text as UTF-8, anything else as JSON."""
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode()


def add(tar: tarfile.TarFile, name: str, content: object, **fields: Any) -> None:
    """One member; ``fields`` are of its header."""
    data = encoded(content)
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    tar.addfile(member, io.BytesIO(data))


def write_shard(path: Path, samples: Iterable[tuple[str, Mapping[str, object]]], **options: Any) -> Path:
    """A shard of samples ``(key, {"json": record, "0.jpg": bytes, ...})``."""
    with tarfile.open(path, "w", **options) as tar:
        for key, files in samples:
            for name, content in files.items():
                add(tar, f"{key}.{name}", content)
    return path


def shown(turns: Iterable[Turn]) -> list[Any]:
    """Turns as plain data, with the bytes of their pictures, wherever these are."""

    def part(given: Any) -> Any:
        if not isinstance(given, Picture):
            return given
        if given.stored is not None:
            return Path(given.stored.path).read_bytes()[given.stored.start :][: given.stored.size]
        return given.data if given.data is not None else Path(str(given.path)).read_bytes()

    return [(turn.role, [part(given) for given in turn.parts]) for turn in turns]
