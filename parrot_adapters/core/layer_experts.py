"""Low-rank experts inside a model's linear layers, for its visual tokens only. Letters: ``types.py``.

    y_n <- y_n + scale * (B_0 A_0 x_n + sum_e p_ie B_e A_e x_n)        n a visual token of item i, y = W x + b

``p`` is the routing of the item, which also mixes the experts at the projector; ``B_0 A_0`` is the shared expert, where
there is one. A weighted sum of low-rank maps is *one* low-rank map whose hidden units are scaled by the weights,
so all experts run as one matmul to K = r_0 + E r units and one back, over visual tokens alone. Which tokens are visual,
and which layers have experts, is for others to say (``parrot_adapters.hosts``); here is the arithmetic.

    r  rank of one expert    r_0  rank of the shared expert    K  hidden units of all of them, r_0 + E r
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear

from parrot_adapters.core.experts import beside, fill, used_experts, weighted
from parrot_adapters.core.layer_groups import GroupWeights, group_of_each
from parrot_adapters.core.ragged import spread
from parrot_adapters.core.types import Routing
from parrot_adapters.core.visual_low_rank import can_take_again, low_rank_at
from parrot_adapters.core.weights import expert_weight, linear_weight
from parrot_adapters.errors import ConfigError, RoutingError, explain

__all__ = ["LayerExpert", "LayerExperts", "token_weights"]

SUFFIX = "_experts"  # of the last name in a path; peft looks for modules that end as the host's layers do


class LayerExpert(nn.Module):
    """The experts of one linear layer. Starts at zero: it adds nothing until it is trained.

    Args:
        in_features: Width of the layer's input.
        out_features: Width of the layer's output.
        num_experts: Number of routed experts E.
        rank: Rank of each routed expert, at least 1.
        width: Hidden size D of the language model, which is the width of the routing context too (default 0: unknown).
        shared_rank: Rank of the shared expert beside them; 0 (default) for none.
        layer_scale: Factor of the experts' sum, LoRA's ``alpha / rank`` (default 2).
        layer_dropout: Share of the input's values that training leaves out before the experts, LoRA's ``lora_dropout``
            (default 0).

    Raises:
        ConfigError: A rank that is no whole number of its range, a factor that is no number, a share outside 0 to 1.
    """

    per_expert: ClassVar[tuple[str, ...]] = ("compress", "down")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        num_experts: int,
        rank: int,
        width: int = 0,
        *,
        shared_rank: int = 0,
        layer_scale: float = 2.0,
        layer_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value, least in (("layer_rank", rank, 1), ("shared_rank", shared_rank, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"{name}={value!r} must be a whole number of at least {least}")
        if isinstance(layer_scale, bool) or not isinstance(layer_scale, int | float):
            raise ConfigError(f"layer_scale={layer_scale!r} must be a number")
        is_share = isinstance(layer_dropout, int | float) and not isinstance(layer_dropout, bool)
        if not is_share or not 0 <= layer_dropout < 1:
            raise ConfigError(f"layer_dropout={layer_dropout!r} must be a number from 0 to below 1")
        self.in_features, self.out_features, self.shared_rank = in_features, out_features, shared_rank
        self.layer_scale, self.layer_dropout = float(layer_scale), float(layer_dropout)
        self.compress = expert_weight(num_experts, rank, in_features)  # (E, r, in)
        self.down = nn.Parameter(torch.zeros(num_experts, rank, out_features))  # (E, r, out)
        if shared_rank:
            self.shared_compress = linear_weight(shared_rank, in_features)  # (r_0, in)
            self.shared_down = nn.Parameter(torch.zeros(shared_rank, out_features))  # (r_0, out)
        self.make_gate(num_experts, rank, width)

    def make_gate(self, num_experts: int, rank: int, width: int) -> None:
        """Make the weights of a gate over the hidden units; these experts have none."""

    def units(self, weights: Tensor, context: Tensor | None) -> Tensor:
        """(N, 1 + E) of :func:`token_weights` -> (N, K), the factor of each hidden unit, the same at every layer."""
        weights = self.layer_scale * weights
        routed = weights[:, 1:].repeat_interleave(self.compress.shape[1], dim=1)  # (N, E r)
        if not self.shared_rank:
            return routed
        return torch.cat([weights[:, :1].expand(-1, self.shared_rank), routed], 1)

    def forward(self, tokens: Tensor, units: Tensor, positions: Tensor | None = None) -> Tensor:
        """What is added to the layer's output.

        Args:
            tokens: Float tensor (N, in), the layer's input at visual tokens; with ``positions`` all of it, (M, in).
            units: Float tensor (N, K), the factor of every hidden unit at every token, from :meth:`units`.
            positions: Int64 tensor (N,), where the visual tokens are among those; None (default) for all of them.

        Returns:
            (N, out), in the dtype of the parameters.
        """
        compress, down = [self.compress.flatten(0, 1)], [self.down.flatten(0, 1)]  # (E r, in), (E r, out)
        if self.shared_rank:
            compress, down = [self.shared_compress, *compress], [self.shared_down, *down]
        drops = self.training and self.layer_dropout > 0
        if positions is not None:
            if not drops and can_take_again(tokens, self.compress):
                return low_rank_at(tokens, positions, units, compress, down)
            tokens = tokens.index_select(0, positions)
        tokens = tokens.to(self.compress.dtype)
        if drops:
            tokens = dropout(tokens, self.layer_dropout)
        hidden = linear(tokens, torch.cat(compress) if self.shared_rank else compress[0])  # (N, K)
        return (hidden * units.to(hidden.dtype)) @ (torch.cat(down) if self.shared_rank else down[0])

    def extra_repr(self) -> str:
        experts, rank, _ = self.compress.shape
        return f"{self.in_features} -> {self.out_features}, {experts} x rank {rank}, shared rank {self.shared_rank}"


class LayerExperts(nn.Module):
    """The experts of all chosen linear layers of a model. They are found under the paths of their layers.

    Args:
        features: Path of each linear layer in the model -> (in_features, out_features).
        num_experts: Number of routed experts E.
        rank: Rank of each routed expert at each layer.
        make: Function ``(in_features, out_features, num_experts, rank, width, **options)`` that makes the experts of
            one layer (default :class:`LayerExpert`): a module ``(tokens (N, in), weights (N, E), context (N, D)) ->
            (N, out)``, ``context`` None unless it has ``needs_context = True``. One with a method ``units(weights
            (N, 1 + E), context) -> (N, K)`` is asked once for all layers, and gets ``(tokens, units)`` instead.
        width: Hidden size D of the language model (default 0: unknown).
        groups: Number G of groups of decoder layers, each with weights of its own (default 1): ``layer_groups.py``.
        options: Further arguments of ``make``.

    Attributes:
        features: As given.
        group_weights: What makes the weights of each group; None where there is one.

    Raises:
        ConfigError: As ``make`` does, or more groups than decoder layers.
    """

    def __init__(
        self,
        features: Mapping[str, tuple[int, int]],
        num_experts: int,
        rank: int,
        *,
        make: Callable[..., nn.Module] = LayerExpert,
        width: int = 0,
        groups: int = 1,
        **options: Any,
    ) -> None:
        super().__init__()
        self.features, self.num_experts, self.rank, self.width = dict(features), num_experts, rank, width
        self.groups = groups
        self._group_of = group_of_each(features, groups)
        self.group_weights = GroupWeights(groups, num_experts) if groups > 1 else None
        for path, (inside, out) in features.items():
            self._put(path, make(inside, out, num_experts, rank, width, **options))

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the linear layers."""
        return tuple(self.features)

    @property
    def needs_context(self) -> bool:
        """Whether the experts read the routing context."""
        return bool(getattr(self._first, "needs_context", False))

    @property
    def columns(self) -> int:
        """Numbers that :meth:`of_tokens` has for each token."""
        return 1 + self.num_experts + (self.width if self.needs_context else 0)

    @property
    def shared_rank(self) -> int:
        """Rank of the shared expert; 0 where there is none."""
        return int(getattr(self._first, "shared_rank", 0))

    @property
    def layer_scale(self) -> float:
        """Factor of the experts' sum; 1 for a kind that has none."""
        return float(getattr(self._first, "layer_scale", 1.0))

    @property
    def _first(self) -> nn.Module:
        return self.at(self.paths[0])

    def at(self, path: str) -> Any:
        """The experts of the linear layer at a path, a module."""
        return self.get_submodule(path + SUFFIX)

    def each(self) -> Iterator[tuple[str, Any]]:
        """Path and experts of every linear layer."""
        return ((path, self.at(path)) for path in self.paths)

    def of_tokens(self, routing: Routing, offsets: Tensor, num_tokens: int) -> Tensor:
        """(N, 1 + E), or (N, 1 + E + D) for experts that read the context: all that a layer has to know of each token.

        Args:
            routing: As for :func:`token_weights`, and so are the others.
            offsets: See there.
            num_tokens: See there.

        Raises:
            ConfigError: The experts read a context, and the router gives none.
        """
        weights = token_weights(routing, offsets, num_tokens)
        if not self.needs_context:
            return weights
        if routing.context is None:
            raise ConfigError(
                explain(
                    f"{type(self._first).__name__} reads the context of its router, and this one returns none.",
                    to_do="use router='text-guided', or experts that read none (layer_expert='low-rank')",
                )
            )
        return torch.cat([weights, spread(routing.context, offsets, num_tokens).to(weights)], 1)

    def units(self, of_tokens: Tensor) -> Tensor:
        """What every layer is handed of a pass, (N, G K), group by group: made once, from :meth:`of_tokens`."""
        if self.group_weights is None:
            return self._units(of_tokens)
        end = 1 + self.num_experts
        return torch.cat(
            [
                self._units(torch.cat([of_tokens[:, :1], weights, of_tokens[:, end:]], 1))
                for weights in self.group_weights(of_tokens[:, 1:end])
            ],
            1,
        )

    def _units(self, of_tokens: Tensor) -> Tensor:
        first: Any = self._first
        if not hasattr(first, "units"):
            return of_tokens
        weights = of_tokens[:, : 1 + self.num_experts]
        units: Tensor = first.units(weights, of_tokens[:, weights.shape[1] :] if self.needs_context else None)
        return units

    def weights_by_group(self, weights: Tensor) -> Tensor:
        """How much of each expert every group of layers takes, (G, I, E).

        Args:
            weights: Float tensor (I, E), the router's.
        """
        return weights[None] if self.group_weights is None else self.group_weights(weights)

    def call(self, path: str) -> Callable[..., Tensor]:
        """What is called at a layer, for what is added to its output, (N, out): with ``(tokens (N, in), units)``, or
        with its whole input, ``(tokens (M, in), units, positions (N,))``.
        """
        own = self.at(path)
        plain: Callable[..., Tensor] = _Plain(path, own, self.features[path][1], self.num_experts)
        if hasattr(own, "units"):
            plain = own if "positions" in signature(own.forward).parameters else _TakesTokens(own)
        return plain if self.groups == 1 else _OfGroup(plain, self._group_of[path], self.groups)

    def become(self, other: LayerExperts) -> None:
        """Take over the experts of another set for the same layers, however many; the modules stay the same objects."""
        for path, own in self.each():
            theirs = other.at(path)
            own._parameters, own._buffers, own._modules = theirs._parameters, theirs._buffers, theirs._modules
            own.__dict__.update({name: value for name, value in theirs.__dict__.items() if not name.startswith("_")})
        self.num_experts, self.rank, self.group_weights = other.num_experts, other.rank, other.group_weights

    def folded(self, weights: Tensor) -> LayerExperts:
        """One expert that is the mixture under constant weights, exactly: rank r_0 + e r for e experts with a weight.

        Args:
            weights: Float tensor (E,), the constant weight of each routed expert.

        Raises:
            ConfigError: The experts are no low-rank maps of the picture alone.
        """
        self.require_foldable()
        used, by_group = used_experts(weights), self.weights_by_group(weights[None])[:, 0]  # (G, E)
        rank = self.shared_rank + len(used) * self.rank
        wide = LayerExperts(self.features, 1, rank, layer_scale=self.layer_scale)
        for path, own in self.each():
            compress, down = beside(own.compress[used]), weighted(own.down, by_group[self._group_of[path]], used)
            if own.shared_rank:
                compress = torch.cat([own.shared_compress[None], compress], 1)
                down = torch.cat([own.shared_down[None].double(), down], 1)
            fill(wide.at(path), compress=compress, down=down)
        return wide

    def require_foldable(self) -> None:
        """Refuse what no routing makes one expert.

        Raises:
            ConfigError: As :meth:`folded`.
        """
        if type(self._first) is not LayerExpert:
            raise ConfigError(
                explain(
                    f"{type(self._first).__name__} cannot be folded into one expert, whatever the routing.",
                    to_do="freeze an adapter with AdapterConfig(layer_expert='low-rank')",
                )
            )

    def _put(self, path: str, experts: nn.Module) -> None:
        *parents, last = path.split(".")
        place: nn.Module = self
        for name in parents:
            if name not in place._modules:
                place.add_module(name, nn.Module())
            place = place.get_submodule(name)
        place.add_module(last + SUFFIX, experts)


