"""JSON lists and lines: by number and as a stream they hold the same records, and a position is taken up anywhere."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parrot_adapters.data import BadSample, DataSettings, SourceSettings, open_data
from parrot_adapters.data.sources import json_files
from parrot_adapters.data.sources.json_files import open_json
from parrot_adapters.errors import DataError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
records = st.lists(st.dictionaries(st.text(max_size=5), values, max_size=4), min_size=1, max_size=8)
spaces = st.sampled_from(["", " ", "\n", "\r\n\t "])


def write(path: Path, said: list[Any], space: str, ascii_only: bool, layout: str) -> str:
    parts = [json.dumps(record, ensure_ascii=ascii_only) for record in said]
    text = "\n".join(parts) if layout == "lines" else f"{space}[{space}" + f"{space},{space}".join(parts) + f"{space}]"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return str(path)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=records, space=spaces, ascii_only=st.booleans(), piece=st.integers(1, 40), at=st.integers(0, 8))
@pytest.mark.parametrize("layout", ["list", "lines"])
def test_streamed_indexed_and_resumed_are_the_file(
    said: list[Any], space: str, ascii_only: bool, piece: int, at: int, layout: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.jsonl", said, space, ascii_only, layout)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_files, "PIECE", piece)  # records reach over the pieces that are read
        indexed = open_json(path, streaming=False)
        assert indexed.length == len(said)
        assert [indexed[number] for number in range(len(said))] == said  # type: ignore[index]
        assert list(indexed) == list(enumerate(said))
        streamed = open_json(path, streaming=True)
        assert streamed.length is None
        before = list(islice(streamed, min(at, len(said))))
        resumed = open_json(path, streaming=True)
        resumed.load_state_dict(json.loads(json.dumps(streamed.state_dict())))
        assert before + list(resumed) == list(enumerate(said))


@pytest.mark.parametrize("layout", ["list", "lines"])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_position_is_taken_up_after_every_record(tmp_path: Path, layout: str, streaming: bool) -> None:
    said = [{"number": number, "text": "ş\n" * number} for number in range(7)]
    path = write(tmp_path / "a.jsonl", said, "\n ", False, layout)
    for done in range(8):
        running = open_json(path, streaming=streaming)
        reading = iter(running)
        for _ in range(done):
            next(reading)
        state = json.loads(json.dumps(running.state_dict()))
        resumed = open_json(path, streaming=streaming)
        resumed.load_state_dict(state)
        assert list(resumed) == list(enumerate(said))[done:]


def test_a_list_that_breaks_off_is_said_when_it_is_reached(tmp_path: Path) -> None:
    good = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps([good] * 5)[:-10])
    made = open_data(DataSettings((SourceSettings(str(path), streaming=True),)), seed=0)
    with pytest.raises(DataError, match=r"(?s)not a JSON list.*after +4 records"):
        list(made.batches(2, 0))


def test_a_record_that_cannot_be_read_comes_as_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"broken\n{"b": 2}')
    for streaming in (False, True):
        (_, first), (number, problem), (_, last) = open_json(str(path), streaming=streaming)
        assert (first, number, last) == ({"a": 1}, 1, {"b": 2})
        assert isinstance(problem, BadSample)


def test_a_list_is_read_in_linear_time_and_little_memory(tmp_path: Path) -> None:
    import time
    import tracemalloc

    path = write(tmp_path / "a.json", [{"text": "x" * 200}] * 60_000, "", True, "list")
    begun = time.process_time()
    tracemalloc.start()
    assert sum(1 for _ in open_json(path, streaming=True)) == 60_000
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 << 20, "the file has 13 MB"
    assert time.process_time() - begun < 20
