"""Installed distributions on the command line: listed, barred, clashing, broken; and what `parrot plugins` imports."""

from __future__ import annotations

import json

import pytest

GOOD = """
from parrot_adapters import hookimpl
from torch import nn

class Mine(nn.Module): ...

@hookimpl
def register_routers(register):
    register("third-party", Mine)
"""


@pytest.fixture(scope="module")
def shop(shared_site):
    shared_site.install("parrot-router-good", "1.2", "good_router", GOOD)
    shared_site.install("parrot-router-bad", "0.3", "bad_router", "raise RuntimeError('built for another torch')")
    shared_site.install("parrot-router-clash", "0.4", "clash_router", GOOD)
    shared_site.install(
        *("parrot-parts", "2.0", "parts", "from torch.nn import Linear"),
        experts={"flat": "parts:Linear", "gone": "parts:No"},
    )
    return shared_site


def parrot(shop, *arguments, **environment):
    return shop.python("-m", "parrot_adapters", *arguments, **environment)


def test_they_are_found_and_a_broken_one_breaks_nothing(shop):
    done = parrot(shop, "plugins", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    third = [c for c in told["components"] if c["name"] == "third-party"]
    assert [(c["kind"], c["distribution"], c["version"]) for c in third] == [
        ("router", "parrot-router-clash", "0.4"),
        ("router", "parrot-router-good", "1.2"),
    ]
    assert any(c["name"] == "text-guided" and c["source"] == "built in" for c in told["components"])
    (bad,) = [f for f in told["failures"] if f["distribution"] == "parrot-router-bad"]
    assert bad["error"] == "RuntimeError: built for another torch"
    assert (bad["plugin"], bad["version"], bad["source"]) == ("bad_router", "0.3", "entry point")


def test_components_that_entry_points_name_are_listed_and_a_missing_one_has_failed(shop):
    told = json.loads(parrot(shop, "plugins", "--json").stdout)
    mine = [c for c in told["components"] if c["distribution"] == "parrot-parts"]
    assert [(c["kind"], c["name"], c["version"]) for c in mine] == [("expert", "flat", "2.0")]
    (gone,) = [f for f in told["failures"] if f["distribution"] == "parrot-parts"]
    assert gone["plugin"] == "gone"
    assert "expert 'gone' of parrot-parts 2.0 cannot be imported" in gone["error"]
    assert "AttributeError" in gone["error"]


@pytest.mark.slow
def test_allow_and_block_lists(shop):
    blocked = parrot(shop, "plugins", PARROT_PLUGINS_BLOCK="Parrot_Router.Bad, clash_router, gone")
    assert blocked.returncode == 0
    assert "parrot-router-good" in blocked.stdout
    assert "left out  bad_router of parrot-router-bad 0.3: blocked by PARROT_PLUGINS_BLOCK" in blocked.stdout
    assert "left out  gone of parrot-parts 2.0: blocked by PARROT_PLUGINS_BLOCK" in blocked.stdout
    assert "FAILED" not in blocked.stdout
    allowed = json.loads(parrot(shop, "plugins", "--json", PARROT_PLUGINS_ALLOW="parrot-router-good").stdout)
    assert {c["distribution"] for c in allowed["components"]} == {None, "parrot-router-good"}
    assert {f["error"] for f in allowed["failures"]} == {"not in PARROT_PLUGINS_ALLOW"}


@pytest.mark.slow
def test_clash_of_two_distributions_names_both(shop):
    done = shop.python("-c", "import parrot_adapters as pa; pa.plugins.find('router', 'third-party')")
    assert "is registered by parrot-router-clash 0.4 and by parrot-router-good 1.2." in done.stderr
    assert "PARROT_PLUGINS_BLOCK" in done.stderr


@pytest.mark.slow
def test_table_shows_the_failure_with_its_error_once(shop):
    done = parrot(shop, "plugins")
    assert done.returncode == 0
    assert "FAILED  bad_router of parrot-router-bad 0.3: RuntimeError: built for another torch" in done.stdout
    assert "third-party" in done.stdout
    assert done.stderr == "", "the list says it; no warning beside it"


def test_installed_reads_metadata_without_importing(shop):
    probe = (
        "import sys; from parrot_adapters.cli import main; status = main(['plugins', '--installed', '--json']);"
        "heavy = {'torch', 'good_router', 'bad_router', 'parts'} & {*sys.modules}; assert not heavy, heavy;"
        "sys.exit(status)"
    )
    done = shop.python("-c", probe)
    assert done.returncode == 0, done.stderr
    targets = ("bad_router", "clash_router", "good_router", "parts:Linear", "parts:No")
    mine = [p for p in json.loads(done.stdout)["installed"] if p["target"] in targets]
    assert [(p["plugin"], p["offers"], p["distribution"], p["version"]) for p in mine] == [
        ("bad_router", "hooks", "parrot-router-bad", "0.3"),
        ("clash_router", "hooks", "parrot-router-clash", "0.4"),
        ("flat", "expert", "parrot-parts", "2.0"),
        ("gone", "expert", "parrot-parts", "2.0"),
        ("good_router", "hooks", "parrot-router-good", "1.2"),
    ]


@pytest.mark.slow
def test_a_plugin_file_of_the_command_line(shop, tmp_path):
    (tmp_path / "mine.py").write_text(GOOD.replace("third-party", "of-a-file"))
    told = json.loads(parrot(shop, "--plugin-file", str(tmp_path / "mine.py"), "plugins", "--json").stdout)
    assert [c["plugin"] for c in told["components"] if c["name"] == "of-a-file"] == ["mine.py"]
    assert parrot(shop, "--plugin-file").returncode == 2
