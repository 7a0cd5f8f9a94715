"""Expert choice: experts choose visual tokens, so that all of them do the same amount of work on every image.

N visual tokens    I items    T tokens of one item    E experts    c capacity

Each expert takes the c = ceil(capacity T / E) tokens of an image that want it most (Zhou et al., arXiv 2202.09368,
section 3.2, there over a whole batch). Here the choice is made within each image, over all of whose tokens it may look:
they are there at once, nothing is generated. So the load is balanced exactly, without a loss and in evaluation too, and
an image's routing never depends on who else is in its batch.

Two things differ from the paper, because the library's weights are a mixture. The weights of a token's experts are
renormalised to sum to one. A token that no expert took is left exactly as it came (``Routing.abstain``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from parrot_adapters import Routing, RoutingInputs, hookimpl
from parrot_adapters.core import PerTokenRouter, lengths
from parrot_adapters.errors import ConfigError

__all__ = ["ExpertChoiceRouter", "chosen_tokens", "register_routers"]


class ExpertChoiceRouter(PerTokenRouter):
    """Text-guided routing per token in which each expert chooses its tokens.

    Args:
        width: D.
        num_experts: E.
        capacity: experts per token on average; 2 as in the paper.
        normalize: as for ``per-token``.

    Raises:
        ConfigError: ``capacity`` not above 0, or above E; unknown ``normalize``.
    """

    # How many experts a token has differs from token to token, so nothing is said of k.
    conformance: ClassVar[Mapping[str, Any]] = {
        "uses_text": True,
        "per_token": True,
        "sparse": True,
        "stochastic": False,
    }
    splits: ClassVar[tuple[str, ...]] = ()  # twins would choose the same tokens

    def __init__(self, width: int, num_experts: int, *, capacity: float = 2.0, normalize: str = "rms") -> None:
        super().__init__(width, num_experts, normalize=normalize)
        if not 0 < capacity <= num_experts:
            raise ConfigError(f"capacity={capacity!r} must lie above 0 and be at most num_experts={num_experts}")
        self.capacity = capacity

    def forward(self, inputs: RoutingInputs) -> Routing:
        routing = super().forward(inputs)
        taken = chosen_tokens(routing.weights.detach(), lengths(inputs.offsets).tolist(), self.capacity)  # (N, E)
        nobody = ~taken.any(-1)  # (N,)
        # Tokens that nobody took have weights like any other, and they are not used.
        weights = routing.logits.masked_fill(~taken & ~nobody[:, None], -torch.inf).softmax(-1)
        return routing._replace(weights=weights, abstain=nobody)

    def extra_repr(self) -> str:
        return f"capacity={self.capacity}"


@torch.no_grad()
def chosen_tokens(scores: Tensor, sizes: Sequence[int], capacity: float) -> Tensor:
    """Which expert takes which token.

    Args:
        scores: (N, E) how much each token wants each expert.
        sizes: tokens of each image, N together.
        capacity: experts per token on average.

    Returns:
        (N, E) bool; in each image of T tokens every expert has exactly ``ceil(capacity T / E)``.
    """
    taken = torch.zeros_like(scores, dtype=torch.bool)
    start = 0
    for size in sizes:
        mine = slice(start, start + size)
        count = math.ceil(capacity * size / scores.shape[1])
        best = scores[mine].topk(count, dim=0).indices  # (c, E)
        taken[mine] = taken[mine].scatter(0, best, True)
        start += size
    return taken


@hookimpl
def register_routers(register: Any) -> None:
    register("expert-choice", ExpertChoiceRouter)
