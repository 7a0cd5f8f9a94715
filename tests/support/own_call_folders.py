"""Hosts that are reached at their own calls, and their real processors, as they lie on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from miniatures.own_calls import FAMILIES, IDS
from miniatures.prompts import SIDE

from parrot_adapters.testing import byte_tokenizer, lively_weights

MARKS = ("<pad>", "<s>", "</s>")
ENDS: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>"}
SIZE = {"height": SIDE, "width": SIDE}
SETTINGS: dict[str, dict[str, int]] = {
    "blip-2": {"image_token_index": 3},
    "florence2": {"image_token_id": 3},
    "kosmos-2": {"latent_query_num": 64},  # as many as its processor always writes
}


def own_call_processor(name: str, *, named: bool = False) -> Any:
    """The processor of a type.

    Args:
        name: of :data:`SETTINGS`, or instructblip.
        named: the tokenizer of BLIP-2 knows its placeholder by name, which its processor does not expect.
    """
    pictures = transformers.CLIPImageProcessorPil(size=SIZE, do_center_crop=False)
    known = {"extra_special_tokens": {"image_token": "<image>"}}
    if name == "kosmos-2":
        words = byte_tokenizer((*MARKS, "<unk>"), add_bos=True, unk_token="<unk>", **ENDS)
        return transformers.Kosmos2Processor(pictures, words, 8)
    if name == "florence2":
        pictures.image_seq_length = 5
        return transformers.Florence2Processor(pictures, byte_tokenizer((*MARKS, "<image>"), **ENDS, **known))
    words = byte_tokenizer((*MARKS, "<image>"), add_bos=True, **ENDS, **(known if named else {}))
    if name == "instructblip":
        reader = byte_tokenizer((*MARKS, "<image>"), add_bos=True, **ENDS)
        shown = transformers.BlipImageProcessorPil(size=SIZE)
        return transformers.InstructBlipProcessor(shown, words, reader, num_query_tokens=4)
    return transformers.Blip2Processor(transformers.BlipImageProcessorPil(size=SIZE), words, num_query_tokens=4)


def own_call_config(name: str, words: int) -> Any:
    """The configuration of a type, with as many words."""
    config = next(family for family in FAMILIES if family.name == name).config()
    config.text_config.vocab_size = words
    for field, value in SETTINGS[name].items():
        setattr(config, field, value)
    return config


def save_own_call_host(name: str, folder: Path, *, named: bool = False) -> Path:
    """A host with random weights and its processor; arguments as for :func:`own_call_processor`."""
    processor = own_call_processor(name, named=named)
    architecture = next(family for family in FAMILIES if family.name == name).architecture
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, architecture)(own_call_config(name, len(processor.tokenizer)))
        lively_weights(model)
    for field, value in IDS.items():
        setattr(model.generation_config, field, value)
    model.generation_config.eos_token_id = 2
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
