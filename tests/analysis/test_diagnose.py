"""Diagnoses: what is sound stays unflagged, and each planted fault shows where it should."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from miniatures import ADAPTER, BOS, FAMILIES, Image, awake

import parrot_adapters as pa
from parrot_adapters.analysis.diagnose import (
    Diagnosis,
    Preservation,
    Sample,
    _likelihoods,
    answers_rightly,
    diagnose,
)
from parrot_adapters.analysis.linear_probe import Probe, category_probe, linear_probe
from parrot_adapters.analysis.token_similarity import Shift
from parrot_adapters.core import RoutingStatistics
from parrot_adapters.errors import ConfigError, HostError

LLAVA = FAMILIES["llava"]
WORDS = {"en": (20, 21, 22), "tr": (50, 51, 52), "ru": (80, 81, 82)}
BY_LANGUAGE = {**ADAPTER, "router": "language-id", "router_options": {"languages": list(WORDS)}}


def inputs(picture, language):
    return LLAVA.batch([[BOS, Image(picture), *WORDS[language]]])


def samples(pictures=4, languages=tuple(WORDS), **more):
    return [Sample(inputs(p, x), x, picture=p, **more) for p in range(pictures) for x in languages]


def by_language(size=0.3):
    """An adapter whose experts each have a language."""
    handle = pa.attach(LLAVA.build(), BY_LANGUAGE)
    with torch.no_grad():
        handle.module.experts.down.normal_(0, size, generator=torch.Generator().manual_seed(0))
    return handle


def test_one_expert_per_language_is_told_perfectly():
    found = diagnose(by_language(0.02), samples())
    assert found.probe.accuracy == 1.0
    assert found.probe.languages == ["en", "ru", "tr"]
    assert found.routing.purity == 1.0
    assert found.flags() == []
    json.dumps(found.to_dict())


def test_planted_a_router_fixed_to_one_expert():
    config = {**ADAPTER, "router": "frozen", "router_options": {"weights": [0.0, 1.0, 0.0]}}
    found = diagnose(pa.attach(LLAVA.build(), config), samples())
    assert found.routing.collapse == "single expert"
    assert found.probe.accuracy == pytest.approx(1 / 3, abs=0.01)
    assert any("single-expert collapse: expert 1" in flag for flag in found.flags())
    assert any("dead experts: 0, 2" in flag for flag in found.flags())


def test_planted_two_languages_that_share_an_expert():
    config = {**ADAPTER, "router": "language-id", "router_options": {"languages": {"en": 0, "tr": 1, "ru": 1}}}
    found = diagnose(pa.attach(LLAVA.build(), config), samples(pictures=6))
    one, other, share = found.probe.pairs()[0]
    assert {one, other} == {"tr", "ru"}
    assert share >= 0.4
    assert next(flag for flag in found.flags() if "confused" in flag).startswith("languages confused: ru and tr")


def test_planted_an_expert_that_destroys_the_picture():
    handle = pa.attach(LLAVA.build(), {**ADAPTER, "residual_scale": 0.0})  # nothing of the picture goes on
    with torch.no_grad():
        handle.module.experts.down.normal_(0, 1e-3, generator=torch.Generator().manual_seed(0))

    class Noise(torch.nn.Module):
        def forward(self, tokens, offsets, routing):
            return torch.randn(tokens.shape, generator=torch.Generator().manual_seed(int(tokens[0, 0] * 1e6) % 2**31))

    handle.module.experts = Noise()
    given = [
        Sample(inputs(p, x), x, picture=p, other_view=inputs(p, "en" if x == "tr" else "tr"))
        for p in range(8)
        for x in ("en", "tr")
    ]
    found = diagnose(handle, given)
    assert found.preservation.cka < 0.3
    assert found.preservation.shift.cosine < 0.2
    assert any("linear CKA" in flag for flag in found.flags())


def test_planted_all_pictures_look_alike():
    handle = pa.attach(LLAVA.build(), ADAPTER)

    class Same(torch.nn.Module):
        def forward(self, tokens, offsets, routing):
            return 1000 * torch.ones_like(tokens) - tokens

    given = [Sample(inputs(p, "en"), "en", picture=p, other_view=inputs(p, "en")) for p in range(4)]
    sound = diagnose(handle, given)
    assert (sound.preservation.retrieval_before, sound.preservation.retrieval_after) == (1.0, 1.0)
    handle.module.experts = Same()
    found = diagnose(handle, given)
    assert (found.preservation.retrieval_before, found.preservation.retrieval_after) == (1.0, 0.0)
    assert any("another view is found 0% of the time" in flag for flag in found.flags())


def test_planted_all_kinds_of_things_look_alike():
    """Two kinds of pictures, light and dark; what makes all tokens the same leaves nothing to tell them by."""
    given = []
    for picture in range(12):
        seen = dict(inputs(picture, "en"))
        seen["pixel_values"] = 0.1 * seen["pixel_values"] + (1.0 if picture % 2 else -1.0)
        given.append(Sample(seen, "en", picture=picture, category="light" if picture % 2 else "dark"))
    handle = pa.attach(LLAVA.build(), ADAPTER)
    sound = diagnose(handle, given)
    kept = sound.preservation
    assert (kept.category_before, kept.category_after, kept.category_chance) == (1.0, 1.0, 0.5)
    assert not any("category" in flag for flag in sound.flags())

    class Same(torch.nn.Module):
        def forward(self, tokens, offsets, routing):
            return 1000 * torch.ones_like(tokens) - tokens

    handle.module.experts = Same()
    found = diagnose(handle, given)
    assert found.preservation.category_after == pytest.approx(0.5, abs=0.2)
    assert any("the category is told" in flag and "100% without adapter" in flag for flag in found.flags())


@pytest.mark.parametrize(
    ("kept", "lost"),
    [
        ({"cka": 0.51}, False),
        ({"cka": 0.49}, True),
        ({"retrieval_before": 0.8, "retrieval_after": 0.41}, False),
        ({"retrieval_before": 0.8, "retrieval_after": 0.39}, True),
        ({"category_before": 0.8, "category_after": 0.51, "category_chance": 0.2}, False),  # 0.31 of 0.6 above chance
        ({"category_before": 0.8, "category_after": 0.49, "category_chance": 0.2}, True),
    ],
)
def test_content_is_lost_below_half(kept, lost):
    whole = Preservation(Shift(1.0, 0.0), 1.0, 9, None, None)
    routing = RoutingStatistics.of_rows(torch.eye(3), list(WORDS))
    found = Diagnosis(routing, None, replace(whole, **kept), {}, {}, {}, {})
    assert [flag.startswith("visual content lost") for flag in found.flags()] == [True] * lost


def test_a_category_needs_pictures_to_be_fitted_to_and_tested_on():
    tokens = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    assert category_probe(tokens, ["a", "b", "c", "d", "e", "f"]) is None
    assert category_probe(tokens, ["a", "a", "a", "a", "a", "b"]) is None
    order = ["a", "b", "c", "d", "e"] * 4  # in turn, as many as folds: none may miss a whole category
    told = category_probe(torch.eye(5).repeat(4, 1), order)
    assert (told.accuracy, told.chance) == (1.0, 0.2)
    shuffled = category_probe(torch.randn(200, 4, generator=torch.Generator().manual_seed(1)), ["a", "b"] * 100)
    assert shuffled.accuracy == pytest.approx(0.5, abs=0.15)


def asked(handle, pictures=4):
    """Samples whose right answer is what the sound adapter says."""
    made = []
    for sample in samples(pictures):
        with torch.no_grad(), handle.languages([sample.language]):
            best = int(handle.model(**sample.inputs).logits[0, -1].argmax())
        with torch.no_grad(), handle.disabled():
            bare = int(handle.model(**sample.inputs).logits[0, -1].argmax())
        others = tuple((i,) for i in (bare, 30, 31) if i != best)
        made.append(Sample(sample.inputs, sample.language, sample.picture, ((best,), *others), 0))
    return made


def test_ablation_shows_which_expert_serves_which_language():
    handle = by_language(3.0)
    found = diagnose(handle, asked(handle))
    assert set(found.accuracy.values()) == {1.0}
    for expert, language in enumerate(WORDS):
        without = found.ablation[language]
        assert all(value == 1.0 for e, value in enumerate(without) if e != expert)  # others do not serve it
        assert without[expert] == found.host_accuracy[language] < 1.0  # its own gone, the host alone is left


def test_a_wrong_declared_language_costs_accuracy_where_languages_route():
    handle = by_language(3.0)
    costs = diagnose(handle, asked(handle)).faults["wrong declared language"]
    assert sum(cost.lost for cost in costs.values()) > 0
    blind = awake(pa.attach(LLAVA.build(), ADAPTER))  # reads the prompt, not what is declared
    assert all(cost.lost == 0 for cost in diagnose(blind, asked(blind)).faults["wrong declared language"].values())


def test_variants_are_scored_against_the_same_samples(handle):
    [sample] = asked(handle, 1)[:1]
    swapped = {
        "input_ids": inputs(0, "ru")["input_ids"],
        **{k: v for k, v in sample.inputs.items() if k != "input_ids"},
    }
    varied = Sample(
        sample.inputs, "en", 0, sample.options, 0, variants={"same": sample.inputs, "asked in Russian": swapped}
    )
    calls = []

    def score(handle, given, sample):
        calls.append(given)
        return float(given["input_ids"].equal(sample.inputs["input_ids"]))

    found = diagnose(handle, [varied], score=score)
    assert found.faults["same"]["en"].lost == 0
    assert found.faults["asked in Russian"]["en"].lost == 1
    assert len(calls) == 2 + ADAPTER["num_experts"] + 2


@torch.no_grad()
@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_long_options_are_scored_as_short_ones_are(family):
    """A batch with a row per option, and a pass per option where pictures cannot be repeated, agree with reading all of
    them off one pass; nor is an option routing text."""
    handle = awake(pa.attach(FAMILIES[family].build(), ADAPTER))
    given = FAMILIES[family].batch([[BOS, Image(0), *WORDS["tr"]]])
    logs = handle.model(**given).logits[0, -1].log_softmax(-1)
    chosen = logs.topk(4).indices.tolist()
    alone = [_likelihoods(handle, given, [[token]], "tr")[0] for token in chosen]
    assert alone == pytest.approx(logs[chosen].tolist(), abs=1e-4)
    longer = [(chosen[0],), (chosen[1], 5), (chosen[2], 6, 7), (chosen[3], 8)]
    one_by_one = [_likelihoods(handle, given, [option], "tr")[0] for option in longer]
    if family == "llava":
        assert _likelihoods(handle, given, longer, "tr") == pytest.approx(one_by_one, abs=1e-4)
        said = torch.tensor([longer[2]])
        ids = torch.cat([given["input_ids"], said], 1)
        labels = torch.cat([torch.full_like(given["input_ids"], -100), said], 1)  # an answer is no routing text
        whole = given | {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
        each = handle.model(**whole).logits[0, -4:-1].log_softmax(-1)[range(3), longer[2]]
        assert one_by_one[2] == pytest.approx(float(each.mean()), abs=1e-4)
    best = one_by_one.index(max(one_by_one))
    for answer in range(4):
        assert answers_rightly(handle, given, Sample(given, "tr", 0, tuple(longer), answer)) == (answer == best)


def test_probe_leaves_whole_pictures_out():
    """Weights that name the picture and not the language tell nothing once the picture is new."""
    generator = torch.Generator().manual_seed(0)
    pictures = (3 * torch.randn(12, 4, generator=generator)).softmax(-1).repeat_interleave(2, 0)
    found = linear_probe(pictures, ["en", "tr"] * 12, [i // 2 for i in range(24)])
    assert found.accuracy == pytest.approx(0.5)
    mixed = torch.tensor([[0.6, 0.4], [0.4, 0.6]]).repeat(12, 1) + 0.05 * torch.rand(24, 2, generator=generator)
    assert linear_probe(mixed, ["en", "tr"] * 12, [i // 2 for i in range(24)]).accuracy == 1.0
    with pytest.raises(ConfigError, match="two languages and two groups"):
        linear_probe(mixed, ["en"] * 24, list(range(24)))


def test_probe_reads_small_weights_by_their_size():
    """Shares of 1e-5, 1e-3 and 0.1 are told apart as well as those of 0.2, 0.5 and 0.8."""
    generator = torch.Generator().manual_seed(0)
    small = torch.tensor([1e-5, 1e-3, 0.1]).repeat(12) * (0.8 + 0.4 * torch.rand(36, generator=generator))
    found = linear_probe(
        torch.stack([small, 1 - small], 1), ["en", "tr", "ru"] * 12, [number // 3 for number in range(36)]
    )
    assert found.accuracy == 1.0


def test_pairs_count_confusions_in_both_directions():
    found = Probe(["a", "b", "c"], [[0.6, 0.4, 0.0], [0.0, 0.7, 0.3], [0.1, 0.3, 0.6]], 0.63, 1 / 3)
    assert [(one, other, round(share, 3)) for one, other, share in found.pairs()] == [
        ("b", "c", 0.3), ("a", "b", 0.2), ("a", "c", 0.05),
    ]  # fmt: skip


def test_what_cannot_be_diagnosed_is_an_error(handle):
    with pytest.raises(ConfigError, match="no samples"):
        diagnose(handle, [])
    with pytest.raises(ConfigError, match="all samples have options, or none"):
        diagnose(handle, [Sample(inputs(0, "en"), "en", options=((20,), (21,))), Sample(inputs(0, "tr"), "tr")])
    with pytest.raises(HostError, match="no image"):
        diagnose(handle, [Sample(LLAVA.batch([[BOS, 20]]), "en")])
    too_large = inputs(0, "tr")
    too_large["input_ids"][0, -1] = 10_000  # no word of the host
    with pytest.raises(HostError, match=r"(?s)the host fails at a sample.*2 of 2, language 'tr'.*IndexError"):
        diagnose(handle, [Sample(inputs(0, "en"), "en"), Sample(too_large, "tr")])


def test_one_language_one_picture_has_no_probe(handle):
    found = diagnose(handle, [Sample(inputs(0, "en"), "en")])
    assert found.probe is None
    assert (found.accuracy, found.ablation, found.faults) == ({}, {}, {})
