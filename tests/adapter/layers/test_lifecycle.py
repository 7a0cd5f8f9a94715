"""Experts inside the layers: taking off, switching, copying, pickling, compiling, packing, threads."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest
import torch
from miniatures import BOS, PROMPTS, Family, Image
from support.layers_by_hand import adapter, decode, logits, trained
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.data.packing import SEGMENTS, pack
from parrot_adapters.errors import ConfigError, HostError
from parrot_adapters.hosts.layer_sites import LayerSites, _AddExperts
from parrot_adapters.hosts.packed_rows import packed_arguments


def snapshot(model: Any) -> dict[str, Any]:
    """What must be the same after detaching: the very modules, their weights, flags, attributes and hooks."""
    return {
        "modules": {name: id(module) for name, module in model.named_modules()},
        "weights": {name: (id(value), value.clone()) for name, value in model.state_dict(keep_vars=True).items()},
        "flags": {name: p.requires_grad for name, p in model.named_parameters()},
        "attributes": {name: set(module.__dict__) for name, module in model.named_modules()},
        "hooks": {
            name: [list(hooks) for key, hooks in sorted(module.__dict__.items()) if key.endswith("_hooks")]
            for name, module in model.named_modules()
        },
    }


def check_detach(model: Any, family: Family, inputs: dict[str, Any]) -> None:
    """Attach, train, run, detach: no trace is left."""
    model.requires_grad_(False)  # as attach leaves it; torch's attention has another kernel for weights that train
    bare = logits(model, inputs)
    decode(model, inputs, max_new_tokens=1)  # hosts install hooks of their own when first run
    before = snapshot(model)
    handle = trained(pa.attach(model, adapter(family)))
    language_model = handle.parts.module(handle.parts.language_model)
    assert {f"{handle.parts.base_prefix}{handle.parts.language_model}.{path}" for path in _paths(handle)} <= {
        name for name, _ in model.named_modules()
    }
    assert all(language_model.get_submodule(path) is not None for path in _paths(handle))
    assert not torch.equal(logits(model, inputs), bare)
    with handle.disabled():
        assert torch.equal(logits(model, inputs), bare)
    handle.freeze_host()
    decode(model, inputs, max_new_tokens=1)
    handle.detach()
    after = snapshot(model)
    assert torch.equal(logits(model, inputs), bare)
    weights = before.pop("weights"), after.pop("weights")
    assert before == after
    assert weights[0].keys() == weights[1].keys()
    assert all(
        was[0] == now[0] and torch.equal(was[1], now[1])
        for was, now in zip(weights[0].values(), weights[1].values(), strict=True)
    )
    assert pa.attachment_of(model) is None


def _paths(handle: pa.Attachment) -> tuple[str, ...]:
    return handle.module.layer_experts.paths


def test_disabled_and_detached_are_the_bare_host(host, family, inputs) -> None:
    check_detach(host, family, inputs)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_a_detach_that_leaves_a_hook_is_caught(host, family, inputs, monkeypatch) -> None:
    remove = LayerSites.remove

    def forgetful(self: LayerSites) -> None:
        if self._hooks:
            self._hooks.popitem()  # it stays; as no call has visual tokens any more, logits do not show it
        remove(self)

    monkeypatch.setattr(LayerSites, "remove", forgetful)
    with pytest.raises(AssertionError):
        check_detach(host, family, inputs)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_attaching_that_fails_leaves_nothing(host, family, inputs, monkeypatch) -> None:
    before = snapshot(host)
    install = LayerSites.install

    def fails(self: LayerSites) -> None:
        install(self)
        raise RuntimeError("in the middle")

    monkeypatch.setattr(LayerSites, "install", fails)
    with pytest.raises(RuntimeError, match="in the middle"):
        pa.attach(host, adapter(family))
    after = snapshot(host)
    before.pop("weights"), after.pop("weights")
    assert before == after


def test_deepcopy_has_an_adapter_of_its_own(attached, inputs) -> None:
    model = attached.model
    before = logits(model, inputs)
    twin = copy.deepcopy(model)
    own = pa.attachment_of(twin)
    assert torch.equal(logits(twin, inputs), before)
    with torch.no_grad():
        for parameter in own.module.layer_experts.parameters():
            parameter.mul_(2)
    assert not torch.equal(logits(twin, inputs), before)
    assert torch.equal(logits(model, inputs), before)
    own.detach()
    assert torch.equal(logits(model, inputs), before)
    assert not torch.equal(logits(twin, inputs), before)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_a_copy_that_shares_experts_is_caught(attached, inputs, monkeypatch) -> None:
    monkeypatch.setattr(_AddExperts, "__deepcopy__", lambda self, memo: self, raising=False)
    with pytest.raises(AssertionError):
        test_deepcopy_has_an_adapter_of_its_own(attached, inputs)


def test_pickle(attached, inputs) -> None:
    back = pickle.loads(pickle.dumps(attached.model))
    assert torch.equal(logits(back, inputs), logits(attached.model, inputs))
    assert torch.equal(decode(back, inputs).sequences, decode(attached.model, inputs).sequences)
    pa.attachment_of(back).detach()


def test_self_test_passes(attached, inputs) -> None:
    pa.self_test(attached, inputs)


def test_the_saved_host_is_the_bare_host(host, family, inputs, tmp_path) -> None:
    bare = logits(host, inputs)
    trained(pa.attach(host, adapter(family)))
    host.save_pretrained(tmp_path)
    again, report = type(host).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["unexpected_keys"]
    assert not report["missing_keys"]
    assert torch.equal(logits(again.eval(), inputs), bare)


# --- at once ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"], indirect=True)
def test_threads_see_their_own_batches(attached, family) -> None:
    """Two prompts and a bare call run at once, many times."""
    batches = [family.batch([PROMPTS[0]]), family.batch([PROMPTS[1]])]
    expected = [logits(attached.model, batch) for batch in batches]
    with attached.disabled():
        bare = logits(attached.model, batches[0])
    wrong: list[str] = []

    def run(number: int) -> None:
        for _ in range(20):
            if number == 2:
                with attached.disabled():
                    found, wanted = logits(attached.model, batches[0]), bare
            else:
                found, wanted = logits(attached.model, batches[number]), expected[number]
            if not torch.allclose(found, wanted, rtol=1e-4, atol=1e-5):
                wrong.append(f"thread {number}")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_a_host_that_runs_inside_another(attached, family, inputs) -> None:
    """Its text-only call does not see the outer one's tokens."""
    inner = trained(pa.attach(family.build(), adapter(family)))
    text = family.batch([PROMPTS[2]])
    expected, alone = logits(attached.model, inputs), logits(inner.model, text)
    seen: list[torch.Tensor] = []
    stack = attached.parts.module(attached.parts.language_model)
    hook = stack.layers[0].register_forward_hook(lambda *args: seen.append(logits(inner.model, text)))
    assert torch.equal(logits(attached.model, inputs), expected)
    hook.remove()
    assert torch.equal(seen[0], alone)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a .functools.lru_cache")
