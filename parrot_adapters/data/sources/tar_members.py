"""Samples of a tar shard in WebDataset's layout: members that follow each other and share a key, with their positions.

    000123.json   000123.0.jpg   000123.1.jpg      key 000123, files json, 0.jpg, 1.jpg

The standard library's ``tarfile`` reads the headers, and nothing else is read here: contents stay in the shard until
somebody wants them (:class:`parrot_adapters.data.byte_ranges.Stored`), and nothing is written to disk, so the names of
members are only names. A sample's position is the byte at which its first header begins.

A shard may be damaged, or meant to do harm. Whatever does not read as it should becomes a bad sample with the reason.
What follows a header that cannot be read is lost, and that is said too.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from parrot_adapters.data.byte_ranges import Stored
from parrot_adapters.data.problems import BadSample
from parrot_adapters.errors import DataError, explain, first_line

__all__ = ["TarSample", "check_shard", "readable", "samples"]

BLOCK = 512
HEADER_LIMIT = 1 << 20  # bytes of an extended header; a name is shorter
PADDING_LIMIT = 1 << 20  # bytes behind the end mark that are looked at; writers fill up to 10,240
COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstandard", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK": "zip"}
KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a link to another member",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


@dataclass
class TarSample:
    """One sample, or what is wrong where one was expected.

    Attributes:
        begin: of its first header.
        end: of its last member, where reading goes on.
        key: what its members share, readable; empty where the shard itself cannot be read on.
        files: its members by what follows the key in their names.
        problem: why it cannot be used, or None.
    """

    begin: int
    end: int
    key: str
    files: dict[str, Stored] = field(default_factory=dict)
    problem: BadSample | None = None


class _Broken(Exception):
    """The shard cannot be read from here on."""


def check_shard(path: Path) -> None:
    """Refuse what is no shard at all, from its first header.

    Raises:
        DataError: the file is missing, empty, compressed or no tar file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(BLOCK)
    except OSError as error:
        raise DataError(explain("the shard cannot be read.", file=path, because=error.strerror)) from None
    if not head:
        raise DataError(explain("the file is empty.", file=path, to_do="give a tar file"))
    for magic, name in COMPRESSED.items():
        if head.startswith(magic):
            raise DataError(
                explain(
                    f"the shard is compressed ({name}), so it can only be read from its beginning.",
                    file=path,
                    to_do="decompress it; pictures are compressed by themselves, and a plain tar file has positions",
                )
            )
    if head.count(0) == len(head):
        return  # the end mark: a shard without samples
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise DataError(explain("the file is no tar file.", file=path, because=error, begins=repr(head[:32]))) from None


def samples(path: Path, at: int = 0) -> Iterator[TarSample]:
    """The samples of a shard from a position on.

    Args:
        path: of the shard.
        at: the beginning of a sample, or its end.

    Raises:
        DataError: the file cannot be opened.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(explain("the shard cannot be read.", file=path, because=error.strerror)) from None
    with file:
        size = os.fstat(file.fileno()).st_size
        if at > size:  # what was wrong at its end has been said
            return
        here: TarSample | None = None
        try:
            for begin, end, member in _members(file, size, at):
                at = end
                named = _key_and_field(member)
                if named is None:
                    continue
                key, name = named
                if here is None or here.key != key:
                    if here is not None:
                        yield here
                    here = TarSample(begin, end, key)
                here.end = end
                _take(here, name, member, path, size)
        except _Broken as broken:
            if here is not None:
                yield here
            yield TarSample(at, size + 1, "", problem=BadSample("bad-record", f"{broken} (byte {at:,} of {size:,})"))
            return
        if here is not None:
            yield here


def readable(name: str) -> str:
    """A member's name as text that can be printed and stored: bytes that are not UTF-8 are spelled out."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _members(file: BinaryIO, size: int, at: int) -> Iterator[tuple[int, int, tarfile.TarInfo]]:
    """(begin, end, member) of every member; raises :class:`_Broken` unless the shard ends as it should."""
    file.seek(at)
    try:
        guarded: Any = _Guarded(file, size)
        tar: Any = tarfile.TarFile(fileobj=guarded, mode="r", encoding="utf-8", errors="surrogateescape")
        while (member := tar.next()) is not None:
            tar.members = []  # it would keep every header it has read
            begin, at = at, tar.offset
            if at <= member.offset or member.size < 0:
                raise _Broken("a member's size is negative")
            if at > size:  # the last one, and not more than its filling may lack
                at = size if _is_plain(member) and member.offset_data + member.size <= size else size + 1
            yield begin, at, member
            if at > size:
                return  # its sample says so
            if at == size:
                break
    except _Broken:
        raise
    except Exception as error:  # a hostile header can make tarfile raise anything
        raise _Broken(f"what follows is no tar header: {first_line(error)}") from None
    file.seek(at)
    block = file.read(BLOCK)
    if not block:
        raise _Broken("the shard has no end mark: it was cut short, or its writer was not closed")
    if len(block) < BLOCK:
        raise _Broken("the shard ends inside a header")
    if block.count(0) < BLOCK:
        raise _Broken("what follows is no tar header")
    rest = file.read(PADDING_LIMIT)
    if rest.count(0) < len(rest):
        raise _Broken("more follows the end mark; shards that are put together with cat need tar --concatenate")


def _key_and_field(member: tarfile.TarInfo) -> tuple[str, str] | None:
    """What a member's name says; None for what is no file of a sample: folders, hidden files, names without a dot."""
    if member.isdir():
        return None
    folder, slash, name = member.name.rpartition("/")
    stem, dot, name = name.partition(".")
    if not stem or not dot or not name or stem.startswith("__"):
        return None
    return readable(folder + slash + stem), readable(name)


def _take(here: TarSample, name: str, member: tarfile.TarInfo, path: Path, size: int) -> None:
    reason = None
    if not _is_plain(member):
        kind = "a sparse file" if member.issparse() else KINDS.get(member.type, f"of type {member.type!r}")
        reason = f"{readable(member.name)} is {kind}; only plain files are read"
    elif member.offset_data + member.size > size:
        left = max(0, size - member.offset_data)
        reason = f"{readable(member.name)} is cut short: {member.size:,} bytes are declared, {left:,} are there"
    elif name in here.files:
        reason = f"two of its files are called {readable(member.name)}"
    else:
        here.files[name] = Stored(str(path), member.offset_data, member.size, readable(member.name))
    if reason is not None and here.problem is None:
        here.problem = BadSample("bad-record", reason)


def _is_plain(member: tarfile.TarInfo) -> bool:
    return member.isreg() and not member.issparse()


class _Guarded:
    """As much of a file as ``tarfile`` uses, without reads that a hostile header would make as large as it likes."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= HEADER_LIMIT:
            raise ValueError(f"an extended header of {count:,} bytes")
        return self._file.read(count)

    def seek(self, position: int) -> int:
        return self._file.seek(min(position, self._size))

    def tell(self) -> int:
        return self._file.tell()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
