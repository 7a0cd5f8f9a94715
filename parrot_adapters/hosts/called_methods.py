"""What stands in the place of a method of a host, and where the calls of a declaration are found."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn

from parrot_adapters.errors import HostError, explain

if TYPE_CHECKING:
    from parrot_adapters.hosts.call_seam import CallSeam

__all__ = ["CalledMethod", "find_call"]


class CalledMethod:
    """In the place of a method of the host: no closure, so that deep copies and pickles follow it.

    Args:
        seam: its owner.
        owner: the module whose method it is.
        name: of the method.
        reads: it is a prompt call; else an encoder call.
        generates: it is ``generate``, whose arguments say where the prompt ends.
    """

    def __init__(
        self, seam: CallSeam, owner: nn.Module, name: str, *, reads: bool = False, generates: bool = False
    ) -> None:
        self.seam, self.owner, self.name, self.reads, self.generates = seam, owner, name, reads, generates
        self._before: Any = None

    def put(self) -> None:
        """From now on answer in place of the method."""
        self._before = self.owner.__dict__.get(self.name)
        self.owner.__dict__[self.name] = self

    def remove(self) -> None:
        """Give the host its own method back. Below something put over it later, it stays and does nothing."""
        if self.owner.__dict__.get(self.name) is self:
            del self.owner.__dict__[self.name]
            if self._before is not None:
                self.owner.__dict__[self.name] = self._before

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.own)

    @property
    def own(self) -> Callable[..., Any]:
        """The host's method."""
        return self._before or getattr(type(self.owner), self.name).__get__(self.owner)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self not in self.seam.methods:  # removed, with something put over it
            return self.own(*args, **kwargs)
        if not self.reads:
            return self.seam.align_encoded(self.own(*args, **kwargs))
        self.seam.open_prompt(self.own, args, kwargs, generates=self.generates)
        whole = False
        try:
            made = self.own(*args, **kwargs)
            whole = True
        finally:
            self.seam.close_prompt(whole=whole)
        return made


def find_call(where: tuple[Any, ...], path: str, field: str) -> tuple[Any, str]:
    """The module that has a call, and the call's name."""
    *above, name = path.split(".")
    for start in where:
        owner = start
        for step in above:
            owner = getattr(owner, step, None) if isinstance(owner, nn.Module) else None
        if isinstance(owner, nn.Module) and not name.startswith("__") and callable(getattr(owner, name, None)):
            return owner, name
    outer = where[0] if where[0] is where[-1] else max(where, key=lambda module: len(list(module.modules())))
    raise HostError(
        explain(
            f"{type(outer).__name__} has no {path}.",
            given=f"HostSpec.{field}",
            to_do="name a method or a module of the host, or of its base model, that is called for every picture",
        )
    )
