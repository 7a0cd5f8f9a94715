"""Plugins: the hooks they implement, the manager that finds them, and what a plugin author starts from."""

from parrot_adapters.plugins.plugin_manager import (
    KINDS,
    Component,
    PluginInfo,
    PluginManager,
    find,
    installed,
    load_file,
    manager,
    register,
)

__all__ = ["KINDS", "Component", "PluginInfo", "PluginManager", "find", "installed", "load_file", "manager", "register"]
