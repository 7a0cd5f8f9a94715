"""Training batches without images: a step that has its graph, and changes nothing of what no image has passed.

Where only adapter and projector train, the loss of such a batch would have no graph at all; in a distributed run a
process that has one would have no gradient to share, and the others would wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from parrot_adapters.errors import HostError, explain
from parrot_adapters.hosts.adapter_switch import AdapterSwitch
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.sharded_weights import is_partitioned_by_zero

__all__ = ["TextOnlyBatches"]


class TextOnlyBatches:
    """A hook on the base model that ties trainable weights to the hidden states of a batch without images.

    The zero enters the hidden states, so that it is there whatever loss a trainer makes of them.

    Args:
        parts: The host.
        trained: Gives the modules whose trainable weights only images pass.
        switch: Of the adapter.
    """

    def __init__(self, parts: HostParts, trained: Callable[[], Iterable[nn.Module]], switch: AdapterSwitch) -> None:
        self.parts, self.trained, self.switch = parts, trained, switch
        self._visual = (*(encoder.pixels for encoder in parts.encoders.values()), "mm_encoder_outputs")
        self._hooks: list[Any] = []

    def install(self) -> None:
        """Put the hook in place."""
        self._hooks = [self.parts.base.register_forward_hook(self.after_forward, with_kwargs=True)]

    def remove(self) -> None:
        """Take it off."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def after_forward(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """Add zero to the hidden states of a training batch without images."""
        if not (module.training and torch.is_grad_enabled() and self.switch.on):
            return None
        if args or any(kwargs.get(name) is not None for name in self._visual):
            return None
        hidden = output[0] if isinstance(output, tuple) else getattr(output, "last_hidden_state", None)
        if not isinstance(hidden, Tensor) or not hidden.is_floating_point():
            return None
        tied = hidden + self._zero(hidden)
        if isinstance(output, tuple):
            return (tied, *output[1:])
        output["last_hidden_state"] = tied
        return output

    def _zero(self, hidden: Tensor) -> Tensor:
        """Made of no values of every trainable weight."""
        zero = hidden.new_zeros(())
        for module in self.trained():
            for parameter in module.parameters():
                if parameter.requires_grad:
                    if is_partitioned_by_zero(parameter) and not parameter.numel():
                        raise HostError(_without_images_under_zero())
                    zero = zero + parameter.flatten()[:0].sum().to(hidden)
        return zero


def _without_images_under_zero() -> str:
    return explain(
        "a batch without images under ZeRO-3: other processes would wait for what only images pass.",
        to_do="engine.kind=zero3 of parrot train; or ZeRO-2, FSDP2 or DDP; or an image in every batch",
    )
