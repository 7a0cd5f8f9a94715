"""What every router promises, each a function of a :class:`RouterSubject` (letters: ``parrot_adapters.core.types``)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn

from parrot_adapters.core import Routing, RoutingInputs, offsets_from_lengths
from parrot_adapters.testing.batches import (
    cast,
    fill_masked,
    insert_columns,
    item_alone,
    positions,
    reorder_rows,
    take_items,
    without_text,
)
from parrot_adapters.testing.checks import Factory, Skipped, agree, checks_of, for_all, seeded
from parrot_adapters.testing.modules import (
    checkpointing,
    compiled,
    deepcopy,
    deterministic,
    gradients_reach,
    perturb,
    pickles,
    state_dict_round_trip,
    stateless,
)
from parrot_adapters.testing.strategies import EXTREME_SCALES, HALF_DTYPES, LANGUAGES, routing_inputs
from parrot_adapters.testing.traits import RouterTraits

__all__ = ["ROUTER_CHECKS", "RouterSubject", "check_router"]


@dataclass(frozen=True)
class RouterSubject:
    """A router's factory with traits of which nothing is left open that could be found out by trying."""

    factory: Factory
    traits: RouterTraits

    @classmethod
    def of(cls, factory: Factory, declared: RouterTraits | None = None) -> RouterSubject:
        """From a factory and what was declared about it, here or in its ``conformance`` attribute."""
        traits = declared or RouterTraits(**getattr(factory, "conformance", {}))
        return cls(factory, _inferred(factory, traits))

    def make(
        self, num_experts: int | None = None, seed: int = 0, options: Mapping[str, Any] = MappingProxyType({})
    ) -> nn.Module:
        """A router just as its factory makes it, from a fixed random state."""
        t = self.traits
        return _made(self.factory, t.width, num_experts or t.num_experts, {**t.options, **options}, seed)

    def fresh(self, seed: int = 0) -> nn.Module:
        return perturb(self.make(seed=seed), seed).eval()

    def inputs(self, **wanted: Any) -> SearchStrategy[RoutingInputs]:
        """Drawn batches that suit the router's needs; arguments as for :func:`routing_inputs`."""
        t = self.traits
        return routing_inputs(t.width, languages=t.needs_languages, token_ids=t.needs_token_ids, **wanted)

    def cases(self) -> SearchStrategy[RoutingInputs]:
        return self.inputs()

    def typical(self) -> RoutingInputs:
        return _typical(self.traits)

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


def check_router(factory: Factory, traits: RouterTraits | None = None) -> None:
    """Hold a router to every promise; the first broken one raises.

    Args:
        factory: ``factory(width, num_experts, **options)`` -> module ``RoutingInputs -> Routing``.
        traits: what it declares; None reads the factory's ``conformance`` mapping, if any, and finds out the rest.

    Raises:
        AssertionError: its message begins with the name of the broken promise and ends with the smallest batch found.
    """
    for check in ROUTER_CHECKS:
        replace(check, traits=traits)(factory)


def interface(subject: RouterSubject) -> None:
    """It answers with a Routing: weights and float32 logits of shape (I, E), or (N, E) and marked ``per_token``."""
    t = subject.traits

    def holds(case: tuple[RoutingInputs, int]) -> None:
        inputs, num_experts = case
        routing = subject.route(inputs, subject.make(num_experts).eval())
        rows = inputs.tokens.shape[0] if t.per_token else inputs.offsets.numel() - 1
        for name, value in (("weights", routing.weights), ("logits", routing.logits)):
            assert tuple(value.shape) == (rows, num_experts), (
                f"{name} have shape {tuple(value.shape)}, expected {(rows, num_experts)}"
            )
        assert routing.logits.dtype == torch.float32, f"logits are {routing.logits.dtype}, they must be float32"
        assert routing.weights.is_floating_point(), f"weights are {routing.weights.dtype}"
        if routing.context is not None:
            expected = (inputs.offsets.numel() - 1, t.width)
            assert tuple(routing.context.shape) == expected, (
                f"context has shape {tuple(routing.context.shape)}, expected {expected}: one per item"
            )
        if routing.abstain is not None:
            shown = f"{routing.abstain.dtype} of shape {tuple(routing.abstain.shape)}"
            assert routing.abstain.dtype == torch.bool, f"abstain is {shown}, it must be torch.bool"
            assert tuple(routing.abstain.shape) == (rows,), f"abstain is {shown}, expected ({rows},)"
        if t.per_token:
            assert routing.per_token, "a router per token must answer with per_token=True (shapes can be ambiguous)"
        else:
            assert not routing.per_token, "it answers per item and says per_token=True"

    for_all(st.tuples(subject.inputs(), st.sampled_from((t.num_experts, t.num_experts + 3))), holds)


