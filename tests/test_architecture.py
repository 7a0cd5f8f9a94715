"""Who may import whom, read off the source, so that a lazy import inside a function counts too."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from support.import_graph import ImportGraph, room_of
from torch import nn

ROOT = Path(__file__).parent.parent
PUBLIC = (
    "parrot_adapters",
    "parrot_adapters.core",
    "parrot_adapters.hosts",
    "parrot_adapters.data",
    "parrot_adapters.training",
    "parrot_adapters.testing",
    "parrot_adapters.evaluation",
    "parrot_adapters.analysis",
    "parrot_adapters.pages",
    "parrot_adapters.statistics",
    "parrot_adapters.plugins",
    "parrot_adapters.errors",
    "parrot_adapters.examples",
    "parrot_adapters.cli.commands",
    "parrot_adapters.console",
    "parrot_adapters.statistics",
    "parrot_adapters.language_tags",
    "parrot_adapters.digests",
    "parrot_adapters.atomic_files",
    "parrot_adapters.operating_system",
)
NAMED_TUPLE = {"_asdict", "_field_defaults", "_fields", "_make", "_replace"}  # public, despite their names
# The order of the library's rooms, the ground floor first. A file imports what stands below it or beside it in its own
# room, at import time or later; never what stands above. CONTRIBUTING.md has the same order, with what each room is.
ORDER = (
    "errors",
    "limits",
    "bounded_json",
    "operating_system",
    "atomic_files",
    "digests",
    "statistics",
    "language_tags",
    "import_after",
    "console",
    "pages",
    "core",
    "plugins",
    "examples",
    "testing",
    "hosts",
    "adapter",
    "original",
    "data",
    "evaluation",
    "analysis",
    "training",
    "cli",
    "__main__",
    "roof",
)
TEST_LIBRARIES = {"hypothesis", "pytest"}
INSIDE_EVALUATION = ["benchmark", "matching", "answers", "scores", "reports"]
"""Subpackages of evaluation, the lowest first: a row is read, its reply is matched, asked for, scored, shown."""


def imports(source: str) -> Iterator[tuple[str, str | None]]:
    """(module, name or None) of every import statement, wherever it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((node.module or "", alias.name) for alias in node.names)


def core_violations(source: str) -> list[str]:
    """Imports of core beyond torch, einops, the standard library, core itself and errors."""
    own = ("parrot_adapters.core", "parrot_adapters.errors")
    return [
        module
        for module, _ in imports(source)
        if module.split(".")[0] not in {"torch", "einops", *sys.stdlib_module_names}
        and not any(module == o or module.startswith(o + ".") for o in own)
    ]


def library_violations(source: str, libraries: set[str]) -> list[str]:
    return [module for module, _ in imports(source) if module.split(".")[0] in libraries]


def recipe_violations(source: str) -> list[str]:
    return [module for module, _ in imports(source) if module.split(".")[0] in {"recipes", "parrot_recipes"}]


def public_violations(source: str) -> list[str]:
    """Uses of parrot_adapters that are not exported names of its public modules."""
    found, aliases = [], {}
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "parrot_adapters":
                    if alias.name not in PUBLIC:
                        found.append(alias.name)
                    aliases[alias.asname or alias.name.split(".")[0]] = (
                        alias.name if alias.asname else "parrot_adapters"
                    )
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "parrot_adapters":
            for alias in node.names:
                if node.module not in PUBLIC or not _exports(node.module, alias.name):
                    found.append(f"{node.module}.{alias.name}")
                elif f"{node.module}.{alias.name}" in PUBLIC:
                    aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            module = aliases[node.value.id]
            if not _exports(module, node.attr):
                found.append(f"{module}.{node.attr}")
    return found


def _exports(module: str, name: str) -> bool:
    return name in import_module(module).__all__ or f"{module}.{name}" in PUBLIC


