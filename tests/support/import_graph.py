"""Who imports whom in the library, read off the source: every import statement, wherever it stands.

Imports for types only (under ``TYPE_CHECKING``) are left out. A name taken from a package is followed to the file that
defines it, by the package's ``__init__.py`` or its stub.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

LIBRARY = "parrot_adapters"


def import_statements(
    source: str, *, package: str | None = None, types_too: bool = False
) -> Iterator[tuple[str, str | None]]:
    """(module, name or None) of every import in some source, lazy ones too.

    Args:
        source: Python text.
        package: dotted name of the package that relative imports start from; without it they are an error.
        types_too: whether imports under ``if TYPE_CHECKING`` count.
    """
    todo: list[ast.AST] = [ast.parse(source)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((_absolute(node, package), alias.name) for alias in node.names)
        elif isinstance(node, ast.If) and not types_too and "TYPE_CHECKING" in ast.unparse(node.test):
            todo.extend(node.orelse)
        else:
            todo.extend(ast.iter_child_nodes(node))


def _absolute(node: ast.ImportFrom, package: str | None) -> str:
    if not node.level:
        return node.module or ""
    assert package is not None, "imports are absolute"
    above = package.split(".")
    return ".".join([*above[: len(above) + 1 - node.level], *([node.module] if node.module else [])])


@dataclass(frozen=True)
class ImportGraph:
    """Arrows between the files of the library.

    Attributes:
        sources: text of each module, by dotted name; a package is its ``__init__``.
        exports: for each package, the module that each of its public names comes from.
    """

    sources: dict[str, str]
    exports: dict[str, dict[str, str]]

    @classmethod
    def of(cls, root: Path, package: str | None = None) -> ImportGraph:
        """The graph of the package in a folder.

        Args:
            root: the folder.
            package: name under which it is installed; that of the folder by default.
        """
        sources, exports = {}, {}
        for path in sorted(root.rglob("*.py")):
            name = _dotted(Path(package or root.name) / path.relative_to(root))
            sources[name] = path.read_text("utf-8")
            if path.name == "__init__.py":
                stub = path.with_suffix(".pyi")
                text = stub.read_text("utf-8") if stub.exists() else sources[name]
                exports[name] = dict(_exported(text, name))
        return cls(sources, exports)

    @cached_property
    def arrows(self) -> dict[str, set[str]]:
        """For each module, the modules it imports, at import time or later."""
        return {
            module: {
                target
                for imported, name in import_statements(source, package=self.package_of(module))
                if (target := self.home(imported, name)) is not None and target != module
            }
            for module, source in self.sources.items()
        }

    def package_of(self, module: str) -> str:
        """The package a module is in; a package is its own."""
        return module if module in self.exports else module.rpartition(".")[0]

    def home(self, imported: str, name: str | None) -> str | None:
        """The module of the library that an import reaches; None for other libraries."""
        if name is not None and f"{imported}.{name}" in self.sources:
            return f"{imported}.{name}"
        if name is not None and name in self.exports.get(imported, {}):
            return self.home(self.exports[imported][name], name)
        return imported if imported in self.sources else None

    def upward(self, order: Sequence[str]) -> list[str]:
        """Arrows from a room to one that stands above it, in words.

        Args:
            order: rooms (children of the library), the ground floor first.
        """
        floor = {room: number for number, room in enumerate(order)}
        return [
            f"{module} imports {target}"
            for module, targets in self.arrows.items()
            for target in sorted(targets)
            if floor[room_of(target)] > floor[room_of(module)]
        ]

    def upward_inside(self, room: str, order: list[str]) -> list[str]:
        """Arrows from a subpackage of a room to one that stands above it, in words.

        Args:
            room: child of the library that has subpackages.
            order: its subpackages, the lowest first; files beside them are the room's face and may see them all.
        """
        floor = {f"{LIBRARY}.{room}.{name}": number for number, name in enumerate(order)}

        def of(module: str) -> int | None:
            return floor.get(".".join(module.split(".")[:3]))

        return [
            f"{module} imports {target}"
            for module, targets in self.arrows.items()
            if (own := of(module)) is not None
            for target in sorted(targets)
            if (other := of(target)) is not None and other > own
        ]

    def circles(self) -> list[list[str]]:
        """Groups of modules that import each other, directly or by way of others (Tarjan's algorithm)."""
        import networkx

        graph = networkx.DiGraph([(a, b) for a, targets in self.arrows.items() for b in targets])
        return sorted(sorted(group) for group in networkx.strongly_connected_components(graph) if len(group) > 1)


def room_of(module: str) -> str:
    """The library's child that a module is or is in; the library's own ``__init__`` is the roof."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "roof"


def _dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _exported(text: str, package: str) -> Iterator[tuple[str, str]]:
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            module = f"{package}.{node.module}" if node.level else node.module
            yield from ((alias.asname or alias.name, module) for alias in node.names)
