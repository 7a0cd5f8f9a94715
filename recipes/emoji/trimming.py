"""Cut a causal language model and its tokenizer to the words that some texts need: same tokens, same logits.

Most of a small multilingual model is vocabulary (Gemma 3 270M: 168 of 268 million parameters). What a task never writes
or reads can go. Two things make the cut exact for the texts it was made for:

* a text's tokens come from merges. Every merge on the way to a token that was used is kept, so byte-pair encoding takes
  the same steps: what it would do next with all merges is among the kept ones, and still comes first.
* a row of the embedding table is a word, in and out. Kept rows are copied; logits of kept words are the same numbers.

Any other text can still be written as bytes, where the tokenizer falls back to them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .errors import RecipeError
from .special_tokens import SpecialTokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["TrimmedTokenizer", "trim_model", "trim_tokenizer", "wrap_tokenizer"]


@dataclass(frozen=True, eq=False)
class TrimmedTokenizer:
    """A smaller vocabulary.

    Attributes:
        backend: a ``tokenizers`` file, as text.
        kept: (W,) int64, the old id of each new one, ascending.
    """

    backend: str
    kept: Tensor


def trim_tokenizer(
    tokenizer: PreTrainedTokenizerFast, texts: Iterable[str], special: SpecialTokens
) -> TrimmedTokenizer:
    """The part of a byte-pair vocabulary that ``texts`` need, with all bytes and the special words.

    Args:
        tokenizer: byte-pair encoding, with or without byte fallback.
        texts: what must come out as before.
        special: words with a role.

    Raises:
        RecipeError: the tokenizer is of another kind, or lacks a special word.
    """
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    model = described["model"]
    if model["type"] != "BPE":
        raise RecipeError(f"only byte-pair vocabularies can be trimmed, not {model['type']}")
    vocabulary: dict[str, int] = model["vocab"]
    vocabulary |= {token["content"]: token["id"] for token in described["added_tokens"]}
    wanted = (*special.every, special.spare)
    if missing := [word for word in wanted if word != special.image and word not in vocabulary]:
        raise RecipeError(f"the vocabulary has no {', '.join(map(repr, missing))}")
    vocabulary[special.image] = vocabulary.pop(special.spare)

    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    used = {token for text in texts for token in tokenizer.tokenize(text)}
    needed = _with_parts(used | _bytes(vocabulary), merges)
    words = {word for word in needed if word in vocabulary} | set(special.every)
    if model["unk_token"] is not None:
        words.add(model["unk_token"])

    ordered = sorted(words, key=vocabulary.__getitem__)
    new = {word: place for place, word in enumerate(ordered)}
    model["vocab"] = new
    model["merges"] = [list(pair) for pair in merges if {*pair, "".join(pair)} <= words]
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = {token["content"]: token for token in described["added_tokens"] if token["content"] in words}
    added |= {word: {**plain, "content": word, "special": True} for word in special.every}
    described["added_tokens"] = sorted(({**added[word], "id": new[word]} for word in added), key=lambda t: t["id"])
    described["post_processor"] = None  # the chat template writes what opens a text
    kept = torch.tensor([vocabulary[word] for word in ordered])
    return TrimmedTokenizer(json.dumps(described, ensure_ascii=False), kept)


def wrap_tokenizer(backend: str, special: SpecialTokens, chat_template: str) -> PreTrainedTokenizerFast:
    """A ``tokenizers`` file as a tokenizer of transformers."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(backend),
        pad_token=special.pad,
        bos_token=special.bos,
        eos_token=special.eos,
        extra_special_tokens={"image_token": special.image},
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def trim_model(model: PreTrainedModel, kept: Tensor, ids: Mapping[str, int]) -> PreTrainedModel:
    """A copy of a causal language model that knows the words ``kept`` alone.

    Args:
        model: its embedding table, and its output head if that is another, have a row for each word.
        kept: (W,) old ids in the order of the new ones.
        ids: new special ids, for its configuration: ``pad_token_id``, ``bos_token_id``, ``eos_token_id``.

    Returns:
        float32, frozen, in evaluation mode.
    """
    config = deepcopy(model.config)
    for name, value in {"vocab_size": len(kept), **ids}.items():
        setattr(config, name, value)
    if getattr(config, "quantization_config", None) is not None:
        del config.quantization_config  # the weights were read from a quantised file, and are numbers now
    trimmed = type(model)(config)
    tables = [module.weight for module in (model.get_input_embeddings(), model.get_output_embeddings())]
    by_word = {
        name
        for name, weight in model.named_parameters(remove_duplicate=False)
        if any(weight is table for table in tables)
    }
    trimmed.load_state_dict({n: w[kept] if n in by_word else w for n, w in model.state_dict().items()})
    for name, value in ids.items():
        setattr(trimmed.generation_config, name, value)
    return trimmed.float().requires_grad_(False).eval()


def _with_parts(words: Iterable[str], merges: Sequence[tuple[Any, ...]]) -> set[str]:
    """The words, and everything that merging may pass through on the way to them."""
    parts: dict[str, list[tuple[Any, ...]]] = {}
    for pair in merges:
        parts.setdefault("".join(pair), []).append(pair)
    needed, waiting = set(), list(words)
    while waiting:
        word = waiting.pop()
        if word not in needed:
            needed.add(word)
            waiting += [part for pair in parts.get(word, ()) for part in pair]
            waiting += word  # encoding begins with single letters
    return needed


def _bytes(vocabulary: Mapping[str, int]) -> set[str]:
    """The words that stand for single bytes: ``<0x41>``, or the byte-level alphabet."""
    from tokenizers.pre_tokenizers import ByteLevel

    return {word for word in (*(f"<0x{byte:02X}>" for byte in range(256)), *ByteLevel.alphabet()) if word in vocabulary}