def own_underscore_names(source: str) -> set[str]:
    """Underscore names that a file defines: functions, classes, variables, and attributes that it sets on ``self``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
    return {name for name in found if is_private(name)}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in NAMED_TUPLE


def reaches(source: str, defined: set[str]) -> list[str]:
    """Underscore names of the library that a file reads although it does not define them.

    Args:
        source: Python text.
        defined: underscore names that other files of the library define; those of other libraries are none of this.
    """
    foreign = defined - own_underscore_names(source)
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names if alias.name in foreign]
        elif isinstance(node, ast.Attribute) and node.attr in foreign and not _is_oneself(node.value):
            found.append(ast.unparse(node))
    return found


def _is_oneself(node: ast.expr) -> bool:
    called = node.func if isinstance(node, ast.Call) else node
    return isinstance(called, ast.Name) and called.id in ("self", "cls", "super")


# Module names of an earlier release that code outside imports: each only passes names on.
KEPT_NAMES = {
    f"parrot_adapters/{name}.py"
    for name in (
        "evaluation/comparison",
        "evaluation/pictures",
        "evaluation/statistics",
        "training/config",
    )
}


def doubles(paths: list[Path]) -> list[str]:
    """Names that more than one file has, ``__init__.py`` aside; the command line's files are counted by themselves."""
    looked_at = [path for path in paths if path.name != "__init__.py" and path.as_posix() not in KEPT_NAMES]
    counts = Counter((path.parts[1] == "cli", path.name) for path in looked_at)
    return sorted({name for (_, name), count in counts.items() if count > 1})


def python_files(*folders: str) -> list[Path]:
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py") if "build" not in p.parts)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


LIBRARY = python_files("parrot_adapters")


def test_every_file_is_looked_at():
    assert len(LIBRARY) > 50
    assert len(python_files("plugins")) >= 4
    assert len(python_files("recipes")) >= 10


def broken(paths: list[Path], rule: Callable[[str], list[str]]) -> dict[str, list[str]]:
    """What breaks a rule, by file."""
    found = {relative(path): rule(path.read_text("utf-8")) for path in paths}
    return {path: faults for path, faults in found.items() if faults}


def test_core_knows_torch_and_einops_only():
    assert broken(python_files("parrot_adapters/core"), core_violations) == {}


@pytest.fixture(scope="module")
def graph() -> ImportGraph:
    return ImportGraph.of(ROOT / "parrot_adapters")


def planted(graph: ImportGraph, module: str, line: str) -> ImportGraph:
    """The library with one more import in one of its files."""
    return ImportGraph({**graph.sources, module: f"{graph.sources[module]}\n{line}\n"}, graph.exports)


def test_no_room_imports_one_above_it(graph):
    assert {room_of(module) for module in graph.sources} == set(ORDER)
    assert graph.upward(ORDER) == []
    lazy = "def later():\n    from parrot_adapters.training import train"
    bitten = planted(graph, "parrot_adapters.hosts.host_spec", lazy)
    assert bitten.upward(ORDER) == ["parrot_adapters.hosts.host_spec imports parrot_adapters.training.run"]


def test_no_circle_of_files(graph):
    assert graph.circles() == []
    lazy = "def later():\n    from parrot_adapters.core.layer import AlignmentLayer"
    bitten = planted(graph, "parrot_adapters.core.ragged", lazy)
    assert any({"parrot_adapters.core.layer", "parrot_adapters.core.ragged"} <= set(c) for c in bitten.circles())


def test_no_circle_of_recipes():
    recipes = ImportGraph.of(ROOT / "recipes", "parrot_recipes")
    assert recipes.circles() == []
    lazy = "def later():\n    from .quickstart import command"
    bitten = planted(recipes, "parrot_recipes.emoji.console", lazy)
    assert ["parrot_recipes.emoji.console", "parrot_recipes.emoji.quickstart"] in bitten.circles()


