"""The plugin manager: one plugin's fault stays its own, everything says where it comes from."""

from __future__ import annotations

import inspect
import sys
from types import SimpleNamespace

import pytest
from torch import nn

import parrot_adapters as pa
from parrot_adapters.errors import ConfigError, ParrotWarning, PluginError, UnknownNameError
from parrot_adapters.plugins import KINDS, PluginManager, hookspecs

HOOKS = [name for name in vars(hookspecs) if name.startswith("register_")]


@pytest.fixture
def manager():
    """A manager of its own, without installed plugins."""
    return PluginManager(entry_points=list)


class Router(nn.Module):
    def __init__(self, width, num_experts):
        super().__init__()


def offering(**components):
    """A plugin with one hook for each kind: ``offering(router={"name": factory})``."""

    class Plugin:
        pass

    for kind, offered in components.items():

        def hook(register, offered=offered):
            for name, factory in offered.items():
                register(name, factory)

        hook.__name__ = KINDS[kind]
        setattr(Plugin, KINDS[kind], staticmethod(pa.hookimpl(_only_register(hook))))
    return Plugin()


def _only_register(hook):
    def implementation(register):
        hook(register)

    implementation.__name__ = hook.__name__
    return implementation


# -- every hook ---------------------------------------------------------------------------------------------------