def weights_sum_to_one(subject: RouterSubject) -> None:
    """Weights are finite, not negative, and sum to one for every item; logits are not NaN."""

    def holds(inputs: RoutingInputs) -> None:
        _is_routing(subject, subject.route(inputs))

    for_all(subject.inputs(), holds)


def training_mode(subject: RouterSubject) -> None:
    """In training, too, weights are a distribution; two passes differ only if it is declared stochastic."""

    def holds(inputs: RoutingInputs) -> None:
        module = subject.fresh().train()
        routing = subject.route(inputs, module)
        _is_routing(subject, routing)
        if subject.traits.stochastic is False:
            with seeded(8):
                again = subject.call(subject.fresh().train(), inputs)
            agree(again, {"weights": routing.weights}, found_is="second pass", wanted_is="first pass")

    for_all(subject.inputs(), holds)


def active_experts(subject: RouterSubject) -> None:
    """Exactly k weights of each row are non-zero, and ``active`` names them; a dense router has no zeros."""
    t = subject.traits
    sizes: list[int | None] = [t.top_k] if t.k_option is None else [1, 2, t.num_experts - 1]

    def holds(case: tuple[RoutingInputs, int | None]) -> None:
        inputs, k = case
        module = subject.make() if t.k_option is None else subject.make(options={t.k_option: k})
        routing = subject.route(inputs, perturb(module).eval())
        weights, active = routing.weights, routing.active
        used = (weights != 0).sum(-1)
        if t.sums_to_one is False:
            used, weights = used[used > 0], weights[used > 0]
        if k is not None:
            wrong = (used != k).nonzero().flatten()
            assert not wrong.numel(), (
                f"k={k}, but row {int(wrong[0])} has {int(used[wrong[0]])} non-zero weights: "
                f"{[round(w, 4) for w in weights[wrong[0]].tolist()]}"
            )
        if active is not None:
            rows = routing.weights.shape[0]
            assert active.dtype == torch.int64, f"active must be int64 of shape ({rows}, k), not {active.dtype}"
            assert active.ndim == 2, f"active must be of shape ({rows}, k), not {tuple(active.shape)}"
            assert active.shape[0] == rows, f"active must be of shape ({rows}, k), not {tuple(active.shape)}"
            marked = torch.zeros_like(routing.weights, dtype=torch.bool).scatter(-1, active, True)
            assert bool((marked.sum(-1) == active.shape[-1]).all()), "active names an expert twice"
            outside = routing.weights.masked_fill(marked, 0.0)
            assert not bool(outside.any()), "experts that active does not name have non-zero weights"
        if t.sparse is False:
            assert bool((routing.weights > 0).all()), "declared dense (sparse=False), but some weights are zero"

    for_all(st.tuples(subject.inputs(), st.sampled_from(sizes)), holds)


def alone_equals_batch(subject: RouterSubject) -> None:
    """An item is routed the same alone as in any batch."""
    if not subject.traits.independent_items:
        raise Skipped("declared: items compete across the batch (independent_items=False)")

    def holds(inputs: RoutingInputs) -> None:
        together = subject.answer(inputs)
        for item in range(inputs.offsets.numel() - 1):
            alone = subject.answer(item_alone(inputs, item))
            batch = subject.of_items(together, inputs, [item])
            agree(alone, batch, found_is=f"item {item} alone", wanted_is=f"item {item} in the batch")

    for_all(subject.inputs(), holds)


def item_order(subject: RouterSubject) -> None:
    """Items in another order are routed the same, in that order."""

    def holds(case: tuple[RoutingInputs, list[int]]) -> None:
        inputs, priorities = case
        order = _order(priorities, inputs.offsets.numel() - 1)
        moved = subject.answer(take_items(inputs, order))
        wanted = subject.of_items(subject.answer(inputs), inputs, order)
        agree(moved, wanted, found_is="reordered", wanted_is="as they were")

    for_all(st.tuples(subject.inputs(), _priorities()), holds)