@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"], indirect=True)
def test_compiled(attached, family, inputs) -> None:
    torch._dynamo.reset()
    text = family.batch([PROMPTS[2]])
    expected = [logits(attached.model, batch) for batch in (inputs, text, inputs)]
    compiled = torch.compile(attached.model, backend="eager")
    for batch, wanted in zip((inputs, text, inputs), expected, strict=True):
        assert_close(logits(compiled, batch), wanted, rtol=1e-4, atol=1e-5)
    torch._dynamo.reset()


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"], indirect=True)
def test_packed_rows(attached, family) -> None:
    """Every sample gets the logits that it gets alone."""
    samples = (*PROMPTS, (BOS, 50, 51, 52, 53, Image(1), 54))
    batch = family.batch(samples, padding="right")
    batch["labels"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    packed = pack(batch, 10_000, rows=(3, 1))
    segments = packed.pop(SEGMENTS)
    arguments = packed_arguments(attached.model.base_model, packed, segments)
    arguments.pop("labels")
    batch.pop("labels")
    made = logits(attached.model, arguments)
    with attached.disabled():
        bare = logits(attached.model, arguments)
    for number, sample in enumerate(samples):
        row, columns = (segments == number).nonzero().unbind(1)
        alone = family.batch([sample])
        with attached.disabled():
            apart = torch.allclose(bare[row, columns], logits(attached.model, alone)[0], rtol=1e-3, atol=1e-3)
        assert apart, "the host itself mixes packed samples"
        assert_close(made[row, columns], logits(attached.model, alone)[0], rtol=1e-3, atol=1e-3)


# --- which layers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_the_layers_that_were_asked_for(host, family) -> None:
    handle = pa.attach(host, adapter(family, layers=[1], layer_modules=["q_proj", "mlp.down_proj"]))
    assert _paths(handle) == ("layers.1.self_attn.q_proj", "layers.1.mlp.down_proj")


@pytest.mark.parametrize(
    ("family", "options", "said"),
    [
        ("fuyu", {"layer_modules": ["q_proj"]}, r"known +self_attn.query_key_value \(2 of 32 -> 96\)"),
        ("glm4v", {"layer_modules": ["q_proj", "up_proj"]}, "up_proj is no linear layer(.|\n)*gate_up_proj"),
        ("qwen3_vl_moe", {"layer_modules": ["up_proj"]}, "up_proj is no linear layer(.|\n)*mixture-of-experts"),
        ("llava", {"layers": [0, 7]}, "names 7(.|\n)*0 to 1"),
    ],
    indirect=["family"],
)
def test_layers_that_do_not_exist_are_refused(host, family, options: dict[str, Any], said: str) -> None:
    before = snapshot(host)
    with pytest.raises(ConfigError, match=said):
        pa.attach(host, {"placement": "layers"} | options)
    after = snapshot(host)
    before.pop("weights"), after.pop("weights")
    assert before == after


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_a_language_model_that_is_no_list_of_layers_is_refused(host, monkeypatch) -> None:
    with pytest.raises(HostError, match="is no list of layers"):
        pa.attach(host, {"placement": "layers", "host_options": {"language_model": ["multi_modal_projector"]}})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"placement": "layer"}, "placement='layer' is unknown. Did you mean 'layers'"),
        ({"layer_rank": 0}, "layer_rank=0"),
        ({"layer_modules": []}, "layer_modules"),
        ({"layer_modules": "q_proj"}, "layer_modules='q_proj'"),
        ({"layers": "some"}, "layers='some'"),
        ({"layers": [-1]}, "layers="),
        ({"placement": "layers", "residual_scale": 0.1}, "residual_scale=0.1"),
        ({"placement": "layers", "moe_scale": 2}, "moe_scale=2"),
    ],
    ids=str,
)
def test_impossible_settings_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        pa.AdapterConfig(**options)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_options_that_layers_do_not_have_are_refused(host) -> None:
    with pytest.raises(ConfigError, match=r"'shared_rnk'. Did you mean 'shared_rank'"):
        pa.attach(host, {"placement": "layers", "expert_options": {"shared_rnk": 2}})


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_parameters_are_counted_by_place(host, family) -> None:
    for placement, places in (("layers", {"router", "layers"}), ("both", {"router", "projector_experts", "layers"})):
        handle = pa.attach(host, adapter(family, placement=placement, expert_options={"shared_rank": 1}))
        counts = handle.parameter_report()["adapter"]
        assert counts["parameters"] == sum(p.numel() for p in handle.module.parameters())
        assert {name for name in counts if name not in ("parameters", "trainable")} == places
        assert counts["layers"] == sum(p.numel() for p in handle.module.layer_experts.parameters())
        assert sum(counts[place] for place in places) == counts["parameters"]
        handle.detach()


