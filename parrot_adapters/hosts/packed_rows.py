"""Packed rows at a host: the arguments by which it keeps samples apart, and reading such rows sample by sample.

transformers knows packed rows by their text positions: with ``attention_mask=None`` and no cache, a new sequence begins
wherever ``position_ids`` does not go up by one, and every mask function keeps sequences apart
(``masking_utils.find_packed_sequence_indices``). Here the same rule tells which text an image belongs to, so whatever
the host keeps apart, the adapter does, for batches of other libraries too. Hosts with positions of three dimensions
(M-RoPE) take the text positions in front of them: (4, R, S).

R  rows    S  positions    P  sequences in all rows    L  longest sequence    D  width
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.core.types import IGNORED
from parrot_adapters.hosts.key_value_cache import given_cache

__all__ = ["Sequences", "packed_arguments", "read_apart", "sequence_languages"]


@dataclass(frozen=True, eq=False)
class Sequences:
    """Where the sequences of packed rows are; row by row, they are numbered through.

    Attributes:
        number: (R, S) int64, the sequence at each position.
        position: (R, S) int64, the place in it.
    """

    number: Tensor
    position: Tensor

    @staticmethod
    def begun_at(starts: Tensor) -> Sequences:
        """From (R, S) bool, True where a sequence begins; the first column counts as True."""
        starts = starts.clone()
        starts[:, 0] = True
        here = torch.arange(starts.shape[1], device=starts.device).expand(starts.shape)
        begun = torch.where(starts, here, 0).cummax(1).values
        return Sequences((starts.flatten().cumsum(0) - 1).view(starts.shape), here - begun)

    @staticmethod
    def of(segments: Tensor) -> Sequences:
        """From the (R, S) segments of a packed batch: padding is a sequence of its own."""
        starts = torch.ones_like(segments, dtype=torch.bool)
        starts[:, 1:] = segments[:, 1:] != segments[:, :-1]
        return Sequences.begun_at(starts)

    @staticmethod
    def seen_by_host(call: Mapping[str, Any]) -> Sequences | None:
        """What a host keeps apart, by the rule above; None where every row is one sequence.

        Args:
            call: the host's arguments.
        """
        positions = call.get("position_ids")
        if positions is None or call.get("attention_mask") is not None or given_cache(call) is not None:
            return None
        if positions.dim() == 3:
            if positions.shape[0] != 4:  # without text positions a host cannot tell sequences apart
                return None
            positions = positions[0]
        given = call.get("input_ids") if call.get("input_ids") is not None else call.get("inputs_embeds")
        if given is not None:
            positions = positions.expand(given.shape[0], -1)
        starts = torch.ones_like(positions, dtype=torch.bool)
        starts[:, 1:] = positions.diff(dim=-1) != 1
        found = Sequences.begun_at(starts)
        return None if int(found.number[-1, -1]) == len(positions) - 1 else found

    @cached_property
    def mask(self) -> Tensor:
        """(P, L) bool: one row for each sequence, padded on the right."""
        lengths = self.number.flatten().bincount()
        return torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]

    def apart(self, values: Tensor) -> Tensor:
        """(R, S, ...) -> (P, L, ...), zero where a sequence has ended."""
        made = values.new_zeros((*self.mask.shape, *values.shape[2:]))
        made[self.number.to(values.device), self.position.to(values.device)] = values
        return made

    def together(self, values: Tensor) -> Tensor:
        """(P, L, ...) -> (R, S, ...)"""
        return values[self.number.to(values.device), self.position.to(values.device)]


def read_apart(call: Mapping[str, Any], labels: Tensor | None) -> tuple[Mapping[str, Any], Tensor | None]:
    """A host's arguments for packed rows as if each sequence had a row of its own.

    Only what a prompt is read from changes (ids or embeddings, mask, labels); items of pictures stay in their order.

    Args:
        call: the host's arguments.
        labels: (R, S) or None.

    Returns:
        both, unchanged if nothing is packed.
    """
    found = Sequences.seen_by_host(call)
    if found is None:
        return call, labels
    read = {name: found.apart(call[name]) for name in ("input_ids", "inputs_embeds") if call.get(name) is not None}
    mask = found.mask
    if labels is not None and labels.shape == found.number.shape:
        labels = found.apart(labels)
        labels = labels.masked_fill(~mask.to(labels.device), IGNORED)
    return {**call, **read, "attention_mask": mask.long()}, labels


def packed_arguments(base: Any, given: Mapping[str, Any], segments: Tensor) -> dict[str, Any]:
    """The arguments by which a host keeps the samples of packed rows apart.

    Args:
        base: the host's base model.
        given: a packed batch's arguments, without ``attention_mask``.
        segments: (R, S), whose each position is.

    Returns:
        ``given`` with ``position_ids``, (R, S) or, at M-RoPE hosts, (4, R, S), and without a cache.
    """
    sequences = Sequences.of(segments)
    positions = sequences.position
    rope = getattr(base, "get_rope_index", None)
    if rope is not None:
        takes = inspect.signature(rope).parameters
        asked = {name: given[name] for name in takes if given.get(name) is not None}
        for name, value in asked.items():
            if isinstance(value, Tensor) and value.shape == segments.shape and not name.endswith("_thw"):
                asked[name] = sequences.apart(value)
        visual, _ = rope(**asked, attention_mask=sequences.mask.long())  # (3, P, L)
        positions = torch.stack([positions, *map(sequences.together, visual)])
    return {**given, "position_ids": positions, "use_cache": False}


def sequence_languages(languages: Sequence[str | None], segments: Tensor) -> list[str | None]:
    """The language of each sequence that the host sees: padding, a sequence too, has none.

    Args:
        languages: of the samples.
        segments: (R, S).
    """
    sample = Sequences.of(segments).apart(segments)[:, 0].tolist()
    return [languages[number] if number >= 0 else None for number in sample]
