"""Attaching, switching and detaching: what belongs to the host comes back bit for bit, trace for trace."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

import parrot_adapters as pa
from parrot_adapters.errors import AlreadyAttachedError, ConfigError, HostError
from parrot_adapters.hosts.switched_weights import SwitchedWeights

PEFT_ITSELF_WARNS = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

# --- the host comes back -------------------------------------------------------------------------------------------


def check_detach(kit, host, inputs, **options) -> None:
    """Attach, train everything, run, detach: the host is what it was."""
    before = kit.logits(host, inputs)
    with kit.Untouched(host):
        handle = pa.attach(host, {"num_experts": 3, "expert_hidden_size": 8}, **options)
        kit.disturb(handle)
        assert not torch.equal(kit.logits(host, inputs), before)
        handle.detach()
        handle.detach()  # twice does nothing
    assert torch.equal(kit.logits(host, inputs), before)


OWNED = {"layer": {}, "projector": {"train_projector": True}, "lora": {"lora": True}}
OWNED["all"] = OWNED["projector"] | OWNED["lora"]


@pytest.fixture(params=OWNED)
def owned(request, kit):
    return {key: kit.LORA if key == "lora" else value for key, value in OWNED[request.param].items()}


def test_detach(kit, host, inputs, owned):
    check_detach(kit, host, inputs, **owned)


def test_detach_from_a_bf16_host_in_training_mode(kit, make_host, inputs, owned):
    check_detach(kit, make_host(dtype=torch.bfloat16).train(), inputs, **owned)


def test_disabled_is_the_bare_host(kit, host, inputs, owned):
    bare, weights = kit.logits(host, inputs), kit.bits(host)
    handle = pa.attach(host, {"num_experts": 3, "expert_hidden_size": 8}, **owned)
    kit.disturb(handle)
    adapted = kit.logits(host, inputs)
    with handle.disabled():
        assert not handle.active
        assert torch.equal(kit.logits(host, inputs), bare)
        live = {name.replace(".base_layer.", "."): value for name, value in kit.bits(host).items()}
        kit.assert_same_bits({name: live[name] for name in weights}, weights)
        with handle.disabled():
            pass
        assert not handle.active, "the inner block does not enable what the outer one disabled"
    assert handle.active
    assert torch.equal(kit.logits(host, inputs), adapted)


def test_attaching_changes_nothing(kit, host, inputs, owned):
    before = kit.logits(host, inputs)
    pa.attach(host, {"num_experts": 3, "expert_hidden_size": 8}, **owned)
    assert torch.equal(kit.logits(host, inputs), before)


@pytest.mark.parametrize("attribute", ["_keys_to_ignore_on_save", "save_pretrained"])
def test_attributes_of_the_instance_come_back(host, small, attribute):
    own = {"lm_head.weight"} if attribute.startswith("_") else lambda *args, **kwargs: "mine"
    setattr(host, attribute, own)
    pa.attach(host, small).detach()
    assert host.__dict__[attribute] is own


def test_detach_bites_when_a_hook_is_forgotten(kit, host, inputs, monkeypatch):
    from parrot_adapters.hosts.native_seam import NativeSeam

    monkeypatch.setattr(NativeSeam, "remove", lambda self: None)
    with pytest.raises(AssertionError):
        check_detach(kit, host, inputs)


def test_detach_bites_when_the_projector_stays(kit, host, inputs, monkeypatch):
    monkeypatch.setattr(SwitchedWeights, "use", lambda self, *, adapter: None)
    with pytest.raises(AssertionError, match=r"changed.*multi_modal_projector"):
        check_detach(kit, host, inputs, train_projector=True)


def test_detach_bites_when_lora_stays(kit, host, inputs, monkeypatch):
    from parrot_adapters.hosts.lora import LanguageModelLora

    monkeypatch.setattr(LanguageModelLora, "remove", lambda self: None)
    with pytest.raises(AssertionError):
        check_detach(kit, host, inputs, lora=kit.LORA)


# --- what is trained ------------------------------------------------------------------------------------------------


def trained(host, inputs) -> set[str]:
    """Names of the weights that a backward pass gives a gradient."""
    host(**inputs, labels=inputs["input_ids"]).loss.backward()
    return {name for name, p in host.named_parameters() if p.grad is not None}


def check_frozen(handle, inputs) -> None:
    """After ``freeze_host`` gradients reach the adapter's own weights and no others."""
    handle.freeze_host()
    own = {id(p) for p in handle.parameters()}
    host = handle.model
    mine = {name for name, p in host.named_parameters() if id(p) in own}
    assert trained(host, inputs) == mine


def test_freeze_host(kit, host, inputs, owned):
    handle = pa.attach(host, {"num_experts": 3, "expert_hidden_size": 8}, **owned)
    kit.disturb(handle)
    check_frozen(handle, inputs)


