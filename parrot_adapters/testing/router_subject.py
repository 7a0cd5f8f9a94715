"""A router under test: its factory, what it declares, and what can be found out by trying."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn

from parrot_adapters.core import Routing, RoutingInputs, offsets_from_lengths
from parrot_adapters.testing.batches import cast, positions
from parrot_adapters.testing.checks import Factory, seeded
from parrot_adapters.testing.strategies import LANGUAGES, routing_inputs
from parrot_adapters.testing.subject import CROWD, FEW, NO_OPTIONS, Subject, made
from parrot_adapters.testing.traits import RouterTraits

__all__ = ["RouterSubject"]

K_OPTIONS = ("top_k", "k", "topk", "num_active", "num_experts_per_tok")  # what people call it


class RouterSubject(Subject[RouterTraits, RoutingInputs]):
    """A router's factory with its traits."""

    kind = RouterTraits

    @classmethod
    def inferred(cls, factory: Factory, traits: RouterTraits) -> RouterTraits:
        return _inferred(factory, traits)

    def make(
        self, num_experts: int | None = None, *, seed: int = 0, options: Mapping[str, Any] = NO_OPTIONS
    ) -> nn.Module:
        t = self.traits
        return _made(self.factory, t if num_experts is None else replace(t, num_experts=num_experts), options, seed)

    def k_choices(self) -> list[dict[str, int]]:
        """Options that set k, one for each size worth trying; ``[{}]`` where no option does."""
        t = self.traits
        if t.k_option is None:
            return [{}]
        return [{t.k_option: k} for k in sorted({1, 2, t.num_experts - 1, t.num_experts})]

    def option_sets(self) -> list[dict[str, Any]]:
        """Its own options, with each way to set k."""
        return [{**self.traits.options, **choice} for choice in self.k_choices()]

    def cases(self, **wanted: Any) -> SearchStrategy[RoutingInputs]:
        """Drawn batches that suit the router's needs; arguments as for :func:`routing_inputs`."""
        t = self.traits
        return routing_inputs(t.width, languages=t.needs_languages, token_ids=t.needs_token_ids, **wanted)

    def batch(self, sizes: Sequence[int], num_rows: int = 3) -> RoutingInputs:
        return _batch(self.traits, sizes, num_rows)

    def crowd(self) -> RoutingInputs:
        # With languages and ids even where it works without: it may use them all the same.
        return _batch(replace(self.traits, needs_languages=True, needs_token_ids=True), CROWD, num_rows=7)

    def route(self, inputs: RoutingInputs, module: nn.Module | None = None) -> Routing:
        """Call a router, a fresh one unless told, from a fixed random state."""
        module = self.fresh() if module is None else module
        with seeded(7):
            routing = module(inputs)
        assert isinstance(routing, Routing), f"it returned {type(routing).__name__}, not parrot_adapters.Routing"
        return routing

    def call(self, module: nn.Module, case: RoutingInputs) -> dict[str, Tensor]:
        routing = module(case)
        found = {name: getattr(routing, name) for name in ("weights", "logits", "context", "abstain")}
        return {name: value for name, value in found.items() if value is not None}

    def trained_by(self, answer: Mapping[str, Tensor]) -> Tensor:
        # The experts see weights and context; logits are read by auxiliary losses only, so they do not count here.
        seen = [answer[name] for name in ("weights", "context") if name in answer]
        generator = torch.Generator().manual_seed(11)
        return torch.stack([(x.float() * torch.randn(x.shape, generator=generator)).sum() for x in seen]).sum()

    def of_items(self, answer: Mapping[str, Tensor], inputs: RoutingInputs, items: Sequence[int]) -> dict[str, Tensor]:
        """The part of an answer that belongs to these items, in this order."""
        index = torch.tensor(list(items), dtype=torch.int64)
        places = positions(inputs.offsets, items) if self.traits.per_token else index
        return {name: value[index if name == "context" else places] for name, value in answer.items()}


