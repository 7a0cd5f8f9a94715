"""A weighted sum of several LoRA on the same layers, as one LoRA, exactly: their ranks side by side.

sum_k w_k s_k B_k A_k = [w_1 s_1 B_1 ... w_K s_K B_K] [A_1; ...; A_K]        s = alpha / r, or alpha / sqrt(r)
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.errors import ConfigError, explain
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.lora import LanguageModelLora, lora_arguments
from parrot_adapters.hosts.lora_settings import PEFT_PREFIX, LoraPlan

__all__ = ["LoraTerm", "sum_lora"]


@dataclass(frozen=True, eq=False)
class LoraTerm:
    """One LoRA of a sum.

    Attributes:
        name: Name of its adapter, for messages.
        factor: What it is multiplied by.
        settings: Its settings as peft writes them.
        weights: Its tensors by the names they have in a peft directory.
    """

    name: str
    factor: float
    settings: Mapping[str, Any]
    weights: Mapping[str, Tensor]


def sum_lora(parts: HostParts, terms: Sequence[LoraTerm]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The LoRA that is the weighted sum of several. One that is there twice is there once, with both factors.

    Args:
        parts: The host, without LoRA.
        terms: What is summed, at least one.

    Returns:
        Arguments of ``peft.LoraConfig`` (those that concern training alone are the first's), and tensors by the names
        they have in a peft directory.

    Raises:
        ConfigError: LoRA that is no plain low-rank map (DoRA, biases), or not on the same layers.
    """
    plans = [LanguageModelLora.plan(parts, lora_arguments(term.settings)) for term in terms]
    for term, plan in zip(terms, plans, strict=True):
        _require_plain(term, plan)
        _require_same_layers(terms[0], plans[0], term, plan)
    scales = [_scales(plan) for plan in plans]
    together: list[tuple[LoraTerm, dict[str, float], list[float]]] = []
    for term, scale in zip(terms, scales, strict=True):
        for other, its_scale, factors in together:
            if scale == its_scale and _are_equal(term.weights, other.weights):
                factors.append(term.factor)
                break
        else:
            together.append((term, scale, [term.factor]))
    arguments, alone, weights = lora_arguments(terms[0].settings), len(together) == 1, {}
    ranks: dict[str, int] = {}
    for layer in plans[0].ranks:
        first, second = (f"{PEFT_PREFIX}{layer}.lora_{which}.weight" for which in "AB")
        compress = [term.weights[first].cpu() for term, _, _ in together]  # (r, in) each
        expand = [
            term.weights[second].cpu().double() * (math.fsum(factors) * (1 if alone else scale[layer]))
            for term, scale, factors in together
        ]  # (out, r) each
        weights[first] = torch.cat(compress)
        weights[second] = torch.cat(expand, 1).to(weights[first].dtype)
        ranks[layer] = weights[first].shape[0]
    return (arguments if alone else _with_ranks(arguments, ranks)), weights


def _with_ranks(arguments: Mapping[str, Any], ranks: Mapping[str, int]) -> dict[str, Any]:
    """Settings with these ranks, and the factor one at every layer."""
    rank = next(iter(ranks.values()))
    others = {re.escape(layer): each for layer, each in ranks.items() if each != rank}
    return {
        **arguments,
        "r": rank,
        "lora_alpha": rank,
        "rank_pattern": others,
        "alpha_pattern": dict(others),
        "use_rslora": False,
    }


def _scales(plan: LoraPlan) -> dict[str, float]:
    """The factor of each layer."""
    config = plan.config
    return {
        layer: plan.alphas.get(layer, config.lora_alpha) / (math.sqrt(rank) if config.use_rslora else rank)
        for layer, rank in plan.ranks.items()
    }


def _require_plain(term: LoraTerm, plan: LoraPlan) -> None:
    wanted = {f"{PEFT_PREFIX}{layer}.lora_{which}.weight" for layer in plan.ranks for which in "AB"}
    beyond = sorted(wanted ^ term.weights.keys())
    if beyond:
        raise ConfigError(
            explain(
                f"the LoRA of adapter {term.name!r} is no plain low-rank map, and a weighted sum does not go with it.",
                given=f"use_dora={plan.config.use_dora!r}, lora_bias={plan.config.lora_bias!r}, {beyond[0]}",
                to_do="sum adapters whose LoRA is plain (no DoRA, no bias, linear layers alone), or have none",
            )
        )


def _require_same_layers(first: LoraTerm, its_plan: LoraPlan, other: LoraTerm, plan: LoraPlan) -> None:
    if different := sorted(its_plan.ranks.keys() ^ plan.ranks.keys()):
        raise ConfigError(
            explain(
                f"the LoRA of {first.name!r} and of {other.name!r} are on other layers, and have no weighted sum here.",
                only_in_one=", ".join(different[:3]) + (" ..." if len(different) > 3 else ""),
                to_do="sum adapters with one target_modules, or run each by handle.set_adapter(...)",
            )
        )


def _are_equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return all(value.dtype == other[name].dtype and torch.equal(value, other[name]) for name, value in one.items())
