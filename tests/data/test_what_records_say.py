"""No field of a record is dropped in silence, no placeholder is trained on as text, no marked answer is learned."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest

from parrot_adapters.cli import main
from parrot_adapters.data import BadSample, Collator, DataSettings, Files, Mixture, Picture, SourceSettings, open_data
from parrot_adapters.data.dialogue import Turn
from parrot_adapters.data.dialogue_rules import check_turns
from parrot_adapters.errors import DataError, ParrotWarning


def chat(*said: str | dict, **more: Any) -> dict:
    """A record of messages; strings alternate between user and assistant."""
    names = ("user", "assistant")
    turns = [one if isinstance(one, dict) else {"role": names[n % 2], "content": one} for n, one in enumerate(said)]
    return {**more, "messages": turns}


def llava(*said: str, **more: Any) -> dict:
    names = ("human", "gpt")
    return {**more, "conversations": [{"from": names[n % 2], "value": one} for n, one in enumerate(said)]}


def opened(tmp_path: Path, *records: Any, strict: bool = False, skip: bool = False, **more: Any) -> Mixture:
    path = tmp_path / "data.json"
    path.write_text(json.dumps(records), "utf-8")
    source = SourceSettings(str(path), **more)
    return open_data(DataSettings((source,), strict=strict, bad_samples="skip" if skip else "error"), seed=0)


# -- fields ---------------------------------------------------------------------------------------------------------

UNREAD = {
    "tools": chat("a", "b", tools=[{"name": "f"}]),
    "messages.tool_calls": chat("a", {"role": "assistant", "content": "b", "tool_calls": [{"name": "f"}]}),
    "messages.reasoning_content": chat("a", {"role": "assistant", "content": "b", "reasoning_content": "c"}),
    "content.max_pixels": chat(
        {"role": "user", "content": [{"type": "image", "image": "a.png", "max_pixels": 9}]}, "b"
    ),
    "rejected_response": chat("a", "b", rejected_response="c"),
    "audios": llava("a", "b", audios=["a.wav"]),
    "images": llava("<image>a", "b", image="a.png", images=["b.png"]),
    "conversations.thought": {
        "conversations": [{"from": "human", "value": "a", "thought": "x"}, {"from": "gpt", "value": "b"}]
    },
    "title": {"image": "a.png", "caption": "b", "title": "c"},
    # what is said of a picture or video, wherever it is named
    "images.crop": chat("<image>a", "b", images=[{"path": "a.png", "crop": [0, 0, 1, 1]}]),
    "image.bbox": llava("<image>a", "b", image={"path": "a.png", "bbox": [1, 2]}),
    "content.image_url.max_pixels": chat(
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a.png", "max_pixels": 9}}]}, "b"
    ),
    "content.image": chat({"role": "user", "content": [{"type": "image", "path": "a.png", "image": "b.png"}]}, "b"),
    "videos.nframes": chat("<video>a", "b", videos=[{"frames": ["a.png"], "fps": 2, "nframes": 3}]),
    "video.frames.crop": {"video": {"frames": [{"path": "a.png", "crop": [1]}]}, "caption": "b"},
    # what is read only where it says something that can be heeded
    "label": llava("a", "b", label="rejected"),
    "lang": chat("a", "b", language="tr", lang="en"),
    "language": llava("a", "b", language=["tr"]),
    "messages.loss": chat({"role": "user", "content": "a", "loss": True}, "b"),
}


@pytest.mark.parametrize("field", UNREAD)
@pytest.mark.parametrize("streaming", [False, True])
def test_a_field_that_nothing_reads_is_named_and_counted(tmp_path: Path, field: str, streaming: bool) -> None:
    with pytest.warns(ParrotWarning, match=rf"does not read: {field} \(in {1 if streaming else 2}\)"):
        list(opened(tmp_path, UNREAD[field], UNREAD[field], streaming=streaming).batches(2, 0))
    with pytest.raises(DataError, match=rf"(?s){field}.*unread-field"):
        list(opened(tmp_path, UNREAD[field], strict=True, streaming=streaming).batches(2, 0))


def test_what_describes_a_record_or_is_empty_is_not_named(tmp_path: Path) -> None:
    record = chat("a", "b", source="x", width=3, tools=[], images=None, Score=1, id=7, rejected_response="", label=True)
    record |= {"language": "tr", "lang": "tr", "image": {"bytes": None, "path": "a.png", "detail": "low"}}
    record["messages"][0] |= {"content": "<image>a", "loss": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(opened(tmp_path, record, strict=True)) == 1


def test_data_check_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text(json.dumps([UNREAD["tools"]] * 3 + [chat("a", "b")]))
    assert main(["data", "check", str(tmp_path / "a.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unread_fields"] == {"tools": 3}
    assert main(["data", "check", str(tmp_path / "a.json")]) == 0
    assert "tools (in 3)" in capsys.readouterr().out
    assert main(["data", "check", str(tmp_path / "a.json"), "--json", "--strict"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"]["unread-field"]["count"] == 3


# -- a system prompt ------------------------------------------------------------------------------------------------


def test_a_system_prompt_beside_the_turns_opens_them_whatever_came_first(tmp_path: Path) -> None:
    plain, told = llava("a", "b"), llava("a", "b", system=" Be short. ")
    for records in ((plain, told), (told, plain)):
        made = opened(tmp_path, *records)
        with_it = made[records.index(told)].turns
        assert (with_it[0].role, with_it[0].parts) == ("system", ("Be short.",))
        assert len(made[records.index(plain)].turns) == 2
    assert opened(tmp_path, chat("a", "b", system="Be short."))[0].turns[0].parts == ("Be short.",)


def test_two_system_prompts_are_an_error_unless_they_are_one(tmp_path: Path) -> None:
    inside = {"role": "system", "content": "Be short."}
    turns = [inside, *chat("a", "b")["messages"]]
    assert len(opened(tmp_path, {"messages": turns, "system": "Be short."})[0].turns) == 3
    with pytest.raises(DataError, match="two system prompts"):
        opened(tmp_path, {"messages": turns, "system": "Be long."})
    with pytest.raises(DataError, match="no text but 3"):
        opened(tmp_path, {"messages": turns, "system": 3})


# -- what is learned ------------------------------------------------------------------------------------------------


def answer(text: str, **mark: Any) -> dict:
    return {"role": "assistant", "content": text, **mark}


NOT_LEARNED = [{"loss": False}, {"weight": 0}, {"weight": 0.0}, {"loss_weight": 0.0}, {"train": False}]


@pytest.mark.parametrize("mark", NOT_LEARNED)
def test_a_marked_answer_is_read_but_not_learned(tmp_path: Path, mark: dict) -> None:
    from support.chat_processors import llava as processor

    shown = processor()
    marked = chat("one", answer("WRONG", **mark), "two", answer("good", weight=1))
    batch = Collator(shown)([opened(tmp_path, marked)[0]])
    ids, labels = batch["input_ids"][0], batch["labels"][0]
    learned, everything = shown.tokenizer.decode(ids[labels != -100]), shown.tokenizer.decode(ids)
    assert "good" in learned
    assert "WRONG" not in learned
    assert "WRONG" in everything
    plain = Collator(shown)([opened(tmp_path, chat("one", "WRONG", "two", "good"))[0]])
    assert plain["input_ids"].equal(batch["input_ids"]), "a mark changes labels alone"


def test_turns_that_no_learned_answer_follows_are_left_out(tmp_path: Path) -> None:
    made = opened(tmp_path, chat("one", "good", "<image>two", answer("WRONG", loss=False), images=["a.png"]))
    assert [turn.parts for turn in made[0].turns] == [("one",), ("good",)]


def test_nothing_to_learn_and_marks_in_between_are_refused(tmp_path: Path) -> None:
    for record, says in (
        (chat("one", answer("WRONG", loss=False)), "marked as not to be learned"),
        (chat("one", "bad", label=False), "'label' is false"),
        (llava("one", "bad", label=False), "'label' is false"),
        (chat("one", answer("half", weight=0.5)), "only false, true, 0 and 1"),
        (chat("one", answer("half", loss="no")), "only false, true, 0 and 1"),
    ):
        with pytest.raises(DataError, match=says):
            opened(tmp_path, record)
    assert len(opened(tmp_path, chat("one", "good", label=True))) == 1


# -- placeholders ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        chat("<image>a", "b"),
        chat("<image>a", "b", images=[]),
        chat("<image>a", "b", "<image>c", "d", images=["a.png"]),
        chat({"role": "user", "content": [{"type": "text", "text": "<image>a"}]}, "b"),
        llava("Picture 1: <img>a.png</img>\na", "b"),
        llava("<image_1> a", "b"),
        llava('a <img class="big" src="a.png"/> b', "b"),
        chat("![the picture](pictures/a.JPG)\nwhat is it?", "b"),
        llava("<audio>a", "b"),
        chat({"role": "system", "content": "look at <video>"}, {"role": "user", "content": "a"}, answer("b")),
        {"image": "a.png", "caption": "<image> a cat"},
    ],
)
def test_a_placeholder_that_would_stay_text_is_an_error(tmp_path: Path, record: dict) -> None:
    good = llava("a", "b") if "conversations" in record else chat("a", "b")
    good = {"image": "a.png", "caption": "b"} if "caption" in record else good
    made = opened(tmp_path, record, record, good, skip=True)
    assert made.rejects.counts() == {"placeholder-mismatch": 2}


SIGNS = [
    *("<Image>", "< image >", "<image/>", "<image />", "<images>", "<image0>", "<image_placeholder>", "<ImageHere>"),
    *("<IMG_CONTEXT>", "<|image|>", "<|image_1|>", "<|vision_start|>", "<start_of_image>", "<image_soft_token>"),
    *(
        "<fake_token_around_image>",
        "[IMG]",
        "<frame>",
        "<speech>",
        '<image src="a.png">',
        "data:image/png;base64,iVBOR",
    ),
    *('![cat](a.png "of me")', "![](https://x/y?z=1)"),
]
WORDS = [
    *(
        "<b>",
        "<imagine>",
        "<imagery>",
        "<photosynthesis>",
        "<videogame>",
        "x[image]",
        "[image]",
        "[cat](a.png)",
        "!(a)",
    ),
    *("List<Frames<T>>", "a<image-size>b", "if image < start and end > 1:", "image/png", "[img] in BBCode"),
]


def test_whatever_stands_for_a_picture_is_told_from_words() -> None:
    def ask(said: str) -> None:
        check_turns([Turn("user", (f"{said} what?",)), Turn("assistant", ("b",))])

    for sign in SIGNS:
        with pytest.raises(BadSample, match="stands for no file"):
            ask(sign)
    for word in WORDS:
        ask(word)


def test_looking_for_placeholders_takes_linear_time() -> None:
    import time

    begun = time.process_time()
    for piece in ("<", "<1", "<s", "<image", "<image src", "![", "data:image/", "<|_ _"):
        check_turns([Turn("user", (piece * 100_000 + "\n",)), Turn("assistant", ("b",))])
    assert time.process_time() - begun < 5


def test_an_answer_may_be_about_html(tmp_path: Path) -> None:
    made = opened(tmp_path, chat("how do I show a clip?", "with <video src='a.mp4'> or <img>"))
    assert made[0].turns[1].parts == ("with <video src='a.mp4'> or <img>",)


@pytest.mark.parametrize("field", ["image", "images", "image_path", "image_paths"])
@pytest.mark.parametrize("record", [chat, llava])
def test_every_name_of_the_pictures(tmp_path: Path, field: str, record: Any) -> None:
    made = opened(tmp_path, record("<image>a", "b", **{field: "a.png"}))
    assert made[0].turns[0].parts == (Picture(str(tmp_path / "a.png")), "a")


def test_many_placeholders_take_linear_time(tmp_path: Path) -> None:
    import time

    begun = time.process_time()
    made = opened(tmp_path, llava("x<image>" * 20_000, "b", image=["a.png"] * 20_000))
    assert len(made[0].turns[0].parts) == 40_000
    assert time.process_time() - begun < 5


# -- where pictures are ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/etc/passwd", "../a.png", "sub/../../a.png", "file:///etc/passwd"])
def test_a_path_that_leads_out_is_refused_unless_it_is_allowed(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match=r"(?s)is not in .*outside"):
        opened(tmp_path, llava("<image>a", "b", image=path))
    (picture, _) = opened(tmp_path, llava("<image>a", "b", image=path), allow_outside=True)[0].turns[0].parts
    assert os.path.abspath(picture.path) == os.path.abspath(tmp_path / path.removeprefix("file://"))  # type: ignore


def test_a_path_within_is_fine_however_it_is_written(tmp_path: Path) -> None:
    for path in ("a.png", "./a.png", "sub/../a.png", str(tmp_path / "a.png"), f"file://{tmp_path}/a.png"):
        made = opened(tmp_path, llava("<image>a", "b", image=path))
        assert os.path.abspath(made[0].turns[0].parts[0].path) == str(tmp_path / "a.png")  # type: ignore[union-attr]


def test_folders_whose_names_begin_alike_are_two(tmp_path: Path) -> None:
    with pytest.raises(BadSample, match="outside"):
        Files(tmp_path / "pictures").picture(str(tmp_path / "pictures-of-others" / "a.png"))
    assert Files(tmp_path / "a", caches=(tmp_path / "b",)).picture(str(tmp_path / "b" / "c.png")).path is not None


@pytest.mark.parametrize("streaming", [False, True])
def test_a_folder_of_pictures_that_is_not_there_is_said_when_the_data_is_opened(
    tmp_path: Path, streaming: bool
) -> None:
    with pytest.raises(DataError, match=r"(?s)no such folder of pictures.*nowhere"):
        opened(tmp_path, llava("<image>a", "b", image="a.png"), images=str(tmp_path / "nowhere"), streaming=streaming)
