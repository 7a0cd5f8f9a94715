"""Freeze an adapter's routing: the mixture under constant weights is *one* plain expert, and no prompt is needed.

With ``p`` constant, ``sum_e p_e Expert_e(V)`` of bias-free SwiGLU experts is exactly one SwiGLU whose hidden units are
those of all experts, ``p`` folded into its last projection; with one non-zero weight it is that expert itself. Likewise
E experts of rank r inside a linear layer become one of rank E r, and a shared one joins it by its own rank. Such an
adapter treats an image the same whatever is asked, so aligned images can be cached, and exported.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from parrot_adapters.atomic_files import as_path
from parrot_adapters.core import LayerExperts, Routing, keep_top_k, token_weights
from parrot_adapters.core.language_router import find_language
from parrot_adapters.errors import CheckpointError, ConfigError, explain
from parrot_adapters.plugins import manager

if TYPE_CHECKING:
    from parrot_adapters.adapter.config import AdapterConfig
    from parrot_adapters.adapter.language_routing import LanguageRouting
    from parrot_adapters.core import AlignmentLayer

__all__ = ["Frozen", "fold_experts", "freeze_config", "freeze_routing", "language_weights", "require_foldable"]

SAMPLES = 256  # random tokens a conversion is verified on
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}  # of the largest output; half precision: below
HALF_TOLERANCE = 3e-2


@dataclass(frozen=True)
class Frozen:
    """What freezing an adapter's routing gave.

    Attributes:
        weights: The constant routing weights, one for each old expert.
        expert: Name of the expert bank of the new adapter; where experts stand inside the layers, their rank.
        hidden_size: Hidden width of its only expert; the rank where it stands inside the layers alone.
        parameters: Number of parameters of the experts, before and after.
        difference: Largest absolute difference between mixture and fold on random tokens.
        bound: The largest difference that was allowed.
    """

    weights: tuple[float, ...]
    expert: str
    hidden_size: int
    parameters: tuple[int, int]
    difference: float
    bound: float


def freeze_routing(
    adapter: str | Path, out: str | Path, *, weights: Sequence[float] | None = None, language: str | None = None
) -> Frozen:
    """Fold a saved adapter under constant routing weights into one plain expert, which reads no prompt.

    Args:
        adapter: Directory of the adapter.
        out: Directory to make; it must not exist, or be empty.
        weights: Constant routing weights, one for each expert, normalised to sum to one; the adapter's ``top_k`` is
            applied. None (default) asks the router for the language's weights or, where it reads prompts, takes the
            mean that was measured and stored beside the adapter (:func:`parrot_adapters.write_language_routing`).
        language: BCP-47 tag of the language whose weights are wanted; noted in the new adapter's files. None (default)
            where ``weights`` are given.

    Returns:
        The weights, the new expert's size, and how far its answers are from the mixture's.

    Raises:
        CheckpointError: ``adapter`` is no adapter, ``out`` holds something, or the fold does not equal the mixture.
        ConfigError: No weights were given and none are known, or the experts cannot be folded.
    """
    from parrot_adapters.adapter.derived_directory import stored_layer, write_derived
    from parrot_adapters.adapter.language_routing import read_language_routing
    from parrot_adapters.adapter.read_adapter_files import read_adapter

    stored = read_adapter(as_path(adapter, "adapter"))
    layer = stored_layer(stored).requires_grad_(False).eval()
    _fold_evenly(layer)  # what cannot be folded is refused for that, not sent for a measurement first
    if weights is None:
        shares = language_weights(layer, language, read_language_routing(adapter))
    else:
        shares = _as_weights(weights, layer.num_experts)
    if layer.top_k is not None:
        shares = keep_top_k(Routing(shares[None], shares[None]), layer.top_k).weights[0]
    folded, inside, compared = None, None, []
    if layer.experts is not None:
        folded = fold_experts(layer.experts, shares)
        compared.append(verify(layer.experts, folded, shares))
    if layer.layer_experts is not None:
        inside = fold_inside(layer.layer_experts, shares)
        compared.append(verify_inside(layer.layer_experts, inside, shares))
    difference, bound = max(compared)
    config = freeze_config(stored.config, folded, inside)
    done = Frozen(
        weights=tuple(shares.tolist()),
        expert=config.expert_kind,
        hidden_size=config.layer_rank if folded is None else _hidden_size(folded, config),
        parameters=(_count(layer.experts) + _count(layer.layer_experts), _count(folded) + _count(inside)),
        difference=difference,
        bound=bound,
    )
    how = {
        "by": "freeze-routing",
        "language": language,
        "weights": [round(share, 8) for share in done.weights],
        "largest_difference_on_random_tokens": difference,
    }
    parts = {"experts": folded, "layer_experts": inside}
    state = {
        f"{part}.{name}": value
        for part, module in parts.items()
        if module is not None
        for name, value in module.state_dict().items()
    }
    write_derived(stored, as_path(out, "out"), config, state, how)
    return done


def require_foldable(adapter: str | Path) -> None:
    """Refuse an adapter that no routing could make foldable, before anybody measures routing for it.

    Args:
        adapter: an adapter directory.

    Raises:
        CheckpointError: it is no adapter.
        ConfigError: its experts cannot be folded into one.
    """
    from parrot_adapters.adapter.derived_directory import stored_layer
    from parrot_adapters.adapter.read_adapter_files import read_adapter

    _fold_evenly(stored_layer(read_adapter(as_path(adapter, "adapter"))))


def _fold_evenly(layer: AlignmentLayer) -> None:
    """Whether experts fold does not depend on the weights, so any will tell."""
    if layer.layer_experts is not None:
        layer.layer_experts.require_foldable()
    if layer.experts is not None:
        fold_experts(layer.experts, torch.full((layer.num_experts,), 1 / layer.num_experts))


def fold_experts(experts: nn.Module, weights: Tensor) -> nn.Module:
    """The one-expert bank that is the mixture under constant weights, in the dtype of the experts.

    Args:
        experts: a bank with a method ``folded(weights)``; all built-in ones but ``conditioned-swiglu`` have it.
        weights: (E,), summing to one.

    Raises:
        ConfigError: the bank cannot be folded.
    """
    fold = getattr(experts, "folded", None)
    if fold is None:
        raise ConfigError(
            explain(
                f"{type(experts).__name__} cannot be folded into one expert: it has no method folded(weights).",
                to_do="freeze an adapter with built-in experts, or add the method (see SwiGLUExperts.folded)",
            )
        )
    with torch.random.fork_rng(devices=[]):
        folded: nn.Module = fold(weights)
    return folded.to(next(experts.parameters()).dtype).requires_grad_(False).eval()


def fold_inside(experts: LayerExperts, weights: Tensor) -> LayerExperts:
    """As :func:`fold_experts`, for the experts inside the layers."""
    with torch.random.fork_rng(devices=[]):
        folded = experts.folded(weights)
    return folded.to(next(experts.parameters()).dtype).requires_grad_(False).eval()


def freeze_config(config: AdapterConfig, folded: nn.Module | None, inside: LayerExperts | None = None) -> AdapterConfig:
    """The config of the frozen adapter: router ``frozen``, one expert, no summary of the host's own, no detector.

    Args:
        config: before.
        folded: the expert at the projector, or None.
        inside: the experts inside the layers, or None.
    """
    frozen = replace(
        config,
        router="frozen",
        router_options={},
        expert_options={} if inside is None else {"layer_scale": inside.layer_scale},
        num_experts=1,
        layer_rank=config.layer_rank if inside is None else inside.rank,
        layer_groups=1,
        top_k=None,
        summary="mean",
        detector=None,
    )
    if folded is None:
        return frozen
    banks = manager.usable("expert", lambda component: component.factory)
    names = [component.name for component, bank in banks if bank is type(folded)]
    if not names:
        raise ConfigError(f"{type(folded).__name__}, which the fold gave, is not a registered expert")
    return replace(frozen, expert=names[0], expert_hidden_size=_hidden_size(folded, config))


def _hidden_size(experts: nn.Module, config: AdapterConfig) -> int:
    """A bank's own, or what its config says where it does not tell."""
    return int(getattr(experts, "hidden_size", None) or config.expert_hidden_size or 0)


