"""Write the results into README.md, each with its machine and commit.  python benchmarks/table.py

Rows whose code (`covers`) is no longer what it was at the commit that was measured are marked as old.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness import HERE, RESULTS, changed_since

START, END = "<!-- results: python benchmarks/table.py -->", "<!-- end of results -->"


def section(result: dict[str, Any]) -> list[str]:
    """The lines of one theme."""
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items() if number != "-")
    old = changed_since(result["commit"], tuple(result["settings"]["covers"]))
    mark = " **Old: the code has changed since.**" if old else ""
    lines = [
        f"### {result['theme'].removeprefix('bench-')}, {result['device']}",
        "",
        f"{result['device_name']}, {result['threads']} thread(s), {result['repeats']} rounds; {versions}; commit "
        f"`{result['commit'] or 'unknown'}`, {result['date']}.{mark}",
        "",
        "| what | against | ratio | spread | limit | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    settings = None
    for row in result["rows"]:
        if row["settings"] != settings:
            settings = row["settings"]
            lines.append(f"| *{settings}* | | | | | |")
        spread = "" if row["spread"] is None else f"{row['spread'][0]:.2f}..{row['spread'][1]:.2f}"
        limit = "" if row["limit"] is None else f"{'>=' if row['at_least'] else '<='} {row['limit']:g}"
        held = {True: "holds", False: "**missed**", None: ""}[row["holds"]]
        lines.append(f"| {row['what']} | {row['against']} | {row['ratio']:.3g} | {spread} | {limit} | {held} |")
    return [*lines, ""]


def page(text: str, results: list[dict[str, Any]]) -> str:
    """A page with everything between the two marks made anew."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return "\n".join([before + START, "", *(line for result in results for line in section(result)), END + after])


def main(folder: Path = RESULTS, readme: Path = HERE / "README.md") -> None:
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("bench-*.json"))]
    readme.write_text(page(readme.read_text(), results))


if __name__ == "__main__":
    main()
