"""Options packed into rows behind prefixes that questions share: what each scores alone, and nothing computed twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from miniatures import BOS, Image
from miniatures.prompts import Prompt
from support.option_hosts import OPTIONS, MiniatureHost, naive, question
from support.tiers import late_unless

import parrot_adapters as pa
from parrot_adapters.evaluation.answers import packed_options
from parrot_adapters.evaluation.answers.option_scorer import OptionScorer
from parrot_adapters.hosts.host_parts import find_parts
from parrot_adapters.hosts.linear_layers import decoder_layers
from parrot_adapters.hosts.output_rows import OutputRows

# Of three pictures: four questions that differ at once, late, or not at all; one with another picture beside it.
PROMPTS: Mapping[int, Prompt] = {
    0: (BOS, 20, Image(0), 22, 23, 24),
    1: (BOS, 20, Image(0), 22, 23, 25, 26, 27),
    2: (BOS, 20, Image(0), 30),
    3: (BOS, 20, Image(0), 22, 23, 24),
    4: (BOS, 21, Image(0), 22, 23, 24),
    5: (BOS, Image(1), 25, 26),
    6: (BOS, Image(2), 31, Image(1), 32),
    7: (BOS, Image(2), 31, Image(1), 33, 34),
    8: (BOS, Image(2), 35, Image(1), 33, 34),
    9: (BOS, 41, 42),
}
FAMILIES = late_unless(["qwen3_vl"], ["llava", "qwen2_vl", "qwen3_vl", "internvl", "idefics3", "gemma3"])


def asked_of(indices: Sequence[int], languages: Sequence[str | None] = (None,)) -> list[Any]:
    """Questions, their options in turned orders, their languages in turn."""
    texts = list(OPTIONS.values())
    return [
        question(
            index,
            {letter: texts[(place + index) % 4] for place, letter in enumerate("ABCD")},
            PROMPTS,
            languages[number % len(languages)],
        )
        for number, index in enumerate(indices)
    ]


def score(host: MiniatureHost, asked: Sequence[Any]) -> tuple[list[Any], list[tuple[int, int]]]:
    """Answers, and the rows and tokens of each pass through the language model."""
    sizes: list[tuple[int, int]] = []
    parts = find_parts(host.model)
    layers = decoder_layers(parts)[1]
    hook = layers[0].register_forward_pre_hook(
        lambda _, args, kwargs: sizes.append(tuple((args[0] if args else kwargs["hidden_states"]).shape[:2])),
        with_kwargs=True,
    )
    scorer = OptionScorer(host)
    answers = scorer.score(asked, scorer.encode(asked))
    hook.remove()
    return answers, sizes


def require_as_alone(host: MiniatureHost, asked: Sequence[Any], answers: Sequence[Any], within: float = 2e-4) -> None:
    for one, found in zip(asked, answers, strict=True):
        texts, letters = found.scores["text"], found.scores["letter"]
        for letter, text in one.options.items():
            expected = naive(host, one, text), naive(host, one, letter)
            assert (texts[letter], letters[letter]) == pytest.approx(expected, abs=within), (one.index, letter)


def attach(host: MiniatureHost, **settings: Any) -> MiniatureHost:
    """The host with an adapter whose every weight has been drawn."""
    settings = {"expert_hidden_size": 16, "num_experts": 3, **settings}
    host.adapter = pa.attach(host.model, pa.AdapterConfig(**settings))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in host.adapter.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return host


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=4, deadline=None)
@given(indices=st.lists(st.sampled_from(sorted(PROMPTS)[:9]), min_size=1, max_size=6))
@pytest.mark.few(1)
def test_a_batch_scores_as_a_loop_does(family: str, indices: list[int]) -> None:
    host = MiniatureHost(family, PROMPTS)
    asked = asked_of(indices)
    answers, sizes = score(host, asked)
    assert len(sizes) == 2  # the prefixes, then all options of all questions
    require_as_alone(host, asked, answers)


def test_text_alone_is_scored_too() -> None:
    host = MiniatureHost("llava", PROMPTS)
    answers, _ = score(host, asked_of([9, 9]))
    require_as_alone(host, asked_of([9, 9]), answers)


def test_what_questions_share_is_computed_once() -> None:
    """Of the pictures 0 and (2, 1): prefixes of 19 and 34 tokens; 4 differs before its picture, 8 between its two."""
    host = MiniatureHost("llava", PROMPTS)
    long = len(_tokens(host, 0))
    _, sizes = score(host, asked_of([0, 1, 2, 3]))
    assert sizes[0] == (1, long - 3)  # to where 2 says something else
    _, sizes = score(host, asked_of([6, 7]))
    assert sizes[0] == (1, len(_tokens(host, 6)) - 1)
    for apart in ([0, 4], [6, 8], [0, 5], [9, 9]):
        _, sizes = score(host, asked_of(apart))
        assert sizes[0][0] == 2, apart


def _tokens(host: MiniatureHost, index: int) -> Any:
    return host.encode(asked_of([index])).tensors["input_ids"][0]


ALIKE = [
    ({"router": "uniform"}, 1),
    ({"router": "visual-only"}, 1),
    ({"router": "language-id", "router_options": {"languages": ["en", "tr"]}}, 2),  # en and tr are asked, each twice
    ({}, 4),  # the router reads every word
    ({"placement": "layers", "router": "uniform", "layer_rank": 2}, 1),
    ({"placement": "layers", "layer_rank": 2}, 4),
]


@pytest.mark.parametrize(
    ("settings", "prefixes"), late_unless([*ALIKE[2:4], ALIKE[5]], ALIKE), ids=lambda value: str(value)
)
def test_rewritten_pictures_are_shared_where_routing_agrees_and_nowhere_else(settings: dict, prefixes: int) -> None:
    """Prompts 0 to 3 ask about one picture. Alone and together, each is routed by its own words and language."""
    host = attach(MiniatureHost("llava", PROMPTS), **settings)
    asked = asked_of([0, 1, 2, 0], ("en", "tr")) if prefixes != 4 else asked_of([0, 1, 2, 4], ("en", "tr"))
    answers, sizes = score(host, asked)
    assert (len(sizes), sizes[0][0]) == (2, prefixes)
    require_as_alone(host, asked, answers)
    for one, found in zip(asked, answers, strict=True):
        with host.watched(host.encode([one])) as log, torch.no_grad():
            host.model(**host.on_device(host.encode([one]).tensors))
        assert found.routing == pytest.approx(log.rows(1)[0], abs=1e-5)


@pytest.mark.parametrize("family", late_unless(["qwen3_vl"], ["qwen3_vl", "idefics3", "gemma3"]))
def test_adapters_on_other_hosts(family: str) -> None:
    for router, rows in (("uniform", 3), ("text-guided", 5)):
        host = attach(MiniatureHost(family, PROMPTS), router=router)
        asked = asked_of([0, 1, 6, 7, 5])
        answers, sizes = score(host, asked)
        assert sizes[0][0] == rows
        require_as_alone(host, asked, answers)


def test_half_precision_differs_by_rounding_alone() -> None:
    host = MiniatureHost("llava", PROMPTS, torch.bfloat16)
    asked = asked_of([0, 1, 2, 5])
    answers, _ = score(host, asked)
    require_as_alone(host, asked, answers, within=0.25)


def test_an_adapter_that_is_off_or_rewrites_nothing_shares_everything() -> None:
    host = attach(MiniatureHost("llava", PROMPTS))
    with host.adapter.disabled():
        answers, sizes = score(host, asked_of([0, 1, 2]))
        assert sizes[0][0] == 1
        require_as_alone(host, asked_of([0, 1, 2]), answers)


def test_sharing_what_differs_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The double: rows are said to be alike that are not."""
    monkeypatch.setattr(OutputRows, "same", lambda self, one, other: True)
    host = attach(MiniatureHost("llava", PROMPTS))
    asked = asked_of([0, 1, 2])
    answers, sizes = score(host, asked)
    assert sizes[0][0] == 1
    with pytest.raises(AssertionError):
        require_as_alone(host, asked, answers)


@pytest.mark.parametrize("part", ["visible", "positions"])
def test_options_that_see_each_other_would_be_noticed(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = packed_options._packed

    def wrong(*arguments: Any) -> packed_options.Packed:
        made = right(*arguments)
        count = made.ids.shape[1]
        places = torch.arange(count).expand(made.ids.shape[0], -1)
        changed = {"visible": torch.ones(count, count).tril().bool().expand_as(made.visible), "positions": places + 20}
        return made._replace(**{part: changed[part]})

    monkeypatch.setattr(packed_options, "_packed", wrong)
    host = MiniatureHost("llava", PROMPTS)
    answers, _ = score(host, asked_of([0, 1]))
    with pytest.raises(AssertionError):
        require_as_alone(host, asked_of([0, 1]), answers)


def test_a_window_shorter_than_a_prompt_is_not_packed() -> None:
    host = MiniatureHost("llava", PROMPTS)
    host.model.config.get_text_config().sliding_window = 8
    asked = asked_of([0, 1])
    scorer = OptionScorer(host)
    assert scorer.packed is not None
    assert scorer.packed.score(asked, scorer.encode(asked), [[(20, 21)]] * 2) is None
