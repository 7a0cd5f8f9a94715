"""``get_peft_model`` after ``attach`` freezes the adapter, and saves without it: said, and refused where it trains."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from torch import nn

from parrot_adapters.errors import HostError, ParrotWarning, explain
from parrot_adapters.hosts.host_parts import MODULE_NAME
from parrot_adapters.hosts.peft_layers import PeftLayers

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = ["FrozenByPeft"]


class FrozenByPeft:
    """Looks at the first call with gradients after peft has wrapped an attached host.

    Args:
        handle: The adapter's handle; what peft has put on its host by now was there before.
    """

    def __init__(self, handle: Attachment) -> None:
        self.handle = handle
        self._there_before = _kinds(handle.model)
        self._told = False

    def look(self, module: nn.Module) -> None:
        """Warn, once, of an adapter that peft has frozen.

        Args:
            module: The base model, which is called with gradients.

        Raises:
            HostError: The host is in training mode, so that the adapter would not be trained.
        """
        first = next(self.handle.parameters(), None)
        if first is None or first.requires_grad:
            return
        host = self.handle.model
        if self._told and not host.training:
            return
        if any(p.requires_grad for p in self.handle.parameters()) or _kinds(host) == self._there_before:
            return
        message = explain(
            "peft was put on the host after the adapter, which froze the adapter; peft would save without it, too.",
            given=f"{type(host).__name__}: attach, then get_peft_model",
            to_do="get_peft_model(host, ...) first, then attach(peft_model, ...): both train and are saved; "
            f"or name the adapter to peft: LoraConfig(..., modules_to_save=[{MODULE_NAME!r}]); to train LoRA alone, "
            "freeze the adapter after that attach: handle.module.requires_grad_(False)",
        )
        if host.training:
            raise HostError(message)
        self._told = True
        warnings.warn(message, ParrotWarning, stacklevel=2)


def _kinds(host: nn.Module) -> frozenset[str]:
    """The layers that peft has wrapped."""
    return frozenset(PeftLayers(host).paths)
