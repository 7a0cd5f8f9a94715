"""A plugin's observer, kept from ending the pass it watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from parrot_adapters.plugins.components import Component, PluginInfo
from parrot_adapters.plugins.faults import described, passes_through
from parrot_adapters.plugins.plugin_manager import manager

__all__ = ["Shield", "shielded"]


@dataclass
class Shield:
    """Calls an observer until it fails; then its plugin is reported, and it is called no more.

    Attributes:
        observer: function of a routing record.
        what: observer as messages name it.
        plugin: plugin that made it.
    """

    observer: Callable[[Any], object] | None
    what: str
    plugin: PluginInfo

    def __call__(self, record: Any) -> None:
        """Show it a pass."""
        if self.observer is None:
            return
        try:
            self.observer(record)
        except BaseException as error:
            if passes_through(error):
                raise
            self.observer = None
            manager.report(self.plugin, f"{self.what}: {described(error)}")


def shielded(observer: Callable[[Any], object], component: Component) -> Callable[[Any], object]:
    """A plugin's observer behind a :class:`Shield`; one of the library's own as it is.

    Args:
        observer: Function of a routing record.
        component: Component whose factory made the observer.
    """
    if component.built_in:
        return observer
    return Shield(observer, f"observer {component.name!r}", component.plugin)
