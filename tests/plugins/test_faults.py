"""Whatever a plugin does wrong is reported with plugin and distribution, once, and everything else goes on."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
import time
import warnings

import pytest
from miniatures import ADAPTER, FAMILIES, PROMPTS

import parrot_adapters as pa
from parrot_adapters.errors import ConfigError, ParrotWarning, PluginError
from parrot_adapters.hosts.host_parts import resolve_spec
from parrot_adapters.plugins import PluginManager, blaming, shielded
from parrot_adapters.plugins.components import Component, PluginInfo

PANIC = "class Panic(BaseException): pass\n"


@pytest.fixture
def registered(request):
    """Registers with the library's own manager, for the length of a test."""

    def register(plugin: object, name: str) -> None:
        pa.plugins.register(plugin, name)
        request.addfinalizer(lambda: pa.plugins.manager.unregister(name))

    return register


class Hook:
    """A plugin with one hook, which does what it is told."""

    def __init__(self, kind: str, act) -> None:
        def hook(register):
            act(register)

        hook.__name__ = f"register_{kind}"
        setattr(self, hook.__name__, pa.hookimpl(hook))


# -- at import and registration -----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ["Panic('out')", "SystemExit('out')", "RuntimeError('out')"])
def test_whatever_an_import_raises_is_the_plugins_fault(site, error):
    site.install("parrot-bad", "0.1", "bad_module", PANIC + f"raise {error}")
    manager = site.manager()
    with pytest.warns(ParrotWarning, match=rf"bad_module of parrot-bad 0\.1\n +fault +{error.split('(')[0]}: out"):
        assert manager.components("host")
    assert [info.distribution for info in manager.failures()] == ["parrot-bad"]


def test_an_error_that_cannot_say_itself_is_named_by_its_class(site):
    mute = "class Mute(Exception):\n    def __str__(self): raise ValueError('nothing')\nraise Mute()"
    site.install("parrot-mute", "0.1", "mute_module", mute)
    manager = site.manager()
    with pytest.warns(ParrotWarning, match=r"(?s)mute_module of parrot-mute.*Mute"):
        assert manager.components("host")
    assert [info.distribution for info in manager.failures()] == ["parrot-mute"]


@pytest.mark.parametrize("error", ["Panic('out')", "SystemExit('out')", "RuntimeError('out')"])
def test_the_same_for_a_component_that_metadata_names(site, error):
    site.install("parrot-bad", "0.1", "bad_module", PANIC + f"raise {error}", routers={"bad": "bad_module:Bad"})
    manager = site.manager()
    with (
        pytest.warns(ParrotWarning, match=r"parrot-bad 0\.1"),
        pytest.raises(PluginError, match=r"router 'bad' of parrot-bad 0\.1 cannot be imported\.\n +because .*: out"),
    ):
        manager.find("router", "bad")
    assert manager.find("router", "text-guided")


def test_whatever_a_hook_raises_is_the_plugins_fault():
    class Panic(BaseException):
        pass

    def act(register):
        raise Panic("in the hook")

    manager = PluginManager(entry_points=list)
    manager.register(Hook("routers", act), "panics")
    with pytest.warns(ParrotWarning, match=r"panics \(registered\)\n.*Panic: in the hook"):
        assert manager.find("router", "text-guided")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, GeneratorExit])
def test_the_users_own_interruption_is_nobodys_fault_and_loading_goes_on_afterwards(site, interruption, monkeypatch):
    monkeypatch.setattr(sys, "interrupting", True, raising=False)
    code = f"import sys\nif sys.interrupting: raise {interruption.__name__}\n"
    site.install("parrot-a", "1", "module_a", code + "import parrot_adapters as pa\n" + NOTHING)
    site.install("parrot-b", "1", "module_b", "import parrot_adapters as pa\n" + NOTHING)
    manager = site.manager()
    with pytest.raises(interruption):
        manager.load()
    monkeypatch.setattr(sys, "interrupting", False)
    manager.load()
    assert {name for name, _ in manager.pm.list_name_plugin()} == {"module_a", "module_b"}
    assert manager.failures() == []


NOTHING = "@pa.hookimpl\ndef register_routers(register): ..."


def test_a_hook_without_its_argument_can_register_nothing(site):
    site.install(
        "parrot-bad",
        "1",
        "bad_module",
        "import parrot_adapters as pa\n@pa.hookimpl\ndef register_routers(): return None",
    )
    manager = site.manager()
    with pytest.warns(ParrotWarning, match=r"(?s)parrot-bad 1.*'register_routers' takes no argument 'register'"):
        manager.load()
    assert manager.pm.list_name_plugin() == []


def test_a_plugin_is_named_while_its_import_takes_long(site):
    site.install("parrot-slow", "1", "slow_module", "import time, parrot_adapters as pa\ntime.sleep(0.5)\n" + NOTHING)
    with pytest.warns(ParrotWarning, match=r"importing the plugin parrot-slow 1 takes more than 0\.1 s"):
        site.manager(slow_after=0.1).load()


