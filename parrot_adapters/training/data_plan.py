"""What a run would be trained on: the mixture, lengths of some of its samples, and what of them is of no use."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from parrot_adapters.errors import DataError, ParrotError
from parrot_adapters.training.padding_estimate import heaviest, padding_by_layout
from parrot_adapters.training.training_config import TrainingConfig

if TYPE_CHECKING:
    from parrot_adapters.data import Collator, Mixture

__all__ = ["DataPlan", "SourcePlan", "first_line_and_reason", "pieces_of", "plan_data"]

SAMPLED = 256  # samples whose tokens are counted


@dataclass(frozen=True)
class SourcePlan:
    """A file of the mixture; ``samples`` is None for one that is streamed."""

    path: str
    format: str
    samples: int | None
    weight: float


@dataclass(frozen=True)
class DataPlan:
    """The mixture.

    Attributes:
        sources: its files.
        languages: samples of each language in an epoch; ``"?"`` where nobody said.
        samples: in an epoch; None if unknown.
        tokens: mean length of a sample; None where it was not counted.
        longest: tokens of the longest one counted.
        counted: samples whose tokens were counted.
        padding: share of positions that would be padding, by layout: ``padded`` (a row for each sample), ``grouped``
            (``data.group_by_length``) and ``packed`` (``data.packing``); empty where nothing was counted.
        problem: why the data could not be read, or None.
        unusable: how many of the samples looked at training would stop at or leave out, by kind.
        pictured: how many of the samples looked at show a picture or video; None where none was looked at.
        whole: whether every sample of an epoch was looked at.
    """

    sources: tuple[SourcePlan, ...] = ()
    languages: Mapping[str, int] = field(default_factory=dict)
    samples: int | None = None
    tokens: float | None = None
    longest: int | None = None
    counted: int = 0
    padding: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None
    unusable: Mapping[str, int] = field(default_factory=dict)
    pictured: int | None = None
    whole: bool = False


def plan_data(
    run: TrainingConfig, processor: Any, host_config: Any, notes: list[str]
) -> tuple[DataPlan, dict[str, Any] | None]:
    """The mixture, and its heaviest micro-batch (of the samples looked at) as the host takes it.

    Args:
        run: configuration of the run.
        processor: the host's; None where there is none, and tokens are not counted.
        host_config: the host's config.
        notes: gets what could not be found out.
    """
    from parrot_adapters.data import Collator, open_data
    from parrot_adapters.data.packing import SEGMENTS, pack
    from parrot_adapters.data.rejects import Rejects

    rejects = Rejects()
    try:
        mixture = open_data(run.data, seed=run.seed, rejects=rejects)
    except ParrotError as error:
        if not isinstance(error, DataError):
            raise
        notes.append(f"the data cannot be read: {first_line_and_reason(error)}. Lengths are data.max_length")
        return DataPlan(problem=first_line_and_reason(error)), None
    if not mixture.seekable:
        streamed = tuple(SourcePlan(s.path, s.format, None, s.weight) for s in run.data.sources)
        notes.append("streamed data is not counted before it is read")
        return DataPlan(streamed), None
    sources = tuple(SourcePlan(str(s.path), s.format, len(s), s.settings.weight) for s in mixture.sources)
    languages = {tag or "?": count for tag, count in mixture.languages().items()}
    plan = DataPlan(sources, languages, len(mixture), unusable=rejects.counts())
    if processor is None:
        return plan, None
    collator = Collator(processor, model_config=host_config, max_length=run.data.max_length, bad_samples="skip")
    chosen = mixture.epoch(0)[:SAMPLED].tolist()
    lengths, unusable, pictured = _looked_at(collator, mixture, chosen)
    whole = len(chosen) == len(mixture.epoch(0))
    plan = replace(plan, unusable=dict(Counter(plan.unusable) + Counter(unusable)), pictured=pictured, whole=whole)
    if not lengths:
        notes.append("tokens cannot be counted: none of the samples looked at can be read")
        return plan, None
    chosen = [index for index in chosen if index in lengths]
    try:
        together = heaviest(run, lengths)
        batch = collator([mixture[index] for index in together[: pieces_of(run, len(together))]])
    except ParrotError as error:
        notes.append(f"tokens cannot be counted: {first_line_and_reason(error)}")
        return plan, None
    real = [length for length in lengths.values() if length <= run.data.max_length]
    counted = replace(
        plan,
        tokens=sum(real) / max(len(real), 1),
        longest=max(real, default=0),
        counted=len(real),
        padding=padding_by_layout(run, [lengths[i] for i in chosen if lengths[i] <= run.data.max_length]),
    )
    if run.data.packing:
        batch = pack(batch, run.data.max_length)
    return counted, {key: value for key, value in batch.items() if key == SEGMENTS or not key.startswith("parrot_")}


def _looked_at(
    collator: Collator, mixture: Mixture, chosen: Sequence[int]
) -> tuple[dict[int, int], dict[str, int], int]:
    """Tokens of samples by index, how many of them are of no use, by kind of problem, as parrot data check says, and
    how many show something.
    """
    from parrot_adapters.data.problems import BadSample
    from parrot_adapters.data.sample_checks import SampleChecks

    checks = SampleChecks(collator)
    lengths: dict[int, int] = {}
    unusable: Counter[str] = Counter()
    pictured = 0
    for index in dict.fromkeys(chosen):
        looked = checks.look(mixture[index])
        pictured += any(not isinstance(part, str) for turn in looked.dialogue.turns for part in turn.parts)
        try:
            checks(looked)
        except BadSample as error:
            unusable[error.kind] += 1
        if looked.length:
            lengths[index] = looked.length
    return lengths, dict(unusable), pictured


def pieces_of(run: TrainingConfig, samples: int) -> int:
    """How many of a micro-batch's samples are in memory together.

    Args:
        run: configuration of the run.
        samples: of the micro-batch.
    """
    return math.ceil(samples / run.engine.pieces)


def first_line_and_reason(error: BaseException) -> str:
    """An error's first line and its reason.

    Args:
        error: that was raised.
    """
    lines = (str(error).strip() or type(error).__name__).splitlines()
    reason = next((line.split(maxsplit=1)[1] for line in lines[1:] if line.strip().startswith("because")), None)
    return lines[0].rstrip(".") + (f" ({reason})" if reason else "")