def _made(factory: Factory, traits: RouterTraits, options: Mapping[str, Any] = NO_OPTIONS, seed: int = 0) -> nn.Module:
    # Its options are copied: a factory may write into what it is given.
    given = {**copy.deepcopy(traits.options), **options}
    return made(factory, traits.width, traits.num_experts, options=given, seed=seed)


def _batch(traits: RouterTraits, sizes: Sequence[int] = FEW, num_rows: int = 3) -> RoutingInputs:
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randn(sum(sizes), traits.width, generator=generator)
    mask = torch.ones(num_rows, 6, dtype=torch.bool)
    mask[0, :2] = mask[1, 5:] = mask[2, 3] = False
    return RoutingInputs(
        summary=torch.stack([part.mean(0) for part in tokens.split(list(sizes))]),
        tokens=tokens,
        offsets=offsets_from_lengths(torch.tensor(sizes)),
        text=torch.randn(num_rows, 6, traits.width, generator=generator),
        text_mask=mask,
        rows=torch.tensor([item * num_rows // len(sizes) for item in range(len(sizes))]),
        token_ids=torch.randint(100, (num_rows, 6), generator=generator)
        if traits.needs_token_ids is not False
        else None,
        languages=LANGUAGES[:num_rows] if traits.needs_languages is not False else None,
    )


def _inferred(factory: Factory, traits: RouterTraits) -> RouterTraits:
    """The traits with what was left open found out by trying, as far as that is possible."""
    traits = _with_k(factory, traits)

    def works(trial: RouterTraits, *, half: bool = False) -> Routing | None:
        try:
            module = _made(factory, trial).eval()
            inputs = _batch(trial)
            if half:
                module, inputs = module.to(torch.bfloat16), cast(inputs, torch.bfloat16, summary=torch.float32)
            with seeded(7), torch.no_grad():
                answer = module(inputs)
            return answer if isinstance(answer, Routing) else None
        except Exception:
            return None

    answer = works(replace(traits, needs_languages=True, needs_token_ids=True))
    if answer is None:  # broken; the first check will say how
        return traits
    needs_languages, needs_token_ids = traits.needs_languages, traits.needs_token_ids
    if needs_languages is None:
        needs_languages = works(replace(traits, needs_languages=False, needs_token_ids=True)) is None
    if needs_token_ids is None:
        needs_token_ids = works(replace(traits, needs_languages=needs_languages, needs_token_ids=False)) is None
    traits = replace(traits, needs_languages=needs_languages, needs_token_ids=needs_token_ids)
    if traits.per_token is None:
        traits = replace(traits, per_token=answer.weights.ndim == 2 and answer.weights.shape[0] == sum(FEW))
    if traits.casts is None:
        traits = replace(traits, casts=works(traits, half=True) is not None)
    return traits


def _with_k(factory: Callable[..., Any], traits: RouterTraits) -> RouterTraits:
    """Which option sets k, if any, and what k is: from the signature, else from the module's own attribute."""
    if traits.sparse is False:
        return traits
    option, options = traits.k_option, dict(traits.options)
    parameters: Mapping[str, inspect.Parameter] = {}
    with suppress(TypeError, ValueError):  # some callables cannot be inspected
        parameters = inspect.signature(factory).parameters
    if option is None:
        option = next((name for name in K_OPTIONS if name in parameters), None)
    if option is not None and option in parameters and parameters[option].default is inspect.Parameter.empty:
        options.setdefault(option, min(2, traits.num_experts))
    takes_anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if option is None and takes_anything:
        option = next((name for name in K_OPTIONS if _takes(factory, traits, name)), None)
    traits = replace(traits, options=options, k_option=option)
    if traits.top_k is None and option is None:
        try:
            traits = replace(traits, top_k=_k_of(_made(factory, traits)))
        except Exception:
            return traits
    return traits


def _takes(factory: Factory, traits: RouterTraits, option: str) -> bool:
    """Whether a factory with ``**options`` heeds this one: the module then knows its k."""
    try:
        return _k_of(_made(factory, traits, {option: 2})) == 2
    except Exception:
        return False


def _k_of(module: nn.Module) -> int | None:
    found = next((getattr(module, name) for name in K_OPTIONS if hasattr(module, name)), None)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
