"""Adapters and data on disk: to load, save, import and index, against reading and writing the bytes alone.

The adapter is the standard one of a host of width 4096 (302M numbers, 1.2 GB), the page cache is warm. ``reading`` is
``Path.read_bytes``; ``reading and SHA-256`` adds that of the file, which a load does not make (it checks an XXH3 of
128 bits): on a processor with SHA instructions it takes about as long as to read into new memory. ``writing`` puts
bytes that are there into a new file; ``safetensors' save_file`` writes the same tensors without a checksum. A load's
copy is deliberate: a mapped file that another program writes in place would change, or end, the process. The import is
of a released checkpoint of 1.4 GB in shards of 256 MiB, its peak of resident memory that above what was imported and
written before. An index says where each line begins; ``open_data`` makes it and then parses and checks each record.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from harness import HERE, Options, Row, compare, rows_of
from safetensors.torch import save_file

import parrot_adapters as pa
from parrot_adapters.data import DataSettings, SourceSettings, open_data
from parrot_adapters.data.sources.json_files import JsonRecords
from parrot_adapters.testing import small_llava

COVERS = (
    *("parrot_adapters/hosts/tensor_files.py", "parrot_adapters/hosts/weight_files.py", "parrot_adapters/original/"),
    *("parrot_adapters/adapter/load.py", "parrot_adapters/adapter/save.py", "parrot_adapters/adapter/adapter_files.py"),
    *("parrot_adapters/adapter/fitting_layer.py", "parrot_adapters/data/"),
)
PIECE = 1 << 20


def measure(options: Options) -> Iterator[Row]:
    """Rows of an adapter's directory, of an import and of an index."""
    with tempfile.TemporaryDirectory() as place:
        yield from adapter_rows(256 if options.tiny else 4096, Path(place), options)
    with tempfile.TemporaryDirectory() as place:
        yield from index_rows(10_000 if options.tiny else 1_000_000, Path(place), options)
    if not options.tiny:
        yield import_row()


def adapter_rows(width: int, work: Path, options: Options) -> Iterator[Row]:
    host = small_llava(text={"hidden_size": width})
    handle = pa.attach(host, pa.AdapterConfig(expert_hidden_size=width))
    here = work / "adapter"
    handle.save_pretrained(here)
    settings = f"{sum(value.numel() for value in handle.parameters()) / 1e6:.0f}M numbers, float32"
    yield from saving_rows(handle, here, settings, options)
    handle.detach()
    del handle
    file = here / "adapter_model.safetensors"
    found = compare(
        {
            "reading": file.read_bytes,
            "reading and SHA-256": lambda: hashlib.sha256(file.read_bytes()).hexdigest(),
            "load": lambda: pa.load_adapter(host, here).detach(),
        },
        options,
    )
    yield from rows_of(found, {("load", "reading"): 1.3, ("load", "reading and SHA-256"): None}, settings=settings)


def saving_rows(handle: pa.Attachment, here: Path, settings: str, options: Options) -> Iterator[Row]:
    content = (here / "adapter_model.safetensors").read_bytes()
    tensors = {name: value.detach() for name, value in handle.require_module().state_dict().items()}
    runs: dict[str, Callable[[], object]] = {
        "writing": lambda: (here / "bytes").write_bytes(content),
        "safetensors' save_file": lambda: save_file(tensors, here / "tensors"),
        "save": lambda: handle.save_pretrained(here),
    }
    limits: dict[tuple[str, str], float | None] = {("save", "writing"): 1.3, ("save", "safetensors' save_file"): None}
    yield from rows_of(compare(runs, options), limits, settings=settings)


def index_rows(lines: int, work: Path, options: Options) -> Iterator[Row]:
    path = work / "lines.jsonl"
    with path.open("w") as file:
        for number in range(lines):
            said = [
                {"from": "human", "value": f"<image>\nWhat is number {number}?"},
                {"from": "gpt", "value": "A cat. "},
            ]
            said[1]["value"] *= 1 + number % 9
            file.write(json.dumps({"id": number, "image": f"{number}.jpg", "conversations": said}) + "\n")

    def line_ends() -> int:
        found = 0
        with path.open("rb", buffering=0) as opened:
            while piece := opened.read(PIECE):
                found += len(np.flatnonzero(np.frombuffer(piece, np.uint8) == ord("\n")))
        return found

    assert line_ends() == len(JsonRecords(path)) == lines
    found = compare({"reading and finding line ends": line_ends, "index": lambda: JsonRecords(path)}, options)
    limits: dict[tuple[str, str], float | None] = {("index", "reading and finding line ends"): 2.0}
    yield from rows_of(found, limits, settings=f"{lines:,} JSON lines, {path.stat().st_size / 1e6:.0f} MB")
    tracemalloc.start()
    records = JsonRecords(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    yield Row("peak memory of an index", "8 bytes a line", peak / 8 / len(records), 2.0, settings=f"{lines:,} lines")
    yield from opening_rows(path, lines // 10, options)


def opening_rows(path: Path, lines: int, options: Options) -> Iterator[Row]:
    """What it costs to check every record before a run, for which it has to be parsed."""
    settings = DataSettings((SourceSettings(str(path), limit=lines),))

    def parse() -> None:
        with path.open("rb") as opened:
            for line in islice(opened, lines):
                json.loads(line)

    found = compare({"json.loads of each": parse, "open_data": lambda: open_data(settings, seed=0)}, options)
    yield from rows_of(found, {("open_data", "json.loads of each"): None}, settings=f"{lines:,} JSON lines, checked")


def import_row() -> Row:
    script = HERE.parent / "tests" / "support" / "real_size.py"
    made = subprocess.run([sys.executable, str(script), "import"], capture_output=True, text=True, check=True)
    steps = {one["step"]: one for one in (json.loads(s) for s in made.stdout.splitlines() if s.startswith("{"))}
    written, peak = steps["import: write the checkpoint"], steps["import: import"]["above"]
    what = ("peak memory of an import", "the largest shard")
    return Row(*what, peak / written["largest_shard"], 1.1, settings=f"{written['gigabytes']} GB, bfloat16")
