"""The configuration of any model at a size that a test can afford: its defaults, every size replaced by name.

What is told by rules here need not be written for a hundred families; where a family breaks them, ``EXCEPTIONS`` of
``types.py`` says what differs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from miniatures.prompts import BOS, EOS, IMAGE, PAD, PATCH, SIDE, VIDEO, VOCABULARY, WIDTH

LAYERS, HEADS, HEAD, GROUPS = 2, 4, 8, 2
RULES: tuple[tuple[str, Any], ...] = (
    (r"(unpadded_)?vocab_size|vocab_size_per_layer_input|.*_vocab_size", VOCABULARY),
    (r"(num_|n_)?(hidden_|encoder_|decoder_|mimi_)?layers|depth|n_layer|num_layers|.*num_hidden_layers", LAYERS),
    (r".*num_key_value_heads|num_global_key_value_heads|kv_heads", GROUPS),
    (r"(.*_)?(num_attention_heads|num_heads|attention_heads|n_head|encoder_attention_heads)", HEADS),
    (r".*head_dim|head_size|kv_channels|d_head", HEAD),
    (r"hidden_size_per_layer_input", 8),
    (
        r"(.*_)?(hidden_size|hidden_dim|d_model|embed_dim|projection_dim|out_hidden_size|projector_hidden_size|n_embd|width"
        r"|output_dim|projector_output_dim|embedding_size)",
        WIDTH,
    ),
    (
        r"(.*_)?(intermediate_size|ffn_dim|mlp_dim|intermediate_dim|intermediate_size_mlp|alignment_intermediate_size)",
        48,
    ),
    (r"(.*_)?(image_size|input_size)", SIDE),
    (r"temporal_patch_size", 2),
    (r"(.*_)?patch_size", PATCH),
    (r"mm_tokens_per_image", 4),
    (r"num_image_tokens|image_seq_length", 16),
    (r"(.*_)?(max_position_embeddings|original_max_position_embeddings)", 512),
    (r"(.*_)?(num_experts|num_local_experts|n_routed_experts|moe_num_experts|num_routed_experts)", 4),
    (r"(.*_)?(num_experts_per_tok|moe_k|top_k|moe_topk|num_experts_per_token|top_k_experts)", 2),
    (r"n_group|topk_group", 1),
    (r"first_k_dense_replace", 1),
    (r"num_kv_shared_layers|mtp_num_hidden_layers|num_nextn_predict_layers|num_mtp_layers", 0),
    (r"(.*_)?(sliding_window|attention_chunk_size|window_size|sliding_window_size)", 64),
    (r"q_lora_rank|kv_lora_rank|o_lora_rank", 8),
    (r"qk_rope_head_dim|qk_nope_head_dim|v_head_dim|index_head_dim|qk_head_dim", HEAD),
    (r"num_position_embeddings", SIDE * SIDE // PATCH // PATCH),
    (r"laurel_rank", 4),
    (r"image_token_(id|index)|image_pad_token_id|im_token_id|media_placeholder_token_id", IMAGE),
    (r"video_token_(id|index)", VIDEO),
    (r"pad_token_id", PAD),
    (r"bos_token_id", BOS),
    (r"eos_token_id", EOS),
)
COMPILED = tuple((re.compile(pattern), value) for pattern, value in RULES)
PER_LAYER = re.compile(r"layer_types|mlp_layer_types|.*_layers?_pattern|no_rope_layers|.*layer_types|layers_block_type")
TOKEN = re.compile(r".*token_(id|index)s?")
SPARE = range(7, 12)


def shrunk(default: Mapping[str, Any], exceptions: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration's values, small.

    Args:
        default: of the family, as a dictionary.
        exceptions: values to take as they are; a key with dots reaches into a part.
    """
    spare = iter(SPARE)
    made = _part(default, spare)
    for path, value in exceptions.items():
        part = made
        *above, last = path.split(".")
        for step in above:
            if not isinstance(part.get(step), dict):
                part[step] = {}
            part = part[step]
        part[last] = value
    return made


UNSAID = ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype", "per_layer_config")


def _part(values: Mapping[str, Any], spare: Any) -> dict[str, Any]:
    """One part of a configuration; lists as long as it has layers are cut to the layers that are left."""
    layers = {values.get(name) for name in ("num_hidden_layers", "depth", "num_layers")} - {None}
    made = {}
    for name, value in values.items():
        if name in UNSAID:
            continue
        per_layer = isinstance(value, list) and len(value) > LAYERS and len(value) in layers
        made[name] = _per_layer(value) if per_layer and "intermediate" not in name else _small(str(name), value, spare)
        if isinstance(made[name], list) and "intermediate" in name:
            made[name] = 48
    return made


def _small(name: str, value: Any, spare: Any) -> Any:
    if isinstance(value, Mapping):
        if name.startswith("rope_") or name in ("rope_parameters", "rope_scaling"):
            return _rope(value)
        if name in ("id2label", "label2id", "task_specific_params"):
            return dict(value)
        return _part(value, iter(SPARE))
    if PER_LAYER.fullmatch(name) and isinstance(value, list):
        return _per_layer(value)
    for pattern, small in COMPILED:
        if (
            pattern.fullmatch(name)
            and not isinstance(value, bool | str)
            and (value is not None or small in (IMAGE, VIDEO))
        ):
            if isinstance(value, list | tuple):
                if name.endswith(("token_id", "token_index")):
                    return small
                return [min(small, each) if isinstance(each, int) else each for each in value]
            return small
    if TOKEN.fullmatch(name) and isinstance(value, int) and not isinstance(value, bool):
        return next(spare, 11)
    return value


def _per_layer(value: list[Any]) -> list[Any]:
    """As many as there are layers, of as many kinds as can be."""
    kinds = list(dict.fromkeys(value))[:LAYERS]
    return (kinds + [value[-1]] * LAYERS)[:LAYERS] if value else value


def _rope(value: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(value)
    for key, each in made.items():
        if isinstance(each, Mapping):
            made[key] = _rope(each)
        if key == "mrope_section":
            made[key] = [1, 1, 2]
    return made
