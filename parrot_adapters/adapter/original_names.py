"""The weight names of released PARROT checkpoints, to and fro.

Ours                          theirs                               shape there
``router.gate``               ``gate.weight``                      (E, D)
``experts.gate[i]``           ``experts.{i}.gate_proj.weight``     (F, D)
``experts.up[i]``             ``experts.{i}.up_proj.weight``       (F, D)
``experts.down[i]``           ``experts.{i}.down_proj.weight``     (D, F), ours transposed
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce

import torch
from einops import rearrange
from torch import Tensor, nn

from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.errors import CheckpointError, ConfigError, explain
from parrot_adapters.hosts.tensor_files import TensorSource

__all__ = ["from_reference", "to_reference"]

TURNED_ROWS = 256


def to_reference(layer: nn.Module, config: AdapterConfig) -> dict[str, Tensor]:
    """A text-guided x swiglu layer's weights under the original's names.

    Raises:
        ConfigError: another router or expert.
    """
    if (config.router, config.expert, config.placement) != ("text-guided", "swiglu", "projector"):
        raise ConfigError(
            explain(
                "only text-guided x swiglu adapters at the projector have a form in released PARROT checkpoints.",
                given=f"router={config.router!r}, expert={config.expert!r}, placement={config.placement!r}",
            )
        )
    if config.router_options.get("prior") is not None:
        raise ConfigError("released PARROT checkpoints have no place for a prior over experts (this adapter was grown)")
    own = {name: value.detach() for name, value in layer.state_dict().items()}
    state = {"gate.weight": own["router.gate"]}
    for i in range(config.num_experts):
        state[f"experts.{i}.gate_proj.weight"] = own["experts.gate"][i]
        state[f"experts.{i}.up_proj.weight"] = own["experts.up"][i]
        state[f"experts.{i}.down_proj.weight"] = rearrange(own["experts.down"][i], "f d -> d f")
    return {name: value.clone() for name, value in state.items()}


def from_reference(state: Mapping[str, TensorSource], num_experts: int) -> dict[str, TensorSource]:
    """The other way round: a layer's state dict, read while it is written, no more than one expert's matrix at a time.

    Args:
        state: names as above, without the checkpoint's ``model.moe_model.`` prefix.
        num_experts: E.

    Raises:
        CheckpointError: weights are missing.
    """

    def bank(part: str, turned: bool = False) -> TensorSource:
        names = [f"experts.{i}.{part}.weight" for i in range(num_experts)]
        missing = [name for name in names if name not in state]
        if missing:
            raise CheckpointError(f"the checkpoint lacks {', '.join(missing[:3])} (num_experts={num_experts})")
        sources = [state[name] for name in names]
        dtype, shape = reduce(torch.promote_types, [one.dtype for one in sources]), sources[0].shape

        def pieces() -> Iterator[Tensor]:
            for source in sources:
                yield from (piece.to(dtype) for piece in (_turned(source) if turned else source.pieces()))

        return TensorSource(dtype, (num_experts, *(reversed(shape) if turned else shape)), pieces)

    if "gate.weight" not in state:
        raise CheckpointError("the checkpoint lacks the router, gate.weight")
    return {
        "router.gate": state["gate.weight"],
        "experts.gate": bank("gate_proj"),
        "experts.up": bank("up_proj"),
        "experts.down": bank("down_proj", turned=True),
    }


def _turned(source: TensorSource) -> Iterator[Tensor]:
    """A matrix with rows for columns, some of them at a time."""
    matrix, at = torch.empty(source.shape, dtype=source.dtype), 0
    for piece in source.pieces():
        matrix[at : at + len(piece)] = piece
        at += len(piece)
    yield from matrix.t().split(TURNED_ROWS)
