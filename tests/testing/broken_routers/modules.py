"""Routers that are no well-behaved modules: they write, remember, guess, hide gradients, cannot be copied or moved."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

from parrot_adapters import Routing, RoutingInputs

from .good import Good


class WritesIntoText(Good):
    """Masks in place."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        inputs.text.masked_fill_(~inputs.text_mask[..., None], 0.0)
        return super().context(inputs)


class TurnsOnGradients(Good):
    """Asks for the gradient of a summary that is not its own, in training only."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        inputs.summary.requires_grad_(self.training)
        return super().context(inputs)


class NoiseInEvaluation(Good):
    def logits(self, inputs: RoutingInputs) -> Tensor:
        return super().logits(inputs) + torch.randn(self.out)


class NoiseOfPython(Good):
    def logits(self, inputs: RoutingInputs) -> Tensor:
        return super().logits(inputs) * (1 + random.random())


class RunningMean(Good):
    """Remembers what it saw before."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self.register_buffer("mean", torch.zeros(width))

    def context(self, inputs: RoutingInputs) -> Tensor:
        context = super().context(inputs)
        answer = context - self.mean
        self.mean = 0.9 * self.mean + 0.1 * context.detach().mean(0)
        return answer


class LateMemory(Good):
    """After three calls it changes its mind, and remembers how many there were where nobody looks."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self.counter = _Counter()

    def logits(self, inputs: RoutingInputs) -> Tensor:
        self.counter.calls += 1
        return super().logits(inputs) * (1.0 if self.counter.calls <= 3 else 1.5)


class _Counter:
    calls = 0


class Cached(Good):
    """Keeps the first answer for every shape."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self._cache = {}

    def logits(self, inputs: RoutingInputs) -> Tensor:
        if self.training:
            return super().logits(inputs)
        return self._cache.setdefault(tuple(inputs.text.shape), super().logits(inputs).mean(0)).expand(
            inputs.rows.numel(), -1
        )


class Stashed(Good):
    """Leaves its last weights on the module."""

    def forward(self, inputs: RoutingInputs) -> Routing:
        routing = super().forward(inputs)
        self.last = routing.weights.detach()
        return routing


class Detached(Good):
    """Only the logits carry a gradient."""

    def weights(self, logits: Tensor) -> Tensor:
        return logits.detach().softmax(-1)


class DeadEncoder(Good):
    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self.encoder = nn.Parameter(torch.eye(width))

    def context(self, inputs: RoutingInputs) -> Tensor:
        return (super().context(inputs) @ self.encoder.float()).detach()


class TrainsItself(Good):
    """A buffer moves in every training pass, recomputed ones included."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self.register_buffer("scale", torch.ones(()))

    def logits(self, inputs: RoutingInputs) -> Tensor:
        if self.training:
            self.scale = self.scale * 1.1
        return super().logits(inputs) * self.scale


class Unsaved(Good):
    """A tensor that matters and is neither parameter nor buffer."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self.projection = torch.randn(width, width)

    def context(self, inputs: RoutingInputs) -> Tensor:
        return super().context(inputs) @ self.projection


class CountsKeys(Good):
    """Looks its options up by numbers; in JSON keys are text."""

    def __init__(self, width: int, num_experts: int, *, factors: dict[int, float] | None = None) -> None:
        super().__init__(width, num_experts)
        self.factor = (factors or {}).get(0, 1.0)

    def logits(self, inputs: RoutingInputs) -> Tensor:
        return super().logits(inputs) * self.factor


class EatsItsOptions(Good):
    """Takes what it needs out of the mapping it was given."""

    def __init__(self, width: int, num_experts: int, *, factors: dict[str, float] | None = None) -> None:
        super().__init__(width, num_experts)
        self.factor = (factors or {}).pop("all", 1.0)


class CpuConstant(Good):
    """A constant made in forward, without a device."""

    def weights(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1) * torch.ones(self.out)


class AnswersFromTheCpu(nn.Module):
    """A constant router that never asks where it is."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__()
        self.out = num_experts

    def forward(self, inputs: RoutingInputs) -> Routing:
        logits = torch.zeros(inputs.rows.numel(), self.out)
        return Routing(logits.softmax(-1), logits)


class Closure(Good):
    """A copy keeps calling the original."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self.gates = _GateOf(self)

    def logits(self, inputs: RoutingInputs) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.context(inputs) @ self.gates.owner.gate.float().T


class _GateOf:
    """Refers to a module without being copied with it."""

    def __init__(self, owner: nn.Module) -> None:
        self.owner = owner

    def __deepcopy__(self, memo: object) -> _GateOf:
        return self


class GraphStashed(Good):
    """Leaves a tensor with its graph on the module in training: it can be copied no more."""

    def forward(self, inputs: RoutingInputs) -> Routing:
        routing = super().forward(inputs)
        if self.training:
            self.last = routing.weights
        return routing


class Lambda(Good):
    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self.activation = lambda x: x.softmax(-1)


class Uncompilable(Good):
    """Behaves otherwise while it is traced."""

    def weights(self, logits: Tensor) -> Tensor:
        return (logits * 2 if torch.compiler.is_compiling() else logits).softmax(-1)