def prompt_order(subject: RouterSubject) -> None:
    """Prompts in another order, each item still with its own, change nothing."""

    def holds(case: tuple[RoutingInputs, list[int]]) -> None:
        inputs, priorities = case
        moved = subject.answer(reorder_rows(inputs, _order(priorities, inputs.text.shape[0])))
        agree(moved, subject.answer(inputs), found_is="rows reordered", wanted_is="as they were")

    for_all(st.tuples(subject.inputs(), _priorities()), holds)


def masked_values(subject: RouterSubject) -> None:
    """Whatever stands where ``text_mask`` is False (padding, placeholders, special tokens) changes nothing."""

    def holds(case: tuple[RoutingInputs, float]) -> None:
        inputs, size = case
        noisy = fill_masked(inputs, _garbage(inputs, size))
        agree(
            subject.answer(noisy),
            subject.answer(inputs),
            found_is="other values under the mask",
            wanted_is="as it was",
        )

    for_all(st.tuples(subject.inputs(), st.sampled_from((1.0, 99.0, 1e4))), holds)


def padding_length(subject: RouterSubject) -> None:
    """More padding, on the left or on the right, changes nothing."""

    def holds(case: tuple[RoutingInputs, int]) -> None:
        inputs, count = case
        wanted = subject.answer(inputs)
        for side, at in (("left", 0), ("right", inputs.text.shape[1])):
            agree(
                subject.answer(insert_columns(inputs, at, count)),
                wanted,
                found_is=f"{count} more columns of padding on the {side}",
                wanted_is="as it was",
            )

    for_all(st.tuples(subject.inputs(), st.integers(1, 4)), holds)


def placeholders(subject: RouterSubject) -> None:
    """Image placeholders between the words of a prompt change nothing."""

    def holds(case: tuple[RoutingInputs, int]) -> None:
        inputs, count = case
        wanted = subject.answer(inputs)
        for at in range(1, inputs.text.shape[1]):  # every gap: a drawn one would mostly miss the words
            agree(
                subject.answer(insert_columns(inputs, at, count)),
                wanted,
                found_is=f"{count} placeholders before column {at}",
                wanted_is="as it was",
            )

    for_all(st.tuples(subject.inputs(), st.integers(1, 4)), holds)


def float32_inside(subject: RouterSubject) -> None:
    """For half-precision inputs it computes as for the same numbers in float32, softmax included."""

    def holds(case: tuple[RoutingInputs, torch.dtype, bool]) -> None:
        inputs, dtype, also_summary = case
        summary = dtype if also_summary else torch.float32
        half = cast(inputs, dtype, summary=summary)
        found = subject.answer(half)
        assert found["logits"].dtype == torch.float32, f"logits are {found['logits'].dtype} for {dtype} inputs"
        wanted = subject.answer(cast(half, torch.float32))
        _same_numbers(found, wanted, found_is=f"in {_short(dtype)}", wanted_is="same numbers in float32")

    def full_precision(inputs: RoutingInputs) -> None:
        found = subject.answer(inputs)
        weights = found["weights"].detach()
        assert weights.dtype in (torch.float32, torch.float64), f"weights are {weights.dtype} for float32 inputs"
        difference = float((weights - found["logits"].detach().softmax(-1)).abs().max())
        rounded = [dtype for dtype in HALF_DTYPES if torch.equal(weights, weights.to(dtype).to(weights.dtype))]
        # Nearly but not quite the softmax of the logits, and without a digit that half precision could not hold.
        assert not (1e-6 < difference < 2e-2 and rounded), (
            f"the softmax was taken in {_short(rounded[0])}: weights differ from softmax(logits) by {difference:.2g}"
        )

    for_all(st.tuples(subject.inputs(), st.sampled_from(HALF_DTYPES), st.booleans()), holds)
    for_all(subject.inputs(), full_precision)


def autocast(subject: RouterSubject) -> None:
    """Under bfloat16 autocast it still computes in float32."""

    def holds(inputs: RoutingInputs) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            found = subject.answer(inputs)
        wanted = subject.answer(inputs)
        _same_numbers(found, wanted, found_is="under autocast", wanted_is="without")

    for_all(subject.inputs(), holds)


