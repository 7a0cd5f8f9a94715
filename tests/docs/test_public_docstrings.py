"""Docstrings of public names: what a machine can hold of them. That they read well is for people to see."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

MODULES = (
    "parrot_adapters",
    "parrot_adapters.core",
    "parrot_adapters.hosts",
    "parrot_adapters.data",
    "parrot_adapters.evaluation",
    "parrot_adapters.analysis",
    "parrot_adapters.training",
    "parrot_adapters.testing",
    "parrot_adapters.plugins",
    "parrot_adapters.pages",
    "parrot_adapters.examples",
    "parrot_adapters.errors",
    "parrot_adapters.console",
    "parrot_adapters.statistics",
    "parrot_adapters.language_tags",
    "parrot_adapters.digests",
    "parrot_adapters.atomic_files",
    "parrot_adapters.operating_system",
)
BANNED = re.compile(r"\b(hear|hears|heard|steer|steers|steered|steering|promise|promises|promised)\b", re.IGNORECASE)
"""Words for which docs/glossary.md has others: a router reads, routing text, conformance check."""
NOT_CALLED_BY_USERS = {"Attachment"}
"""Classes whose objects other functions make: their docstrings name attributes, not arguments."""
NO_NOUN = re.compile(r"[a-z]|(Of|By|Its|Their)\b")
"""How an entry begins that leans on the argument's name instead of saying what the argument is."""


def public(module: str) -> Iterator[tuple[str, Any]]:
    """Functions and classes of the library that a module offers."""
    loaded = import_module(module)
    for name in loaded.__all__:
        value = getattr(loaded, name)
        if inspect.isfunction(value) or inspect.isclass(value):
            yield name, value


def arguments(value: Any) -> list[str]:
    """Names of the arguments that a caller gives by name; exceptions and protocols are not called."""
    if inspect.isclass(value) and (issubclass(value, Exception) or getattr(value, "_is_protocol", False)):
        return []
    by_name = (
        p for p in inspect.signature(value).parameters.values() if (p.name, p.kind) != ("args", p.VAR_POSITIONAL)
    )
    return [p.name for p in by_name if (p.name, p.kind) != ("kwargs", p.VAR_KEYWORD)]


def entries(doc: str) -> dict[str, str]:
    """What the sections Args and Attributes say, by name."""
    found = {}
    for section in re.findall(r"^(?:Args|Attributes):\n((?:    .*\n|\n(?=    ))*)", doc + "\n", re.MULTILINE):
        found |= dict(re.findall(r"^    \*{0,2}(\w+): (.*)$", section, re.MULTILINE))
    return found


def described_fields(value: type) -> set[str]:
    """Fields of a class that have a string below them."""
    body = ast.parse(textwrap.dedent(inspect.getsource(value))).body[0].body  # type: ignore[attr-defined]
    return {
        field.target.id
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


def own_docstring(value: Any) -> str:
    """The docstring, unless it is a base class's or one that Python made up."""
    if inspect.isclass(value):
        doc = vars(value).get("__doc__") or ""
        return "" if doc.startswith(f"{value.__name__}(") else inspect.cleandoc(doc)
    return inspect.getdoc(value) or ""


def members(value: type) -> Iterator[tuple[str, Any]]:
    """What a class has of the library: its own, and what the library's other classes give it."""
    for each in value.__mro__:
        if each is value or each.__module__.split(".")[0] == "parrot_adapters":
            yield from vars(each).items()


def faults(name: str, value: Any) -> list[str]:
    doc = own_docstring(value)
    if not doc:
        return [f"{name} has no docstring"]
    found = [f"{name} says {word!r}" for word in BANNED.findall(doc)]
    said = entries(doc)
    found += [f"{name}: {key}: {text}" for key, text in said.items() if NO_NOUN.match(text)]
    if name not in NOT_CALLED_BY_USERS:
        known = said.keys() | (described_fields(value) if inspect.isclass(value) else set())
        found += [f"{name} does not say what {key} is" for key in arguments(value) if key not in known]
    if inspect.isclass(value):
        for key, member in members(value):
            if not key.startswith("_") and inspect.isfunction(member):
                spoken = inspect.getdoc(getattr(value, key)) or ""
                found += [] if spoken else [f"{name}.{key} has no docstring"]
                found += [f"{name}.{key} says {word!r}" for word in BANNED.findall(spoken)]
    return found


@pytest.mark.parametrize("module", MODULES)
def test_public_docstrings_stand_alone(module):
    names = list(public(module))
    assert names
    assert [fault for name, value in names for fault in faults(name, value)] == []


def test_every_package_with_public_names_is_looked_at():
    from test_architecture import PUBLIC

    others = {"parrot_adapters.cli.commands"}  # for plugins that add commands; they are shown by ``parrot help``
    assert set(PUBLIC) - others <= set(MODULES)


def silent(count): ...


def telegraphic(benchmark, path):
    """Read it.

    Args:
        benchmark: whose files.
        path: Path of the file.

    Raises:
        OSError: it cannot be read.
    """


def forgetful(path, language=None):  # noqa: D417
    """Read a file.

    Args:
        path: Path of the file.
    """


def chatty():
    """A router that hears the prompt, as promised: the text steers it."""


@dataclass
class Fields:
    """Some fields."""

    one: int
    """Number of ones."""
    two: int


class Named(NamedTuple):
    one: int


class Reader:
    """A reader."""

    def read(self): ...


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (silent, ["silent has no docstring"]),
        (telegraphic, ["telegraphic: benchmark: whose files."]),
        (forgetful, ["forgetful does not say what language is"]),
        (chatty, ["chatty says 'hears'", "chatty says 'promised'", "chatty says 'steers'"]),
        (Fields, ["Fields does not say what two is"]),
        (Named, ["Named has no docstring"]),
        (Reader, ["Reader.read has no docstring"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_rule_bites(value: Callable[..., Any], expected: list[str]):
    assert faults(value.__name__, value) == expected
