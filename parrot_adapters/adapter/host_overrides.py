"""What attaching overrides on the host itself, besides its modules, and how that is undone bit for bit.

Attributes of the instance, ``save_pretrained`` among them: an attached host writes itself as it was, with no adapter,
its own projector and no LoRA; to a trainer that saves what it trains, it writes what trains.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from parrot_adapters.adapter.training_saves import within_trainer

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = ["BareHostSave", "HostOverrides"]


class HostOverrides:
    """Attributes put on a host's instance and the trainable flags of its parameters, with what was there before.

    The flags are those of the moment it is made. Everything is kept by name, so that a deep copy of a host has
    overrides of its own.

    Args:
        host: The model.
    """

    def __init__(self, host: Any) -> None:
        self._host = host
        self._trainable = {name: parameter.requires_grad for name, parameter in host.named_parameters()}
        self._before: dict[str, Any] = {}
        self._put: tuple[str, ...] = ()

    def put(self, **attributes: Any) -> None:
        """Let these stand in for the host's own; called once."""
        own = self._host.__dict__
        self._before = {name: own[name] for name in attributes if name in own}
        self._put = tuple(attributes)
        own.update(attributes)

    def change(self, **attributes: Any) -> None:
        """Let others stand in for those that were put."""
        self._host.__dict__.update(attributes)

    def before(self, name: str, owner: type | None = None) -> Any:
        """What the instance had under a name before :meth:`put`.

        Args:
            name: Of the attribute.
            owner: The class that is asked where the instance had nothing of its own; None (default) for nobody.
        """
        return self._before.get(name, getattr(owner, name, None))

    def remove(self) -> None:
        """Give the attributes and the flags back."""
        own = self._host.__dict__
        for name in self._put:
            own.pop(name, None)
        own.update(self._before)
        for name, parameter in self._host.named_parameters():
            parameter.requires_grad_(self._trainable.get(name, parameter.requires_grad))


class BareHostSave:
    """``host.save_pretrained`` of an attached host: writes the bare host, its own projector included.

    Called by a transformers ``Trainer`` it writes a checkpoint instead (``training_saves.py``).

    Args:
        handle: The adapter's handle.
        overrides: Where the host's own ``save_pretrained`` is, if its instance had one.
    """

    def __init__(self, handle: Attachment, overrides: HostOverrides) -> None:
        self.handle, self.overrides = handle, overrides
        self.__signature__ = inspect.signature(self.original)

    @property
    def original(self) -> Callable[..., Any]:
        host = self.handle.model
        own = self.overrides.before("save_pretrained")
        return type(host).save_pretrained.__get__(host) if own is None else own

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(self.original).bind_partial(*args, **kwargs).arguments
        given = bound.pop("state_dict", None)
        extra = bound.pop("kwargs", {})
        if within_trainer():
            if bound.get("is_main_process", True):
                self.handle.write_checkpoint(bound["save_directory"], given)
            return None
        with self.handle.disabled():  # the tensors of a state dict are the live ones
            return self.original(**bound, state_dict=self.handle.bare_state_dict(given), **extra)
