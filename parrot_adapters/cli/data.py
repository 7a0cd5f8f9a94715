"""``parrot data check FILE`` looks through training data; ``parrot data fetch parrot`` gets what the original used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parrot_adapters.cli.commands import SETTINGS, CommandGroup, argument, option
from parrot_adapters.errors import ConfigError, PluginError, explain, suggest

if TYPE_CHECKING:
    from parrot_adapters.console import Table
    from parrot_adapters.data.catalogue import PublishedFile
    from parrot_adapters.data.survey import Numbers, Survey

__all__ = ["command"]


@click.group("data", cls=CommandGroup, context_settings=SETTINGS)
def command() -> None:
    """Check training data before a GPU is rented; fetch PARROT's."""


# --- check ---------------------------------------------------------------------------------------------------------


@command.command(
    "check",
    examples=["parrot data check example:emoji/llava_stage2.json --processor example:emoji/host"],
)
@argument(
    "file",
    metavar="FILE",
    help="training data: JSON, JSON lines, TSV, parquet, tar shards; a directory or a pattern",
)
@option("--processor", metavar="DIR_OR_NAME", help="the host's: count tokens, and find what its template refuses")
@option("--images", metavar="DIR", help="what paths of pictures are relative to (the file's own folder)")
@option("--format", "form", default="auto", metavar="NAME", help="a registered data format")
@option("--language", metavar="TAG", help="of samples that declare none")
@option("--detector", metavar="NAME", help="detects the language of the others (the first that is installed)")
@option("--max-length", type=int, default=2048, metavar="N", help="tokens, with --processor")
@option("--limit", type=int, metavar="N", help="only the first N good samples")
@option("--headers-only", is_flag=True, help="do not decode pictures: quicker, and misses broken ones")
@option("--strict", is_flag=True, help="a field that is not read is a problem of its sample")
@option("--allow-outside", is_flag=True, help="pictures may lie outside of their folder")
@option("--json", "as_json", is_flag=True, help="print only a JSON document")
def check(
    file: str,
    processor: str | None,
    images: str | None,
    form: str,
    language: str | None,
    detector: str | None,
    max_length: int,
    limit: int | None,
    headers_only: bool,
    strict: bool,
    allow_outside: bool,
    as_json: bool,
) -> int:
    """Languages, lengths, pictures and problems of training data.

    Exit code: 0 clean, 1 problems, 2 bad usage.
    """
    from parrot_adapters.console import print_json, progress
    from parrot_adapters.data.settings import SourceSettings
    from parrot_adapters.data.survey import survey
    from parrot_adapters.examples import example_path

    path = str(example_path(file) or file)
    settings = SourceSettings(
        path, format=form, images=images, language=language, limit=limit, allow_outside=allow_outside
    )
    collator = None
    if processor is not None:
        from parrot_adapters.data.collator import Collator
        from parrot_adapters.hosts.load_host import load_processor

        collator = Collator(load_processor(processor), max_length=max_length)
    detector, detect = _detector(detector)
    with progress("checking") as shown:
        found = survey(
            settings,
            collator=collator,
            detect=detect,
            headers_only=headers_only,
            strict=strict,
            progress=lambda what, done, total: shown(done, total, name=what),
        )
    if as_json:
        print_json(found.as_json())
    else:
        _show(found, detector)
    return 1 if found.problems or not found.usable else 0


def _detector(name: str | None) -> tuple[str | None, Callable[[str], str | None] | None]:
    """The detector asked for, or the first that is installed and works on plain text."""
    from parrot_adapters.console import note
    from parrot_adapters.evaluation.matching.plain_text_detector import text_detector
    from parrot_adapters.plugins import manager

    if name is not None:
        return name, text_detector(name)
    for component in manager.components("detector"):
        try:
            detect = text_detector(component.name)
            detect("Is this English?")
        except PluginError as error:
            note("data", str(error).splitlines()[0])
        else:
            return component.name, detect
    return None, None


def _show(found: Survey, detector: str | None) -> None:
    from parrot_adapters.console import show

    for path, form, because in found.files:
        show(f"{Path(path).name}: {form} ({because})")
    show(_numbers(found), _languages(found, detector))
    if found.unread:
        counted = ", ".join(f"{name} (in {count:,})" for name, count in found.unread.most_common())
        show(f"fields that are not read: {counted}")
    if found.problems:
        show(*_problems(found))
    broken = found.problems.total()
    show(
        f"{found.usable:,} of {found.records:,} samples can be used"
        + (f"; {broken:,} cannot (data.bad_samples: skip leaves them out)." if broken else "."),
    )


