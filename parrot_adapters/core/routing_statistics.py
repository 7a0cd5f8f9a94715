"""What a router does, in numbers: pure functions of :class:`~parrot_adapters.RoutingRecord` objects.

    p  routing weights of one decision (an image, or a visual token), (E,), summing to one
    u  usage: the mean of p                     n(l, e)  decisions of language l whose largest weight is expert e's
    H  entropy, divided by log E where it is called normalised: 0 for one expert, 1 for all alike

Every decision counts once. Only sums are kept (:class:`Tally`), so a run of any length costs E numbers per language.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from parrot_adapters.errors import ConfigError, explain

if TYPE_CHECKING:
    from parrot_adapters.core.routing_record import RoutingRecord

__all__ = ["DEAD", "SINGLE", "UNIFORM", "RoutingStatistics", "Tally", "entropy", "mutual_information", "purity"]

UNIFORM = 0.98
"""Mean normalised entropy from which a router counts as choosing nothing. Six experts at 0.98 are, for example, one
weight of 0.27 and five of 0.15: a mixture that hardly differs from the plain mean of the experts."""
SINGLE = 0.95
"""Mean weight from which one expert counts as the only one: the others together change a twentieth of the mixture."""
DEAD = 0.01
"""An expert is dead when its mean weight is below this share of the even one, 1 / E: at a hundredth of its share it
gets a hundredth of its gradient, and no longer learns."""


@dataclass(frozen=True)
class RoutingStatistics:
    """What a router did.

    Attributes:
        decisions: Number of decisions: of images, or of visual tokens for a router that chooses for each.
        abstained: Number of images or tokens on which the router abstained; they enter nothing else.
        num_experts: Number of experts E.
        usage: Mean weight of each expert, (E,).
        top: Share of decisions in which each expert has the largest weight, (E,).
        by_language: Mean weight of each expert, (E,), by language; ``""`` holds the decisions of unknown language.
        counts: Number of decisions by language.
        entropy: Mean normalised entropy of a decision, 0 to 1: 0 when each takes one expert, 1 when each takes all
            alike.
        balance: Normalised entropy of the usage, 0 to 1: 1 when all experts do the same amount of work.
        information: How much the choice depends on what was asked, whatever that is, 0 to 1: entropy of the usage minus
            mean entropy of a decision, normalised. 0 for a constant router, 1 for one expert for each input and all
            experts used.
        language_information: Mutual information of language and expert in nats, over decisions of known language; None
            with fewer than two languages.
        purity: Share of decisions whose language is the most frequent one of their first expert; None with fewer than
            two languages.
        purity_by_chance: The purity if all decisions went to one expert: the share of the most frequent language. None
            with fewer than two languages.
        dead: Numbers of the experts with less than :data:`DEAD` of the even share.
        collapse: ``"uniform"`` (entropy of at least :data:`UNIFORM`), ``"single expert"`` (a mean weight of at least
            :data:`SINGLE`) or None. One expert alone cannot collapse.
    """

    decisions: int
    abstained: int
    num_experts: int
    usage: list[float]
    top: list[float]
    by_language: dict[str, list[float]]
    counts: dict[str, int]
    entropy: float
    balance: float
    information: float
    language_information: float | None
    purity: float | None
    purity_by_chance: float | None
    dead: list[int]
    collapse: str | None

    @staticmethod
    def of(records: Iterable[RoutingRecord]) -> RoutingStatistics:
        """Statistics of some records.

        Raises:
            ConfigError: nothing was routed, or the records are of different numbers of experts.
        """
        tally = Tally()
        for record in records:
            tally.add(record)
        return tally.statistics()

    @staticmethod
    def of_rows(weights: Tensor, languages: Sequence[str | None]) -> RoutingStatistics:
        """Statistics of decisions that were kept without their records.

        Args:
            weights: (K, E), a row per decision.
            languages: of each.

        Raises:
            ConfigError: no decision.
        """
        from parrot_adapters.core.routing_record import RoutingRecord

        rows = torch.arange(len(weights))
        offsets = torch.arange(len(weights) + 1)
        return RoutingStatistics.of(
            [RoutingRecord(weights, weights.log(), rows, offsets, "item", languages=tuple(languages))]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)

    def flags(self) -> list[str]:
        """What deserves a look, in words; empty when nothing does."""
        found = []
        if self.collapse == "uniform":
            found.append(f"uniform collapse: the mean entropy is {self.entropy:.3f} of the largest; nothing is chosen")
        if self.collapse == "single expert":
            most = max(range(self.num_experts), key=self.usage.__getitem__)
            found.append(f"single-expert collapse: expert {most} has {self.usage[most]:.1%} of the weight")
        if self.dead:
            found.append(f"dead experts: {', '.join(map(str, self.dead))} (below {DEAD:.0%} of the even share)")
        return found


@dataclass
class Tally:
    """Sums over decisions, per language; float64, on the CPU.

    Attributes:
        weights: language -> (E,) sum of weights.
        top: language -> (E,) decisions in which the expert has the largest weight.
        counts: language -> decisions.
        entropy: sum of the decisions' entropies in nats.
        abstained: images or tokens left alone; their weights, which nobody used, are in none of the sums.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    top: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    entropy: float = 0.0
    abstained: int = 0

    def add(self, record: RoutingRecord) -> None:
        """Count a record's decisions.

        Raises:
            ConfigError: it has another number of experts than those before.
        """
        weights = record.weights.detach().double().cpu()  # (I, E) or (N, E)
        kept = torch.ones(len(weights), dtype=torch.bool) if record.abstain is None else ~record.abstain.cpu()
        experts = weights.shape[-1]
        if self.weights and experts != self.num_experts:
            raise ConfigError(f"a record of {experts} experts cannot be added to statistics of {self.num_experts}")
        self.abstained += int((~kept).sum())
        languages = [x or "" for x, applied in zip(record.item_languages(), kept.tolist(), strict=True) if applied]
        weights = weights[kept]
        top = torch.nn.functional.one_hot(weights.argmax(-1), experts).double() if len(weights) else weights
        for language in dict.fromkeys(languages):
            mine = torch.tensor([other == language for other in languages])
            zero = torch.zeros(experts, dtype=torch.float64)
            self.weights[language] = self.weights.get(language, zero) + weights[mine].sum(0)
            self.top[language] = self.top.get(language, zero) + top[mine].sum(0)
            self.counts[language] = self.counts.get(language, 0) + int(mine.sum())
        self.entropy += float(entropy(weights).sum())

    @property
    def num_experts(self) -> int:
        return len(next(iter(self.weights.values())))

    def statistics(self) -> RoutingStatistics:
        """The statistics so far.

        Raises:
            ConfigError: nothing was routed.
        """
        total = sum(self.counts.values())
        if total == 0:
            raise ConfigError(
                explain("nothing was routed.", to_do="run the host on prompts with images while it is observed")
            )
        experts = self.num_experts
        usage = torch.stack(list(self.weights.values())).sum(0) / total  # (E,)
        scale = math.log(experts) if experts > 1 else 1.0
        mean_entropy, balance = self.entropy / total / scale, float(entropy(usage)) / scale
        known = {language: n for language, n in self.counts.items() if language and n}
        languages = sorted(known)
        told = len(known) > 1
        collapse = None
        if experts > 1:
            single = float(usage.max()) >= SINGLE
            collapse = "single expert" if single else "uniform" if mean_entropy >= UNIFORM else None
        return RoutingStatistics(
            decisions=total,
            abstained=self.abstained,
            num_experts=experts,
            usage=usage.tolist(),
            top=(torch.stack(list(self.top.values())).sum(0) / total).tolist(),
            by_language={language: (self.weights[language] / n).tolist() for language, n in self.counts.items() if n},
            counts={language: n for language, n in self.counts.items() if n},
            entropy=mean_entropy,
            balance=balance,
            information=max(0.0, balance - mean_entropy),
            language_information=mutual_information(torch.stack([self.weights[x] for x in languages]))
            if told
            else None,
            purity=purity(torch.stack([self.top[x] for x in languages])) if told else None,
            purity_by_chance=max(known.values()) / sum(known.values()) if told else None,
            dead=[e for e, value in enumerate(usage.tolist()) if value < DEAD / experts],
            collapse=collapse,
        )


def entropy(weights: Tensor) -> Tensor:
    """``-sum p log p`` over the last axis in nats; an expert of weight zero adds nothing. (..., E) -> (...)"""
    return -torch.special.xlogy(weights, weights).sum(-1)


def mutual_information(joint: Tensor) -> float:
    """Mutual information of rows and columns of a table of counts or sums of weights, in nats.

    Args:
        joint: (L, E), >= 0, not all zero.
    """
    p = joint.double() / joint.double().sum()
    return max(0.0, float(entropy(p.sum(0)) + entropy(p.sum(1)) - entropy(p.flatten())))


def purity(counts: Tensor) -> float:
    """Share of decisions whose language is the most frequent one of their expert.

    Args:
        counts: (L, E) decisions of each language whose first choice the expert is.
    """
    return float(counts.amax(0).sum() / counts.sum())
