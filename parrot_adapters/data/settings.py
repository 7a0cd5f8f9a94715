"""What training data is asked for: the sources, and how they are mixed; the keys of ``data:`` in a configuration.

Nothing here imports torch: reading a configuration costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["DataSettings", "SourceSettings"]


@dataclass(frozen=True)
class SourceSettings:
    """One file of the mixture.

    Attributes:
        path: file, directory, pattern (``shards/{000..127}.tar``), Hub name or ``example:NAME/FILE``; relative to the
            configuration file.
        format: a registered data format, or ``"auto"``.
        images: folder that image paths in it are relative to; None for the file's own folder.
        weight: how often it is drawn, relative to its size: 1 means every sample once an epoch.
        language: of all samples that do not say their own (BCP-47); None to leave unknown.
        limit: first samples only; None for all.
        streaming: read from beginning to end without an index, for what does not fit on disk.
        allow_outside: pictures and videos may lie outside of ``images`` (absolute paths, ``../``).
    """

    path: str
    format: str = "auto"
    images: str | None = None
    weight: float = 1.0
    language: str | None = None
    limit: int | None = None
    streaming: bool = False
    allow_outside: bool = False


@dataclass(frozen=True)
class DataSettings:
    """What the run learns from.

    Attributes:
        sources: the mixture.
        max_length: longest sample in tokens, visual tokens included.
        bad_samples: ``"error"`` stops at the first bad sample, ``"skip"`` counts them and writes ``rejects.jsonl``.
        strict: a field of a record that its format does not read is an error instead of a warning, unless it is known
            to change nothing.
        language_caps: most samples of a language per epoch.
        language_temperature: languages are drawn in proportion to ``count ** (1 / temperature)``; 1 leaves the data as
            it is, large values make languages equally frequent.
        group_by_length: batches of samples with similar numbers of tokens.
        token_budget: most padded tokens of a micro-batch (of packed ones: tokens); None to count samples only
            (``batch.per_device``).
        packing: lay the samples of a micro-batch end to end in rows of at most ``max_length``, where the host keeps
            them apart. The same samples a step, the same loss; less padding.
        workers: processes that read and encode.
    """

    sources: tuple[SourceSettings, ...]
    max_length: int = 2048
    bad_samples: Literal["error", "skip"] = "error"
    strict: bool = False
    language_caps: Mapping[str, int] = field(default_factory=dict)
    language_temperature: float = 1.0
    group_by_length: bool = False
    token_budget: int | None = None
    packing: bool = False
    workers: int = 0
