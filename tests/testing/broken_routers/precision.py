"""Routers that compute in half precision where they should not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parrot_adapters import Routing, RoutingInputs

from .good import Good


class HalfLogits(Good):
    def forward(self, inputs: RoutingInputs) -> Routing:
        routing = super().forward(inputs)
        return routing._replace(logits=routing.logits.bfloat16())


class HalfContext(Good):
    """The gate is applied in the dtype of the inputs."""

    def logits(self, inputs: RoutingInputs) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            dtype = inputs.text.dtype
            return (self.context(inputs).to(dtype) @ self.gate.to(dtype).T).float()


class HalfSoftmax(Good):
    """Logits in float32, the softmax in half precision, on every input."""

    def weights(self, logits: Tensor) -> Tensor:
        half = logits.half().softmax(-1).float()
        return half / half.sum(-1, keepdim=True)


class HalfSoftmaxAsItIs(Good):
    """The same, not renormalised: sums are off by a ten-thousandth, which is not what is wrong with it."""

    def weights(self, logits: Tensor) -> Tensor:
        return logits.half().softmax(-1).float()


class HalfSoftmaxForHalfInputs(Good):
    def forward(self, inputs: RoutingInputs) -> Routing:
        logits = self.logits(inputs)
        weights = logits.to(inputs.text.dtype).softmax(-1).float()
        return Routing(weights / weights.sum(-1, keepdim=True), logits)


class HalfSoftmaxHandedOn(Good):
    """As above, and the weights stay in the dtype of the inputs."""

    def forward(self, inputs: RoutingInputs) -> Routing:
        logits = self.logits(inputs)
        return Routing(logits.to(inputs.text.dtype).softmax(-1), logits)


class CollectsInABuffer(Good):
    """Writes what a Linear gives, which autocast makes bfloat16, into float32."""

    def logits(self, inputs: RoutingInputs) -> Tensor:
        found = nn.functional.linear(self.context(inputs), self.gate.float())
        logits = torch.zeros(found.shape, device=found.device)
        everywhere = torch.arange(len(found), device=found.device)
        return logits.index_put((everywhere,), found)


class HalfWhenCast(Good):
    def logits(self, inputs: RoutingInputs) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return (self.context(inputs).to(self.gate.dtype) @ self.gate.T).float()
