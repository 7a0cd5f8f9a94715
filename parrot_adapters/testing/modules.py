"""Checks of any module, router or expert bank alike. A subject supplies modules, batches and a way to call."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from parrot_adapters.testing.batches import map_tensors, named_values
from parrot_adapters.testing.checks import Skipped, agree, for_all, seeded
from parrot_adapters.testing.subject import Subject

__all__ = [
    "checkpointing",
    "compiled",
    "deterministic",
    "gradients_reach",
    "inputs_untouched",
    "seeded_call",
    "stateless",
]


OTHER_CALLS = 4  # what is kept may show only after a few
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def inputs_untouched(subject: Subject[Any, Any]) -> None:
    """A call leaves what it was given as it was, in evaluation and in training."""

    def holds(case: Any) -> None:
        for module in (subject.fresh(), subject.fresh().train()):
            given = map_tensors(case, torch.clone)
            seeded_call(subject, module, given)
            now, was = named_values(given), named_values(case)
            changed = [name for name, value in now.items() if not _same(value, was[name])]
            assert not changed, f"a call changed {', '.join(changed)} of what it was given"

    for_all(subject.cases(), holds)


def deterministic(subject: Subject[Any, Any]) -> None:
    """In evaluation the same batch gets the same answer, whatever the random state."""

    def holds(case: Any) -> None:
        answers = []
        for seed in (1, 2):
            module = subject.fresh()
            with seeded(seed):
                answers.append(subject.call(module, case))
        agree(answers[1], answers[0], found_is="second time", wanted_is="first time", rtol=0, atol=1e-6)

    for_all(subject.cases(), holds)


def stateless(subject: Subject[Any, Any]) -> None:
    """Nothing is kept between calls: not in the answers, not in attributes or buffers."""

    def holds(pair: tuple[Any, Any]) -> None:
        one, other = pair
        module = subject.fresh()
        first = seeded_call(subject, module, one)
        before = _attributes(module)
        for _ in range(OTHER_CALLS):
            seeded_call(subject, module, other)
        changed = sorted(name for name, value in _attributes(module).items() if not _equal(before.get(name), value))
        again = seeded_call(subject, module, one)
        agree(again, first, found_is="after another batch", wanted_is="before it", rtol=0, atol=1e-6)
        assert not changed, f"a call in evaluation mode changed {', '.join(changed)} of the module"

    for_all(st.tuples(subject.cases(), subject.cases()), holds)


def gradients_reach(subject: Subject[Any, Any]) -> None:
    """Every parameter receives a gradient from what the training loss can see."""
    module = subject.fresh().train()
    if not list(module.parameters()):
        raise Skipped("it has no parameters")
    loss = subject.trained_by(seeded_call(subject, module, subject.typical()))
    assert loss.requires_grad, "the answer depends on no parameter: it is cut off from the graph"
    loss.backward()
    trained = {n: p for n, p in module.named_parameters() if p.requires_grad and n not in subject.traits.untrained}
    broken = [name for name, p in trained.items() if p.grad is not None and not bool(p.grad.isfinite().all())]
    assert not broken, f"the gradient of {', '.join(broken)} is not finite"
    dead = [name for name, p in trained.items() if p.grad is None or not bool(p.grad.any())]
    assert not dead, f"no gradient reaches {', '.join(dead)} (declare it in traits.untrained if none should)"


def checkpointing(subject: Subject[Any, Any]) -> None:
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


def compiled(subject: Subject[Any, Any]) -> None:
    """``torch.compile`` (traced, eager backend) gives the same answer."""
    if not subject.traits.supports_compile:
        raise Skipped("not declared (supports_compile=True)")
    module, case = subject.fresh(), subject.typical()
    plain = seeded_call(subject, module, case)
    torch._dynamo.reset()
    traced = torch.compile(module, backend="eager")
    try:
        agree(seeded_call(subject, traced, case), plain, found_is="compiled", wanted_is="eager")
    finally:
        torch._dynamo.reset()


def seeded_call(subject: Subject[Any, Any], module: Any, case: Any) -> dict[str, Tensor]:
    """Call from a fixed random state; the answer is a copy, for it may be a view of a parameter."""
    with seeded(7):
        return {name: value.clone() for name, value in subject.call(module, case).items()}


def _plainly(subject: Subject[Any, Any], module: nn.Module, case: Any) -> dict[str, Tensor]:
    return subject.call(module, case)


def _checkpointed(subject: Subject[Any, Any], module: nn.Module, case: Any) -> dict[str, Tensor]:
    answer: dict[str, Tensor] = checkpoint(subject.call, module, case, use_reentrant=False)
    return answer


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other) and one.requires_grad == other.requires_grad
    return bool(one == other)


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
