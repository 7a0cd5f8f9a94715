"""``handle.add_weighted_adapter``: the new adapter adds the weighted sum of what the others add.

Compared where an adapter adds: at the visual tokens as they enter the language model (:meth:`encode`), and at the
output of a linear layer for the same input. Logits are no sum; they are compared where equal adapters give that one.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.adapters import LORA, assert_same_bits, bits, disturb, logits, tiny_host, two_prompts
from support.tiers import late_unless
from torch import Tensor
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.errors import ConfigError, HostError, UnknownNameError

INPUTS = two_prompts()
PLAIN = {"num_experts": 3, "expert_hidden_size": 4, "router": "uniform"}
LANGUAGES = {"router": "language-id", "router_options": {"languages": ["tr", "ar"]}}
INSIDE = {"num_experts": 2, "placement": "layers", "layer_rank": 2, "router": "uniform"}
factors = st.lists(st.floats(-3, 3), min_size=2, max_size=2)
few = settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))


def made(*configs: dict[str, Any], like_first: bool = True, **options: Any) -> pa.Attachment:
    """Adapters ``a``, ``b`` ... on a host, all perturbed; routers are those of the first unless told otherwise."""
    handle = pa.attach(tiny_host(), PLAIN)
    for name, config in zip("abcd", configs, strict=False):
        handle.add_adapter(name, config, **options)
        handle.set_adapter(name)
        disturb(handle, ord(name))
        if like_first and handle.module is not None:
            router = handle.shelf["a"].module.router.state_dict()
            handle.module.router.load_state_dict(router)
    handle.set_adapter("default")
    return handle


@torch.no_grad()
def tokens(handle: pa.Attachment, name: str | None, languages: tuple[str | None, ...] = ("tr", None)) -> Tensor:
    """What the language model reads of the pictures, with one adapter or none."""
    if name is None:
        with handle.disabled():
            return torch.cat(handle.encode(**INPUTS)["image"])
    with handle.switched_to(name), handle.languages(languages):
        return torch.cat(handle.encode(**INPUTS)["image"])


@torch.no_grad()
def first_layer(handle: pa.Attachment, name: str | None) -> Tensor:
    """The first q_proj's output, whose input no adapter inside the layers has touched yet."""
    found: list[Tensor] = []
    with handle.disabled() if name is None else handle.switched_to(name):
        layer = handle.model.get_submodule("model.language_model.layers.0.self_attn.q_proj")
        hook = layer.register_forward_hook(lambda module, given, out: found.append(out.clone()))
        logits(handle.model, INPUTS)
        hook.remove()
    return found[0]


def is_sum(handle: pa.Attachment, look: Any, weights: dict[str, float], name: str = "sum") -> bool:
    """Whether an adapter adds the weighted sum of what the others add."""
    bare = look(handle, None)
    added = {each: look(handle, each) - bare for each in weights}
    assert all(one.abs().max() > 1e-3 for one in added.values())  # each adds something
    wanted = sum(weight * added[each] for each, weight in weights.items())
    scale = max(float((abs(weights[each]) * one).abs().max()) for each, one in added.items())
    return torch.allclose(look(handle, name) - bare, wanted, rtol=1e-4, atol=1e-5 * (1 + scale))


AT_PROJECTOR = {
    "swiglu": [PLAIN, {**PLAIN, "expert_hidden_size": 7}],
    "scales": [{**PLAIN, "moe_scale": 0.5}, {**PLAIN, "residual_scale": 0.25, "moe_scale": 2.0}],
    "mlp": [{**PLAIN, "expert": "mlp"}] * 2,
    "low-rank": [{**PLAIN, "expert": "low-rank", "expert_options": {"scale": scale}} for scale in (2.0, 0.5)],
    "shared": [
        {**PLAIN, "expert": "shared-swiglu", "expert_options": options} for options in ({"shared_hidden_size": 3}, {})
    ],
    "merged": [{**PLAIN, "expert": "merged", "router": "text-guided"}] * 2,
    "conditioned": [{**PLAIN, "expert": "conditioned-swiglu", "router": "text-guided"}] * 2,
    "top-k": [{**PLAIN, "router": "text-guided", "top_k": 2}] * 2,
    "per-token": [{**PLAIN, "router": "per-token"}] * 2,
    "abstains": [{**PLAIN, **LANGUAGES, "residual_scale": 0.5}] * 2,
    "frozen": [{**PLAIN, "router": "frozen", "router_options": {"weights": [0.2, 0.0, 0.8]}}] * 2,
}