def language_weights(
    layer: AlignmentLayer, language: str | None, measured: Mapping[str, LanguageRouting] | None = None
) -> Tensor:
    """(E,) the weights a router gives a language whatever the prompt says, or else the mean that was measured for it.

    Args:
        layer: whose router is asked.
        language: BCP-47 tag; ``tr-TR`` finds ``tr``.
        measured: by language, for routers that read prompts.

    Raises:
        ConfigError: the router reads prompts and nothing was measured, or it does not know the language.
    """
    measured = measured or {}
    ask = getattr(layer.router, "language_weights", None)
    weights: Tensor | None = None if ask is None else ask(language)
    if weights is not None:
        return weights.float()
    if ask is None and (tag := find_language(language, tuple(measured))) is not None:
        return _as_weights(measured[tag].weights, layer.num_experts)
    known = ", ".join(measured if ask is None else getattr(layer.router, "tags", ())) or None
    ways = "give them (--weights 0.1,0.9,...)"
    if ask is None:
        what = f"{type(layer.router).__name__} routes by what each prompt says; which constant weights are meant?"
        if language is not None:
            what += f" (nothing was measured for {language!r})"
        ways += (
            ", measure them once for all (parrot measure-routing ADAPTER --model DIR ...), "
            "or over prompts of the language here (--prompts FILE --model DIR)"
        )
    elif language is None:
        what, ways = "which language's weights are meant?", f"name it (--language TAG), or {ways}"
    else:
        what = f"the router abstains for language {language!r}: it would change nothing."
        ways = f"name a language it knows, or {ways}"
    raise ConfigError(explain(what, known=known, to_do=ways))


