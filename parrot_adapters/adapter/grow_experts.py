"""Give a trained adapter experts for new languages, with its answers unchanged until they are trained.

**Routers that weigh all experts.** New logits cannot be appended: softmax would take weight from the old experts. A
zero expert cannot be appended either: what it takes of the weight, it takes of the answer. What can be done exactly is
to *split* an expert ``a`` (its parent) into twins ``a, b`` (compare Net2Net, arXiv 1511.05641). Both get the parent's
row of the gate and half of its prior ``q`` (``weights = softmax(W c + log q)``, ``core/prior.py``), so for any prompt

    exp(w_a c) q_a / 2 + exp(w_a c) q_a / 2 = exp(w_a c) q_a:

the sum over experts, hence every other weight, is what it was, and the twins share the parent's weight ``p_a`` evenly.
Both get the parent's parameters, and the last projections move apart by a perturbation ``d`` that cancels:

    p_a / 2 (D + d) h(V) + p_a / 2 (D - d) h(V) = p_a D h(V).

So the answer is the same for every prompt and picture, and yet the twins receive different gradients from the first
step on: they can part, and the loss ``language-supervision`` tells one of them which language is its own. (m children
of one parent: shares ``1 / (m + 1)``, perturbations of mean zero.) Exact in real numbers; in float32 to rounding.

**``language-id``.** Each language has weights of its own, so nothing needs splitting: the new language is mapped to
the new expert, which no other language can reach. It starts as a copy of ``parents``, or from scratch, doing nothing.

**Everything else**: ``top_k``, sparse routers, plugins' routers that have no prior. Which k of E experts win depends on
how many there are, so here the router is left alone: it goes on choosing among the old experts, each of which has
become a *family* of twins, with a gate of its own for who gets what share of the family's weight
(``core/grown_router.py``). Nothing that was learned is touched, so this is exact for every router; ``top_k`` counts
families from now on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from parrot_adapters.adapter.build_layer import build_layer, stored_features
from parrot_adapters.adapter.grow_families import with_families
from parrot_adapters.atomic_files import as_path
from parrot_adapters.core.control_routers import LOGIT_FLOOR, FrozenRouter, UniformRouter, known_weights
from parrot_adapters.core.language_router import LanguageIdRouter, known_languages
from parrot_adapters.core.layer_experts import SUFFIX
from parrot_adapters.errors import CheckpointError, ConfigError, explain
from parrot_adapters.hosts.restored_on_failure import restored_on_failure
from parrot_adapters.plugins import manager

if TYPE_CHECKING:
    from parrot_adapters.adapter.config import AdapterConfig
    from parrot_adapters.adapter.handle import Attachment
    from parrot_adapters.core import Aligned, AlignmentLayer

__all__ = ["Grown", "grow", "grow_adapter", "grow_state"]

TILTS = "layer_experts.group_weights.tilts"  # (G, E, E), where groups of layers weigh experts in their own ways


@dataclass(frozen=True)
class Split:
    """Which old expert each new one comes from.

    Attributes:
        owner: old expert behind each expert of the grown bank; the first E are 0..E-1.
        shares: what part of its owner's weight each gets.
    """

    owner: tuple[int, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, num_experts: int, parents: Sequence[int]) -> Split:
        """Split ``parents`` (repetitions allowed) of E experts."""
        owner = (*range(num_experts), *parents)
        return cls(owner, tuple(1 / owner.count(o) for o in owner))


class Grown(NamedTuple):
    """What :func:`grow_adapter` did: the config, and the largest difference to the old answers on random prompts."""

    config: AdapterConfig
    difference: float


def grow(
    target: Attachment | AlignmentLayer,
    num_new: int,
    *,
    config: AdapterConfig | None = None,
    parents: Sequence[int] | None = None,
    languages: Sequence[str] | None = None,
    noise: float = 0.1,
    seed: int = 0,
) -> AdapterConfig:
    """Add experts to an attached adapter, or to a bare layer, in place, without changing any answer.

    The new parameters are new objects: make the optimizer afterwards.

    Args:
        target: Handle of the attached adapter, or an :class:`AlignmentLayer` together with its ``config``.
        num_new: Number of experts to add, at least 1.
        config: Settings of a bare layer; None (default) for a handle, which knows its own.
        parents: Number of the old expert that each new one is split from; None (default) goes through the old ones in
            order. With ``language-id`` it is the expert to copy, and None starts from scratch.
        languages: BCP-47 tag of each new expert. Needed with ``language-id`` only.
        noise: Size of the perturbation that parts twins, relative to the parent's last projection (default 0.1).
        seed: Seed of the perturbation (default 0).

    Returns:
        The grown configuration; a handle has it as ``handle.config`` from now on.

    Raises:
        ConfigError: The expert bank cannot be grown without changing answers, or an argument is impossible.
    """
    from parrot_adapters.core import AlignmentLayer

    layer = target if isinstance(target, AlignmentLayer) else target.require_module()
    config = config if isinstance(target, AlignmentLayer) else target.config
    if config is None:
        raise ConfigError("a bare layer does not know its config; call grow(layer, n, config=config)")
    old = dict(layer.named_parameters())
    width = None if isinstance(target, AlignmentLayer) else target.parts.width
    grown, state = grow_state(
        config, layer.state_dict(), num_new, parents=parents, languages=languages, noise=noise, seed=seed, width=width
    )
    new = build_layer(grown, width or _width(layer.state_dict(), config), stored_features(state))
    like = next(iter(layer.state_dict().values()))
    new.to(device=like.device)
    for name, parameter in new.named_parameters():
        parameter.data = parameter.data.to(state[name].dtype)
        parameter.requires_grad_(old[name].requires_grad if name in old else True)
    new.load_state_dict(state)
    new.train(layer.training)
    with restored_on_failure((layer,)) if isinstance(target, AlignmentLayer) else target.unchanged_on_failure():
        layer.router, layer.experts = new.router, new.experts
        if layer.layer_experts is not None and new.layer_experts is not None:
            layer.layer_experts.become(new.layer_experts)  # in place: the host's layers know its parts
        layer.num_experts, layer.top_k = new.num_experts, new.top_k
        if not isinstance(target, AlignmentLayer):
            target.config = grown
        return grown


def grow_adapter(
    adapter: str | Path,
    out: str | Path,
    num_new: int,
    *,
    parents: Sequence[int] | None = None,
    languages: Sequence[str] | None = None,
    noise: float = 0.1,
    seed: int = 0,
) -> Grown:
    """As :func:`grow`, from an adapter directory to a new one; verified before anything is written.

    Raises:
        CheckpointError: ``adapter`` is no adapter, ``out`` exists, or answers changed after all.
        ConfigError: as :func:`grow`.
    """
    from parrot_adapters.adapter.derived_directory import stored_layer, write_derived
    from parrot_adapters.adapter.read_adapter_files import read_adapter

    stored = read_adapter(as_path(adapter, "adapter"))
    grown, state = grow_state(
        stored.config,
        stored.require_weights(),
        num_new,
        parents=parents,
        languages=languages,
        noise=noise,
        seed=seed,
        width=int(stored.host["width"]),
    )
    after = stored_layer(replace(stored, config=grown, weights=state))
    difference = verify(stored_layer(stored), after, int(stored.host["width"]))
    how = {
        "by": "grow",
        "experts_before": stored.config.num_experts,
        "languages": list(languages or ()),
        "largest_difference_on_random_prompts": difference,
    }
    write_derived(stored, as_path(out, "out"), grown, state, how)
    return Grown(grown, difference)


@torch.no_grad()
def verify(old: AlignmentLayer, new: AlignmentLayer, width: int | None = None) -> float:
    """Largest difference between the answers of two layers on random pictures and prompts of known languages.

    Experts inside a language model's layers are asked for what they add to random inputs of theirs.

    Args:
        old: before.
        new: after.
        width: D; None reads it off the experts at the projector.

    Raises:
        CheckpointError: beyond rounding.
    """
    if width is None:
        if old.experts is None:
            raise ConfigError("a layer without experts at the projector does not show its width")
        width = next(p.shape[-1] for p in old.experts.parameters() if p.ndim == 3)  # (E, F, D)
    generator = torch.Generator().manual_seed(0)
    parts = [part for part in (old.experts, old.layer_experts) if part is not None]
    dtype = next(p.dtype for part in parts for p in part.parameters())
    tokens, text = (torch.randn(*shape, width, generator=generator).to(dtype) for shape in ((48,), (8, 6)))
    offsets, rows = torch.arange(0, 49, 6), torch.arange(8)
    tags = (*getattr(old.router, "tags", ()), None)
    wanted, found = (
        _answers(
            layer,
            layer.eval()(
                tokens,
                offsets,
                rows,
                text,
                torch.ones(8, 6, dtype=torch.bool),
                cls=text[:, 0],
                languages=[tags[row % len(tags)] for row in range(8)],
            ),
            offsets,
        )
        for layer in (old, new)
    )
    differences = [float((one - other).abs().max()) for one, other in zip(wanted, found, strict=True)]
    bounds = [(1e-4 if dtype.itemsize >= 4 else 3e-2) * float(one.abs().max()) for one in wanted]
    difference, bound = max(zip(differences, bounds, strict=True), key=lambda pair: pair[0] - pair[1])
    if not difference <= bound:
        raise CheckpointError(
            explain(
                "the grown adapter does not give the old one's answers, so nothing was written.",
                difference=f"{difference:.3g} on random prompts, allowed {bound:.3g}",
                to_do="a bank must be a weighted sum, and its per_expert name all parameters with a slice per expert",
            )
        )
    return difference


def _answers(layer: AlignmentLayer, aligned: Aligned, offsets: Tensor) -> list[Tensor]:
    """What the layer made of its tokens, and what the experts inside layers add to random inputs of theirs."""
    made, inside = [aligned.tokens.float()], layer.layer_experts
    if inside is not None:
        size, generator = int(offsets[-1]), torch.Generator().manual_seed(1)
        units = inside.units(inside.of_tokens(aligned.routing, offsets, size))
        for path, (width, _) in inside.features.items():
            made.append(inside.call(path)(torch.randn(size, width, generator=generator), units).float())
    return made


def grow_state(
    config: AdapterConfig,
    state: Mapping[str, Tensor],
    num_new: int,
    *,
    parents: Sequence[int] | None = None,
    languages: Sequence[str] | None = None,
    noise: float = 0.1,
    seed: int = 0,
    width: int | None = None,
) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """As :func:`grow`, on a config and a layer's state dict; neither is changed.

    ``width`` is D; None reads it off the experts at the projector.

    Returns:
        The grown config and state dict.

    Raises:
        ConfigError: as :func:`grow`.
    """
    old = config.num_experts
    if isinstance(num_new, bool) or not isinstance(num_new, int) or num_new < 1:
        raise ConfigError(f"num_new={num_new!r} must be a whole number of at least 1")
    for name, given in (("parents", parents), ("languages", languages)):
        if given is not None and (isinstance(given, str) or len(given) != num_new):
            raise ConfigError(f"{name}={given!r} must name one for each of the {num_new} new experts")
    if parents is not None and not all(isinstance(p, int) and 0 <= p < old for p in parents):
        raise ConfigError(f"parents={list(parents)!r} must be experts of the adapter, 0..{old - 1}")
    router = manager.find("router", config.router, asked_by="AdapterConfig.router").factory
    if router is LanguageIdRouter:
        return _grow_languages(config, dict(state), parents, languages or (), num_new, width)
    split = Split.of(old, list(parents) if parents is not None else [i % old for i in range(num_new)])
    per_expert = _per_expert(config, state)
    sparse = config.top_k is not None and config.top_k != old
    splits: Sequence[str] = getattr(router, "splits", ())
    if not sparse and (router in (UniformRouter, FrozenRouter) or splits):
        grown = _grown_config(config, router, split)
        rows = [f"router.{name}" for name in splits]
        routed = {n: v[list(split.owner)] if n in rows else v.clone() for n, v in state.items() if _is_router(n)}
    else:
        grown, routed = with_families(config, state, split.owner, split.shares, width or _width(state, config))
    new = {n: v[list(split.owner)] if n in per_expert else v.clone() for n, v in state.items() if not _is_router(n)}
    new |= routed
    if (tilts := new.get(TILTS)) is not None:  # twins lean together, and lean others as their parent did
        new[TILTS] = tilts[:, list(split.owner)][:, :, list(split.owner)]
    for number, name in enumerate(per_expert):
        if name.endswith(".down"):
            new[name] = _parted(new[name], split, noise, seed + number if _is_inside(name) else seed)
    return grown, new


def _grown_config(config: AdapterConfig, router: Any, split: Split) -> AdapterConfig:
    """The config with the weight of every split expert shared among its twins."""
    options = dict(config.router_options)
    grown = replace(config, num_experts=len(split.owner), top_k=None)
    if router in (UniformRouter, FrozenRouter):
        old = known_weights(options.get("weights"), options.get("expert"), config.num_experts)
        weights = [old[o] * share for o, share in zip(split.owner, split.shares, strict=True)]
        return replace(grown, router="frozen", router_options={"weights": weights})
    prior = options.get("prior") or [1.0] * config.num_experts
    options["prior"] = [prior[o] * share for o, share in zip(split.owner, split.shares, strict=True)]
    return replace(grown, router_options=options)


def _grow_languages(
    config: AdapterConfig,
    state: dict[str, Tensor],
    parents: Sequence[int] | None,
    languages: Sequence[str],
    num_new: int,
    width: int | None,
) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """New languages on new experts; old languages cannot reach them."""
    old = config.num_experts
    options = dict(config.router_options)
    known = known_languages(options["languages"], old) if "languages" in options else LanguageIdRouter(1, old).languages
    if not languages or any(tag in known for tag in languages) or len(set(languages)) != num_new:
        raise ConfigError(
            explain(
                "router 'language-id' grows by languages: name one new tag for each new expert.",
                given=", ".join(languages) or "none",
                known=", ".join(known),
            )
        )
    options["languages"] = {**known, **{tag: old + i for i, tag in enumerate(languages)}}
    grown = replace(config, num_experts=old + num_new, router_options=options)
    fresh = build_layer(grown, width or _width(state, config), stored_features(state)).state_dict()
    new = {name: value.clone() for name, value in state.items()}
    for name in _per_expert(config, state):
        if name in state:
            added = fresh[name][old:] if parents is None else state[name][list(parents)]
            new[name] = torch.cat([state[name], added.to(state[name])])
    if (tilts := state.get(TILTS)) is not None:  # a new language leans nothing, and nothing leans to it
        new[TILTS] = pad(tilts, (0, num_new, 0, num_new))
    if (table := state.get("router.table")) is not None:  # (languages, E)
        wider = torch.cat([table, table.new_full((table.shape[0], num_new), LOGIT_FLOOR)], 1)
        added = table.new_full((num_new, old + num_new), LOGIT_FLOOR)
        added[:, old:].fill_diagonal_(0.0)
        tags = [*known, *languages]
        rows = [tags.index(tag) for tag in known_languages(options["languages"], old + num_new)]
        new["router.table"] = torch.cat([wider, added])[rows]
    return grown, new


def _parted(down: Tensor, split: Split, noise: float, seed: int) -> Tensor:
    """(E + n, F, D) copies of the parents' last projections, moved apart by perturbations of mean zero per family."""
    if not noise or down.dtype.itemsize < 4:  # in half precision the perturbations would not cancel after rounding
        return down
    generator = torch.Generator().manual_seed(seed)
    down = down.clone()
    for parent in dict.fromkeys(split.owner):
        family = [e for e, owner in enumerate(split.owner) if owner == parent]
        if len(family) > 1:
            size = noise * down[parent].double().square().mean().sqrt().item()
            apart = size * torch.randn(len(family), *down.shape[1:], generator=generator, dtype=torch.float64)
            down[family] += (apart - apart.mean(0)).to(down)
    return down


