"""``parrot explain``: how an adapter routes some prompts about a picture, and what would have been otherwise."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from parrot_adapters.atomic_files import write_bytes, write_text
from parrot_adapters.cli.commands import argument, device_option, json_option, option, parrot_command
from parrot_adapters.errors import ConfigError, writing

if TYPE_CHECKING:
    from parrot_adapters.analysis.explain import Explanation, PromptSeen
    from parrot_adapters.console import Table

__all__ = ["command", "explanation_tables"]

FILE = click.Path(path_type=Path)


@parrot_command(
    "explain",
    examples=[
        "parrot explain example:emoji/images/1f43b.png --model example:emoji/host --adapter runs/mixture/adapter "
        "--prompt 'What is this?' --prompt 'Bu nedir?'"
    ],
)
@argument("image", type=FILE, metavar="IMAGE", help="the picture that all prompts are about")
@option("--model", required=True, metavar="DIR_OR_NAME", help="a vision-language model of transformers")
@option("--adapter", required=True, metavar="DIR", help="an adapter made for it")
@option("--prompt", required=True, multiple=True, metavar="TEXT", help="a user turn (repeatable)")
@option("--language", multiple=True, metavar="TAG", help="of each prompt in order; - for unknown")
@device_option()
@option("--html", type=FILE, metavar="FILE", help="write one self-contained page")
@option("--png", type=FILE, metavar="FILE", help="write a figure")
@json_option()
def command(
    image: Path,
    model: str,
    adapter: str,
    prompt: tuple[str, ...],
    language: tuple[str, ...],
    device: str,
    html: Path | None,
    png: Path | None,
    json_file: str | None,
) -> None:
    """How an adapter routes some prompts, and what would have been otherwise.

    Exit code: 0 done, 1 failed, 2 bad usage.
    """
    if repeated := [text for text in prompt if prompt.count(text) > 1]:
        raise ConfigError(f"--prompt {repeated[0]!r} is given twice")
    from parrot_adapters.analysis.asked_picture import asked_picture
    from parrot_adapters.analysis.explain import explain
    from parrot_adapters.analysis.explain_subject import Subject
    from parrot_adapters.console import print_or_write_json, show, waiting

    asked_picture(image)  # what cannot be read is said before a large host is loaded
    with waiting("loading the host"):
        subject = Subject.load(model, adapter, device=device)
    prompts = subject.prompts(image, prompt, [None if tag == "-" else tag for tag in language])
    with waiting("asking"):
        found = explain(subject.handle, prompts, decode=subject.decode)
    if json_file != "-":
        show(*explanation_tables(found))
    print_or_write_json(found.to_dict(), json_file)
    _write_page_and_figure(found, image, html, png, quiet=json_file == "-")


def _write_page_and_figure(
    found: Explanation, image: Path, html: Path | None, png: Path | None, *, quiet: bool
) -> None:
    from parrot_adapters.analysis.explanation_page import explanation_page, explanation_png

    if png:
        with writing(png, ConfigError):
            write_bytes(png, explanation_png(found))
    if html:
        with writing(html, ConfigError):
            write_text(html, explanation_page(found, _thumbnail(image)))
    for path in (png, html):
        if path and not quiet:
            print(f"written: {path}")


def _thumbnail(path: Path) -> bytes:
    from parrot_adapters.analysis.asked_picture import asked_picture

    small = asked_picture(path)
    small.thumbnail((288, 288))
    data = io.BytesIO()
    small.save(data, format="PNG")
    return data.getvalue()


def explanation_tables(found: Explanation) -> list[Table]:
    """Routing, in each group of layers where there are several; its effect; experts removed; routings swapped."""
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
    if groups := len(found.prompts[0].by_group):
        rows = [[f"{w:.2f}" for w in weights] for p in found.prompts for weights in p.by_group]
        which = [f"{name}, layers {g} of {groups}" for name in names for g in range(1, groups + 1)]
        tables.insert(1, _table("Weights in each group of decoder layers", experts, which, rows))
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
    from parrot_adapters.console import Table

    return Table(
        ("prompt", *columns),
        [(name, *row) for name, row in zip(names, rows, strict=True)],
        title=title,
        text=("prompt",),
    )
