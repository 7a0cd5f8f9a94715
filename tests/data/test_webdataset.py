"""Tar shards are read as the same samples in JSON and files would be, whole or from any position."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.random_dialogues import dialogues, picture
from support.shards import ANSWER, record, shown, write_shard

import parrot_adapters as pa
from parrot_adapters.cli import main
from parrot_adapters.data import Collator, DataFormat, Dialogue, Picture, Turn, open_data
from parrot_adapters.data.decode_pictures import read_picture
from parrot_adapters.data.passes import StreamedPass
from parrot_adapters.data.settings import DataSettings, SourceSettings
from parrot_adapters.errors import DataError

RED, GREEN, BLUE = (picture(8, 8, shade).data for shade in (0, 128, 255))


def opened(path: object, bad_samples: str = "error", seed: int = 0, **more: Any) -> Any:
    settings = DataSettings((SourceSettings(str(path), **more),), bad_samples=bad_samples)  # type: ignore[arg-type]
    return open_data(settings, seed=seed)


def in_order(mixture: Any) -> list[Dialogue]:
    """Every sample of a source, in the order of its files."""
    read = [mixture[one] for batch in mixture.batches(4, 0) for one in batch]
    return sorted(read, key=lambda dialogue: (dialogue.source, dialogue.number))


def one(tmp_path: Path, files: dict[str, object], key: str = "000", **more: Any) -> Dialogue:
    """The only sample of a shard; the same whether it is streamed or not."""
    path = write_shard(tmp_path / "one.tar", [(key, files)])
    (whole,), (streamed,) = in_order(opened(path, **more)), in_order(opened(path, streaming=True, **more))
    assert whole == streamed
    return whole


def refused(tmp_path: Path, files: dict[str, object], key: str = "000") -> dict[str, int]:
    """Why a sample is skipped; the same whether it is streamed or not."""
    good = ("zzz", {"json": record(), "jpg": RED})
    path = write_shard(tmp_path / "bad.tar", [(key, files), good])
    counts = []
    for streaming in (False, True):
        made = opened(path, "skip", streaming=streaming)
        assert [dialogue.identity for dialogue in in_order(made)] == ["zzz"]
        counts.append(made.rejects.counts())
        with pytest.raises(DataError, match=rf"bad.tar(.|\n)*{key}"):
            in_order(opened(path, streaming=streaming))
    assert counts[0] == counts[1]
    return counts[0]


# -- what a sample may look like ------------------------------------------------------------------------------------


def test_a_record_and_its_picture(tmp_path: Path) -> None:
    dialogue = one(tmp_path, {"json": record(language="tr"), "jpg": RED}, key="folder/000")
    assert shown(dialogue.turns) == [("user", [RED, "Bu ne?"]), ("assistant", ["kırmızı"])]
    assert (dialogue.identity, dialogue.language, dialogue.number) == ("folder/000", "tr", 0)
    assert read_picture(dialogue.turns[0].parts[0]).size == (8, 8)  # type: ignore[arg-type]


TWO = [{"from": "human", "value": "<image> or <image>?"}, ANSWER]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({}, [RED, GREEN]),  # all of them, in order
        ({"image": ["1.png", "0.png"]}, [GREEN, RED]),  # by their own names
        ({"images": ["000.1.png", "a/b/000.0.png"]}, [GREEN, RED]),  # whole names, wherever they lay
        ({"image": ["coco/x.jpg", "coco/y.jpg"]}, [RED, GREEN]),  # as many, called otherwise before they were packed
        ({"image": ["1.png", "1.png"]}, [GREEN, GREEN]),
    ],
)
def test_several_pictures(tmp_path: Path, named: dict, expected: list) -> None:
    dialogue = one(tmp_path, {"1.png": GREEN, "0.png": RED, "json": record(*TWO, **named)})
    assert shown(dialogue.turns)[0] == ("user", [expected[0], " or ", expected[1], "?"])


def test_pictures_are_counted_not_spelled(tmp_path: Path) -> None:
    files = {f"{n}.png": picture(8, 8 + n).data for n in (10, 9, 2)}
    said = [{"from": "human", "value": "<image><image><image>"}, ANSWER]
    dialogue = one(tmp_path, {**files, "json": record(*said)})
    assert shown(dialogue.turns)[0] == ("user", [files["2.png"], files["9.png"], files["10.png"]])


def test_a_record_may_leave_pictures_out(tmp_path: Path) -> None:
    with pytest.warns(pa.errors.ParrotWarning, match=r"does not read: seg\.npy \(in 1\)"):
        dialogue = one(tmp_path, {"json": record(image="1.png"), "0.png": RED, "1.png": GREEN, "seg.npy": b"other"})
    assert shown(dialogue.turns)[0] == ("user", [GREEN, "Bu ne?"])


def test_text_only(tmp_path: Path) -> None:
    assert one(tmp_path, {"json": record({"from": "human", "value": "2 + 2?"}, ANSWER)}).turns[0].parts == ("2 + 2?",)


@pytest.mark.parametrize("part", [{"type": "image"}, {"type": "image", "image": "000.jpg"}])
def test_chat(tmp_path: Path, part: dict) -> None:
    said = [{"role": "user", "content": [part, {"type": "text", "text": "?"}]}, {"role": "assistant", "content": "x"}]
    for content in ({"messages": said}, said):
        assert shown(one(tmp_path, {"json": content, "jpg": RED}).turns)[0] == ("user", [RED, "?"])


def test_sharegpt4v(tmp_path: Path) -> None:
    dialogue = one(tmp_path, {"json": record(image="sam/images/sa_1.jpg", system="Be exact."), "jpg": RED})
    assert shown(dialogue.turns)[0] == ("system", ["Be exact."])


@pytest.mark.parametrize(
    "files",
    [
        {"txt": " Bir kedi.\n"},
        {"json": {"caption": "Bir kedi.", "url": "https://example.org/a.jpg", "width": 8}},  # as img2dataset writes
        {"json": {"caption": None, "url": "https://example.org/a.jpg"}, "txt": "Bir kedi."},
        {"json": {"txt": "Bir kedi."}},
    ],
)
def test_captions(tmp_path: Path, files: dict) -> None:
    dialogue = one(tmp_path, {"JPG": RED, **files}, language="tr")
    assert shown(dialogue.turns) == [("user", [RED]), ("assistant", ["Bir kedi."])]
    assert dialogue.language == "tr"


def test_captions_need_no_shard(tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text(json.dumps({"image": "a.png", "caption": "Bir kedi."}))
    (dialogue,) = in_order(opened(tmp_path / "captions.jsonl"))
    assert dialogue.turns == (
        Turn("user", (Picture(str(tmp_path / "a.png")),)),
        Turn("assistant", ("Bir kedi.",)),
    )


def test_a_format_asked_for_by_name_is_that_of_the_records(tmp_path: Path) -> None:
    for name in ("llava", "webdataset", "auto"):
        assert one(tmp_path, {"json": record(), "jpg": RED}, format=name).turns[0].role == "user"
    path = write_shard(tmp_path / "a.tar", [("0", {"json": record(), "jpg": RED})])
    with pytest.raises(DataError, match="no 'content'"):
        opened(path, format="chat")


def test_a_plugins_format_is_asked_too(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    class Titles(DataFormat):
        def recognise(self, record: object) -> str | None:
            return "it has 'title'" if isinstance(record, dict) and "title" in record else None

        def turns(self, record: Any, files: Any) -> tuple[Turn, ...]:
            return (Turn("user", (files.picture(record["file"]),)), Turn("assistant", (record["title"],)))

    class Plugin:
        @pa.hookimpl
        def register_data_formats(self, register: Any) -> None:
            register("titles", Titles)

    name = pa.plugins.register(Plugin(), "titles-plugin")
    request.addfinalizer(lambda: pa.plugins.manager.unregister(name))
    dialogue = one(tmp_path, {"json": {"title": "red", "file": "cover.png"}, "cover.png": RED})
    assert shown(dialogue.turns) == [("user", [RED]), ("assistant", ["red"])]


def test_a_plugins_kind_of_file_is_read_streamed_found_and_checked(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hooks that the library's own shards use."""
    from parrot_adapters.data import ListedRecords

    class Pairs(DataFormat):
        def recognise(self, record: object) -> str | None:
            return "it is a pair" if isinstance(record, tuple) else None

        def turns(self, record: Any, files: Any) -> tuple[Turn, ...]:
            return (Turn("user", (record[0],)), Turn("assistant", (record[1],)))

    class PairsStream:
        """Lines; the position is how many are done."""

        length = None

        def __init__(self, path: str) -> None:
            self.lines, self.done = Path(path).read_text().splitlines(), 0

        def __iter__(self) -> Any:
            while self.done < len(self.lines):
                self.done += 1
                yield self.done - 1, tuple(self.lines[self.done - 1].split("|"))

        def state_dict(self) -> dict:
            return {"done": self.done}

        def load_state_dict(self, state: dict) -> None:
            self.done = state["done"]

    def open_pairs(path: str, *, streaming: bool) -> Any:
        if streaming:
            return PairsStream(path)
        return ListedRecords([tuple(line.split("|")) for line in Path(path).read_text().splitlines()])

    class Plugin:
        @pa.hookimpl
        def register_data_formats(self, register: Any) -> None:
            register("pairs", Pairs)

        @pa.hookimpl
        def register_data_sources(self, register: Any) -> None:
            register(".pairs", open_pairs)

    name = pa.plugins.register(Plugin(), "pairs-plugin")
    request.addfinalizer(lambda: pa.plugins.manager.unregister(name))
    (tmp_path / "a.pairs").write_text("1|one\n2|two\n")
    (tmp_path / "b.pairs").write_text("3|three\n")
    for streaming in (False, True):
        assert [d.turns[0].parts for d in in_order(opened(tmp_path, streaming=streaming))] == [("1",), ("2",), ("3",)]
    assert main(["data", "check", str(tmp_path / "a.pairs"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["usable"] == 2


# -- the same samples in JSON and files -----------------------------------------------------------------------------


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(dialogues(), min_size=1, max_size=5), streaming=st.booleans(), chat=st.booleans())
def test_any_dialogues_are_those_of_json_and_files(
    said: list[Dialogue], streaming: bool, chat: bool, tmp_path: Path
) -> None:
    packed, beside = [], []
    for number, dialogue in enumerate(said):
        files = [part.data for turn in dialogue.turns for part in turn.parts if isinstance(part, Picture)]
        names = [f"{number}-{n}.png" for n in range(len(files))]
        for name, data in zip(names, files, strict=True):
            (tmp_path / name).write_bytes(data)
        content = _chat(dialogue) if chat else _llava(dialogue)
        beside.append({**content, "images": names})
        packed.append((f"s{number}", {"json": content, **{f"{n}.png": data for n, data in enumerate(files)}}))
    (tmp_path / "all.jsonl").write_text("\n".join(json.dumps(one) for one in beside))
    expected = in_order(opened(tmp_path / "all.jsonl", "skip", streaming=streaming))
    found = in_order(opened(write_shard(tmp_path / "all.tar", packed), "skip", streaming=streaming))
    assert [shown(d.turns) for d in found] == [shown(d.turns) for d in expected]
    assert [d.language for d in found] == [d.language for d in expected]
    assert len(found) == len(said)


def _llava(dialogue: Dialogue) -> dict[str, Any]:
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    text = ["".join(p if isinstance(p, str) else "<image>" for p in turn.parts) for turn in dialogue.turns]
    said = [{"from": names[t.role], "value": value} for t, value in zip(dialogue.turns, text, strict=True)]
    return {"conversations": said, "language": dialogue.language}


def _chat(dialogue: Dialogue) -> dict[str, Any]:
    def part(given: Any) -> dict[str, str]:
        return {"type": "text", "text": given} if isinstance(given, str) else {"type": "image"}

    said = [{"role": turn.role, "content": [part(given) for given in turn.parts]} for turn in dialogue.turns]
    return {"messages": said, "language": dialogue.language}


# -- order, shares, positions ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five shards of 20 samples, every tenth bad; Turkish, Arabic, unknown in turn."""
    made = tmp_path_factory.mktemp("shards")
    for shard in range(5):
        samples = []
        for n in range(20):
            more = {"language": ("tr", "ar")[n % 3]} if n % 3 < 2 else {}
            content: object = record(id=f"{shard}-{n}", **more) if n % 10 else b"{broken"
            samples.append((f"{n:04}", {"json": content, "png": RED}))
        write_shard(made / f"s-{shard:03}.tar", samples)
    return made


GOOD = sorted(f"{shard}-{n}" for shard in range(5) for n in range(20) if n % 10)


def names(batches: Any) -> list[list[str]]:
    return [[dialogue.identity for dialogue in batch] for batch in batches]


def flat(lists: list[list[str]]) -> list[str]:
    return [name for one in lists for name in one]


@pytest.mark.parametrize(
    "path", ["", "s-*.tar", "s-{000..004}.tar", "s-00{0,1,2,3,4}.tar", "s-{000..002}.tar|s-00[34].tar"]
)
@pytest.mark.parametrize("streaming", [False, True])
def test_directories_and_patterns(folder: Path, path: str, streaming: bool) -> None:
    sources = tuple(SourceSettings(str(folder / part), streaming=streaming) for part in path.split("|"))
    made = open_data(DataSettings(sources, bad_samples="skip"), seed=0)
    assert made.seekable is not streaming
    assert sorted(flat(names([[made[one] for one in batch] for batch in made.batches(8, 0)]))) == GOOD
    assert made.rejects.counts() == {"bad-record": 10}


def test_what_a_pattern_names_must_be_there(folder: Path) -> None:
    for streaming in (False, True):
        with pytest.raises(DataError, match=r"s-005\.tar"):
            opened(folder / "s-{000..005}.tar", streaming=streaming)
        with pytest.raises(DataError, match="no file matches"):
            opened(folder / "t-*.tar", streaming=streaming)
    with pytest.raises(DataError, match="more than 100,000"):
        opened(folder / "{0..9999999}.tar")


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a{0,1}[x]*.tar", [("0", {"json": record(), "jpg": RED})])
    for streaming in (False, True):
        assert len(in_order(opened(path, streaming=streaming))) == 1


def streamed(folder: Path, seed: int, epoch: int, **more: Any) -> StreamedPass:
    return StreamedPass(SourceSettings(str(folder), streaming=True, **more), lambda *bad: None, seed=seed, epoch=epoch)


def test_shards_come_in_another_order_each_epoch(folder: Path) -> None:
    def first(seed: int, epoch: int, **more: Any) -> tuple[str, ...]:
        stream = streamed(folder, seed, epoch, **more)
        return tuple(dict.fromkeys(dialogue.source[-7:-4] for dialogue in stream))

    orders = {(seed, epoch): first(seed, epoch) for seed in range(3) for epoch in range(3)}
    assert all(sorted(order) == ["000", "001", "002", "003", "004"] for order in orders.values())
    assert len(set(orders.values())) > 5
    assert first(1, 2) == orders[1, 2]
    assert first(0, 1, limit=25) == ("000", "001"), "a limit means the first samples, whatever the epoch"


@settings(deadline=None, max_examples=12)
@given(
    world=st.sampled_from([1, 2, 3]),
    size=st.integers(1, 4),
    epoch=st.integers(0, 2),
    done=st.integers(0, 100),
    ahead=st.integers(0, 60),
)
def test_order_shares_and_resuming(folder: Path, world: int, size: int, epoch: int, done: int, ahead: int) -> None:
    def order(rank: int = 0, world: int = 1, skip: int = 0) -> Any:
        return opened(folder, "skip", streaming=True).batches(size, epoch, rank=rank, world=world, skip=skip)

    alone = names(order())
    shares = [names(order(rank, world)) for rank in range(world)]
    together = [batch for turn in zip(*shares, strict=True) for batch in turn]
    assert together[: len(alone)] == alone
    assert sorted(flat(together)) == GOOD

    rank = done % world
    done = min(done, len(shares[rank]))
    running = order(rank, world)
    stream = iter(running)
    for _ in range(min(done + ahead, len(shares[rank]))):
        next(stream)
    state = json.loads(json.dumps(running.state_dict(done)))
    resumed = order(rank, world)
    resumed.load_state_dict(state)
    assert names(resumed) == shares[rank][done:]


@settings(deadline=None, max_examples=15)
@given(epoch=st.integers(0, 3), at=st.integers(0, 100))
def test_a_stream_goes_on_after_any_sample(folder: Path, epoch: int, at: int) -> None:
    """Not only where blocks begin; the number, too, is that of an uninterrupted run, so a reject is written once."""

    def stream() -> Any:
        return streamed(folder, 0, epoch)

    whole = [(d.source, d.number, d.identity) for d in stream()]
    running, before = stream(), []
    for dialogue in running:
        if len(before) == at:
            break
        before.append((dialogue.source, dialogue.number, dialogue.identity))
        state = json.loads(json.dumps(running.state_dict()))
    resumed = stream()
    if before:
        resumed.load_state_dict(state)
    assert before + [(d.source, d.number, d.identity) for d in resumed] == whole


def test_resuming_reads_nothing_before_its_position(folder: Path, tmp_path: Path) -> None:
    """What lies before could be gone."""
    from parrot_adapters.data.sources.tar_shards import TarStream

    path = tmp_path / "s.tar"
    path.write_bytes((folder / "s-000.tar").read_bytes())
    running = TarStream(path)
    reading = iter(running)
    for _ in range(15):
        next(reading)
    state = running.state_dict()
    expected = [record["__key__"] for _, record in reading]
    spoiled = bytearray(path.read_bytes())
    spoiled[512 : state["at"]] = b"x" * (state["at"] - 512)
    path.write_bytes(spoiled)
    resumed = TarStream(path)
    resumed.load_state_dict(state)
    assert [record["__key__"] for _, record in resumed] == expected
    assert len(list(TarStream(path))) < 20


def test_caps_temperature_and_weights(folder: Path) -> None:
    path = str(folder)
    capped = open_data(
        DataSettings((SourceSettings(path, streaming=True),), bad_samples="skip", language_caps={"tr": 7}), seed=0
    )
    spoken = [dialogue.language for batch in capped.batches(4, 0) for dialogue in batch]
    assert spoken.count("tr") == 7
    source = (SourceSettings(path, weight=2.0),)
    indexed = open_data(DataSettings(source, bad_samples="skip", language_temperature=100), seed=0)
    counts = indexed.languages()
    assert sum(counts.values()) == 2 * len(GOOD)
    assert max(counts.values()) - min(counts.values()) <= 12, "shards allow what streams cannot: they have an index"


@pytest.mark.parametrize("streaming", [False, True])
def test_workers_read_each_sample_once(folder: Path, streaming: bool) -> None:
    from support.chat_processors import llava
    from torch.utils.data import DataLoader

    made = opened(folder, "skip", streaming=streaming)
    order = made.batches(15, 0)
    loader = DataLoader(made, batch_sampler=order, collate_fn=Collator(llava()), num_workers=2)
    found = [batch["parrot_identities"] for batch in loader]
    assert found == names([[made[one] for one in batch] for batch in made.batches(15, 0)])
    assert sorted(flat(found)) == GOOD


def test_an_index_holds_positions_not_contents(tmp_path: Path) -> None:
    import pickle

    samples = [(f"{n:04}", {"json": record(), "png": b"x" * 20_000}) for n in range(500)]
    made = opened(write_shard(tmp_path / "big.tar", samples))
    assert len(pickle.dumps(made)) < 20_000


# -- samples that cannot be used ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"json": b"{", "jpg": RED}, "bad-record"),
        ({"json": b'{"id": "\xff"}', "jpg": RED}, "not-utf8"),
        ({"json": b"[" * 100_000, "jpg": RED}, "bad-record"),
        ({"json": 3, "jpg": RED}, "bad-record"),
        ({"json": {"nothing": "known"}, "jpg": RED}, "bad-record"),
        ({"json": b"", "jpg": RED}, "bad-record"),
        ({"jpg": RED}, "bad-record"),
        ({"json": record(), "other.json": {}}, "placeholder-mismatch"),  # the plain name is the record's
        ({"a.json": record(), "b.json": record(), "jpg": RED}, "bad-record"),
        ({"txt": b"\xff", "jpg": RED}, "not-utf8"),
        ({"txt": " \n", "jpg": RED}, "empty-turn"),
        ({"txt": "a caption of nothing"}, "bad-record"),
        ({"json": record()}, "placeholder-mismatch"),
        ({"json": record(image="000.jpg")}, "missing-image"),
        ({"json": record(image="/etc/passwd")}, "missing-image"),
        ({"json": record(image=["0.jpg", "2.jpg"]), "0.jpg": RED, "1.jpg": RED}, "missing-image"),
        ({"json": record(), "0.jpg": RED, "1.jpg": RED}, "placeholder-mismatch"),
        ({"json": record({"from": "human", "value": "x"})}, "no-assistant-turn"),
    ],
)
def test_a_bad_sample_costs_only_itself(tmp_path: Path, files: dict, kind: str) -> None:
    assert refused(tmp_path, files) == {kind: 1}


