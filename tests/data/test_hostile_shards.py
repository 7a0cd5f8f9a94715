"""Shards that are damaged or mean harm: nothing is written, nothing hangs, what is good is read, the rest is told."""

from __future__ import annotations

import functools
import io
import json
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.random_dialogues import picture
from support.shards import add, record, shown, write_shard

from parrot_adapters.data import open_data
from parrot_adapters.data.settings import DataSettings, SourceSettings
from parrot_adapters.data.sources.tar_shards import TarRecords, TarStream
from parrot_adapters.errors import DataError

RED = picture(8, 8, 0).data
GOOD: dict[str, object] = {"json": record(), "png": RED}


def read(path: Path, streaming: bool) -> tuple[list[str], list[tuple[str, str]]]:
    """Identities of what can be used, and (identity, problem) of what cannot."""
    rejects = path.with_suffix(".rejects")
    rejects.unlink(missing_ok=True)
    settings = DataSettings((SourceSettings(str(path), streaming=streaming, format="webdataset"),), bad_samples="skip")
    try:
        made = open_data(settings, seed=0, rejects=rejects)
        good = [made[one] for batch in made.batches(4, 0) for one in batch]
    except DataError as error:
        if "no usable sample" not in str(error):
            raise
        good = []
    for dialogue in good:
        assert shown(dialogue.turns)[0] == ("user", [RED, "Bu ne?"])
    lines = rejects.read_text("utf-8").splitlines() if rejects.exists() else []
    told = [(entry["identity"], entry["reason"]) for entry in map(json.loads, lines)]
    return [d.identity for d in sorted(good, key=lambda d: d.number)], told


def both(path: Path) -> tuple[list[str], list[tuple[str, str]]]:
    whole, streamed = read(path, False), read(path, True)
    assert whole == streamed
    return whole


# -- members --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "identity"),
    [
        ("../../escape", "../../escape"),
        ("/etc/cron", "/etc/cron"),
        ("a" * 300 + "/b", "a" * 300 + "/b"),
        ("./000", "./000"),
        ("con\udcff\udcfe", "con\\xff\\xfe"),  # bytes that are not UTF-8
        ("köpek 🐕", "köpek 🐕"),
        ("tab\tnew\nline", "tab\tnew\nline"),
    ],
)
@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_are_only_names(tmp_path: Path, key: str, identity: str, kind: int) -> None:
    box = tmp_path / "box"
    box.mkdir()
    path = box / "a.tar"
    with tarfile.open(path, "w", format=kind, encoding="utf-8", errors="surrogateescape") as tar:
        for number, content in (("1", GOOD), ("2", {"json": b"{", "png": RED})):
            for name, value in content.items():
                add(tar, f"{key}{number}.{name}", value)
    good, told = both(path)
    assert good == [identity + "1"]
    assert [who for who, _ in told] == [identity + "2"]
    assert {file.name for file in tmp_path.rglob("*")} == {"box", "a.tar", "a.rejects"}


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.FIFOTYPE, "a pipe"),
        (tarfile.CHRTYPE, "a device"),
        (b"Z", "of type"),
    ],
)
def test_only_plain_files_are_read(tmp_path: Path, kind: bytes, word: str) -> None:
    (tmp_path / "secret.png").write_bytes(RED)
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "000.json", record())
        add(tar, "000.png", b"", type=kind, linkname=str(tmp_path / "secret.png"))
        for name, content in GOOD.items():
            add(tar, f"zzz.{name}", content)
    good, ((who, why),) = both(path)
    assert (good, who) == (["zzz"], "000")
    assert word in why


