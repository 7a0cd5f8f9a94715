"""``parrot data check FILE`` looks through training data; ``parrot data fetch parrot`` gets what the original used."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parrot_adapters.errors import ConfigError, PluginError, explain, suggest

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from parrot_adapters.data.catalogue import PublishedFile
    from parrot_adapters.data.survey import Numbers, Survey

__all__ = ["command"]


def command(argv: list[str]) -> int:
    """0 clean, or fetched; 1 problems, or not fetched; 2 bad usage."""
    asked = _parser().parse_args(argv)
    return _check(asked) if asked.what == "check" else _fetch(asked)


# --- check ---------------------------------------------------------------------------------------------------------


def _check(asked: argparse.Namespace) -> int:
    from parrot_adapters.data.survey import survey
    from parrot_adapters.plugins.examples import example_path
    from parrot_adapters.training.training_config import SourceSettings

    path = str(example_path(asked.file) or asked.file)
    settings = SourceSettings(
        path, format=asked.format, images=asked.images, language=asked.language, limit=asked.limit
    )
    collator = None
    if asked.processor is not None:
        from parrot_adapters.data.collator import Collator
        from parrot_adapters.hosts.load_host import load_processor

        collator = Collator(load_processor(asked.processor), max_length=asked.max_length)
    detector, detect = _detector(asked.detector)
    with _bar(quiet=asked.json) as progress:
        found = survey(
            settings,
            collator=collator,
            detect=detect,
            headers_only=asked.headers_only,
            progress=progress,
        )
    if asked.json:
        print(json.dumps(found.as_json(), ensure_ascii=False, indent=1))
    else:
        _show(found, detector)
    return 1 if found.problems or not found.usable else 0


def _detector(name: str | None) -> tuple[str | None, Callable[[str], str | None] | None]:
    """The detector asked for, or the first that is installed and works on plain text."""
    from parrot_adapters.evaluation.matching.plain_text_detector import text_detector
    from parrot_adapters.plugins import manager

    if name is not None:
        return name, text_detector(name)
    for component in manager.components("detector"):
        try:
            detect = text_detector(component.name)
            detect("Is this English?")
        except PluginError as error:
            print(f"parrot data: note: {str(error).splitlines()[0]}", file=sys.stderr)
        else:
            return component.name, detect
    return None, None


def _show(found: Survey, detector: str | None) -> None:
    from rich.console import Console

    console = Console()
    for path, form, because in found.files:
        console.print(f"{Path(path).name}: {form} ({because})", highlight=False, markup=False)
    console.print(_columns(found))
    console.print(_languages(found, detector))
    if found.problems:
        for line in _problems(found):
            console.print(line, soft_wrap=True)
    broken = found.problems.total()
    console.print(
        f"{found.usable:,} of {found.records:,} samples can be used"
        + (f"; {broken:,} cannot (data.bad_samples: skip leaves them out)." if broken else "."),
        highlight=False,
    )


def _columns(found: Survey) -> Table:
    table = _table("", "samples or pictures", "least", "median", "95 %", "most")
    rows: list[tuple[str, Numbers | None]] = [
        ("answers in a sample", found.answers),
        (f"length in {found.unit}", found.lengths),
        ("pictures in a sample", found.pictures),
        ("picture width", found.widths),
        ("picture height", found.heights),
    ]
    for name, numbers in rows:
        if numbers is not None:
            values = (numbers.count, numbers.least, numbers.median, numbers.p95, numbers.most)
            table.add_row(name, *(f"{value:,.10g}" for value in values))
    for name, count in (("videos", found.videos), ("samples with an id of another", found.repeated)):
        if count:
            table.add_row(name, f"{count:,}")
    return table


def _languages(found: Survey, detector: str | None) -> Table:
    table = _table("language", "declared", *(["detected"] if found.declared[None] else []))
    tags = dict.fromkeys([*(tag for tag, _ in found.declared.most_common() if tag), *filter(None, found.detected)])
    for tag in tags:
        heard = [f"{found.detected[tag]:,}" if detector else ""] if found.declared[None] else []
        table.add_row(tag, f"{found.declared[tag]:,}", *heard)
    if found.declared[None]:
        unheard = f"{found.detected[None]:,}" if detector else "no detector installed"
        table.add_row("unknown", f"{found.declared[None]:,}", unheard)
        table.caption = f"detected by {detector}, in samples that declare none" if detector else None
    return table


def _problems(found: Survey) -> Iterator[Text]:
    """Lines rather than a table: paths and reasons are long, and have to be copied whole."""
    from rich.text import Text

    from parrot_adapters.data.problems import PROBLEMS

    for kind, count in found.problems.most_common():
        yield Text.assemble((kind, "red"), f"  {count:,}  {PROBLEMS[kind]}")
        for example in found.examples[kind][:3]:
            yield Text(f"  {_place(example)}: {example.reason}")
    yield Text()


def _place(example: Any) -> str:
    own = f"{Path(example.file).name}:{example.number}"
    return own if example.identity == own else f"{own} ({example.identity})"


# --- fetch ---------------------------------------------------------------------------------------------------------


def _fetch(asked: argparse.Namespace) -> int:
    from rich.console import Console

    from parrot_adapters.data.catalogue import PARROT_DATA
    from parrot_adapters.data.fetch import fetch

    if asked.name != "parrot":
        raise ConfigError(
            explain(f"no data sets are known as {asked.name!r}.{suggest(asked.name, ['parrot'])}", known="parrot")
        )
    wanted = _wanted(PARROT_DATA, asked.only, asked.pictures)
    console = Console()
    console.print(_published(PARROT_DATA, wanted))
    for note in _notes(PARROT_DATA):
        console.print(note, highlight=False, markup=False)
    if asked.list:
        return 0
    for fetched in fetch(wanted, asked.out, lambda text: print(text, file=sys.stderr, flush=True)):
        print(f"{fetched.path}: {'new' if fetched.new else 'was there'}; {fetched.checked}")
    return 0


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
    table = _table("data set, and where it is on the Hub", "stage", "language", "samples", "MB", "licence")
    table.columns[-1].justify, table.columns[-1].overflow = "left", "fold"
    for file in files:
        size = "unknown" if file.megabytes is None else f"{file.megabytes:,.10g}"
        chosen = "* " if file in wanted else "  "
        where = f"{file.dataset}\n    {file.path}" if file.dataset else "not found"
        table.add_row(
            f"{chosen}{file.name}\n    {where}", str(file.stage), file.language, f"{file.samples}K", size, file.licence
        )
    table.caption = "* is fetched"
    return table


def _notes(files: tuple[PublishedFile, ...]) -> Iterator[str]:
    unknown = [file.name for file in files if file.md5 is None]
    everyone = "any of them" if len(unknown) == len(files) else ", ".join(unknown)
    yield f"md5: none published of {everyone}; compared with the size and SHA-256 that the Hub declares."
    for place in dict.fromkeys(file.images for file in files if file.images):
        yield f"pictures of {', '.join(file.name for file in files if file.images == place)}: {place}."


# --- both ----------------------------------------------------------------------------------------------------------


def _table(*headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), caption_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=number == 0)
    return table


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        tasks: dict[str, Any] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done, total=total)

        yield progress


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="parrot data", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True, metavar="check|fetch")
    check = commands.add_parser("check", help="languages, lengths, pictures and problems of a file")
    add = check.add_argument
    add(
        "file",
        metavar="FILE",
        help="training data: JSON, JSON lines, TSV, parquet, tar shards; a directory or a pattern",
    )
    add("--processor", metavar="DIR_OR_NAME", help="the host's: count tokens, and find what its template refuses")
    add("--images", metavar="DIR", help="what paths of pictures are relative to (the file's own folder)")
    add("--format", default="auto", metavar="NAME", help="a registered data format (%(default)s)")
    add("--language", metavar="TAG", help="of samples that declare none")
    add("--detector", metavar="NAME", help="who hears the language of the others (the first that is installed)")
    add("--max-length", type=int, default=2048, metavar="N", help="tokens, with --processor (%(default)s)")
    add("--limit", type=int, metavar="N", help="only the first N good samples")
    add("--headers-only", action="store_true", help="do not decode pictures: quicker, and misses broken ones")
    add("--json", action="store_true", help="print everything as JSON")
    get = commands.add_parser("fetch", help="list and download published training data")
    get.add_argument("name", metavar="NAME", help="parrot: what PARROT was trained on")
    get.add_argument("--out", type=Path, default=Path("data"), metavar="DIR", help="where to (%(default)s)")
    get.add_argument("--only", default="", metavar="NAME,...", help="these data sets")
    get.add_argument("--pictures", action="store_true", help="archives of pictures too (27 GB)")
    get.add_argument("--list", action="store_true", help="only list them")
    return parser
