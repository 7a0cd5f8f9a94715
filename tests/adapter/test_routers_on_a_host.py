"""The routers on a host: save and load, training, languages declared or detected, abstaining bit for bit."""

from __future__ import annotations

import pytest
import torch
from miniatures import FAMILIES, Image, awake, tokenizer
from torch import nn

import parrot_adapters as pa
from parrot_adapters.errors import ConfigError, HostError

FAMILY = FAMILIES["llava"]
PROMPTS = [[30, 31, Image(1), 32, 33], [40, 41, 42, Image(2), 43], [50, Image(3), 51, 52]]
ROUTERS = ("per-token", "top-k", "language-id", "visual-only", "uniform", "frozen")


@pytest.fixture
def host():
    return FAMILY.build()


@pytest.fixture(scope="module")
def inputs():
    return FAMILY.batch(PROMPTS)


def logits(host, inputs):
    with torch.no_grad():
        return host(**inputs).logits


def config_of(router, **settings):
    return pa.AdapterConfig(router=router, num_experts=3, expert_hidden_size=6, **settings)


@pytest.mark.parametrize("router", ROUTERS)
def test_attached_saved_loaded_detached(host, inputs, tmp_path, router):
    bare = logits(host, inputs)
    with pa.attach(host, config_of(router)) as handle, handle.languages(["en", "zh", "pt"]):
        assert torch.equal(logits(host, inputs), bare)
        adapted = logits(awake(handle).model, inputs)
        assert not torch.equal(adapted, bare)
        handle.save_pretrained(tmp_path / "adapter")
    assert torch.equal(logits(host, inputs), bare)
    with pa.load_adapter(host, tmp_path / "adapter") as handle, handle.languages(["en", "zh", "pt"]):
        assert torch.equal(logits(host, inputs), adapted)


@pytest.mark.parametrize("expert", ["merged", "low-rank", "shared-swiglu"])
def test_experts_attached_saved_loaded(host, inputs, tmp_path, expert):
    bare = logits(host, inputs)
    with pa.attach(host, config_of("text-guided", expert=expert)) as handle:
        assert torch.equal(logits(host, inputs), bare)
        adapted = logits(awake(handle).model, inputs)
        assert not torch.equal(adapted, bare)
        handle.save_pretrained(tmp_path / "adapter")
    with pa.load_adapter(host, tmp_path / "adapter"):
        assert torch.equal(logits(host, inputs), adapted)


def test_experts_for_items_are_refused_with_a_strangers_router_of_tokens(host, request):
    class Undeclared(nn.Module):
        def __init__(self, width, num_experts):
            super().__init__()
            self.of_token = nn.Linear(width, num_experts)

        def forward(self, inputs):
            logits = self.of_token(inputs.tokens.float())
            return pa.Routing(logits.softmax(-1), logits, per_token=True)

    class Plugin:
        @pa.hookimpl
        def register_routers(self, register):
            register("undeclared", Undeclared)

    name = pa.plugins.register(Plugin(), "undeclared")
    request.addfinalizer(lambda: pa.plugins.manager.unregister(name))
    with pytest.raises(ConfigError, match=r"expert='merged' takes one routing .* router='undeclared' routes every"):
        pa.attach(host, config_of("undeclared", expert="merged"))
    assert not hasattr(host.base_model, "parrot_adapter")
    pa.attach(host, config_of("undeclared")).detach()


def test_noise_is_for_training_alone(host, inputs):
    """An adapter takes the host's mode as it is attached, and goes with it: no noise in what a user is answered."""
    noisy = config_of("top-k", router_options={"k": 1, "noise": 50.0})
    with pa.attach(host.eval(), noisy) as handle:
        assert not any(part.training for part in handle.module.modules())
        awake(handle)
        assert torch.equal(logits(host, inputs), logits(host, inputs))
        host.train()
        assert handle.module.router.training
        assert any(not torch.equal(logits(host, inputs), logits(host, inputs)) for _ in range(5))
        host.eval()
        assert torch.equal(logits(host, inputs), logits(host, inputs))
    with pa.attach(host.train(), noisy) as handle:
        assert handle.module.router.training