def _is_router(name: str) -> bool:
    return name.startswith("router.")


def _is_inside(name: str) -> bool:
    return name.startswith("layer_experts.")


def _per_expert(config: AdapterConfig, state: Mapping[str, Tensor]) -> list[str]:
    """Names, in the state dict, of the parameters that have a slice per expert."""
    at_projector = [] if config.placement == "layers" else _of_bank(config)
    inside = [] if config.placement == "projector" else _declared("layer-expert", config.layer_expert)
    ends = tuple(f"{SUFFIX}.{name}" for name in inside)
    return at_projector + [name for name in state if _is_inside(name) and name.endswith(ends)]


def _of_bank(config: AdapterConfig) -> list[str]:
    return [f"experts.{name}" for name in _declared("expert", config.expert)]


def _declared(kind: str, name: str) -> tuple[str, ...]:
    """Names of the parameters that have a slice per expert, as the class says."""
    factory = manager.find(kind, name, asked_by=f"AdapterConfig.{kind.replace('-', '_')}").factory
    names: tuple[str, ...] = getattr(factory, "per_expert", ())
    if not names:
        raise ConfigError(
            explain(
                f"{kind} {name!r} does not say which of its parameters belong to single experts.",
                to_do='declare it on the class: per_expert = ("gate", "up", "down")',
            )
        )
    return names


def _width(state: Mapping[str, Tensor], config: AdapterConfig) -> int:
    """D: the first parameter that a bank names in ``per_expert`` is (E, F, D)."""
    if config.placement == "layers":
        raise ConfigError("a bare layer without experts at the projector does not show its width; grow its handle")
    return int(state[_of_bank(config)[0]].shape[-1])
