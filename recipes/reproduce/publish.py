"""Put a study's results where they are kept: `results/` beside the README, and the README's tables.

    parrot reproduce --out DIR --publish recipes/reproduce

The README's tables stand between two comments and are never written by hand. A study by version 2 of the rules has a
file and a place of its own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from parrot_recipes.emoji.errors import RecipeError

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
    readme = directory / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    remedies = json.loads((out / "results.json").read_text(encoding="utf-8")).get("rules", 1) == 2
    begin, numbers = (BEGIN_REMEDIES, "remedies.json") if remedies else (BEGIN, "results.json")
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise RecipeError(f"{readme} has no place for tables.\n  to do  write {begin} and {END} where they belong")
    kept = directory / "results"
    kept.mkdir(exist_ok=True)
    looked_for = [*sorted(out.glob("search-*.json")), *sorted(out.glob("confirmed-*.json"))]
    shutil.copyfile(out / "results.json", kept / numbers)
    for path in (*looked_for, *sorted(out.glob("*.png"))):
        shutil.copyfile(path, kept / path.name)
    tables = (out / "table.md").read_text(encoding="utf-8")
    readme.write_text(f"{before}{begin}\n\n{tables}\n{END}{after}", encoding="utf-8")
