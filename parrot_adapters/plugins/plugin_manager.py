"""Finding plugins, keeping each one's faults to itself, and looking up what they offer.

Plugins come from four places: the library itself (``builtins.py``, through the same hooks), installed distributions
with an entry point in the group ``parrot_adapters``, a project-local file ``parrot_plugins.py`` in the working
directory, and :func:`register`. Environment variables: ``PARROT_PLUGINS_ALLOW`` and ``PARROT_PLUGINS_BLOCK`` (comma
separated entry-point or distribution names; allow, when set, is exclusive), ``PARROT_PLUGIN_FILE`` (another local
file; empty for none).
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from parrot_adapters.errors import ConfigError, PluginError, UnknownNameError, explain, suggest
from parrot_adapters.plugins import hookspecs

__all__ = ["Component", "PluginInfo", "PluginManager", "find", "installed", "load_file", "manager", "register"]

KINDS = {  # of components: the hook that collects them
    "router": "register_routers",
    "expert": "register_experts",
    "summary": "register_summaries",
    "loss": "register_losses",
    "host": "register_hosts",
    "detector": "register_detectors",
    "observer": "register_observers",
    "benchmark": "register_benchmarks",
    "model-class": "register_model_classes",
    "data-format": "register_data_formats",
    "data-source": "register_data_sources",
    "example": "register_examples",
}


@dataclass(frozen=True)
class PluginInfo:
    """Where a plugin comes from, and what went wrong with it, if anything did.

    Attributes:
        name: entry-point name, file name, or the name it was registered under.
        source: ``"built in"``, ``"entry point"``, ``"file"`` or ``"registered"``.
        distribution: installed distribution, or None.
        version: its version, or None.
        error: why it could not be used, or None.
        barred: it was left out on purpose, by an environment variable.
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


@dataclass(frozen=True)
class Component:
    """One thing that a plugin offers under a name.

    Attributes:
        kind: one of :data:`KINDS`.
        name: as registered.
        factory: what was registered: a callable, or data for the kinds that are data (hosts, benchmarks, examples).
        plugin: who offers it.
    """

    kind: str
    name: str
    factory: Any
    plugin: PluginInfo


