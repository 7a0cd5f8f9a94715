"""A change to a host that happens whole or not at all, wherever in it a failure comes.

What a model is made of is looked at before the change: the attributes of every module (parameters, buffers, modules
and hooks among them), what the containers among them hold, and which parameters train. Where the change fails, all of
that is put back, in the very objects that were there. So nothing has to know how far the change came, and every step
of it may be new tomorrow.

Values of tensors are what it does not look at, but for those that are named: a change that writes to some names them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["restored_on_failure"]


@contextmanager
def restored_on_failure(
    modules: Iterable[nn.Module], *, objects: Iterable[object] = (), tensors: Iterable[Tensor] = ()
) -> Iterator[None]:
    """Give modules back as they are now when the block fails, whatever it was.

    Args:
        modules: Each with all modules inside it.
        objects: Other objects whose attributes the block changes.
        tensors: Those whose values it changes; they are copied. One without values here (offloaded) is left out.
    """
    found = {id(part): part for root in modules for part in root.modules()}
    kept = [_Kept(one) for one in (*found.values(), *objects)]
    written = list(tensors)
    inside = [p for part in found.values() for p in part._parameters.values() if p is not None]
    flags = [(p, p.requires_grad) for p in (*inside, *written) if isinstance(p, nn.Parameter)]
    values = [(tensor, tensor.detach().clone()) for tensor in written if not tensor.is_meta]
    try:
        yield
    except BaseException:
        for one in kept:
            one.put_back()
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        with torch.no_grad():
            for tensor, value in values:
                if not torch.equal(tensor, value):
                    tensor.copy_(value)
        raise


class _Kept:
    """The attributes of one object, and what those that are containers hold."""

    def __init__(self, holder: Any) -> None:
        self.holder, self.attributes = holder, dict(vars(holder))
        self.contents = {
            name: copy.copy(value) if value else None
            for name, value in self.attributes.items()
            if isinstance(value, dict | list | set)
        }

    def put_back(self) -> None:
        own = vars(self.holder)
        for name in own.keys() - self.attributes.keys():
            del own[name]
        own.update(self.attributes)
        for name, before in self.contents.items():
            now = self.attributes[name]
            if _items(now) != _items(before):  # else another thread that runs the host would find it empty for a moment
                now.clear()
                if before is not None:
                    now.extend(before) if isinstance(now, list) else now.update(before)


def _items(container: Any) -> list[Any]:
    """What tells whether a container holds the same objects in the same order."""
    if isinstance(container, dict):
        return [(key, id(value)) for key, value in container.items()]
    return [id(value) for value in container or ()]
