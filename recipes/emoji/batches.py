"""From concepts and languages to tensors the host takes.

B  samples    S  tokens of the longest sample
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .concepts import Concept
from .tokenizer import Vocabulary

__all__ = ["IGNORE", "Samples", "encode_samples"]

IGNORE = -100


@dataclass(frozen=True, eq=False)
class Samples:
    """Questions with their answers, padded on the right: ``input_ids``, ``attention_mask``, ``labels``, all (B, S)."""

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Samples:
        """The same on another device."""
        return Samples(self.input_ids.to(device), self.attention_mask.to(device), self.labels.to(device))


def encode_samples(
    vocabulary: Vocabulary, concepts: Sequence[Concept], asked: Sequence[tuple[int, str]], visual_tokens: int
) -> Samples:
    """Questions about concepts in given languages, each with its own name as the answer.

    Args:
        vocabulary: token ids.
        concepts: the concepts.
        asked: (concept index, language) of each sample.
        visual_tokens: placeholders per picture.
    """
    ids, labels = [], []
    for concept, language in asked:
        prompt = vocabulary.prompt(language, visual_tokens)
        answer = [*vocabulary.name(concepts[concept].names[language]), vocabulary.eos]
        ids.append(torch.tensor(prompt + answer))
        labels.append(torch.tensor([IGNORE] * len(prompt) + answer))
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=vocabulary.pad)
    return Samples(
        padded,
        (padded != vocabulary.pad).long(),
        torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORE),
    )
