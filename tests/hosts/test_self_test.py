"""The self-test and the checks of this folder, held to adapters that are wrong on purpose."""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import torch
import transformers
from miniatures import ADAPTER, FAMILIES, IMAGE, PROMPTS, Family, text, tower
from transformers.generation import GenerationMixin, utils

import parrot_adapters as pa
from parrot_adapters.errors import AlreadyAttachedError, ConfigError, HostError, PlaceholderError, SelfTestError
from parrot_adapters.hosts.generation_override import GENERATION_HELPER
from parrot_adapters.hosts.native_seam import NativeSeam
from parrot_adapters.hosts.read_prompt import TextScope
from parrot_adapters.testing import lively_weights

ONLY = ["llava", "qwen3_vl", "gemma3"]


class OuterSeam(NativeSeam):
    """The obvious seam: wrap ``get_image_features``, learn the prompt from a hook on the outer model.

    Right in forward; dead in generate, which encodes before it calls forward.
    """

    def install(self) -> None:
        outer = self.parts.outer
        self.call: dict[str, Any] | None = None
        self._hooks = [
            outer.register_forward_pre_hook(self.learn, with_kwargs=True),
            outer.register_forward_hook(self.forget),
        ]
        base = self.parts.base
        stand_in = functools.partial(self.features)
        stand_in.__signature__ = inspect.signature(base.get_image_features)  # type: ignore[attr-defined]
        base.__dict__["get_image_features"] = stand_in

    def remove(self) -> None:
        super().remove()
        self.parts.base.__dict__.pop("get_image_features", None)

    def learn(self, module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        self.call = kwargs

    def forget(self, *ignored: Any) -> None:
        self.call = None

    def features(self, *args: Any, **kwargs: Any) -> Any:
        base = self.parts.base
        output = type(base).get_image_features(base, *args, **kwargs)
        if self.call is None or not self.enabled:
            return output
        return self.align_outputs({"image": output}, self.call, None)["image"]


class HalfSeam(NativeSeam):
    """The pre-hook alone, without the override in generate: later steps route on what was generated."""

    def install(self) -> None:
        super().install()
        self.parts.outer.__dict__.pop("_maybe_prepare_encoder_kwargs_for_generation")


class DeafSeam(NativeSeam):
    """Computes everything and hands the host its features unaligned."""

    def run_adapter(self, outputs: Any, *args: Any, **kwargs: Any) -> Any:
        super().run_adapter(outputs, *args, **kwargs)
        return dict(outputs)


class StubbornSeam(NativeSeam):
    """Goes on when it is switched off."""

    enabled = property(lambda self: True)  # type: ignore[assignment]


class BlindScope(TextScope):
    """Shows the router no text at all."""

    def select(self, is_text: Any, ids: Any, labels: Any) -> Any:
        return torch.zeros_like(is_text)


class CarelessScope(TextScope):
    """Shows the router padding and placeholders as well."""

    def select(self, is_text: Any, ids: Any, labels: Any) -> Any:
        return torch.ones_like(is_text)


def with_seam(host: Any, seam: type[NativeSeam], scope: type[TextScope] = TextScope) -> pa.Attachment:
    handle = pa.attach(host, ADAPTER)
    own = handle.carried.seam
    own.remove()
    told = scope(own.scope.name, own.scope.chat, own.scope.special_ids)
    handle.carried.seam = seam(handle.parts, handle.module, told, own.switch)
    handle.carried.seam.install()
    return handle


def test_the_seam_itself_passes_when_put_in_the_same_way(host, inputs) -> None:
    pa.self_test(with_seam(host, NativeSeam), inputs)


@pytest.mark.parametrize(
    ("seam", "complaint"),
    [
        (OuterSeam, "generate starts from other logits"),
        (DeafSeam, "visual tokens are not used"),
        (StubbornSeam, "disabled"),
    ],
)
def test_broken_seams_fail_the_self_test(host, inputs, seam: type[NativeSeam], complaint: str) -> None:
    with pytest.raises(SelfTestError, match=complaint):
        pa.self_test(with_seam(host, seam), inputs)


def test_a_seam_that_sees_no_text_fails_the_self_test(host, inputs) -> None:
    with pytest.raises(SelfTestError, match="text"):
        pa.self_test(with_seam(host, NativeSeam, BlindScope), inputs)


def test_a_layer_that_reads_padding_fails_the_padding_check(host, family: Family, routed) -> None:
    handle = with_seam(host, NativeSeam, CarelessScope)
    (short,) = routed(handle, family.batch(PROMPTS))
    (long,) = routed(handle, family.batch(PROMPTS, min_length=80))
    assert (short.logits - long.logits).abs().max() > 1e-3


def test_half_a_seam_routes_again_on_generated_text(host, inputs, decode) -> None:
    """Why the override in generate is there: without it every step without cache routes anew."""
    half = with_seam(host, HalfSeam)
    with half.record_routing() as log:
        decode(host, inputs, use_cache=False)
    assert len(log) > 1
    assert not torch.equal(log[0].logits, log[-1].logits)


def test_a_class_that_forgets_to_say_that_it_takes_pictures(monkeypatch) -> None:
    """transformers 5.20's Aria, EXAONE 4.5 and Qwen 3.5: their generate would encode at every step without a cache."""
    host = FAMILIES["llava"].build()
    monkeypatch.setattr(type(host), "input_modalities", "text")
    inputs = FAMILIES["llava"].batch(PROMPTS)
    handle = pa.attach(host, ADAPTER, self_test=inputs)
    with handle.record_routing() as log:
        host.generate(**inputs, max_new_tokens=2, do_sample=False, use_cache=False)
    assert len(log) == 1
    assert host.input_modalities == "text"


def test_a_class_whose_base_alone_names_encoded_images(monkeypatch) -> None:
    """transformers 5.20's PaddleOCR-VL, of the same kind."""
    host = FAMILIES["llava"].build()
    monkeypatch.setattr(type(host), "_supports_mm_encoder_outputs", lambda self: False)
    inputs = FAMILIES["llava"].batch(PROMPTS)
    handle = pa.attach(host, ADAPTER, self_test=inputs)
    with handle.record_routing() as log:
        host.generate(**inputs, max_new_tokens=2, do_sample=False, use_cache=False)
    assert len(log) == 1
    assert not host._supports_mm_encoder_outputs()
    assert "_supports_mm_encoder_outputs" not in vars(host)


def test_attach_takes_an_adapter_off_that_fails_its_self_test(host, inputs, monkeypatch) -> None:
    keys = set(host.state_dict())
    monkeypatch.setattr(TextScope, "select", BlindScope.select)
    with pytest.raises(SelfTestError):
        pa.attach(host, ADAPTER, self_test=inputs)
    assert set(host.state_dict()) == keys
    assert pa.attachment_of(host) is None


def test_the_self_test_leaves_no_trace(attached, inputs) -> None:
    before = {name: value.clone() for name, value in attached.model.state_dict().items()}
    attached.model.train()
    pa.self_test(attached, inputs)
    assert attached.model.training
    assert all(torch.equal(value, before[name]) for name, value in attached.model.state_dict().items())


# --- bad input -----------------------------------------------------------------------------------------------------


def test_attaching_twice_has_an_error_of_its_own(attached) -> None:
    with pytest.raises(AlreadyAttachedError):
        pa.attach(attached.model, ADAPTER)


def test_truncated_prompts(attached, inputs) -> None:
    """What a tokenizer's max_length does to images."""
    size = inputs["input_ids"].shape[1]
    cut = {k: v[:, -size // 3 :] if v.shape[:2] == (3, size) else v for k, v in inputs.items()}
    with pytest.raises(PlaceholderError, match="do not truncate"):
        attached.model(**cut)


def test_self_test_without_images(attached, family: Family) -> None:
    with pytest.raises(HostError, match="no image"):
        pa.self_test(attached, family.batch([PROMPTS[2]]))


def test_self_test_of_a_bare_host(host, inputs) -> None:
    with pytest.raises(HostError, match="attach"):
        pa.self_test(host, inputs)


def test_a_vision_tower_or_language_model_alone_is_refused(host) -> None:
    for part in (host.model.language_model, host.get_input_embeddings()):
        with pytest.raises(HostError):
            pa.attach(part, ADAPTER)
        assert pa.attachment_of(part) is None


def test_hosts_without_vision() -> None:
    blind = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**text(), "model_type": "llama"}))
    for model in (blind, torch.nn.Linear(2, 2), "llava"):
        with pytest.raises(HostError, match=r"no vision|not a transformers model"):
            pa.attach(model, ADAPTER)


