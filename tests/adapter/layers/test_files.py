"""Experts inside the layers on disk: exact, refused by releases that do not know them, frozen, shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, FAMILIES, IMAGE, PROMPTS, Family, awake
from support.layers_by_hand import adapter, logits, trained
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.adapter.fold_experts import freeze_routing
from parrot_adapters.adapter.grow_experts import grow_adapter
from parrot_adapters.analysis.diagnose import Sample, diagnose
from parrot_adapters.analysis.explain import PromptInputs, explain
from parrot_adapters.analysis.layer_hooks import tokens_left
from parrot_adapters.core import LayerExperts
from parrot_adapters.errors import CheckpointError, ConfigError

FORMAT_1 = Path(__file__).parents[2] / "fixtures" / "format_1"
FORMS: list[dict[str, Any]] = [
    {"expert_options": {"shared_rank": 2}},
    {"placement": "both", "layers": [1], "layer_modules": ["v_proj", "down_proj"]},
]


def check_saved(family: Family, inputs: dict[str, Any], directory: Path, **options: Any) -> None:
    handle = trained(pa.attach(family.build(), adapter(family, **options)))
    handle.save_pretrained(directory)
    other = pa.load_adapter(family.build(), directory)
    assert other.config == handle.config
    assert torch.equal(logits(other.model, inputs), logits(handle.model, inputs))
    mine, theirs = handle.module.state_dict(), other.module.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("options", FORMS[:1], ids=str)
def test_saved_adapter_is_exact(family, inputs, tmp_path, options: dict[str, Any]) -> None:
    check_saved(family, inputs, tmp_path, **options)


@pytest.mark.parametrize("family", ["llava", "gemma3"], indirect=True)
def test_saved_in_other_forms(family, inputs, tmp_path) -> None:
    check_saved(family, inputs, tmp_path, **FORMS[1])


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_a_loader_that_forgets_the_layers_is_caught(family, inputs, tmp_path, monkeypatch) -> None:
    own = torch.nn.Module.load_state_dict

    def forget(self: Any, state: Any, *args: Any, **kwargs: Any) -> Any:
        kept = {k: torch.zeros_like(v) if k.startswith("layer_experts") else v for k, v in state.items()}
        return own(self, kept, *args, **kwargs)

    monkeypatch.setattr(torch.nn.Module, "load_state_dict", forget)
    with pytest.raises(AssertionError):
        check_saved(family, inputs, tmp_path, **FORMS[0])


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_a_later_version_is_refused(attached, host, family, tmp_path) -> None:
    """They look at the version first, and say what to do."""
    attached.save_pretrained(tmp_path)
    described = json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))
    assert described["format_version"] == 3
    described["format_version"] = 4
    (tmp_path / "adapter_config.json").write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(CheckpointError, match="format version 4; this release reads 1, 2, 3"):
        pa.load_adapter(family.build(), tmp_path)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_settings_of_adapters_at_the_projector_are_written_as_before(host, tmp_path) -> None:
    awake(pa.attach(host, ADAPTER)).save_pretrained(tmp_path)
    described = json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))
    earlier = json.loads((FORMAT_1 / "text-guided" / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert described["adapter"].keys() == earlier["adapter"].keys()


def test_earlier_settings_mean_the_projector() -> None:
    earlier = json.loads((FORMAT_1 / "text-guided" / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert pa.AdapterConfig.from_dict(earlier["adapter"]).placement == "projector"


@pytest.mark.parametrize("family", ["qwen2_5_vl"], indirect=True)
def test_another_host_is_refused(attached, tmp_path) -> None:
    attached.save_pretrained(tmp_path)
    with pytest.raises(pa.ParrotError, match="made for 'qwen2_5_vl'"):
        pa.load_adapter(FAMILIES["gemma3"].build(), tmp_path)


def test_settings_survive_json() -> None:
    made = pa.AdapterConfig(placement="both", layer_modules=("q_proj", "fc1"), layers=(0, 3), layer_rank=4)
    again = pa.AdapterConfig.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert again.layers == [0, 3]


# --- frozen ------------------------------------------------------------------------------------------------------


def check_frozen(family: Family, tmp_path: Path, **options: Any) -> None:
    """Frozen to a language, the adapter answers as the language's routing does, with no routing at all."""
    handle = trained(pa.attach(family.build(), adapter(family, num_experts=6, router="language-id", **options)))
    handle.save_pretrained(tmp_path / "routed")
    inputs = family.batch(PROMPTS)
    with handle.languages(["tr"] * 3):
        wanted = logits(handle.model, inputs)
    done = freeze_routing(tmp_path / "routed", tmp_path / "frozen", language="tr")
    frozen = pa.load_adapter(family.build(), tmp_path / "frozen")
    assert (frozen.config.router, frozen.config.num_experts) == ("frozen", 1)
    assert done.difference <= done.bound
    assert_close(logits(frozen.model, inputs), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", ["llava", "gemma3"], indirect=True)
@pytest.mark.parametrize("options", [{}, {"expert_options": {"shared_rank": 3}}, {"placement": "both"}], ids=str)
def test_frozen_to_a_language(family, tmp_path, options: dict[str, Any]) -> None:
    check_frozen(family, tmp_path, **options)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_mixed_weights_become_one_wider_expert(family, inputs, tmp_path) -> None:
    handle = trained(pa.attach(family.build(), adapter(family, router="frozen", router_options={"weights": [2, 1, 1]})))
    handle.save_pretrained(tmp_path / "mixed")
    done = freeze_routing(tmp_path / "mixed", tmp_path / "one", weights=[0.5, 0.25, 0.25])
    frozen = pa.load_adapter(family.build(), tmp_path / "one")
    assert frozen.config.layer_rank == 3 * 2
    assert done.expert == "layers of rank 6"
    assert_close(logits(frozen.model, inputs), logits(handle.model, inputs), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_a_wrong_fold_is_refused(family, tmp_path, monkeypatch) -> None:
    own = LayerExperts.folded

    def wrong(self: LayerExperts, weights: torch.Tensor) -> LayerExperts:
        wide = own(self, weights)
        with torch.no_grad():
            wide.at(wide.paths[-1]).down.mul_(1.01)
        return wide

    monkeypatch.setattr(LayerExperts, "folded", wrong)
    with pytest.raises(CheckpointError, match="does not equal the mixture"):
        check_frozen(family, tmp_path)


# --- looked at ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_explained(attached, family) -> None:
    prompts = [PromptInputs(str(n), family.batch([PROMPTS[n]])) for n in (0, 1)]
    found = explain(attached, prompts)
    assert found.expert == "layers of rank 2"
    assert all(prompt.kl > 1e-4 for prompt in found.prompts)
    assert all(other.kl > 1e-6 for prompt in found.prompts for other in prompt.ablated)
    assert not attached.module._forward_hooks


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_diagnosed_where_the_language_model_leaves_the_tokens(host, family) -> None:
    """Untrained, nothing moves; trained, something does, and disabled it is what the bare host leaves."""
    handle = pa.attach(host, adapter(family))
    samples = [
        Sample(family.batch([(*PROMPTS[0][:-1], word)]), tag, picture=n % 2, options=((40,), (41,)))
        for n, (tag, word) in enumerate([("en", 60), ("tr", 61), ("en", 62), ("tr", 63)])
    ]
    untrained = diagnose(handle, samples)
    assert untrained.preservation.where == "language model"
    assert untrained.preservation.shift.cosine == pytest.approx(1)
    assert untrained.accuracy == untrained.host_accuracy
    trained(handle)
    found = diagnose(handle, samples)
    assert found.preservation.shift.relative_norm > 1e-2
    assert found.preservation.tokens == untrained.preservation.tokens == 4 * 2 * 16  # two pictures each
    assert found.host_accuracy == untrained.host_accuracy
    assert {len(per_expert) for per_expert in found.ablation.values()} == {3}
    with handle.disabled(), torch.no_grad():
        states = host(**samples[0].inputs, output_hidden_states=True).hidden_states[-1]
        seen = tokens_left(handle, samples[0].inputs)
    assert torch.equal(seen, states[samples[0].inputs["input_ids"] == IMAGE])


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_no_form_in_released_checkpoints(attached) -> None:
    with pytest.raises(ConfigError, match="placement='layers'"):
        attached.reference_state_dict()


# --- grown -------------------------------------------------------------------------------------------------------


def check_grown(family: Family, inputs: dict[str, Any], tmp_path: Path, **options: Any) -> pa.Attachment:
    """More experts, the same answers, in place and on disk alike; the new ones can learn."""
    handle = trained(pa.attach(family.build(), adapter(family, **options)))
    handle.save_pretrained(tmp_path / "old")
    languages = ["sw", "th"] if options.get("router") == "language-id" else None
    declared = ["tr"] * 3 if languages else [None] * 3
    with handle.languages(declared):
        before = logits(handle.model, inputs)
    pa.grow(handle, 2, languages=languages)
    with handle.languages(declared):
        assert_close(logits(handle.model, inputs), before, rtol=1e-3, atol=1e-3)
    assert handle.config.num_experts == handle.module.layer_experts.num_experts == options.get("num_experts", 3) + 2
    grow_adapter(tmp_path / "old", tmp_path / "new", 2, languages=languages)
    loaded = pa.load_adapter(family.build(), tmp_path / "new")
    with loaded.languages(declared):
        assert_close(logits(loaded.model, inputs), before, rtol=1e-3, atol=1e-3)
    return handle


@pytest.mark.parametrize("family", ["llava", "gemma3"], indirect=True)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"expert_options": {"shared_rank": 2}},
        {"placement": "both"},
        {"top_k": 2},
        {"router": "language-id", "num_experts": 6},
    ],
    ids=str,
)
@pytest.mark.few(3)
def test_grown(family, inputs, tmp_path, options: dict[str, Any]) -> None:
    handle = check_grown(family, inputs, tmp_path, **options)
    languages = ["sw"] * 3 if options.get("router") == "language-id" else [None] * 3
    with handle.languages(languages):
        handle.model(**inputs).logits[:, -1].square().sum().backward()
    grad = handle.module.layer_experts.at(handle.module.layer_experts.paths[0]).down.grad
    assert grad[-2:].abs().sum() > 0
    if options.get("router") == "language-id":
        return  # its new experts start from scratch
    twins = handle.module.layer_experts.at(handle.module.layer_experts.paths[0]).down
    assert not torch.equal(twins[-2], twins[-1])


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_growing_that_moves_answers_is_caught(family, inputs, tmp_path, monkeypatch) -> None:
    own = LayerExperts.become

    def halve(self: LayerExperts, other: LayerExperts) -> None:
        own(self, other)
        with torch.no_grad():
            self.at(self.paths[0]).down[-1] *= 0.5

    monkeypatch.setattr(LayerExperts, "become", halve)
    with pytest.raises(AssertionError):
        check_grown(family, inputs, tmp_path)
