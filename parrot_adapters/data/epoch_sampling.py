"""Which samples an epoch holds, and how often: weights of sources, temperature over languages, caps.

The counts are the same in every epoch; which samples fill a fraction is drawn anew. Everything follows from
``(seed, epoch)``: nothing depends on processes, workers or interruptions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TypeVar

import torch
from torch import Tensor

from parrot_adapters.digests import text_digest

__all__ = ["Cell", "draw", "generator", "quotas"]

K = TypeVar("K")
Cell = tuple[int, str | None]
"""A source's number and a language."""


def quotas(
    sizes: Mapping[Cell, int], weights: Sequence[float], *, caps: Mapping[str, int], temperature: float
) -> dict[Cell, int]:
    """How many samples of each cell an epoch has.

    Args:
        sizes: samples of each language in each source.
        weights: of the sources; 1 for every sample once.
        caps: most samples of a language.
        temperature: languages get shares in proportion to ``count ** (1 / temperature)`` of the same total.
    """
    wanted = {cell: Fraction(weights[cell[0]]) * size for cell, size in sizes.items()}
    languages = dict.fromkeys(language for _, language in sizes)
    totals = {lang: sum((w for cell, w in wanted.items() if cell[1] == lang), Fraction(0)) for lang in languages}
    shares: dict[str | None, Fraction] = dict(totals)
    if temperature != 1.0:
        flat = {lang: Fraction(float(total) ** (1 / temperature)) for lang, total in totals.items() if total}
        whole, sum_flat = sum(totals.values(), Fraction(0)), sum(flat.values(), Fraction(0))
        shares = {lang: whole * flat[lang] / sum_flat if lang in flat else Fraction(0) for lang in totals}
    counts = _rounded(shares)
    for capped, cap in caps.items():
        if capped in counts:
            counts[capped] = min(counts[capped], cap)
    found: dict[Cell, int] = {}
    for lang, count in counts.items():
        mine = {cell: w for cell, w in wanted.items() if cell[1] == lang}
        total = sum(mine.values(), Fraction(0))
        found |= _rounded({cell: count * w / total if total else Fraction(0) for cell, w in mine.items()})
    return found


def draw(members: Mapping[Cell, Tensor], counts: Mapping[Cell, int], *, seed: int, epoch: int) -> Tensor:
    """The samples of an epoch in their order.

    Args:
        members: (n,) int64 indices of each cell's samples.
        counts: samples to take of each cell; beyond its size, whole passes come first.
        seed: of the run.
        epoch: from 0.

    Returns:
        (N,) int64.
    """
    taken = [torch.empty(0, dtype=torch.long)]
    for cell, here in members.items():
        passes, rest = divmod(counts[cell], len(here)) if len(here) else (0, 0)
        taken += [here] * passes
        if rest:
            some = torch.randperm(len(here), generator=generator(seed, epoch, "fraction", *cell))[:rest]
            taken.append(here[some.sort().values])
    everything = torch.cat(taken)
    return everything[torch.randperm(len(everything), generator=generator(seed, epoch, "order"))]


def generator(*what: object) -> torch.Generator:
    """Random numbers of their own for whatever is named, the same on every machine."""
    return torch.Generator().manual_seed(int(text_digest("/".join(map(str, what)))[:16], 16) >> 1)


def _rounded(shares: Mapping[K, Fraction]) -> dict[K, int]:
    """Whole numbers with the same (rounded) sum, by largest remainder; the first of equals first."""
    floors = {key: int(share) for key, share in shares.items()}
    missing = round(sum(shares.values(), Fraction(0))) - sum(floors.values())
    for key in sorted(shares, key=lambda key: floors[key] - shares[key])[:missing]:
        floors[key] += 1
    return floors
