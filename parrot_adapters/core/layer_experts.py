"""Low-rank experts inside a model's linear layers, for its visual tokens only. Letters: ``types.py``.

    y_n <- y_n + scale * (B_0 A_0 x_n + sum_e p_ie B_e A_e x_n)        n a visual token of item i, y = W x + b

``p`` is the routing of the item, which also mixes the experts at the projector; ``B_0 A_0`` is the shared expert, where
there is one. A weighted sum of low-rank maps is *one* low-rank map whose hidden units are scaled by the weights,
so all experts run as one matmul to K = r_0 + E r units and one back, over visual tokens alone. Which tokens are visual,
and which layers have experts, is for others to say (``parrot_adapters.hosts``); here is the arithmetic.

    r  rank of one expert    r_0  rank of the shared expert    K  hidden units of all of them, r_0 + E r
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from parrot_adapters.core.experts import beside, fill, used_experts, weighted
from parrot_adapters.core.ragged import spread
from parrot_adapters.core.types import Routing
from parrot_adapters.core.weights import expert_weight, linear_weight
from parrot_adapters.errors import ConfigError

__all__ = ["LayerExpert", "LayerExperts", "token_weights"]

SUFFIX = "_experts"  # of the last name in a path; peft looks for modules that end as the host's layers do


class LayerExpert(nn.Module):
    """The experts of one linear layer. Starts at zero: it adds nothing until it is trained.

    Args:
        in_features: Width of the layer's input.
        out_features: Width of the layer's output.
        num_experts: Number of routed experts E.
        rank: Rank of each routed expert, at least 1.
        shared_rank: Rank of the shared expert beside them; 0 (default) for none.
    """

    per_expert: ClassVar[tuple[str, ...]] = ("compress", "down")

    def __init__(self, in_features: int, out_features: int, num_experts: int, rank: int, shared_rank: int = 0) -> None:
        super().__init__()
        self.in_features, self.out_features, self.shared_rank = in_features, out_features, shared_rank
        self.compress = expert_weight(num_experts, rank, in_features)  # (E, r, in)
        self.down = nn.Parameter(torch.zeros(num_experts, rank, out_features))  # (E, r, out)
        if shared_rank:
            self.shared_compress = linear_weight(shared_rank, in_features)  # (r_0, in)
            self.shared_down = nn.Parameter(torch.zeros(shared_rank, out_features))  # (r_0, out)

    def forward(self, tokens: Tensor, units: Tensor) -> Tensor:
        """What is added to the layer's output.

        Args:
            tokens: Float tensor (N, in), the layer's input at visual tokens.
            units: Float tensor (N, K), the factor of every hidden unit at every token, from :meth:`LayerExperts.units`.

        Returns:
            (N, out), in the dtype of the parameters.
        """
        compress, down = self.compress.flatten(0, 1), self.down.flatten(0, 1)  # (E r, in), (E r, out)
        if self.shared_rank:
            compress, down = torch.cat([self.shared_compress, compress]), torch.cat([self.shared_down, down])
        hidden = linear(tokens.to(compress.dtype), compress)  # (N, K)
        return (hidden * units.to(hidden.dtype)) @ down

    def extra_repr(self) -> str:
        experts, rank, _ = self.compress.shape
        return f"{self.in_features} -> {self.out_features}, {experts} x rank {rank}, shared rank {self.shared_rank}"


class LayerExperts(nn.Module):
    """The experts of all chosen linear layers of a model. They are found under the paths of their layers.

    Args:
        features: Path of each linear layer in the model -> (in_features, out_features).
        num_experts: Number of routed experts E.
        rank: Rank of each routed expert at each layer.
        shared_rank: Rank of an expert beside them that every visual token gets; 0 (default) for none.
        layer_scale: Factor of the experts' sum, LoRA's ``alpha / rank`` (default 2).

    Raises:
        ConfigError: A rank that is no whole number of its range, or a factor that is no number.
    """

    def __init__(
        self,
        features: Mapping[str, tuple[int, int]],
        num_experts: int,
        rank: int,
        *,
        shared_rank: int = 0,
        layer_scale: float = 2.0,
    ) -> None:
        super().__init__()
        for name, value, least in (("layer_rank", rank, 1), ("shared_rank", shared_rank, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"{name}={value!r} must be a whole number of at least {least}")
        if isinstance(layer_scale, bool) or not isinstance(layer_scale, int | float):
            raise ConfigError(f"layer_scale={layer_scale!r} must be a number")
        self.num_experts, self.rank, self.shared_rank = num_experts, rank, shared_rank
        self.layer_scale = float(layer_scale)
        self.paths = tuple(features)
        for path, (width, out) in features.items():
            self._put(path, LayerExpert(width, out, num_experts, rank, shared_rank))

    def at(self, path: str) -> LayerExpert:
        """The experts of the linear layer at a path."""
        found = self.get_submodule(path + SUFFIX)
        assert isinstance(found, LayerExpert)
        return found

    def each(self) -> Iterator[tuple[str, LayerExpert]]:
        """Path and experts of every linear layer."""
        return ((path, self.at(path)) for path in self.paths)

    def units(self, weights: Tensor) -> Tensor:
        """(N, 1 + E) from :func:`token_weights` -> (N, K), the factor of each hidden unit, the same at every layer."""
        weights = self.layer_scale * weights
        routed = weights[:, 1:].repeat_interleave(self.rank, dim=1)  # (N, E r)
        if not self.shared_rank:
            return routed
        return torch.cat([weights[:, :1].expand(-1, self.shared_rank), routed], 1)

    def become(self, other: LayerExperts) -> None:
        """Take over the experts of another set for the same layers, however many; the modules stay the same objects."""
        for path, own in self.each():
            theirs = other.at(path)
            own.shared_rank = theirs.shared_rank
            for name, parameter in theirs.named_parameters():
                setattr(own, name, parameter)
        self.num_experts, self.rank, self.shared_rank = other.num_experts, other.rank, other.shared_rank
        self.layer_scale = other.layer_scale

    def folded(self, weights: Tensor) -> LayerExperts:
        """One expert that is the mixture under constant weights, exactly: rank r_0 + e r for e experts with a weight.

        Args:
            weights: Float tensor (E,), the constant weight of each routed expert.
        """
        used = used_experts(weights)
        features = {path: (own.in_features, own.out_features) for path, own in self.each()}
        wide = LayerExperts(features, 1, self.shared_rank + len(used) * self.rank, layer_scale=self.layer_scale)
        for path, own in self.each():
            compress, down = beside(own.compress[used]), weighted(own.down, weights, used)
            if self.shared_rank:
                compress = torch.cat([own.shared_compress[None], compress], 1)
                down = torch.cat([own.shared_down[None].double(), down], 1)
            fill(wide.at(path), compress=compress, down=down)
        return wide

    def _put(self, path: str, experts: LayerExpert) -> None:
        *parents, last = path.split(".")
        place: nn.Module = self
        for name in parents:
            if name not in place._modules:
                place.add_module(name, nn.Module())
            place = place.get_submodule(name)
        place.add_module(last + SUFFIX, experts)

    def extra_repr(self) -> str:
        return f"layer_scale={self.layer_scale}"


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
