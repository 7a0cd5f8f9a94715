"""The page on training data names every format, problem and setting there is, and nothing else."""

from __future__ import annotations

import re
from dataclasses import fields

from support.folders import ROOT

from parrot_adapters.data import PROBLEMS
from parrot_adapters.data.settings import DataSettings, SourceSettings
from parrot_adapters.plugins import manager

PAGE = (ROOT / "recipes" / "train" / "DATA.md").read_text("utf-8")


def first_column(heading: str) -> list[str]:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([\w-]+)`", row)]


def test_formats() -> None:
    built_in = [c.name for c in manager.components("data-format") if c.plugin.source == "built in"]
    assert sorted(first_column("Formats")) == sorted(built_in)


def test_problems() -> None:
    assert sorted(first_column("Bad samples")) == sorted(PROBLEMS)


def test_settings() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    named = set(re.findall(r"(\w+):", re.sub(r"#.*", "", block))) - {"data", "en"}
    known = {f.name for cls in (DataSettings, SourceSettings) for f in fields(cls)}
    assert named <= known
    assert {f.name for f in fields(DataSettings)} - {"workers"} <= named
