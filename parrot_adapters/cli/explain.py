"""``parrot explain``: how an adapter routes some prompts about a picture, and what would have been otherwise."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from parrot_adapters.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from parrot_adapters.analysis.explain import Explanation, PromptSeen

__all__ = ["command", "explanation_tables"]


def command(argv: list[str]) -> int:
    """Explain, print tables, and write what was asked for. 0 done; 1 failed; 2 bad usage."""
    asked = _parser().parse_args(argv)
    if repeated := [text for text in asked.prompt if asked.prompt.count(text) > 1]:
        raise ConfigError(f"--prompt {repeated[0]!r} is given twice")
    from parrot_adapters.analysis.explain import explain
    from parrot_adapters.analysis.explain_subject import Subject

    subject = Subject.load(asked.model, asked.adapter)
    languages = [None if tag == "-" else tag for tag in asked.language]
    found = explain(subject.handle, subject.prompts(asked.image, asked.prompt, languages), decode=subject.decode)
    from rich.console import Console

    for table in explanation_tables(found):
        Console().print(table)
    _write(found, asked)
    return 0


def _write(found: Explanation, asked: argparse.Namespace) -> None:
    from parrot_adapters.analysis.explanation_page import explanation_page, explanation_png

    if asked.json:
        asked.json.write_text(json.dumps(found.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if asked.png:
        asked.png.write_bytes(explanation_png(found))
    if asked.html:
        asked.html.write_text(explanation_page(found, _thumbnail(asked.image)), encoding="utf-8")
    for path in (asked.json, asked.png, asked.html):
        if path:
            print(f"written: {path}")


def _thumbnail(path: Path) -> bytes:
    from PIL import Image

    with Image.open(path) as image:
        small = image.convert("RGBA")
        small.thumbnail((288, 288))
        data = io.BytesIO()
        small.save(data, format="PNG")
    return data.getvalue()


def explanation_tables(found: Explanation) -> list[Table]:
    """Routing; its effect; experts removed; routings swapped."""
    names = [f"{n} {p.label}" + (f" [{p.language}]" if p.language else "") for n, p in enumerate(found.prompts, 1)]
    experts = [f"e{e}" for e in range(found.num_experts)]
    kind = f"{found.router} x {found.expert}"
    routing = [[*(f"{w:.2f}" for w in p.weights), f"{p.entropy:.2f}"] for p in found.prompts]
    effect = [
        [f"{p.shift.cosine:.2f}", f"{p.shift.relative_norm:.2f}", f"{p.kl:.3f}", _token(p.host_token), _token(p.token)]
        for p in found.prompts
    ]
    without = [[f"{c.kl:.3f}" for c in p.ablated] for p in found.prompts]
    tables = [
        _table(f"Routing weights: {kind}", [*experts, "entropy"], names, routing),
        _table("Visual tokens and answer", ["cosine", "change", "KL", "host says", "adapter says"], names, effect),
        _table("Without one expert: KL of the next token, nats", experts, names, without),
    ]
    if len(names) > 1:
        swapped = [[_swap(p, other) for other in found.prompts] for p in found.prompts]
        columns = [f"as {n}" for n in range(1, len(names) + 1)]
        tables.append(_table("Routed as another prompt: KL of the next token, nats", columns, names, swapped))
    return tables


def _swap(prompt: PromptSeen, other: PromptSeen) -> str:
    found = prompt.swapped.get(other.label)
    return "·" if other is prompt else "other images" if found is None else f"{found.kl:.3f}"


def _token(likeliest: tuple[str, float]) -> str:
    token, chance = likeliest
    return f"{token.strip()!r} {chance:.2f}"


def _table(title: str, columns: list[str], names: list[str], rows: list[list[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    table.add_column("prompt", overflow="fold", min_width=8)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for name, row in zip(names, rows, strict=True):
        table.add_row(Text(name), *map(Text, row))
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parrot explain",
        description=__doc__,
        epilog="The quickstart's: parrot explain cat.png --model OUT/host --adapter OUT/adapter-mixture --prompt ...",
    )
    add = parser.add_argument
    add("image", type=Path, metavar="IMAGE", help="the picture that all prompts are about")
    add("--model", required=True, metavar="DIR_OR_NAME", help="a vision-language model of transformers")
    add("--adapter", required=True, metavar="DIR", help="an adapter made for it")
    add("--prompt", required=True, action="append", metavar="TEXT", help="a user turn; may be repeated")
    add("--language", action="append", default=[], metavar="TAG", help="of each prompt in order; - for unknown")
    add("--html", type=Path, metavar="FILE", help="write one self-contained page")
    add("--png", type=Path, metavar="FILE", help="write a figure")
    add("--json", type=Path, metavar="FILE", help="write every number")
    return parser
