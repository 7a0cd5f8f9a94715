"""Some rows of a batch whose images are encoded: their visual tokens, and whether two rows have the same ones.

R  rows    S  positions    N  visual tokens of one output    D  width
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.errors import HostError
from parrot_adapters.hosts.item_places import find_places
from parrot_adapters.hosts.routing_units import flat_tokens, tokens_by_element

__all__ = ["OutputRows"]

Ranges = Sequence[tuple[int, int]]


class OutputRows:
    """Encoded images of a batch, row by row.

    Args:
        outputs: Modality -> ModelOutput, aligned or not.
        placeholders: Modality -> (R, S) bool, where their visual tokens go.
        attribute: The field of an output that holds its features.

    Raises:
        PlaceholderError: There are more or fewer placeholders than visual tokens.
    """

    def __init__(self, outputs: Mapping[str, Any], placeholders: Mapping[str, Tensor], attribute: str) -> None:
        self.outputs, self.attribute = outputs, attribute
        places = find_places(placeholders)
        rows = next(iter(placeholders.values())).shape[0]
        self._ranges: dict[str, list[tuple[int, int]]] = {}
        for modality, output in outputs.items():
            units = places.units(modality, getattr(output, attribute), "row").to(torch.device("cpu"))
            ends = units.offsets.tolist()
            found = {row: (ends[i], ends[i + 1]) for i, row in enumerate(units.rows.tolist())}
            self._ranges[modality] = [found.get(row, (0, 0)) for row in range(rows)]

    def same(self, one: int, other: int) -> bool:
        """Whether the visual tokens of two rows are equal bit by bit, and what the layers are told of them too."""
        return all(
            torch.equal(a, b)
            for modality, ranges in self._ranges.items()
            for a, b in zip(self._parts(modality, ranges[one]), self._parts(modality, ranges[other]), strict=True)
        )

    def take(self, rows: Sequence[int]) -> dict[str, Any]:
        """Copies of the outputs that hold these rows alone, in this order.

        Raises:
            HostError: An element of the features belongs to several rows.
        """
        taken = {}
        for modality, output in self.outputs.items():
            ranges = [self._ranges[modality][row] for row in rows if self._ranges[modality][row][1]]
            if not ranges:
                continue
            new = copy.copy(output)
            setattr(new, self.attribute, _taken(getattr(output, self.attribute), ranges))
            if getattr(output, "token_weights", None) is not None:
                new.token_weights = _taken(output.token_weights, ranges)
            if getattr(output, "deepstack_features", None) is not None:
                new.deepstack_features = [_taken(layer, ranges) for layer in output.deepstack_features]
            taken[modality] = new
        return taken

    def _parts(self, modality: str, tokens: tuple[int, int]) -> list[Tensor]:
        output = self.outputs[modality]
        held = [getattr(output, self.attribute), *(getattr(output, "deepstack_features", None) or ())]
        if getattr(output, "token_weights", None) is not None:
            held.append(output.token_weights)
        return [flat_tokens(each)[slice(*tokens)] for each in held]


def _taken(features: Any, ranges: Ranges) -> Any:
    """Ranges of the visual tokens in ``features``, in a container of its kind."""
    if isinstance(features, Tensor):
        size = features.shape[1:-1].numel()
        if any(bound % size for both in ranges for bound in both):
            raise HostError("an element of the host's image features belongs to several rows")
        return torch.cat([features[start // size : stop // size] for start, stop in ranges])
    starts = {start: i for i, start in enumerate(accumulate(map(len, tokens_by_element(features)), initial=0))}
    if any(bound not in starts for both in ranges for bound in both):
        raise HostError("an element of the host's image features belongs to several rows")
    return type(features)(features[i] for start, stop in ranges for i in range(starts[start], starts[stop]))
