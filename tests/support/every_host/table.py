"""The table of ``docs/hosts.md``, from results and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.version import Version

from parrot_adapters.atomic_files import write_text

HEADING = "### What came of it\n"
ABSENT: Mapping[str, Any] = {"verdict": "", "why": ""}  # no type of that release
ORDER = ("works", "fails", "refused", "bare model fails", "not built", "")


Found = Mapping[str, Mapping[str, Any]]  # what came of each type


def write_table(page: Path, found: Mapping[str, Found]) -> None:
    """Replace what stands under the page's last heading.

    Args:
        page: ``docs/hosts.md``.
        found: release of transformers -> what came of each of its types.
    """
    text = page.read_text("utf-8")
    start = text.index(HEADING)
    write_text(page, text[:start] + HEADING + "\n" + table(found))


def table(found: Mapping[str, Found]) -> str:
    """Counts of each release, the newest first, and one line a type."""
    newest, *older = sorted(found, key=Version, reverse=True)
    lines = [f"{_counted(release, found[release])}\n" for release in (newest, *older)]
    head = [f"transformers {newest}", "seam", "checks", *older, ""]
    lines += [f"| type | {' | '.join(head)} |", "| --- |" + " --- |" * len(head)]
    types = {name: found[newest].get(name, ABSENT) for release in found for name in found[release]}
    for name, result in sorted(types.items(), key=lambda item: (ORDER.index(item[1]["verdict"]), item[0])):
        checks = result.get("checks", {})
        passed = sum(said == "ok" for said in checks.values())
        tally = f"{passed} of {len(checks)}" if checks else ""
        before = [found[release].get(name, ABSENT) for release in older]
        remarks = [_remark(result), *(_otherwise(release, found[release].get(name), result) for release in older)]
        cells = [name, result["verdict"], result.get("seam", ""), tally, *(each["verdict"] for each in before)]
        lines.append(f"| {' | '.join(cells)} | {' '.join(filter(None, remarks))} |")
    return "\n".join(lines) + "\n"


def _counted(release: str, found: Found) -> str:
    counts = Counter(result["verdict"] for result in found.values())
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ORDER if counts[verdict])
    return f"{len(found)} types, transformers {release}: {said}."


def _remark(result: Mapping[str, Any]) -> str:
    """Why, or what the bare model cannot do either."""
    unable = [check for check, said in result.get("checks", {}).items() if said.startswith("bare: ")]
    return _cell(result["why"] or (f"— {', '.join(unable)}" if unable else ""))


def _otherwise(release: str, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> str:
    """What an older release says that the newest does not."""
    said = "" if old is None else _remark(old)
    return f"{release}: {said}" if said and said != _remark(new) else ""


def _cell(text: str) -> str:
    """One line, short, and without what would end a cell."""
    short = " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
    return short if len(short) <= 240 else short[:237] + "..."
