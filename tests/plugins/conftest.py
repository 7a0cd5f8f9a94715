"""Distributions as pip would leave them: a module and its metadata, in a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path

import pytest

from parrot_adapters.plugins import PluginManager


@dataclass(frozen=True)
class Site:
    """A folder of installed distributions."""

    root: Path

    def install(self, distribution: str, version: str, module: str, source: str, **groups: dict[str, str]) -> None:
        """Add one. Groups are written ``hooks={"name": "module"}`` or ``routers={"name": "module:Class"}``."""
        self.root.joinpath(f"{module}.py").write_text(textwrap.dedent(source))
        info = self.root / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        with info.joinpath("entry_points.txt").open("w") as file:
            for group, points in (groups or {"hooks": {module: module}}).items():
                full = "parrot_adapters" if group == "hooks" else f"parrot_adapters.{group}"
                print(f"[{full}]", *(f"{name} = {target}" for name, target in points.items()), sep="\n", file=file)

    def entry_points(self) -> list[EntryPoint]:
        """Of everything in this folder and nothing else."""
        found = Distribution.discover(path=[str(self.root)])
        return [point for dist in sorted(found, key=lambda dist: dist.name) for point in dist.entry_points]

    def manager(self, **options: float) -> PluginManager:
        """A manager that sees this folder and nothing else."""
        return PluginManager(entry_points=self.entry_points, **options)

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A Python of its own, in which everything here is installed."""
        return subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(self.root), "COLUMNS": "200", **environment},
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield Site(tmp_path)
    for name in set(sys.modules) - before:  # modules of one test are not those of the next, whatever their names
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory):
    """A folder for a whole file of tests, used by other processes only."""
    return Site(tmp_path_factory.mktemp("site"))