@dataclass(eq=False)
class _OfGroup:
    """Experts of a layer, given what its group of layers has of all that the layers are handed."""

    experts: Callable[..., Tensor]
    group: int
    groups: int

    def __call__(self, tokens: Tensor, units: Tensor, positions: Tensor | None = None) -> Tensor:
        return self.experts(tokens, units.chunk(self.groups, 1)[self.group], positions)


@dataclass(eq=False)
class _TakesTokens:
    """A stranger's experts, which are handed visual tokens alone."""

    experts: nn.Module

    def __call__(self, tokens: Tensor, units: Tensor, positions: Tensor | None = None) -> Tensor:
        added: Tensor = self.experts(tokens if positions is None else tokens.index_select(0, positions), units)
        return added


@dataclass(eq=False)
class _Plain:
    """Experts that are handed weights and context as they are; an object, so that copies of a host have their own.

    Attributes:
        path: Of their layer, for messages.
        experts: Their module.
        out_features: What it must answer with.
        num_experts: E.
    """

    path: str
    experts: nn.Module
    out_features: int
    num_experts: int

    def __call__(self, tokens: Tensor, of_tokens: Tensor, positions: Tensor | None = None) -> Tensor:
        tokens = tokens if positions is None else tokens.index_select(0, positions)
        dtype = next((p.dtype for p in self.experts.parameters() if p.is_floating_point()), tokens.dtype)
        routed, end = of_tokens[:, :1] > 0, 1 + self.num_experts
        context = of_tokens[:, end:].to(dtype) if of_tokens.shape[1] > end else None
        added = self.experts(tokens.to(dtype), of_tokens[:, 1:end].to(dtype), context)
        if not isinstance(added, Tensor) or added.shape != (tokens.shape[0], self.out_features):
            given = f"shape {tuple(added.shape)}" if isinstance(added, Tensor) else type(added).__name__
            raise RoutingError(
                f"{type(self.experts).__name__} at {self.path} returned {given}, not "
                f"({tokens.shape[0]}, {self.out_features})"
            )
        return torch.where(routed, added, torch.zeros_like(added))  # where the router abstains nothing is added


def token_weights(routing: Routing, offsets: Tensor, num_tokens: int) -> Tensor:
    """How much of each expert every visual token gets: (N, 1 + E), the shared expert first.

    Where the router abstains all of them are zero: such a token stays as it is, bit for bit.

    Args:
        routing: Routing with weights per item (I, E) or per token (N, E).
        offsets: Int64 tensor (I + 1,), where each item's tokens begin, and where the last end.
        num_tokens: Number of visual tokens N; the caller knows it, which spares a synchronisation with the device.
    """
    weights = torch.cat([torch.ones_like(routing.weights[:, :1]), routing.weights], 1)
    if routing.abstain is not None:
        weights = weights.masked_fill(routing.abstain[:, None], 0)
    return weights if routing.routes_tokens(offsets.numel() - 1) else spread(weights, offsets, num_tokens)