def test_balancing_state_is_saved(host, inputs, tmp_path):
    with pa.attach(host, config_of("top-k", router_options={"k": 1})) as handle:
        awake(handle)
        host.train()
        host(**FAMILY.batch(PROMPTS[:2])).logits.sum().backward()  # two items cannot fill three experts evenly
        steps = handle.module.router.balance_steps.clone()
        assert steps.any()
        handle.save_pretrained(tmp_path / "adapter")
    with pa.load_adapter(host, tmp_path / "adapter") as handle:
        assert torch.equal(handle.module.router.balance_steps, steps)


def test_unknown_languages_are_the_bare_host_bit_for_bit(host, inputs):
    bare = logits(host, inputs)
    with pa.attach(host, config_of("language-id", residual_scale=0.1)) as handle:
        awake(handle)
        assert torch.equal(logits(host, inputs), bare)  # nobody declared anything
        with handle.languages(["tr", None, "xx"]):
            changed = (logits(host, inputs) != bare).flatten(1).any(1)
        assert changed.tolist() == [True, False, False]


def test_languages_are_declared_to_one_host_and_leave_anothers_alone(host, inputs):
    one, other = (pa.attach(model, config_of("language-id")) for model in (host, FAMILY.build()))
    with one.languages(["en", "zh", "pt"]), other.languages(["ar", "tr", None]):
        for handle, told in ((one, ("en", "zh", "pt")), (other, ("ar", "tr", None))):
            with handle.record_routing() as log:
                logits(handle.model, inputs)
            assert log[0].languages == told


@pytest.mark.parametrize("declared", [["en", "tr"], ["en", "tr", "zh", "pt"]], ids=["too few", "too many"])
def test_a_language_is_declared_for_each_prompt(host, inputs, declared):
    handle = pa.attach(host, config_of("language-id"))
    said = f"{len(declared)} languages were declared for a batch of 3 prompts"
    with handle.languages(declared), pytest.raises(HostError, match=said):
        logits(host, inputs)


def test_in_generate_too(host, inputs):
    arguments = {"max_new_tokens": 4, "do_sample": False}
    bare = host.generate(**inputs, **arguments)
    with pa.attach(host, config_of("language-id", residual_scale=0.1, moe_scale=3.0)) as handle:
        awake(handle)
        with handle.languages([None] * 3):
            assert torch.equal(host.generate(**inputs, **arguments), bare)


class FirstWord:
    """Detects Turkish where the first word of a prompt is w30, nothing elsewhere."""

    def __init__(self, words):
        self.words = words

    def __call__(self, token_ids, text_mask):
        first = [self.words.decode(ids[mask][:1]) for ids, mask in zip(token_ids, text_mask, strict=True)]
        return ["tr" if word == "w30" else None for word in first]


class Plugin:
    @pa.hookimpl
    def register_detectors(self, register):
        register("first-word", FirstWord)


def test_detected_languages(host, inputs):
    name = pa.plugins.register(Plugin(), "first-word-plugin")
    try:
        bare = logits(host, inputs)
        config = config_of("language-id", detector="first-word", router_options={"languages": ["tr"]})
        with pa.attach(host, config, processor=tokenizer()) as handle:
            awake(handle)
            with handle.record_routing() as log:
                changed = (logits(host, inputs) != bare).flatten(1).any(1)
            assert changed.tolist() == [True, False, False]
            assert log[0].languages == ("tr", None, None)
            with handle.languages([None, "tr", "tr"]):  # declared goes before detected
                changed = (logits(host, inputs) != bare).flatten(1).any(1)
            assert changed.tolist() == [False, True, True]
    finally:
        pa.plugins.manager.unregister(name)


def test_the_tables_own_loss_is_collected(host, inputs):
    options = {"mode": "table", "languages": ["en", "tr"]}
    with pa.attach(host, config_of("language-id", router_options=options)) as handle:
        host.train()
        with handle.languages(["tr", "en", None]), handle.record_routing(graph=True) as log:
            host(**inputs)
        losses = pa.auxiliary_losses(log, {})
        assert set(losses) == {"router/language"}
        losses["router/language"].backward()
        assert handle.module.router.table.grad.any()
