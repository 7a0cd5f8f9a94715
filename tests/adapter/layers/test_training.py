"""Training the layers' experts: where gradients go, and that recomputing activations changes none of them."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest
import torch
from miniatures import PROMPTS
from support.layers_by_hand import SlowHost, adapter, logits, trained
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.hosts import visual_tokens
from parrot_adapters.hosts.visual_tokens import CHECKPOINT, CarriesVisualTokens


def loss_of(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    return model(**inputs).logits[:, -1].square().sum()


def gradients(handle: pa.Attachment, *batches: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Of the sum over some batches, all of whose forward passes come before the backward pass."""
    handle.model.zero_grad()
    torch.stack([loss_of(handle.model, batch) for batch in batches]).sum().backward()
    return {name: p.grad.clone() for name, p in handle.module.named_parameters() if p.grad is not None}


def test_gradients_reach_the_adapter_alone(attached, inputs) -> None:
    attached.freeze_host()
    found = gradients(attached, inputs)
    mine = {id(p) for p in attached.module.parameters()}
    assert all(p.grad is None for p in attached.model.parameters() if id(p) not in mine)
    names = {name for name, _ in attached.module.named_parameters()}
    last = max(n for n in names if n.startswith("layer_experts.layers"))
    assert found.keys() >= names - {n for n in names if "o_proj" in n or "out_proj" in n or "dense" in n} - {last}
    assert all(g.isfinite().all() for g in found.values())
    assert found["router.gate"].abs().sum() > 0
    assert all(g.abs().sum() > 0 for name, g in found.items() if ".0." in name and name.endswith("compress"))


@pytest.mark.parametrize("family", ["llava", "gemma3"], indirect=True)
def test_gradients_are_the_slow_hosts(host, family, inputs) -> None:
    """Router included."""
    handle = trained(pa.attach(host, adapter(family, expert_options={"shared_rank": 1})))
    handle.freeze_host()
    found = gradients(handle, inputs)
    slow = SlowHost(family.build(), handle)
    handle.model.zero_grad()
    slow.logits(inputs, graph=True)[:, -1].square().sum().backward()
    for name, parameter in handle.module.named_parameters():
        if name in found and parameter.grad is not None:
            assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-4 * float(parameter.grad.abs().max() + 1))
    assert len(found) > 20


# --- activations that are computed again ----------------------------------------------------------------------------


def recompute(model: Any, **options: Any) -> None:
    """By either name: transformers renamed it."""
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)(options or None)


def check_recomputing(handle: pa.Attachment, *batches: dict[str, Any], reentrant: bool = False) -> None:
    handle.freeze_host()
    handle.model.train()
    for module in handle.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    expected = gradients(handle, *batches)
    recompute(handle.model, use_reentrant=reentrant)
    found = gradients(handle, *batches)
    assert any(isinstance(m.__dict__.get(CHECKPOINT), CarriesVisualTokens) for m in handle.model.modules())
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(found[name], value, rtol=1e-4, atol=1e-5 * float(value.abs().max() + 1))


def test_recomputed_layers_have_the_same_gradients(attached, inputs) -> None:
    check_recomputing(attached, inputs)


@pytest.mark.parametrize("family", ["llava", "gemma3", "qwen2_5_vl"], indirect=True)
@pytest.mark.parametrize("reentrant", [False, True])
def test_two_batches_before_one_backward(attached, family, inputs, reentrant: bool) -> None:
    """Each batch's layers are computed again with its own tokens, text-only ones without any."""
    other = family.batch([PROMPTS[1]])
    text = family.batch([PROMPTS[2], PROMPTS[2]])
    check_recomputing(attached, inputs, other, text, reentrant=reentrant)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
@pytest.mark.parametrize("broken", ["forgotten", "the last call's"])
def test_recomputing_without_the_tokens_is_caught(attached, family, inputs, monkeypatch, broken: str) -> None:
    latest: list[Any] = []
    own = visual_tokens._Recomputed.__call__

    def call(self: Any, units: Any, *args: Any, **kwargs: Any) -> Any:
        if torch._C._current_graph_task_id() == -1:  # the first time
            latest[:] = [self]
            return own(self, units, *args, **kwargs)
        if broken == "forgotten":
            return self.function(*args, **kwargs)
        self.tokens = latest[0].tokens
        return own(self, latest[0].tokens.units, *args, **kwargs)

    monkeypatch.setattr(visual_tokens._Recomputed, "__call__", call)
    with pytest.raises((AssertionError, RuntimeError, torch.utils.checkpoint.CheckpointError, pa.ParrotError)):
        check_recomputing(attached, inputs, family.batch([PROMPTS[1]]), reentrant=False)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_checkpointing_is_given_back(host, family, inputs) -> None:
    recompute(host)
    before = {name: m.__dict__.get(CHECKPOINT) for name, m in host.named_modules()}
    handle = trained(pa.attach(host, adapter(family)))
    host.train()
    loss_of(host, inputs).backward()
    handle.detach()
    assert {name: m.__dict__.get(CHECKPOINT) for name, m in host.named_modules()} == before


def wrapped(handle: pa.Attachment, wrap: Any) -> Any:
    """The host with every decoder layer in a wrapper."""
    layers = handle.parts.module(handle.parts.language_model).layers
    for number, layer in enumerate(layers):
        layers[number] = wrap(layer)
    return handle.model


