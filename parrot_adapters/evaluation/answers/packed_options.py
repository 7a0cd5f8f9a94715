"""All options of all questions of a batch in two passes: what prompts share, then everything that differs.

G prefixes   R rows (questions)   P prefix tokens, padded on the left   L tokens behind it   V vocabulary

The first pass computes each prefix once. Questions about the same pictures share one as far as their tokens agree, if
that is past the last picture. Where an adapter rewrites pictures, it reads each question's whole prompt first, and
only questions whose visual tokens (and what the layers are told of them) are equal bit by bit share a prefix: with
routing by text, a question in another language does not.

The second pass has a row for each question: the rest of its prompt, then its options side by side. A mask lets each
option see the prompt and itself, not the others; each has the positions that it would have alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from parrot_adapters.errors import HostError
from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost, Inputs
from parrot_adapters.evaluation.benchmark.questions import Question
from parrot_adapters.hosts.host_parts import NO_TOKEN, HostParts, find_parts
from parrot_adapters.hosts.key_value_cache import cache_argument, cache_rows, made_cache
from parrot_adapters.hosts.output_rows import OutputRows
from parrot_adapters.hosts.read_prompt import find_placeholders

__all__ = ["PackedOptions", "same_pictures"]

Ids = tuple[int, ...]
NOBODY = -1


class Prefix(NamedTuple):
    """The beginning of a prompt, computed once.

    Attributes:
        rows: whose it is.
        length: tokens of it.
    """

    rows: tuple[int, ...]
    length: int


class Packed(NamedTuple):
    """The second pass. Padding belongs to nobody, sees the prefix and is seen by no one.

    Attributes:
        ids, positions: (R, L).
        visible: (R, L, L) bool, what each token sees beside the prefix.
        kept: last columns whose logits are read.
        read: (question, candidate, column of those, token to find there).
    """

    ids: Tensor
    positions: Tensor
    visible: Tensor
    kept: int
    read: list[tuple[int, Ids, int, int]]


def same_pictures(asked: Sequence[Question]) -> list[list[int]]:
    """Rows by their pictures; a row without any stands alone."""
    groups: dict[object, list[int]] = {}
    for row, question in enumerate(asked):
        groups.setdefault(question.picture_hashes or row, []).append(row)
    return list(groups.values())


class PackedOptions:
    """Scores options with a host in packed rows.

    Args:
        host: the model.
    """

    def __init__(self, host: EvaluationHost) -> None:
        self.host = host
        try:
            self.parts: HostParts | None = find_parts(host.model) if host.adapter is None else host.adapter.parts
        except HostError:  # none that we know how to take apart
            self.parts = None

    def encode(self, asked: Sequence[Question]) -> Inputs:
        """A batch, and beside it the first question about each picture, for the prefixes."""
        inputs = self.host.encode(asked)
        groups = same_pictures(asked)
        if len(groups) == len(asked):
            return inputs
        return inputs._replace(firsts=self.host.encode([asked[group[0]] for group in groups]))

    def score(
        self, asked: Sequence[Question], inputs: Inputs, wanted: Sequence[Sequence[Ids]]
    ) -> list[dict[Ids, float]] | None:
        """Log-likelihoods by candidate, one mapping a question; None where this host's prompts cannot be cut.

        Args:
            asked: the questions of the batch.
            inputs: the batch, as :meth:`encode` made it.
            wanted: the candidates of each.
        """
        rows = _tokens_of(inputs)
        if rows is None or not self._cuts(rows, wanted):
            return None
        prefixes = self._shared(asked, rows)
        adapter = self.host.adapter
        rewrites = adapter is not None and adapter.active and adapter.native_seam is not None
        pictures: OutputRows | None = None
        if rewrites and (pictures := self._aligned(inputs)) is not None:
            prefixes = [part for prefix in prefixes for part in _agreeing(prefix, pictures)]
        cache, mask, deltas = self._first_pass(asked, inputs, prefixes, pictures)
        if cache is None:
            return None
        owner = {row: g for g, prefix in enumerate(prefixes) for row in prefix.rows}
        packed = _packed(rows, [prefixes[owner[row]].length for row in range(len(rows))], wanted)
        return self._second_pass(packed, [owner[row] for row in range(len(rows))], cache, mask, deltas, len(asked))

    # --- what is shared -----------------------------------------------------------------------------------------

    def _cuts(self, rows: Sequence[Sequence[int]], wanted: Sequence[Sequence[Ids]]) -> bool:
        """Whether prompts may be cut before their last token, and options packed, as far as is known beforehand."""
        if self.parts is None or self.parts.spec.encoder_calls:  # it must be given prompts as they are
            return False
        if any(encoder.token_id == NO_TOKEN for encoder in self.parts.encoders.values()):
            return False
        if any(len(row) <= max(1, self._after_pictures(row)) for row in rows):
            return False
        text = self.host.model.config.get_text_config()
        if "flash" in str(getattr(text, "_attn_implementation", "")):  # it takes no mask of ours
            return False
        window = getattr(text, "sliding_window", None)
        longest = max(len(row) + max(map(len, ids), default=0) for row, ids in zip(rows, wanted, strict=True))
        return not window or longest <= int(window)

    def _after_pictures(self, row: Sequence[int]) -> int:
        """The position behind the last placeholder."""
        assert self.parts is not None
        signs = {encoder.token_id for encoder in self.parts.encoders.values()}
        return next((place + 1 for place in reversed(range(len(row))) if row[place] in signs), 0)

    def _shared(self, asked: Sequence[Question], rows: Sequence[Sequence[int]]) -> list[Prefix]:
        found = []
        for group in same_pictures(asked):
            shortest = min(len(rows[row]) for row in group) - 1
            length = next((i for i in range(shortest) if len({rows[row][i] for row in group}) > 1), shortest)
            if length >= max(1, self._after_pictures(rows[group[0]])):
                found.append(Prefix(tuple(group), length))
            else:
                found += [Prefix((row,), len(rows[row]) - 1) for row in group]
        return found

    def _aligned(self, inputs: Inputs) -> OutputRows | None:
        """The visual tokens of the whole batch, rewritten by whole prompts; None where it has no pictures."""
        assert self.parts is not None
        call = self.host.on_device(inputs.tensors)
        encoders = self.parts.encoders.items()
        outputs = {m: e.encode(self.parts.base, call) for m, e in encoders if call.get(e.pixels) is not None}
        if not outputs:
            return None
        outputs = self.host.adapter.native_seam.align_outputs(outputs, call, None)
        return OutputRows(outputs, find_placeholders(self.parts, call), self.parts.spec.feature_attribute)

    # --- passes -------------------------------------------------------------------------------------------------

    def _first_pass(
        self, asked: Sequence[Question], inputs: Inputs, prefixes: Sequence[Prefix], pictures: OutputRows | None
    ) -> tuple[Any, Tensor, Tensor | None]:
        """Cache of the prefixes, None where it is not as long as they are; their mask (G, P); offsets of positions."""
        firsts = [prefix.rows[0] for prefix in prefixes]
        tensors = self._inputs_of(asked, inputs, firsts).tensors
        cut = _cut(tensors, [prefix.length for prefix in prefixes], self.host.tokenizer.pad_token_id or 0)
        given: dict[str, Any] = self.host.on_device({**tensors, **cut})
        mask = given["attention_mask"]
        if pictures is not None:
            assert self.parts is not None
            for encoder in self.parts.encoders.values():
                given.pop(encoder.pixels, None)
            given["mm_encoder_outputs"] = pictures.take(firsts)
        threefold = hasattr(self._base, "rope_deltas")  # such hosts find the positions of a prompt themselves
        if not threefold:
            given["position_ids"] = (mask.long().cumsum(-1) - 1).clamp(min=0)
        cache = made_cache(self._forward(1, **given))
        if cache.get_seq_length() != mask.shape[1]:
            return None, mask, None
        return cache, mask, self._base.rope_deltas if threefold else None

    def _inputs_of(self, asked: Sequence[Question], inputs: Inputs, firsts: Sequence[int]) -> Inputs:
        """The batch of some rows: made already, unless an adapter agrees for some pictures and not for others."""
        if len(firsts) == len(asked):
            return inputs if list(firsts) == list(range(len(asked))) else self.host.encode([asked[i] for i in firsts])
        if inputs.firsts is not None and list(firsts) == [group[0] for group in same_pictures(asked)]:
            return inputs.firsts
        return self.host.encode([asked[row] for row in firsts])

    def _second_pass(
        self, packed: Packed, owner: Sequence[int], cache: Any, mask: Tensor, deltas: Tensor | None, count: int
    ) -> list[dict[Ids, float]]:
        device = mask.device
        whose = torch.tensor(owner, device=device)
        before = mask.bool()[whose][:, None].expand(-1, packed.ids.shape[1], -1)  # (R, L, P)
        visible = torch.cat([before, packed.visible.to(device)], 2)[:, None]  # (R, 1, L, P + L)
        weights = torch.zeros(visible.shape, dtype=self.host.model.dtype, device=device)
        positions = packed.positions.to(device)
        if deltas is not None:
            positions = (positions + deltas.to(device)[whose]).expand(3, -1, -1)
        logits = self._forward(
            packed.kept,
            input_ids=packed.ids.to(device),
            attention_mask=weights.masked_fill(~visible, torch.finfo(weights.dtype).min),
            position_ids=positions,
            **{cache_argument(self.host.model.forward): cache_rows(cache, whose)},
        ).logits[:, -packed.kept :]
        found: list[dict[Ids, float]] = [{} for _ in range(count)]
        for row in range(count):  # one at a time: a vocabulary of float32 for a whole batch would be large
            read = [entry for entry in packed.read if entry[0] == row]
            columns, tokens = (torch.tensor([entry[i] for entry in read], device=device) for i in (2, 3))
            own = logits[row].float()
            values = (own[columns, tokens] - own.logsumexp(-1)[columns]).tolist()
            for (_, ids, _, _), value in zip(read, values, strict=True):
                found[row][ids] = found[row].get(ids, 0.0) + value
        return found

    @property
    def _base(self) -> Any:
        return getattr(self.host.model, "model", self.host.model)

    def _forward(self, kept: int, **arguments: Any) -> Any:
        if "logits_to_keep" in inspect.signature(self.host.model.forward).parameters:
            arguments["logits_to_keep"] = kept
        return self.host.model(**arguments, use_cache=True)


def _tokens_of(inputs: Inputs) -> list[list[int]] | None:
    """The tokens of each row; None where a row is padded otherwise than on the left."""
    ids, mask = inputs.tensors["input_ids"], inputs.tensors["attention_mask"].bool()
    if not bool((mask[:, 1:] >= mask[:, :-1]).all()):
        return None
    return [row[real].tolist() for row, real in zip(ids, mask, strict=True)]


def _agreeing(prefix: Prefix, pictures: OutputRows) -> list[Prefix]:
    """The rows of a prefix in parts of which each has visual tokens of its own."""
    parts: list[list[int]] = []
    for row in prefix.rows:
        part = next((part for part in parts if pictures.same(part[0], row)), None)
        if part is None:
            parts.append([row])
        else:
            part.append(row)
    return [Prefix(tuple(part), prefix.length) for part in parts]


def _cut(tensors: dict[str, Tensor], lengths: Sequence[int], pad: int) -> dict[str, Tensor]:
    """What a batch says of each token, of the first tokens alone, padded on the left."""
    mask = tensors["attention_mask"]
    size, long = mask.shape[1], max(lengths)
    place = torch.arange(long) - (long - torch.tensor(lengths))[:, None]  # (G, P) in its row, negative for padding
    source = (place + size - mask.sum(1)[:, None]).clamp(min=0)
    fill = {"input_ids": pad}
    return {
        name: value.gather(1, source).masked_fill(place < 0, fill.get(name, 0))
        for name, value in tensors.items()
        if name in ("input_ids", "attention_mask") or (name.endswith("token_type_ids") and value.shape == mask.shape)
    }


def _packed(rows: Sequence[Sequence[int]], lengths: Sequence[int], wanted: Sequence[Sequence[Ids]]) -> Packed:
    """Rests of prompts, all but their last tokens padded on the left, then what logits are read of, on the right."""
    before = max(len(row) - length for row, length in zip(rows, lengths, strict=True)) - 1
    kept = max(1 + sum(len(ids) - 1 for ids in candidates) for candidates in wanted)
    ids = torch.zeros(len(rows), before + kept, dtype=torch.long)
    positions, branch = torch.zeros_like(ids), torch.full_like(ids, NOBODY)  # branch 0 is the prompt
    read = []
    for number, (row, length, candidates) in enumerate(zip(rows, lengths, wanted, strict=True)):
        rest = row[length:]
        start, column = before + 1 - len(rest), before + 1
        ids[number, start:column] = torch.tensor(rest)
        positions[number, start:column] = torch.arange(length, len(row))
        branch[number, start:column] = 0
        for option, tokens in enumerate(candidates, 1):
            read.append((number, tokens, 0, tokens[0]))
            end = column + len(tokens) - 1
            ids[number, column:end] = torch.tensor(tokens[:-1], dtype=torch.long)
            positions[number, column:end] = torch.arange(len(row), len(row) + len(tokens) - 1)
            branch[number, column:end] = option
            read += [(number, tokens, place - before, tokens[place - column + 1]) for place in range(column, end)]
            column = end
    mine, other = branch[:, :, None], branch[:, None, :]  # of who sees, of who is seen
    reachable = (other == 0) | (other == mine)
    visible = (mine != NOBODY) & (other != NOBODY) & reachable & (positions[:, None, :] <= positions[:, :, None])
    return Packed(ids, positions, visible, kept, read)
