"""Training batches without images: a step that has its graph, and changes nothing of what no image has passed.

Where only adapter and projector train, the loss of such a batch would have no graph at all; in a distributed run a
process that has one would have no gradient to share, and the others would wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from parrot_adapters.errors import HostError, explain
from parrot_adapters.hosts.adapter_switch import AdapterSwitch
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.sharded_weights import is_partitioned_by_zero

__all__ = ["TextOnlyBatches"]


class TextOnlyBatches:
    """Ties trainable weights to the hidden states of a batch without images.

    The zero enters the hidden states, so that it is there whatever loss a trainer makes of them.

    Args:
        parts: The host.
        trained: Gives the modules whose trainable weights only images pass.
        switch: Of the adapter.
    """

    def __init__(self, parts: HostParts, trained: Callable[[], Iterable[nn.Module]], switch: AdapterSwitch) -> None:
        self.trained, self.switch = trained, switch
        self._visual = (*(encoder.pixels for encoder in parts.encoders.values()), "mm_encoder_outputs")

    def tied(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> Any:
        """The output of a base model's call with gradients, zero added to the hidden states of a training batch without
        images, or to loss and logits where the model is its own base model.

        Args:
            module: The base model.
            args: Of its call.
            kwargs: Those given by name.
            output: What it answered.
        """
        if not (module.training and self.switch.on):
            return output
        if args or any(kwargs.get(name) is not None for name in self._visual):
            return output
        if isinstance(output, tuple):
            return (self._with_zero(output[0]), *output[1:])
        hidden = getattr(output, "last_hidden_state", None)
        # A model that is its own base model shows no hidden states: what is made of them has to do.
        for name in ("last_hidden_state",) if hidden is not None else ("loss", "logits"):
            if getattr(output, name, None) is not None:
                output[name] = self._with_zero(output[name])
        return output

    def _with_zero(self, value: Any) -> Any:
        return value + self._zero(value) if isinstance(value, Tensor) and value.is_floating_point() else value

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
