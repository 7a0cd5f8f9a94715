"""Swahili, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, phrases

__all__ = ["SWAHILI"]

SWAHILI = Language(
    scripts=phrases("LATIN"),
    answer=phrases("jibu | jibu sahihi | chaguo sahihi"),
    option=phrases("chaguo | herufi"),
    fillers=phrases("ni | sahihi | la | chaguo | herufi | kwa | swali | hili"),
    refusals=phrases("siwezi kujibu | samahani | siwezi kubaini | sijui"),
    joiners=phrases("au | na"),
)