IDEFICS = {
    **{key: value for key, value in text().items() if key not in ("model_type", "num_key_value_heads")},
    "additional_vocab_size": 2,
    "vision_config": {"embed_dim": 16, "image_size": 16, "patch_size": 4, "intermediate_size": 16}
    | {"num_hidden_layers": 1, "num_attention_heads": 2},
    "perceiver_config": {"resampler_depth": 1, "resampler_n_heads": 2, "resampler_head_dim": 8},
}
BLIP = {
    "text_config": {"model_type": "opt", "vocab_size": 96, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 1}
    | {"num_attention_heads": 4, "word_embed_proj_dim": 32},
    "vision_config": tower("blip_2_vision_model"),
    "qformer_config": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    | {"encoder_hidden_size": 24},
    "num_query_tokens": 4,
    "image_token_index": IMAGE,
}


def test_families_that_cannot_work_are_refused_with_the_reason() -> None:
    host = transformers.IdeficsForVisionText2Text(transformers.IdeficsConfig(**IDEFICS))
    keys = set(host.state_dict())
    with pytest.raises(HostError, match="cross-attention reads its images at the vision tower's width"):
        pa.attach(host, ADAPTER)
    assert set(host.state_dict()) == keys


def test_blip_is_rightly_reached_at_its_own_calls(monkeypatch) -> None:
    """Were it not, its adapter would work in forward and be dead in generate; the self-test sees that."""
    host = transformers.Blip2ForConditionalGeneration(transformers.Blip2Config(**BLIP)).eval()
    lively_weights(host)
    monkeypatch.setattr("parrot_adapters.hosts.families.BLIP2", pa.HostSpec(("blip-2",)))
    ids = torch.tensor([[20, 21, IMAGE, IMAGE, IMAGE, IMAGE, 22]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": torch.randn(1, 3, 16, 16)}
    with pytest.raises(SelfTestError, match="generate starts from other logits"):
        pa.attach(host, ADAPTER, self_test=inputs)
    assert pa.attachment_of(host) is None


def test_there_are_plenty_of_families() -> None:
    assert len(FAMILIES) >= 25


# --- what a router declares, and what it does -----------------------------------------------------------------------


class Picture(torch.nn.Module):
    """Goes by the picture alone, and says nothing about it."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__()
        self.score = torch.nn.Linear(width, num_experts)

    def forward(self, inputs: pa.RoutingInputs) -> pa.Routing:
        logits = self.score(inputs.summary)
        return pa.Routing(logits.softmax(-1), logits)


class Deaf(Picture):
    """Declares that it reads the prompt, and does not."""

    conformance: ClassVar[dict[str, Any]] = {"uses_text": True}


class Control(Picture):
    conformance: ClassVar[dict[str, Any]] = {"uses_text": False}


def deaf_by_function(width: int, num_experts: int) -> Picture:
    return Picture(width, num_experts)


deaf_by_function.conformance = {"uses_text": True}  # type: ignore[attr-defined]
STRANGERS = {
    "deaf": Deaf,
    "deaf-by-function": deaf_by_function,
    "deaf-by-partial": functools.partial(Deaf),
    "silent": Picture,
    "control": Control,
}


@pytest.fixture
def strangers() -> Iterator[None]:
    class Plugin:
        @pa.hookimpl
        def register_routers(self, register: Any) -> None:
            for name, factory in STRANGERS.items():
                register(name, factory)

    name = pa.plugins.register(Plugin(), name="strangers")
    yield
    pa.plugins.manager.unregister(name)


@pytest.mark.parametrize("router", [name for name in STRANGERS if name.startswith("deaf")])
def test_a_router_that_declares_text_and_ignores_it_fails(host, inputs, strangers, router: str) -> None:
    with pytest.raises(SelfTestError, match=f"declares uses_text(.|\n)*{router}"):
        pa.self_test(pa.attach(host, ADAPTER | {"router": router}), inputs)


@pytest.mark.parametrize("router", ["silent", "control", "visual-only", "text-guided", "top-k", "per-token"])
@pytest.mark.few(5)
def test_what_is_declared_is_what_is_asked(host, inputs, strangers, router: str) -> None:
    pa.self_test(pa.attach(host, ADAPTER | {"router": router}), inputs)


@pytest.mark.parametrize("router", ["top-k", "per-token", "text-guided-qkv"])
def test_every_router_that_declares_text_is_held_to_it(host, inputs, router: str) -> None:
    """Once, only two classes were."""
    handle = pa.attach(host, ADAPTER | {"router": router})
    own = handle.carried.seam.scope
    handle.carried.seam.scope = BlindScope(own.name, own.chat, own.special_ids)
    with pytest.raises(SelfTestError, match="declares uses_text"):
        pa.self_test(handle, inputs)


def test_a_grown_router_declares_what_the_one_inside_does() -> None:
    from parrot_adapters.core.grown_router import GrownRouter

    assert GrownRouter(4, Deaf(4, 2), [0, 1, 1]).conformance == {"uses_text": True}
    assert GrownRouter(4, Control(4, 2), [0, 1, 1]).conformance == {"uses_text": False}
    assert GrownRouter(4, Picture(4, 2), [0, 1, 1]).conformance == {}


# --- the private helper in generate ---------------------------------------------------------------------------------


def test_half_a_seam_fails_the_self_test(host, inputs) -> None:
    """The first logits are right; only the later ones, without a cache, are not."""
    with pytest.raises(SelfTestError, match="does not route once"):
        pa.self_test(with_seam(host, HalfSeam), inputs)


def test_a_helper_that_generate_no_longer_calls_fails_the_self_test(host, inputs, monkeypatch) -> None:
    """As after a release that encodes images elsewhere: ours is still there, and nobody asks it."""
    renamed = "_prepare_encoders_elsewhere"
    handle = pa.attach(host, ADAPTER)
    source = textwrap.dedent(inspect.getsource(GenerationMixin.generate)).replace(GENERATION_HELPER, renamed)
    assert renamed in source
    scope = vars(utils).copy()
    exec("from __future__ import annotations\n" + source, scope)
    monkeypatch.setattr(GenerationMixin, renamed, getattr(GenerationMixin, GENERATION_HELPER), raising=False)
    monkeypatch.setattr(GenerationMixin, "generate", scope["generate"])
    with pytest.raises(SelfTestError, match="does not route once"):
        pa.self_test(handle, inputs)


@pytest.mark.parametrize("given", ["a processor", torch.nn.Linear(1, 1), [1, 2], None])
def test_inputs_that_are_none_are_refused_shortly(attached, given: Any) -> None:
    with pytest.raises(HostError, match="mapping of its forward's arguments") as refused:
        pa.self_test(attached, given)
    assert type(given).__name__ in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("given", ["llava-hf/llava-1.5-7b-hf", 3, torch.nn.Linear(1, 1)])
def test_a_processor_that_is_none_is_refused_shortly(host, given: Any) -> None:
    with pytest.raises(ConfigError, match="processor must be") as refused:
        pa.attach(host, ADAPTER, processor=given)
    assert len(str(refused.value)) < 500
    assert pa.attachment_of(host) is None
