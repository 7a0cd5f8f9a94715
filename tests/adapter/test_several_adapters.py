"""Several adapters on one host: each is the one it was whenever it is active, and none notices the others."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from support.adapters import LORA, assert_same_bits, bits, disturb, logits, tiny_host, traces, two_prompts

import parrot_adapters as pa
from parrot_adapters.errors import CheckpointError, ConfigError, HostError, ParrotWarning, UnknownNameError

AT_PROJECTOR = {"num_experts": 3, "expert_hidden_size": 8}
INSIDE = {"num_experts": 2, "placement": "layers", "layer_rank": 2}
BOTH = {"num_experts": 2, "expert_hidden_size": 4, "placement": "both", "layer_rank": 2}
OTHER_LORA = {"r": 3, "target_modules": ["k_proj"]}
INPUTS = two_prompts()


def several(host: Any) -> tuple[pa.Attachment, dict[str, torch.Tensor]]:
    """Three adapters of every kind, all perturbed, and the logits of each; ``"default"`` is active."""
    handle = pa.attach(host, AT_PROJECTOR, train_projector=True, lora=LORA)
    handle.add_adapter("both", BOTH, train_projector=True, lora=OTHER_LORA)
    handle.add_adapter("inside", INSIDE)
    wanted = {}
    for seed, name in enumerate(handle.adapters):
        handle.set_adapter(name)
        disturb(handle, seed + 1)
        wanted[name] = logits(host, INPUTS)
    handle.set_adapter("default")
    return handle, wanted


def test_switching_is_bitwise_and_detaching_gives_the_host_back(host) -> None:
    bare = logits(host, INPUTS)  # transformers puts hooks on at the first pass
    host.requires_grad_(False)
    before, looks = bits(host), traces(host)
    handle, wanted = several(host)
    assert handle.adapters == ("default", "both", "inside")
    for name in ("both", "default", "inside", "default", "both"):
        handle.set_adapter(name)
        assert handle.active_adapter == name
        assert torch.equal(logits(host, INPUTS), wanted[name])
        with handle.disabled():
            assert torch.equal(logits(host, INPUTS), bare)
        handle.disable()
        assert torch.equal(logits(host, INPUTS), bare)
        handle.enable()
    assert len({tuple(made.flatten().tolist()) for made in [bare, *wanted.values()]}) == 4
    handle.detach()
    assert torch.equal(logits(host, INPUTS), bare)
    assert_same_bits(bits(host), before)
    assert traces(host) == looks  # the very parameters, too


@pytest.mark.parametrize("switched_off", [False, True])
def test_a_new_adapter_changes_nothing_until_it_is_trained(host, switched_off: bool) -> None:
    bare = logits(host, INPUTS)
    handle = pa.attach(host, AT_PROJECTOR, train_projector=True)
    disturb(handle)
    first = logits(host, INPUTS)
    if switched_off:
        handle.disable()
    handle.add_adapter("both", BOTH, train_projector=True, lora=OTHER_LORA)
    assert torch.equal(logits(host, INPUTS), bare if switched_off else first)
    handle.set_adapter("both")
    assert torch.equal(logits(host, INPUTS), bare)
    handle.enable()
    assert torch.equal(logits(host, INPUTS), bare)
    assert handle.config.placement == "both"
    assert handle.lora_config.r == 3
    handle.set_adapter("default")
    assert torch.equal(logits(host, INPUTS), first)


def test_each_is_saved_and_loaded_by_itself(host, tmp_path) -> None:
    handle, wanted = several(host)
    for name in handle.adapters:
        handle.save_pretrained(tmp_path / name, name=name)
    assert handle.active_adapter == "default"
    for name, made in wanted.items():  # one by one on a fresh host
        fresh = tiny_host()
        pa.load_adapter(fresh, tmp_path / name)
        assert torch.equal(logits(fresh, INPUTS), made)
    other = pa.attach(tiny_host(), AT_PROJECTOR)
    for name in wanted:
        other.load_adapter(tmp_path / name, f"{name}-again")
    for name, made in wanted.items():
        other.set_adapter(f"{name}-again")
        assert torch.equal(logits(other.model, INPUTS), made)


def test_a_projector_alone_is_one_of_them(host, tmp_path) -> None:
    with pa.attach_projector(tiny_host()) as alone:
        disturb(alone)
        alone.save_pretrained(tmp_path / "projector")
        made = logits(alone.model, INPUTS)
    handle = pa.attach(host, INSIDE)
    handle.load_adapter(tmp_path / "projector", "projector")
    handle.set_adapter("projector")
    assert handle.module is None
    assert torch.equal(logits(host, INPUTS), made)


def test_deep_copies_have_adapters_of_their_own(host) -> None:
    handle, wanted = several(host)
    handle.set_adapter("both")
    twin = copy.deepcopy(host)
    theirs = pa.attachment_of(twin)
    for name, made in wanted.items():
        theirs.set_adapter(name)
        disturb(theirs, 9)
        handle.set_adapter(name)
        assert torch.equal(logits(host, INPUTS), made)
    bare = logits(tiny_host(), INPUTS)
    theirs.detach()
    assert torch.equal(logits(twin, INPUTS), bare)


def step(handle: pa.Attachment, optimizer: torch.optim.Optimizer) -> None:
    labels = INPUTS["input_ids"].clone()
    handle.model(**INPUTS, labels=labels).loss.backward()
    optimizer.step()


def test_only_the_active_one_trains(host) -> None:
    """A stale optimizer of another adapter, with momentum, decay and stale gradients, moves nothing that is active."""
    handle, wanted = several(host)
    optimizers = {}
    for name in ("default", "both"):
        handle.set_adapter(name)
        optimizers[name] = torch.optim.AdamW(handle.parameters(), lr=0.1)
        assert all(p.requires_grad for p in handle.parameters())
        assert {id(p) for p in handle.parameters()} == {id(p) for p in host.parameters() if p.requires_grad}
    first = {id(p) for group in optimizers["default"].param_groups for p in group["params"]}
    assert not first & {id(p) for p in handle.parameters()}
    waiting = [p for group in optimizers["default"].param_groups for p in group["params"]]
    assert not any(p.requires_grad for p in waiting), "what waits does not train"
    step(handle, optimizers["both"])
    trained = logits(host, INPUTS)
    assert not torch.equal(trained, wanted["both"])
    handle.set_adapter("default")
    assert torch.equal(logits(host, INPUTS), wanted["default"])
    optimizers["both"].step()  # its gradients are still there
    assert torch.equal(logits(host, INPUTS), wanted["default"])
    with handle.disabled():
        assert torch.equal(logits(host, INPUTS), logits(tiny_host(), INPUTS))
    handle.module.router.requires_grad_(False)
    handle.set_adapter("inside")
    assert torch.equal(logits(host, INPUTS), wanted["inside"])
    handle.set_adapter("default")
    assert not any(p.requires_grad for p in handle.module.router.parameters())
    assert all(p.requires_grad for p in handle.module.experts.parameters())


def test_the_host_may_be_cast_while_an_adapter_waits(host) -> None:
    handle, wanted = several(host)
    host.double()
    for name, made in wanted.items():
        handle.set_adapter(name)
        assert torch.allclose(logits(host, INPUTS), made.double(), atol=1e-5)
    handle.detach()
    assert {p.dtype for p in host.parameters()} == {torch.float64}
    assert torch.allclose(logits(host, INPUTS), logits(tiny_host(), INPUTS).double(), atol=1e-5)


def test_what_was_opened_holds_for_whichever_is_active(host) -> None:
    handle, _ = several(host)
    seen = []
    handle.add_observer(lambda record: seen.append(record.weights.shape[1]))
    with handle.record_routing() as log, handle.languages(["tr", None]):
        logits(host, INPUTS)
        handle.set_adapter("inside")
        logits(host, INPUTS)
    assert seen == [3, 2] == [record.weights.shape[1] for record in log]
    assert [record.languages for record in log] == [("tr", None)] * 2


def test_deleting(host) -> None:
    bare = logits(host, INPUTS)
    handle, wanted = several(host)
    with pytest.raises(HostError, match="is active and cannot be deleted"):
        handle.delete_adapter("default")
    handle.set_adapter("both")
    handle.delete_adapter("default")  # whose parameters were the host's own objects
    assert handle.adapters == ("both", "inside")
    assert torch.equal(logits(host, INPUTS), wanted["both"])
    handle.add_adapter("default", AT_PROJECTOR, train_projector=True)
    handle.set_adapter("default")
    assert torch.equal(logits(host, INPUTS), bare)
    handle.detach()
    assert torch.equal(logits(host, INPUTS), bare)


def test_the_host_alone_is_saved_whichever_is_active(host, tmp_path) -> None:
    handle, _ = several(host)
    fresh = tiny_host()
    for name in handle.adapters:
        handle.set_adapter(name)
        host.save_pretrained(tmp_path / name)
        again = type(fresh).from_pretrained(tmp_path / name)
        assert_same_bits(bits(again), bits(fresh))


def test_a_trainers_checkpoint_says_which_adapter_it_holds(host, tmp_path) -> None:
    handle, wanted = several(host)
    handle.set_adapter("both")
    with pytest.warns(ParrotWarning, match=r"holds adapter 'both'(.|\n)*default, inside"):
        handle.write_checkpoint(tmp_path)
    fresh = tiny_host()
    pa.load_adapter(fresh, tmp_path)
    assert torch.equal(logits(fresh, INPUTS), wanted["both"])
    kept = {name: value.clone() for name, value in host.state_dict().items()}
    handle.set_adapter("inside")
    with pytest.raises(CheckpointError, match="adapter of another kind"):
        host.load_state_dict(kept)


def test_what_cannot_be_is_refused(host, tmp_path) -> None:
    handle, wanted = several(host)
    with pytest.raises(UnknownNameError, match=r"Did you mean 'inside'"):
        handle.set_adapter("insid")
    with pytest.raises(ConfigError, match="has an adapter 'both' already"):
        handle.add_adapter("both", AT_PROJECTOR)
    with pytest.raises(ConfigError, match="has an adapter 'both' already"):
        handle.load_adapter(tmp_path, "both")
    with pytest.raises(ConfigError, match="must be text"):
        handle.add_adapter("", AT_PROJECTOR)
    for merge in (handle.merge_lora, handle.merge_projector):
        with pytest.raises(HostError, match=r"others +both, inside"):
            merge()
    # Whatever fails half way leaves the active one as it was, and no new name.
    with pytest.raises(ConfigError):
        handle.add_adapter("new", AT_PROJECTOR, train_projector=True, lora={"target_modules": ["nothing"]})
    with pytest.raises(CheckpointError):
        handle.load_adapter(tmp_path, "new")
    assert handle.adapters == ("default", "both", "inside")
    assert torch.equal(logits(host, INPUTS), wanted["default"])
    handle.detach()
    for call in (lambda: handle.set_adapter("both"), lambda: handle.add_adapter("x")):
        with pytest.raises(HostError, match="detached"):
            call()


def test_the_comparison_notices_a_switch_that_leaves_a_projector_behind(host, monkeypatch) -> None:
    """A double whose projector weights do not come back."""
    from parrot_adapters.hosts.switched_weights import SwitchedWeights

    handle, wanted = several(host)
    handle.set_adapter("inside")
    monkeypatch.setattr(SwitchedWeights, "come_back", lambda self: None)
    handle.set_adapter("default")
    assert not torch.equal(logits(host, INPUTS), wanted["default"])