@pytest.mark.parametrize("family", ["llava"], indirect=True)
@pytest.mark.parametrize("kind", ["NO_REENTRANT", "REENTRANT"])
def test_layers_in_torchs_own_wrapper_have_the_same_gradients(attached, family, inputs, kind: str) -> None:
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointImpl, checkpoint_wrapper

    batches = [inputs, family.batch([PROMPTS[2], PROMPTS[2]]), family.batch([PROMPTS[1]])]
    batches = [batch | {"use_cache": False} for batch in batches]  # which would remember the layers' second run
    attached.model.train().enable_input_require_grads()  # re-entrant checkpointing needs it, for text alone
    expected = gradients(attached, *batches)
    wrapped(attached, lambda layer: checkpoint_wrapper(layer, CheckpointImpl[kind]))
    found = gradients(attached, *batches)
    assert found.keys() == expected.keys() != set()
    assert expected["router.gate"].abs().sum() > 0
    for name, value in expected.items():
        assert_close(found[name], value, rtol=1e-4, atol=1e-5 * float(value.abs().max() + 1))


class Stranger(torch.nn.Module):
    """Computes a layer again in the backward pass, in a way that nobody knows."""

    def __init__(self, layer: torch.nn.Module, *, reentrant: bool) -> None:
        super().__init__()
        self.layer, self.reentrant = layer, reentrant

    def forward(self, hidden: torch.Tensor, **kwargs: Any) -> Any:
        run = functools.partial(self.layer, **kwargs)
        return torch.utils.checkpoint.checkpoint(run, hidden, use_reentrant=self.reentrant)

    def __getattr__(self, name: str) -> Any:
        found = self._modules.get(name)
        return getattr(self._modules["layer"], name) if found is None else found


@pytest.mark.parametrize("family", ["llava"], indirect=True)
@pytest.mark.parametrize("reentrant", [False, True])
def test_layers_computed_again_by_a_stranger_are_refused(attached, family, inputs, reentrant: bool) -> None:
    attached.model.train().enable_input_require_grads()
    wrapped(attached, lambda layer: Stranger(layer, reentrant=reentrant))
    with pytest.raises(pa.ParrotError, match="computed again in the backward pass"):
        gradients(attached, inputs | {"use_cache": False})


# --- a few steps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llava", "gemma3"], indirect=True)
@pytest.mark.parametrize("options", [{}, {"num_experts": 1, "router": "uniform"}, {"placement": "both"}], ids=str)
@pytest.mark.few(2)
def test_it_learns(host, family, inputs, options: dict[str, Any]) -> None:
    handle = pa.attach(host, adapter(family, **options))
    handle.freeze_host()
    optimizer = torch.optim.AdamW(handle.parameters(), lr=1e-2)
    ids = torch.tensor([50, 51, 52])
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(host(**inputs).logits[:2, -1], ids[:2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_added_losses_and_batches_without_images(host, family) -> None:
    """Parameters take part in every backward pass, whatever is in the batch."""
    handle = pa.attach(host, adapter(family))
    handle.freeze_host()
    handle.add_losses({"load-balancing": 0.1})
    host.train()
    text = family.batch([PROMPTS[2]])
    host(**text, labels=text["input_ids"]).loss.backward()
    assert all(p.grad is not None for p in handle.module.parameters())


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_autocast(attached, inputs) -> None:
    before = logits(attached.model, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        after = logits(attached.model, inputs)
    assert_close(after.float(), before, rtol=0.1, atol=0.3)


@pytest.mark.parametrize("family", ["llava", "gemma3"], indirect=True)
def test_lora_of_peft_beside_it(host, family, inputs) -> None:
    """On the same layers, in either order, and either alone."""
    lora = {"r": 2, "target_modules": ["q_proj", "v_proj"]}
    bare = logits(host, inputs)
    handle = pa.attach(host, adapter(family), lora=lora)
    assert torch.equal(logits(host, inputs), bare)
    trained(handle)
    layers_only = logits(host, inputs)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in handle.carried.lora.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    both = logits(host, inputs)
    assert not torch.equal(both, layers_only)
    assert (both - bare)[2].abs().max() > 1e-3  # LoRA changes text, too; the layers alone do not
    assert torch.equal(layers_only[2], bare[2])
    handle.freeze_host()
    loss_of(host, inputs).backward()
    assert all(p.grad is not None for p in handle.carried.lora.parameters())
    with handle.disabled():
        assert torch.equal(logits(host, inputs), bare)
    handle.detach()
    assert torch.equal(logits(host, inputs), bare)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft itself
@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_a_peft_model(family, inputs) -> None:
    """peft's own model around the host first, then the adapter: its base layers get the experts."""
    from peft import LoraConfig, get_peft_model

    plain = trained(pa.attach(family.build(), adapter(family)))
    wrapped = get_peft_model(family.build(), LoraConfig(r=2, target_modules=r".*language_model.*\.(q_proj|o_proj)"))
    handle = trained(pa.attach(wrapped, adapter(family)))
    assert handle.module.layer_experts.paths == plain.module.layer_experts.paths
    assert_close(logits(wrapped, inputs), logits(plain.model, inputs), rtol=1e-4, atol=1e-5)  # LoRA starts at zero
    handle.detach()


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_a_copy_trains_by_itself(attached, inputs) -> None:
    twin = copy.deepcopy(attached.model)
    own = pa.attachment_of(twin)
    gradients(own, inputs)
    assert all(p.grad is None for p in attached.module.parameters())
