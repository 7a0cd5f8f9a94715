"""Finding plugins, keeping each one's faults to itself, and looking up what they offer.

Components come from five places:

- the library's own table (``built_in.py``);
- entry points that name a component (groups ``parrot_adapters.routers``, ``parrot_adapters.experts``, ...), imported
  only when it is asked for;
- entry points that name a plugin with hooks (group ``parrot_adapters``), imported when a kind is listed or a name is
  found nowhere else;
- a Python file that ``PARROT_PLUGIN_FILE`` or :func:`load_file` names;
- :func:`register`.

Nothing is ever run merely because it lies in the working directory.

Environment variables: ``PARROT_PLUGINS_ALLOW`` and ``PARROT_PLUGINS_BLOCK`` (comma separated entry-point or
distribution names; allow, when set, is exclusive), ``PARROT_PLUGIN_FILE``.
"""

from __future__ import annotations

import inspect
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from importlib.metadata import EntryPoint
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, TypeVar

import pluggy

from parrot_adapters.atomic_files import as_path
from parrot_adapters.errors import ConfigError, ParrotWarning, PluginError, UnknownNameError, explain, suggest
from parrot_adapters.plugins import hookspecs
from parrot_adapters.plugins.built_in import BUILT_IN
from parrot_adapters.plugins.components import BUILT_IN_PLUGIN, Component, PluginInfo
from parrot_adapters.plugins.faults import SLOW_AFTER, blaming, described, named_when_slow, passes_through
from parrot_adapters.plugins.kinds import HOOKS_GROUP, KINDS, group_of
from parrot_adapters.plugins.metadata import barred, info_of, installed
from parrot_adapters.plugins.plugin_file import module_from

__all__ = ["PluginManager", "find", "load_file", "manager", "register"]

T = TypeVar("T")

DATA_KINDS = ("host", "benchmark", "example")  # may be registered as data instead of a function that makes them
USUAL_FILE = "parrot_plugins.py"


