"""YAML as people mean it: the core schema of YAML 1.2, read by PyYAML.

PyYAML follows YAML 1.1, where ``1e-3`` is a string, ``no`` is False (and so is Norwegian's language tag), ``010`` is
eight and the last of two equal keys silently wins. Here a number is a number, only ``true`` and ``false`` are truth
values, a date is a string, and a repeated key is an error. Anchors and merge keys (``<<``) work.
https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from parrot_adapters.errors import ConfigError, explain
from parrot_adapters.limits import limit

__all__ = ["parse_yaml", "read_yaml"]

PLAIN = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "merge": r"<<",
}


class CoreLoader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's idea of plain scalars."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 (PyYAML's own shape, and our own copy of it)

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As PyYAML does it, down to a limit."""
        self.depth += 1
        if self.depth > limit("yaml_depth"):
            what = f"more than {limit('yaml_depth')} levels (PARROT_LIMIT_YAML_DEPTH sets the limit)"
            raise yaml.MarkedYAMLError(problem=what, problem_mark=self.peek_event().start_mark)
        found = super().compose_node(parent, index)
        self.depth -= 1
        return found

    def construct_document(self, node: yaml.Node) -> Any:
        """As PyYAML does it, once it is known how much the references in it spell out."""
        if _values(node, {}) > limit("yaml_values"):
            what = f"more than {limit('yaml_values'):,} values (PARROT_LIMIT_YAML_VALUES sets the limit)"
            raise yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark)
        return super().construct_document(node)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """As PyYAML does it; two equal keys are an error."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} is repeated", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return node


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """Number of values below a node, those behind references counted wherever they are referred to.

    A node that is within itself is counted once there: what that means is for the checks after loading to say.
    """
    if id(node) not in known:
        known[id(node)] = 1
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        below = (part for one in inner for part in (one if isinstance(one, tuple) else (one,)))
        known[id(node)] = 1 + sum(_values(part, known) for part in below)
    return known[id(node)]


def _whole_number(loader: CoreLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    if len(text) > limit("json_digits"):
        raise ValueError(f"a number of more than {limit('json_digits')} digits")
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text, base)


for _tag, _pattern in PLAIN.items():
    CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), None)
CoreLoader.add_constructor("tag:yaml.org,2002:int", _whole_number)


def parse_yaml(text: str, named: str) -> Any:
    """Plain data from YAML text.

    Args:
        text: one document.
        named: what the text is called in messages.

    Raises:
        ConfigError: it is no YAML, or repeats a key; the message has the line.
    """
    try:
        return yaml.load(text, CoreLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(
            explain(
                f"{named} is not YAML.",
                line=None if mark is None else f"{mark.line + 1}, column {mark.column + 1}",
                because=getattr(error, "problem", None) or str(error).splitlines()[0],
            )
        ) from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # A value that is not of the kind its own tag says, "!!int abc": PyYAML lets Python's errors through.
        raise ConfigError(explain(f"{named} holds a value that is none.", because=error)) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        ConfigError: there is no such file, it cannot be read, is empty, or holds something else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit("yaml_bytes") + 1)
        if len(content) > limit("yaml_bytes"):
            what = f"is larger than {limit('yaml_bytes'):,} bytes (PARROT_LIMIT_YAML_BYTES sets the limit)"
            raise ConfigError(f"the configuration {path} {what}")
        text = content.decode("utf-8")
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise ConfigError(explain(f"there is no configuration file {path}.", exists=", ".join(near) or None)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(explain(f"the configuration {path} cannot be read.", because=error)) from error
    found = parse_yaml(text, str(path))
    if not isinstance(found, dict):
        what = "is empty" if found is None else f"holds a {type(found).__name__}, not settings"
        raise ConfigError(
            explain(f"the configuration {path} {what}.", to_do="write settings as 'key: value', one a line")
        )
    return found
