"""Four questions to an adapter: does it tell languages apart, does it keep what pictures show, which expert is worth
what to which language, and what do wrong languages cost?

    K  samples    E  experts    L  languages    D  width
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from parrot_adapters.analysis.layer_hooks import Pass, ablated, next_token_logits, tokens_left, watched
from parrot_adapters.analysis.linear_probe import Probe, category_probe, linear_probe
from parrot_adapters.analysis.token_similarity import Shift, linear_cka, retrieval
from parrot_adapters.core.evaluation_mode import evaluation_mode
from parrot_adapters.core.ragged import item_mean
from parrot_adapters.core.routing_record import RoutingRecord
from parrot_adapters.core.routing_statistics import RoutingStatistics, Tally
from parrot_adapters.core.types import IGNORED
from parrot_adapters.errors import ConfigError, HostError
from parrot_adapters.hosts.host_failures import failures_named

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = ["Diagnosis", "Fault", "Preservation", "Sample", "answers_rightly", "diagnose"]

LOST = 0.5
"""Linear CKA of visual tokens before and after below which the picture counts as damaged."""
CONFUSED = 0.25
"""Two languages taken for one another this often (a random guess among four) are reported as confused."""


@dataclass(frozen=True)
class Sample:
    """One prompt about one picture.

    Attributes:
        inputs: Mapping of keyword arguments of the host's forward, for one row with an image.
        language: BCP-47 tag of the prompt.
        picture: Name of what the prompt is about; samples of one picture in several languages share it.
        options: Token ids of the possible answers, for accuracies; empty for none.
        answer: Place of the right answer among ``options``.
        other_view: Inputs of the same prompt with another picture of the same thing, for retrieval; None for none.
        variants: Inputs of the same question put otherwise, by the name of the fault: ``{"English prompt": inputs,
            ...}``.
        category: Category of what the picture shows, for the category probe; None for none.
    """

    inputs: Mapping[str, Any]
    language: str
    picture: int = 0
    options: tuple[tuple[int, ...], ...] = ()
    answer: int = 0
    other_view: Mapping[str, Any] | None = None
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    category: str | None = None


Score = Callable[["Attachment", Mapping[str, Any], Sample], float]


@dataclass(frozen=True)
class Preservation:
    """What is left of the pictures.

    Attributes:
        shift: of the visual tokens.
        cka: linear CKA of all visual tokens before and after; biased upwards with fewer tokens than the width.
        tokens: how many these were.
        retrieval_before: share of pictures whose other view is the nearest, by the mean visual token without adapter;
            None without other views.
        retrieval_after: the same with it.
        category_before: share of pictures, tested on others than it was fitted to, whose category a linear probe tells
            by the mean visual token without adapter; the mean over categories. None with fewer than two categories of
            two pictures.
        category_after: the same with it.
        category_chance: one over the number of categories; None likewise.
        where: ``"projector"``, or ``"language model"`` where the tokens are those that its last layer leaves.
    """

    shift: Shift
    cka: float
    tokens: int
    retrieval_before: float | None
    retrieval_after: float | None
    category_before: float | None = None
    category_after: float | None = None
    category_chance: float | None = None
    where: str = "projector"


@dataclass(frozen=True)
class Fault:
    """What a fault costs: accuracy with it, and without it on the same samples."""

    right: float
    with_fault: float

    @property
    def lost(self) -> float:
        """Accuracy lost."""
        return self.right - self.with_fault


@dataclass(frozen=True)
class Diagnosis:
    """Answers to the four questions.

    Attributes:
        routing: Statistics of the routing over all samples.
        probe: How well languages are told apart by routing weights; None with fewer than two languages or pictures, or
            one expert.
        preservation: How much of the pictures the visual tokens keep.
        accuracy: Accuracy of the adapted host by language; empty without options.
        host_accuracy: Accuracy without the adapter by language.
        ablation: Accuracy without each expert, (E,), by language.
        faults: Cost of each fault by its name and by language.
    """

    routing: RoutingStatistics
    probe: Probe | None
    preservation: Preservation
    accuracy: dict[str, float]
    host_accuracy: dict[str, float]
    ablation: dict[str, list[float]]
    faults: dict[str, dict[str, Fault]]

    def flags(self) -> list[str]:
        """What deserves a look, in words; empty when nothing does."""
        found = self.routing.flags()
        if self.probe is not None:
            for one, other, share in self.probe.pairs():
                if share >= CONFUSED:
                    found.append(
                        f"languages confused: {one} and {other} are taken for one another {share:.0%} of the time"
                    )
        kept = self.preservation
        if kept.cka < LOST:
            found.append(f"visual content lost: linear CKA of the visual tokens before and after is {kept.cka:.2f}")
        before, after = kept.retrieval_before, kept.retrieval_after
        if before is not None and after is not None and after < before / 2:
            found.append(
                f"visual content lost: another view is found {after:.0%} of the time, {before:.0%} without adapter"
            )
        told, still, chance = kept.category_before, kept.category_after, kept.category_chance
        if told is not None and still is not None and chance is not None and still - chance < (told - chance) / 2:
            found.append(
                f"visual content lost: the category is told {still:.0%} of the time, {told:.0%} without adapter "
                f"(chance {chance:.0%})"
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), "flags": self.flags()}


@torch.no_grad()
def diagnose(
    handle: Attachment,
    samples: Sequence[Sample],
    *,
    score: Score | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Diagnosis:
    """Examine an adapter on samples.

    With options: ``K (E + 3 + variants)`` scored samples; without, ``K`` forward passes. In eval mode meanwhile. Visual
    tokens are looked at where the adapter hands them on. With ``placement="layers"``, which leaves them as they are
    there, it is where the language model leaves them, at two passes more for each sample.

    Args:
        handle: Handle of an attached host; nobody else may be using the host meanwhile.
        samples: Samples, at least one; best the same pictures in every language.
        score: ``(handle, inputs, sample) -> value``, with the sample's language declared (which for one fault is not
            its own); by default :func:`answers_rightly` where samples have options.
        progress: Function that is called after every sample with numbers done and total.

    Raises:
        ConfigError: No samples, or only some have options.
        HostError: A sample without an image, or at which the host fails.
    """
    if not samples:
        raise ConfigError("there is nothing to diagnose on: no samples")
    handle.require_module()
    if score is None and any(sample.options for sample in samples):
        if not all(sample.options for sample in samples):
            raise ConfigError("either all samples have options, or none")
        score = answers_rightly
    languages = list(dict.fromkeys(sample.language for sample in samples))
    tally, seen, scored = Tally(), _Seen(), _Scores()
    with evaluation_mode(handle.model):
        for number, sample in enumerate(samples, 1):
            which = {"sample": f"{number} of {len(samples)}, language {sample.language!r}"}
            with failures_named(HostError, "the host fails at a sample.", which):
                seen.add(handle, sample, tally)
            if score is not None:
                _score(handle, sample, languages, score, scored)
            progress(number, len(samples))
    means = scored.means()
    experts = range(handle.require_module().num_experts)
    return Diagnosis(
        routing=tally.statistics(),
        probe=seen.probe(handle.require_module().num_experts),
        preservation=replace(
            seen.preservation(), where="projector" if handle.require_module().experts is not None else "language model"
        ),
        accuracy=means.get("adapted", {}),
        host_accuracy=means.get("host", {}),
        ablation={x: [means[f"expert {e}"][x] for e in experts] for x in languages} if means else {},
        faults=scored.faults(),
    )


def answers_rightly(handle: Attachment, inputs: Mapping[str, Any], sample: Sample) -> float:
    """1 where the right option has the highest mean log-likelihood per token after the prompt, else 0.

    Options of one token each are read off one forward pass. Longer ones are the rows of one batch where everything in
    ``inputs`` has one row, and take a pass each where it has not (packed patches, for example).
    """
    if all(len(option) == 1 for option in sample.options):
        logits = next_token_logits(handle, dict(inputs))[0]
        likelihoods = [float(logits[option[0]]) for option in sample.options]
    elif all(len(value) == 1 for value in inputs.values() if isinstance(value, Tensor)):
        likelihoods = _likelihoods(handle, inputs, sample.options, sample.language)
    else:
        likelihoods = [_likelihoods(handle, inputs, [option], sample.language)[0] for option in sample.options]
    best = max(range(len(likelihoods)), key=likelihoods.__getitem__)
    return float(best == sample.answer)


@torch.no_grad()
def _likelihoods(
    handle: Attachment, inputs: Mapping[str, Any], options: Sequence[Sequence[int]], language: str
) -> list[float]:
    """Mean log-likelihood per token of each option after the prompt; a batch with a row for each."""
    ids, rows, longest = inputs["input_ids"], len(options), max(map(len, options))  # ids: (1, S)
    places = torch.arange(longest, device=ids.device)
    lengths = torch.tensor([len(option) for option in options], device=ids.device)
    given = {name: _repeated(value, rows) for name, value in inputs.items()}
    padded = [[*option, *[0] * (longest - len(option))] for option in options]
    added, real = torch.tensor(padded, device=ids.device), places < lengths[:, None]  # (O, A) both
    labels = torch.cat([torch.full_like(given["input_ids"], IGNORED), added.masked_fill(~real, IGNORED)], 1)
    for name, value in inputs.items():
        if isinstance(value, Tensor) and value.shape == ids.shape:
            more = added if name == "input_ids" else real if name == "attention_mask" else torch.zeros_like(added)
            given[name] = torch.cat([given[name], more.to(value.dtype)], 1)
    given.setdefault("attention_mask", torch.cat([torch.ones_like(_repeated(ids, rows)), real.to(ids.dtype)], 1))
    # As labels the options are no routing text, whatever the text scope.
    with handle.languages([language] * rows):
        logits = handle.model(**given, labels=labels).logits[:, ids.shape[1] - 1 : -1].float()  # (O, A, V)
    each = logits.log_softmax(-1).gather(-1, added[..., None]).squeeze(-1).masked_fill(~real, 0.0)
    means: list[float] = (each.sum(1) / lengths).tolist()
    return means


def _repeated(value: Any, rows: int) -> Any:
    return value.expand(rows, *value.shape[1:]) if isinstance(value, Tensor) and rows > 1 else value


class _Seen:
    """Routing weights and visual tokens of the samples."""

    def __init__(self) -> None:
        self.weights: list[Tensor] = []
        self.languages: list[str] = []
        self.groups: list[int] = []
        self.passes: list[tuple[Tensor, Tensor]] = []
        self.views: list[tuple[Tensor, Tensor]] = []
        self.others: list[tuple[Tensor, Tensor]] = []
        self.pictures: dict[int, tuple[str, tuple[Tensor, Tensor]]] = {}
        self._met: set[int] = set()

    def add(self, handle: Attachment, sample: Sample, tally: Tally) -> None:
        looked, records = _look(handle, sample.inputs, sample.language)
        for record in records:
            tally.add(record)
        self.weights.append(torch.cat([record.weights for record in records]).mean(0).cpu())
        self.languages.append(sample.language)
        self.groups.append(sample.picture)
        self.passes.append((looked.before.float().cpu(), looked.after.float().cpu()))
        if sample.category is not None and sample.picture not in self.pictures:
            self.pictures[sample.picture] = sample.category, _means(looked)
        if sample.other_view is not None and sample.picture not in self._met:
            self._met.add(sample.picture)
            self.views.append(_means(looked))
            self.others.append(_means(_look(handle, sample.other_view, sample.language)[0]))

    def probe(self, experts: int) -> Probe | None:
        if len(set(self.languages)) < 2 or len(set(self.groups)) < 2 or experts < 2:
            return None
        return linear_probe(torch.stack(self.weights), self.languages, self.groups)

    def preservation(self) -> Preservation:
        before, after = (torch.cat(side) for side in zip(*self.passes, strict=True))
        found: list[float | None] = [None, None]
        if len(self.views) > 1:
            for side in (0, 1):
                queries = torch.stack([view[side] for view in self.others])
                found[side] = retrieval(queries, torch.stack([view[side] for view in self.views]))
        return Preservation(
            Shift.between(before, after),
            linear_cka(before, after),
            len(before),
            found[0],
            found[1],
            *self._categories(),
        )

    def _categories(self) -> tuple[float | None, float | None, float | None]:
        """Accuracy of the category probe before and after, and by chance."""
        categories = [category for category, _ in self.pictures.values()]
        probes = [
            category_probe(torch.stack([means[side] for _, means in self.pictures.values()]), categories)
            for side in (0, 1)
            if self.pictures
        ]
        if not probes or probes[0] is None or probes[1] is None:
            return None, None, None
        return probes[0].accuracy, probes[1].accuracy, probes[0].chance


class _Scores:
    """Scores by condition and language."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, list[float]]] = {}
        self.compared: dict[str, dict[str, list[tuple[float, float]]]] = {}

    def add(self, condition: str, language: str, value: float) -> None:
        self.values.setdefault(condition, {}).setdefault(language, []).append(value)

    def compare(self, fault: str, language: str, right: float, value: float) -> None:
        self.compared.setdefault(fault, {}).setdefault(language, []).append((right, value))

    def means(self) -> dict[str, dict[str, float]]:
        return {name: {x: sum(v) / len(v) for x, v in by.items()} for name, by in self.values.items()}

    def faults(self) -> dict[str, dict[str, Fault]]:
        return {
            name: {x: Fault(*(sum(side) / len(side) for side in zip(*pairs, strict=True))) for x, pairs in by.items()}
            for name, by in self.compared.items()
        }


