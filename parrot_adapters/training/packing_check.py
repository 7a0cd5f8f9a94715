"""Whether a host keeps packed samples apart: seen on the host itself, before a run packs anything.

Nothing declares it. Attention must stay within a sample, positions must begin anew, and whatever else a host does along
a row (convolutions, recurrences, masks of its own) must stop at a border. So two samples are run alone and packed, in
both orders, and their logits compared. What a border is worth is measured too: the same rows without borders.

A few words stand in front of each row, so that no picture is at the place in its row that it has in its sample: a mask
that confuses the two (Gemma 3's, transformers 5.24) is right by accident as long as all samples are built alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.core.evaluation_mode import evaluation_mode
from parrot_adapters.core.types import IGNORED
from parrot_adapters.data.packing import SEGMENTS, PackedCollator, pack, per_position
from parrot_adapters.errors import ConfigError, explain
from parrot_adapters.hosts.packed_rows import packed_arguments

__all__ = ["Apart", "compare_packed", "require_packing"]

LOOKED_AT = 256  # samples among which two with pictures are looked for
WORDS = 3  # in front of a row
ALLOWED = {torch.float32: 0.01, torch.float64: 0.01}  # of what a missing border does, see `Apart`
ALLOWED_IN_HALF = 0.1  # rounding alone makes a few hundredths

Collate = Callable[[list[Any]], dict[str, Any]]


@dataclass(frozen=True)
class Apart:
    """What packing does to the logits of a sample.

    Attributes:
        packed: how far they are from those of the sample alone (root mean square at the worst position).
        mixed: how far without borders.
        allowed: largest ``packed / mixed``; rounding is no leak.
    """

    packed: float
    mixed: float
    allowed: float

    @property
    def kept(self) -> bool:
        """Whether samples are kept apart."""
        return self.packed <= self.allowed * self.mixed


def require_packing(
    model: Any, base: Any, data: Any, collator: PackedCollator, micro_batch: int, device: torch.device
) -> None:
    """Refuse a host that does not keep packed samples apart.

    The samples are the first two with pictures of the first epoch, so that every process tries the same.

    Args:
        model: the host, with its adapter.
        base: its base model.
        data: what is trained on.
        collator: the run's.
        micro_batch: samples of a micro-batch.
        device: where inputs go.

    Raises:
        ConfigError: it does not, or fails when it is given packed samples.
        DataError: a sample is bad and none may be skipped.
    """
    order = (index for batch in data.batches(micro_batch, 0) for index in batch)
    samples = _two_samples(data, order, collator.collator)
    if not samples:  # every sample is bad, which is for the run itself to say
        return
    try:
        found = compare_packed(model, base, collator.collator, samples, device)
    except (torch.OutOfMemoryError, ConfigError):
        raise
    except Exception as error:  # of a host's own code
        raise _refusal(model, because=(str(error).strip() or type(error).__name__).splitlines()[0]) from error
    if not found.kept:
        raise _refusal(
            model,
            found=f"packed, its logits are {found.packed:.2g} from those of a sample alone; without borders "
            f"{found.mixed:.2g}; rounding would explain {found.allowed * found.mixed:.2g}",
        )


def compare_packed(model: Any, base: Any, collate: Collate, samples: Sequence[Any], device: torch.device) -> Apart:
    """Run two samples alone and packed.

    Args:
        model: the host; in eval mode meanwhile.
        base: its base model.
        collate: samples -> arguments, one sample a row.
        samples: two of them.
        device: where inputs go.
    """
    one, other = samples
    with evaluation_mode(model), torch.no_grad():
        alone = [_own_logits(model, collate([sample]), device) for sample in (one, other)]
        packed = _moved(pack(_behind_words(collate([one, other, other, one])), 0, rows=(3, 3)), device)
        segments = packed.pop(SEGMENTS)
        wanted = {1: alone[0], 2: alone[1], 4: alone[1], 5: alone[0]}
        apart = model(**packed_arguments(base, packed, segments)).logits
        mixed = model(**packed, use_cache=False).logits
    return Apart(
        packed=max(_distance(apart[segments == number], logits) for number, logits in wanted.items()),
        mixed=min(_distance(mixed[segments == number], logits) for number, logits in wanted.items()),
        allowed=ALLOWED.get(next(model.parameters()).dtype, ALLOWED_IN_HALF) if not _autocast() else ALLOWED_IN_HALF,
    )


def _behind_words(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Four samples as two threes: words, two samples; words, two samples. The words are from the first one's answer."""
    order = torch.tensor([0, 0, 1, 0, 2, 3])
    answer = batch["labels"][0] != IGNORED
    words = answer & (answer.cumsum(0) <= WORDS)
    made = {**batch, **{name: value[order] for name, value in per_position(batch).items()}}
    made["attention_mask"][[0, 3]] = words.to(made["attention_mask"].dtype)
    return made


def _two_samples(data: Any, order: Iterable[Any], collate: Collate) -> list[Any]:
    """The first two with pictures that can be used, else the first two; one twice where there is no other."""
    seen, usable = [], []
    for index in islice(order, LOOKED_AT):
        sample = data[index]
        batch = collate([sample])
        if (batch["labels"] == IGNORED).all():  # stands for a sample that was skipped
            continue
        usable.append(sample)
        if any(name.startswith("pixel") for name in batch):
            seen.append(sample)
        if len(seen) == 2:
            return seen
    chosen = [*seen, *(sample for sample in usable if not any(sample is one for one in seen))][:2]
    return chosen * 2 if len(chosen) == 1 else chosen


def _own_logits(model: Any, batch: Mapping[str, Any], device: torch.device) -> Tensor:
    given = _moved(batch, device)
    logits: Tensor = model(**given).logits
    mask = given.get("attention_mask")
    return logits[0] if mask is None else logits[0][mask[0].bool()]


def _moved(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """What a host is given, without labels."""
    kept = {k: v for k, v in batch.items() if (k == SEGMENTS or not k.startswith("parrot_")) and k != "labels"}
    return {k: v.to(device) if isinstance(v, Tensor) else v for k, v in kept.items()}


def _distance(found: Tensor, wanted: Tensor) -> float:
    """(S, V), (S, V) -> root mean square of the difference at the position where it is largest."""
    return float((found.float() - wanted.float()).square().mean(-1).sqrt().max())


def _autocast() -> bool:
    return any(torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda"))


def _refusal(model: Any, **lines: Any) -> ConfigError:
    return ConfigError(
        explain(
            "data.packing: this host does not keep packed samples apart.",
            given=f"model_type {model.config.model_type!r}, attention {model.config._attn_implementation!r}",
            **lines,
            to_do="data.packing=false; data.group_by_length=true saves padding at every host",
        )
    )