def verify(experts: nn.Module, folded: nn.Module, weights: Tensor) -> tuple[float, float]:
    """Largest difference between mixture and fold on random tokens, and the bound it was held to.

    Raises:
        CheckpointError: beyond the bound.
    """
    dtype, width = next(experts.parameters()).dtype, int(getattr(experts, "width", 0))
    tokens = torch.randn(SAMPLES, width, generator=torch.Generator().manual_seed(0))
    offsets = torch.tensor([0, SAMPLES])
    mixture, fold = (copy.deepcopy(bank).float() if dtype.itemsize < 4 else bank for bank in (experts, folded))
    if dtype == torch.float64:
        tokens = tokens.double()
    with torch.no_grad():
        wanted = mixture(tokens, offsets, Routing(weights[None], weights[None].float()))
        one = torch.ones(1, 1)
        found = fold(tokens, offsets, Routing(one, one))
    difference = float((wanted - found).abs().max())
    bound = TOLERANCE.get(dtype, HALF_TOLERANCE) * float(wanted.abs().max())
    if not difference <= bound:
        raise CheckpointError(
            explain(
                "the folded expert does not equal the mixture, so nothing was written.",
                difference=f"{difference:.3g} on {SAMPLES} random tokens, allowed {bound:.3g}",
                expert=f"{type(experts).__name__} -> {type(folded).__name__}",
                to_do="a plugin's expert must override folded() where it overrides the forward pass",
            )
        )
    return difference, bound


@torch.no_grad()
def verify_inside(experts: LayerExperts, folded: LayerExperts, weights: Tensor) -> tuple[float, float]:
    """As :func:`verify`, for the experts inside the layers: the worst of all layers.

    Raises:
        CheckpointError: beyond the bound.
    """
    dtype = next(experts.parameters()).dtype
    mixture, fold = (copy.deepcopy(each).double() for each in (experts, folded))
    one = torch.ones(1, 1)
    shares = [
        each.units(token_weights(Routing(p, p.float()), torch.tensor([0, SAMPLES]), SAMPLES))
        for each, p in ((mixture, weights[None].double()), (fold, one.double()))
    ]
    generator, worst = torch.Generator().manual_seed(0), (0.0, 0.0)
    for path, own in mixture.each():
        tokens = torch.randn(SAMPLES, own.in_features, generator=generator).double()
        wanted, found = mixture.call(path)(tokens, shares[0]), fold.call(path)(tokens, shares[1])
        difference = float((wanted - found).abs().max())
        bound = TOLERANCE.get(dtype, HALF_TOLERANCE) * float(wanted.abs().max())
        if not difference <= bound:
            raise CheckpointError(
                explain(
                    "the folded expert of a layer does not equal the mixture, so nothing was written.",
                    difference=f"{difference:.3g} at {path} on {SAMPLES} random tokens, allowed {bound:.3g}",
                )
            )
        worst = max(worst, (difference, bound))
    return worst


def _as_weights(weights: Sequence[float], num_experts: int) -> Tensor:
    from parrot_adapters.core.control_routers import known_weights

    return torch.tensor(known_weights(list(weights), None, num_experts))


def _count(module: Any) -> int:
    return 0 if module is None else sum(parameter.numel() for parameter in module.parameters())
