"""One adapter that adds to a host the weighted sum of what several add, exactly; what has no such sum is refused.

What an adapter adds is linear in its experts' last projections and in its LoRA, and in nothing else: so there is a sum
where adapters route alike (or have one expert, which is all there is to choose) and read the same visual tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.adapter.build_layer import build_layer
from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.adapter.fitting_layer import fitting_layer
from parrot_adapters.adapter.prepare_adapter import Detector, PreparedAdapter, layer_features
from parrot_adapters.adapter.snapshot import AdapterSnapshot
from parrot_adapters.core import AlignmentLayer
from parrot_adapters.core.summed_experts import are_summable, sum_experts
from parrot_adapters.errors import ConfigError, explain
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.peft_layers import PeftLayers
from parrot_adapters.hosts.summed_lora import LoraTerm, sum_lora

__all__ = ["Term", "known_factors", "require_summable", "sum_adapters"]

FORM = ("placement", "num_experts", "host_options", "layer_groups")
GROUPS = "layer_experts.group_weights"  # a part of the routing, and no experts
ROUTING = ("router", "router_options", "top_k", "summary", "text_scope", "detector")
# Of one expert they always give one, and read what they may; language-id abstains, and a plugin's router may.
NEVER_ABSTAIN = ("text-guided", "text-guided-qkv", "per-token", "top-k", "visual-only", "uniform", "frozen")
READ_CONTEXT = ("conditioned-swiglu", "gated")


ALIKE = "sum adapters that agree in this, or run each by handle.set_adapter(...)"


@dataclass(frozen=True, eq=False)
class Term:
    """One adapter of a sum.

    Attributes:
        name: Its name on the host.
        factor: What it is multiplied by.
        snapshot: Its settings and weights.
        layer: Its module; None where it has none.
    """

    name: str
    factor: float
    snapshot: AdapterSnapshot
    layer: AlignmentLayer | None

    @property
    def config(self) -> AdapterConfig:
        """Its settings."""
        return self.snapshot.config

    def part(self, name: str) -> dict[str, Tensor]:
        """The weights of a part of its module, by their names in it."""
        weights = self.snapshot.weights or {}
        return {
            key: value for key, value in weights.items() if key.startswith(f"{name}.") and isinstance(value, Tensor)
        }


def known_factors(names: Any, weights: Any) -> dict[str, float]:
    """Factor of each adapter, by name, as a caller gives them.

    Raises:
        ConfigError: Not one finite number for each of some different names.
    """
    listed = isinstance(names, Sequence) and not isinstance(names, str)
    if not listed or not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"names={names!r} must be a list of adapters' names, for example ['tr', 'ar']")
    if twice := [name for name in names if list(names).count(name) > 1]:
        to_do = "name it once, with its whole weight"
        raise ConfigError(explain(f"adapter {twice[0]!r} is named more than once.", given=names, to_do=to_do))
    if isinstance(weights, str) or not isinstance(weights, Sequence) or len(weights) != len(names):
        what = f"weights={weights!r} are no list of one number for each of {len(names)} adapters."
        raise ConfigError(explain(what, names=", ".join(names)))
    if bad := [weight for weight in weights if not _is_finite(weight)]:
        raise ConfigError(f"weights must be finite numbers, and {str(bad[0])[:80]!r} is none")
    return {name: float(weight) for name, weight in zip(names, weights, strict=True)}


def _is_finite(weight: Any) -> bool:
    try:
        return not isinstance(weight, bool) and isinstance(weight, Real) and math.isfinite(weight)
    except OverflowError:  # a whole number beyond float64
        return False


def require_summable(terms: Sequence[Term]) -> None:
    """Refuse adapters whose weighted sum is no adapter of their kind.

    Args:
        terms: What is to be summed, at least one.

    Raises:
        ConfigError: They are of different forms, route differently, own different projectors (or the same one, with
            weights that do not sum to one), or have experts that a sum is not known for.
    """
    first = terms[0]
    for term in terms:
        _require_own_kind(term)
        if (term.layer is None) != (first.layer is None):
            bare, other = (first, term) if first.layer is None else (term, first)
            raise _refused(first, term, f"{bare.name!r} has no experts at all", f"{other.name!r} has", ALIKE)
        if term.layer is not None and first.layer is not None:
            _require_same_form(first, term)
        _require_same_projector(first, term)
    whole = math.fsum(term.factor for term in terms)
    if first.snapshot.projector is not None and not math.isclose(whole, 1, rel_tol=1e-6):
        raise ConfigError(
            explain(
                f"weights that sum to {whole:g} do not go with adapters that own a projector, which cannot be scaled.",
                given=", ".join(f"{term.name}: {term.factor:g}" for term in terms),
                to_do="give weights that sum to one, or sum adapters without train_projector",
            )
        )
    if not _one_weight_anyway(terms):
        for term in terms[1:]:
            _require_same_routing(first, term)


def sum_adapters(parts: HostParts, terms: Sequence[Term], detector: Detector | None) -> PreparedAdapter:
    """The adapter that is the weighted sum of several.

    Args:
        parts: The host, as it is without any adapter.
        terms: What is summed; :func:`require_summable` has let it pass.
        detector: The first adapter's.

    Raises:
        ConfigError: LoRA that has no sum, or a sum beyond what the weights' dtype holds.
    """
    first = terms[0]
    config, state = _summed_module(terms)
    layer = None
    if first.layer is not None:
        build = partial(build_layer, config, parts.width, layer_features(parts, config))
        layer = fitting_layer(build, config, state, Path("the weighted sum"))
    lora_terms = [
        LoraTerm(term.name, term.factor, term.snapshot.lora_config, term.snapshot.lora)
        for term in terms
        if term.snapshot.lora_config is not None and term.snapshot.lora is not None
    ]
    lora, lora_weights = sum_lora(parts, lora_terms) if lora_terms else (None, None)
    _require_finite({**state, **(lora_weights or {})}, terms)
    return PreparedAdapter(
        parts=parts,
        config=config,
        layer=layer,
        chat=first.snapshot.chat,
        detector=detector,
        owns_projector=first.snapshot.projector is not None,
        lora=lora,
        projector_weights=first.snapshot.projector,
        lora_weights=lora_weights,
    )


def _summed_module(terms: Sequence[Term]) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """Settings and weights of the module. What is there twice is there once, with both factors."""
    first, config = terms[0], terms[0].config
    if first.layer is None:
        return config, {}
    options = dict(config.expert_options)
    state = {
        name: value.detach().cpu().clone()
        for part in ("router", "summary", GROUPS)
        for name, value in first.part(part).items()
    }
    if first.layer.experts is not None:
        moe_scale, by_moe = _apart([term.config.moe_scale for term in terms])
        scale, by_scale = _apart([_own(term.layer, "scale") for term in terms])
        factors = [t.factor * a * b for t, a, b in zip(terms, by_moe, by_scale, strict=True)]
        summed = _sum_part(terms, "experts", factors)
        if scale != float(options.get("scale", 1.0)):
            options["scale"] = scale
        size = int(summed["experts.down"].shape[1])
        if (shared := summed.get("experts.shared_down")) is not None and (
            shared.shape[0] != size or "shared_hidden_size" in options
        ):
            options["shared_hidden_size"] = int(shared.shape[0])
        residual = _residual([term.config.residual_scale for term in terms], [term.factor for term in terms])
        config = replace(config, expert_hidden_size=size, moe_scale=moe_scale, residual_scale=residual)
        state |= summed
    if first.layer.layer_experts is not None:
        scale, by_scale = _apart([_inside(term).layer_scale for term in terms])
        summed = _sum_part(terms, "layer_experts", [t.factor * a for t, a in zip(terms, by_scale, strict=True)])
        if scale != _inside(first).layer_scale:
            options["layer_scale"] = scale
        last = {name.rpartition(".")[2]: value for name, value in summed.items()}
        if "shared_down" in last:
            options["shared_rank"] = int(last["shared_down"].shape[0])
        config = replace(config, layer_rank=int(last["down"].shape[1]))
        state |= summed
    return replace(config, expert_options=options), state


def _sum_part(terms: Sequence[Term], part: str, factors: Sequence[float]) -> dict[str, Tensor]:
    states: list[dict[str, Tensor]] = []
    together: list[list[float]] = []
    for term, factor in zip(terms, factors, strict=True):
        mine = {name: value for name, value in term.part(part).items() if not name.startswith(f"{GROUPS}.")}
        for known, its in zip(states, together, strict=True):
            if _are_equal(mine, known):
                its.append(factor)
                break
        else:
            states.append(mine)
            together.append([factor])
    return sum_experts(states, [math.fsum(each) for each in together])


def _apart(scales: Sequence[float]) -> tuple[float, list[float]]:
    """A factor that all have stays one of the settings; others go into the weights."""
    alike = all(scale == scales[0] for scale in scales)
    return (scales[0], [1.0] * len(scales)) if alike else (1.0, list(scales))


def _residual(scales: Sequence[float], factors: Sequence[float]) -> float:
    """What an adapter with a residual of r adds holds (r - 1) times the visual tokens."""
    if math.fsum(factors) == 1 and all(scale == scales[0] for scale in scales):
        return scales[0]
    return 1 + math.fsum(factor * (scale - 1) for factor, scale in zip(factors, scales, strict=True))


def _own(layer: AlignmentLayer | None, name: str) -> float:
    return float(getattr(layer.experts, name, 1.0)) if layer is not None else 1.0


def _inside(term: Term) -> Any:
    assert term.layer is not None
    return term.layer.layer_experts


def _require_own_kind(term: Term) -> None:
    layer = term.layer
    if layer is None:
        return
    if PeftLayers(layer):
        raise ConfigError(
            explain(
                f"adapter {term.name!r} carries weights of peft in its own module, and a weighted sum leaves them out.",
                to_do="merge or unload them first",
            )
        )
    inside = [] if layer.layer_experts is None else [each for _, each in layer.layer_experts.each()]
    for experts in [*([] if layer.experts is None else [layer.experts]), *inside]:
        if not are_summable(experts):
            raise ConfigError(
                explain(
                    f"{type(experts).__name__} of adapter {term.name!r} and a weighted sum do not go together: what it "
                    "computes is not the library's.",
                    to_do="sum adapters with built-in experts, or run each by handle.set_adapter(...)",
                )
            )


def _require_same_form(first: Term, other: Term) -> None:
    placement = first.config.placement
    names = [
        *FORM,
        *(["expert"] if placement != "layers" else []),
        *(["layer_expert"] if placement != "projector" else []),
    ]
    for name in names:
        here, there = getattr(first.config, name), getattr(other.config, name)
        if here != there:
            raise _refused(first, other, f"{name}={here!r}", f"{name}={there!r}", ALIKE)
    if _inside(first) is not None and _inside(first).features != _inside(other).features:
        different = sorted(_inside(first).features.keys() ^ _inside(other).features.keys())
        only = f"experts at {different[0]} in one alone" if different else "experts at layers of other sizes"
        raise _refused(first, other, f"{len(_inside(first).features)} layers", only, ALIKE)


def _require_same_projector(first: Term, other: Term) -> None:
    mine, theirs = first.snapshot.projector, other.snapshot.projector
    if (mine is None) != (theirs is None) or (mine and theirs and not _are_equal(mine, theirs)):
        kinds = ["the host's projector" if each is None else "a projector of its own" for each in (mine, theirs)]
        way = "sum adapters without train_projector, or with one and the same; or run each by handle.set_adapter(...)"
        raise _refused(first, other, kinds[0], f"{kinds[1]}{' with other weights' if mine and theirs else ''}", way)


def _one_weight_anyway(terms: Sequence[Term]) -> bool:
    """Whether every routing weight is one, whatever the routers read."""

    def holds(config: AdapterConfig) -> bool:
        kinds = {"projector": (config.expert,), "layers": (config.layer_expert,)}
        reads = any(kind in READ_CONTEXT for kind in kinds.get(config.placement, (config.expert, config.layer_expert)))
        return config.num_experts == 1 and config.router in NEVER_ABSTAIN and not reads

    return all(term.layer is None or holds(term.config) for term in terms)


def _require_same_routing(first: Term, other: Term) -> None:
    way = (
        "handle.adapter_names([...]) gives each row its own; or train one adapter on the data of both. Routers stay "
        "alike that have no weights ('uniform', 'language-id') or do not train; with num_experts=1 they may differ"
    )
    for name in ROUTING:
        here, there = getattr(first.config, name), getattr(other.config, name)
        if here != there:
            raise _refused(first, other, f"{name}={here!r}", f"{name}={there!r}", way)
    if first.snapshot.chat != other.snapshot.chat:
        raise _refused(first, other, "a chat format", "another chat format", way)
    for part in ("router", "summary"):
        if not _are_equal(first.part(part), other.part(part)):
            here = getattr(first.config, part)
            raise _refused(first, other, f"{part} {here!r}", f"{part} {here!r} with other weights", way)
    if not _are_equal(first.part(GROUPS), other.part(GROUPS)):
        raise _refused(first, other, "groups of layers", "groups of layers that weigh experts otherwise", way)


def _refused(first: Term, other: Term, here: str, there: str, way: str) -> ConfigError:
    return ConfigError(
        explain(
            f"adapters {first.name!r} and {other.name!r} have no weighted sum that is an adapter.",
            one=f"{first.name}: {here}",
            other=f"{other.name}: {there}",
            to_do=way,
        )
    )


def _require_finite(state: Mapping[str, Tensor], terms: Sequence[Term]) -> None:
    beyond = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if beyond:
        raise ConfigError(
            explain(
                f"the weighted sum holds numbers beyond {state[beyond[0]].dtype}, or NaN.",
                where=beyond[0],
                weights=", ".join(f"{term.name}: {term.factor:g}" for term in terms),
                to_do="take smaller weights, or look for NaN in what was trained",
            )
        )


def _are_equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        value.dtype == other[name].dtype and torch.equal(value, other[name]) for name, value in one.items()
    )