def test_a_broken_picture_is_found_where_it_is_decoded(tmp_path: Path) -> None:
    from support.chat_processors import llava

    path = write_shard(
        tmp_path / "a.tar", [("0", {"json": record(), "png": RED}), ("1", {"json": record(), "png": RED[:50]})]
    )
    made = opened(path)
    skipping = Collator(llava(), bad_samples="skip", rejects=tmp_path / "rejects.jsonl")
    assert skipping(in_order(made))["parrot_identities"] == ["0"]
    (line,) = (tmp_path / "rejects.jsonl").read_text().splitlines()
    entry = json.loads(line)
    assert (entry["source"], entry["number"], entry["problem"]) == (str(path), 1, "broken-image")
    assert f"{path}: 1.png" in entry["reason"]
    with pytest.raises(DataError, match="broken-image"):
        Collator(llava())(in_order(made))


def test_a_shard_that_gets_shorter_under_the_run_is_noticed(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", [(str(n), {"json": record(), "png": RED * 99}) for n in range(3)])
    made = opened(path)
    (*_, last) = in_order(made)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(Exception, match=r"2\.png: .* bytes are there"):
        read_picture(last.turns[0].parts[0])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="changed"):
        made[2]


# -- commands -------------------------------------------------------------------------------------------------------


def test_data_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(folder / "s-000.tar"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["records"], found["usable"]) == (20, 18)
    assert found["problems"]["bad-record"]["count"] == 2
    assert found["problems"]["bad-record"]["examples"][1]["identity"] == "0010"
    assert found["pictures"]["width"]["most"] == 8
    assert found["files"][0]["format"] == "webdataset"
    assert main(["data", "check", str(folder / "s-{000..001}.tar")]) == 1
    assert "s-001.tar" in capsys.readouterr().out
