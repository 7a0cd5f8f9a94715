"""An original PARROT checkpoint -> a standard LLaVA host and an adapter beside it.

    DST/host       LlavaForConditionalGeneration.from_pretrained loads it, without this library
    DST/adapter    parrot_adapters.load_adapter puts it on

Everything is checked from configs and file headers before a weight is read; weights then stream from shard to shard, a
few rows, or one expert's matrix, at a time;
the result appears under its name only when it is complete. Besides the names one thing changes: the original marks an
image by the id -200, a LLaVA host by an ordinary id, so the vocabulary gets one more row. That row is the mean of all
others (so that no output is likelier for it) and ``generation_config.json`` suppresses it: greedy and sampled answers
are the original's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.adapter.adapter_files import require_computable, require_finite
from parrot_adapters.adapter.build_layer import build_layer
from parrot_adapters.adapter.original_names import from_reference, to_reference
from parrot_adapters.adapter.save import write_adapter
from parrot_adapters.adapter.snapshot import AdapterSnapshot, plugins_used
from parrot_adapters.atomic_files import appearing_directory
from parrot_adapters.errors import CheckpointError, explain, writing
from parrot_adapters.hosts.chat_format import ChatFormat
from parrot_adapters.hosts.fingerprint import fingerprint
from parrot_adapters.hosts.host_parts import find_parts
from parrot_adapters.hosts.tensor_files import TensorSource
from parrot_adapters.hosts.weight_files import WeightFiles, write_shards
from parrot_adapters.original.host_names import (
    ADAPTER_PREFIX,
    EMBEDDING,
    OUTPUT,
    PROJECTOR_PREFIX,
    host_name,
    in_memory,
    on_disk,
)
from parrot_adapters.original.original_config import (
    ReferenceConfig,
    adapter_config,
    host_config,
    read_reference_config,
    require_plausible,
)
from parrot_adapters.original.tokenizer_files import carry_over_settings, carry_over_tokenizer

__all__ = ["ImportReport", "import_reference"]

SHARD_BYTES = 2**30  # what a shard of the host is at most; a few rows are held in memory at a time

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ImportReport:
    """What an import made.

    Attributes:
        host, adapter: the two directories.
        host_bytes, adapter_bytes: of their weights.
        host_parameters, adapter_parameters: how many numbers those are.
        dtype: of the host's language model and of the adapter, as in the checkpoint.
        image_token_id: the placeholder; one of these per visual token stands for an image.
        visual_tokens: how many an image has, CLS included.
        notes: what the user should know, in sentences.
    """

    host: Path
    adapter: Path
    host_bytes: int
    adapter_bytes: int
    host_parameters: int
    adapter_parameters: int
    dtype: str
    image_token_id: int
    visual_tokens: int
    notes: tuple[str, ...]


def import_reference(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    vision_tower: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> ImportReport:
    """Turn an original PARROT checkpoint into a host and an adapter.

    Args:
        source: its directory.
        destination: gets ``host`` and ``adapter``; must not exist, or be empty.
        vision_tower: directory of the vision tower's config; None looks where ``mm_vision_tower`` says.
        progress: called with bytes written so far and bytes in all.
        shard_bytes: size of the host's weight files.

    Raises:
        CheckpointError: not such a checkpoint, weights missing or unknown, or ``destination`` is in use. Nothing is
            written then.
    """
    source, destination = Path(source), Path(destination)
    with writing(destination):
        in_use = destination.exists() and (not destination.is_dir() or any(destination.iterdir()))
    if in_use:
        raise CheckpointError(
            explain(f"{destination} exists already and is not empty.", to_do="name another directory, or remove it")
        )
    reference = read_reference_config(source, None if vision_tower is None else Path(vision_tower))
    try:
        return _import(source, destination, reference, progress or (lambda done, total: None), shard_bytes)
    except OSError as error:
        raise CheckpointError(explain(f"{source} could not be imported.", because=error)) from error


def _import(
    source: Path, destination: Path, reference: ReferenceConfig, progress: Progress, shard_bytes: int
) -> ImportReport:
    beside = len(WeightFiles(reference.tower)) if any(reference.tower.glob("*.safetensors")) else 0
    require_plausible(reference, len(WeightFiles(source)), beside)
    with appearing_directory(destination, existing="refuse") as staging:
        host, adapter = staging / "host", staging / "adapter"
        host.mkdir()
        image_token_id, notes = carry_over_tokenizer(source, reference, host)
        plan = _Plan(reference, source, image_token_id)
        host_bytes = plan.write_host(host, shard_bytes, progress)
        notes += carry_over_settings(source, reference, host, image_token_id)
        plan.write_adapter(adapter, host)
        made = WeightFiles(host)
        return ImportReport(
            host=destination / "host",
            adapter=destination / "adapter",
            host_bytes=host_bytes,
            adapter_bytes=(adapter / "adapter_model.safetensors").stat().st_size,
            host_parameters=sum(torch.Size(shape).numel() for shape in made.shapes.values()),
            adapter_parameters=sum(torch.Size(plan.files.shapes[name]).numel() for name in plan.adapter),
            dtype=plan.dtype,
            image_token_id=image_token_id,
            visual_tokens=plan.config.image_seq_length,
            notes=(*notes, *plan.notes),
        )


class _Plan:
    """Which weight comes from where; made from names and shapes alone, and complete or refused.

    Attributes:
        files: the checkpoint's weights.
        tower: the weights of the vision tower: the checkpoint's, or the tower directory's own if it has none.
        config: the host's.
        adapter: names of the adapter's weights in the checkpoint.
    """

    def __init__(self, reference: ReferenceConfig, source: Path, image_token_id: int) -> None:
        self.reference, self.files = reference, WeightFiles(source)
        self.adapter_config = adapter_config(reference)
        self.config = host_config(reference, image_token_id)
        self.notes: list[str] = []
        self.adapter = [name for name in self.files.shapes if name.startswith(ADAPTER_PREFIX)]
        names = {name: host_name(name) for name in self.files.shapes if name not in set(self.adapter)}
        unknown = [name for name, target in names.items() if target is None]
        self.host = {name: target for name, target in names.items() if target}
        self.tower, self.tower_names = self.files, _tower_part(self.host)
        if not self.tower_names:
            self.tower = WeightFiles(reference.tower)
            targets = {name: host_name(name) for name in self.tower.shapes if name.startswith("vision_model.")}
            self.tower_names = {name: target for name, target in targets.items() if target}
            self.notes.append(f"the checkpoint has no vision weights; those of {reference.tower} were taken")
        self.host = {name: target for name, target in self.host.items() if name not in self.tower_names}
        if reference.tied:
            self.host.pop(OUTPUT, None)
        self._check(source, unknown)
        embedding = next(name for name, target in self.host.items() if target == EMBEDDING)
        self.dtype = str(self.files.dtypes[embedding]).removeprefix("torch.")
        self.config.dtype = self.dtype

    def write_host(self, directory: Path, shard_bytes: int, progress: Progress) -> int:
        """Stream the host's weights to disk."""
        total = self.files.size() + (self.tower.size() if self.tower is not self.files else 0)
        done = 0

        def counted(source: TensorSource) -> Iterator[Tensor]:
            nonlocal done
            for piece in source.pieces():
                yield piece
                done += piece.nbytes
                progress(min(done, total), total)

        converted = {}
        for files, names in ((self.files, self.host), (self.tower, self.tower_names)):
            for name, target in names.items():
                source = files.source(name)
                source = replace(source, pieces=partial(counted, source))
                converted[on_disk(target)] = self._enlarged(source) if target in (EMBEDDING, OUTPUT) else source
        written = write_shards(directory, converted, shard_bytes)
        self.config.architectures = ["LlavaForConditionalGeneration"]
        self.config.save_pretrained(directory)
        progress(total, total)
        return written

    def write_adapter(self, directory: Path, host: Path) -> None:
        """Save the adapter as the library saves any.

        Args:
            directory: Where it goes.
            host: The host's directory, written already. Of it only those weights are looked at that an adapter
                recognises its host by.
        """
        require_computable({name: self.files.dtypes[name] for name in self.adapter}, "the checkpoint's adapter")
        state = {name.removeprefix(ADAPTER_PREFIX): self._finite(name) for name in self.adapter}
        recognised = [*filter(_is_recognised, self.host.values())]
        empty, made = _empty_host(self.config), WeightFiles(host)
        empty.load_state_dict({name: made.get(on_disk(name)) for name in recognised}, strict=False, assign=True)
        # Nothing of a host plugin is used, so none shall be asked for when the adapter is loaded.
        parts = replace(find_parts(empty), plugin=None)
        snapshot = AdapterSnapshot(
            config=self.adapter_config,
            chat=ChatFormat(),
            host=fingerprint(parts),
            base_model=None,
            plugins=plugins_used(self.adapter_config, parts.model_type, None, has_layer=True),
            weights=from_reference(state, self.adapter_config.num_experts),
            projector=None,
            lora_config=None,
            lora=None,
        )
        write_adapter(snapshot, directory)

    def _finite(self, name: str) -> TensorSource:
        """A weight of the adapter, refused where it is not finite."""
        source = self.files.source(name)

        def pieces() -> Iterator[Tensor]:
            for piece in source.pieces():
                require_finite([] if piece.isfinite().all() else [name], "the checkpoint's adapter")
                yield piece

        return replace(source, pieces=pieces)

    def _enlarged(self, table: TensorSource) -> TensorSource:
        """An embedding table with rows for the placeholder: the mean of all others."""
        rows, width = table.shape
        missing = self.config.text_config.vocab_size - rows

        def pieces() -> Iterator[Tensor]:
            total = torch.zeros(width, dtype=torch.float64)
            for piece in table.pieces():
                total += piece.sum(0, dtype=torch.float64)
                yield piece
            yield (total / rows).to(table.dtype).expand(missing, width)

        return TensorSource(table.dtype, (rows + missing, width), pieces)

    def _check(self, source: Path, unknown: list[str]) -> None:
        with torch.device("meta"):
            layer = build_layer(self.adapter_config, self.config.text_config.hidden_size)
        empty = _empty_host(self.config)
        expected = {in_memory(name): tuple(value.shape) for name, value in empty.state_dict().items()}
        if self.reference.tied:
            expected.pop(OUTPUT)
        for name in expected.keys() & {EMBEDDING, OUTPUT}:
            expected[name] = (self.reference.vocabulary, expected[name][1])
        given = {target: self.files.shapes[name] for name, target in self.host.items()}
        given |= {target: self.tower.shapes[name] for name, target in self.tower_names.items()}
        for name, value in to_reference(layer, self.adapter_config).items():
            expected[f"{ADAPTER_PREFIX}{name}"] = tuple(value.shape)
        given |= {name: self.files.shapes[name] for name in self.adapter}
        missing = sorted(expected.keys() - given.keys())
        unknown = sorted([*unknown, *(given.keys() - expected.keys())])
        shapes = [
            f"{name}: {given[name]}, expected {expected[name]}"
            for name in sorted(expected.keys() & given.keys())
            if given[name] != expected[name]
        ]
        if missing or unknown or shapes:
            raise CheckpointError(
                explain(
                    f"the weights in {source} are not those its config.json describes.",
                    missing=_some(missing),
                    unknown=_some(unknown),
                    shapes=_some(shapes),
                )
            )


def _tower_part(names: Mapping[str, str]) -> dict[str, str]:
    return {name: target for name, target in names.items() if target.startswith("model.vision_tower.")}


def _is_recognised(name: str) -> bool:
    return name == EMBEDDING or name.startswith(PROJECTOR_PREFIX)


def _empty_host(config: Any) -> Any:
    """The host without memory behind its weights."""
    from transformers import LlavaForConditionalGeneration

    try:
        with torch.device("meta"):
            return LlavaForConditionalGeneration(config)
    except Exception as error:  # transformers has several kinds for it, none of them public
        raise CheckpointError(
            explain("the checkpoint's config.json holds values that make no model.", because=error)
        ) from error


def _some(names: list[str]) -> str | None:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return "; ".join(names[:4]) + more if names else None
