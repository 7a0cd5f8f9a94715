"""Weights per group of decoder layers: one answer of the router, leaned by every group in its own way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from miniatures import FAMILIES, PROMPTS
from support.layers_by_hand import SlowHost, adapter, decode, logits, trained
from support.tiers import late_unless
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.adapter.fold_experts import freeze_routing
from parrot_adapters.adapter.grow_experts import grow_adapter
from parrot_adapters.analysis.explain import PromptInputs, explain
from parrot_adapters.analysis.layer_hooks import ablated
from parrot_adapters.core import LayerExperts
from parrot_adapters.errors import ConfigError

TWO = {"layer_groups": 2}
TILTS = "layer_experts.group_weights.tilts"


def grouped(family: Any, scale: float = 0.3, **options: Any) -> Any:
    return trained(pa.attach(family.build(), adapter(family, **TWO, **options)), scale)


class SlowGroups(SlowHost):
    """Every layer is told the weights of its group, worked out from the definition."""

    def _logits(self, inputs: dict[str, Any], graph: bool) -> torch.Tensor:
        stack = self.model.base_model.get_submodule(self.handle.parts.language_model)
        hooks = []
        for number in (0, 1):
            hooks.append(stack.layers[number].register_forward_pre_hook(lambda *args, n=number: self._tell(n)))
        try:
            return super()._logits(inputs, graph)
        finally:
            for hook in hooks:
                hook.remove()

    def _tell(self, group: int) -> None:
        tilts = self.handle.module.state_dict()[TILTS].double()
        if group == 0:
            self.router = list(self.told["tokens"])
        self.told["tokens"] = [
            (row, column, (w.double().log() + w.double() @ tilts[group]).softmax(-1).float())
            for row, column, w in self.router
        ]


@pytest.mark.parametrize("family", late_unless(["llava"], ["llava", "gemma3", "qwen2_5_vl", "idefics3"]), indirect=True)
def test_every_group_has_weights_of_its_own(family, inputs) -> None:
    handle = grouped(family, scale=0.5)
    after = logits(handle.model, inputs)
    assert_close(after, SlowGroups(family.build(), handle).logits(inputs), rtol=1e-4, atol=1e-4)
    assert (after - SlowHost(family.build(), handle).logits(inputs))[:2].abs().max() > 1e-3  # not the router's own
    assert_close(decode(handle.model, inputs).logits[0], after[:, -1], rtol=1e-4, atol=1e-4)
    with handle.disabled():
        bare = logits(handle.model, inputs)
    assert torch.equal(after[2], bare[2])


@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"router": "per-token"}, {"layer_expert": "gated"}], ids=str)
def test_groups_start_as_one(options: dict[str, Any]) -> None:
    """Whatever else was trained, groups that lean nowhere answer as one weight vector does, to the bit."""
    family = FAMILIES["llava"]
    inputs = family.batch(PROMPTS)
    one = trained(pa.attach(family.build(), adapter(family, **options)))
    two = pa.attach(family.build(), adapter(family, **TWO, **options))
    two.module.load_state_dict(one.module.state_dict() | {TILTS: torch.zeros(2, 3, 3)})
    if "layer_expert" in options:  # its gate's matmul reads the context from another place, and may round otherwise
        assert_close(logits(two.model, inputs), logits(one.model, inputs))
    else:
        assert torch.equal(logits(two.model, inputs), logits(one.model, inputs))
    two.model(**inputs).logits[:, -1].square().sum().backward()
    assert two.module.layer_experts.group_weights.tilts.grad.abs().amax((1, 2)).min() > 0


@pytest.mark.parametrize("form", ["recomputed", "beams", "chunks", "bf16"])
def test_in_other_ways_to_run(form: str) -> None:
    family = FAMILIES["llava"]
    handle, inputs = grouped(family), family.batch(PROMPTS[:2])
    if form == "recomputed":
        found = []
        for recompute in (False, True):
            if recompute:
                handle.model.train().activation_checkpointing_enable()
            handle.module.zero_grad()
            handle.model(**inputs).logits[:, -1].square().sum().backward()
            found.append(handle.module.layer_experts.group_weights.tilts.grad.clone())
        assert_close(found[1], found[0])
        return
    if form == "bf16":
        handle.model.to(torch.bfloat16)
        inputs["pixel_values"] = inputs["pixel_values"].bfloat16()
    options = {"beams": {"num_beams": 2}, "chunks": {"prefill_chunk_size": 7}}.get(form, {})
    wanted = logits(handle.model, inputs)[:, -1]
    made = decode(handle.model, inputs, **options).logits[0].to(wanted.dtype)
    wanted = wanted.repeat_interleave(len(made) // len(wanted), 0)
    assert_close(made, wanted, **({"rtol": 0.05, "atol": 0.1} if form == "bf16" else {"rtol": 1e-3, "atol": 1e-4}))


def test_on_disk_and_shown(tmp_path: Any) -> None:
    family = FAMILIES["llava"]
    inputs, handle = family.batch(PROMPTS[:2]), grouped(family, scale=1.0)
    handle.save_pretrained(tmp_path)
    loaded = pa.load_adapter(family.build(), tmp_path)
    assert loaded.config == handle.config
    assert loaded.config.layer_groups == 2
    assert torch.equal(logits(loaded.model, inputs), logits(handle.model, inputs))

    with handle.record_routing() as log:
        logits(handle.model, inputs)
    (record,) = log
    groups = handle.module.layer_experts.weights_by_group(record.weights)
    assert torch.equal(record.by_group, groups)
    assert_close(groups.sum(-1), torch.ones(groups.shape[:2]))
    assert (groups[0] - groups[1]).abs().max() > 1e-2

    seen = explain(handle, [PromptInputs("one", family.batch([PROMPTS[0]]))]).prompts[0]
    assert_close(torch.tensor(seen.by_group), groups[:, record.rows == 0].mean(1), rtol=1e-5, atol=1e-5)
    kept = []
    hook = handle.module.layer_experts.group_weights.register_forward_hook(lambda m, a, out: kept.append(out))
    logits(handle.model, inputs)
    with ablated(handle, 1):
        logits(handle.model, inputs)
    hook.remove()
    assert torch.equal(kept[1][..., [0, 2]], kept[0][..., [0, 2]])  # the others keep what they had
    logits(handle.model, inputs)


@pytest.mark.parametrize(
    "options", [{}, {"top_k": 2}, {"router": "language-id", "router_options": {"mode": "table"}}], ids=str
)
def test_grown(tmp_path: Any, options: dict[str, Any]) -> None:
    family = FAMILIES["llava"]
    inputs, handle = family.batch(PROMPTS), grouped(family, **options)
    handle.save_pretrained(tmp_path / "old")
    languages = ["sw", "th"] if options.get("router") == "language-id" else None
    declared = ["en", "zh", "pt"] if languages else [None] * 3
    with handle.languages(declared):
        before = logits(handle.model, inputs)
        pa.grow(handle, 2, languages=languages)
        assert_close(logits(handle.model, inputs), before, rtol=1e-3, atol=1e-3)
    grow_adapter(tmp_path / "old", tmp_path / "new", 2, languages=languages)
    loaded = pa.load_adapter(family.build(), tmp_path / "new")
    with loaded.languages(declared):
        assert_close(logits(loaded.model, inputs), before, rtol=1e-3, atol=1e-3)


def check_frozen(tmp_path: Any) -> None:
    family = FAMILIES["llava"]
    shares = {"router": "frozen", "router_options": {"weights": [0.5, 0.3, 0.2]}}
    inputs, handle = family.batch(PROMPTS), grouped(family, scale=1.0, expert_options={"shared_rank": 1}, **shares)
    handle.save_pretrained(tmp_path / "routed")
    freeze_routing(tmp_path / "routed", tmp_path / "frozen", weights=[0.5, 0.3, 0.2])
    frozen = pa.load_adapter(family.build(), tmp_path / "frozen")
    assert (frozen.config.num_experts, frozen.config.layer_groups, frozen.config.layer_rank) == (1, 1, 3 * 2 + 1)
    assert_close(logits(frozen.model, inputs), logits(handle.model, inputs), rtol=1e-3, atol=1e-3)


def test_frozen_exactly(tmp_path: Any) -> None:
    check_frozen(tmp_path)


def test_a_fold_that_forgets_the_groups_is_caught(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = LayerExperts.folded

    def forget(self: LayerExperts, weights: torch.Tensor) -> LayerExperts:
        with monkeypatch.context() as patch:
            patch.setattr(LayerExperts, "weights_by_group", lambda self, w: w[None].expand(self.groups, *w.shape))
            return own(self, weights)

    monkeypatch.setattr(LayerExperts, "folded", forget)
    with pytest.raises(pa.errors.CheckpointError, match="does not equal the mixture"):
        check_frozen(tmp_path)


def test_summed_where_the_groups_are_alike() -> None:
    family = FAMILIES["llava"]
    handle, inputs = grouped(family), family.batch(PROMPTS)
    handle.add_adapter("other", handle.config)
    other = handle.shelf["other"].module
    other.load_state_dict(handle.module.state_dict())
    wanted = logits(handle.model, inputs)
    handle.add_weighted_adapter(["default", "other"], [0.25, 0.75], "sum")
    with handle.switched_to("sum"):
        assert torch.equal(logits(handle.model, inputs), wanted)
    with torch.no_grad():
        other.layer_experts.group_weights.tilts += 1
    with pytest.raises(ConfigError, match="weigh experts otherwise"):
        handle.add_weighted_adapter(["default", "other"], [0.25, 0.75], "again")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer_groups": 0}, "layer_groups=0"),
        ({"layer_groups": 2, "num_experts": 1}, "nothing to weigh: with num_experts=1"),
        ({"layer_groups": 2, "top_k": 1}, "nothing to weigh: with top_k=1"),
        ({"layer_groups": 3}, "layer_groups=3 must be at most 2"),
        ({"layer_groups": 2, "router": "language-id"}, "nothing to weigh: router='language-id' gives one expert all"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(options: dict[str, Any], said: str) -> None:
    family = FAMILIES["llava"]
    host = family.build()
    with pytest.raises(ConfigError, match=said):
        pa.attach(host, adapter(family, **options))
    assert not hasattr(host.base_model, "parrot_adapter")
