"""Put a study's results where they are kept: `results/` beside the README, and the README's tables.

    parrot reproduce --out DIR --publish recipes/reproduce

The README's tables stand between two comments and are never written by hand.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from parrot_recipes.emoji.errors import RecipeError

__all__ = ["BEGIN", "END", "publish"]

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
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise RecipeError(f"{readme} has no place for tables.\n  to do  write {BEGIN} and {END} where they belong")
    kept = directory / "results"
    kept.mkdir(exist_ok=True)
    looked_for = [*sorted(out.glob("search-*.json")), *sorted(out.glob("confirmed-*.json"))]
    for path in (out / "results.json", *looked_for, *sorted(out.glob("*.png"))):
        shutil.copyfile(path, kept / path.name)
    tables = (out / "table.md").read_text(encoding="utf-8")
    readme.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}", encoding="utf-8")
