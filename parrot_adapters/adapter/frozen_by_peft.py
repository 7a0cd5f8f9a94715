"""peft on the host after ``attach`` freezes the adapter, and saves without it: refused where it trains, else said."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch import nn

from parrot_adapters.adapter.who_calls import called_by_object
from parrot_adapters.errors import HostError, ParrotWarning, explain
from parrot_adapters.hosts.host_parts import MODULE_NAME
from parrot_adapters.hosts.lora import NAME as OWN_LORA
from parrot_adapters.hosts.peft_layers import live_module

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = ["FrozenByPeft"]


class FrozenByPeft:
    """Looks at calls with gradients after peft has put something on an attached host.

    Args:
        handle: The adapter's handle; what peft has put on its host by now was there before.
    """

    def __init__(self, handle: Attachment) -> None:
        self.handle = handle
        self._known = self._sets()
        self._learning = sum(1 for _ in handle.parameters())
        self._seen: tuple[frozenset[str], int] | None = None
        self._told = False

    def look(self, module: nn.Module) -> None:
        """Warn, once, of an adapter that peft has frozen, if only in part, or would save without.

        Args:
            module: The base model, which is called with gradients.

        Raises:
            HostError: The host is in training mode, so that the adapter would not be trained, or be lost.
        """
        there, learning = self._sets(), sum(p.requires_grad for p in self.handle.parameters())
        if self._seen == (there, learning):
            return
        host, froze = self.handle.model, learning < self._learning and there != self._known
        if not froze and not self._would_be_lost(module):
            # What is frozen without peft is the user's business.
            self._known, self._learning, self._seen = there, learning, (there, learning)
            return
        if self._told and not host.training:
            return
        put = ", ".join(sorted(there - self._known)) or "a PeftModel"
        message = explain(
            "peft was put on the host after the adapter: it freezes the adapter, and would save without it.",
            given=f"{type(host).__name__}: attach, then peft ({put}); "
            f"{learning} of {self._learning} tensors of the adapter train",
            to_do="get_peft_model(host, ...), with all its adapters, first, then attach(peft_model, ...): both train "
            f"and are saved; or name the adapter to peft: LoraConfig(..., modules_to_save=[{MODULE_NAME!r}]); to train "
            "LoRA alone, freeze the adapter after that attach: handle.module.requires_grad_(False)",
        )
        if host.training:
            raise HostError(message)
        self._told = True
        warnings.warn(message, ParrotWarning, stacklevel=2)

    def _sets(self) -> frozenset[str]:
        """Names of the sets of weights that peft has on the host, the adapter's own LoRA apart."""
        return frozenset(getattr(self.handle.model, "peft_config", ())) - {OWN_LORA}

    def _would_be_lost(self, base: nn.Module) -> bool:
        """Whether the host was called by a ``PeftModel`` that does not know the adapter."""
        if self.handle.peft_wrapper is not None or torch.compiler.is_compiling():  # a graph has no callers to look at
            return False
        there = base._modules.get(MODULE_NAME)
        if live_module(there) is not there:
            return False  # modules_to_save names it
        return called_by_object("peft.peft_model", "PeftModel") is not None
