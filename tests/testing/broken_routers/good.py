"""The healthy router that every broken one is, but for a single fault."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parrot_adapters import Routing, RoutingInputs


class Good(nn.Module):
    """The masked mean of the prompt times the summary, through one linear gate, in float32: a healthy small router."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.randn(num_experts, width) * width**-0.5)
        self.out = num_experts

    def context(self, inputs: RoutingInputs) -> Tensor:
        mask = inputs.text_mask[..., None]
        text = inputs.text.float().masked_fill(~mask, 0.0)
        mean = text.sum(1) / mask.sum(1).clamp(min=1)  # (R, D)
        return torch.tanh(mean[inputs.rows] + inputs.summary.float())

    def logits(self, inputs: RoutingInputs) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.context(inputs) @ self.gate.float().T

    def forward(self, inputs: RoutingInputs) -> Routing:
        logits = self.logits(inputs)
        return Routing(self.weights(logits), logits)

    def weights(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)
