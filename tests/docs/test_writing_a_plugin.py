"""The authors' guide: its code runs, and it documents every hook as it is, with a plugin that uses it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from support.folders import ROOT

import parrot_adapters as pa
from parrot_adapters.plugins import KINDS, group_of, hookspecs
from parrot_adapters.plugins.built_in import BUILT_IN

GUIDE = ROOT / "plugins" / "WRITING_A_PLUGIN.md"
TEXT = GUIDE.read_text("utf-8")
HOOKS = {name: f for name, f in vars(hookspecs).items() if hasattr(f, f"{hookspecs.PROJECT}_spec")}


def sections():
    """Text of each section by the hook in its heading."""
    parts = re.split(r"^### `(\w+\(.*?\))`$", TEXT, flags=re.MULTILINE)
    return {heading.split("(")[0]: (heading, body) for heading, body in zip(parts[1::2], parts[2::2], strict=True)}


def test_there_are_hooks():
    assert len(HOOKS) >= 6


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented(name):
    assert name in sections(), f"{GUIDE.name} has no section on the hook {name}"
    heading, body = sections()[name]
    signature = ", ".join(inspect.signature(HOOKS[name]).parameters)
    assert heading == f"{name}({signature})", "its documented signature has drifted"
    assert re.search(r"\bRuns in\b", body), "it does not say when it runs"


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_names_a_real_plugin_that_uses_it(name):
    _, body = sections()[name]
    used_by = re.search(r"Used\s+by(.*?)(?:\n\n|```|\Z)", body, flags=re.DOTALL)
    assert used_by is not None, "it names no plugin that uses it"
    paths = [GUIDE.parent / path for path in re.findall(r"\]\((\S+?\.py)\)", used_by.group(1))]
    assert any(_offers(path, name) for path in paths), f"none of {paths} implements {name}"


def _offers(path: Path, hook: str) -> bool:
    """Whether a file implements a hook, or is the table in which the library lists its own of that kind."""
    [kind] = [kind for kind, its_hook in KINDS.items() if its_hook == hook]
    return f"def {hook}(" in path.read_text("utf-8") or (path.name == "built_in.py" and bool(BUILT_IN.get(kind)))


def test_the_table_of_groups_is_the_librarys():
    table = TEXT.split("| group | component |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\S+)` \|", table, flags=re.MULTILINE) == [group_of(kind) for kind in KINDS]


def test_no_section_on_a_hook_that_is_gone():
    assert set(sections()) == set(HOOKS)


def test_links_lead_somewhere():
    for path in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert "://" in path or (GUIDE.parent / path).exists(), path


@pytest.mark.conformance
def test_all_python_runs(request):
    for name in ("my-plugin", "my-tower"):
        request.addfinalizer(lambda name=name: pa.plugins.manager.unregister(name))
    blocks = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    namespace = {"__name__": "writing_a_plugin"}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"{GUIDE.name}, block {number}", "exec"), namespace)
