"""Option log-likelihoods: the fast path gives what a plain loop gives, on hosts of several kinds."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, awake
from support.chat_processors import llava, qwen2_vl
from support.option_hosts import OPTIONS, PROMPTS, MiniatureHost, naive, question
from support.tiers import late_unless

import parrot_adapters as pa
from parrot_adapters.errors import HostError, ParrotWarning
from parrot_adapters.evaluation.answers.askers import OptionAsker, choose, option_values
from parrot_adapters.evaluation.answers.batching import batches, prefetched, spread
from parrot_adapters.evaluation.answers.evaluate import _option_asker
from parrot_adapters.evaluation.answers.host_protocol import Answer
from parrot_adapters.evaluation.answers.option_scorer import OptionScorer
from parrot_adapters.evaluation.answers.reply_text import reply
from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost
from parrot_adapters.evaluation.scores.calibration import calibration, calibration_of

HOSTS = late_unless(
    ["llava", "qwen3_vl", "gemma3"],
    ["llava", "qwen2_vl", "qwen3_vl", "internvl", "idefics3", "gemma3", "paligemma"],
)


WAYS = ({}, {"packed": False}, {"shared": False})


@pytest.mark.parametrize("family", HOSTS)
@torch.no_grad()
def test_a_reply_is_as_likely_as_generate_found_it(family: str) -> None:
    """``generate`` is the judge of what a prompt sees: of PaliGemma's, each word the whole of it."""
    host = MiniatureHost(family)
    for index in PROMPTS:
        asked = question(index)
        tensors = host.on_device(host.encode([asked]).tensors)
        made = host.model.generate(
            **tensors, max_new_tokens=4, min_new_tokens=4, do_sample=True, temperature=100.0, output_logits=True,
            return_dict_in_generate=True,
        )  # fmt: skip
        ids = made.sequences[0, -4:].tolist()
        expected = sum(logits[0].float().log_softmax(-1)[i].item() for i, logits in zip(ids, made.logits, strict=True))
        asked.options = {"A": " ".join(map(str, ids))}
        for way in WAYS:
            [found] = OptionScorer(host, **way).score([asked], host.encode([asked]))
            assert found.scores["text"]["A"] == pytest.approx(expected, abs=2e-4), way


@pytest.mark.parametrize("family", HOSTS)
@pytest.mark.few(2)
def test_options_score_as_in_a_plain_loop(family: str) -> None:
    host = MiniatureHost(family)
    asked = [question(index) for index in PROMPTS]
    packed, rows = (OptionScorer(host, packed=packed).score(asked, host.encode(asked)) for packed in (True, False))
    for one, found, apart in zip(asked, packed, rows, strict=True):
        [alone] = OptionScorer(host).score([one], host.encode([one]))
        [whole] = OptionScorer(host, shared=False).score([one], host.encode([one]))
        for letter, text in OPTIONS.items():
            expected = naive(host, one, text), naive(host, one, letter)
            for scores in (found, apart, alone, whole):
                assert (scores.scores["text"][letter], scores.scores["letter"][letter]) == pytest.approx(
                    expected, abs=2e-4
                )
        assert found.scores["tokens"] == {"A": 3, "B": 1, "C": 5, "D": 2}


def test_many_options_are_scored_in_several_passes_of_one_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    from parrot_adapters.evaluation.answers import option_scorer as option_scores

    host, asked = MiniatureHost("llava"), [question(index) for index in PROMPTS]
    together = OptionScorer(host).score(asked, host.encode(asked))
    monkeypatch.setattr(option_scores, "PAIRS_PER_ROW", 1)  # three passes instead of one
    for one, other in zip(OptionScorer(host).score(asked, host.encode(asked)), together, strict=True):
        assert one.scores["text"] == pytest.approx(other.scores["text"], abs=2e-4)


