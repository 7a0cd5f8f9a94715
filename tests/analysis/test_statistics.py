"""Routing statistics against loops over single decisions, and on routers planted to fail."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

import parrot_adapters as pa
from parrot_adapters.core import RoutingStatistics
from parrot_adapters.core.routing_record import counted_rows, of_counted_rows
from parrot_adapters.core.routing_statistics import DEAD, SINGLE, UNIFORM
from parrot_adapters.errors import ConfigError


def record(weights, languages=None, rows=None):
    weights = torch.as_tensor(weights, dtype=torch.float32)
    rows = torch.arange(len(weights)) if rows is None else torch.tensor(rows)
    return pa.RoutingRecord(
        weights=weights,
        logits=weights.clamp(min=1e-9).log(),
        rows=rows,
        offsets=torch.arange(len(weights) + 1),
        unit="item",
        languages=languages,
    )


def drawn(seed, count=40, experts=5):
    generator = torch.Generator().manual_seed(seed)
    weights = (2 * torch.randn(count, experts, generator=generator)).softmax(-1)
    tags = ["en", "tr", "ru", None]
    languages = tuple(tags[i] for i in torch.randint(4, (count,), generator=generator).tolist())
    return record(weights, languages)


def slow_reference(records):
    """The definitions, one decision at a time, in plain Python."""
    decisions = [
        (language, row) for r in records for language, row in zip(r.item_languages(), r.weights.tolist(), strict=True)
    ]
    experts, n = len(decisions[0][1]), len(decisions)
    usage = [sum(p[e] for _, p in decisions) / n for e in range(experts)]
    entropies = [-sum(w * math.log(w) for w in p if w > 0) for _, p in decisions]
    balance = -sum(u * math.log(u) for u in usage if u > 0)
    known = [(language, p) for language, p in decisions if language]
    information = 0.0
    for language in {language for language, _ in known}:
        of_language = sum(other == language for other, _ in known) / len(known)
        for e in range(experts):
            joint = sum(p[e] for other, p in known if other == language) / len(known)
            of_expert = sum(p[e] for _, p in known) / len(known)
            information += joint * math.log(joint / (of_language * of_expert)) if joint else 0.0
    first = {}
    for language, p in known:
        first.setdefault(p.index(max(p)), Counter())[language] += 1
    return {
        "usage": usage,
        "entropy": sum(entropies) / n / math.log(experts),
        "balance": balance / math.log(experts),
        "language_information": information,
        "purity": sum(max(c.values()) for c in first.values()) / len(known),
        "purity_by_chance": max(Counter(x for x, _ in known).values()) / len(known),
    }


@pytest.mark.parametrize("seed", range(3))
def test_statistics_equal_a_loop_over_decisions(seed):
    records = [drawn(seed), drawn(seed + 10, count=7)]
    found = RoutingStatistics.of(records)
    for name, expected in slow_reference(records).items():
        assert getattr(found, name) == pytest.approx(expected, abs=1e-6), name
    assert found.information == pytest.approx(found.balance - found.entropy)
    assert sum(found.top) == pytest.approx(1)
    assert sum(found.counts.values()) == found.decisions == 47


def test_one_expert_per_language_is_all_the_information_there_is():
    weights = torch.eye(3).repeat(4, 1)
    found = RoutingStatistics.of([record(weights, ("en", "tr", "ru") * 4)])
    assert found.language_information == pytest.approx(math.log(3))
    assert (found.purity, found.information, found.entropy) == (1.0, pytest.approx(1.0), 0.0)
    assert found.purity_by_chance == pytest.approx(1 / 3)
    assert found.by_language["tr"] == [0.0, 1.0, 0.0]
    assert found.flags() == []


def test_routing_by_something_else_tells_nothing_of_the_language():
    weights = torch.eye(2).repeat_interleave(2, 0)  # expert 0, 0, 1, 1
    found = RoutingStatistics.of([record(weights, ("en", "tr", "en", "tr"))])
    assert found.language_information == pytest.approx(0)
    assert found.information == pytest.approx(1)  # but it did choose
    assert found.purity == 0.5


def test_uniform_collapse_is_flagged():
    found = RoutingStatistics.of([record(torch.full((6, 4), 0.25))])
    assert found.collapse == "uniform"
    assert "uniform collapse" in found.flags()[0]
    nearly = RoutingStatistics.of([record([[0.27, *[0.146] * 5]] * 3)])  # the example of the docstring
    assert nearly.entropy >= UNIFORM
    assert nearly.collapse == "uniform"
    decided = RoutingStatistics.of([record([[0.4, *[0.12] * 5]] * 3)])
    assert decided.collapse is None


def test_decided_routing_in_equal_shares_is_no_collapse():
    found = RoutingStatistics.of([record(torch.eye(4))])
    assert found.balance == pytest.approx(1)
    assert found.collapse is None


def test_single_expert_collapse_and_dead_experts_are_flagged():
    found = RoutingStatistics.of([record([[0.98, 0.019, 0.001]] * 5)])
    assert found.collapse == "single expert"
    assert found.dead == [2]  # 0.001 < DEAD / 3 < 0.019
    assert DEAD / 3 < 0.019
    assert len(found.flags()) == 2
    assert "expert 0 has 98.0%" in found.flags()[0]
    below = RoutingStatistics.of([record([[SINGLE - 0.02, 0.04, 0.03]] * 5)])
    assert below.collapse is None


@pytest.mark.parametrize(("share", "dead"), [(0.99, [3]), (1.01, []), (3.0, [])])
def test_an_expert_is_dead_below_its_part_of_the_even_share(share, dead):
    """Of E experts the even share is 1 / E, and a DEAD part of that is the line."""
    little = share * DEAD / 4
    rest = (1 - little) / 3
    assert RoutingStatistics.of([record([[rest, rest, rest, little]] * 5)]).dead == dead


@pytest.mark.parametrize(("most", "collapse"), [(SINGLE - 0.001, None), (SINGLE + 0.001, "single expert")])
def test_one_expert_has_it_all_from_its_line_on(most, collapse):
    assert RoutingStatistics.of([record([[most, *[(1 - most) / 3] * 3]] * 5)]).collapse == collapse


@pytest.mark.parametrize(
    ("weights", "dead", "collapse"),
    [
        ([0.33, 0.33, 0.335, 0.005], [], None),  # a fiftieth of the even share
        ([0.332, 0.333, 0.333, 0.002], [3], None),  # less than a hundredth
        ([0.94, 0.02, 0.02, 0.02], [], None),
        ([0.96, 0.02, 0.01, 0.01], [], "single expert"),
        ([0.4, 0.3, 0.2, 0.1], [], None),  # 0.92 of the largest entropy
        ([0.26, 0.26, 0.24, 0.24], [], "uniform"),  # 0.999
    ],
)
def test_where_the_lines_are(weights, dead, collapse):
    found = RoutingStatistics.of([record([weights] * 5)])
    assert (found.dead, found.collapse) == (dead, collapse)


def test_one_expert_alone_cannot_collapse():
    found = RoutingStatistics.of([record(torch.ones(3, 1))])
    assert (found.collapse, found.entropy, found.information) == (None, 0.0, 0.0)


def test_nothing_is_made_up_without_languages():
    found = RoutingStatistics.of([drawn(0), record(torch.eye(5))])
    one = RoutingStatistics.of([record(torch.eye(5), ("en",) * 5)])
    assert found.language_information is not None
    assert (one.language_information, one.purity, one.purity_by_chance) == (None, None, None)


def test_tokens_count_each_with_their_prompts_language():
    weights = torch.eye(2)[[0, 0, 0, 1]]
    per_token = pa.RoutingRecord(
        weights=weights,
        logits=weights,
        rows=torch.tensor([1, 0]),
        offsets=torch.tensor([0, 3, 4]),
        unit="token",
        languages=("en", "tr"),
    )
    assert RoutingStatistics.of([per_token]).counts == {"tr": 3, "en": 1}


@pytest.mark.parametrize(("unit", "mine"), [("item", [0, 2]), ("token", [0, 1, 5])])
def test_a_record_of_some_prompts_is_of_their_items_alone(unit, mine):
    weights = torch.rand(3 if unit == "item" else 6, 2, generator=torch.Generator().manual_seed(0))
    whole = pa.RoutingRecord(
        weights=weights, logits=weights, rows=torch.arange(3), offsets=torch.tensor([0, 2, 5, 6]), unit=unit
    )
    with counted_rows([0, 2]):
        found = of_counted_rows(whole)
    assert (found.rows.tolist(), found.offsets.tolist()) == ([0, 2], [0, 2, 3])
    assert torch.equal(found.weights, weights[mine])
    with counted_rows([7]):
        assert of_counted_rows(whole) is None


def test_what_a_router_left_alone_counts_as_abstained_only():
    weights = torch.eye(2)[[0, 1, 1]]
    some = pa.RoutingRecord(
        weights=weights,
        logits=weights,
        rows=torch.arange(3),
        offsets=torch.arange(4),
        unit="item",
        languages=("en", "tr", None),
        abstain=torch.tensor([False, False, True]),
    )
    found = RoutingStatistics.of([some])
    assert (found.decisions, found.abstained, found.counts) == (2, 1, {"en": 1, "tr": 1})
    assert found.usage == [0.5, 0.5]


def test_nothing_routed_is_an_error():
    with pytest.raises(ConfigError, match="nothing was routed"):
        RoutingStatistics.of([])
    with pytest.raises(ConfigError, match="nothing was routed"):
        RoutingStatistics.of([record(torch.zeros(0, 3))])
    with pytest.raises(ConfigError, match="4 experts cannot be added to statistics of 2"):
        RoutingStatistics.of([record(torch.eye(2)), record(torch.eye(4))])


def test_rows_without_records():
    weights, languages = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]), ["en", "tr", None]
    record = pa.RoutingRecord(
        weights, weights.log(), torch.tensor([0, 1, 2]), torch.arange(4), "item", languages=tuple(languages)
    )
    assert RoutingStatistics.of_rows(weights, languages) == RoutingStatistics.of([record])
