"""Auxiliary losses inside the host's own loss, so that any trainer trains them.

Two hooks on the outer model, which is where a host computes its loss: one opens a routing log before the forward pass,
one adds to the loss after it. A language-model loss is normalised by the tokens of the whole global batch when the
trainer says how many there are (``num_items_in_batch``); the auxiliary losses of a micro-batch then enter with its
share of those tokens, so that accumulation and several processes give their token-weighted mean.

A batch without images, or one that leaves an expert out, would give what it does not touch no gradient, so that an
optimizer would leave it alone in that step. Where processes share a run, the ones that have a gradient would wait for
those that have none: there every trainable parameter outside the language model enters with factor zero. These terms
are made before the forward pass, so that the backward pass comes to them last: whatever a batch holds, gradients become
ready in one order. DeepSpeed sums them over processes by it. A process of its own reads and writes no parameter for it:
when its backward pass is over, what has no gradient gets a zero one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd import Variable

from parrot_adapters.adapter.auxiliary_losses import auxiliary_losses
from parrot_adapters.core.types import IGNORED
from parrot_adapters.plugins import manager

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment
    from parrot_adapters.core.routing_record import RoutingRecord

__all__ = ["AddedLosses"]


class AddedLosses:
    """Adds to the loss of an attached host from the moment it is made until :meth:`remove`.

    Args:
        handle: the adapter.
        scales, options: as in :func:`parrot_adapters.auxiliary_losses`.

    Attributes:
        terms: of the last loss by name, detached float32 scalars.

    Raises:
        UnknownNameError: a loss nobody registered.
    """

    def __init__(
        self, handle: Attachment, scales: Mapping[str, float], options: Mapping[str, Mapping[str, Any]]
    ) -> None:
        for name in scales:
            manager.find("loss", name, asked_by="losses")
        self.handle, self.scales, self.options = handle, dict(scales), dict(options)
        self.terms: dict[str, Tensor] = {}
        self._stack: ExitStack | None = None
        self._log: list[RoutingRecord] = []
        self._nothing: Tensor | float = 0.0
        host = handle.model
        self._hooks = [
            host.register_forward_pre_hook(self.before_forward, with_kwargs=True),
            host.register_forward_hook(self.after_forward, with_kwargs=True, always_call=True),
        ]

    def remove(self) -> None:
        """Leave the host's loss as it is from now on."""
        for hook in self._hooks:
            hook.remove()
        self._close()

    def before_forward(self, host: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Open a routing log, if this pass will have a loss to add to."""
        self._close()
        learns = host.training and torch.is_grad_enabled() and self.handle.active
        if learns and kwargs.get("labels") is not None:
            self._stack = ExitStack()
            self._log = self._stack.enter_context(self.handle.record_routing(graph=True))
            if _processes_share() or torch.compiler.is_compiling():
                self._nothing = self._zero_of_everything()

    def after_forward(self, host: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """Add to the loss. Also called, with no output, when the pass failed."""
        if self._stack is None:
            return None
        log, nothing = list(self._log), self._nothing
        self._close()
        loss = _loss_of(output)
        if loss is None:
            return None
        added = auxiliary_losses(log, self.scales, self.options)
        share = _share(kwargs["labels"], kwargs.get("num_items_in_batch"))
        added = {name: value * share for name, value in added.items()}
        self.terms = {name: value.detach().float() for name, value in {"language_model": loss, **added}.items()}
        total = loss
        for value in added.values():
            total = total + value.to(loss)
        if isinstance(nothing, Tensor):
            total = total + nothing.to(loss)
        elif total.requires_grad and not _processes_share() and not torch.compiler.is_compiling():
            total = _ThenFill.apply(total, self._fill_gradients)
        return _with_loss(output, total)

    def _fill_gradients(self) -> None:
        """Called when a backward pass is over."""
        for parameter in self._outside_language_model():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

    def _zero_of_everything(self) -> Tensor | float:
        """Zero, with a gradient of zero for every trainable parameter outside the language model."""
        total: Tensor | float = 0.0
        for parameter in self._outside_language_model():
            term = 0.0 * parameter.sum().float()
            total = term if isinstance(total, float) else total + term.to(total)
        return total

    def _outside_language_model(self) -> list[nn.Parameter]:
        parts = self.handle.parts
        language_model = parts.module(parts.language_model)
        inside = {id(p) for p in language_model.parameters()} if language_model is not None else set()
        head = parts.outer.get_output_embeddings()
        inside |= {id(p) for p in head.parameters()} if head is not None else set()
        inside.add(id(parts.base.get_input_embeddings().weight))
        return [p for p in parts.outer.parameters() if p.requires_grad and id(p) not in inside]

    def _close(self) -> None:
        if self._stack is not None:
            self._stack.close()
            self._stack, self._log, self._nothing = None, [], 0.0


class _ThenFill(torch.autograd.Function):
    """The identity; calls something at the end of the backward pass that goes through it."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, then: Callable[[], None]) -> Tensor:
        ctx.then = then
        return loss.view_as(loss)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        Variable._execution_engine.queue_callback(ctx.then)
        return gradients[0], None


def _processes_share() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _share(labels: Tensor, items: Tensor | int | None) -> Tensor | float:
    """This micro-batch's share of the tokens that the global batch learns. Counted as a causal loss does."""
    if items is None:
        return 1.0
    return (labels[:, 1:] != IGNORED).sum() / items


def _loss_of(output: Any) -> Tensor | None:
    if output is None:
        return None
    found = output[0] if isinstance(output, tuple) else getattr(output, "loss", None)
    return found if isinstance(found, Tensor) and found.dim() == 0 else None


def _with_loss(output: Any, loss: Tensor) -> Any:
    if isinstance(output, tuple):
        return (loss, *output[1:])
    output["loss"] = loss
    return output