def _score(handle: Attachment, sample: Sample, languages: Sequence[str], score: Score, into: _Scores) -> None:
    with handle.languages([sample.language]):
        right = score(handle, sample.inputs, sample)
        into.add("adapted", sample.language, right)
        with handle.disabled():
            into.add("host", sample.language, score(handle, sample.inputs, sample))
        for expert in range(handle.require_module().num_experts):
            with ablated(handle, expert):
                into.add(f"expert {expert}", sample.language, score(handle, sample.inputs, sample))
        for name, inputs in sample.variants.items():
            into.compare(name, sample.language, right, score(handle, inputs, sample))
    if len(languages) > 1:
        wrong = languages[(languages.index(sample.language) + 1) % len(languages)]
        misled = replace(sample, language=wrong)
        with handle.languages([wrong]):
            into.compare("wrong declared language", sample.language, right, score(handle, sample.inputs, misled))


def _look(handle: Attachment, inputs: Mapping[str, Any], language: str) -> tuple[Pass, list[RoutingRecord]]:
    with handle.languages([language]), handle.record_routing() as log, watched(handle) as passes:
        handle.model(**inputs)
    if not passes:
        raise HostError("a sample has no image, or the adapter is disabled: there is nothing to see")
    looked = passes[0]
    if handle.require_module().experts is None:  # visual tokens change further inside
        with handle.languages([language]):
            after = tokens_left(handle, inputs)
            with handle.disabled():
                looked = looked._replace(before=tokens_left(handle, inputs), after=after)
    return looked, log


def _means(looked: Pass) -> tuple[Tensor, Tensor]:
    """(D,) mean visual token before and after."""
    return tuple(item_mean(side, looked.offsets).mean(0).cpu() for side in (looked.before, looked.after))  # type: ignore[return-value]