def _numbers(found: Survey) -> Table:
    from parrot_adapters.console import Table

    measured: list[tuple[str, Numbers | None]] = [
        ("answers in a sample", found.answers),
        (f"length in {found.unit}", found.lengths),
        ("pictures in a sample", found.pictures),
        ("picture width", found.widths),
        ("picture height", found.heights),
    ]
    rows = [
        [name, *(f"{value:,.10g}" for value in (n.count, n.least, n.median, n.p95, n.most))]
        for name, n in measured
        if n is not None
    ]
    for name, count in (("videos", found.videos), ("samples with an id of another", found.repeated)):
        if count:
            rows.append([name, f"{count:,}", "", "", "", ""])
    return Table(("", "samples or pictures", "least", "median", "95 %", "most"), rows)


def _languages(found: Survey, detector: str | None) -> Table:
    from parrot_adapters.console import Table

    undeclared = bool(found.declared[None])
    tags = dict.fromkeys([*(tag for tag, _ in found.declared.most_common() if tag), *filter(None, found.detected)])
    rows = [[tag, f"{found.declared[tag]:,}", f"{found.detected[tag]:,}" if detector else ""] for tag in tags]
    if undeclared:
        undetected = f"{found.detected[None]:,}" if detector else "no detector installed"
        rows.append(["unknown", f"{found.declared[None]:,}", undetected])
    return Table(
        ("language", "declared", "detected")[: 3 if undeclared else 2],
        rows,
        caption=f"detected by {detector}, in samples that declare none" if undeclared and detector else None,
    )


def _problems(found: Survey) -> Iterator[str]:
    """Lines rather than a table: paths and reasons are long, and have to be copied whole."""
    from parrot_adapters.data.problems import PROBLEMS

    for kind, count in found.problems.most_common():
        yield f"{kind}  {count:,}  {PROBLEMS[kind]}"
        for example in found.examples[kind][:3]:
            yield f"  {_place(example)}: {example.reason}"
    yield ""


def _place(example: Any) -> str:
    own = f"{Path(example.file).name}:{example.number}"
    return own if example.identity == own else f"{own} ({example.identity})"


# --- fetch ---------------------------------------------------------------------------------------------------------


@command.command("fetch")
@argument("name", metavar="NAME", help="parrot: what PARROT was trained on")
@option("--out", type=click.Path(path_type=Path), default=Path("data"), metavar="DIR", help="where to")
@option("--only", default="", show_default=False, metavar="NAME,...", help="these data sets")
@option("--pictures", is_flag=True, help="archives of pictures too (27 GB)")
@option("--list", "listed", is_flag=True, help="only list them")
def fetch_data(name: str, out: Path, only: str, pictures: bool, listed: bool) -> None:
    """List and download published training data.

    Exit code: 0 fetched, 1 not fetched, 2 bad usage.
    """
    from parrot_adapters.console import show
    from parrot_adapters.data.catalogue import PARROT_DATA
    from parrot_adapters.data.fetch import fetch

    if name != "parrot":
        raise ConfigError(explain(f"no data sets are known as {name!r}.{suggest(name, ['parrot'])}", known="parrot"))
    wanted = _wanted(PARROT_DATA, only, pictures)
    show(_published(PARROT_DATA, wanted), *_notes(PARROT_DATA))
    if listed:
        return
    for fetched in fetch(wanted, out, lambda text: print(text, file=sys.stderr, flush=True)):
        print(f"{fetched.path}: {'new' if fetched.new else 'was there'}; {fetched.checked}")


def _wanted(files: tuple[PublishedFile, ...], only: str, pictures: bool) -> list[PublishedFile]:
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = [file.name for file in files]
    for name in names:
        if name not in known:
            raise ConfigError(explain(f"no data set is called {name!r}.{suggest(name, known)}", known=", ".join(known)))
    if names:
        return [file for file in files if file.name in names]
    return [file for file in files if file.dataset is not None and (pictures or not file.archive)]


def _published(files: tuple[PublishedFile, ...], wanted: list[PublishedFile]) -> Table:
    from parrot_adapters.console import Table

    rows = []
    for file in files:
        size = "unknown" if file.megabytes is None else f"{file.megabytes:,.10g}"
        chosen = "* " if file in wanted else "  "
        where = f"{file.dataset}\n    {file.path}" if file.dataset else "not found"
        rows.append(
            (
                f"{chosen}{file.name}\n    {where}",
                str(file.stage),
                file.language,
                f"{file.samples}K",
                size,
                file.licence,
            )
        )
    headings = ("data set, and where it is on the Hub", "stage", "language", "samples", "MB", "licence")
    return Table(headings, rows, caption="* is fetched", text=("licence",))


def _notes(files: tuple[PublishedFile, ...]) -> Iterator[str]:
    unknown = [file.name for file in files if file.md5 is None]
    everyone = "any of them" if len(unknown) == len(files) else ", ".join(unknown)
    yield f"md5: none published of {everyone}; compared with the size and SHA-256 that the Hub declares."
    for place in dict.fromkeys(file.images for file in files if file.images):
        yield f"pictures of {', '.join(file.name for file in files if file.images == place)}: {place}."
