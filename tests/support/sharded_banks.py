"""One of two processes that share expert banks by FSDP2: two steps of training each, then saved and loaded.

python sharded_banks.py RANK STORE OUT: the first process writes what the banks have become, and their losses.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from parrot_adapters.core import (
    ConditionedSwiGLUExperts,
    LowRankExperts,
    MergedExperts,
    MLPExperts,
    Routing,
    SharedSwiGLUExperts,
    SwiGLUExperts,
    keep_top_k,
    offsets_from_lengths,
)

D, F, E, RATE, STEPS = 8, 6, 5, 0.2, 2  # five experts: FSDP2 has to pad what it parts among two
KINDS: dict[str, type[Any]] = {
    "swiglu": SwiGLUExperts,
    "conditioned": ConditionedSwiGLUExperts,
    "shared": SharedSwiGLUExperts,
    "mlp": MLPExperts,
    "low-rank": LowRankExperts,
    "merged": MergedExperts,
}
FORMS: dict[str, dict[str, Any]] = {"dense": {}, "again": {"recompute": True}, "by autograd": {"by_hand": False}}
CASES = [
    *((kind, form, k) for kind in ("swiglu", "merged") for form in FORMS for k in (None, 2)),
    *((kind, "dense", k) for kind in KINDS if kind not in ("swiglu", "merged") for k in (None, 2)),
]


def made(kind: str, form: str) -> Any:
    """A bank with weights of its own everywhere."""
    bank, generator = KINDS[kind](D, F, E, **FORMS[form]), torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return bank


def loss(bank: nn.Module, step: int, part: int, k: int | None) -> Tensor:
    """What one process learns from: items of uneven lengths, other ones in each step and process."""
    generator = torch.Generator().manual_seed(10 * step + part)
    sizes = [3, 1 + part, 4]
    tokens, target = (torch.randn(sum(sizes), D, generator=generator) for _ in range(2))
    logits = torch.randn(len(sizes), E, generator=generator)
    routing = Routing(logits.softmax(-1), logits, torch.randn(len(sizes), D, generator=generator))
    routing = routing if k is None else keep_top_k(routing, k)
    found: Tensor = (bank(tokens, offsets_from_lengths(torch.tensor(sizes)), routing) - target).square().mean()
    return found


def train(bank: nn.Module, k: int | None, parts: list[int]) -> list[Tensor]:
    """The losses of some steps on these parts of each batch."""
    optimizer = torch.optim.AdamW(bank.parameters(), lr=RATE)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        each = [loss(bank, step, part, k) for part in parts]
        mean = torch.stack(each).mean()
        mean.backward()
        optimizer.step()
        losses.append(mean.detach())
    return losses


def main(rank: int, store: str, out: Path) -> None:
    """Every case, shared by two."""
    import torch.distributed as dist
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
    found: dict[str, Tensor] = {}
    for kind, form, k in CASES:
        bank = fully_shard(made(kind, form))
        assert all(isinstance(parameter, DTensor) for parameter in bank.parameters())
        losses = torch.stack(train(bank, k, [rank]))
        dist.all_reduce(losses)
        state = get_model_state_dict(bank, options=whole)
        again = fully_shard(KINDS[kind](D, F, E, **FORMS[form]))
        received = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
        set_model_state_dict(again, dict(state) if rank == 0 else {}, options=received)  # it changes what it is given
        answers = [loss(one, STEPS, 0, k).detach() for one in (bank, again)]
        assert torch.equal(*answers), f"{kind}, {form}, top-{k}: loaded, it answers otherwise"
        name = f"{kind}|{form}|{k}"
        found |= {f"{name}|{key}": value.contiguous() for key, value in state.items()} | {f"{name}|losses": losses / 2}
    if rank == 0:
        save_file(found, out)
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
