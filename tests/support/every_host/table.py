"""The table of ``docs/hosts.md``, from results and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parrot_adapters.atomic_files import write_text

HEADING = "### What came of it\n"
ORDER = ("works", "fails", "refused", "bare model fails", "not built")


def write_table(page: Path, found: Mapping[str, Mapping[str, Any]], release: str) -> None:
    """Replace what stands under the page's last heading.

    Args:
        page: ``docs/hosts.md``.
        found: what came of each type.
        release: of transformers.
    """
    text = page.read_text("utf-8")
    start = text.index(HEADING)
    write_text(page, text[:start] + HEADING + "\n" + table(found, release))


def table(found: Mapping[str, Mapping[str, Any]], release: str) -> str:
    """Counts, and one line a type."""
    counts = Counter(result["verdict"] for result in found.values())
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ORDER if counts[verdict])
    lines = [
        f"{len(found)} types, transformers {release}: {said}.",
        "",
        "| type | | seam | checks | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, result in sorted(found.items(), key=lambda item: (ORDER.index(item[1]["verdict"]), item[0])):
        checks = result.get("checks", {})
        passed = sum(said == "ok" for said in checks.values())
        tally = f"{passed} of {len(checks)}" if checks else ""
        unable = [check for check, said in checks.items() if said.startswith("bare: ")]
        why = result["why"] or (f"— {', '.join(unable)}" if unable else "")
        lines.append(f"| {name} | {result['verdict']} | {result.get('seam', '')} | {tally} | {_cell(why)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """One line, short, and without what would end a cell."""
    short = " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
    return short if len(short) <= 200 else short[:197] + "..."
