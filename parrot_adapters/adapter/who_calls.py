"""Who has called, further up the stack: an object of a class, or a function of a module.

``save_pretrained`` and ``state_dict`` are called by users, trainers and peft alike, and are not told what for.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator
from typing import Any

__all__ = ["called_by_function", "called_by_object"]


def called_by_function(functions: Container[tuple[str, str]]) -> bool:
    """Whether one of some functions has called.

    Args:
        functions: (module, name) of each.
    """
    return any((frame.f_globals.get("__name__"), frame.f_code.co_name) in functions for frame in _frames())


def called_by_object(module: str, kind: str, methods: Container[str] | None = None) -> Any | None:
    """The innermost object of a class, subclasses included, one of whose methods has called; None where there is none.

    Args:
        module: Name of the module that has the class. Where nobody has imported it, nobody has called.
        kind: Name of the class.
        methods: Names of those of its methods that count; None (default) for all.
    """
    wanted = getattr(sys.modules.get(module), kind, None)
    if wanted is None:
        return None
    for frame in _frames():
        code = frame.f_code
        if not code.co_argcount or (methods is not None and code.co_name not in methods):
            continue
        first = frame.f_locals.get(code.co_varnames[0])
        if isinstance(first, wanted):
            return first
    return None


def _frames() -> Iterator[Any]:
    frame: Any = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back
