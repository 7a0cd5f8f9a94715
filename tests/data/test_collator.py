"""Prompts are tokenised as inference does, answers and their ends are learned, and nothing else is.

The oracle re-tokenises every turn's prefix with ``processor.apply_chat_template`` and knows nothing of the collator.
"""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chat_processors import (
    CHATML,
    CHATML_TOKENS,
    GEMMA,
    IDEFICS,
    MERGES,
    PLAIN,
    PROCESSORS,
    THINKING,
    TIGHT,
    llama,
    llava,
    qwen2_vl,
    sentencepiece,
)
from support.random_dialogues import dialogues, messages, picture
from support.tiers import late_unless

from parrot_adapters.data import BadSample, Collator, Dialogue, Picture, Turn, Video
from parrot_adapters.errors import DataError, MissingDependencyError
from parrot_adapters.testing import byte_tokenizer

collator = functools.cache(lambda name, side="right": Collator(PROCESSORS[name](), padding_side=side))
END = {
    "qwen2_vl": "<|im_end|>",
    "qwen thinking": "<|im_end|>",
    "gemma3": "<end_of_turn>",
    "idefics3": "<end_of_utterance>",
}
# What only the last answer of a dialogue can be exact about, by design of the template or the vocabulary.
LAST_ONLY, FIRST_ONLY = {"qwen thinking"}, {"llava merging"}
EXACT = [name for name in PROCESSORS if name not in LAST_ONLY | FIRST_ONLY]


