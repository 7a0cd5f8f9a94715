"""Every format reads what it says, is recognised by its content, and says what is wrong where it cannot."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.random_dialogues import dialogues

import parrot_adapters as pa
from parrot_adapters.data import DataFormat, Picture, Turn, Video, open_data
from parrot_adapters.data.settings import DataSettings, SourceSettings
from parrot_adapters.errors import DataError, ParrotWarning, PluginError, UnknownNameError
from parrot_adapters.evaluation.benchmark.training_format import MmmbFormat


def opened(path, bad_samples="error", **more):
    return open_data(DataSettings((SourceSettings(str(path), **more),), bad_samples=bad_samples), seed=0)


@pytest.fixture
def written(tmp_path):
    """``written(records)``: a JSON list, or JSON lines where the name says so."""

    def write(records, name="data.json"):
        path = tmp_path / name
        lines = name.endswith(".jsonl")
        text = "\n".join(json.dumps(r, ensure_ascii=False) for r in records) if lines else json.dumps(records)
        path.write_text(text, "utf-8")
        return path

    return write


def llava(*said, **more):
    turns = [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(said)]
    return {"id": "x", "conversations": turns, **more}


# -- llava ----------------------------------------------------------------------------------------------------------


def test_llava(written, tmp_path):
    mixture = opened(written([llava("<image>\nBu ne?", "Bir kedi.", image="a/1.jpg", language="tr")]))
    assert mixture[0].turns == (
        Turn("user", (Picture(path=str(tmp_path / "a/1.jpg")), "Bu ne?")),
        Turn("assistant", ("Bir kedi.",)),
    )
    assert (mixture[0].identity, mixture[0].language, mixture[0].number) == ("x", "tr", 0)
    assert mixture.sources[0].format == "llava"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("<image>\nwhat?", ("P", "what?")),
        ("what?\n<image>", ("what?", "P")),
        ("a\n<image>\nb", ("a", "P", "b")),
        ("is <image> this?", ("is ", "P", " this?")),
        ("<image>\r\nwhat?\r\n", ("P", "what?")),
        ("  <image>  ", ("P",)),
        ("<image>", ("P",)),
    ],
)
def test_a_placeholder_may_stand_anywhere(written, tmp_path, text, parts):
    picture = Picture(path=str(tmp_path / "p.png"))
    (user, _) = opened(written([llava(text, "yes", image="p.png")]))[0].turns
    assert user.parts == tuple(picture if part == "P" else part for part in parts)


def test_several_images_are_taken_in_order_over_all_turns(written, tmp_path):
    record = llava("<image><image>\nsame?", "no", "and <image>?", "yes", image=["1.png", "2.png", "3.png"])
    turns = opened(written([record]))[0].turns
    shown = [part.path for turn in turns for part in turn.parts if isinstance(part, Picture)]
    assert shown == [str(tmp_path / f"{n}.png") for n in (1, 2, 3)]


@pytest.mark.parametrize("image", [None, "", []])
def test_text_only(written, image):
    mixture = opened(written([llava("2 + 2?", "4", image=image), llava("3?", "4")]))
    assert mixture[0].turns[0].parts == ("2 + 2?",)


def test_video(written, tmp_path):
    (user, _) = opened(written([llava("<video>\nwhat happens?", "rain", video="a.mp4")]))[0].turns
    assert user.parts == (Video(str(tmp_path / "a.mp4")), "what happens?")


def test_images_are_looked_for_where_the_settings_say(written, tmp_path):
    (tmp_path / "pics").mkdir()
    (user, _) = opened(written([llava("<image>", "x", image="p.png")]), images=str(tmp_path / "pics"))[0].turns
    assert user.parts[0].path == str(tmp_path / "pics" / "p.png")


# -- sharegpt4v -----------------------------------------------------------------------------------------------------


def test_sharegpt4v(written, tmp_path):
    (tmp_path / "root").mkdir()
    record = llava("Describe this.\n<image>", "A dog.", image="sam/images/sa_1.jpg", system="Be exact.")
    mixture = opened(written([record]), images=str(tmp_path / "root"))
    assert mixture.sources[0].format == "sharegpt4v"
    assert "sam/" in mixture.sources[0].because
    assert mixture[0].turns == (
        Turn("system", ("Be exact.",)),
        Turn("user", ("Describe this.", Picture(path=str(tmp_path / "root/sam/images/sa_1.jpg")))),
        Turn("assistant", ("A dog.",)),
    )


# -- chat -----------------------------------------------------------------------------------------------------------

PNG = b"not decoded here"
AS_TEXT = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"image": "p.png"}, "path"),
        ({"path": "p.png"}, "path"),
        ({"url": "p.png"}, "path"),
        ({"image": {"path": "p.png"}}, "path"),
        ({"url": f"data:image/png;base64,{AS_TEXT}"}, "data"),
        ({"base64": AS_TEXT}, "data"),
        ({"image_url": {"url": f"data:image/png;base64,{AS_TEXT}"}, "type": "image_url"}, "data"),
    ],
)
def test_a_picture_of_a_chat(written, tmp_path, part, expected):
    content = [{"type": "image", **part}, {"type": "text", "text": "what?"}]
    record = {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "x"}]}
    (user, _) = opened(written([record], "data.jsonl"))[0].turns
    found = {"path": Picture(path=str(tmp_path / "p.png")), "data": Picture(data=PNG)}[expected]
    assert user.parts == (found, "what?")


def test_bytes_of_a_chat():
    from parrot_adapters.data.formats.chat import ChatFormat
    from parrot_adapters.data.formats.record_files import Files

    said = [{"role": "user", "content": [{"type": "image", "bytes": PNG}, {"type": "text", "text": "what?"}]}]
    assert ChatFormat().turns(said, Files(None))[0].parts == (Picture(data=PNG), "what?")


def test_parts_without_a_picture_take_the_records_next(written, tmp_path):
    said = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "or "}, {"type": "image"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "the second"}]},
    ]
    turns = opened(written([{"messages": said, "images": ["1.png", "2.png"]}]))[0].turns
    assert turns[1].parts == (Picture(str(tmp_path / "1.png")), "or ", Picture(str(tmp_path / "2.png")))
    assert turns[0] == Turn("system", ("Be short.",))


def test_image_in_plain_text_is_the_next_picture(written, tmp_path):
    said = [{"role": "user", "content": "what is <image> here?"}, {"role": "assistant", "content": "a cat"}]
    mixture = opened(written([{"messages": said, "images": ["1.png"]}]))
    assert mixture[0].turns[0].parts == ("what is ", Picture(str(tmp_path / "1.png")), " here?")


def test_a_record_may_be_the_messages_themselves(written):
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    for name in ("data.json", "data.jsonl"):
        mixture = opened(written([said, said], name))
        assert len(mixture) == 2
        assert mixture.sources[0].format == "chat"


@given(dialogue=dialogues(), whole=st.booleans())
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_dialogue_survives_a_chat_file(dialogue, whole, tmp_path):
    def part(given):
        if isinstance(given, str):
            return {"type": "text", "text": given}
        return {"type": "image", "base64": base64.b64encode(given.data).decode()}

    said = [{"role": turn.role, "content": [part(given) for given in turn.parts]} for turn in dialogue.turns]
    path = tmp_path / "chat.json"
    path.write_text(json.dumps([{"messages": said}] if whole else [said], ensure_ascii=False), "utf-8")
    for read, meant in zip(opened(path)[0].turns, dialogue.turns, strict=True):
        pictures = [[part for part in turn.parts if isinstance(part, Picture)] for turn in (read, meant)]
        words = ["".join(part if isinstance(part, str) else "\0" for part in turn.parts) for turn in (read, meant)]
        assert pictures[0] == pictures[1]
        assert words[0] == words[1].strip()


# -- mmmb -----------------------------------------------------------------------------------------------------------


def test_mmmb(tmp_path):
    from support.benchmark_files import picture, save_benchmark

    from parrot_adapters.evaluation import build_prompt

    save_benchmark(tmp_path, questions=3, languages=("tr",), passes=2)
    mixture = opened(tmp_path / "MMMB_tr.tsv")
    assert mixture.sources[0].format == "mmmb-tsv"
    assert len(mixture) == 6
    asked, told = mixture[4].turns  # the second pass, whose picture is a reference to the first's
    assert mixture[4].language == "tr"
    assert asked.parts[0] == Picture(data=base64.b64decode(picture(1)))
    cells = {"question": "Bu ne? ?????", "A": "kızıl tilki", "B": "karınca", "C": "kedi", "D": "köpek"}
    assert asked.parts[1] == build_prompt(cells, benchmark="mmmb", style="parrot", language="tr")
    assert told.parts == ("D",)


def test_columns_of_a_table_that_nobody_reads_are_named(tmp_path):
    from support.benchmark_files import save_benchmark

    save_benchmark(tmp_path, questions=3, languages=("tr",))
    path = tmp_path / "MMMB_tr.tsv"
    head, *rows = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([f"{head}\tsystem\tcomment", *(f"{row}\tBe brief.\t-" for row in rows)]), "utf-8")
    with pytest.warns(ParrotWarning, match=r"does not read: system \(in 3\)\."):
        opened(path)
    streamed = {"index": 1, "question": "?", "A": "x", "answer": "A", "image_path": "a.png", "g_index": 1}
    assert [*MmmbFormat().unread(streamed)] == ["image_path"]


@pytest.mark.parametrize("said", ["pt-BR", "PT", "pt_br", "por"])
def test_languages_have_one_name_however_they_are_written(written, said):
    records = [{**llava("a", "b"), "language": said}, llava("a", "b")]
    mixture = opened(written(records), language="pt-PT")
    assert [dialogue.language for dialogue in (mixture[0], mixture[1])] == ["pt", "pt"]
    assert mixture.languages() == {"pt": 2}


def test_a_directory_is_all_its_files(tmp_path):
    from support.benchmark_files import save_benchmark

    save_benchmark(tmp_path, questions=3, languages=("tr", "ar"))
    mixture = opened(tmp_path, limit=4)
    assert mixture.languages() == {"ar": 3, "tr": 1}


# -- auto -----------------------------------------------------------------------------------------------------------


def test_auto_says_how_it_decided(written):
    assert "'from' and 'value'" in opened(written([llava("a", "b")])).sources[0].because


def test_auto_says_what_it_saw(written):
    with pytest.raises(DataError, match=r"'caption'.*\n.*known.*llava"):
        opened(written([{"caption": "a", "file": "b"}]))


def test_auto_passes_by_records_that_cannot_be_read(written, tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"broken\n' + json.dumps(llava("a", "b")) + "\n")
    mixture = opened(path, bad_samples="skip")
    assert len(mixture) == 1
    assert mixture.rejects.counts() == {"bad-record": 1}


def test_an_unknown_format_is_reported_with_the_nearest(written):
    with pytest.raises(UnknownNameError, match="Did you mean 'llava'"):
        opened(written([llava("a", "b")]), format="lava")


def test_a_format_of_a_plugin_is_asked_too(written, request):
    class Captions(DataFormat):
        def recognise(self, record):
            return "it has 'caption'" if "caption" in record else None

        def turns(self, record, files):
            return (Turn("user", (files.picture(record["file"]),)), Turn("assistant", (record["caption"],)))

    class Plugin:
        @pa.hookimpl
        def register_data_formats(self, register):
            register("captions", Captions)

    name = pa.plugins.register(Plugin(), "captions-plugin")
    request.addfinalizer(lambda: pa.plugins.manager.unregister(name))
    mixture = opened(written([{"caption": "a cat", "file": "b.png"}]))
    assert mixture.sources[0].format == "captions"
    assert mixture[0].turns[1].parts == ("a cat",)


def test_a_format_that_lacks_a_method_names_it_and_its_plugin(written, request):
    class Half(DataFormat):
        def recognise(self, record):
            return None

    class Plugin:
        @pa.hookimpl
        def register_data_formats(self, register):
            register("half", Half)

    name = pa.plugins.register(Plugin(), "half-plugin")
    request.addfinalizer(lambda: pa.plugins.manager.unregister(name))
    with pytest.raises(PluginError, match=r"(?s)'half' of half-plugin.*turns"):
        opened(written([llava("a", "b")]), format="half")


def test_a_plugin_that_offers_something_else_is_told_so(written, request):
    class Plugin:
        @pa.hookimpl
        def register_data_formats(self, register):
            register("odd", dict)

    name = pa.plugins.register(Plugin(), "odd-plugin")
    request.addfinalizer(lambda: pa.plugins.manager.unregister(name))
    with pytest.raises(PluginError, match="is none"):
        opened(written([llava("a", "b")]), format="odd")


def test_a_bad_format_of_a_plugin_stops_no_other(written, request):
    class Plugin:
        @pa.hookimpl
        def register_data_formats(self, register):
            register("odd", dict)

    name = pa.plugins.register(Plugin(), "odd-plugin")
    request.addfinalizer(lambda: pa.plugins.manager.unregister(name))
    with pytest.warns(pa.ParrotWarning, match=r"plugin +odd-plugin \(registered\)"):
        mixture = opened(written([llava("a", "b")]))
    assert mixture.sources[0].format == "llava"
    assert any(info.name == "odd-plugin" for info in pa.plugins.manager.failures())