def test_hooks_and_kinds_are_the_same_list():
    assert sorted(KINDS.values()) == sorted(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_and_typed(hook):
    function = getattr(hookspecs, hook)
    assert "``" in inspect.getdoc(function), "say what is registered"
    assert list(inspect.signature(function).parameters) == ["register"]
    assert function.__annotations__["register"] == "Register"


@pytest.mark.parametrize("kind", KINDS)
def test_every_hook_registers_and_finds(manager, kind):
    factory = pa.HostSpec(model_types=("toy",)) if kind == "host" else Router
    manager.register(offering(**{kind: {"mine": factory}}), name="toy")
    found = manager.find(kind, "mine")
    assert found.factory is factory
    assert (found.kind, found.plugin.name, found.plugin.source) == (kind, "toy", "registered")


# -- a plugin's fault stays its own -------------------------------------------------------------------------------


def test_a_hook_that_raises_costs_only_its_own_components(manager):
    class Faulty:
        @pa.hookimpl
        def register_routers(self, register):
            register("half-done", Router)
            raise RuntimeError("no licence file")

        @pa.hookimpl
        def register_experts(self, register):
            register("fine", Router)

    manager.register(Faulty(), name="faulty")
    with pytest.warns(ParrotWarning, match=r"plugin +faulty \(registered\)\n.*RuntimeError: no licence file"):
        names = [c.name for c in manager.components("router")]
    assert "text-guided" in names
    assert "half-done" not in names
    assert manager.find("expert", "fine").plugin.name == "faulty"
    assert [(i.name, i.error) for i in manager.failures()] == [("faulty", "RuntimeError: no licence file")]
    with pytest.raises(UnknownNameError, match=r"failed +faulty \(registered\): RuntimeError: no licence file"):
        manager.find("router", "half-done")


def test_a_plugin_that_exits_is_a_fault_like_any_other(manager):
    class Quits:
        @pa.hookimpl
        def register_routers(self, register):
            sys.exit("goodbye")

    manager.register(Quits(), name="quits")
    with pytest.warns(ParrotWarning, match="quits"):
        assert manager.find("router", "text-guided")
    assert manager.failures()[0].error == "SystemExit: goodbye"


def test_unknown_hook_gets_a_suggestion_and_leaves_nothing_behind(manager):
    class Misspelt:
        @pa.hookimpl
        def register_router(self, register): ...

    with pytest.raises(PluginError, match=r"'register_router'\. Did you mean 'register_routers'\?"):
        manager.register(Misspelt(), name="misspelt")
    assert manager.failures() == []
    assert manager.find("router", "text-guided")


def test_no_hook_at_all(manager):
    with pytest.raises(PluginError, match="implements no hook"):
        manager.register(SimpleNamespace(register_routers=lambda register: None), name="unmarked")


def test_wrong_hook_argument(manager):
    class Wrong:
        @pa.hookimpl
        def register_routers(self, registry): ...

    with pytest.raises(PluginError, match="registry"):
        manager.register(Wrong(), name="wrong")
    assert manager.find("router", "text-guided")


def test_a_taken_name_leaves_the_first_plugin_whole(manager):
    manager.register(offering(router={"a": Router}), name="same")
    with pytest.raises(PluginError, match=r"the name is taken by same \(registered\)"):
        manager.register(offering(router={"b": Router}), name="same")
    assert manager.find("router", "a").plugin.name == "same"


def test_the_name_of_the_built_ins_does_not_keep_them_out(manager):
    manager.register(offering(router={"a": Router}), name="builtins")
    assert manager.find("router", "text-guided")


@pytest.mark.parametrize(
    ("offered", "message"),
    [({"": Router}, "must be a string"), ({"x": 3}, "must be registered with a factory, not int")],
)
def test_nonsense_is_refused(manager, offered, message):
    manager.register(offering(router=offered), name="nonsense")
    with pytest.warns(ParrotWarning, match=message):
        manager.components("router")
    assert message in manager.failures()[0].error


def test_what_is_registered_beside_nonsense_counts(manager):
    manager.register(offering(router={"before": Router, "x": 3, "after": Router}), name="half")
    with pytest.warns(ParrotWarning, match="router 'x' must be registered with a factory, not int"):
        names = [component.name for component in manager.components("router") if component.plugin.name == "half"]
    assert names == ["before", "after"]


def test_hooks_whose_body_never_runs_are_refused(manager):
    class Later:
        @pa.hookimpl
        def register_routers(self, register):
            yield register("later", Router)

    class Awaited:
        @pa.hookimpl
        async def register_routers(self, register):
            register("awaited", Router)

    for plugin in (Later(), Awaited()):
        with pytest.raises(PluginError, match="'register_routers' is async or a generator, so its body never runs"):
            manager.register(plugin)
    assert not {"later", "awaited"} & {component.name for component in manager.components("router")}


def test_one_name_is_registered_once(manager):
    class Twice:
        @pa.hookimpl
        def register_routers(self, register):
            register("again", Router)
            register("again", lambda width, num_experts: Router(width, num_experts))

    manager.register(Twice(), name="twice")
    with pytest.warns(ParrotWarning, match="router 'again' is registered twice by the same plugin"):
        manager.components("router")


def test_unregister(manager):
    manager.register(offering(router={"a": Router}), name="gone")
    manager.unregister("gone")
    manager.unregister("never there")
    with pytest.raises(UnknownNameError):
        manager.find("router", "a")


# -- messages -----------------------------------------------------------------------------------------------------


def test_unknown_name_says_what_is_near_who_asked_and_what_there_is(manager):
    with pytest.raises(UnknownNameError) as caught:
        manager.find("router", "text-giuded", asked_by="AdapterConfig.router")
    first, asked, known, to_do = str(caught.value).splitlines()
    assert first == "no router named 'text-giuded'. Did you mean 'text-guided'?"
    assert asked == "  asked by  AdapterConfig.router"
    assert known.startswith("  known     text-guided, text-guided-qkv")
    assert known.endswith("frozen, grown (built in)")
    assert "parrot plugins" in to_do


def test_unknown_kind(manager):
    with pytest.raises(ConfigError, match="no kind of component is named 'rooter'"):
        manager.find("rooter", "x")


def test_two_plugins_with_one_name_are_both_named(manager):
    manager.register(offering(router={"twice": Router}), name="one")
    manager.register(offering(router={"twice": nn.Linear}), name="two")
    with pytest.raises(PluginError, match=r"'twice' is registered by one \(registered\) and by two \(registered\)"):
        manager.find("router", "twice")


# -- local files --------------------------------------------------------------------------------------------------

FILE = """
from parrot_adapters import hookimpl
from torch import nn

class Mine(nn.Module): ...

@hookimpl
def register_routers(register):
    register({name!r}, Mine)
"""


def test_a_file_in_the_working_directory_is_not_run(manager, monkeypatch, tmp_path):
    """Whoever stands in a downloaded folder has not asked for its code."""
    monkeypatch.chdir(tmp_path)
    marks = "import pathlib; pathlib.Path('it-ran').touch()\n"
    (tmp_path / "parrot_plugins.py").write_text(marks + FILE.format(name="local"))
    with pytest.raises(UnknownNameError, match=r"not read +parrot_plugins.py .*PARROT_PLUGIN_FILE=parrot_plugins.py"):
        manager.find("router", "local")
    manager.examine()
    assert not (tmp_path / "it-ran").exists()
    monkeypatch.setenv("PARROT_PLUGIN_FILE", "parrot_plugins.py")
    assert str(manager.find("router", "local").plugin) == "parrot_plugins.py (file)"
    assert (tmp_path / "it-ran").exists()


def test_plugin_file_of_the_environment(manager, monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(FILE.format(name="chosen"))
    monkeypatch.setenv("PARROT_PLUGIN_FILE", str(tmp_path / "mine.py"))
    assert manager.find("router", "chosen")


def test_missing_plugin_file_is_shown(manager, monkeypatch, tmp_path):
    monkeypatch.setenv("PARROT_PLUGIN_FILE", str(tmp_path / "nowhere.py"))
    with pytest.warns(ParrotWarning, match=r"nowhere\.py"):
        assert manager.find("router", "text-guided")
    assert "nowhere.py" in manager.failures()[0].error


def test_files_of_one_name_do_not_hide_each_other(manager, tmp_path):
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "p.py").write_text(FILE.format(name=f"r{number}"))
        manager.load_file(tmp_path / str(number) / "p.py")
    (tmp_path / "p.py").write_text("1 / 0")
    with pytest.warns(ParrotWarning, match=r"p\.py"):
        assert manager.load_file(tmp_path / "p.py").error == "ZeroDivisionError: division by zero"
    assert manager.find("router", "r1")
    assert manager.find("router", "r2")
    assert len(manager.failures()) == 1


@pytest.mark.parametrize("path", [None, 3, ["a.py"]])
def test_a_plugin_file_is_a_path(path):
    with pytest.raises(ConfigError, match="path must be a path"):
        PluginManager().load_file(path)
