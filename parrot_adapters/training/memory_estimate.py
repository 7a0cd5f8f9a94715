"""How many bytes of tensors a training step holds at its worst moment: measured, with real tensors or with none.

A dispatch mode sees every tensor that an operation returns and forgets it when its storage is gone. With real tensors
that is a measurement. With fake ones (a shape, a dtype and no data) it is the same step of the same code, so nothing
about a model's activations has to be guessed: attention, recomputation and loss are what they are.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["MemoryOfStep", "TensorBytes", "WithoutWeights", "make_fake", "measure_step"]

aten = torch.ops.aten
GROUPED: Any = aten._grouped_mm.default if hasattr(aten, "_grouped_mm") else None  # torch 2.8 brought it
BY_MASK = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default)


class TensorBytes(TorchDispatchMode):
    """Counts the bytes of living tensors inside the block.

    Attributes:
        live: now.
        peak: at the worst moment since :meth:`reset`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: dict[int, Any] = {}

    def hold(self, tensors: Iterable[Tensor]) -> None:
        """Count tensors that were there before, until they are gone."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if id(storage) not in self._known:
                self.add(storage.nbytes())
                end = weakref.finalize(storage, self._forget, id(storage), storage.nbytes())
                end.atexit = False
                self._known[id(storage)] = end

    def add(self, size: int) -> None:
        """Count bytes that no tensor at hand stands for; negative to take them away again."""
        self.live += size
        self.peak = max(self.peak, self.live)

    def reset(self) -> None:
        """Look for the worst moment from now on."""
        self.peak = self.live

    def _forget(self, key: int, size: int) -> None:
        self.live -= size
        self._known.pop(key, None)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = self.call(func, args, kwargs or {})
        self.hold(leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor))
        return found

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run one operation."""
        return func(*args, **kwargs)


class WithoutWeights(TensorBytes):
    """The same over a model whose weights are fake (:func:`make_fake`), inside a ``FakeTensorMode``.

    What is computed from inputs alone stays real: hosts branch on where placeholders stand and how large pictures are.
    """

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        if not any(isinstance(leaf, FakeTensor) for leaf in tree_leaves((args, kwargs))):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        if func in BY_MASK:  # how many places a mask has is known: the mask is real
            args = (args[0], [place for index in args[1] for place in _places(index)], *args[2:])
        if func is GROUPED and args[0].dtype is not torch.bfloat16:
            halves = [arg.bfloat16() if isinstance(arg, Tensor) and arg.is_floating_point() else arg for arg in args]
            return func(*halves, **kwargs).to(args[0].dtype)  # its shape rule knows no other dtype
        return func(*args, **kwargs)


def _places(index: Tensor | None) -> list[Tensor | None]:
    if index is None or index.dtype is not torch.bool or isinstance(index, FakeTensor):
        return [index]
    with unset_fake_temporarily():
        return list(index.nonzero().unbind(1))


def make_fake(model: nn.Module, mode: FakeTensorMode) -> None:
    """Turn a model on the meta device into one on a CPU that has no data. What trains becomes float32, as in a run.

    Args:
        model: its parameters and buffers are replaced; tensors under two names stay one.
        mode: what the fakes belong to.
    """
    memo: dict[int, Tensor] = {}

    def fake(tensor: Tensor) -> Tensor:
        if id(tensor) not in memo:
            bare = tensor.detach()
            if tensor.requires_grad:
                bare = bare.float()
            made: Tensor = FakeTensor(mode, bare, torch.device("cpu"))
            if isinstance(tensor, nn.Parameter):
                made = nn.Parameter(made, requires_grad=tensor.requires_grad)
            memo[id(tensor)] = made
        return memo[id(tensor)]

    before = [*model.parameters(), *model.buffers()]  # kept alive: the memo goes by identity
    for module in model.modules():
        for own in (module._parameters, module._buffers):
            for name, tensor in own.items():
                if tensor is not None:
                    own[name] = fake(tensor)  # type: ignore[assignment]
    del before


@dataclass(frozen=True)
class MemoryOfStep:
    """Bytes of one process's tensors.

    Attributes:
        frozen: weights that do not train, and buffers.
        trained: weights that do, in float32.
        gradients: of all that trains.
        optimizer: its state.
        activations: what else is alive at the worst moment of forward and backward: activations, their gradients, what
            an operation needs.
        update: what else is alive at the worst moment of the optimizer's own step; on an accelerator it works on all
            parameters at once, and holds another copy of them.
    """

    frozen: int
    trained: int
    gradients: int
    optimizer: int
    activations: int
    update: int = 0

    @property
    def total(self) -> int:
        """Bytes at the worst moment."""
        kept = self.frozen + self.trained + self.gradients + self.optimizer
        return kept + max(self.activations, self.update)


def measure_step(
    counter: TensorBytes,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[], Tensor],
    *,
    held: int = 0,
    inputs: int = 0,
    accumulates: bool = False,
    compute: torch.dtype = torch.float32,
    inside: AbstractContextManager[Any] | None = None,
) -> MemoryOfStep:
    """One optimizer step, not the first, and what it holds.

    Args:
        counter: measures.
        model: in training mode, as it will be trained.
        optimizer: over what trains.
        loss: the forward pass of one micro-batch.
        held: bytes kept beside the model for the whole run; counted as frozen weights.
        inputs: bytes of the micro-batches at hand; counted as activations.
        accumulates: gradients of earlier micro-batches are alive.
        compute: autocast's dtype; float32 for none.
        inside: a context around everything, for example a ``FakeTensorMode``.
    """
    counter.hold([*model.parameters(), *model.buffers()])
    counter.add(held)
    weights = counter.live
    counter.add(inputs)
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    with inside or nullcontext(), counter:
        _zero_gradients(trained)
        optimizer.step()  # makes its state
        optimizer.zero_grad()
        state = sum(t.nbytes for s in optimizer.state.values() for t in s.values() if isinstance(t, Tensor))
        if accumulates:
            _zero_gradients(trained)
        counter.reset()
        with torch.autocast("cpu", compute, enabled=compute is not torch.float32):
            total = loss()
        total.backward()
        gradients = sum(p.grad.nbytes for p in trained if p.grad is not None)
        del total
        before = counter.peak
        counter.reset()
        optimizer.step()
    mine, kept = sum(p.nbytes for p in trained), weights + gradients + state
    return MemoryOfStep(weights - mine, mine, gradients, state, before - kept, counter.peak - kept)


def _zero_gradients(parameters: Iterable[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