def half_module(subject: RouterSubject) -> None:
    """Cast to bfloat16 itself (``host.bfloat16()``), it computes in float32 with its rounded parameters."""
    if subject.traits.casts is False:
        raise Skipped("it does not run when cast to half precision (declare casts=True to demand that it does)")

    def holds(inputs: RoutingInputs) -> None:
        half = cast(inputs, torch.bfloat16, summary=torch.float32)
        found = subject.answer(half, subject.fresh().to(torch.bfloat16))
        wanted = subject.answer(cast(half, torch.float32), subject.fresh().to(torch.bfloat16).float())
        _same_numbers(found, wanted, found_is="cast to bfloat16", wanted_is="same numbers in float32")

    for_all(subject.inputs(), holds)


def text_steers(subject: RouterSubject) -> None:
    """Another prompt changes the routing (``uses_text=True``), or must not (``uses_text=False``)."""
    uses = subject.traits.uses_text
    if uses is None:
        raise Skipped("not declared (uses_text)")
    inputs = subject.typical()
    other = replace(inputs, text=inputs.text.flip(0, 1, 2) * 0.7)
    one, two = (subject.answer(x)["weights"].detach() for x in (inputs, other))
    changed = float((one - two).abs().max()) > 1e-6
    assert changed or not uses, "another prompt gave exactly the same weights, though it declares uses_text=True"
    assert uses or not changed, "another prompt changed the weights, though it declares uses_text=False"


def empty_prompts(subject: RouterSubject) -> None:
    """A prompt in which nothing may steer still gives finite weights that sum to one, whatever lies under the mask."""

    def holds(inputs: RoutingInputs) -> None:
        routing = subject.route(inputs)
        _is_routing(subject, routing)
        noisy = subject.answer(fill_masked(inputs, _garbage(inputs, 99.0)))
        agree(
            noisy,
            {"weights": routing.weights},
            found_is="other values under the mask",
            wanted_is="empty prompt",
            only=["weights"],
        )

    for_all(subject.inputs().map(lambda inputs: without_text(inputs, int(inputs.rows[0]))), holds)


def empty_items(subject: RouterSubject) -> None:
    """Items without visual tokens give finite weights that sum to one."""

    def holds(inputs: RoutingInputs) -> None:
        _is_routing(subject, subject.route(inputs))

    for_all(subject.inputs(empty_items=True), holds)


def extreme_values(subject: RouterSubject) -> None:
    """Very large, very small and zero inputs give finite weights that sum to one."""

    def holds(inputs: RoutingInputs) -> None:
        _is_routing(subject, subject.route(inputs))

    for_all(subject.inputs(scales=st.sampled_from(EXTREME_SCALES)), holds)


ROUTER_CHECKS = checks_of(
    RouterSubject.of,
    [
        interface,
        deterministic,
        stateless,
        weights_sum_to_one,
        training_mode,
        active_experts,
        masked_values,
        padding_length,
        placeholders,
        alone_equals_batch,
        item_order,
        prompt_order,
        empty_prompts,
        empty_items,
        extreme_values,
        float32_inside,
        autocast,
        half_module,
        gradients_reach,
        checkpointing,
        text_steers,
        state_dict_round_trip,
        deepcopy,
        pickles,
        compiled,
    ],
)


def _is_routing(subject: RouterSubject, routing: Routing) -> None:
    """The weights are a distribution over experts for every row, and no logit is NaN."""
    weights = routing.weights.detach().float()
    shown = f": {[round(w, 4) for w in weights.reshape(-1, weights.shape[-1])[0].tolist()]}" if weights.numel() else ""
    assert not bool(weights.isnan().any()), "some weights are NaN"
    assert bool(weights.isfinite().all()), "some weights are infinite"
    assert bool((weights >= 0).all()), f"some weights are negative{shown}"
    total = weights.sum(-1)
    allowed = 1e-5 if routing.weights.dtype in (torch.float32, torch.float64) else 2e-2
    wrong = (total - 1).abs() > allowed
    if not subject.traits.sums_to_one:
        wrong &= total != 0
    at = wrong.nonzero().flatten()
    assert not at.numel(), (
        f"the weights of row {int(at[0])} sum to {float(total[at[0]]):.6g}, not one: "
        f"{[round(w, 4) for w in weights[at[0]].tolist()]}"
    )
    logits = routing.logits.detach()
    assert not bool(logits.isnan().any()), "some logits are NaN"
    assert not bool((logits == float("inf")).any()), "some logits are infinite"


