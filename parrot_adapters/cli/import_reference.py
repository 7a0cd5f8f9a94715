"""``parrot import-reference``: an original PARROT checkpoint becomes a LLaVA host and an adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parrot_adapters.cli.commands import argument, option, parrot_command

if TYPE_CHECKING:
    from parrot_adapters.original.import_checkpoint import ImportReport

__all__ = ["command"]


@parrot_command("import-reference")
@argument("source", metavar="SRC", help="directory with config.json and safetensors weights")
@argument("destination", metavar="DST", help="directory to make; must not exist, or be empty")
@option(
    "--vision-tower",
    metavar="DIR",
    help="directory of the vision tower's config.json; without it mm_vision_tower of SRC's config, relative to SRC",
)
def command(source: str, destination: str, vision_tower: str | None) -> None:
    """Turn an original PARROT checkpoint into a host and an adapter.

    They become DST/host (a standard LLaVA directory) and DST/adapter. Weights are streamed, nothing is downloaded, and
    DST appears only when it is complete.
    """
    from parrot_adapters.console import progress
    from parrot_adapters.original.import_checkpoint import import_reference

    with progress("converting weights", unit="bytes") as shown:
        report = import_reference(source, destination, vision_tower=vision_tower, progress=shown)
    _show(report)


def _show(report: ImportReport) -> None:
    from parrot_adapters.console import Table, show

    rows = [
        (part, str(directory), f"{parameters:,}", f"{size / 2**20:,.1f} MiB", report.dtype)
        for part, directory, parameters, size in (
            ("host", report.host, report.host_parameters, report.host_bytes),
            ("adapter", report.adapter, report.adapter_parameters, report.adapter_bytes),
        )
    ]
    headings = ("part", "directory", "parameters", "size", "dtype")
    show(Table(headings, rows, title="imported", text=("directory", "dtype")))
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
