"""What DDP and FSDP2 put around an attached host: that they share the adapter's gradients, and do not wait for ever.

* Both take the parameters that a model has when it is wrapped. An adapter that comes later would be trained by every
  process for itself, in silence; such a step is refused.
* FSDP2 gathers a unit whenever it is called, and all processes must gather alike. A batch with pictures reads the input
  embeddings twice, one without them once. So where these are a unit of their own, they stay whole until the step ends.
* FSDP2 shares a unit's gradients when those of its input are there, and all processes must share in one order. Without
  pictures nothing before the first decoder layer trains, and its gradients would be shared last. So embeddings ask for
  gradients, as under ``enable_input_require_grads``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from parrot_adapters.errors import HostError, explain
from parrot_adapters.hosts.sharded_weights import left_out_by_fsdp

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = ["WrappedHost"]


class WrappedHost:
    """Looks at what the host was wrapped in.

    Args:
        handle: The adapter's handle.
    """

    def __init__(self, handle: Attachment) -> None:
        self.handle = handle
        self._hooks: list[Any] = []
        self._kind: type | None = None
        self._shares: tuple[int, ...] = ()  # the wrapper and the adapter that were found to fit

    def remove(self) -> None:
        """Take its hooks off."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def look(self, module: nn.Module) -> None:
        """Keep sharded embeddings whole, and look whether the adapter trains with the others.

        Args:
            module: The base model, which is called; the seam has not read the embeddings yet.

        Raises:
            HostError: The host was wrapped before the adapter was attached.
        """
        if torch.compiler.is_compiling():
            return
        kind = type(self.handle.model)
        if kind is not self._kind:  # fully_shard gives what it shards another class
            self._kind = kind
            self._call_alike()
        if torch.is_grad_enabled() and self.handle.model.training and torch.distributed.is_initialized():
            self._require_shared()

    def _sharded(self) -> Any:
        return next((m for m in (self.handle.model, self.handle.parts.base) if hasattr(m, "unshard")), None)

    def _call_alike(self) -> None:
        if self._sharded() is None:
            return
        embeddings = self.handle.parts.base.get_input_embeddings()
        if hasattr(embeddings, "set_reshard_after_forward"):
            embeddings.set_reshard_after_forward(False)
        self._hooks.append(embeddings.register_forward_hook(self.after_embedding))

    def after_embedding(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Let gradients come as far as the first decoder layer's input."""
        if self.handle.model.training and torch.is_grad_enabled():
            output.requires_grad_(True)

    def _require_shared(self) -> None:
        ddp = torch.nn.parallel.DistributedDataParallel._get_active_ddp_module()
        sharded = self._sharded()
        wrapper = sharded if ddp is None else ddp
        mine = [parameter for parameter in self.handle.parameters() if parameter.requires_grad]
        found = (id(wrapper), *map(id, mine))
        if wrapper is None or found == self._shares:
            return
        if ddp is not None:
            taken = {id(parameter) for parameter in ddp._module_parameters}
            shares = all(id(parameter) in taken for parameter in mine)
        else:
            shares = not left_out_by_fsdp(self.handle.model, mine)
        if not shares:
            raise HostError(
                explain(
                    "the adapter came after the host was wrapped, so every process would train it for itself.",
                    given=f"{'DistributedDataParallel' if ddp is not None else 'fully_shard'}, then attach",
                    to_do="attach first, on every process, then wrap the host; of several adapters, set_adapter first",
                )
            )
        self._shares = found
