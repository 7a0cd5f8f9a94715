"""LLaVAs in miniature whose language models call their linear layers otherwise than Llama does."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from miniatures import FAMILIES, IMAGE, text, tower

from parrot_adapters.testing import lively_weights

MIXTURE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
SHARED = {"shared_expert_intermediate_size": 16}
LATENT = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8}
LINEAR = {
    "linear_num_value_heads": 2,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}

# What transformers puts into a LLaVA by itself.
IN_LLAVA: dict[str, dict[str, Any]] = {
    "phi3": {},
    "gpt_neox": {},
    "phi": {},
    "codegen": {"rotary_dim": 4},
    "qwen2_moe": MIXTURE | SHARED,
    "qwen3_moe": MIXTURE | {"head_dim": 8},
    "gemma2": {"head_dim": 8},
    "gemma4_text": {
        "head_dim": 8,
        "global_head_dim": 8,
        "hidden_size_per_layer_input": 0,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "gpt_oss": {"num_local_experts": 4, "head_dim": 8, "rope_parameters": {"rope_theta": 1e4, "rope_type": "default"}},
    "deepseek_v3": LATENT
    | {"num_key_value_heads": 4, "n_routed_experts": 4, "n_group": 1, "topk_group": 1, "moe_intermediate_size": 16},
    "qwen3_next": MIXTURE | SHARED | LINEAR | {"head_dim": 8},
}

# What it does not, because their embeddings have another name than a LLaVA looks for.
BY_HAND: dict[str, dict[str, Any]] = {
    "GPT2": {},
    "Falcon": {},
    "Bloom": {},
    "Mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2},
}


class Reachable:
    """Its embeddings under the name that a LLaVA looks for."""

    @property
    def embed_tokens(self) -> Any:
        return self.word_embeddings if hasattr(self, "word_embeddings") else self.wte


def llava_with(decoder: str) -> Any:
    """The model, in float32 and eval mode, the same weights every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if decoder in IN_LLAVA:
            words = text(decoder, **IN_LLAVA[decoder])
            config = transformers.LlavaConfig(text_config=words, vision_config=tower(), image_token_index=IMAGE)
            host = transformers.LlavaForConditionalGeneration(config)
        else:
            host = FAMILIES["llava"].build()
            words = {k: v for k, v in text().items() if k != "model_type"}
            host.config.text_config = getattr(transformers, f"{decoder}Config")(**words | BY_HAND[decoder])
            model = type(f"{decoder}Model", (Reachable, getattr(transformers, f"{decoder}Model")), {})
            host.model.language_model = model(host.config.text_config)
        lively_weights(host)
    host.generation_config = FAMILIES["llava"].build().generation_config
    return host.eval()