@pytest.mark.parametrize("kind", late_unless(["scales", "shared", "conditioned"], AT_PROJECTOR))
@pytest.mark.few(1)
def test_at_the_projector_the_sum_is_exact(kind: str, tmp_path) -> None:
    handle = made(*AT_PROJECTOR[kind])
    apart = [tokens(handle, name) for name in (None, "a", "b")]

    @few
    @given(factors)
    def holds(weights: list[float]) -> None:
        handle.add_weighted_adapter(["a", "b"], weights, "sum")
        assert handle.active_adapter == "default"
        assert is_sum(handle, tokens, dict(zip("ab", weights, strict=True)))
        handle.delete_adapter("sum")

    holds()
    assert all(torch.equal(tokens(handle, name), one) for name, one in zip((None, "a", "b"), apart, strict=True))
    handle.add_weighted_adapter(["a", "b"], [0.5, -2], "sum")
    wanted = tokens(handle, "sum")
    handle.save_pretrained(tmp_path, name="sum")
    handle.load_adapter(tmp_path, "again")
    assert torch.equal(tokens(handle, "again"), wanted)
    fresh = pa.load_adapter(tiny_host(), tmp_path)
    assert torch.equal(tokens(fresh, "default"), wanted)


INSIDE_LAYERS = {
    "low-rank": [INSIDE, {**INSIDE, "layer_rank": 3, "expert_options": {"layer_scale": 0.5}}],
    "shared": [{**INSIDE, "expert_options": {"shared_rank": 2}}, INSIDE],
    "gated": [
        {**INSIDE, "router": "text-guided", "layer_expert": "gated", "expert_options": {"shared_rank": rank}}
        for rank in (1, 2)
    ],
}


@pytest.mark.parametrize("kind", late_unless(["low-rank", "gated"], INSIDE_LAYERS))
def test_inside_the_layers_the_sum_is_exact(kind: str, tmp_path) -> None:
    handle = made(*INSIDE_LAYERS[kind])

    @few
    @given(factors)
    def holds(weights: list[float]) -> None:
        handle.add_weighted_adapter(["a", "b"], weights, "sum")
        assert is_sum(handle, first_layer, dict(zip("ab", weights, strict=True)))
        handle.delete_adapter("sum")

    holds()
    handle.add_weighted_adapter(["a", "b"], [1.5, -1], "sum")
    handle.save_pretrained(tmp_path, name="sum")
    handle.load_adapter(tmp_path, "again")
    assert torch.equal(first_layer(handle, "again"), first_layer(handle, "sum"))


def test_lora_is_summed_with_different_ranks_and_scales(tmp_path) -> None:
    handle = pa.attach(tiny_host(), {**INSIDE, "layer_modules": ["v_proj"]})  # q_proj has LoRA alone
    for name, lora in (
        ("a", {**LORA, "lora_alpha": 3}),
        ("b", {**LORA, "r": 4, "use_rslora": True, "rank_pattern": {"v_proj": 3}, "alpha_pattern": {"q_proj": 5}}),
        ("none", None),
    ):
        handle.add_adapter(name, {**INSIDE, "layer_modules": ["v_proj"]}, lora=lora)
        handle.set_adapter(name)
        disturb(handle, len(name))
    handle.set_adapter("default")

    @few
    @given(factors)
    def holds(weights: list[float]) -> None:
        handle.add_weighted_adapter(["a", "none", "b"], [weights[0], 2.0, weights[1]], "sum")
        assert is_sum(handle, first_layer, dict(zip("ab", weights, strict=True)))
        handle.delete_adapter("sum")

    holds()
    handle.add_weighted_adapter(["b", "a"], [0.5, 0.5], "sum")
    wanted = first_layer(handle, "sum")
    ranks = {path.split(".")[-1]: layer.r for path, layer in handle.shelf["sum"].lora.layers.items()}
    assert {name: list(each.values()) for name, each in ranks.items()} == {"q_proj": [6], "v_proj": [5]}
    handle.save_pretrained(tmp_path, name="sum")
    handle.load_adapter(tmp_path, "again")
    assert torch.equal(first_layer(handle, "again"), wanted)


