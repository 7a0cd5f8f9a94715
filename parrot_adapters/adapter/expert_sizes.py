"""Fair comparisons: the hidden size at which one kind of expert bank has as many parameters as another."""

from __future__ import annotations

from typing import Any

import torch

from parrot_adapters.errors import ConfigError, explain
from parrot_adapters.plugins import manager

__all__ = ["default_hidden_size", "equal_hidden_size", "expert_parameters"]


def default_hidden_size(kind: str | None, width: int) -> int:
    """The hidden size F of an expert where a config leaves it open.

    Args:
        kind: Name of a registered expert bank; None where the adapter has none at the projector.
        width: Hidden size D of the language model.

    Returns:
        What the bank's ``default_hidden_size(width)`` says, or D where it says nothing, as of a plugin's function.
    """
    factory = None if kind is None else manager.find("expert", kind, asked_by="AdapterConfig.expert").factory
    says = getattr(factory, "default_hidden_size", None)
    return width if says is None else int(says(width))


def expert_parameters(kind: str, width: int, num_experts: int, hidden_size: int, **options: Any) -> int:
    """Count the parameters of an expert bank without allocating any.

    Args:
        kind: Name of a registered expert bank.
        width: Hidden size D of the language model.
        num_experts: Number of experts E.
        hidden_size: Hidden width F of one expert.
        options: Keyword arguments of the expert bank's factory.

    Returns:
        The number of parameters of the whole bank.

    Raises:
        UnknownNameError: No expert bank of that name is registered.
    """
    factory = manager.find("expert", kind, asked_by="expert_parameters").factory
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        bank = factory(width, hidden_size, num_experts, **options)
    return sum(parameter.numel() for parameter in bank.parameters())


def equal_hidden_size(kind: str, width: int, num_experts: int, budget: int, **options: Any) -> int:
    """Find the largest ``expert_hidden_size`` at which an expert bank has at most ``budget`` parameters.

    The controls of the method's two claims are banks of equal size. Is it the *mixture* that helps? Compare six
    experts with one of six times the width. Is it the *guidance*? Compare that one with one that reads the prompt:

        budget = expert_parameters("swiglu", width, 6, 4096)
        text_blind = AdapterConfig(
            router="uniform", expert="swiglu", num_experts=1,
            expert_hidden_size=equal_hidden_size("swiglu", width, 1, budget),
        )
        text_conditioned = AdapterConfig(
            router="text-guided", expert="conditioned-swiglu", num_experts=1,
            expert_hidden_size=equal_hidden_size("conditioned-swiglu", width, 1, budget),
        )

    Args:
        kind: Name of a registered expert bank.
        width: Hidden size D of the language model.
        num_experts: Number of experts E.
        budget: Number of parameters that the whole bank may have.
        options: Keyword arguments of the expert bank's factory, for example ``shared_hidden_size=256``.

    Returns:
        The hidden width F of one expert, at least 1.

    Raises:
        UnknownNameError: No expert bank of that name is registered.
        ConfigError: Even ``F = 1`` has more parameters, or parameters do not grow with F.
    """

    def count(size: int) -> int:
        return expert_parameters(kind, width, num_experts, size, **options)

    smallest = count(1)
    if smallest > budget:
        raise ConfigError(
            explain(
                f"{num_experts} experts {kind!r} of width {width} have more than {budget:,} parameters at any size.",
                given=f"{smallest:,} parameters at hidden size 1",
                to_do="use fewer experts or a larger budget",
            )
        )
    if count(2) <= smallest:
        raise ConfigError(f"the parameters of expert {kind!r} do not grow with its hidden size")
    low, high = 1, 2
    while count(high) <= budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= budget else (low, middle)
    return low
