"""Put a study's results where they are kept: `results/` beside the README, and the README's tables.

    parrot reproduce --out DIR --publish recipes/reproduce
    parrot reproduce --out DIR --publish recipes/reproduce --as again

The README's tables stand between two comments and are never written by hand. A study by version 2 of the rules has a
file and a place of its own, and the table of `docs/which-remedy.md` is made from it, too. A study with a name stands
beside what was published before, and changes none of it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from parrot_recipes.emoji.errors import RecipeError

from .decision import decision_table

__all__ = ["BEGIN", "BEGIN_REMEDIES", "END", "beginning", "publish"]

BEGIN_REMEDIES = "<!-- remedies: parrot reproduce --publish -->"
BEGIN, END = "<!-- results: parrot reproduce --publish -->", "<!-- end of results -->"


def beginning(name: str) -> str:
    """The comment in front of the tables of a study with a name."""
    return f"<!-- {name}: parrot reproduce --publish --as {name} -->"


def publish(out: Path, directory: Path, name: str | None = None) -> None:
    """Copy `results.json`, what the search found and the figures to ``directory/results``, and the tables into
    ``directory/README.md``.

    Args:
        out: of a study.
        directory: holds a README.md with both comments.
        name: of a study that joins those published before: its files end in it, and its tables have a place of their
            own; None replaces what was published before.

    Raises:
        RecipeError: the README has not both.
    """
    described = json.loads((out / "results.json").read_text(encoding="utf-8"))
    remedies = described.get("rules", 1) == 2
    begin, kind = (BEGIN_REMEDIES, "remedies") if remedies else (BEGIN, "results")
    table = (out / "table.md").read_text(encoding="utf-8")
    _between(directory / "README.md", begin if name is None else beginning(name), table)
    page = directory.parent.parent / "docs" / "which-remedy.md"
    if remedies and name is None and page.exists():
        _between(page, BEGIN_REMEDIES, decision_table(described["regimes"][described["main"]]))
    kept, end = directory / "results", "" if name is None else f"-{name}"
    kept.mkdir(exist_ok=True)
    shutil.copyfile(out / "results.json", kept / f"{kind}{end}.json")
    for pattern in ("search-*.json", "confirmed-*.json", "*.png"):
        for path in sorted(out.glob(pattern)):
            shutil.copyfile(path, kept / f"{path.stem}{end}{path.suffix}")


def _between(page: Path, begin: str, tables: str) -> None:
    """Put tables between the two comments of a page.

    Raises:
        RecipeError: it has not both.
    """
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise RecipeError(f"{page} has no place for tables.\n  to do  write {begin} and {END} where they belong")
    page.write_text(f"{before}{begin}\n\n{tables}\n{END}{after}", encoding="utf-8")