BOTH = {**INSIDE, "placement": "both", "expert_hidden_size": 4, "residual_scale": 0.1, "router": "text-guided"}


@pytest.mark.parametrize("weights", [[0.25, 0.75], [0.1] * 10])
@pytest.mark.few(1)
def test_equal_adapters_give_that_adapter(weights: list[float], tmp_path) -> None:
    """As small as one, and bit for bit, whatever they own."""
    handle = pa.attach(tiny_host(), BOTH, train_projector=True, lora={**LORA, "use_rslora": True})
    disturb(handle)
    handle.save_pretrained(tmp_path)
    names = [f"copy-{number}" for number in range(len(weights))]
    for name in names:
        handle.load_adapter(tmp_path, name)
    wanted = logits(handle.model, INPUTS)
    handle.add_weighted_adapter(names, weights, "sum")
    for name in names:
        handle.delete_adapter(name)  # it shares nothing with them
    handle.set_adapter("sum")
    assert torch.equal(logits(handle.model, INPUTS), wanted)
    assert handle.config == handle.shelf["default"].config
    disturb(handle, 5)  # nor with the active one
    handle.set_adapter("default")
    assert torch.equal(logits(handle.model, INPUTS), wanted)
    before = bits(tiny_host())
    handle.detach()
    assert_same_bits(bits(handle.model), before)


def test_a_sum_trains_and_can_be_summed_again() -> None:
    handle = made(PLAIN, PLAIN)
    handle.add_weighted_adapter(["a", "b"], [0.5, 0.5], "half")
    handle.set_adapter("half")
    assert all(p.requires_grad for p in handle.parameters())
    handle.model(**INPUTS, labels=INPUTS["input_ids"]).loss.backward()
    assert all(p.grad is not None for p in handle.parameters())
    handle.add_weighted_adapter(["half", "a"], (2, -1), "b-again")  # 2 (a + b) / 2 - a
    assert torch.allclose(tokens(handle, "b-again"), tokens(handle, "b"), atol=1e-5)
    with handle.adapter_names(["b-again", "half"]):
        assert logits(handle.model, INPUTS).isfinite().all()


def test_routers_may_differ_where_there_is_one_expert() -> None:
    one = {**PLAIN, "num_experts": 1}
    handle = made({**one, "router": "text-guided"}, {**one, "router": "visual-only"}, one, like_first=False)
    handle.add_weighted_adapter(["a", "b", "c"], [0.5, 2, 1], "sum")
    assert is_sum(handle, tokens, {"a": 0.5, "b": 2, "c": 1})


def test_half_precision_keeps_its_dtype() -> None:
    handle = made(PLAIN, PLAIN)
    for name in "ab":
        handle.shelf[name].module.to(torch.bfloat16)
    handle.add_weighted_adapter(["a", "b"], [0.5, 0.5], "sum")
    module = handle.shelf["sum"].module
    assert {p.dtype for p in module.parameters()} == {torch.bfloat16}
    for names in (["a", "default"], ["default", "a"]):
        handle.add_weighted_adapter(names, [1, 1], names[0] + " mixed")
        assert {p.dtype for p in handle.shelf[names[0] + " mixed"].module.parameters()} == {torch.float32}


def other(**changed: Any) -> dict[str, Any]:
    return {**PLAIN, **changed}


GUIDED = other(router="text-guided")
ONE_LANGUAGE = other(num_experts=1, router="language-id", router_options={"languages": ["tr"]})


