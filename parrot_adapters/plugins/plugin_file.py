"""A single Python file as a plugin."""

from __future__ import annotations

import importlib.util
import sys
import zlib
from pathlib import Path
from types import ModuleType

from parrot_adapters.errors import PluginError

__all__ = ["module_from"]


def module_from(path: Path) -> ModuleType:
    """Run a Python file as a module of its own.

    Raises:
        PluginError: the file is not Python. Whatever the file raises passes.
    """
    name = f"_parrot_plugin_file_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