def test_freeze_host_bites_when_one_weight_is_missed(kit, host, inputs, small, monkeypatch):
    handle = pa.attach(host, small)
    freeze = handle.freeze_host

    def sloppy():
        freeze()
        host.lm_head.weight.requires_grad_(True)

    monkeypatch.setattr(handle, "freeze_host", sloppy)
    with pytest.raises(AssertionError, match="lm_head"):
        check_frozen(handle, inputs)


def test_flags_are_the_users_business_and_come_back(kit, host, owned):
    host.model.vision_tower.requires_grad_(False)
    host.model.multi_modal_projector.linear_1.weight.requires_grad_(False)
    with kit.Untouched(host):
        handle = pa.attach(host, {"num_experts": 3, "expert_hidden_size": 8}, freeze_host=False, **owned)
        assert host.lm_head.weight.requires_grad, "this freezes nothing"
        assert not host.model.vision_tower.embeddings.class_embedding.requires_grad, "nor does it thaw"
        if owned.get("train_projector"):
            assert all(p.requires_grad for p in handle.projector.parameters())
        with handle.disabled():
            pass
        assert all(p.requires_grad for p in handle.module.parameters())
        handle.freeze_host()
        handle.detach()


@pytest.mark.parametrize("training", [True, False])
def test_lora_is_in_the_mode_of_the_host(kit, host, small, training):
    """Dropout drops nothing on a host that answers: peft makes it in training mode."""
    host.train(training)
    handle = pa.attach(host, small, lora={**kit.LORA, "lora_dropout": 0.5})
    modes = {module.training for name, module in handle.model.named_modules() if "lora_" in name}
    assert modes == {training}


def test_switching_does_not_thaw_lora(kit, host, small):
    handle = pa.attach(host, small, lora=kit.LORA)
    for parameter in handle.parameters():
        parameter.requires_grad_(False)
    with handle.disabled():
        pass
    assert not any(p.requires_grad for p in handle.parameters())


# --- the adapter's initial weights -----------------------------------------------------------------------------------


def initial(kit, make_host, seed: int) -> dict[str, torch.Tensor]:
    handle = pa.attach(make_host(), pa.AdapterConfig(num_experts=3, expert_hidden_size=8, seed=seed), lora=kit.LORA)
    return {str(i): p.detach().clone() for i, p in enumerate(handle.parameters())}


def test_the_seed_decides(kit, make_host):
    torch.manual_seed(1)
    first = initial(kit, make_host, seed=3)
    torch.manual_seed(2)
    kit.assert_same_bits(initial(kit, make_host, seed=3), first)
    other = initial(kit, make_host, seed=4)
    different = [k for k in first if not torch.equal(first[k], other[k])]
    assert len(different) >= 3, "router, experts and LoRA all follow the seed"


