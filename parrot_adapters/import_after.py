"""One module imported as soon as another has been: for what must be added to a library once it is there."""

from __future__ import annotations

import sys
from importlib import import_module

TYPE_CHECKING = False  # typing's own costs milliseconds of everybody's start
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["import_after"]


def import_after(first: str, then: str) -> None:
    """Import a module right after another one; at once where that is imported already, never where nobody imports it.

    Args:
        first: Name of the module to wait for.
        then: Name of the module to import.
    """
    if first in sys.modules:
        import_module(then)
    elif not any(isinstance(finder, _Waiting) and finder.names == (first, then) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting(first, then))


class _Waiting:
    """Finds nothing itself: it sees that ``first`` is asked for, and has ``then`` imported when that has run."""

    def __init__(self, first: str, then: str) -> None:
        self.names = (first, then)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        first, then = self.names
        if fullname != first or self not in sys.meta_path:
            return None
        from importlib import util

        sys.meta_path.remove(self)
        found = util.find_spec(fullname)
        if found is None or found.loader is None:
            return found
        run = found.loader.exec_module

        def run_and_go_on(module: ModuleType) -> None:
            run(module)
            import_module(then)

        found.loader.exec_module = run_and_go_on  # type: ignore[method-assign]
        return found