def test_where_warnings_are_errors_a_slow_import_is_said_and_goes_on(site, capsys):
    site.install("parrot-slow", "1", "slow_module", "import time, parrot_adapters as pa\ntime.sleep(0.5)\n" + NOTHING)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        site.manager(slow_after=0.1).load()
    assert "importing the plugin parrot-slow 1 takes more than 0.1 s" in capsys.readouterr().err


def test_a_quick_import_is_not_named_and_leaves_no_thread(site):
    site.install("parrot-quick", "1", "quick_module", "import parrot_adapters as pa\n" + NOTHING)
    before = threading.active_count()
    site.manager(slow_after=60).load()
    assert threading.active_count() == before


def test_a_fault_is_told_once():
    manager = PluginManager(entry_points=list)
    manager.register(Hook("routers", lambda register: 1 / 0), "bad")
    with pytest.warns(ParrotWarning) as told:
        manager.components("router")
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        manager.components("router")
        manager.find("router", "uniform")
    assert [info.error for info in manager.failures()] == ["ZeroDivisionError: division by zero"]


def test_two_threads_see_all_plugins(site):
    code = "import time, parrot_adapters as pa\ntime.sleep(0.2)\nclass Mine: ...\n"
    hook = "@pa.hookimpl\ndef register_routers(register): register('late', Mine)"
    site.install("parrot-late", "1", "late_module", code + hook)
    manager, found = site.manager(), []
    threads = [threading.Thread(target=lambda: found.append(manager.find("router", "late").name)) for _ in range(3)]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    assert found == ["late"] * 3


# -- at use -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "message"),
    [
        ({"model_types": ["llava"]}, "must be a HostSpec or a function that returns one, not dict"),
        (lambda: None, "not NoneType"),
        (lambda: 1 / 0, "ZeroDivisionError"),
        (pa.HostSpec(model_types=7), "must have a tuple of strings as model_types, not 7"),
    ],
)
def test_a_bad_host_stops_no_other_host(registered, offered, message):
    registered(Hook("hosts", lambda register: register("mine", offered)), "bad-host")
    with pytest.warns(ParrotWarning, match=rf"(?s)bad-host \(registered\).*{message}"):
        spec, plugin = resolve_spec("idefics3")
    assert (spec.unit, plugin.source) == ("run", "built in")
    assert any(info.name == "bad-host" for info in pa.plugins.manager.failures())


def test_a_bad_observer_factory_stops_no_attach(registered):
    def factory(handle):
        raise RuntimeError("no display")

    registered(Hook("observers", lambda register: register("screen", factory)), "bad-observer")
    with pytest.warns(ParrotWarning, match=r"(?s)bad-observer.*observer 'screen': RuntimeError: no display"):
        handle = pa.attach(FAMILIES["llava"].build(), ADAPTER)
    handle.detach()


def test_an_observer_that_fails_ends_no_pass_and_is_called_no_more(registered):
    seen = []

    def watch(record):
        seen.append(record)
        raise RuntimeError("disk full")

    registered(Hook("observers", lambda register: register("screen", lambda handle: watch)), "failing-observer")
    host, batch = FAMILIES["llava"].build(), FAMILIES["llava"].batch(PROMPTS)
    with pa.attach(host, ADAPTER):
        with pytest.warns(ParrotWarning, match=r"(?s)failing-observer.*observer 'screen': RuntimeError: disk full"):
            host(**batch)
        host(**batch)
    assert len(seen) == 1


def test_a_shield_is_copied_and_pickled_like_what_it_holds():
    component = Component("observer", "o", PluginInfo("p", "registered"), lambda: None)
    shield = shielded(print, component)
    assert pickle.loads(pickle.dumps(shield)) == copy.deepcopy(shield) == shield


def test_the_librarys_own_faults_are_not_hidden(monkeypatch):
    """A variable that cannot be used is the user's business, not a plugin's."""
    monkeypatch.setenv("PARROT_TENSORBOARD", "runs")
    monkeypatch.setenv("PARROT_TENSORBOARD_EVERY", "often")
    with pytest.raises(ConfigError, match="PARROT_TENSORBOARD_EVERY"):
        pa.attach(FAMILIES["llava"].build(), ADAPTER)


def test_a_loss_that_cannot_be_made_names_its_plugin(registered):
    registered(Hook("losses", lambda register: register("odd", lambda **options: 1 / 0)), "bad-loss")
    with pytest.raises(PluginError, match=r"loss 'odd' of bad-loss \(registered\) could not be made"):
        pa.auxiliary_losses([], {"odd": 1.0})


def test_blaming_lets_interruptions_and_the_librarys_errors_pass():
    for error in (KeyboardInterrupt(), GeneratorExit(), ConfigError("as it is")):
        with pytest.raises(type(error)) as caught, blaming("the plugin failed."):
            raise error
        assert caught.value is error
    with pytest.raises(PluginError, match="the plugin failed"), blaming("the plugin failed."):
        raise SystemExit(3)
