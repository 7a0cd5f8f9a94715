"""Files as people have them: broken, odd, hostile. No traceback from below, no silent wrong answer."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from parrot_adapters.data import Mixture, open_data
from parrot_adapters.data.settings import DataSettings, SourceSettings
from parrot_adapters.errors import DataError

GOOD = {"id": "g", "conversations": [{"from": "human", "value": "Bu ne? 👩‍👩‍👧"}, {"from": "gpt", "value": "قطة"}]}
TEXT = json.dumps(GOOD, ensure_ascii=False)


def opened(path: Path, bad_samples: str = "error", **more: Any) -> Mixture:
    made = open_data(DataSettings((SourceSettings(str(path), **more),), bad_samples=bad_samples), seed=0)  # type: ignore[arg-type]
    assert isinstance(made, Mixture)
    return made


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(content: str | bytes, name: str = "data.json") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


# -- what is fine ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (f"[{TEXT}, {TEXT}]", "data.json"),
        (f"\ufeff[{TEXT}, {TEXT}]", "data.json"),
        (f"\ufeff\n\n[ {TEXT}\r\n,\r\n{TEXT}\r\n]\r\n", "data.json"),
        (f"{TEXT}\n{TEXT}", "data.jsonl"),
        (f"{TEXT}\r\n\r\n{TEXT}\r\n", "data.jsonl"),
        (f"\ufeff{TEXT}\n{TEXT}\n", "data.jsonl"),
        (f"{TEXT}\n{TEXT}\n", "data.json"),  # lines under the wrong name
        (f"[{TEXT}, {TEXT}]", "data.jsonl"),  # and a list
        (f"{json.dumps([GOOD, GOOD], indent=2)}", "data.json"),
    ],
)
def test_every_way_to_write_two_records(file: Any, content: str, name: str) -> None:
    made = opened(file(content, name))
    assert len(made) == 2
    assert made[0].turns == made[1].turns
    assert made[0].turns[0].parts == ("Bu ne? 👩‍👩‍👧",)
    assert made[0].turns[1].parts == ("قطة",)


def test_one_line_of_json_lines_is_one_record(file: Any) -> None:
    assert len(opened(file(TEXT, "data.jsonl"))) == 1


def test_scripts_survive_byte_for_byte(file: Any) -> None:
    words = "İğne ıIiİ قطة‏ 👩‍👩‍👧 \u200f\u2028 ﷽ 中文\t\u0000"
    record = {"conversations": [{"from": "human", "value": f"a {words} b"}, {"from": "gpt", "value": f"c {words} d"}]}
    for content, name in ((json.dumps([record], ensure_ascii=False), "a.json"), (json.dumps(record), "a.jsonl")):
        (asked, told) = opened(file(content, name))[0].turns
        assert asked.parts == (f"a {words} b",)
        assert told.parts == (f"c {words} d",)


def test_a_line_of_a_hundred_thousand_characters(file: Any) -> None:
    record = {"conversations": [{"from": "human", "value": "ş" * 100_000}, {"from": "gpt", "value": "x"}]}
    path = file("\n".join([json.dumps(record)] * 20), "data.jsonl")
    begun = time.process_time()
    assert len(opened(path)[19].turns[0].parts[0]) == 100_000
    assert time.process_time() - begun < 5


def test_a_hundred_thousand_spaces_and_brackets(file: Any) -> None:
    assert len(opened(file("[" + " " * 100_000 + TEXT + "\n" * 100_000 + "]"))) == 1
    with pytest.raises(DataError):
        opened(file("[" * 100_000))


def test_duplicate_ids_stay_apart(file: Any) -> None:
    bad = json.dumps({"id": "g", "conversations": []})
    made = opened(file(f"{TEXT}\n{bad}\n{TEXT}\n{bad}", "data.jsonl"), "skip")
    assert [made[i].identity for i in range(2)] == ["g", "g"]
    assert [made[i].number for i in range(2)] == [0, 2]
    assert made.rejects.counts() == {"no-assistant-turn": 2}


# -- what is not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("\ufeff \n", "is empty"),
        ("[]", "holds no records"),
        (" [\n] ", "holds no records"),
        (json.dumps(GOOD, indent=1), r"one JSON object instead of a list(.|\n)*id, conversations"),
        (TEXT, "one JSON object instead of a list"),
        ("hello", "neither a JSON list nor JSON lines"),
        ('"text"', "neither a JSON list nor JSON lines"),
        (f"[{TEXT}, {TEXT}", r"ends inside the list(.|\n)*cut short"),
        (f"[{TEXT}, {TEXT[:40]}", r"line(.|\n)*after +1 records"),
        (f"[{TEXT} {TEXT}]", "comma"),
        (f"[{TEXT}] and more", "text after the list"),
        (f"[{TEXT}]".encode("utf-16"), "UTF-16"),
        (f"[{TEXT}]".encode().replace("ق".encode(), b"\xff"), r"not UTF-8(.|\n)*line +1"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(file: Any, content: str | bytes, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        opened(file(content), "skip")  # skipping samples does not mean skipping files
    assert "data.json" in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", ["data.json", "data.jsonl", "data.tar", "data.parquet"])
def test_a_pipe_is_refused_not_waited_for(tmp_path: Path, name: str, streaming: bool) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="a pipe or a device"):
        opened(tmp_path / name, streaming=streaming)


def test_no_file_and_no_directory(tmp_path: Path) -> None:
    for path in (tmp_path / "no.json", tmp_path / "no"):
        with pytest.raises(DataError, match="no such file"):
            opened(path)
    with pytest.raises(DataError, match="holds no training data"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("{", "bad-record"),
        ("nonsense", "bad-record"),
        ('{"a": ' * 100_000, "bad-record"),
        ("[" * 100_000, "bad-record"),
        ("null", "bad-record"),
        ("3", "bad-record"),
        ('{"id": ' + "9" * 10_000 + "}", "bad-record"),
        ('{"conversations": 7}', "bad-record"),
        ('{"conversations": [7]}', "bad-record"),
        ('{"conversations": [{"from": "human", "value": null}]}', "bad-record"),
        ('{"conversations": []}', "no-assistant-turn"),
        ('{"id": {"a": 1}, "conversations": []}', "no-assistant-turn"),
        (b'{"id": "\xff"}', "not-utf8"),
    ],
)
def test_a_bad_line_costs_only_itself(file: Any, line: str | bytes, kind: str) -> None:
    line = line.encode() if isinstance(line, str) else line
    path = file(b"\n".join([TEXT.encode(), line, TEXT.encode()]), "data.jsonl")
    made = opened(path, "skip")
    assert len(made) == 2
    assert made.rejects.counts() == {kind: 1}
    with pytest.raises(DataError, match=rf"data.jsonl(.|\n)*{kind}"):
        opened(path)


def said(*turns: tuple[str, str], **more: Any) -> dict:
    return {"conversations": [{"from": role, "value": text} for role, text in turns], **more}


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (said(("human", "a")), "no-assistant-turn"),
        (said(("system", "a"), ("human", "b")), "no-assistant-turn"),
        (said(("gpt", "a")), "wrong-order"),
        (said(("gpt", "a"), ("human", "b"), ("gpt", "c")), "wrong-order"),
        (said(("human", "a"), ("human", "b"), ("gpt", "c")), "wrong-order"),
        (said(("human", "a"), ("gpt", "b"), ("gpt", "c")), "wrong-order"),
        (said(("human", "a"), ("gpt", "b"), ("human", "c")), "wrong-order"),
        (said(("human", "a"), ("system", "x"), ("gpt", "b")), "wrong-order"),
        (said(("pirate", "a"), ("gpt", "b")), "wrong-role"),
        (said(("human", ""), ("gpt", "b")), "empty-turn"),
        (said(("human", "a"), ("gpt", " \n\u00a0")), "empty-turn"),
        (said(("human", "a"), ("gpt", "half \ud83d")), "not-utf8"),
        (said(("human", "<image>"), ("gpt", "b")), "placeholder-mismatch"),
        (said(("human", "a"), ("gpt", "b"), image="p.png"), "placeholder-mismatch"),
        (said(("human", "<image><image>"), ("gpt", "b"), image="p.png"), "placeholder-mismatch"),
        (said(("human", "<image>"), ("gpt", "b"), image=["p.png", "q.png"]), "placeholder-mismatch"),
        (said(("human", "<video>"), ("gpt", "b"), image="p.png"), "placeholder-mismatch"),
        (said(("human", "a"), ("gpt", "<image>"), image="p.png"), "picture-in-answer"),
        (said(("human", "<image>"), ("gpt", "b"), image="https://example.org/p.png"), "missing-image"),
        (said(("human", "<image>"), ("gpt", "b"), image=3), "missing-image"),
        (said(("human", "<image>"), ("gpt", "b"), image={"no": 1}), "missing-image"),
        (said(("human", "<image>"), ("gpt", "b"), image="data:image/png;base64,@@@"), "broken-image"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "bad-record"),
        ({"messages": [{"role": "user", "content": 3}]}, "bad-record"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "placeholder-mismatch"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "wrong-role"),
        ({"messages": [{"role": "user"}]}, "bad-record"),
    ],
)
def test_what_is_wrong_with_a_sample(file: Any, record: dict, kind: str) -> None:
    chat = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    first = chat if "messages" in record else GOOD
    made = opened(file(json.dumps([first, record])), "skip")
    assert len(made) == 1
    assert made.rejects.counts() == {kind: 1}


def test_a_file_that_changes_under_the_run_is_noticed(file: Any) -> None:
    path = file(f"{TEXT}\n{TEXT}", "data.jsonl")
    made = opened(path)
    path.write_text("x" * 2 * len(TEXT.encode()))
    with pytest.raises(DataError, match="changed"):
        made[1]


def test_memory_does_not_grow_with_the_samples(file: Any) -> None:
    """A file of 20 MB costs the index of its records, not their content."""
    import pickle

    record = {"conversations": [{"from": "human", "value": "x" * 20_000}, {"from": "gpt", "value": "y"}]}
    made = opened(file("\n".join([json.dumps(record)] * 1000), "data.jsonl"))
    assert len(pickle.dumps(made)) < 100_000


def test_wrong_tables(tmp_path: Path) -> None:
    path = tmp_path / "MMMB_tr.tsv"
    for content, says in (
        ("", "empty"),
        ("index\tquestion\n1\ta\n", "lacks columns"),
        ("index\tquestion\tanswer\tA\tB\n1\tx\tA\ta\tb\n2\ty\tC\ta\tb\n", "none of the row's options"),
        ("index\tquestion\tanswer\tA\tB\n1\tx\tA\ta\tb\n2\ty\t\ta\tb\n", "no answer"),
        ('index\tquestion\tanswer\tA\n1\t"x\tA\ta\n', "inside a quoted cell"),
        ("index\tquestion\tanswer\tA\timage\n1\tx\tA\ta\t99\n", "takes its image from row"),
    ):
        path.write_text(content)
        with pytest.raises(DataError, match=says):
            opened(path)