@pytest.mark.parametrize(
    ("configs", "options", "message"),
    [
        ((PLAIN, other(num_experts=2)), {}, r"(?s)'a' and 'b'.*a: num_experts=3.*b: num_experts=2"),
        ((PLAIN, other(expert="mlp")), {}, "expert='mlp'"),
        ((PLAIN, INSIDE), {}, "placement='layers'"),
        ((PLAIN, GUIDED), {}, r"(?s)router='text-guided'.*adapter_names.*train one"),
        ((GUIDED, GUIDED), {}, r"(?s)router 'text-guided' with other weights.*adapter_names"),
        ((other(top_k=1), PLAIN), {}, "top_k=1"),
        ((other(**LANGUAGES), other(router="language-id")), {}, "router_options"),
        ((ONE_LANGUAGE, other(num_experts=1)), {}, "router='language-id'"),
        (
            [other(num_experts=1, router="text-guided", expert="conditioned-swiglu")] * 2,
            {},
            "router 'text-guided' with other weights",
        ),
        ((INSIDE, {**INSIDE, "layers": [0]}), {}, "layers"),
        ([{**INSIDE, "router": "text-guided"}] * 2, {}, r"(?s)with other weights.*adapter_names.*train one"),
        ((INSIDE, {**INSIDE, "layer_modules": ["q_proj"]}), {}, r"experts at .*k_proj"),
        ((PLAIN, PLAIN), {"train_projector": True}, r"(?s)a projector of its own.*with other weights.*set_adapter"),
        ((PLAIN, PLAIN), {"lora": {**LORA, "use_dora": True}}, r"(?s)use_dora=True.*DoRA"),
    ],
)
def test_what_has_no_sum_is_refused(configs: Any, options: dict[str, Any], message: str) -> None:
    handle = made(*configs, like_first=False, **options)
    before = logits(handle.model, INPUTS)
    with pytest.raises(ConfigError, match=message):
        handle.add_weighted_adapter(["a", "b"], [0.5, 0.5], "sum")
    assert handle.adapters == ("default", "a", "b")
    assert handle.active_adapter == "default"
    assert torch.equal(logits(handle.model, INPUTS), before)


def test_lora_on_other_layers_and_projectors_beside_the_hosts_are_refused() -> None:
    handle = made(PLAIN)
    handle.add_adapter("q", PLAIN, lora={**LORA, "target_modules": ["q_proj"]})
    handle.add_adapter("k", PLAIN, lora={**LORA, "target_modules": ["k_proj"]})
    with pytest.raises(ConfigError, match=r"(?s)'q' and of 'k'.*target_modules"):
        handle.add_weighted_adapter(["q", "k"], [1, 1], "sum")
    handle.add_adapter("to_do", PLAIN, train_projector=True)
    with pytest.raises(ConfigError, match=r"(?s)the host's projector.*a projector of its own"):
        handle.add_weighted_adapter(["a", "to_do"], [1, 1], "sum")


def test_a_projector_is_not_scaled(tmp_path) -> None:
    """Adapters with one projector of their own: it stays, and so only weights that sum to one are a sum."""
    handle = pa.attach(tiny_host(), PLAIN, train_projector=True)
    disturb(handle)
    handle.save_pretrained(tmp_path)
    for name in "ab":
        handle.load_adapter(tmp_path, name)
        with torch.no_grad():
            handle.shelf[name].module.experts.down.add_(ord(name) / 100)
    handle.add_weighted_adapter(["a", "b"], [3, -2], "sum")
    assert is_sum(handle, tokens, {"a": 3, "b": -2})
    with pytest.raises(ConfigError, match=r"(?s)sum to 0\.5.*own a projector.*a: 0\.25, b: 0\.25"):
        handle.add_weighted_adapter(["a", "b"], [0.25, 0.25], "half")
    with pa.attach_projector(tiny_host()) as alone:
        disturb(alone)
        alone.add_weighted_adapter(["default"], [1.0], "copy")
        wanted = logits(alone.model, INPUTS)
        alone.set_adapter("copy")
        assert torch.equal(logits(alone.model, INPUTS), wanted)
        alone.add_adapter("experts", PLAIN, train_projector=True)
        with pytest.raises(ConfigError, match=r"'copy' has no experts at all"):
            alone.add_weighted_adapter(["copy", "experts"], [0.5, 0.5], "sum")


