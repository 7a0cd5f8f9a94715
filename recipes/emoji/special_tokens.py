"""Words of a vocabulary that have a role. Plain data: text models are described without torch."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SpecialTokens"]


@dataclass(frozen=True)
class SpecialTokens:
    """Words with a role. All but ``image`` must be in the vocabulary.

    Attributes:
        pad: fills rows.
        bos: opens a text.
        eos: ends an answer.
        image: what the picture's placeholder will be called.
        spare: an unused word of the vocabulary, which becomes the placeholder.
        others: more words that are never split, for example those around a turn.
    """

    pad: str
    bos: str
    eos: str
    image: str
    spare: str
    others: tuple[str, ...] = ()

    @property
    def every(self) -> tuple[str, ...]:
        """In the new vocabulary, without repetition."""
        return tuple(dict.fromkeys((self.pad, self.bos, self.eos, self.image, *self.others)))
