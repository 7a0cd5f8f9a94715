"""Plugins: the hooks they implement, the manager that finds them, and what a plugin author starts from."""

from parrot_adapters.plugins.components import Component, PluginInfo
from parrot_adapters.plugins.faults import blaming, passes_through
from parrot_adapters.plugins.kinds import KINDS, group_of
from parrot_adapters.plugins.metadata import installed
from parrot_adapters.plugins.plugin_manager import PluginManager, find, load_file, manager, register
from parrot_adapters.plugins.shield import shielded

__all__ = [
    "KINDS",
    "Component",
    "PluginInfo",
    "PluginManager",
    "blaming",
    "find",
    "group_of",
    "installed",
    "load_file",
    "manager",
    "passes_through",
    "register",
    "shielded",
]
