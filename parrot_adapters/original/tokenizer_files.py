"""What lies beside the weights of an original PARROT checkpoint, carried over to a LLaVA host: tokenizer, settings of
generation, image processor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parrot_adapters.errors import CheckpointError, explain
from parrot_adapters.original.original_config import ReferenceConfig, host_config, read_json

__all__ = ["carry_over_settings", "carry_over_tokenizer"]

IMAGE_TOKEN = "<image>"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "tokenizer.model")


def carry_over_tokenizer(source: Path, reference: ReferenceConfig, host: Path) -> tuple[int, list[str]]:
    """Copy the tokenizer with the placeholder added; the placeholder's id is the tokenizer's, else the next free one.

    The original pads its vocabulary: the tokenizer's next id is then a row that exists and that nobody uses.

    Args:
        source: the original checkpoint.
        reference: its configs.
        host: where the files go.

    Returns:
        The placeholder's id, and what the user should know.

    Raises:
        CheckpointError: there is a tokenizer, but it cannot be loaded.
    """
    if not any((source / name).is_file() for name in TOKENIZER_FILES):
        note = f"the checkpoint has no tokenizer; id {reference.vocabulary} stands for an image"
        return reference.vocabulary, [note]
    from transformers import AddedToken, AutoTokenizer, PreTrainedConfig

    described = source / "tokenizer_config.json"
    known = described.is_file() and "tokenizer_class" in read_json(described)
    # The original's model type means nothing to transformers; the language model's decides if the files do not.
    config = PreTrainedConfig() if known else host_config(reference, 0).text_config
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, config=config)
    except Exception as error:  # whatever a tokenizer file can do wrong
        raise CheckpointError(
            explain(f"the tokenizer in {source} cannot be loaded.", because=f"{type(error).__name__}: {error}")
        ) from error
    tokenizer.add_tokens([AddedToken(IMAGE_TOKEN, normalized=False, special=True)], special_tokens=True)
    tokenizer.save_pretrained(host)
    return int(tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)), []


def carry_over_settings(source: Path, reference: ReferenceConfig, host: Path, image_token_id: int) -> list[str]:
    """Write the generation config, and the image processor and processor where the original's files allow.

    Args:
        source: the original checkpoint.
        reference: its configs.
        host: where the files go; the tokenizer is there already.
        image_token_id: the placeholder.

    Returns:
        What the user should know.
    """
    generation = read_json(source / "generation_config.json") if (source / "generation_config.json").is_file() else {}
    for key in ("_from_model_config", "transformers_version"):
        generation.pop(key, None)
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if reference.values.get(key) is not None:
            generation.setdefault(key, reference.values[key])
    # The original cannot answer with an image.
    suppressed = generation.get("suppress_tokens") or []
    if not isinstance(suppressed, list):
        raise CheckpointError(f"suppress_tokens in {source / 'generation_config.json'} must be a list of token ids")
    generation["suppress_tokens"] = [*suppressed, image_token_id]
    _write_json(host / "generation_config.json", generation)
    found = next((p for p in (reference.tower, source) if (p / "preprocessor_config.json").is_file()), None)
    if found is None:
        return [f"no preprocessor_config.json in {reference.tower}: prepare pixels as the vision tower's makers say"]
    pictures = read_json(found / "preprocessor_config.json")
    for key in ("feature_extractor_type", "image_processor_type"):
        pictures.pop(key, None)
    pictures["image_processor_type"] = "LlavaImageProcessor"  # CLIP's, and can pad to a square as the original does
    pictures["do_pad"] = reference.values.get("image_aspect_ratio") == "pad"
    _write_json(host / "preprocessor_config.json", pictures)
    if (host / "tokenizer_config.json").is_file():
        processor = {
            "processor_class": "LlavaProcessor",
            "image_token": IMAGE_TOKEN,
            "num_additional_image_tokens": 1,  # CLS
            "patch_size": reference.vision.get("patch_size", 32),
            "vision_feature_select_strategy": "full",
        }
        _write_json(host / "processor_config.json", processor)
    return []


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
