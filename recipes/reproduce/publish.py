"""Put a study's results where they are kept: `results/` beside the README, and the README's tables.

    parrot reproduce --out DIR --publish recipes/reproduce

The README's tables stand between two comments and are never written by hand. A study by version 2 of the rules has a
file and a place of its own, and the table of `docs/which-remedy.md` is made from it, too.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from parrot_recipes.emoji.errors import RecipeError

from .decision import decision_table

__all__ = ["BEGIN", "BEGIN_REMEDIES", "END", "publish"]

BEGIN_REMEDIES = "<!-- remedies: parrot reproduce --publish -->"
BEGIN, END = "<!-- results: parrot reproduce --publish -->", "<!-- end of results -->"


def publish(out: Path, directory: Path) -> None:
    """Copy `results.json`, what the search found and the figures to ``directory/results``, and the tables into
    ``directory/README.md``.

    Args:
        out: of a study.
        directory: holds a README.md with both comments.

    Raises:
        RecipeError: it does not.
    """
    described = json.loads((out / "results.json").read_text(encoding="utf-8"))
    remedies = described.get("rules", 1) == 2
    begin, numbers = (BEGIN_REMEDIES, "remedies.json") if remedies else (BEGIN, "results.json")
    _between(directory / "README.md", begin, (out / "table.md").read_text(encoding="utf-8"))
    page = directory.parent.parent / "docs" / "which-remedy.md"
    if remedies and page.exists():
        _between(page, BEGIN_REMEDIES, decision_table(described["regimes"][described["main"]]))
    kept = directory / "results"
    kept.mkdir(exist_ok=True)
    looked_for = [*sorted(out.glob("search-*.json")), *sorted(out.glob("confirmed-*.json"))]
    shutil.copyfile(out / "results.json", kept / numbers)
    for path in (*looked_for, *sorted(out.glob("*.png"))):
        shutil.copyfile(path, kept / path.name)


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