def test_types_may_look_up(graph):
    typed = "if TYPE_CHECKING:\n    from parrot_adapters.training import train"
    assert planted(graph, "parrot_adapters.hosts.host_spec", typed).upward(ORDER) == []


def unmirrored(folders: set[str], rooms: set[str]) -> set[str]:
    """Folders of tests that are no room's, and rooms that have no folder of tests."""
    shared = {"support", "miniatures", "fixtures", "gpu", "docs", "recipes"}
    return (folders - shared) ^ rooms


def test_tests_mirror_the_rooms():
    folders, rooms = (
        {path.parent.name for path in (ROOT / root).glob(f"*/{pattern}")}
        for root, pattern in (("tests", "*.py"), ("parrot_adapters", "__init__.py"))
    )
    assert unmirrored(folders, rooms) == set()
    assert unmirrored(folders | {"attic"}, rooms | {"cellar"}) == {"attic", "cellar"}


def test_contributing_tells_the_order():
    table = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    told = re.findall(r"^\| `parrot_adapters/(\w+)(?:/|\.py)`", table, re.M)
    assert told == [room for room in reversed(ORDER) if room not in ("roof", "__main__")]


def test_no_two_files_have_one_name():
    assert doubles([path.relative_to(ROOT) for path in LIBRARY]) == []
    cli, below = Path("parrot_adapters/cli/explain.py"), Path("parrot_adapters/analysis/explain.py")
    assert doubles([cli, below]) == [], "files of the command line are named after their commands"
    assert doubles([cli, below, Path("parrot_adapters/explain.py")]) == ["explain.py"]
    assert doubles([cli, cli.with_name("groups") / cli.name]) == ["explain.py"]


def test_kept_names_only_pass_names_on():
    for name in KEPT_NAMES:
        tree = ast.parse((ROOT / name).read_text("utf-8"))
        assert {type(node) for node in tree.body} <= {ast.Expr, ast.ImportFrom, ast.Assign}, name
    users = broken(LIBRARY, lambda source: [m for m, _ in imports(source) if _path_of(m) in KEPT_NAMES])
    assert users == {}, "the library itself uses the names of today"


def _path_of(module: str) -> str:
    return f"{module.replace('.', '/')}.py"


def named_files(source: str) -> list[str]:
    """Files of the repository that strings name, docstrings aside: whoever installed the library has none of them."""
    tree = ast.parse(source)
    bodies = (node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef))
    docs = {id(below.value) for body in bodies for below in body if isinstance(below, ast.Expr)}
    texts = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in docs)
    found = r"\b(?:recipes|plugins|docs|benchmarks)/[\w/.-]+|\b[\w-]+\.md\b"
    return [name for text in texts if isinstance(text, str) for name in re.findall(found, text) if name != "README.md"]


def test_messages_name_no_file_of_the_repository():
    assert broken(LIBRARY, named_files) == {}
    assert named_files("raise E(f'see {x} in recipes/WHAT_IF.md')") == ["recipes/WHAT_IF.md"]
    assert named_files("to_do = 'read WRITING_A_PLUGIN.md'") == ["WRITING_A_PLUGIN.md"]
    assert named_files("def f():\n    'As docs/glossary.md says.'") == []


def test_only_the_kit_knows_test_libraries():
    others = [path for path in LIBRARY if "testing" not in path.parts]
    assert broken(others, lambda source: library_violations(source, TEST_LIBRARIES)) == {}


def test_nothing_imports_recipes():
    assert broken(LIBRARY, recipe_violations) == {}


def test_plugins_use_public_names_and_no_recipes():
    plugins = [path for path in python_files("plugins") if "tests" not in path.parts]
    assert broken(plugins, lambda source: public_violations(source) + recipe_violations(source)) == {}


def test_recipes_use_public_names():
    assert broken(python_files("recipes"), public_violations) == {}


