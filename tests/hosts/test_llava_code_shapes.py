"""Descendants of LLaVA's own code in other shapes: transformers' own ``generate``, a language model inside."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from miniatures import ADAPTER, awake
from support.llava_code import IMAGE, TEXT, TOKENS, VISION, WIDTH, CodeConfig, LlavaCode, batch, llava_code, pictures
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, GenerationMixin, LlamaConfig, LlamaForCausalLM
from transformers import PreTrainedModel as Pretrained

import parrot_adapters as pa
from parrot_adapters.errors import HostError

TWO, ONE = [1, 20, IMAGE, 22, IMAGE, 23], [1, 30, IMAGE, 31, 32, 33]


class OwnGenerate(LlavaCode):
    """LLaVA 1.0 and Bunny: generate is transformers', and forward weaves at every step that has no cache."""

    generate = GenerationMixin.generate

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, attention_mask: Any = None, images: Any = None, **kwargs
    ):
        cache = kwargs.get("cache", kwargs.get("past_key_values"))
        if kwargs.get("use_cache") and cache is not None and cache.get_seq_length():
            return {"input_ids": input_ids[:, -1:], "past_key_values": cache, "use_cache": True}
        return {"input_ids": input_ids, "images": images, "attention_mask": attention_mask, "use_cache": False}


class Composite(Pretrained):
    """TinyLLaVA: a language model inside, called past its hooks; the projector has another name."""

    config_class = CodeConfig

    def __init__(self, config: CodeConfig) -> None:
        super().__init__(config)
        self.language_model = LlamaForCausalLM(LlamaConfig(**TEXT))
        self.vision_tower = CLIPVisionModel(CLIPVisionConfig(**VISION))
        self.connector = nn.Linear(VISION["hidden_size"], WIDTH)
        self.post_init()

    def get_input_embeddings(self) -> Any:
        return self.language_model.get_input_embeddings()

    def get_model(self) -> Any:
        return self.language_model.model

    def encode_images(self, images: Tensor) -> list[Tensor]:
        return list(self.connector(self.vision_tower(images).last_hidden_state[:, 1:]))

    prepare_inputs_labels_for_multimodal = LlavaCode.prepare_inputs_labels_for_multimodal

    def forward(self, input_ids: Any = None, attention_mask: Any = None, labels: Any = None, images: Any = None) -> Any:
        made = self.prepare_inputs_labels_for_multimodal(input_ids, None, attention_mask, None, labels, images)
        ids, _, mask, _, embeds, labels = made
        return self.language_model.forward(ids, attention_mask=mask, inputs_embeds=embeds, labels=labels)


def composite() -> Composite:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Composite(CodeConfig(**TEXT)).eval()


def test_without_a_cache_the_prompt_is_read_and_not_what_was_written() -> None:
    host = llava_code()
    host.__class__ = OwnGenerate
    inputs = batch(TWO, ONE) | {"images": pictures(0, 1, 2)}
    handle = awake(pa.attach(host, ADAPTER, self_test=inputs))
    with handle.record_routing() as log:
        host.generate(**inputs, max_new_tokens=3, do_sample=False, use_cache=False)
    assert len(log) == 3
    assert all(torch.equal(one.weights, log[0].weights) for one in log)


def test_a_language_model_inside(tmp_path) -> None:
    host, inputs = composite(), batch(TWO, ONE) | {"images": pictures(0, 1, 2)}
    handle = awake(pa.attach(host, ADAPTER, train_projector=True, self_test=inputs))
    assert handle.projector is host.connector
    assert handle.parts.language_model == "language_model"
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] < 1, -100)
    host.train()
    host(**inputs, labels=labels).loss.backward()
    assert all(parameter.grad is not None for parameter in handle.parameters())
    host.zero_grad()
    text = batch([1, 40, 41], [1, 42, 43])
    host(**text, labels=text["input_ids"]).loss.backward()  # a rank without pictures has a step too
    assert all(parameter.grad is not None for parameter in handle.require_module().parameters())
    host.eval()
    with torch.no_grad():
        made = host(**inputs).logits
        assert [len(item) for item in handle.encode(**inputs)["image"]] == [TOKENS] * 3
    handle.save_pretrained(tmp_path)
    other = composite()
    pa.load_adapter(other, tmp_path, strict=True)
    assert torch.equal(other(**inputs).logits, made)


def test_a_class_without_generate_needs_none() -> None:
    assert not hasattr(Composite, "generate")
    assert pa.attach(composite(), ADAPTER).parts.spec.prompt_calls == ("prepare_inputs_labels_for_multimodal",)


def test_features_of_two_widths_are_refused() -> None:
    """A method that returns its features and something else."""
    host = composite()
    handle = pa.attach(host, ADAPTER)
    projected = host.connector.forward
    host.connector.forward = lambda features: [projected(features)[0], features[0]]
    with pytest.raises(HostError, match="width 24, its text 32"):
        handle.model(**batch(TWO), images=pictures(0, 1))
