"""What training data is asked for: the sources, and how they are mixed; the keys of ``data:`` in a configuration.

Nothing here imports torch: reading a configuration costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from parrot_adapters.language_tags import canonical_language

__all__ = ["DataSettings", "SourceSettings"]


@dataclass(frozen=True)
class SourceSettings:
    """One file of the mixture.

    Attributes:
        path: File, directory, pattern (``shards/{000..127}.tar``), Hub name or ``example:NAME/FILE``; relative to the
            configuration file.
        format: Name of a registered data format, or ``"auto"``.
        images: Folder that image paths in it are relative to; None for the file's own folder.
        weight: How often the source is drawn, relative to its size: 1 means every sample once an epoch.
        language: BCP-47 tag of all samples that do not say their own; None to leave it unknown.
        limit: Number of samples taken, the first ones; None for all.
        streaming: Whether the source is read from beginning to end without an index, for what does not fit on disk.
        allow_outside: Whether pictures and videos may lie outside of ``images`` (absolute paths, ``../``).
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
        sources: Sources of the mixture.
        max_length: Length of the longest sample in tokens, visual tokens included.
        bad_samples: ``"error"`` stops at the first bad sample, ``"skip"`` counts them and writes ``rejects.jsonl``.
        strict: Whether a field of a record that its format does not read is an error instead of a warning, unless it is
            known to change nothing.
        language_caps: Largest number of samples of a language in an epoch, by language, however its tag is written.
        language_temperature: Temperature of the draw of languages, in proportion to ``count ** (1 / temperature)``; 1
            leaves the data as it is, large values make languages equally frequent.
        group_by_length: Whether batches are made of samples with similar numbers of tokens.
        token_budget: Largest number of padded tokens of a micro-batch (of packed ones: tokens); None to count samples
            only (``batch.per_device``).
        packing: Whether the samples of a micro-batch are laid end to end in rows of at most ``max_length``, where the
            host keeps them apart. The same samples a step, the same loss; less padding.
        workers: Number of processes that read and encode.
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

    @property
    def caps(self) -> dict[str, int]:
        """``language_caps`` by the tags that samples have."""
        return {canonical_language(tag): cap for tag, cap in self.language_caps.items()}