class Int8Linear(torch.nn.Module):
    """As libraries of quantised weights have them: no ``nn.Linear``, nothing to train, sizes by name."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.scale = float(linear.weight.detach().abs().max()) / 127
        self.register_buffer("weight", (linear.weight.detach() / self.scale).round().to(torch.int8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self.weight.to(x.dtype) * self.scale)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_a_layer_that_the_host_does_not_call_is_named(attached, inputs, monkeypatch) -> None:
    """As fused kernels do, which take a layer's weight: its experts would be silent."""
    own = attached.model.model.language_model.layers[1].mlp
    pa.self_test(attached, inputs)  # says nothing
    attached.detach()
    handle = pa.attach(attached.model, {"placement": "layers", "layer_modules": ["up_proj", "down_proj"]})
    weights = own.gate_proj.weight, own.up_proj.weight

    def fused(x: torch.Tensor) -> torch.Tensor:
        gate, up = (torch.nn.functional.linear(x, weight) for weight in weights)
        return own.down_proj(own.act_fn(gate) * up)

    monkeypatch.setattr(own, "forward", fused)
    with pytest.warns(pa.errors.ParrotWarning, match="the experts of 1 linear layers do nothing.*layers.1.mlp.up_proj"):
        pa.self_test(handle, inputs)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_quantised_layers(host, family, inputs) -> None:
    """The base layer stays as it is; gradients reach the experts through it."""
    for attention in (layer.self_attn for layer in host.model.language_model.layers):
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(attention, name, Int8Linear(getattr(attention, name)))
    bare = logits(host, inputs)
    handle = pa.attach(host, adapter(family))
    assert torch.equal(logits(host, inputs), bare)
    trained(handle)
    assert not torch.equal(logits(host, inputs)[:2], bare[:2])
    assert torch.equal(logits(host, inputs)[2], bare[2])
    handle.freeze_host()
    host(**inputs).logits[:, -1].square().sum().backward()
    assert all(p.grad is not None for p in handle.module.layer_experts.at("layers.0.self_attn.q_proj").parameters())
    handle.detach()
    assert torch.equal(logits(host, inputs), bare)
