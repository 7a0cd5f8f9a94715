"""Read a prompt as the host will see it: embeddings, placeholders, and its routing text.

R  rows of the batch    S  positions    D  width
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.core.ragged import on_device
from parrot_adapters.core.types import IGNORED
from parrot_adapters.hosts.chat_format import ChatFormat
from parrot_adapters.hosts.host_parts import HostParts

__all__ = ["Prompt", "TextScope", "find_placeholders", "read_prompt"]


@dataclass(frozen=True, eq=False)
class Prompt:
    """One batch of prompts.

    Attributes:
        text: (R, S, D) embeddings; arbitrary where ``routing_text`` is False.
        routing_text: (R, S) bool, True for the text that a router reads.
        placeholders: modality -> (R, S) bool.
        token_ids: (R, S), or None when the host was given embeddings.
    """

    text: Tensor
    routing_text: Tensor
    placeholders: Mapping[str, Tensor]
    token_ids: Tensor | None


@dataclass(frozen=True)
class TextScope:
    """Which text of a prompt is routing text, the text that a router reads.

    ``first-turn``: the first user turn's words, so that routing is the same in training and inference and independent
    of answers and later turns. Its end is the first assistant header; where the chat format is unknown, the first
    label; at inference without either, the whole prompt.

    ``reference``: everything that is not a label, as the original does.

    Attributes:
        name: ``"first-turn"`` or ``"reference"``.
        chat: the chat template's frame, if known.
        special_ids: ids that are never text.
    """

    name: str
    chat: ChatFormat
    special_ids: tuple[int, ...]

    @classmethod
    def of(cls, name: str, parts: HostParts, chat: ChatFormat) -> TextScope:
        """The scope for a host: its config's special ids join the tokenizer's."""
        return cls(name, chat, tuple(sorted({*_config_ids(parts.config), *chat.special_ids})))

    @property
    def known_ids(self) -> tuple[int, ...]:
        """Every id that :meth:`select` looks for."""
        return (*self.special_ids, *self.chat.user_header, *self.chat.assistant_header)

    def select(self, is_text: Tensor, ids: Tensor | None, labels: Tensor | None) -> Tensor:
        """(R, S) bool of text -> (R, S) bool of routing text."""
        if self.name == "reference":
            return is_text if labels is None else is_text & (labels == IGNORED)
        routing_text = is_text
        if ids is not None and self.special_ids:
            # Not torch.isin: with many ids it sorts, and waits for the device.
            special = (ids[..., None] == on_device(self.special_ids, ids.device)).any(-1)
            routing_text = routing_text & ~special
        start, stop = self._turn(is_text, ids, labels)
        position = torch.arange(is_text.shape[1], device=is_text.device)
        return routing_text & (position >= start[:, None]) & (position < stop[:, None])

    def _turn(self, is_text: Tensor, ids: Tensor | None, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """(R,) first and last + 1 position of the first user turn."""
        rows, size = is_text.shape
        end = torch.full((rows,), size, device=is_text.device)
        start = torch.zeros_like(end)
        if labels is not None:
            end = _first_true(labels != IGNORED, default=size)
        if ids is None or not self.chat.assistant_header:
            return start, end
        header = _occurrences(ids, self.chat.assistant_header)
        end = torch.where(header.any(1), _first_true(header, default=size), end)
        if self.chat.user_header:
            opened = _occurrences(ids, self.chat.user_header)
            opened &= torch.arange(size, device=ids.device) < end[:, None]
            first = _first_true(opened, default=0)
            start = torch.where(opened.any(1), first + len(self.chat.user_header), start)
        return start, end


def read_prompt(parts: HostParts, call: Mapping[str, Any], scope: TextScope, labels: Tensor | None = None) -> Prompt:
    """Read the prompt out of the arguments of a host's forward or generate.

    Args:
        parts: the host.
        call: its arguments; ``input_ids`` or ``inputs_embeds``, and ``attention_mask`` in any shape generate uses.
        scope: which text is routing text.
        labels: (R, S), -100 where ignored.
    """
    ids: Tensor | None = call.get("input_ids")
    embeds: Tensor | None = call.get("inputs_embeds")
    embedding = parts.base.get_input_embeddings()
    token_ids = ids if ids is not None and ids.numel() else None
    if token_ids is not None:
        ids = token_ids
        known = (ids >= 0) & (ids < embedding.weight.shape[0])  # placeholder ids may lie beyond the vocabulary
    else:
        embeds = call["inputs_embeds"]
        placeholder_ids = (e.token_id for e in parts.encoders.values())
        ids = _recognise(embeds, embedding, (*placeholder_ids, *scope.known_ids))
        known = torch.ones_like(ids, dtype=torch.bool)
    placeholders: dict[str, Tensor] = {m: ids.eq(e.token_id) for m, e in parts.encoders.items()}
    any_placeholder = torch.stack(list(placeholders.values())).any(0) | ~known
    text = embedding(ids.masked_fill(any_placeholder, 0)) if embeds is None else embeds
    real = _real_tokens(call.get("attention_mask"), any_placeholder)
    if labels is not None and labels.shape != any_placeholder.shape:
        labels = None
    routing_text = scope.select(~any_placeholder & real, ids, labels)
    return Prompt(text, routing_text, placeholders, token_ids)


def find_placeholders(parts: HostParts, call: Mapping[str, Any]) -> dict[str, Tensor]:
    """Modality -> (R, S) bool, where the visual tokens of a call go.

    Args:
        parts: the host.
        call: the arguments of its forward; ``input_ids`` or ``inputs_embeds``.
    """
    token_ids = {modality: encoder.token_id for modality, encoder in parts.encoders.items()}
    ids: Tensor | None = call.get("input_ids")
    if ids is None or not ids.numel():
        ids = _recognise(call["inputs_embeds"], parts.base.get_input_embeddings(), tuple(token_ids.values()))
    return {modality: ids.eq(token_id) for modality, token_id in token_ids.items()}


def _recognise(embeds: Tensor, embedding: Any, wanted: tuple[int, ...]) -> Tensor:
    """Token ids behind embeddings, as far as they matter here.

    Args:
        embeds: (R, S, D).
        embedding: the host's input embedding.
        wanted: ids to look for, the first first where two have the same embedding.

    Returns:
        (R, S) int64, -1 where an embedding is none of theirs.
    """
    vocabulary = embedding.weight.shape[0]
    known = tuple(i for i in wanted if 0 <= i < vocabulary)
    table = embedding(on_device(known, embeds.device)).to(embeds.dtype)  # (W, D)
    ids = torch.full(embeds.shape[:2], -1, dtype=torch.long, device=embeds.device)
    for number in reversed(range(len(known))):
        ids = ids.masked_fill((embeds == table[number]).all(-1), known[number])
    return ids


def _real_tokens(mask: Any, like: Tensor) -> Tensor:
    """(R, S) bool from whatever mask a host's forward is given: None, 2-D, 4-D (static cache) or a dict of those."""
    if isinstance(mask, Mapping):
        mask = mask.get("full_attention", next(iter(mask.values())))
    if mask is None:
        return torch.ones_like(like)
    rows, size = like.shape
    if mask.dim() == 4:  # (R, 1, queries, keys): what the last query may look at
        mask = mask[:, 0, -1, :size]
        real = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
        return real.expand(rows, -1).to(like.device)
    return mask[:, -size:].bool().to(like.device)


def _config_ids(config: Any) -> set[int]:
    """Every ``*_token_id`` of a config and its text config, lists of them (Ovis2's image frames) included."""
    found: set[int] = set()
    for part in (config, config.get_text_config()):
        for name, value in part.to_dict().items():
            if name.endswith(("_token_id", "_token_ids", "_token_index")) and value is not None:
                found |= {int(v) for v in (value if isinstance(value, list | tuple) else [value])}
    return found


def _occurrences(ids: Tensor, needle: tuple[int, ...]) -> Tensor:
    """(R, S) bool, True where ``needle`` begins."""
    found = torch.zeros_like(ids, dtype=torch.bool)
    if ids.shape[1] >= len(needle):
        windows = ids.unfold(1, len(needle), 1)  # (R, S - n + 1, n)
        found[:, : windows.shape[1]] = (windows == on_device(needle, ids.device)).all(-1)
    return found


def _first_true(mask: Tensor, *, default: int) -> Tensor:
    """(R, S) bool -> (R,) position of the first True, or ``default``."""
    return torch.where(mask.any(1), mask.int().argmax(1), default)
