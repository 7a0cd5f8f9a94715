"""What a lookup imports: the one thing that was asked for."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint

import pytest

import parrot_adapters as pa
from parrot_adapters.errors import ParrotWarning, PluginError, UnknownNameError
from parrot_adapters.plugins import KINDS, group_of
from parrot_adapters.plugins.built_in import BUILT_IN

MODULE = """
import sys
from torch import nn
import parrot_adapters as pa

class Mine(nn.Module): ...

@pa.hookimpl
def register_routers(register):
    register({name!r}, Mine)
"""

BUILD = """
import json, sys, torch
before = set(sys.modules)
import parrot_adapters as pa
{extra}
pa.build_layer(pa.AdapterConfig(router={router!r}, expert_hidden_size=4), 8)
print(json.dumps(sorted(set(sys.modules) - before)))
"""

NOT_FOR_A_ROUTER = ("data", "evaluation", "hosts", "training", "analysis", "cli", "pages", "original", "testing")


def imported(site, router="text-guided", extra=""):
    """Modules that building a layer imports after torch."""
    done = site.python("-W", "error", "-c", BUILD.format(router=router, extra=extra))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def unwanted(modules):
    rooms = tuple(f"parrot_adapters.{room}" for room in NOT_FOR_A_ROUTER)
    libraries = ("parrot_recipes", "transformers", "PIL", "datasets", "pydantic")
    return [module for module in modules if module.startswith((*rooms, *libraries))]


def test_a_layer_imports_no_data_no_evaluation_no_recipe_and_no_stranger(site):
    site.install("parrot-other", "1", "other_module", MODULE.format(name="other"))
    site.install("parrot-parts", "1", "parts_module", "", experts={"parts": "parts_module:X"})
    modules = imported(site)
    assert unwanted(modules) == []
    assert not {"other_module", "parts_module"} & {*modules}
    assert not {m for m in modules if m.startswith("parrot_router_")}, "installed in this environment, not asked for"
    assert len([m for m in modules if m.startswith("parrot_adapters")]) < 60


def test_that_would_be_seen(site):
    """The broken double: something that does import the rooms it should not."""
    modules = imported(site, extra="pa.plugins.manager.find('data-source', '.tar').factory")
    assert "parrot_adapters.data.sources.tar_shards" in unwanted(modules)


def test_a_router_that_metadata_names_imports_its_own_module_alone(site):
    site.install("parrot-other", "1", "other_module", MODULE.format(name="other"))
    site.install(
        "parrot-mine",
        "1",
        "mine_module",
        "from parrot_adapters.core import UniformRouter as Mine",
        routers={"mine": "mine_module:Mine"},
    )
    modules = imported(site, "mine")
    assert "mine_module" in modules
    assert "other_module" not in modules
    assert unwanted(modules) == []


def test_hooks_are_run_for_a_name_found_nowhere_else(site):
    site.install("parrot-other", "1.5", "other_module", MODULE.format(name="other"))
    found = site.manager().find("router", "other")
    assert (found.plugin.distribution, found.plugin.version) == ("parrot-other", "1.5")


@pytest.mark.parametrize("kind", BUILT_IN)
def test_every_entry_of_the_table_leads_to_something_of_its_kind(kind, site):
    manager = site.manager()
    wanted = {"host": pa.HostSpec, "benchmark": tuple}.get(kind)
    for name in BUILT_IN[kind]:
        found = manager.find(kind, name)
        assert found.built_in
        assert callable(found.factory) if wanted is None else isinstance(found.factory, wanted)


def test_the_table_has_every_kind_that_the_library_offers():
    assert set(BUILT_IN) <= set(KINDS)
    assert {
        "router",
        "expert",
        "layer-expert",
        "summary",
        "loss",
        "host",
        "observer",
        "benchmark",
        "data-format",
        "data-source",
    } == set(BUILT_IN)


def test_groups_have_names_that_packaging_allows():
    assert group_of("router") == "parrot_adapters.routers"
    assert group_of("model-class") == "parrot_adapters.model_classes"
    for kind in KINDS:
        assert all(part.isidentifier() for part in group_of(kind).split("."))


# -- two of one name ----------------------------------------------------------------------------------------------


def test_two_entry_points_of_one_name_are_both_named(site):
    for letter in "ab":
        site.install(f"parrot-{letter}", "1", f"module_{letter}", "class X: ...", routers={"x": f"module_{letter}:X"})
    with pytest.raises(PluginError, match=r"'x' is registered by parrot-a 1 and by parrot-b 1"):
        site.manager().find("router", "x")


def test_a_clash_is_named_when_one_of_the_two_is_broken(site):
    site.install("parrot-a", "1", "module_a", "class X: ...", routers={"x": "module_a:X"})
    site.install("parrot-b", "1", "module_b", "1 / 0", routers={"x": "module_b:X"})
    with (
        pytest.warns(ParrotWarning, match="ZeroDivisionError"),
        pytest.raises(PluginError, match=r"'x' is registered by parrot-a 1 and by parrot-b 1"),
    ):
        site.manager().find("router", "x")


def test_an_entry_point_and_a_hook_clash_once_both_are_known(site):
    site.install("parrot-a", "1", "module_a", "class X: ...", routers={"x": "module_a:X"})
    site.install("parrot-b", "1", "module_b", MODULE.format(name="x"))
    manager = site.manager()
    manager.components("router")
    with pytest.raises(PluginError, match=r"'x' is registered by parrot-a 1 and by parrot-b 1"):
        manager.find("router", "x")


def test_one_thing_offered_twice_is_no_clash(site):
    """A distribution may keep its hook, for whoever registers its module by hand."""
    site.install(
        "parrot-a", "1", "module_a", MODULE.format(name="x"), routers={"x": "module_a:Mine"}, hooks={"x": "module_a"}
    )
    manager = site.manager()
    assert len([c for c in manager.components("router") if c.name == "x"]) == 2
    assert manager.find("router", "x").plugin.distribution == "parrot-a"


@pytest.mark.parametrize("groups", [{"routers": {"text-guided": "claims:Mine"}}, {"hooks": {"claims": "claims"}}])
def test_a_claimed_name_of_the_librarys_is_refused_and_reported(site, groups):
    from parrot_adapters.core import TextGuidedRouter

    site.install("parrot-claims", "3", "claims", MODULE.format(name="text-guided"), **groups)
    manager = site.manager()
    with pytest.warns(ParrotWarning, match=r"parrot-claims 3\n.*router 'text-guided' is the library's own"):
        manager.components("router")
    assert manager.find("router", "text-guided").factory is TextGuidedRouter
    assert [info.distribution for info in manager.failures()] == ["parrot-claims"]


def test_an_unknown_name_lists_what_metadata_holds_without_importing_it(site):
    site.install("parrot-a", "1", "module_a", "1 / 0", routers={"sinkhorn": "module_a:X"})
    with pytest.raises(UnknownNameError, match=r"(?s)Did you mean 'sinkhorn'\?.*sinkhorn \(parrot-a 1\)"):
        site.manager().find("router", "sinkhorm")


def test_metadata_is_read_once(site):
    reads = []

    def points() -> list[EntryPoint]:
        reads.append(1)
        return []

    manager = pa.plugins.PluginManager(entry_points=points)
    for name in ("text-guided", "uniform", "top-k"):
        manager.find("router", name)
    manager.components("host")
    assert len(reads) == 1