def test_a_sparse_file_is_not_read(tmp_path: Path) -> None:
    """Its declared size, a terabyte of nothing, costs neither memory nor time."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "000.json", record())
        add(tar, "000.png", RED, pax_headers={"GNU.sparse.size": str(1 << 40), "GNU.sparse.map": "0,77"})
        for name, content in GOOD.items():
            add(tar, f"zzz.{name}", content)
    good, told = both(path)
    assert good == ["zzz"]
    assert "sparse" in told[0][1]


def test_folders_and_hidden_files_are_passed_by(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "folder", b"", type=tarfile.DIRTYPE)
        add(tar, "folder/._000.json", b"of a Mac")
        add(tar, "README", b"no sample")
        add(tar, "__meta__.json", b"{")
        add(tar, "folder/000.json", record())
        add(tar, "folder/._000.png", b"of a Mac")
        add(tar, "folder/000.png", RED)
    assert both(path) == (["folder/000"], [])


def test_two_files_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in (("0.json", record()), ("0.png", RED), ("0.png", b"x"), ("1.json", record())):
            add(tar, name, content)
        add(tar, "1.png", RED)
    good, ((who, why),) = both(path)
    assert (good, who) == (["1"], "0")
    assert "two of its files are called 0.png" in why


# -- sizes ----------------------------------------------------------------------------------------------------------


def forged(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    """A header that says what it likes about its size (12 bytes, octal or base 256)."""
    member = tarfile.TarInfo(name)
    member.type = kind
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = size
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def base256(number: int) -> bytes:
    return (b"\x80" if number >= 0 else b"\xff") + (number % (1 << 88)).to_bytes(11, "big")


def shard(*pieces: bytes) -> bytes:
    return b"".join(pieces) + bytes(10240)


def members(*samples: str) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for key in samples:
            for name, content in GOOD.items():
                add(tar, f"{key}.{name}", content)
    return held.getvalue().rstrip(b"\0") + bytes(-len(held.getvalue().rstrip(b"\0")) % 512)


SIZES = {
    "huge": base256(1 << 80),
    "beyond any file": base256((1 << 63) - 1),
    "a terabyte": base256(1 << 40),
    "8 GiB in octal": b"77777777777\0",
    "negative": base256(-512),
    "very negative": base256(-(1 << 70)),
    "no number": b"hello world\0",
}


@pytest.mark.parametrize("kind", [b"0", b"x", b"g", b"L", b"K", b"S", b"V"])
@pytest.mark.parametrize("size", SIZES)
def test_sizes_that_cannot_be(tmp_path: Path, size: str, kind: bytes) -> None:
    """Of members and of extended headers: what came before is read, and nothing takes time or memory."""
    path = tmp_path / "a.tar"
    path.write_bytes(shard(members("0", "1"), forged("2.png", SIZES[size], kind), b"x" * 512, members("3")))
    begun = time.process_time()
    good, told = both(path)
    assert good[:2] == ["0", "1"]
    assert told
    assert time.process_time() - begun < 5
    with pytest.raises(DataError, match=r"a\.tar"):
        list(opened_strictly(path))


def opened_strictly(path: Path) -> Any:
    made = open_data(DataSettings((SourceSettings(str(path), streaming=True, format="webdataset"),)), seed=0)
    return made.batches(4, 0)


def test_a_record_of_gigabytes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from parrot_adapters.data.sources import tar_shards

    monkeypatch.setattr(tar_shards, "TEXT_LIMIT", 1000)
    path = write_shard(tmp_path / "a.tar", [("0", {"json": record(more="x" * 2000), "png": RED}), ("1", GOOD)])
    good, ((who, why),) = both(path)
    assert (good, who) == (["1"], "0")
    assert "1,000 are allowed" in why


# -- damage ---------------------------------------------------------------------------------------------------------


@functools.cache
def whole(count: int = 6) -> bytes:
    return shard(members(*(str(n) for n in range(count))))


STEP = 4 * 512  # a sample of it: two headers and two contents


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, len(whole()) - 10240))
def test_a_shard_that_was_cut_short(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(whole()[:cut])
    if cut < 512:
        with pytest.raises(DataError, match="no tar file"):
            read(path, True)
        return
    good, told = both(path)
    complete = (cut + 512 - len(RED) % 512) // STEP  # a content's filling need not be there
    assert good == [str(n) for n in range(complete)]
    assert told, "that something is missing is told, even where a sample ends"
    assert all("cut short" in why or "ends inside" in why or "neither" in why or "<image>" in why for _, why in told)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 6 * STEP - 1), value=st.integers(1, 255), run=st.sampled_from([1, 1, 7, 512, 3000]))
def test_any_damage_costs_what_it_hits_and_what_follows(tmp_path: Path, at: int, value: int, run: int) -> None:
    damaged = bytearray(whole())
    for byte in range(at, min(at + run, 6 * STEP)):
        damaged[byte] ^= value
    path = tmp_path / "a.tar"
    path.write_bytes(damaged)
    try:
        count = len(TarRecords(path))
    except DataError:  # the first header is what says that it is a tar file
        assert at < 512
        return
    found = list(TarStream(path))
    assert [number for number, _ in found] == list(range(count))
    for number in range(at // STEP):
        assert found[number][1]["__key__"] == str(number)
        assert set(found[number][1]) == {"__key__", "__url__", "json", "png"}


@pytest.mark.parametrize("at", [0, 1, 3, 5])
def test_a_broken_header_is_told_with_what_it_costs(tmp_path: Path, at: int) -> None:
    damaged = bytearray(whole())
    damaged[at * STEP] ^= 1
    path = tmp_path / "a.tar"
    path.write_bytes(damaged)
    if at == 0:
        with pytest.raises(DataError, match="no tar file"):
            read(path, True)
        return
    good, ((who, why),) = both(path)
    assert good == [str(n) for n in range(at)]
    assert who == f"a.tar:{at}"
    assert f"byte {at * STEP:,} of" in why


def test_a_shard_whose_writer_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(members("0", "1"))
    good, ((_, why),) = both(path)
    assert good == ["0", "1"]
    assert "no end mark" in why


def test_shards_put_together_with_cat(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(whole(2) + whole(3))
    good, ((_, why),) = both(path)
    assert good == ["0", "1"]
    assert "more follows the end mark" in why


def test_thousands_of_nested_headers(tmp_path: Path) -> None:
    """tarfile follows each to the next one."""
    path = tmp_path / "a.tar"
    nested = (forged("././@LongLink", b"00000000001\0", b"L") + b"n" + bytes(511)) * 5000
    path.write_bytes(shard(members("0"), nested, members("1")))
    good, told = both(path)
    assert good[0] == "0"
    assert told


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\x1f\x8b" + bytes(600), "compressed"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "compressed"),
        (b"PK\x03\x04" + bytes(600), "compressed"),
        (b'[{"conversations": []}]' * 100, "no tar file"),
        (b"\xff" * 2000, "no tar file"),
    ],
)
def test_what_is_no_shard(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    for streaming in (False, True):
        for name in ("auto", "webdataset", "llava"):
            settings = DataSettings((SourceSettings(str(path), streaming=streaming, format=name),), bad_samples="skip")
            with pytest.raises(DataError, match=says) as caught:
                open_data(settings, seed=0)  # skipping samples does not mean skipping files
            assert "a.tar" in str(caught.value)


def test_a_shard_without_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(10240))
    for streaming in (False, True):
        settings = DataSettings((SourceSettings(str(path), streaming=streaming),))
        with pytest.raises(DataError, match=r"no records|no usable sample"):
            list(open_data(settings, seed=0).batches(4, 0))