def check_random_state(attach) -> None:
    """Whatever is drawn while attaching, the caller's next random number is the same."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    attach()
    assert torch.equal(torch.rand(3), expected)


def test_the_global_random_state_is_untouched(host, small, owned):
    check_random_state(lambda: pa.attach(host, small, **owned))


def test_the_global_random_state_check_bites(host, small):
    def drawing():
        pa.attach(host, small)
        torch.rand(1)

    with pytest.raises(AssertionError):
        check_random_state(drawing)


# --- refused, and nothing changed -------------------------------------------------------------------------------------

REFUSED = {
    "unknown router": ({"router": "text-guidet"}, {}, ConfigError, "Did you mean 'text-guided'"),
    "unknown expert": ({"expert": "swigluu"}, {}, ConfigError, "Did you mean 'swiglu'"),
    "unknown summary": ({"summary": "meen"}, {}, ConfigError, "Did you mean 'mean'"),
    "unknown key": ({"num_expert": 2}, {}, ConfigError, "Did you mean 'num_experts'"),
    "unknown router option": ({"router_options": {"normalise": "rms"}}, {}, ConfigError, "Did you mean 'normalize'"),
    "unknown host option": ({"host_options": {"units": "row"}}, {}, ConfigError, "Did you mean 'unit'"),
    "top_k 0": ({"top_k": 0}, {}, ConfigError, "between 1 and num_experts=6"),
    "top_k too large": ({"top_k": 7}, {}, ConfigError, "between 1 and num_experts=6"),
    "no such projector": (
        {"host_options": {"projector": ["nowhere"]}},
        {"train_projector": True},
        HostError,
        "no projector found",
    ),
    "LoRA without targets": (
        {},
        {"train_projector": True, "lora": {"target_modules": r"model\.language_model\.nothing"}},
        ConfigError,
        "found nothing to adapt",
    ),
    "LoRA on an unknown layer": ({}, {"lora": {"target_modules": ["query"]}}, ConfigError, "known.*q_proj"),
    "LoRA on the vision tower": ({}, {"lora": {"target_modules": r".*\.q_proj"}}, ConfigError, "reaches outside"),
    "LoRA of rank 0": ({}, {"lora": {"r": 0}}, ConfigError, "rank|r"),
    "LoRA with an unknown argument": ({}, {"lora": {"rank": 2}}, ConfigError, "rank"),
    "LoRA with biases": ({}, {"lora": {"bias": "all"}}, ConfigError, "bias='all' cannot be taken off bit for bit"),
    "LoRA with whole modules": ({}, {"lora": {"modules_to_save": ["lm_head"]}}, ConfigError, "modules_to_save"),
    "LoRA that moves the host's weights": ({}, {"lora": {"init_lora_weights": "pissa"}}, ConfigError, "'pissa'"),
    "LoRA on tokens": ({}, {"lora": {"trainable_token_indices": [1]}}, ConfigError, "trainable_token_indices"),
    "LoRA on numbered layers": (
        {},
        {"lora": {"target_modules": ["q_proj"], "layers_to_transform": [0]}},
        ConfigError,
        "regular expression",
    ),
    "no LoRA at all": ({}, {"lora": 3}, ConfigError, "must be a peft.LoraConfig"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(kit, host, name):
    config, options, error, message = REFUSED[name]
    with kit.Untouched(host), pytest.raises(error, match=message):
        pa.attach(host, {"expert_hidden_size": 8} | config, **options)


@pytest.fixture
def third_layer_fails(monkeypatch):
    """peft puts LoRA layers in one after the other; the third one fails."""
    from peft.tuners.lora import LoraModel

    create, calls = LoraModel._create_and_replace, []

    def failing(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return create(self, *args, **kwargs)

    monkeypatch.setattr(LoraModel, "_create_and_replace", failing)


def test_lora_that_fails_halfway_leaves_no_trace(kit, host, small, third_layer_fails):
    with kit.Untouched(host), pytest.raises(RuntimeError, match="out of memory"):
        pa.attach(host, small, train_projector=True, lora=kit.LORA)


@PEFT_ITSELF_WARNS
@pytest.mark.parametrize("second", ["the model", "its base model", "a peft model around it"])
def test_attaching_twice(kit, host, small, second):
    pa.attach(host, small)
    again = host
    if second == "its base model":
        again = host.model
    elif second == "a peft model around it":
        from peft import LoraConfig, get_peft_model

        again = get_peft_model(host, LoraConfig(target_modules=r".*language_model.*\.q_proj"))
    with kit.Untouched(again), pytest.raises(AlreadyAttachedError, match="carries an adapter already"):
        pa.attach(again, small)


def test_attaching_to_the_outer_model_of_an_attached_base_model(kit, host, small):
    pa.attach(host.model, small)
    with kit.Untouched(host), pytest.raises(AlreadyAttachedError):
        pa.attach(host, small)


def test_attach_again_after_detach(kit, host, inputs, small):
    pa.attach(host, small).detach()
    pa.attach(host, replace(small, expert="mlp"))


@PEFT_ITSELF_WARNS
def test_lora_on_a_host_that_carries_peft_layers(kit, host, small):
    from peft import LoraConfig, get_peft_model

    wrapped = get_peft_model(host, LoraConfig(target_modules=r".*language_model.*\.q_proj"))
    with kit.Untouched(wrapped), pytest.raises(HostError, match="peft layers already"):
        pa.attach(wrapped, small, lora=kit.LORA)


def test_a_deep_copy_keeps_its_own_projector(kit, full, inputs):
    twin = copy.deepcopy(full.model)
    before = kit.logits(twin, inputs)
    full.detach()
    assert torch.equal(kit.logits(twin, inputs), before)
    with pa.attachment_of(twin).disabled():
        assert torch.equal(kit.logits(twin, inputs), kit.logits(full.model, inputs))


def test_the_hosts_own_weights_follow_it_to_another_dtype(kit, make_host, inputs, small):
    host = make_host()
    handle = pa.attach(host, small, train_projector=True)
    kit.disturb(handle)
    host.to(torch.bfloat16)
    handle.detach()
    kit.assert_same_bits(kit.bits(host), kit.bits(make_host().to(torch.bfloat16)))


def test_detach_inside_a_disabled_block(kit, host, small):
    with kit.Untouched(host):
        handle = pa.attach(host, small, train_projector=True)
        kit.disturb(handle)
        with handle.disabled():
            handle.detach()


def test_a_detached_handle_says_so(full):
    full.detach()
    with pytest.raises(HostError, match="was detached"):
        full.enable()
