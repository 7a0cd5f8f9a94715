"""A model of the shape of LLaVA's own code: what a host looks like that transformers did not write.

One placeholder, -200, stands for a whole picture. ``encode_images`` encodes, ``prepare_inputs_labels_for_multimodal``
merges features and prompt, ``generate(inputs, images=...)`` calls it and hands embeddings to transformers. As in the
original, a row without a picture takes a stand-in from ``images`` and drops it, and pictures come as one tensor, as a
list, or with a dimension for tiles.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM, LlamaModel

from parrot_adapters.testing import lively_weights

IGNORED, IMAGE, PAD = -100, -200, 0
SIDE, TOKENS, WIDTH, WORDS = 16, 16, 32, 96
VISION = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 4,
}
TEXT = {
    "vocab_size": WORDS,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": PAD,
    "bos_token_id": 1,
    "eos_token_id": None,
}


class CodeConfig(LlamaConfig):
    model_type = "llava_llama"


class CodeModel(LlamaModel):
    config_class = CodeConfig

    def __init__(self, config: CodeConfig) -> None:
        super().__init__(config)
        self.vision_tower = CLIPVisionModel(CLIPVisionConfig(**VISION))
        self.mm_projector = nn.Sequential(nn.Linear(VISION["hidden_size"], WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))


class LlavaCode(LlamaForCausalLM):
    config_class = CodeConfig

    def __init__(self, config: CodeConfig) -> None:
        super(LlamaForCausalLM, self).__init__(config)
        self.model = CodeModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_model(self) -> CodeModel:
        return self.model

    def encode_images(self, images: Tensor) -> Tensor:
        features = self.get_model().vision_tower(images, output_hidden_states=True).hidden_states[-2][:, 1:]
        return self.get_model().mm_projector(features)

    def prepare_inputs_labels_for_multimodal(
        self,
        input_ids: Tensor,
        position_ids: Tensor | None,
        attention_mask: Tensor | None,
        past_key_values: Any,
        labels: Tensor | None,
        images: Any,
        image_sizes: Any = None,
    ) -> tuple[Any, ...]:
        if images is None or input_ids.shape[1] == 1:
            return input_ids, position_ids, attention_mask, past_key_values, None, labels
        if isinstance(images, list) or images.ndim == 5:
            pictures = [one.unsqueeze(0) if one.ndim == 3 else one for one in images]
            encoded = self.encode_images(torch.cat(pictures))
            features = [one.flatten(0, 1) for one in encoded.split([len(one) for one in pictures])]
        else:
            features = list(self.encode_images(images))
        mask = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        targets = torch.full_like(input_ids, IGNORED) if labels is None else labels
        rows, row_labels, at = [], [], 0
        for ids, target, real in zip(input_ids, targets, mask, strict=True):
            ids, target = ids[real], target[real]
            if not (ids == IMAGE).any():
                embedded = self.get_model().embed_tokens(ids)
                rows.append(torch.cat([embedded, features[at][:0]]))
                row_labels.append(target)
                at += 1
                continue
            parts, part_labels = [], []
            places = [-1, *(ids == IMAGE).nonzero().flatten().tolist(), len(ids)]
            for number, (start, end) in enumerate(itertools.pairwise(places)):
                parts.append(self.get_model().embed_tokens(ids[start + 1 : end]))
                part_labels.append(target[start + 1 : end])
                if number < len(places) - 2:
                    parts.append(features[at])
                    part_labels.append(target.new_full((len(features[at]),), IGNORED))
                    at += 1
            rows.append(torch.cat(parts))
            row_labels.append(torch.cat(part_labels))
        size = max(map(len, rows))
        left = getattr(self.config, "tokenizer_padding_side", "right") == "left"
        embeds = rows[0].new_zeros(len(rows), size, rows[0].shape[-1])
        made_labels = targets.new_full((len(rows), size), IGNORED)
        made_mask = torch.zeros(len(rows), size, dtype=torch.long)
        made_positions = torch.zeros(len(rows), size, dtype=torch.long)
        for number, (row, row_label) in enumerate(zip(rows, row_labels, strict=True)):
            here = slice(size - len(row), size) if left else slice(0, len(row))
            embeds[number, here], made_labels[number, here] = row, row_label
            made_mask[number, here], made_positions[number, here] = 1, torch.arange(len(row))
        return (
            None,
            None if position_ids is None else made_positions,
            None if attention_mask is None else made_mask.to(attention_mask.dtype),
            past_key_values,
            embeds,
            None if labels is None else made_labels,
        )

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        images: Any = None,
        image_sizes: Any = None,
        **kwargs: Any,
    ) -> Any:
        if inputs_embeds is None:
            made = self.prepare_inputs_labels_for_multimodal(
                input_ids, position_ids, attention_mask, past_key_values, labels, images, image_sizes
            )
            input_ids, position_ids, attention_mask, past_key_values, inputs_embeds, labels = made
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            labels=labels,
            **kwargs,
        )

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, images: Any = None, image_sizes: Any = None, **kwargs: Any) -> Any:
        positions, mask = kwargs.pop("position_ids", None), kwargs.pop("attention_mask", None)
        if images is None:
            embeds = self.get_model().embed_tokens(inputs)
        else:
            _, positions, mask, _, embeds, _ = self.prepare_inputs_labels_for_multimodal(
                inputs, positions, mask, None, None, images, image_sizes
            )
        return super().generate(position_ids=positions, attention_mask=mask, inputs_embeds=embeds, **kwargs)


def llava_code(**settings: Any) -> LlavaCode:
    """The model, random weights, in eval mode; the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlavaCode(CodeConfig(**TEXT, **settings))
        lively_weights(model)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = PAD
    return model.eval()


def pictures(*seeds: int) -> Tensor:
    """(M, 3, side, side)"""
    return torch.stack([torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def batch(*rows: list[int], left: bool = False) -> dict[str, Tensor]:
    """Ids and mask of some rows of words and placeholders."""
    size = max(map(len, rows))
    ids, mask = torch.full((len(rows), size), PAD), torch.zeros(len(rows), size, dtype=torch.long)
    for number, row in enumerate(rows):
        here = slice(size - len(row), size) if left else slice(0, len(row))
        ids[number, here], mask[number, here] = torch.tensor(row), 1
    return {"input_ids": ids, "attention_mask": mask}