def _same_numbers(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, found_is: str, wanted_is: str) -> None:
    agree(found, wanted, found_is=found_is, wanted_is=wanted_is, only=["logits"])
    dtype = found["weights"].dtype
    if dtype not in HALF_DTYPES:
        agree(found, wanted, found_is=found_is, wanted_is=wanted_is, only=["weights"])
        return
    # Weights may be handed on in the host's dtype, but then they are float32 weights rounded once.
    exact, given = wanted["weights"].detach().float(), found["weights"].detach().float()
    excess = float(((given - exact).abs() - (exact.to(dtype).float() - exact).abs()).max())
    assert excess < 2e-5, (
        f"the softmax was taken in {_short(dtype)}: weights {found_is} are {excess:.2g} farther from those of the "
        f"{wanted_is} than rounding explains"
    )


def _garbage(inputs: RoutingInputs, size: float) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(inputs.text.shape, generator=generator) * size


def _priorities() -> SearchStrategy[list[int]]:
    return st.permutations(range(6))


def _order(priorities: Sequence[int], count: int) -> list[int]:
    return [p for p in priorities if p < count]


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _made(factory: Factory, width: int, num_experts: int, options: Mapping[str, Any], seed: int = 0) -> nn.Module:
    with seeded(seed):
        module = factory(width, num_experts, **options)
    assert isinstance(module, nn.Module), f"the factory made a {type(module).__name__}, not a torch.nn.Module"
    return module


def _typical(traits: RouterTraits) -> RoutingInputs:
    generator = torch.Generator().manual_seed(3)
    sizes = torch.tensor([3, 1, 4, 2])
    tokens = torch.randn(10, traits.width, generator=generator)
    mask = torch.ones(3, 6, dtype=torch.bool)
    mask[0, :2] = mask[1, 5:] = mask[2, 3] = False
    offsets = offsets_from_lengths(sizes)
    return RoutingInputs(
        summary=torch.stack([part.mean(0) for part in tokens.split(sizes.tolist())]),
        tokens=tokens,
        offsets=offsets,
        text=torch.randn(3, 6, traits.width, generator=generator),
        text_mask=mask,
        rows=torch.tensor([0, 0, 1, 2]),
        token_ids=torch.randint(100, (3, 6), generator=generator) if traits.needs_token_ids is not False else None,
        languages=LANGUAGES[:3] if traits.needs_languages is not False else None,
    )


def _inferred(factory: Factory, traits: RouterTraits) -> RouterTraits:
    """The traits with what was left open found out by trying, as far as that is possible."""
    traits = _with_k(factory, traits)

    def works(trial: RouterTraits, *, half: bool = False) -> Routing | None:
        try:
            module = _made(factory, trial.width, trial.num_experts, trial.options).eval()
            inputs = _typical(trial)
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
        traits = replace(traits, per_token=answer.weights.ndim == 2 and answer.weights.shape[0] == 10)
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
        option = next((name for name in ("top_k", "k") if name in parameters), None)
    if option is not None and option in parameters and parameters[option].default is inspect.Parameter.empty:
        options.setdefault(option, min(2, traits.num_experts))
    takes_anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if option is None and takes_anything:
        option = next((name for name in ("top_k", "k") if _takes(factory, traits, name)), None)
    traits = replace(traits, options=options, k_option=option)
    if traits.top_k is None and option is None:
        try:
            traits = replace(traits, top_k=_k_of(_made(factory, traits.width, traits.num_experts, options)))
        except Exception:
            return traits
    return traits


def _takes(factory: Factory, traits: RouterTraits, option: str) -> bool:
    """Whether a factory with ``**options`` heeds this one: the module then knows its k."""
    try:
        return _k_of(_made(factory, traits.width, traits.num_experts, {**traits.options, option: 2})) == 2
    except Exception:
        return False


def _k_of(module: nn.Module) -> int | None:
    found = next((getattr(module, name) for name in ("top_k", "k") if hasattr(module, name)), None)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
