"""What is under test: a factory with its traits, as a source of modules and of batches to call them with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn

from parrot_adapters.testing.checks import Factory, seeded
from parrot_adapters.testing.traits import declared_by

__all__ = ["NO_OPTIONS", "Subject", "made", "perturb"]

Traits = TypeVar("Traits")
Case = TypeVar("Case")

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
FEW = (3, 1, 4, 2)  # visual tokens of each item
CROWD = tuple(1 + item % 3 for item in range(33))  # more items than any drawn batch has


@dataclass(frozen=True)
class Subject(ABC, Generic[Traits, Case]):
    """A factory with traits of which nothing is left open that could be found out by trying.

    Attributes:
        factory: makes the modules.
        traits: what is known about them.
    """

    factory: Factory
    traits: Traits
    kind: ClassVar[type]
    """The class of the traits."""

    @classmethod
    def of(cls, factory: Factory, declared: Traits | Mapping[str, Any] | None = None) -> Self:
        """From a factory and what was declared about it, here or in its ``conformance`` attribute."""
        given = declared_by(factory) if declared is None else declared
        traits: Traits = cls.kind(**given) if isinstance(given, Mapping) else given
        return cls(factory, cls.inferred(factory, traits))

    @classmethod
    @abstractmethod
    def inferred(cls, factory: Factory, traits: Traits) -> Traits:
        """The traits with what was left open found out by trying, as far as that is possible."""

    @abstractmethod
    def make(self, *, seed: int = 0, options: Mapping[str, Any] = NO_OPTIONS) -> nn.Module:
        """A module just as the factory makes it, from a fixed random state."""

    def fresh(self, *, seed: int = 0, options: Mapping[str, Any] = NO_OPTIONS) -> nn.Module:
        """A module in evaluation mode, perturbed (an untouched one is the identity, which hides faults)."""
        return perturb(self.make(seed=seed, options=options), seed).eval()

    @abstractmethod
    def option_sets(self) -> list[dict[str, Any]]:
        """Sets of the factory's options worth trying."""

    @abstractmethod
    def cases(self, **wanted: Any) -> SearchStrategy[Case]:
        """Drawn batches that suit the module's needs; arguments as for the strategy behind it."""

    @abstractmethod
    def batch(self, sizes: Sequence[int], num_rows: int = 3) -> Case:
        """One fixed batch of items with so many visual tokens each."""

    def typical(self) -> Case:
        """One fixed batch with several items, tokens and prompts."""
        return self.batch(FEW)

    def crowd(self) -> Case:
        """One fixed batch with more items and prompts than are ever drawn."""
        return self.batch(CROWD, num_rows=7)

    @abstractmethod
    def call(self, module: nn.Module, case: Case) -> dict[str, Tensor]:
        """Everything the module answers, by name."""

    def answer(self, case: Case, module: nn.Module | None = None) -> dict[str, Tensor]:
        """:meth:`call` of a fresh module, unless told, from a fixed random state."""
        module = self.fresh() if module is None else module
        with seeded(7):
            return self.call(module, case)

    @abstractmethod
    def trained_by(self, answer: Mapping[str, Tensor]) -> Tensor:
        """A scalar that depends on the answer as the training loss does."""


def made(factory: Factory, *sizes: int, options: Mapping[str, Any] = NO_OPTIONS, seed: int = 0) -> nn.Module:
    """What the factory makes, from a fixed random state.

    Raises:
        AssertionError: it is no module.
    """
    with seeded(seed):
        module = factory(*sizes, **options)
    assert isinstance(module, nn.Module), f"the factory made a {type(module).__name__}, not a torch.nn.Module"
    return module


def perturb(module: nn.Module, seed: int = 0, scale: float = 0.2) -> nn.Module:
    """Noise on every floating parameter, in place, from a generator of its own."""
    generator = torch.Generator().manual_seed(1000 + seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point():
                parameter.add_((torch.randn(parameter.shape, generator=generator) * scale).to(parameter.dtype))
    return module