def test_experts_of_a_plugin_are_refused() -> None:
    """They may compute anything, a subclass of a built-in bank too."""
    from parrot_adapters.core import SwiGLUExperts

    class Doubled(SwiGLUExperts):
        def forward(self, *args: Any) -> Tensor:
            return 2 * super().forward(*args)

    handle = made(PLAIN, PLAIN)
    handle.shelf["b"].module.experts.__class__ = Doubled
    with pytest.raises(ConfigError, match="Doubled of adapter 'b'"):
        handle.add_weighted_adapter(["a", "b"], [1, 1], "sum")


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft itself
def test_beside_peft_what_is_live_is_summed() -> None:
    """peft's copy of the module, where it trains one; weights of its own inside the module have no sum."""
    from peft import LoraConfig, get_peft_model

    handle = made(PLAIN, PLAIN)
    handle.set_adapter("a")
    get_peft_model(handle.model, LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["parrot_adapter"]))
    disturb(handle, 7)  # the copy
    handle.add_weighted_adapter(["b", "a"], [2, -1], "sum")
    assert is_sum(handle, tokens, {"a": -1, "b": 2})

    handle = made(PLAIN, PLAIN)
    handle.set_adapter("a")
    handle.module.router.inner = torch.nn.Linear(16, 16)  # as a plugin's router may have
    get_peft_model(handle.model, LoraConfig(r=2, target_modules=r".*router\.inner"))
    with pytest.raises(ConfigError, match="'a' carries weights of peft in its own module"):
        handle.add_weighted_adapter(["b", "a"], [2, -1], "sum")


@pytest.mark.parametrize(
    ("names", "weights", "error", "message"),
    [
        (["a", "c"], [1, 1], UnknownNameError, r"no adapter 'c'(.|\n)*known +default, a, b"),
        (["defualt"], [1], UnknownNameError, "Did you mean 'default'"),
        (["a", "a"], [1, 1], ConfigError, "more than once"),
        (["a", "b"], [1], ConfigError, "one number for each of 2"),
        (["a", "b"], 0.5, ConfigError, "one number for each"),
        (["a"], [math.nan], ConfigError, "nan"),
        (["a"], [math.inf], ConfigError, "inf"),
        (["a"], [True], ConfigError, "'True' is none"),
        (["a"], ["1"], ConfigError, "'1' is none"),
        (["a"], [1e300], ConfigError, r"beyond torch\.float32"),
        ([], [], ConfigError, "list of adapters' names"),
        ("a", [1], ConfigError, "list of adapters' names"),
        (["a", None], [1, 1], ConfigError, "list of adapters' names"),
        (["a"], [10**400], ConfigError, "finite numbers"),
        ([["a"]], [1], ConfigError, "list of adapters' names"),
    ],
)
def test_impossible_arguments_are_refused(names: Any, weights: Any, error: type[Exception], message: str) -> None:
    handle = made(PLAIN, PLAIN)
    with pytest.raises(error, match=message):
        handle.add_weighted_adapter(names, weights, "sum")
    with pytest.raises(ConfigError, match="has an adapter 'b' already"):
        handle.add_weighted_adapter(["a"], [1], "b")
    with handle.adapter_names(["a", "b"]), pytest.raises(HostError, match="inside a block"):
        handle.add_weighted_adapter(["a"], [1], "sum")
    assert handle.adapters == ("default", "a", "b")


def test_it_works_while_adapters_are_switched_off() -> None:
    handle = made(PLAIN, PLAIN)
    handle.disable()
    handle.add_weighted_adapter(["a", "b"], [2, -1], "sum")
    assert_close(logits(handle.model, INPUTS), logits(tiny_host(), INPUTS), rtol=0, atol=0)
    handle.enable()
    assert is_sum(handle, tokens, {"a": 2, "b": -1})


def test_the_comparison_notices_a_factor_in_the_wrong_place(monkeypatch) -> None:
    """Doubles that scale what an answer is not linear in, or forget one adapter's scale."""
    from parrot_adapters.core import summed_experts

    handle = made(*AT_PROJECTOR["scales"])
    with monkeypatch.context() as patch:
        patch.setattr(summed_experts, "ANSWERS", ("gate",))
        handle.add_weighted_adapter(["a", "b"], [2, -1], "gate")
    assert not is_sum(handle, tokens, {"a": 2, "b": -1}, "gate")
    handle.add_weighted_adapter(["a", "b"], [2, -1], "sum")
    assert is_sum(handle, tokens, {"a": 2, "b": -1})
    handle.shelf["sum"].module.moe_scale = 0.5
    assert not is_sum(handle, tokens, {"a": 2, "b": -1})
