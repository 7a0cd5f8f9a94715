"""Routers whose answers are no routing, or whose weights are not what they say."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parrot_adapters import Routing, RoutingInputs
from parrot_adapters.core import keep_top_k, spread

from .good import Good


class NotARouting(Good):
    def forward(self, inputs: RoutingInputs) -> Routing:
        return tuple(super().forward(inputs)[:2])  # type: ignore[return-value]


class HardCodedExperts(Good):
    def forward(self, inputs: RoutingInputs) -> Routing:
        routing = super().forward(inputs)
        return Routing(routing.weights[:, :4], routing.logits[:, :4])


class Unmarked(Good):
    """One routing per token, and per_token left unsaid."""

    def forward(self, inputs: RoutingInputs) -> Routing:
        logits = spread(self.logits(inputs), inputs.offsets, inputs.tokens.shape[0]) + inputs.tokens[:, :1].float()
        return Routing(logits.softmax(-1), logits)


class Sigmoid(Good):
    def weights(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()


class Negative(Good):
    def weights(self, logits: Tensor) -> Tensor:
        return logits - logits.mean(-1, keepdim=True) + 1 / self.out


class DropoutOnWeights(Good):
    def weights(self, logits: Tensor) -> Tensor:
        return nn.functional.dropout(logits.softmax(-1), 0.5, self.training)


class TopOneKeepsItsShare(Good):
    """With k = 1 the weight is what the softmax gave, not one."""

    def __init__(self, width: int, num_experts: int, *, top_k: int = 2) -> None:
        super().__init__(width, num_experts)
        self.top_k = top_k

    def forward(self, inputs: RoutingInputs) -> Routing:
        routing = super().forward(inputs)
        if self.top_k > 1:
            return keep_top_k(routing, self.top_k)
        share, chosen = routing.weights.max(-1, keepdim=True)
        weights = torch.zeros_like(routing.weights).scatter(-1, chosen, share)
        return routing._replace(weights=weights, active=chosen)


class UnbalancedInACrowd(Good):
    """Capacity: beyond eight items the weights no longer sum to one."""

    def weights(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1) * min(1.0, 8 / logits.shape[0])


class TopKIgnored(Good):
    def __init__(self, width: int, num_experts: int, *, top_k: int = 2) -> None:
        super().__init__(width, num_experts)
        self.top_k = top_k


class ActiveIsALie(Good):
    """Names two experts and uses all."""

    def forward(self, inputs: RoutingInputs) -> Routing:
        routing = super().forward(inputs)
        return routing._replace(active=routing.weights.topk(2).indices)


class NaNOnEmptyPrompts(Good):
    """Softmax over a row of minus infinities."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        score = inputs.text.float().mean(-1).masked_fill(~inputs.text_mask, float("-inf")).softmax(-1)
        text = inputs.text.float().masked_fill(~inputs.text_mask[..., None], 0.0)
        return torch.tanh((score[..., None] * text).sum(1)[inputs.rows] + inputs.summary.float())


class GarbageOnEmptyPrompts(Good):
    """A finite fill value: a prompt without words attends evenly to its padding."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        score = inputs.text.float().mean(-1).masked_fill(~inputs.text_mask, torch.finfo(torch.float32).min).softmax(-1)
        return torch.tanh((score[..., None] * inputs.text.float()).sum(1)[inputs.rows] + inputs.summary.float())


class NaNOnEmptyItems(Good):
    def context(self, inputs: RoutingInputs) -> Tensor:
        sizes = (inputs.offsets[1:] - inputs.offsets[:-1]).float()[:, None]
        return super().context(inputs) * (sizes / sizes)


class Overflows(Good):
    """exp without subtracting the maximum."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        text = inputs.text.float().masked_fill(~inputs.text_mask[..., None], 0.0)
        return (text.sum(1) / inputs.text_mask.sum(1, keepdim=True).clamp(min=1))[inputs.rows]

    def weights(self, logits: Tensor) -> Tensor:
        return logits.exp() / logits.exp().sum(-1, keepdim=True)


class DeafToText(Good):
    def context(self, inputs: RoutingInputs) -> Tensor:
        return torch.tanh(inputs.summary.float())
