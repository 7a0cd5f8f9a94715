"""Explanations against what can be worked out by hand, and on adapters planted to be blind or destructive."""

from __future__ import annotations

import json

import pytest
import torch
from miniatures import ADAPTER, BOS, FAMILIES, Image, awake

import parrot_adapters as pa
from parrot_adapters.analysis.explain import PromptInputs, explain
from parrot_adapters.analysis.layer_hooks import watched
from parrot_adapters.analysis.token_similarity import Shift, linear_cka, retrieval
from parrot_adapters.errors import ConfigError, HostError


def prompt(label, *words, image=0, language=None, family="llava"):
    return PromptInputs(label, FAMILIES[family].batch([[BOS, Image(image), *words]]), language)


PROMPTS = prompt("a", 20, 21, 22), prompt("b", 40, 41, 42, 43)


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_weights_shift_and_divergence_are_what_was_computed(family):
    handle = awake(pa.attach(FAMILIES[family].build(), ADAPTER))
    asked = [prompt("a", 20, 21, 22, family=family), prompt("b", 40, 41, family=family)]
    found = explain(handle, asked)
    for seen, given in zip(found.prompts, asked, strict=True):
        with torch.no_grad(), handle.record_routing() as log, watched(handle) as passes:
            adapted = handle.model(**given.inputs).logits[0, -1].double().log_softmax(-1)
            with handle.disabled():
                bare = handle.model(**given.inputs).logits[0, -1].double().log_softmax(-1)
        assert seen.weights == pytest.approx(log[0].weights[0].tolist(), abs=1e-6)
        assert seen.shift == Shift.between(passes[0].before, passes[0].after)
        assert seen.shift.relative_norm > 0.01
        assert seen.kl == pytest.approx(float((bare.exp() * (bare - adapted)).sum()), abs=1e-6)
        assert seen.token == (str(int(adapted.argmax())), pytest.approx(float(adapted.max().exp())))
        assert seen.host_token[0] == str(int(bare.argmax()))
    json.dumps(found.to_dict())


def test_without_an_expert_only_its_part_is_gone(handle):
    with torch.no_grad():
        handle.module.experts.down[1].zero_()  # an expert with nothing to say
    found = explain(handle, PROMPTS)
    for seen in found.prompts:
        assert (seen.ablated[1].change, seen.ablated[1].kl) == (0.0, pytest.approx(0.0, abs=1e-9))
        assert seen.ablated[0].change > 0
        assert seen.ablated[0].kl > 0


def test_a_swapped_routing_gives_the_other_prompts_tokens(handle):
    found = explain(handle, PROMPTS)
    with torch.no_grad(), watched(handle) as passes:
        for given in PROMPTS:
            handle.model(**given.inputs)
    expected = Shift.between(passes[0].after, passes[1].after).relative_norm
    assert expected > 0.001
    assert found.prompts[0].swapped["b"].change == pytest.approx(expected, rel=1e-3)


def test_a_router_blind_to_the_prompt_is_unmoved_by_a_swap():
    handle = awake(pa.attach(FAMILIES["llava"].build(), {**ADAPTER, "router": "visual-only"}))
    found = explain(handle, PROMPTS)
    assert found.prompts[0].swapped["b"].change == pytest.approx(0, abs=1e-6)
    assert found.prompts[0].weights == found.prompts[1].weights


def test_other_images_cannot_be_swapped():
    handle = awake(pa.attach(FAMILIES["qwen2_5_vl"].build(), ADAPTER))
    sizes = [prompt("a", 20, family="qwen2_5_vl"), prompt("b", 20, image=1, family="qwen2_5_vl")]
    rows = [int((p.inputs["input_ids"] == 3).sum()) for p in sizes]
    found = explain(handle, sizes)
    assert (found.prompts[0].swapped["b"] is None) == (rows[0] != rows[1])


def test_declared_languages_route_and_unknown_ones_abstain():
    config = {**ADAPTER, "router": "language-id", "router_options": {"languages": {"en": 0, "tr": 1}}}
    handle = pa.attach(FAMILIES["llava"].build(), config)
    with torch.no_grad():
        handle.module.experts.down.normal_()
    found = explain(handle, [prompt("a", 20, language="en"), prompt("b", 20, language="tr"), prompt("c", 20)])
    one, two, three = found.prompts
    assert one.weights[0] == two.weights[1] == pytest.approx(1)
    assert (one.abstained, three.abstained) == (0.0, 1.0)
    assert three.shift == Shift(1.0, 0.0)
    assert three.kl == 0


def test_an_untrained_adapter_does_nothing(host):
    seen = explain(pa.attach(host, ADAPTER), PROMPTS).prompts[0]
    assert (seen.shift, seen.kl) == (Shift(1.0, 0.0), 0.0)
    assert seen.token == seen.host_token


def test_nothing_stays_behind(handle):
    handle.model.train()
    with torch.no_grad():
        handle.model.eval()
        before = handle.model(**PROMPTS[0].inputs).logits
        handle.model.train()
    explain(handle, PROMPTS)
    assert handle.model.training
    modules = [handle.module, handle.module.router, handle.module.experts]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)
    handle.model.eval()
    with torch.no_grad():
        assert torch.equal(handle.model(**PROMPTS[0].inputs).logits, before)


def test_what_cannot_be_explained_is_an_error(handle):
    with pytest.raises(ConfigError, match="all different"):
        explain(handle, [PROMPTS[0], PROMPTS[0]])
    with pytest.raises(ConfigError, match="has 2 rows"):
        explain(handle, [PromptInputs("x", FAMILIES["llava"].batch([[BOS, Image(0), 20], [BOS, Image(1), 20]]))])
    with pytest.raises(HostError, match="has no image"):
        explain(handle, [PromptInputs("x", FAMILIES["llava"].batch([[BOS, 20]]))])
    with pytest.raises(HostError, match=r"(?s)the host fails at a prompt.*prompt +x.*IndexError"):
        explain(handle, [PromptInputs("x", FAMILIES["llava"].batch([[BOS, Image(0), 10_000]]))])
    base = pa.attach(FAMILIES["llava"].build().model, ADAPTER)
    with pytest.raises(HostError, match="gives no logits"):
        explain(base, PROMPTS)


def test_right_padding_reads_the_last_word(handle):
    [left] = explain(handle, [PROMPTS[0]]).prompts
    inputs = FAMILIES["llava"].batch([[BOS, Image(0), 20, 21, 22]], padding="right", min_length=40)
    [right] = explain(handle, [PromptInputs("a", inputs)]).prompts
    assert right.kl == pytest.approx(left.kl, rel=1e-3)


def test_visual_measures():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 8, generator=generator)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=generator)).Q
    assert linear_cka(x, 3 * x @ turn + 5) == pytest.approx(1, abs=1e-6)
    assert linear_cka(x, torch.randn(200, 8, generator=generator)) < 0.1
    assert linear_cka(x, torch.ones(200, 8)) == 0.0
    assert retrieval(x, x + 0.01) == 1.0
    assert retrieval(x, torch.ones(200, 8)) == 0.0  # all alike: a tie finds nothing
    assert retrieval(x, x.roll(1, 0)) < 0.05
    assert Shift.between(x, x * 2) == Shift(pytest.approx(1), pytest.approx(1))
    assert Shift.between(x, -x).cosine == pytest.approx(-1)