class PluginManager:
    """pluggy's manager with provenance, late import and per-plugin isolation. The library keeps one: :data:`manager`.

    Args:
        entry_points: Function that returns the entry points of plugins; the installed ones by default.
        slow_after: Seconds of import after which a plugin is named in a warning.

    Attributes:
        pm: The manager of pluggy, with the plugins whose hooks are in use.
    """

    def __init__(
        self, entry_points: Callable[[], Iterable[EntryPoint]] = installed, slow_after: float = SLOW_AFTER
    ) -> None:
        self.pm = pluggy.PluginManager(hookspecs.PROJECT)
        self.pm.add_hookspecs(hookspecs)
        self._entry_points, self._slow_after = entry_points, slow_after
        self._plugins: dict[str, PluginInfo] = {}  # those with hooks by pluggy's name, failed ones included
        self._faults: dict[PluginInfo, list[str]] = {}
        self._barred: dict[PluginInfo, str] = {}
        self._file_read = False
        self._lock = threading.RLock()  # two threads may look up their first names at once

    # -- adding plugins by hand ---------------------------------------------------------------------------------------

    def register(self, plugin: object, name: str | None = None) -> str:
        """Use a module or object with hook implementations as a plugin, in this process.

        Args:
            plugin: module or object with functions marked ``@hookimpl``.
            name: name shown in messages; by default the object's ``__name__`` or type name.

        Returns:
            The name it got.

        Raises:
            PluginError: it implements unknown hooks or no hook at all, or the name is taken or blocked.
        """
        name = name or str(getattr(plugin, "__name__", type(plugin).__name__))
        with self._lock:
            if name in self._plugins:
                raise PluginError(f"plugin {name!r} cannot be registered: the name is taken by {self._plugins[name]}")
            try:
                self._add(plugin, PluginInfo(name, "registered"))
            except PluginError as error:
                raise PluginError(f"plugin {name!r} cannot be registered: {described(error)}") from error
        return name

    def unregister(self, name: str) -> None:
        """Forget a plugin; unknown names are ignored."""
        with self._lock:
            if self.pm.get_plugin(name) is not None:
                self.pm.unregister(name=name)
            info = self._plugins.pop(name, None)
            if info is not None:
                self._faults.pop(info, None)

    def load_file(self, path: str | os.PathLike[str]) -> PluginInfo:
        """Run a Python file as a plugin. A fault in it is a warning and stands in the returned info; it is not raised.

        Args:
            path: file with functions marked ``@hookimpl``. It is code: load only what you would run.
        """
        path = as_path(path, "path").resolve()
        with self._lock:
            info = PluginInfo(self._free(path.name, path.parent), "file")
            self._import(info, partial(module_from, path))
            return self._with_faults(info)

    # -- looking components up ----------------------------------------------------------------------------------------

    def find(self, kind: str, name: str, *, asked_by: str | None = None) -> Component:
        """The component of that name, imported; nothing else is, unless no table and no metadata holds the name.

        Args:
            kind: one of :data:`KINDS`: ``"router"``, ``"expert"``, ``"host"``, ...
            name: name under which it is offered.
            asked_by: setting or command named in the error, e.g. ``"AdapterConfig.router"``.

        Raises:
            ConfigError: no such kind.
            UnknownNameError: nobody offers it; the message lists what exists and which plugins failed to load.
            PluginError: two plugins offer it, or the one that does cannot be imported.
        """
        _require_kind(kind)
        with self._lock:
            self._read_asked_file()
            matches = _named(name, self._offered(kind))
            if not matches:
                self.load()
                matches = _named(name, self._offered(kind))
            if not matches:
                raise self._unknown(kind, name, asked_by)
            if len(matches) > 1 and not _one_thing(matches):
                raise _clash(kind, name, matches)
            matches[0].factory  # noqa: B018 - imported here, so that whoever asked is told of it here
            return matches[0]

    def components(self, kind: str) -> list[Component]:
        """All components of a kind (``"router"``, ``"expert"``, ``"host"``, ...), the library's own first.

        Those that an entry point or the library's table names are not imported before their ``factory`` is asked for;
        :meth:`usable` does so with each plugin's faults kept to itself.

        Raises:
            ConfigError: no such kind. A plugin whose hook fails is left out with a warning, not raised.
        """
        _require_kind(kind)
        with self._lock:
            self._read_asked_file()
            self.load()
            return self._offered(kind)

    def usable(self, kind: str, make: Callable[[Component], T]) -> list[tuple[Component, T]]:
        """What a function makes of each component of a kind; a plugin for which it fails is left out with a warning.

        Args:
            kind: one of :data:`KINDS`.
            make: function of a component, such as ``lambda component: component.factory()``. What it raises for one of
                the library's own components is raised.
        """
        made: list[tuple[Component, T]] = []
        for component in self.components(kind):
            if component.built_in:
                made.append((component, make(component)))
                continue
            try:
                made.append((component, make(component)))
            except BaseException as error:
                if passes_through(error):
                    raise
                text = described(error)
                self.report(component.plugin, text if component.name in text else f"{kind} {component.name!r}: {text}")
        return made

    def examine(self) -> list[Component]:
        """Every component there is; all plugins are imported, so that :meth:`failures` is complete."""
        imported = [self.usable(kind, lambda c: None if c.built_in else c.factory) for kind in KINDS]
        return [component for pairs in imported for component, _ in pairs]

    # -- faults -------------------------------------------------------------------------------------------------------

    def failures(self) -> list[PluginInfo]:
        """Plugins that could not be loaded or used, or that are barred.

        A component's fault is known once it has been asked for; :meth:`examine` asks for all.
        """
        self.load()
        with self._lock:
            left_out = [replace(info, error=reason, barred=True) for info, reason in self._barred.items()]
            return left_out + [self._with_faults(info) for info in self._faults]

    def report(self, plugin: PluginInfo, error: BaseException | str) -> None:
        """Note a plugin's fault and warn of it, once. It stands in :meth:`failures` from then on.

        Args:
            plugin: plugin that is to blame.
            error: fault, as raised or in words.
        """
        text = described(error)
        with self._lock:
            known = self._faults.setdefault(plugin, [])
            if text in known:
                return
            known.append(text)
        warnings.warn(
            ParrotWarning(
                explain(
                    "a plugin is at fault; that part of it is left out, and everything else goes on.",
                    plugin=plugin if plugin.name in str(plugin) else f"{plugin.name} of {plugin}",
                    fault=text,
                    to_do="update or uninstall it, or name it in PARROT_PLUGINS_BLOCK (parrot plugins lists all)",
                )
            ),
            stacklevel=2,
        )

    # -- loading ------------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Import the plugins with hooks that installed distributions name, once."""
        with self._lock:
            while self._waiting:
                point, info = self._waiting.pop(0)
                try:
                    self._load_plugin(point, info)
                except BaseException:  # the user's interruption: the next call goes on from here
                    self._waiting.insert(0, (point, info))
                    raise

    @cached_property
    def _points(self) -> dict[str, list[tuple[EntryPoint, PluginInfo]]]:
        """Entry points by group, and where each is from; reading the metadata takes a while, so it is done once."""
        found: dict[str, list[tuple[EntryPoint, PluginInfo]]] = {}
        for point in self._entry_points():
            found.setdefault(point.group, []).append((point, info_of(point)))
        return found

    @cached_property
    def _waiting(self) -> list[tuple[EntryPoint, PluginInfo]]:
        """Plugins with hooks that are yet to be imported."""
        return list(self._points.get(HOOKS_GROUP, []))

    def _read_asked_file(self) -> None:
        asked = os.environ.get("PARROT_PLUGIN_FILE")
        if asked and not self._file_read:
            self._file_read = True  # before it runs: it may look names up itself
            self.load_file(asked)

    def _load_plugin(self, point: EntryPoint, info: PluginInfo) -> None:
        # pluggy's load_setuptools_entrypoints would let one plugin's error end all, and skip the second of two
        # distributions whose plugins have one name.
        reason = barred(info)  # by its own name, whatever it is called here
        info = replace(info, name=self._free(info.name, info.distribution))
        if reason:
            self.pm.set_blocked(info.name)
            self._barred[info] = reason
            return
        self._import(info, point.load)

    def _import(self, info: PluginInfo, load: Callable[[], object]) -> None:
        """Import and add a plugin; a fault of its own is reported."""
        self._plugins[info.name] = info
        try:
            with named_when_slow(info, self._slow_after):
                plugin = load()
            self._add(plugin, info)
        except BaseException as error:
            if passes_through(error):
                del self._plugins[info.name]
                raise
            self.report(info, error)

    def _add(self, plugin: object, info: PluginInfo) -> None:
        """Give a plugin to pluggy.

        Raises:
            PluginError: it is no plugin; nothing of it stays behind.
        """
        if self.pm.is_registered(plugin):
            raise PluginError(f"this object is registered already, as {self.pm.get_name(plugin)!r}")
        if self.pm.is_blocked(info.name):
            raise PluginError("the name is blocked by PARROT_PLUGINS_BLOCK or not in PARROT_PLUGINS_ALLOW")
        try:
            with blaming("pluggy refuses it"):
                self.pm.register(plugin, name=info.name)
            self._check_hooks(plugin)
        except BaseException:
            if self.pm.get_plugin(info.name) is not None:
                self.pm.unregister(name=info.name)
            raise
        self._plugins[info.name] = info

    def _check_hooks(self, plugin: object) -> None:
        hooks = self.pm.get_hookcallers(plugin) or []
        if not hooks:
            raise PluginError("it implements no hook (are its functions marked @hookimpl?)")
        known = set(KINDS.values())
        if unknown := [hook.name for hook in hooks if not hook.has_spec()]:
            near = "; ".join(f"{name!r}.{suggest(name, known)}" for name in unknown)
            raise PluginError(f"it implements unknown hooks: {near} Known: {', '.join(sorted(known))}")
        for hook in hooks:
            mine = [each for each in hook.get_hookimpls() if each.plugin is plugin]
            if not all("register" in (*each.argnames, *each.kwargnames) for each in mine):
                raise PluginError(f"its hook {hook.name!r} takes no argument 'register', so it can register nothing")
            if any(map(_runs_later, mine)):
                raise PluginError(f"its hook {hook.name!r} is async or a generator, so its body never runs")

    def _free(self, name: str, owner: object) -> str:
        """``name``, or with its owner where another plugin has it."""
        while name in self._plugins or self.pm.is_blocked(name):
            name = f"{name} ({owner})"
        return name

    # -- what is on offer ---------------------------------------------------------------------------------------------

    def _offered(self, kind: str) -> list[Component]:
        """Components of a kind as far as the table, metadata and the plugins in use show them; imports nothing."""
        own = BUILT_IN.get(kind, {})
        found = [Component(kind, name, BUILT_IN_PLUGIN, partial(resolve_name, place)) for name, place in own.items()]
        for component in [*self._named_by_metadata(kind), *self._registered_by_hooks(kind)]:
            if component.name in own:
                self.report(component.plugin, f"{kind} {component.name!r} is the library's own; it needs another name")
            else:
                found.append(component)
        return found

    def _named_by_metadata(self, kind: str) -> Iterator[Component]:
        for point, info in self._points.get(group_of(kind), []):
            if reason := barred(info):
                self._barred[info] = reason
            else:
                yield Component(kind, point.name, info, partial(self._imported, kind, point, info))

    def _imported(self, kind: str, point: EntryPoint, info: PluginInfo) -> Any:
        slowly = named_when_slow(info, self._slow_after)
        try:
            with blaming(f"{kind} {point.name!r} of {info} cannot be imported."), slowly:
                factory = point.load()
            _require_factory(kind, point.name, factory)
        except PluginError as error:
            self.report(info, error)
            raise
        return factory

    def _registered_by_hooks(self, kind: str) -> Iterator[Component]:
        for name, plugin in self.pm.list_name_plugin():
            if plugin is None:
                continue
            others = [each for each in self.pm.get_plugins() if each is not plugin]
            hook = self.pm.subset_hook_caller(KINDS[kind], others)
            mine: list[Component] = []
            try:
                hook(register=_collector(kind, self._plugins[name], mine, self.report))
            except BaseException as error:  # this plugin's fault stays its own
                if passes_through(error):
                    raise
                self.report(self._plugins[name], error)
                continue
            yield from mine

    def _with_faults(self, info: PluginInfo) -> PluginInfo:
        return replace(info, error="; ".join(self._faults.get(info, [])) or None)

    def _unknown(self, kind: str, name: object, asked_by: str | None) -> UnknownNameError:
        everything = self._offered(kind)
        unread = Path(USUAL_FILE).is_file() and not self._file_read
        return UnknownNameError(
            explain(
                f"no {kind} named {name!r}.{suggest(str(name), [c.name for c in everything])}",
                asked_by=asked_by,
                known="; ".join(_by_plugin(everything)) or f"no {kind} at all",
                failed="; ".join(f"{i}: {i.error}" for i in self.failures()) or None,
                not_read=f"{USUAL_FILE} of this directory: PARROT_PLUGIN_FILE={USUAL_FILE} asks for it"
                if unread
                else None,
                to_do="install the plugin that offers it (parrot plugins shows what is there)",
            )
        )


