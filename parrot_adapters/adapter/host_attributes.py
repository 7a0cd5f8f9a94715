"""What attaching changes on the host itself, besides its modules, and how that is undone bit for bit."""

from __future__ import annotations

from typing import Any

__all__ = ["Footprint"]


class Footprint:
    """Attributes put on a host's instance and the trainable flags of its parameters, with what was there before.

    The flags are those of the moment it is made. Everything is kept by name, so that a deep copy of a host has a
    footprint of its own.

    Args:
        host: the model.
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

    def before(self, name: str) -> Any:
        """What the instance had under a name before :meth:`put`; None where it had nothing of its own."""
        return self._before.get(name)

    def remove(self) -> None:
        """Give the attributes and the flags back."""
        own = self._host.__dict__
        for name in self._put:
            own.pop(name, None)
        own.update(self._before)
        for name, parameter in self._host.named_parameters():
            parameter.requires_grad_(self._trainable.get(name, parameter.requires_grad))
