"""A router under test: its factory, what it declares, and what can be found out by trying."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn

from parrot_adapters.core import Routing, RoutingInputs, offsets_from_lengths
from parrot_adapters.testing.batches import cast, positions
from parrot_adapters.testing.checks import Factory, seeded
from parrot_adapters.testing.modules import perturb
from parrot_adapters.testing.strategies import LANGUAGES, routing_inputs
from parrot_adapters.testing.traits import RouterTraits, declared_by

__all__ = ["RouterSubject"]

K_OPTIONS = ("top_k", "k", "topk", "num_active", "num_experts_per_tok")  # what people call it
FEW = (3, 1, 4, 2)
CROWD = tuple(1 + item % 3 for item in range(33))  # more items than any drawn batch has


@dataclass(frozen=True)
class RouterSubject:
    """A router's factory with traits of which nothing is left open that could be found out by trying."""

    factory: Factory
    traits: RouterTraits

    @classmethod
    def of(cls, factory: Factory, declared: RouterTraits | Mapping[str, Any] | None = None) -> RouterSubject:
        """From a factory and what was declared about it, here or in its ``conformance`` attribute."""
        if not isinstance(declared, RouterTraits):
            declared = RouterTraits(**(declared_by(factory) if declared is None else declared))
        return cls(factory, _inferred(factory, declared))

    def make(
        self, num_experts: int | None = None, seed: int = 0, options: Mapping[str, Any] = MappingProxyType({})
    ) -> nn.Module:
        """A router just as its factory makes it, from a fixed random state."""
        t = self.traits  # its options are copied: a factory may write into what it is given
        return _made(self.factory, t.width, num_experts or t.num_experts, {**copy.deepcopy(t.options), **options}, seed)

    def fresh(self, seed: int = 0, options: Mapping[str, Any] = MappingProxyType({})) -> nn.Module:
        return perturb(self.make(seed=seed, options=options), seed).eval()

    def k_choices(self) -> list[dict[str, int]]:
        """Options that set k, one for each size worth trying; ``[{}]`` where no option does."""
        t = self.traits
        if t.k_option is None:
            return [{}]
        return [{t.k_option: k} for k in sorted({1, 2, t.num_experts - 1, t.num_experts})]

    def option_sets(self) -> list[dict[str, Any]]:
        """Its own options, with each way to set k."""
        return [{**self.traits.options, **choice} for choice in self.k_choices()]

    def inputs(self, **wanted: Any) -> SearchStrategy[RoutingInputs]:
        """Drawn batches that suit the router's needs; arguments as for :func:`routing_inputs`."""
        t = self.traits
        return routing_inputs(t.width, languages=t.needs_languages, token_ids=t.needs_token_ids, **wanted)

    def cases(self) -> SearchStrategy[RoutingInputs]:
        return self.inputs()

    def typical(self) -> RoutingInputs:
        return _batch(self.traits)

    def crowd(self) -> RoutingInputs:
        """One fixed batch with more items and prompts than are ever drawn."""
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

    def answer(self, inputs: RoutingInputs, module: nn.Module | None = None) -> dict[str, Tensor]:
        """:meth:`call` of a fresh router, unless told, from a fixed random state."""
        module = self.fresh() if module is None else module
        with seeded(7):
            return self.call(module, inputs)

    def of_items(self, answer: Mapping[str, Tensor], inputs: RoutingInputs, items: Sequence[int]) -> dict[str, Tensor]:
        """The part of an answer that belongs to these items, in this order."""
        index = torch.tensor(list(items), dtype=torch.int64)
        places = positions(inputs.offsets, items) if self.traits.per_token else index
        return {name: value[index if name == "context" else places] for name, value in answer.items()}


def _made(factory: Factory, width: int, num_experts: int, options: Mapping[str, Any], seed: int = 0) -> nn.Module:
    with seeded(seed):
        module = factory(width, num_experts, **options)
    assert isinstance(module, nn.Module), f"the factory made a {type(module).__name__}, not a torch.nn.Module"
    return module


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
            module = _made(factory, trial.width, trial.num_experts, copy.deepcopy(trial.options)).eval()
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
            traits = replace(
                traits, top_k=_k_of(_made(factory, traits.width, traits.num_experts, copy.deepcopy(options)))
            )
        except Exception:
            return traits
    return traits


def _takes(factory: Factory, traits: RouterTraits, option: str) -> bool:
    """Whether a factory with ``**options`` heeds this one: the module then knows its k."""
    try:
        return (
            _k_of(_made(factory, traits.width, traits.num_experts, {**copy.deepcopy(traits.options), option: 2})) == 2
        )
    except Exception:
        return False


def _k_of(module: nn.Module) -> int | None:
    found = next((getattr(module, name) for name in K_OPTIONS if hasattr(module, name)), None)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