def inference_ids(processor: Any, turns: Any) -> list[int]:
    """What the host is given to answer the last of some turns."""
    made = processor.apply_chat_template(
        messages(turns), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    return made["input_ids"][0].tolist()


def rows(batch: dict[str, Any]) -> list[tuple[list[int], list[int]]]:
    """Ids and labels of each row, without padding; padding has no labels."""
    mask = batch["attention_mask"].bool()
    assert (batch["labels"][~mask] == -100).all()
    return [
        (ids[m].tolist(), lab[m].tolist())
        for ids, lab, m in zip(batch["input_ids"], batch["labels"], mask, strict=True)
    ]


def check_row(name: str, processor: Any, dialogue: Dialogue, ids: list[int], labels: list[int]) -> None:
    """One row against the oracle."""
    answers = [n for n, turn in enumerate(dialogue.turns) if turn.role == "assistant"]
    exact = answers[-1:] if name in LAST_ONLY else answers[:1] if name in FIRST_ONLY else answers
    tokenizer = processor.tokenizer
    assert [i for i, label in enumerate(labels) if label not in (-100, ids[i])] == [], "a label is its own token"
    begins = {}
    for number in exact:
        prompt = inference_ids(processor, dialogue.turns[:number])
        assert ids[: len(prompt)] == prompt, "the prompt is tokenised as inference does"
        begins[number] = len(prompt)
    expected = [False] * len(ids)
    for number in exact:
        begin, said = begins[number], dialogue.turns[number].parts[0].strip()
        end = begin + 1
        while said not in tokenizer.decode(ids[begin:end]):
            end += 1
        last = number == answers[-1]
        if name in END or last:
            assert tokenizer.decode(ids[end : end + 1]) == END.get(name, "</s>"), "an answer ends"
            end += 1
        elif ids[end] == tokenizer.eos_token_id:
            end += 1
        expected[begin:end] = [True] * (end - begin)
    learned = [label != -100 for label in labels]
    if name in FIRST_ONLY and len(answers) > 1:  # what follows is tokenised by the vocabulary's own lights
        stop = len(expected) - expected[::-1].index(True)
        learned, expected = learned[:stop], expected[:stop]
    assert learned == expected, "answers and their ends are learned, and nothing else"


@pytest.mark.parametrize(
    ("name", "side"),
    late_unless(
        [(name, "left" if name == "llava" else "right") for name in PROCESSORS],
        [(name, side) for name in PROCESSORS for side in ("right", "left")],
    ),
)
@settings(deadline=None)
@given(batch=st.lists(dialogues(), min_size=1, max_size=3))
@pytest.mark.few(4)
def test_random_dialogues(name: str, side: str, batch: list[Dialogue]) -> None:
    made = collator(name, side)(batch)
    found = rows(made)
    assert len(found) == len(batch) == len(made["parrot_languages"])
    for dialogue, (ids, labels) in zip(batch, found, strict=True):
        check_row(name, collator(name, side).processor, dialogue, ids, labels)


ASKED = Turn("user", (picture(16, 16), "what is it?"))
TWICE = Dialogue(
    "t",
    "f",
    None,
    (
        ASKED,
        Turn("assistant", ("a cat",)),
        Turn("user", ("and ", picture(40, 16), " this?", picture(8, 8))),
        Turn("assistant", ("a cat",)),
        Turn("user", ("sure?",)),
        Turn("assistant", ("a cat",)),
    ),
)


@pytest.mark.parametrize("name", EXACT)
def test_the_oracle_bites(name: str) -> None:
    processor = collator(name).processor
    ((ids, labels),) = rows(collator(name)([TWICE]))
    check_row(name, processor, TWICE, ids, labels)
    first = next(i for i, label in enumerate(labels) if label != -100)
    for wrong in (
        [*labels[1:], -100],  # shifted
        [-100 if i == first else label for i, label in enumerate(labels)],  # the first word is not learned
        [ids[i] if i == first - 1 else label for i, label in enumerate(labels)],  # the header is
        [*labels[:-1], -100],  # the end of the last turn is not
        [-100] * len(labels),
    ):
        with pytest.raises(AssertionError):
            check_row(name, processor, TWICE, ids, wrong)
    with pytest.raises(AssertionError):
        check_row(name, processor, TWICE, [*ids[:3], 200, *ids[4:]], labels)


@pytest.mark.parametrize("name", ["llava_next", "qwen2_vl", "gemma3"])
def test_the_same_words_between_many_pictures(name: str) -> None:
    """Pictures are wider than what is said between them: one turn's words may stand where another's are sought."""
    turns = (Turn("user", (picture(40, 40), "?")), Turn("assistant", ("a",))) * 4
    ((ids, labels),) = rows(collator(name)([Dialogue("t", "f", None, turns)]))
    check_row(name, collator(name).processor, Dialogue("t", "f", None, turns), ids, labels)


@pytest.mark.parametrize("name", PROCESSORS)
def test_left_and_right_differ_in_nothing_else(name: str) -> None:
    short = Dialogue("s", "f", None, (Turn("user", ("hi",)), Turn("assistant", ("ho",))))
    left, right = collator(name, "left")([TWICE, short]), collator(name)([TWICE, short])
    assert rows(left) == rows(right)
    assert left.keys() == right.keys()
    assert not torch.equal(left["input_ids"], right["input_ids"])


@pytest.mark.parametrize("name", PROCESSORS)
def test_pictures_are_the_processors_own(name: str) -> None:
    """A text-only row in between neither takes nor moves a picture."""
    text = Dialogue("s", "f", None, (Turn("user", ("hi",)), Turn("assistant", ("ho",))))
    mixed, alone = collator(name)([text, TWICE, text]), collator(name)([TWICE])
    if name == "idefics3":  # one row of pictures a row of text
        assert torch.equal(mixed["pixel_values"][1], alone["pixel_values"][0])
    else:
        assert torch.equal(mixed["pixel_values"], alone["pixel_values"])
    assert "pixel_values" not in collator(name)([text, text])


def test_a_border_that_the_tokenizer_would_merge_is_kept() -> None:
    made = llava(TIGHT, MERGES)
    dialogue = Dialogue("m", "f", None, (Turn("user", (picture(16, 16), "ok?")), Turn("assistant", ("yes",))))
    whole = made.tokenizer("assistant:yes")["input_ids"]
    assert made.tokenizer.convert_tokens_to_ids(":y") in whole, "this vocabulary does merge them"
    ((ids, labels),) = rows(Collator(made)([dialogue]))
    prompt = inference_ids(made, dialogue.turns[:1])
    assert ids[: len(prompt)] == prompt
    assert made.tokenizer.decode([i for i in labels if i != -100]) == "yes</s>"


def test_a_border_that_is_kept_brings_no_space_along() -> None:
    """Tokenizers of this kind put one in front of any text by itself; the answer follows its prompt."""
    made = sentencepiece((":", "▁"))
    dialogue = Dialogue("m", "f", None, (Turn("user", (picture(16, 16), "ok?")), Turn("assistant", ("yes",))))
    assert ":▁" in made.tokenizer.tokenize("ASSISTANT: yes"), "this vocabulary does merge them"
    ((ids, labels),) = rows(Collator(made)([dialogue]))
    prompt = inference_ids(made, dialogue.turns[:1])
    assert ids[: len(prompt)] == prompt
    learned = made.tokenizer.convert_ids_to_tokens([i for i in labels if i != -100])
    assert learned == ["▁", "y", "es", "</s>"]


def test_values_per_position_follow_a_border_that_was_kept() -> None:
    made = qwen2_vl(TIGHT.replace("<image>", "<|image_pad|>"))
    special = (*CHATML_TOKENS, "<|video_pad|>", "<s>", "</s>", "<filler>")
    made.tokenizer = byte_tokenizer(special, MERGES, bos_token="<s>", eos_token="</s>")
    made.tokenizer.pad_token = "<filler>"  # whose id is not that of all other fillers, 0
    asked = Turn("user", (picture(16, 16), "ok?"))
    again = (Turn("user", (picture(40, 40), "b")), Turn("assistant", (":)",)))
    rest = {"long": again, "short": ()}
    both = [Dialogue(n, "f", None, (asked, Turn("assistant", ("yes",)), *more)) for n, more in rest.items()]
    for side in ("left", "right"):
        batch = Collator(made, padding_side=side)(both)
        image = made.tokenizer.convert_tokens_to_ids("<|image_pad|>")
        assert torch.equal(batch["mm_token_type_ids"] == 1, batch["input_ids"] == image)
        assert torch.equal(batch["attention_mask"].bool(), batch["input_ids"] != made.tokenizer.pad_token_id)


def test_a_template_that_forgets_thoughts_leaves_the_last_answer() -> None:
    ((ids, labels),) = rows(collator("qwen thinking")([TWICE]))
    learned = collator("qwen thinking").tokenizer.decode([i for i in labels if i != -100])
    assert learned == "\n</think>\n\na cat<|im_end|>"
    assert ids[: len(prompt := inference_ids(collator("qwen thinking").processor, TWICE.turns[:-1]))] == prompt


def test_an_answer_that_the_template_cuts_short_later_is_not_learned_there() -> None:
    """What is shown of it then is not what was answered."""
    text = "{{ p['text'] if whole else p['text'].split('|')[-1] }}"
    template = TIGHT.replace(
        "{{ '<image>' if p['type'] == 'image' else p['text'] }}",
        f"{{% if p['type'] == 'image' %}}<image>{{% else %}}{text}{{% endif %}}",
    ).replace("{% for m in messages %}", "{% for m in messages %}{% set whole = loop.last or m['role'] == 'user' %}")
    made = llava(template)
    turns = (ASKED, Turn("assistant", ("hm|cat",)), Turn("user", ("sure?",)), Turn("assistant", ("so|yes",)))
    ((ids, labels),) = rows(Collator(made)([Dialogue("m", "f", None, turns)]))
    assert "assistant:cat</s>" in made.tokenizer.decode(ids)
    assert made.tokenizer.decode([i for i in labels if i != -100]) == "so|yes</s>"


def test_without_a_template_prompts_are_the_evaluations() -> None:
    from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost

    made = llava()
    made.chat_template = None
    host = EvaluationHost.__new__(EvaluationHost)
    host.processor, host._signs = made, ()
    dialogue = Dialogue("m", "f", None, (ASKED, Turn("assistant", ("yes",))))
    from parrot_adapters.data.chat_text import ChatText

    written = ChatText(made).write(dialogue.turns)
    assert written.text[: written.answers[0][0]] == host.render("what is it?", 1)
    assert written.text[slice(*written.answers[0])].strip() == "yes</s>"


def test_a_generation_prompt_unlike_a_finished_answer() -> None:
    """The prompt is inference's, what follows is the template's answer."""
    finished = "{% if m['role'] == 'assistant' %}{{ 'Answer is ' }}{% endif %}{% for p in m['content'] %}"
    template = TIGHT.replace("{% for p in m['content'] %}", finished).replace(
        "{{ 'assistant:' }}", "{{ 'assistant:Answer= ' }}"
    )
    made = llava(template)
    dialogue = Dialogue("m", "f", None, (ASKED, Turn("assistant", ("Answer is 3",))))
    ((ids, labels),) = rows(Collator(made)([dialogue]))
    prompt = inference_ids(made, dialogue.turns[:1])
    assert ids[: len(prompt)] == prompt
    assert made.tokenizer.decode([i for i in labels if i != -100]) == "Answer is 3</s>"


def test_templates_that_want_strings_get_strings() -> None:
    template = (
        "{% for m in messages %}{% if m['role'] == 'user' %}u:{% for p in m['content'] %}"
        "{{ '<image>' if p['type'] == 'image' else p['text'] }}{% endfor %}"
        "{% else %}{{ m['role'] + ':' + m['content'] }}{% endif %}</s>{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
    )
    dialogue = Dialogue("m", "f", None, (Turn("system", ("S",)), ASKED, Turn("assistant", ("yes",))))
    ((ids, _),) = rows(Collator(llava(template))([dialogue]))
    text = llava(template).tokenizer.decode(ids)
    assert text.startswith("<s>system:S</s>u:<image>")
    assert text.endswith("what is it?</s>assistant:yes</s>")


def test_the_longest_sample_may_be_as_long_as_is_allowed() -> None:
    size = collator("llava").length(TWICE)
    assert int(Collator(llava(), max_length=size)([TWICE])["attention_mask"].sum()) == size
    with pytest.raises(DataError, match=f"{size} tokens; at most {size - 1} are allowed"):
        Collator(llava(), max_length=size - 1)([TWICE])


def test_languages_and_identities_are_the_rows() -> None:
    turns = (ASKED, Turn("assistant", ("x",)))
    made = collator("llava")([Dialogue("a", "f", "tr", turns), Dialogue("b", "f", None, turns)])
    assert (made["parrot_identities"], made["parrot_languages"]) == (["a", "b"], ["tr", None])


def test_measuring_opens_no_picture_where_all_get_as_many_tokens() -> None:
    dialogue = Dialogue(
        "m", "f", None, (Turn("user", (Picture(path="/nowhere/p.png"), "x")), Turn("assistant", ("y",)))
    )
    assert collator("llava").length(dialogue) == len("<s>USER: ") - 2 + 16 + len("\nx ASSISTANT: y") + 1
    with pytest.raises(BadSample, match="missing-image"):
        collator("qwen2_vl").length(dialogue)


def test_hostile_white_space_takes_no_time() -> None:
    import time

    from parrot_adapters.data.chat_text import ChatText

    for name in ("llava", "qwen2_vl"):
        words = "a" + " \n" * 50_000 + "b"
        begun = time.process_time()
        written = ChatText(collator(name).processor).write((Turn("user", (words,)), Turn("assistant", (words,))))
        assert words in written.text[slice(*written.answers[0])]
        assert time.process_time() - begun < 2


def test_length_is_the_number_of_tokens() -> None:
    for name in ("llava", "qwen2_vl", "llava_next", "idefics3"):
        made = collator(name)([TWICE])
        assert collator(name).length(TWICE) == int(made["attention_mask"].sum())


# -- bad samples ----------------------------------------------------------------------------------------------------

GOOD = Dialogue("good", "f.json", "tr", (ASKED, Turn("assistant", ("x",))), number=0)


def bad(kind: str) -> Dialogue:
    asked: dict[str, tuple] = {
        "missing-image": (Picture(path="/nowhere/cat.png"), "what?"),
        "broken-image": (Picture(data=picture(40, 40).data[:60]), "what?"),
        "over-long": ("word " * 300,),
        "control-token": ("what does <image> mean?",),
        "bad-video": (Video("/nowhere/a.mp4"), "what?"),
        "template": ("what?",),
    }
    return Dialogue(f"bad {kind}", "f.json", None, (Turn("user", asked[kind]), Turn("assistant", ("x",))), number=7)


KINDS = ["missing-image", "broken-image", "over-long", "control-token", "bad-video"]


@pytest.mark.parametrize("kind", KINDS)
def test_error_names_file_sample_and_reason(kind: str) -> None:
    with pytest.raises(DataError) as caught:
        Collator(llava(), max_length=200)([GOOD, bad(kind)])
    for named in ("f.json", f"bad {kind}", kind, "parrot data check"):
        assert named in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_skip_drops_the_sample_and_nothing_else(kind: str, tmp_path) -> None:
    skipping = Collator(llava(), max_length=200, bad_samples="skip", rejects=tmp_path / "rejects.jsonl")
    made, alone = skipping([bad(kind), GOOD, bad(kind)]), skipping([GOOD])
    assert made.keys() == alone.keys()
    for name, value in alone.items():
        assert torch.equal(made[name], value) if isinstance(value, torch.Tensor) else made[name] == value
    assert skipping.rejects.counts() == {kind: 1}
    (line,) = (tmp_path / "rejects.jsonl").read_text().splitlines()
    import json

    entry = json.loads(line)
    assert (entry["source"], entry["number"], entry["identity"]) == ("f.json", 7, f"bad {kind}")
    assert entry["reason"]


def test_a_batch_that_loses_everything_adds_nothing() -> None:
    skipping = Collator(llava(), bad_samples="skip")
    for made in (skipping([bad("missing-image")]), skipping([])):
        assert made["input_ids"].shape[0] == 1 == len(made["parrot_languages"])
        assert (made["labels"] == -100).all()
        assert "pixel_values" not in made


def test_what_a_processor_refuses_is_told_apart() -> None:
    class Picky(type(llava())):
        def __call__(self, images=None, text=None, **more):
            if any("poison" in one for one in text):
                raise ValueError("cannot stand this")
            return super().__call__(images=images, text=text, **more)

    made = llava()
    made.__class__ = Picky
    poison = Dialogue("p", "f", None, (Turn("user", ("poison",)), Turn("assistant", ("x",))))
    skipping = Collator(made, bad_samples="skip")
    assert skipping([GOOD, poison])["parrot_identities"] == ["good"]
    assert skipping.rejects.counts() == {"processor": 1}
    with pytest.raises(DataError, match="cannot stand this"):
        Collator(made)([GOOD, poison])


def test_a_missing_package_is_not_the_samples_fault() -> None:
    class Lacking(type(llava())):
        def __call__(self, images=None, text=None, **more):
            raise ImportError("torchcodec is not installed")

    made = llava()
    made.__class__ = Lacking
    with pytest.raises(MissingDependencyError, match="torchcodec"):
        Collator(made, bad_samples="skip")([GOOD])


def test_control_tokens_that_frame_nothing_may_be_learned() -> None:
    made = qwen2_vl()
    special = (*CHATML_TOKENS, "<|video_pad|>", "<|endoftext|>", "<|box_start|>", "<|box_end|>")
    made.tokenizer = byte_tokenizer(special, eos_token="<|im_end|>")
    boxed = "<|box_start|>(1,2)<|box_end|>"
    ((_, labels),) = rows(Collator(made)([Dialogue("b", "f", None, (ASKED, Turn("assistant", (boxed,))))]))
    assert made.tokenizer.decode([i for i in labels if i != -100]) == boxed + "<|im_end|>"
    for framing in ("<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>", "<pad>"):
        with pytest.raises(DataError, match="control-token"):
            Collator(made)([Dialogue("b", "f", None, (Turn("user", (f"a {framing}",)), Turn("assistant", ("x",))))])


def test_control_tokens_of_other_hosts_are_plain_text() -> None:
    html = Dialogue("h", "f", None, (Turn("user", ("is <image> a tag?",)), Turn("assistant", ("no, <img> is",))))
    ((_, labels),) = rows(collator("qwen2_vl")([html]))
    assert collator("qwen2_vl").tokenizer.decode([i for i in labels if i != -100]) == "no, <img> is<|im_end|>"


def test_errors_cross_a_worker_process() -> None:
    from torch.utils.data import DataLoader

    loader = DataLoader([GOOD, bad("missing-image")], batch_size=2, collate_fn=Collator(llava()), num_workers=1)
    with pytest.raises(DataError, match="missing-image"):
        list(loader)


def test_nothing_was_forgotten() -> None:
    assert {PLAIN, TIGHT, CHATML, GEMMA, IDEFICS, THINKING} == {collator(n).processor.chat_template for n in PROCESSORS}
    assert llama()("x")["input_ids"][0] == 1, "this tokenizer puts <s> in front by itself"
