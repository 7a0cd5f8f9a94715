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
    targets = ("bad_router", "clash_router", "good_router", "parts:Linear", "parts:No")
    mine = [p for p in json.loads(done.stdout)["installed"] if p["target"] in targets]
    assert [(p["plugin"], p["offers"], p["distribution"], p["version"]) for p in mine] == [
        ("bad_router", "hooks", "parrot-router-bad", "0.3"),
        ("clash_router", "hooks", "parrot-router-clash", "0.4"),
        ("flat", "expert", "parrot-parts", "2.0"),
        ("gone", "expert", "parrot-parts", "2.0"),
        ("good_router", "hooks", "parrot-router-good", "1.2"),
    ]


def test_a_plugin_file_of_the_command_line(shop, tmp_path):
    (tmp_path / "mine.py").write_text(GOOD.replace("third-party", "of-a-file"))
    told = json.loads(parrot(shop, "--plugin-file", str(tmp_path / "mine.py"), "plugins", "--json").stdout)
    assert [c["plugin"] for c in told["components"] if c["name"] == "of-a-file"] == ["mine.py"]
    assert parrot(shop, "--plugin-file").returncode == 2
