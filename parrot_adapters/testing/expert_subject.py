"""An expert bank under test: its factory, what it declares, and what can be found out by trying."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn

from parrot_adapters.core import Routing, offsets_from_lengths
from parrot_adapters.testing.checks import Factory, seeded
from parrot_adapters.testing.modules import perturb
from parrot_adapters.testing.strategies import ExpertCall, expert_calls
from parrot_adapters.testing.traits import ExpertTraits, declared_by

__all__ = ["ExpertSubject"]

FEW = (3, 1, 4, 2)
CROWD = tuple(1 + item % 3 for item in range(33))  # more items than any drawn batch has


@dataclass(frozen=True)
class ExpertSubject:
    """An expert bank's factory with its traits."""

    factory: Factory
    traits: ExpertTraits

    @classmethod
    def of(cls, factory: Factory, declared: ExpertTraits | Mapping[str, Any] | None = None) -> ExpertSubject:
        """From a factory and what was declared about it, here or in its ``conformance`` attribute."""
        if not isinstance(declared, ExpertTraits):
            declared = ExpertTraits(**(declared_by(factory) if declared is None else declared))
        return cls(factory, _inferred(factory, declared))

    def make(self, seed: int = 0, options: Mapping[str, Any] = MappingProxyType({})) -> nn.Module:
        """A bank just as its factory makes it, from a fixed random state."""
        return _made(self.factory, self.traits, {**copy.deepcopy(self.traits.options), **options}, seed)

    def fresh(self, seed: int = 0, options: Mapping[str, Any] = MappingProxyType({})) -> nn.Module:
        return perturb(self.make(seed, options), seed).eval()

    def option_sets(self) -> list[dict[str, Any]]:
        """Its own options."""
        return [dict(self.traits.options)]

    def calls(self, **wanted: Any) -> SearchStrategy[ExpertCall]:
        """Drawn calls that suit the bank's needs; arguments as for :func:`expert_calls`."""
        t = self.traits
        return expert_calls(t.width, t.num_experts, context=t.needs_context or None, **wanted)

    def cases(self) -> SearchStrategy[ExpertCall]:
        return self.calls()

    def typical(self) -> ExpertCall:
        return _batch(self.traits)

    def crowd(self) -> ExpertCall:
        """One fixed batch with more items than are ever drawn."""
        return _batch(self.traits, CROWD)

    def call(self, module: nn.Module, case: ExpertCall) -> dict[str, Tensor]:
        return {"tokens": module(*case)}

    def trained_by(self, answer: Mapping[str, Tensor]) -> Tensor:
        tokens = answer["tokens"].float()
        return (tokens * torch.randn(tokens.shape, generator=torch.Generator().manual_seed(11))).sum()

    def answer(self, case: ExpertCall, module: nn.Module | None = None) -> dict[str, Tensor]:
        """:meth:`call` of a fresh bank, unless told, from a fixed random state."""
        module = self.fresh() if module is None else module
        with seeded(7):
            return self.call(module, case)


def _made(factory: Factory, traits: ExpertTraits, options: Mapping[str, Any], seed: int = 0) -> nn.Module:
    with seeded(seed):
        module = factory(traits.width, traits.hidden_size, traits.num_experts, **options)
    assert isinstance(module, nn.Module), f"the factory made a {type(module).__name__}, not a torch.nn.Module"
    return module


def _batch(traits: ExpertTraits, sizes: Sequence[int] = FEW) -> ExpertCall:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(len(sizes), traits.num_experts, generator=generator)
    context = torch.randn(len(sizes), traits.width, generator=generator)
    return ExpertCall(
        torch.randn(sum(sizes), traits.width, generator=generator),
        offsets_from_lengths(torch.tensor(sizes)),
        Routing(logits.softmax(-1), logits, None if traits.needs_context is False else context),
    )


def _inferred(factory: Factory, traits: ExpertTraits) -> ExpertTraits:
    """The traits with what was left open found out by trying."""

    def works(trial: ExpertTraits, *, half: bool = False) -> bool:
        try:
            module, call = _made(factory, trial, copy.deepcopy(trial.options)).eval(), _batch(trial)
            if half:
                module, call = module.bfloat16(), call._replace(tokens=call.tokens.bfloat16())
            with seeded(7), torch.no_grad():
                module(*call)
        except Exception:
            return False
        return True

    if not works(replace(traits, needs_context=True)):  # broken; the first check will say how
        return traits
    if traits.needs_context is None:
        traits = replace(traits, needs_context=not works(replace(traits, needs_context=False)))
    if traits.casts is None:
        traits = replace(traits, casts=works(traits, half=True))
    return traits
