"""What plugins offer, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

__all__ = ["BUILT_IN_PLUGIN", "Component", "PluginInfo"]


@dataclass(frozen=True)
class PluginInfo:
    """Where a plugin comes from, and what went wrong with it, if anything did.

    Attributes:
        name: Entry-point name, file name, or the name that the plugin was registered under.
        source: ``"built in"``, ``"entry point"``, ``"file"`` or ``"registered"``.
        distribution: Installed distribution that it comes from, or None.
        version: Version of that distribution, or None.
        error: Reason why the plugin could not be used, or None.
        barred: Whether an environment variable leaves it out on purpose.
    """

    name: str
    source: str
    distribution: str | None = None
    version: str | None = None
    error: str | None = None
    barred: bool = False

    def __str__(self) -> str:
        if self.distribution:
            return f"{self.distribution} {self.version or '(no version)'}"
        return self.source if self.source == "built in" else f"{self.name} ({self.source})"


# Adapters saved on a family that the library itself declares hold this name.
BUILT_IN_PLUGIN = PluginInfo("builtins", "built in")


@dataclass(frozen=True)
class Component:
    """One thing that is offered under a name.

    Attributes:
        kind: Kind of component, one of :data:`KINDS`.
        name: Name that configurations ask for.
        plugin: Plugin that offers it.
        load: Function that fetches what is offered, importing its module if need be.
    """

    kind: str
    name: str
    plugin: PluginInfo
    load: Callable[[], Any] = field(repr=False, compare=False)

    @cached_property
    def factory(self) -> Any:
        """What is offered: a callable, or data for the kinds that are data (hosts, benchmarks, examples).

        Raises:
            PluginError: its plugin cannot be imported, or offers something of the wrong type.
        """
        return self.load()

    @property
    def built_in(self) -> bool:
        """Whether the library itself offers it."""
        return self.plugin.source == BUILT_IN_PLUGIN.source

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of {self.plugin}"
