"""``save_pretrained`` of an attached host writes the host as it was: no adapter, its own projector, no LoRA."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = ["MODULE_NAME", "BareSave", "bare_state_dict"]

MODULE_NAME = "parrot_adapter"  # of the adapter's module on the host's base model


class BareSave:
    """``host.save_pretrained`` of an attached host: writes the bare host, its own projector included."""

    def __init__(self, attachment: Attachment) -> None:
        self.attachment = attachment
        self.__signature__ = inspect.signature(self.original)

    @property
    def original(self) -> Callable[..., Any]:
        host = self.attachment.model
        own = self.attachment._footprint.before("save_pretrained")
        return type(host).save_pretrained.__get__(host) if own is None else own

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(self.original).bind_partial(*args, **kwargs).arguments
        given = bound.pop("state_dict", None)
        extra = bound.pop("kwargs", {})
        with self.attachment.disabled():
            state = bare_state_dict(self.attachment, given)
            return self.original(**bound, state_dict=state, **extra)


def bare_state_dict(attachment: Attachment, given: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """A host's state dict without any trace of the adapter.

    Args:
        attachment: the adapter, on or off.
        given: a state dict gathered from the attached host (by a trainer); None takes the host's.
    """
    parts = attachment.parts
    adapter = f"{parts.base_prefix}{MODULE_NAME}."
    state = dict(attachment.model.state_dict() if given is None else given)
    if attachment._switch is not None:
        prefix = f"{parts.base_prefix}{parts.projector}."
        state |= {f"{prefix}{name}": value for name, value in attachment._switch.host_weights().items()}
    bare = {name: value for name, value in state.items() if not name.startswith(adapter)}
    return bare if attachment._lora is None else attachment._lora.bare_names(bare)
