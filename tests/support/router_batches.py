"""One fixed batch for tests of routers: four images, three prompts."""

from __future__ import annotations

import torch

from parrot_adapters import RoutingInputs
from parrot_adapters.core import MeanSummary, offsets_from_lengths

WIDTH = 8


def batch(languages=None, *, seed=0, width=WIDTH):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(10, width, generator=generator)
    offsets = offsets_from_lengths(torch.tensor([3, 1, 4, 2]))
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[0, :2] = mask[1, 4:] = False
    return RoutingInputs(
        summary=MeanSummary(width)(tokens, offsets),
        tokens=tokens,
        offsets=offsets,
        text=torch.randn(3, 5, width, generator=generator),
        text_mask=mask,
        rows=torch.tensor([0, 0, 1, 2]),
        languages=languages,
    )


def align(layer, inputs, languages=None):
    """An :class:`AlignmentLayer` on a batch."""
    return layer(inputs.tokens, inputs.offsets, inputs.rows, inputs.text, inputs.text_mask, languages=languages)
