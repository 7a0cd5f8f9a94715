"""What the calls of a host that are given a prompt say of it, and which row each encoded picture belongs to.

R  rows    S  positions    D  width
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.errors import HostError, PlaceholderError, explain
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.packed_rows import read_apart
from parrot_adapters.hosts.read_prompt import Prompt, TextScope, read_prompt
from parrot_adapters.hosts.routing_units import RoutingUnits, find_units, tokens_by_element

__all__ = ["UNASKED", "PromptCall", "generation_arguments", "picture_sizes"]

UNASKED: Any = object()  # languages that nobody has asked for yet
IDS = ("input_ids", "inputs")


@dataclass(eq=False)
class PromptCall:
    """One call of a host that was given a prompt, while it runs.

    Attributes:
        owner: the seam that keeps it.
        arguments: the call's, by name.
        generates: it is ``generate``.
        length: S of the prompt, where known.
        rows: R of the prompt, where known.
        used: places of the prompt that encoded pictures have taken so far: placeholders, or whole pictures.
        places: how many there are.
        without_prompt: it was given neither ids nor embeddings, so nothing of the prompt is known.
        languages: of the rows.
    """

    owner: object
    arguments: Mapping[str, Any]
    generates: bool = False
    length: int | None = None
    rows: int | None = None
    used: int = 0
    places: int = 0
    without_prompt: bool = False
    languages: Any = UNASKED
    _prompt: Prompt | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        owner: object,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        generates: bool,
    ) -> PromptCall:
        """From a call's arguments, as they were given."""
        parameters = inspect.signature(call).parameters.values()
        names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        made = cls(owner, {**dict(zip(names, args, strict=False)), **kwargs}, generates)
        text = made._text()
        made.rows, made.length = (None, None) if text is None else text.shape[:2]
        return made

    @property
    def prompt(self) -> Prompt:
        """What :meth:`read` has read."""
        assert self._prompt is not None
        return self._prompt

    def _text(self) -> Tensor | None:
        """Ids, else embeddings."""
        for name in (*IDS, "inputs_embeds"):
            value = self.arguments.get(name)
            if isinstance(value, Tensor) and value.dim() >= 2 and value.shape[1]:
                return value
        return None

    def pixels(self, parts: HostParts) -> Any:
        """The pictures that the call was given; None where it has none."""
        return next((self.arguments[n] for n in parts.spec.pixels if self.arguments.get(n) is not None), None)

    def read(self, parts: HostParts, scope: TextScope, around: Sequence[PromptCall]) -> None:
        """Read the prompt, once.

        Args:
            parts: the host.
            scope: which text is routing text.
            around: the calls inside which this one runs; a ``generate`` among them ends the prompt.

        Raises:
            HostError: only a part of the prompt is at hand.
        """
        if self._prompt is not None:
            return
        text = self._text()
        if text is None:
            self._read_nothing(parts)
            return
        end = self._end(text.shape[1], around)
        cut = {
            name: value[:, :end]
            if isinstance(value, Tensor) and value.dim() >= 2 and value.shape[:2] == text.shape[:2]
            else value
            for name, value in self.arguments.items()
        }
        call = {name: cut.get(name) for name in ("attention_mask", "position_ids", "inputs_embeds")}
        if text.is_floating_point():
            call["inputs_embeds"] = text[:, :end]
        else:
            call["inputs_embeds"], call["input_ids"] = None, text[:, :end]
        labels = None if getattr(parts.config, "is_encoder_decoder", False) else cut.get("labels")
        if parts.spec.placeholder_mask is not None:
            self._place_by_mask(parts, call, cut.get(parts.spec.placeholder_mask))
        if parts.spec.placeholder_holds == "token":
            call, labels = read_apart(call, labels)  # type: ignore[assignment]
        self._prompt = read_prompt(parts, call, scope, labels)
        self.places = self._count(parts)

    def _end(self, size: int, around: Sequence[PromptCall]) -> int:
        generation = next((call for call in reversed(around) if call.generates), None)
        if generation is None:
            return size
        if generation.length is None:
            generation.length = size  # generate was given no prompt and made one
        if size < generation.length:
            raise HostError(
                explain(
                    "the host encodes pictures with only a part of the prompt at hand, so the adapter cannot read it.",
                    prompt=f"{generation.length} tokens",
                    at_hand=f"{size} tokens",
                    to_do="leave prefill_chunk_size unset, and start without a cache of earlier turns",
                )
            )
        return generation.length

    def _place_by_mask(self, parts: HostParts, call: dict[str, Any], mask: Tensor | None) -> None:
        if mask is None:
            raise HostError(f"{parts.spec.placeholder_mask} was not given, so nobody knows where visual tokens go")
        ids = call.get("input_ids")
        if ids is None:
            raise HostError("the prompt was given as embeddings; this host's places for images need input_ids")
        call["input_ids"] = ids.masked_fill(mask.bool(), parts.encoders["image"].token_id)

    def _read_nothing(self, parts: HostParts) -> None:
        """No prompt: as many rows as pictures, without text."""
        self.without_prompt = True
        pixels = self.pixels(parts)
        rows = 1 if pixels is None else len(pixels)
        weight = parts.base.get_input_embeddings().weight
        empty = torch.zeros(rows, 1, parts.width, dtype=weight.dtype, device=weight.device)
        nowhere = torch.zeros(rows, 1, dtype=torch.bool, device=weight.device)
        self._prompt = Prompt(empty, nowhere, {"image": nowhere}, None)

    def _count(self, parts: HostParts) -> int:
        if parts.spec.placeholder_holds == "nothing":
            return 0
        return int(self.prompt.placeholders["image"].sum())

    def is_complete(self, parts: HostParts) -> bool:
        """Whether every place of the prompt is taken; False where nobody knows how many there are."""
        if self.without_prompt or parts.spec.placeholder_holds == "nothing":
            sizes = picture_sizes(self.pixels(parts))
            return sizes is not None and self.used == sum(sizes)
        return self.used >= self.places

    def elements(self, parts: HostParts, held: Any) -> list[Tensor]:
        """(n_i, D) of each element that an encoder call made.

        Args:
            parts: the host.
            held: what the call returned, as :func:`tokens_by_element` takes it; with ``features_mask`` a tensor whose
                first dimensions are the mask's, or their product.

        Raises:
            HostError: the mask and the features do not fit.
        """
        name = parts.spec.features_mask
        if name is None:
            return tokens_by_element(held)
        mask = self._mask(name)
        by_row = isinstance(held, Tensor) and held.shape[: mask.dim()] == mask.shape
        if not by_row and not (isinstance(held, Tensor) and held.shape[0] == mask.numel()):
            raise HostError(
                explain(
                    f"{name} does not say which of the host's features are pictures: their shapes do not agree.",
                    mask=tuple(mask.shape),
                    features=tuple(held.shape) if isinstance(held, Tensor) else type(held).__name__,
                    to_do="declare another HostSpec.features_mask, or none",
                )
            )
        return list(held.reshape(mask.numel(), -1, held.shape[-1]))

    def _mask(self, name: str) -> Tensor:
        mask = self.arguments.get(name)
        if not isinstance(mask, Tensor) or mask.dim() < 2:
            raise HostError(
                explain(
                    f"{name} was not given, so nobody knows which features are pictures and which fill a row up.",
                    to_do="hand on all that the host's processor made",
                )
            )
        return mask

    # --- whose each picture is ---------------------------------------------------------------------------------

    def units_of_tokens(self, sizes: list[int], unit: str) -> RoutingUnits:
        """Units of elements whose every visual token has a placeholder of its own: the next ones in the prompt.

        Raises:
            PlaceholderError: there are not so many.
        """
        placeholders = self.prompt.placeholders["image"]
        total = sum(sizes)
        if self.used or total < self.places:
            number = placeholders.flatten().cumsum(0).view(placeholders.shape)
            placeholders = placeholders & (number > self.used) & (number <= self.used + total)
        units = find_units(sizes, placeholders.cpu(), unit)
        self.used += total
        return units

    def owners_of_pictures(self, elements: int, sizes: list[int] | None) -> list[tuple[int | None, int]]:
        """(row, picture) of elements whose pictures have one placeholder each; None as the row of a stand-in.

        LLaVA's code wants a stand-in picture for a row without placeholders, and drops what it encodes to.

        Args:
            elements: how many were encoded just now.
            sizes: elements of each picture, where the host was given a list of pictures; None for one each.

        Raises:
            PlaceholderError: pictures and placeholders do not match.
        """
        counts = self.prompt.placeholders["image"].sum(1).tolist()
        rows: list[int | None] = [row for row, count in enumerate(counts) for _ in range(count)]
        given = self.used + elements if sizes is None else len(sizes)
        if given != len(rows) and 0 in counts:
            rows = [row if count else None for row, count in enumerate(counts) for _ in range(count or 1)]
        per_picture = [1] * len(rows) if sizes is None else sizes
        if len(per_picture) != len(rows) or self.used + elements > sum(per_picture):
            raise PlaceholderError(
                explain(
                    "the image placeholders in the prompt do not match the images.",
                    placeholders=f"{sum(counts)} in all; per row {counts}",
                    pictures=f"{len(per_picture) if sizes is not None else given}",
                    encoded=f"{self.used + elements}",
                    to_do="hand the host one picture for each placeholder, and, where its code wants one, a stand-in "
                    "for each row without; declare HostSpec.placeholder_holds for hosts that merge otherwise",
                )
            )
        owners = [(row, n) for n, (row, size) in enumerate(zip(rows, per_picture, strict=True)) for _ in range(size)]
        found = owners[self.used : self.used + elements]
        self.used += elements
        self.places = len(owners)
        return found

    def owners_of_slots(self, parts: HostParts, sizes: list[int]) -> list[tuple[int | None, int]]:
        """(row, picture) of elements that stand in a row of slots for each prompt; None as the row of an empty slot.

        Args:
            parts: the host.
            sizes: visual tokens of each element.

        Raises:
            PlaceholderError: pictures and placeholders of a prompt do not match.
        """
        assert parts.spec.features_mask is not None
        mask = self._mask(parts.spec.features_mask)
        filled = mask.bool().flatten(2) if mask.dim() > 2 else mask.bool()[..., None]  # (R, K, tiles)
        counts = self.prompt.placeholders["image"].sum(1).tolist()
        by_picture, owners, found = parts.spec.placeholder_holds == "picture", [], []
        for row, slots in enumerate(filled.tolist()):
            found.append(0)
            for slot, tiles in enumerate(slots):
                # A slot behind a prompt's last picture may look filled: Llama 3.2 marks one tile of it.
                is_picture = any(tiles) and not (by_picture and found[row] == counts[row])
                owners += [(row if is_picture and tile else None, slot) for tile in tiles]
                tokens = sum(size for size, tile in zip(sizes[len(owners) - len(tiles) :], tiles, strict=False) if tile)
                found[row] += (1 if by_picture else tokens) * is_picture
        if found != counts:
            raise PlaceholderError(
                explain(
                    "the image placeholders in the prompt do not match the images.",
                    placeholders=f"per row {counts}",
                    **{"pictures" if by_picture else "visual tokens": f"per row {found}"},
                    to_do="hand the host all that its processor made of prompts and pictures together",
                )
            )
        self.used = self.places
        return owners

    def owners_in_order(self, elements: int) -> list[tuple[int | None, int]]:
        """(row, picture) of elements that are shared out evenly among the rows.

        Raises:
            PlaceholderError: they cannot be.
        """
        self.used += elements
        rows = self.prompt.routing_text.shape[0]
        if elements % rows:
            raise PlaceholderError(f"{elements} pictures cannot be shared out among {rows} prompts")
        return [(number // (elements // rows), number) for number in range(elements)]


def picture_sizes(pixels: Any) -> list[int] | None:
    """How many elements each picture is encoded to: one, or one for each of its tiles; None where nobody knows.

    Args:
        pixels: (M, C, H, W), (M, tiles, C, H, W), or a list of (C, H, W) and (tiles, C, H, W); None where unknown.
    """
    if isinstance(pixels, list | tuple):
        return [one.shape[0] if one.dim() == 4 else 1 for one in pixels]
    if isinstance(pixels, Tensor) and pixels.dim() in (4, 5):
        return [pixels.shape[1] if pixels.dim() == 5 else 1] * pixels.shape[0]
    return None


def generation_arguments(model: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a host's forward as its ``generate`` names them.

    Classes with a ``generate`` of their own, LLaVA's for example, may call the prompt ``inputs`` there.

    Args:
        model: the host.
        inputs: arguments of its forward.
    """
    takes = inspect.signature(type(model).generate).parameters
    own = "generation_config" not in takes and "input_ids" not in takes and "inputs" in takes
    return {"inputs" if own and name == "input_ids" else name: value for name, value in inputs.items()}
