"""Installed plugins as their metadata describes them: nothing here imports one."""

from __future__ import annotations

import os
import re
from importlib.metadata import EntryPoint, entry_points

from parrot_adapters.plugins.components import PluginInfo
from parrot_adapters.plugins.kinds import HOOKS_GROUP, KINDS, group_of

__all__ = ["barred", "info_of", "installed"]


def installed() -> list[EntryPoint]:
    """Entry points of plugin distributions by name, from metadata alone; imports nothing.

    The group ``parrot_adapters`` names plugins with hooks, ``parrot_adapters.routers`` and its like name components.
    """
    everything = entry_points()
    groups = (HOOKS_GROUP, *map(group_of, KINDS))
    return sorted((point for group in groups for point in everything.select(group=group)), key=_name_and_owner)


def _name_and_owner(point: EntryPoint) -> tuple[str, str]:
    return point.name, point.dist.name if point.dist else ""


def info_of(point: EntryPoint) -> PluginInfo:
    """Where an entry point comes from; its distribution's metadata is read for it, which takes a while."""
    dist = point.dist
    version = str(dist.version) if dist and dist.version else None
    return PluginInfo(point.name, "entry point", dist.name if dist else None, version)


def barred(plugin: PluginInfo) -> str | None:
    """Why the environment leaves a plugin out, or None: ``PARROT_PLUGINS_ALLOW``, ``PARROT_PLUGINS_BLOCK``."""
    allow, block = _names("PARROT_PLUGINS_ALLOW"), _names("PARROT_PLUGINS_BLOCK")
    if not allow and not block:
        return None
    names = {_canonical(plugin.name), _canonical(plugin.distribution or "")}
    if allow and not names & allow:
        return "not in PARROT_PLUGINS_ALLOW"
    return "blocked by PARROT_PLUGINS_BLOCK" if names & block else None


def _names(variable: str) -> set[str]:
    return {_canonical(part) for part in os.environ.get(variable, "").split(",") if part.strip()}


def _canonical(name: str) -> str:
    """As packaging compares names: ``Parrot_Router.X`` is ``parrot-router-x``."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