def test_no_file_reaches_into_another():
    files = [p for p in python_files("parrot_adapters", "plugins", "recipes") if "tests" not in p.parts]
    sources = {relative(path): path.read_text("utf-8") for path in files}
    defined = {name for source in sources.values() for name in own_underscore_names(source)}
    defined -= set(dir(nn.Module()))  # torch's own, though a subclass may set one
    found = {path: reached for path, source in sources.items() if (reached := reaches(source, defined))}
    assert found == {}


def test_evaluation_goes_one_way(graph):
    folder = ROOT / "parrot_adapters" / "evaluation"
    assert {path.parent.name for path in folder.glob("*/__init__.py")} == set(INSIDE_EVALUATION)
    assert graph.upward_inside("evaluation", INSIDE_EVALUATION) == []
    inside = "parrot_adapters.evaluation"
    lazy = f"def late():\n    from {inside}.reports.choice_page import write_report"
    bitten = planted(graph, f"{inside}.matching.robust", lazy)
    assert bitten.upward_inside("evaluation", INSIDE_EVALUATION) == [
        f"{inside}.matching.robust imports {inside}.reports.choice_page"
    ]


def unshipped(folder: str, package: str, settings: dict) -> list[str]:
    """Files below a folder that an installed package would lack: no package is named for them, or no pattern."""
    root = ROOT / folder
    data = {path for pattern in settings["package-data"][package] for path in root.glob(pattern)}
    missing = []
    for path in sorted(p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        inside = path.relative_to(root)
        named = ".".join((package, *inside.parts[:-1])) in settings["packages"]
        if not (named if path.suffix == ".py" else path in data):
            missing.append(inside.as_posix())
    return missing


def test_what_the_library_needs_is_installed_with_it():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    assert unshipped("parrot_adapters", "parrot_adapters", settings) == []
    without = {"packages": [], "package-data": {"parrot_adapters": ["*.typed"]}}
    bitten = unshipped("parrot_adapters", "parrot_adapters", without)
    assert "pages/look.css" in bitten
    assert "core/layer.py" in bitten
    assert "py.typed" not in bitten


def test_the_library_says_its_version():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert import_module("parrot_adapters").__version__ == settings["project"]["version"]


def test_each_rule_bites():
    handle = "class Handle:\n    def __init__(self):\n        self._lora = None\n    def _close(self): ..."
    assert own_underscore_names(handle) == {"_lora", "_close"}
    reader = "from handle import _close\ndef save(handle):\n    return handle._lora, handle.model._modules"
    assert reaches(reader, {"_lora", "_close"}) == ["handle._close", "handle._lora"]
    assert (
        reaches("class A(B):\n    def f(self):\n        return self._lora, super()._close()", {"_lora", "_close"}) == []
    )
    assert reaches(handle + "\ndef also(handle):\n    return handle._lora", {"_lora"}) == []
    assert core_violations("def f():\n    from transformers import AutoModel") == ["transformers"]
    assert core_violations("import pluggy") == ["pluggy"]
    assert core_violations("from parrot_adapters.plugins import find") == ["parrot_adapters.plugins"]
    assert core_violations("import math, torch.nn\nfrom parrot_adapters.errors import ConfigError") == []
    assert library_violations("import hypothesis", TEST_LIBRARIES) == ["hypothesis"]
    assert recipe_violations("from parrot_recipes.emoji import host") == ["parrot_recipes.emoji"]
    assert public_violations("from parrot_adapters.hosts.native_seam import NativeSeam") == [
        "parrot_adapters.hosts.native_seam.NativeSeam"
    ]
    assert public_violations("from parrot_adapters.core import projection_that_is_private") == [
        "parrot_adapters.core.projection_that_is_private"
    ]
    assert public_violations("import parrot_adapters as pa\npa.original") == ["parrot_adapters.original"]
    assert public_violations("from parrot_adapters import plugins\nplugins._barred") == [
        "parrot_adapters.plugins._barred"
    ]
    assert public_violations("import parrot_adapters as pa\npa.attach\npa.plugins.find") == []