@dataclass
class PluginManager:
    """pluggy's manager with per-plugin error isolation and provenance. The library keeps one: :data:`manager`."""

    pm: pluggy.PluginManager = field(default_factory=lambda: pluggy.PluginManager(hookspecs.PROJECT))
    infos: dict[str, PluginInfo] = field(default_factory=dict)  # by pluggy name; failed ones included
    _loaded: bool = False

    def __post_init__(self) -> None:
        self.pm.add_hookspecs(hookspecs)

    def register(self, plugin: object, name: str | None = None) -> str:
        """Use a module or object with hook implementations as a plugin, in this process.

        Args:
            plugin: anything with functions marked ``@hookimpl``.
            name: shown in messages; defaults to the object's ``__name__`` or type name.

        Returns:
            The name it got.

        Raises:
            PluginError: it implements unknown hooks or no hook at all, or the name is taken.
        """
        name = name or str(getattr(plugin, "__name__", type(plugin).__name__))
        if name in self.infos:
            raise PluginError(f"plugin {name!r} cannot be registered: the name is taken by {self.infos[name]}")
        error = self._add(plugin, PluginInfo(name, "registered"))
        if error:
            self.infos.pop(name)  # the caller was told; nothing stays behind
            raise PluginError(f"plugin {name!r} cannot be registered: {error}")
        return name

    def unregister(self, name: str) -> None:
        """Forget a plugin; unknown names are ignored."""
        if self.pm.get_plugin(name) is not None:
            self.pm.unregister(name=name)
        self.infos.pop(name, None)

    def load_file(self, path: str | os.PathLike[str]) -> PluginInfo:
        """Load a Python file as a plugin. A fault in it is recorded in the returned info, not raised."""
        path = Path(path).resolve()
        info = PluginInfo(self._free(path.name, path.parent), "file")
        try:
            module = _module_from(path)
        except (Exception, SystemExit) as error:
            return self._fail(info, error)
        self._add(module, info)
        return self.infos[info.name]

    def components(self, kind: str) -> list[Component]:
        """All registered components of a kind (``"router"``, ``"expert"``, ``"host"``, ...), built-ins first.

        Raises:
            ConfigError: no such kind. A plugin whose hook fails is recorded in :meth:`failures`, not raised.
        """
        if kind not in KINDS:
            raise ConfigError(explain(f"no kind of component is named {kind!r}.", known=", ".join(KINDS)))
        self.load()
        found: list[Component] = []
        for name, plugin in self.pm.list_name_plugin():
            if plugin is None:
                continue
            others = [p for p in self.pm.get_plugins() if p is not plugin]
            hook = self.pm.subset_hook_caller(KINDS[kind], others)
            mine: list[Component] = []
            try:
                hook(register=_collector(kind, self.infos[name], mine))
            except (Exception, SystemExit) as error:  # this plugin's fault stays its own
                self._fail(self.infos[name], error)
                continue
            found += mine
        return found

    def find(self, kind: str, name: str, *, asked_by: str | None = None) -> Component:
        """The component of that name.

        Args:
            kind: one of :data:`KINDS`: ``"router"``, ``"expert"``, ``"host"``, ...
            name: as registered.
            asked_by: shown in the error, e.g. ``"AdapterConfig.router"``.

        Raises:
            ConfigError: no such kind.
            UnknownNameError: nobody registered it; the message lists what exists and which plugins failed to load.
            PluginError: two plugins registered it.
        """
        everything = self.components(kind)
        matches = [c for c in everything if c.name == name]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise PluginError(
                explain(
                    f"{kind} {name!r} is registered by {' and by '.join(str(c.plugin) for c in matches)}.",
                    to_do="uninstall one of them, or name it in PARROT_PLUGINS_BLOCK",
                )
            )
        raise UnknownNameError(
            explain(
                f"no {kind} named {name!r}.{suggest(str(name), [c.name for c in everything])}",
                asked_by=asked_by,
                known="; ".join(_by_plugin(everything)) or f"no {kind} at all",
                failed="; ".join(f"{i}: {i.error}" for i in self.failures()) or None,
                to_do="install the plugin that offers it (parrot plugins shows what is there)",
            )
        )

    def failures(self) -> list[PluginInfo]:
        """Plugins that could not be loaded or used, or that are barred. A hook that fails is known once it has run."""
        self.load()
        return [info for info in self.infos.values() if info.error]

    def load(self) -> None:
        """Load built-ins, entry points and the local file, once."""
        if self._loaded:
            return
        self._loaded = True
        from parrot_adapters.plugins import builtins

        self._add(builtins, PluginInfo(self._free("builtins", "parrot_adapters"), "built in"))
        for point in installed():
            self._load_entry_point(point)
        asked = os.environ.get("PARROT_PLUGIN_FILE")
        local = Path("parrot_plugins.py" if asked is None else asked)
        if asked or (asked is None and local.is_file()):
            self.load_file(local)

    def _load_entry_point(self, point: EntryPoint) -> None:
        dist = point.dist
        distribution = dist.name if dist else None
        version = str(dist.version) if dist and dist.version else None
        info = PluginInfo(self._free(point.name, distribution), "entry point", distribution, version)
        if reason := _barred(point):
            self.infos[info.name] = replace(info, error=reason, barred=True)
            return
        try:
            plugin = point.load()
        except (Exception, SystemExit) as error:
            self._fail(info, error)
            return
        self._add(plugin, info)

    def _free(self, name: str, owner: object) -> str:
        """``name``, or with its owner where another plugin has it."""
        while name in self.infos:
            name = f"{name} ({owner})"
        return name

    def _add(self, plugin: object, info: PluginInfo) -> str | None:
        self.infos[info.name] = info
        if self.pm.is_registered(plugin):
            return self._fail(info, f"this object is registered already, as {self.pm.get_name(plugin)!r}").error
        try:
            self.pm.register(plugin, name=info.name)
            self._reject_unknown_hooks(plugin)
        except Exception as error:
            if self.pm.get_plugin(info.name) is not None:
                self.pm.unregister(name=info.name)
            return self._fail(info, error).error
        if not self.pm.get_hookcallers(plugin):
            self.pm.unregister(name=info.name)
            return self._fail(info, "it implements no hook (are its functions marked @hookimpl?)").error
        return None

    def _reject_unknown_hooks(self, plugin: object) -> None:
        known = set(KINDS.values())
        unknown = [n for n in dir(plugin) if n not in known and self.pm.parse_hookimpl_opts(plugin, n) is not None]
        if unknown:
            near = "; ".join(f"{name!r}.{suggest(name, known)}" for name in unknown)
            raise PluginError(f"it implements unknown hooks: {near} Known: {', '.join(sorted(known))}")

    def _fail(self, info: PluginInfo, error: BaseException | str) -> PluginInfo:
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        text = str(error) if isinstance(error, PluginError) else text
        failed = replace(info, error=text)
        self.infos[info.name] = failed
        return failed


def installed() -> list[EntryPoint]:
    """Entry points of plugin distributions, from metadata alone; imports nothing."""
    return sorted(entry_points(group=hookspecs.PROJECT), key=lambda point: point.name)


def _module_from(path: Path) -> ModuleType:
    """Run a Python file as a module of its own."""
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


def _barred(point: EntryPoint) -> str | None:
    names = {_canonical(point.name), _canonical(point.dist.name if point.dist else "")}
    allow, block = _names("PARROT_PLUGINS_ALLOW"), _names("PARROT_PLUGINS_BLOCK")
    if allow and not names & allow:
        return "not in PARROT_PLUGINS_ALLOW"
    return "blocked by PARROT_PLUGINS_BLOCK" if names & block else None


def _names(variable: str) -> set[str]:
    return {_canonical(part) for part in os.environ.get(variable, "").split(",") if part.strip()}


def _canonical(name: str) -> str:
    """As packaging compares names: ``Parrot_Router.X`` is ``parrot-router-x``."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _collector(kind: str, plugin: PluginInfo, into: list[Component]) -> Callable[[str, Any], None]:
    def register(name: str, factory: Any) -> None:
        if not isinstance(name, str) or not name:
            raise PluginError(f"the name of a {kind} must be a string, not {name!r}")
        if not callable(factory) and kind not in ("host", "benchmark", "example"):  # those are data
            raise PluginError(f"{kind} {name!r} must be registered with a factory, not {type(factory).__name__}")
        if any(c.name == name for c in into):
            raise PluginError(f"{kind} {name!r} is registered twice by the same plugin")
        into.append(Component(kind, name, factory, plugin))

    return register


def _by_plugin(components: list[Component]) -> Iterator[str]:
    plugins = dict.fromkeys(c.plugin for c in components)
    for plugin in plugins:
        yield f"{', '.join(c.name for c in components if c.plugin == plugin)} ({plugin})"


manager = PluginManager()  # the library's one piece of module-level state
register = manager.register
load_file = manager.load_file
find = manager.find
