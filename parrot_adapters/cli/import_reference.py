"""``parrot import-reference``: an original PARROT checkpoint becomes a LLaVA host and an adapter."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parrot_adapters.original.import_checkpoint import ImportReport

__all__ = ["command"]


def command(argv: list[str]) -> int:
    """Import, and say what was made and how to load it."""
    asked = _parser().parse_args(argv)

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from parrot_adapters.original.import_checkpoint import import_reference

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("converting weights", total=None)
        report = import_reference(
            asked.source,
            asked.destination,
            vision_tower=asked.vision_tower,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    _show(report)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parrot import-reference",
        description="Turn an original PARROT checkpoint directory into DST/host (a standard LLaVA directory) and "
        "DST/adapter. Weights are streamed, nothing is downloaded, and DST appears only when it is complete.",
    )
    parser.add_argument("source", metavar="SRC", help="directory with config.json and safetensors weights")
    parser.add_argument("destination", metavar="DST", help="directory to make; must not exist, or be empty")
    parser.add_argument(
        "--vision-tower",
        metavar="DIR",
        help="directory of the vision tower's config.json; without it mm_vision_tower of SRC's config, relative to SRC",
    )
    return parser


def _show(report: ImportReport) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="imported")
    for column in ("part", "directory", "parameters", "size", "dtype"):
        table.add_column(column, justify="right" if column in ("parameters", "size") else "left", overflow="fold")
    rows = (
        ("host", report.host, report.host_parameters, report.host_bytes),
        ("adapter", report.adapter, report.adapter_parameters, report.adapter_bytes),
    )
    for part, directory, parameters, size in rows:
        table.add_row(part, str(directory), f"{parameters:,}", f"{size / 2**20:,.1f} MiB", report.dtype)
    console = Console()
    console.print(table)
    print(f"image placeholder: id {report.image_token_id}, {report.visual_tokens} of them for each image (CLS first)")
    for note in report.notes:
        print(f"note: {note}")
    print(
        f"""
import parrot_adapters as pa
from transformers import LlavaForConditionalGeneration

model = LlavaForConditionalGeneration.from_pretrained({str(report.host)!r})
handle = pa.load_adapter(model, {str(report.adapter)!r})"""
    )