def test_an_answer_taken_for_a_part_of_the_prompt_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The double: were a prefix host not known for one, the two paths would differ, and generate would be the judge."""
    from parrot_adapters.evaluation.answers import option_scorer as option_scores

    monkeypatch.setattr(option_scores, "PREFIX_HOSTS", frozenset())
    with pytest.warns(ParrotWarning, match="otherwise than generate does, so prompts are kept apart"):
        assert _option_asker(MiniatureHost("paligemma"), pairs()).scorer.shared


def test_where_no_way_is_right_none_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from parrot_adapters.evaluation.answers import option_scorer, packed_options

    monkeypatch.setattr(option_scorer, "PREFIX_HOSTS", frozenset())
    for path in (option_scorer, packed_options):
        monkeypatch.setattr(path, "cache_rows", lambda cache, rows: 1 / 0)
    with pytest.raises(HostError, match=r"no way to it gives(.|\n)*division(.|\n)*--scoring generate"):
        _option_asker(MiniatureHost("paligemma"), pairs())


@pytest.mark.parametrize("family", HOSTS)
def test_generate_made_to_write_an_option_finds_it_as_likely(family: str) -> None:
    host = MiniatureHost(family)
    for index in PROMPTS:
        letter, value = OptionScorer(host).as_generated(question(index))
        assert letter == "C"
        assert value == pytest.approx(naive(host, question(index), OPTIONS["C"]), abs=2e-4)


@pytest.mark.parametrize("shared", [True, False], ids=["one prompt", "whole prompts"])
def test_no_router_reads_an_option(shared: bool) -> None:
    """With an adapter, too, ``generate`` is the judge: it routes before there is an answer."""
    host, asked = MiniatureHost("llava"), question(0)
    host.adapter = awake(pa.attach(host.model, ADAPTER))
    letter, expected = OptionScorer(host).as_generated(asked)
    [found] = OptionScorer(host, shared=shared).score([asked], host.encode([asked]))
    assert found.scores["text"][letter] == pytest.approx(expected, abs=2e-4)
    with host.adapter.record_routing() as log, torch.no_grad():
        host.model(**host.encode([asked]).tensors)
    assert found.routing == pytest.approx(log[0].weights[0].tolist(), abs=1e-4)


def pairs() -> list:
    return [(question(index), str(index)) for index in PROMPTS]


def test_a_host_whose_cache_cannot_be_shared_computes_whole_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    from parrot_adapters.evaluation.answers import option_scorer, packed_options

    host = MiniatureHost("llava")
    right = OptionAsker(host, OptionScorer(host)).answer([question(0)], ["0"], host.encode([question(0)]))

    def unable(cache, rows):
        raise NotImplementedError("no rows")

    for path in (option_scorer, packed_options):
        monkeypatch.setattr(path, "cache_rows", unable)
    with pytest.warns(ParrotWarning, match="each is computed whole: it fails then .NotImplementedError: no rows."):
        asker = _option_asker(host, pairs())
    assert not asker.scorer.shared
    assert asker.same(asker.answer([question(0)], ["0"], host.encode([question(0)]))[0], right[0])


def test_a_host_that_gives_back_no_cache_computes_whole_prompts() -> None:
    host = MiniatureHost("llava")

    def forget(module: Any, args: Any, output: Any) -> Any:
        return type(output)(**{k: v for k, v in output.items() if k not in ("cache", "past_key_values")})

    host.model.register_forward_hook(forget)
    with pytest.warns(ParrotWarning, match=r"each is computed whole: its forward gives back no key-value cache$"):
        assert not _option_asker(host, pairs()).scorer.shared


def test_wrong_positions_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from parrot_adapters.evaluation.answers import option_scorer, packed_options

    def misplaced(*arguments: object) -> packed_options.Packed:
        packed = right(*arguments)
        return packed._replace(positions=torch.zeros_like(packed.positions))

    right = packed_options._packed
    monkeypatch.setattr(packed_options, "_packed", misplaced)
    monkeypatch.setattr(option_scorer, "_positions", lambda mask: torch.zeros_like(mask).long())
    with pytest.warns(ParrotWarning, match="differ from those of whole prompts"):
        assert not _option_asker(MiniatureHost("llava"), pairs()).scorer.shared


def test_numbers_that_are_none_are_an_error() -> None:
    host = MiniatureHost("llava")
    with torch.no_grad():
        host.model.get_output_embeddings().weight[60] = float("nan")
    with pytest.raises(HostError, match="not finite"):
        OptionScorer(host).score([question(0)], host.encode([question(0)]))


def test_an_option_without_tokens_is_an_error() -> None:
    host = MiniatureHost("llava")
    with pytest.raises(HostError, match="no tokens for the option '  '"):
        OptionScorer(host).score([question(0, {"A": "  "})], host.encode([question(0)]))


@pytest.mark.parametrize(("made", "before"), [(llava, " "), (qwen2_vl, "")], ids=["a colon", "a line end"])
def test_an_option_is_written_as_an_answer_behind_its_prompt(made: Any, before: str) -> None:
    processor = made()
    asked, told = ({"role": role, "content": [{"type": "text", "text": "cat"}]} for role in ("user", "assistant"))
    prompt = processor.apply_chat_template([asked], add_generation_prompt=True)
    assert processor.apply_chat_template([asked, told]).startswith(f"{prompt}{before}cat")
    ids = processor.tokenizer(f"{before}cat", add_special_tokens=False)["input_ids"]
    assert OptionScorer(EvaluationHost(torch.nn.Identity(), processor)).ids("cat") == tuple(ids)


def test_length_normalisation() -> None:
    scores = {
        "letter": {"A": -1.0, "B": -0.5},
        "text": {"A": -6.0, "B": -4.0},
        "tokens": {"A": 3.0, "B": 1.0},
    }
    options = {"A": "кот", "B": "абвг"}  # 6 and 8 bytes
    assert option_values(scores, "letter", options) == {"A": -1.0, "B": -0.5}
    assert option_values(scores, "text", options) == {"A": -6.0, "B": -4.0}
    assert option_values(scores, "text-per-token", options) == {"A": -2.0, "B": -4.0}
    assert option_values(scores, "text-per-byte", options) == {"A": -1.0, "B": -0.5}
    assert choose({"B": -1.0, "A": -1.0, "C": -2.0}) == "A"


def test_confidence_is_the_softmax_of_the_letters() -> None:
    """Of the letters alone: what the model would rather have written is no part of it."""
    asked = [SimpleNamespace(subset="MMMB_en", row=SimpleNamespace(answer=answer)) for answer in ("A", "B", None)]
    letters = {"A": math.log(0.6) - 5, "B": math.log(0.2) - 5}
    run = SimpleNamespace(questions=asked, answers=[Answer(None, scores={"letter": letters})] * 3)
    (found,) = calibration_of(run).values()
    assert [(b.rows, b.confidence, b.accuracy) for b in found.bins] == [(2, pytest.approx(0.75), 0.5)]
    assert found.error == pytest.approx(0.25)
    sure = calibration([(1.0, True), (0.95, False), (0.0, False)])
    assert [(b.low, b.high, b.rows) for b in sure.bins] == [(0.0, 0.1, 1), (0.9, 1.0, 2)]
    assert sure.error == pytest.approx(2 * (0.975 - 0.5) / 3)


def test_thoughts_are_part_of_a_reply_where_they_are_kept() -> None:
    said = Answer("<think>A or B?</think> B")
    assert reply(question(0), said, think="keep", option_score="letter") == "<think>A or B?</think> B"
    assert reply(question(0), said, think="strip", option_score="letter") == "B"


def test_batches_are_ordered_by_length_and_kind() -> None:
    made = batches(list("abcdef"), [3, 9, 4, 8, 1, 7], 2, [1, 1, 1, 1, 1, 0])
    assert made == [["f"], ["b", "d"], ["c", "a"], ["e"]]
    pictures = [0, 1, 0, 1, 1, 0]
    assert batches(list("abcdef"), [3, 9, 4, 8, 1, 7], 3, [1] * 6, pictures) == [["b", "d", "e"], ["f", "c", "a"]]
    assert batches(list("abcdef"), [3, 9, 4, 8, 1, 7], 5, [1] * 6, pictures) == [["b", "d", "e"], ["f", "c", "a"]]
    assert batches(list("abcdef"), [3, 9, 4, 8, 1, 7], 2, [1] * 6, pictures) == [["b", "d"], ["e", "f"], ["c", "a"]]
    assert spread(list(range(10)), 4) == [0, 3, 6, 9]
    assert spread([1, 2], 4) == [1, 2]


def test_prefetching_keeps_order_and_raises_here() -> None:
    assert [ready for _, ready in prefetched([1, 2, 3, 4], lambda n: n * n)] == [1, 4, 9, 16]

    def fails(n: int) -> int:
        if n == 3:
            raise ValueError("three")
        return n

    made = prefetched([1, 2, 3, 4], fails)
    assert [next(made), next(made)] == [(1, 1), (2, 2)]
    with pytest.raises(ValueError, match="three"):
        next(made)
