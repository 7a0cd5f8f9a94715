"""Routers that read what is none of their business: padding, neighbours, order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parrot_adapters import RoutingInputs

from .good import Good


class GarbageScale(Good):
    """Divides by the largest value anywhere in the text, masked or not."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        size = inputs.text.float().abs().amax((1, 2))[inputs.rows]
        return super().context(inputs) / (1 + size[:, None])


class MeanOverPadding(Good):
    """Divides by S rather than by the number of words."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        text = inputs.text.float().masked_fill(~inputs.text_mask[..., None], 0.0).mean(1)
        return torch.tanh(text[inputs.rows] + inputs.summary.float())


class AbsolutePositions(Good):
    """Counts columns from the first word on, placeholders included."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        mask = inputs.text_mask
        begun = mask.long().cumsum(1) > 0
        position = begun.long().cumsum(1).float()[..., None]
        text = inputs.text.float().masked_fill(~mask[..., None], 0.0) / position.clamp(min=1)
        return torch.tanh((text.sum(1) / mask.sum(1, keepdim=True).clamp(min=1))[inputs.rows] + inputs.summary.float())


class ColumnsFromTheLeft(Good):
    """Weighs words by their column: right only where nothing was padded on the left."""

    def column(self, mask: Tensor) -> Tensor:
        """(R, S)"""
        return torch.ones_like(mask, dtype=torch.float32).cumsum(1)

    def context(self, inputs: RoutingInputs) -> Tensor:
        mask, column = inputs.text_mask, self.column(inputs.text_mask)[..., None]
        text = inputs.text.float().masked_fill(~mask[..., None], 0.0) / column
        return torch.tanh((text.sum(1) / mask.sum(1, keepdim=True).clamp(min=1))[inputs.rows] + inputs.summary.float())


class ColumnsFromTheRight(ColumnsFromTheLeft):
    """The same from the other end."""

    def column(self, mask: Tensor) -> Tensor:
        return super().column(mask).flip(1)


class BatchMean(Good):
    """Subtracts the mean over the batch."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        context = super().context(inputs)
        return context - 0.1 * context.mean(0)


class AThousandthOfTheBatch(Good):
    def context(self, inputs: RoutingInputs) -> Tensor:
        context = super().context(inputs)
        return context - 0.001 * context.mean(0)


class FirstLanguageRules(Good):
    """Every item is routed by the language of the first prompt, where one is declared."""

    def logits(self, inputs: RoutingInputs) -> Tensor:
        english = inputs.languages is not None and inputs.languages[0] == "en"
        return super().logits(inputs) * (2.0 if english else 1.0)


class BatchMeanInACrowd(BatchMean):
    """Only with more than eight items."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        return super().context(inputs) if inputs.rows.numel() > 8 else Good.context(self, inputs)


class BatchMeanInTraining(BatchMean):
    """Only in training, where an item alone draws other noise than in a batch."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        if not self.training:
            return Good.context(self, inputs)
        return nn.functional.dropout(super().context(inputs), 0.5)


class NextDoor(Good):
    """An item reads the item before it."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        context = super().context(inputs)
        return context + 0.05 * context.roll(1, 0)


class FirstComeFirstServed(Good):
    """Items compete, and the earlier one wins."""

    def logits(self, inputs: RoutingInputs) -> Tensor:
        logits = super().logits(inputs)
        return logits - 0.1 * logits.detach().softmax(-1).cumsum(0)


class FirstPromptLeads(Good):
    """Every item reads the first prompt of the batch; the order of items does not matter."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        first = inputs.text[0].float().masked_fill(~inputs.text_mask[0][:, None], 0.0).sum(0)
        return super().context(inputs) + 0.1 * torch.tanh(first)
