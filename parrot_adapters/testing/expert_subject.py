"""An expert bank under test: its factory, what it declares, and what can be found out by trying."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn

from parrot_adapters.core import Routing, offsets_from_lengths
from parrot_adapters.testing.checks import Factory, seeded
from parrot_adapters.testing.strategies import ExpertCall, expert_calls
from parrot_adapters.testing.subject import FEW, NO_OPTIONS, Subject, made
from parrot_adapters.testing.traits import ExpertTraits

__all__ = ["ExpertSubject"]


class ExpertSubject(Subject[ExpertTraits, ExpertCall]):
    """An expert bank's factory with its traits."""

    kind = ExpertTraits

    @classmethod
    def inferred(cls, factory: Factory, traits: ExpertTraits) -> ExpertTraits:
        return _inferred(factory, traits)

    def make(self, *, seed: int = 0, options: Mapping[str, Any] = NO_OPTIONS) -> nn.Module:
        return _made(self.factory, self.traits, options, seed)

    def option_sets(self) -> list[dict[str, Any]]:
        """Its own options."""
        return [dict(self.traits.options)]

    def cases(self, **wanted: Any) -> SearchStrategy[ExpertCall]:
        """Drawn calls that suit the bank's needs; arguments as for :func:`expert_calls`."""
        t = self.traits
        return expert_calls(t.width, t.num_experts, context=t.needs_context or None, **wanted)

    def batch(self, sizes: Sequence[int], num_rows: int = 3) -> ExpertCall:
        return _batch(self.traits, sizes)

    def call(self, module: nn.Module, case: ExpertCall) -> dict[str, Tensor]:
        return {"tokens": module(*case)}

    def trained_by(self, answer: Mapping[str, Tensor]) -> Tensor:
        tokens = answer["tokens"].float()
        return (tokens * torch.randn(tokens.shape, generator=torch.Generator().manual_seed(11))).sum()


def _made(factory: Factory, traits: ExpertTraits, options: Mapping[str, Any] = NO_OPTIONS, seed: int = 0) -> nn.Module:
    # Its options are copied: a factory may write into what it is given.
    given = {**copy.deepcopy(traits.options), **options}
    return made(factory, traits.width, traits.hidden_size, traits.num_experts, options=given, seed=seed)


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
            module, call = _made(factory, trial).eval(), _batch(trial)
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
