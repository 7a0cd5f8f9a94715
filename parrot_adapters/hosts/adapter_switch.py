"""Whether an adapter takes part in a call: one switch for the process, and blocks that leave it out in one context.

``handle.disable()`` and ``enable()`` turn the switch. ``handle.disabled()`` opens a block: inside it, calls of the same
context (thread, or task of asyncio) run the bare host, calls of every other context do not notice. Blocks may nest,
overlap and end in any order; each ends by itself.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import nn

__all__ = ["AdapterSwitch", "BareInBlocks"]


class _Block:
    """One open block. Two blocks are never equal, so that each can be ended by itself."""


_BLOCKS: ContextVar[tuple[_Block, ...]] = ContextVar("parrot_disabled_blocks", default=())


class AdapterSwitch:
    """Says for each call whether the adapter takes part.

    Attributes:
        wanted: the switch of the whole process.
    """

    def __init__(self) -> None:
        self.wanted = True
        self._open: tuple[_Block, ...] = ()  # of every context
        self._lock = threading.Lock()

    @property
    def on(self) -> bool:
        """Whether a call of this context runs with the adapter."""
        return self.wanted and not self.left_out_here

    @property
    def left_out_here(self) -> bool:
        """Whether this context is inside a block."""
        # Nearly always no block is open anywhere; then a compiled call has a plain attribute to look at.
        return bool(self._open) and any(block in self._open for block in _BLOCKS.get())

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """A block in which calls of this context run without the adapter."""
        block = _Block()
        _BLOCKS.set((*_BLOCKS.get(), block))
        with self._lock:
            self._open += (block,)
        try:
            yield
        finally:
            # Each block takes away itself and nothing else, whatever was opened or ended meanwhile, wherever it ends.
            with self._lock:
                self._open = tuple(other for other in self._open if other is not block)
            _BLOCKS.set(tuple(other for other in _BLOCKS.get() if other is not block))

    def __getstate__(self) -> dict[str, Any]:
        """A copy of a host is in nobody's block."""
        return {"wanted": self.wanted}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        self.wanted = state["wanted"]


class BareInBlocks:
    """On a module's instance in place of its ``forward``: inside a block, something else answers.

    A plain object, no closure: deep copies and pickles of the host have their own.

    Args:
        module: the module; :meth:`put` puts the stand-in on it, :meth:`remove` takes it off.
        bare: called instead of the module's own forward inside a block, with the same arguments.
        switch: of the adapter.
    """

    def __init__(self, module: nn.Module, bare: Callable[..., Any], switch: AdapterSwitch) -> None:
        self.module, self.bare, self.switch = module, bare, switch
        self._before: Any = None

    def put(self) -> None:
        """From now on answer in place of the module's own forward."""
        self._before = self.module.__dict__.get("forward")  # accelerate puts one on the instance, too
        self.module.__dict__["forward"] = self

    def remove(self) -> None:
        """Give the module its own forward back. Below something put over it later, it stays and does nothing."""
        if self.module.__dict__.get("forward") is self:
            del self.module.__dict__["forward"]
            if self._before is not None:
                self.module.__dict__["forward"] = self._before

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.own)

    @property
    def own(self) -> Callable[..., Any]:
        """What answers outside blocks: the module's own forward."""
        return type(self.module).forward.__get__(self.module) if self._before is None else self._before

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return (self.bare if self.switch.left_out_here else self.own)(*args, **kwargs)
