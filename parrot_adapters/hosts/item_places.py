"""Where the items of a call are: what has to be read off the device, in one transfer.

N  visual tokens    R  rows    S  positions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.hosts.routing_units import RoutingUnits, find_units, tokens_by_element

__all__ = ["ItemPlaces", "find_places"]


@dataclass(frozen=True, eq=False)
class ItemPlaces:
    """Placeholders of a batch, on the CPU, so that nothing asked of them waits for the device.

    Attributes:
        placeholders: modality -> (R, S) bool.
    """

    placeholders: Mapping[str, Tensor]

    def units(self, modality: str, features: Any, unit: str, seen: int = 0) -> RoutingUnits:
        """The routing units of an output, on the device of its features.

        Args:
            modality: Whose.
            features: A host's image features, at least one element.
            unit: As :func:`find_units` takes it.
            seen: Leading positions whose images are not among the features; where they are, as in what an assistant
                of ``generate`` is handed at every round, no position is left out.

        Raises:
            PlaceholderError: There are more or fewer placeholders than visual tokens.
        """
        elements = tokens_by_element(features)
        sizes, places = [len(e) for e in elements], self.placeholders[modality]
        if seen and int(places[:, seen:].sum()) != sum(sizes) == int(places.sum()):
            seen = 0
        found = find_units(sizes, places[:, seen:], unit)
        return found.to(elements[0].device)


def find_places(placeholders: Mapping[str, Tensor]) -> ItemPlaces:
    """Bring the placeholders of all modalities here, in one transfer.

    Args:
        placeholders: Modality -> (R, S) bool, at least one.
    """
    together = torch.stack(list(placeholders.values()))
    return ItemPlaces(dict(zip(placeholders, together.cpu(), strict=True)))
