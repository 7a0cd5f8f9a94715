"""What stands in place of the ``forward`` of a host's base model: one look at each of its calls, and no hooks.

A decode step passes here once for every token that is written. Hooks before the call, after it and for its failures
would each cost more than all there is to decide then: that the step has no images.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BaseCall"]

BeforeForward = Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]


class BaseCall:
    """On a module's instance in place of its ``forward``, as long as anything is asked of it.

    A plain object, no closure: deep copies and pickles of the host have their own.

    Args:
        module: The base model.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._first: Callable[[nn.Module], None] | None = None
        self._before_forward: BeforeForward | None = None
        self._after_forward: Callable[[], None] | None = None
        self._before_learning: tuple[Callable[[nn.Module], None], ...] = ()
        self._after_learning: Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any], Any], Any] | None = None
        self._displaced: Any = None
        self._stands = False

    def look_first(self, look: Callable[[nn.Module], None] | None) -> None:
        """Ask something before everything else.

        Args:
            look: Called with the module; None asks nothing any more.
        """
        self._first = look
        self._put_or_remove()

    def around_calls(self, before: BeforeForward | None, after: Callable[[], None] | None = None) -> None:
        """Ask something of every call.

        Args:
            before: Gives the arguments that the call gets; None asks nothing any more.
            after: Called when the call is over, or has failed.
        """
        self._before_forward, self._after_forward = before, after
        self._put_or_remove()

    def around_learning(
        self,
        *before: Callable[[nn.Module], None],
        after: Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any], Any], Any] | None,
    ) -> None:
        """Ask something of calls with gradients.

        Args:
            before: Called first, with the module, each in its turn.
            after: Gives the output, from module, arguments, named arguments and the module's own output; None leaves
                it.
        """
        self._before_learning, self._after_learning = before, after
        self._put_or_remove()

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._displaced or type(self.module).forward.__get__(self.module))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._first is not None:
            self._first(self.module)
        learns = torch.is_grad_enabled()
        if learns:
            for look in self._before_learning:
                look(self.module)
        if self._before_forward is not None:
            args, kwargs = self._before_forward(self.module, args, kwargs)
        if self._after_forward is None:
            output = self._own(args, kwargs)
        else:
            try:
                output = self._own(args, kwargs)
            finally:
                self._after_forward()
        if learns and self._after_learning is not None:
            output = self._after_learning(self.module, args, kwargs, output)
        return output

    def _own(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the module itself answers."""
        if self._displaced is not None:  # accelerate puts one on the instance, too
            return self._displaced(*args, **kwargs)
        return type(self.module).forward(self.module, *args, **kwargs)

    def _put_or_remove(self) -> None:
        """Below something put over it later, it stays and does nothing when nothing is asked."""
        steps = (self._first, self._before_forward, self._after_learning, *self._before_learning)
        asked = any(step is not None for step in steps)
        own = self.module.__dict__
        if asked and not self._stands:
            self._displaced = own.get("forward")
            own["forward"] = self
            self._stands = True
        elif not asked and own.get("forward") is self:
            del own["forward"]
            if self._displaced is not None:
                own["forward"] = self._displaced
            self._stands, self._displaced = False, None