def _require_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ConfigError(explain(f"no kind of component is named {kind!r}.", known=", ".join(KINDS)))


def _require_factory(kind: str, name: str, factory: object) -> None:
    if not callable(factory) and kind not in DATA_KINDS:
        raise PluginError(f"{kind} {name!r} must be registered with a factory, not {type(factory).__name__}")


def _named(name: str, components: Iterable[Component]) -> list[Component]:
    return [component for component in components if component.name == name]


def _one_thing(matches: list[Component]) -> bool:
    """Whether a component is merely offered twice, for example by an entry point and by a hook of one module."""
    try:
        return len({id(component.factory) for component in matches}) == 1
    except PluginError:
        return False


def _clash(kind: str, name: str, matches: list[Component]) -> PluginError:
    return PluginError(
        explain(
            f"{kind} {name!r} is registered by {' and by '.join(str(component.plugin) for component in matches)}.",
            to_do="uninstall one of them, or name it in PARROT_PLUGINS_BLOCK",
        )
    )


def _runs_later(hook: pluggy.HookImpl) -> bool:
    asked: Any = hook.function
    later = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    return not (hook.wrapper or hook.hookwrapper) and any(is_later(asked) for is_later in later)


def _collector(
    kind: str, plugin: PluginInfo, into: list[Component], report: Callable[[PluginInfo, BaseException], None]
) -> Callable[[str, Any], None]:
    """What a hook is given. Nonsense is reported and left out; what the hook registers after it counts."""

    def register(name: str, factory: Any) -> None:
        try:
            if not isinstance(name, str) or not name:
                raise PluginError(f"the name of a {kind} must be a string, not {name!r}")
            _require_factory(kind, name, factory)
            if any(c.name == name for c in into):
                raise PluginError(f"{kind} {name!r} is registered twice by the same plugin")
        except PluginError as error:
            report(plugin, error)
            return
        into.append(Component(kind, name, plugin, lambda: factory))

    return register


def _by_plugin(components: list[Component]) -> Iterator[str]:
    plugins = dict.fromkeys(c.plugin for c in components)
    for plugin in plugins:
        yield f"{', '.join(c.name for c in components if c.plugin == plugin)} ({plugin})"


manager = PluginManager()  # the library's one piece of module-level state
register = manager.register
load_file = manager.load_file
find = manager.find
