"""Promises any module makes, router or expert bank alike. A subject supplies modules, batches and a way to call."""

from __future__ import annotations

import copy
import io
import pickle
import sys
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from parrot_adapters.testing.checks import Skipped, agree, for_all, seeded

__all__ = [
    "Subject",
    "checkpointing",
    "compiled",
    "deepcopy",
    "deterministic",
    "gradients_reach",
    "perturb",
    "pickles",
    "state_dict_round_trip",
    "stateless",
]


class Subject(Protocol):
    """A factory with its traits, seen as a source of modules and of batches to call them with."""

    traits: Any

    def fresh(self, seed: int = 0) -> nn.Module:
        """A module in evaluation mode, perturbed (an untouched one is the identity, which hides faults)."""

    def cases(self) -> SearchStrategy[Any]:
        """Ordinary batches."""

    def typical(self) -> Any:
        """One fixed batch with several items, tokens and prompts."""

    def call(self, module: nn.Module, case: Any) -> dict[str, Tensor]:
        """Everything the module answers, by name."""

    def trained_by(self, answer: Mapping[str, Tensor]) -> Tensor:
        """A scalar that depends on the answer as the training loss does."""


_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def perturb(module: nn.Module, seed: int = 0, scale: float = 0.2) -> nn.Module:
    """Noise on every floating parameter, in place, from a generator of its own."""
    generator = torch.Generator().manual_seed(1000 + seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point():
                parameter.add_((torch.randn(parameter.shape, generator=generator) * scale).to(parameter.dtype))
    return module


def deterministic(subject: Subject) -> None:
    """In evaluation the same batch gets the same answer, whatever the random state."""

    def holds(case: Any) -> None:
        answers = []
        for seed in (1, 2):
            module = subject.fresh()
            with seeded(seed):
                answers.append(subject.call(module, case))
        agree(answers[1], answers[0], found_is="second time", wanted_is="first time", rtol=0, atol=1e-6)

    for_all(subject.cases(), holds)


def stateless(subject: Subject) -> None:
    """Nothing is kept between calls: not in the answers, not in attributes or buffers."""

    def holds(pair: tuple[Any, Any]) -> None:
        one, other = pair
        module = subject.fresh()
        first = _seeded_call(subject, module, one)
        before = _attributes(module)
        _seeded_call(subject, module, other)
        changed = sorted(name for name, value in _attributes(module).items() if not _equal(before.get(name), value))
        again = _seeded_call(subject, module, one)
        agree(again, first, found_is="after another batch", wanted_is="before it", rtol=0, atol=1e-6)
        assert not changed, f"a call in evaluation mode changed {', '.join(changed)} of the module"

    for_all(st.tuples(subject.cases(), subject.cases()), holds)


def gradients_reach(subject: Subject) -> None:
    """Every parameter receives a gradient from what the training loss can see."""
    module = subject.fresh().train()
    if not list(module.parameters()):
        raise Skipped("it has no parameters")
    loss = subject.trained_by(_seeded_call(subject, module, subject.typical()))
    assert loss.requires_grad, "the answer depends on no parameter: it is cut off from the graph"
    loss.backward()
    dead = [
        name
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
        and name not in subject.traits.untrained
        and (parameter.grad is None or not bool(parameter.grad.abs().sum() > 0))
    ]
    assert not dead, f"no gradient reaches {', '.join(dead)} (declare it in traits.untrained if none should)"


def checkpointing(subject: Subject) -> None:
    """Gradient checkpointing changes neither the answer nor the gradients."""
    if not list(subject.fresh().parameters()):
        raise Skipped("it has no parameters")
    results = []
    for through in (_plainly, _checkpointed):
        module = subject.fresh().train()
        with seeded(3):
            answer = through(subject, module, subject.typical())
        loss = subject.trained_by(answer)
        if loss.requires_grad:
            loss.backward()
        gradients = {f"the gradient of {n}": p.grad for n, p in module.named_parameters() if p.grad is not None}
        results.append({k: v.detach() for k, v in answer.items()} | gradients)
    agree(results[1], results[0], found_is="checkpointed", wanted_is="plainly", atol=1e-6)


def state_dict_round_trip(subject: Subject) -> None:
    """A new module that loads the state answers the same: all that matters is in the state dict."""
    old = subject.fresh()
    with io.BytesIO() as file:
        torch.save(old.state_dict(), file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
    new = subject.fresh(seed=1)  # so that values which were not saved differ
    new.load_state_dict(state, strict=True)
    case = subject.typical()
    agree(
        _seeded_call(subject, new, case),
        _seeded_call(subject, old, case),
        found_is="loaded",
        wanted_is="saved",
        rtol=0,
        atol=1e-6,
    )


def deepcopy(subject: Subject) -> None:
    """A deep copy, made after training steps, answers the same and is independent of the original."""
    module, case = subject.fresh(), subject.typical()
    answer = _seeded_call(subject, module.train(), case)
    del answer
    copied = copy.deepcopy(module).eval()
    module.eval()
    before = _seeded_call(subject, module, case)
    agree(_seeded_call(subject, copied, case), before, found_is="copy", wanted_is="original", rtol=0, atol=1e-6)
    perturb(module, seed=5)
    agree(
        _seeded_call(subject, copied, case),
        before,
        found_is="copy, after the original was trained on",
        wanted_is="copy before",
        rtol=0,
        atol=1e-6,
    )


def pickles(subject: Subject) -> None:
    """The module can be pickled, and answers the same afterwards."""
    module, case = subject.fresh(), subject.typical()
    local = [type(m).__qualname__ for m in module.modules() if not _importable(type(m))]
    if local:
        raise Skipped(f"{local[0]} is defined inside a function or a script, where pickle cannot find any class")
    copied = pickle.loads(pickle.dumps(module))
    agree(
        _seeded_call(subject, copied, case),
        _seeded_call(subject, module, case),
        found_is="unpickled",
        wanted_is="original",
        rtol=0,
        atol=1e-6,
    )


def compiled(subject: Subject) -> None:
    """``torch.compile`` (traced, eager backend) gives the same answer."""
    if not subject.traits.supports_compile:
        raise Skipped("not declared (supports_compile=True)")
    module, case = subject.fresh(), subject.typical()
    plain = _seeded_call(subject, module, case)
    torch._dynamo.reset()
    traced = torch.compile(module, backend="eager")
    try:
        agree(_seeded_call(subject, traced, case), plain, found_is="compiled", wanted_is="eager")
    finally:
        torch._dynamo.reset()


def _seeded_call(subject: Subject, module: Any, case: Any) -> dict[str, Tensor]:
    with seeded(7):
        return subject.call(module, case)


def _plainly(subject: Subject, module: nn.Module, case: Any) -> dict[str, Tensor]:
    return subject.call(module, case)


def _checkpointed(subject: Subject, module: nn.Module, case: Any) -> dict[str, Tensor]:
    answer: dict[str, Tensor] = checkpoint(subject.call, module, case, use_reentrant=False)
    return answer


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Buffers and plain attributes of every submodule, tensors copied."""
    found: dict[str, Any] = {name: buffer.detach().clone() for name, buffer in module.named_buffers()}
    for path, child in module.named_modules():
        for name, value in vars(child).items():
            if name not in _OF_EVERY_MODULE:
                found[f"{path}.{name}".lstrip(".")] = _frozen(value)
    return {name: value for name, value in found.items() if value is not None}


def _frozen(value: Any) -> Any:
    """A copy of plain data that can be compared later; None for anything else."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_frozen(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _frozen(v) for k, v in value.items() if not isinstance(v, nn.Module | nn.Parameter)}
    return None


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[k], b[k]) for k in a)
    return type(a) is type(b) and bool(a == b)


def _importable(cls: type) -> bool:
    found: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is cls
