"""Which of the host's own weights have changed since the adapter was attached? Running statistics count as weights.

An adapter is saved without its host, so that one trained together with host weights comes back as another one. What is
remembered of each weight: a digest of some of its values, and torch's count of the writes to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from parrot_adapters.hosts.peft_layers import PeftLayers
from parrot_adapters.hosts.sampled_places import sampled_places

__all__ = ["HostWeights"]

SAMPLED_VALUES = 256  # of each weight


@dataclass(frozen=True)
class _Seen:
    values: str
    form: tuple[torch.dtype, str]
    writes: int


class HostWeights:
    """The host's own weights as they are at this moment.

    Args:
        host: The model.
        own: Prefixes of the names that are the adapter's.
    """

    def __init__(self, host: nn.Module, own: tuple[str, ...] = ()) -> None:
        self._own = own
        self._seen = {name: _look(value) for name, value in self._weights(host)}

    def changed(self, host: nn.Module, own: tuple[str, ...] = ()) -> list[str]:
        """Names of the weights that are no longer what they were; a cast or a move changes none.

        A weight that trains and was written to counts as changed, wherever its values differ. Batch norms count by
        their running statistics: in training mode every forward moves them, frozen or not.

        Args:
            host: The model.
            own: Prefixes of the names that are the adapter's by now.
        """
        weights = ((name, value) for name, value in self._weights(host) if not name.startswith(own))
        return [name for name, value in weights if self._differs(name, value)]

    def moved_statistics(self, host: nn.Module) -> set[str]:
        """Modules whose running statistics are no longer what they were: each its path in the host.

        Args:
            host: The model.
        """
        return {name.rpartition(".")[0] for name, value in _running_statistics(host) if self._differs(name, value)}

    def _differs(self, name: str, weight: Tensor) -> bool:
        before = self._seen.get(name)
        if before is None:  # on the meta device then
            return False
        now = _look(weight)
        written = weight.requires_grad and now.writes > before.writes
        return written or (now.form == before.form and now.values != before.values)

    def _weights(self, host: nn.Module) -> Iterator[tuple[str, Tensor]]:
        peft = PeftLayers(host)
        for name, value in chain(host.named_parameters(), _running_statistics(host)):
            bare = peft.host_name(name)
            if bare is not None and not bare.startswith(self._own) and not value.is_meta and _is_plain(value):
                yield bare, value


def _running_statistics(host: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for path, module in host.named_modules():
        for name in ("running_mean", "running_var"):
            if isinstance(value := getattr(module, name, None), Tensor):
                yield f"{path}.{name}", value


def _look(weight: Tensor) -> _Seen:
    places = sampled_places(weight.numel(), SAMPLED_VALUES).to(weight.device)
    values = weight.detach().flatten()[places].cpu().contiguous()
    digest = hashlib.sha256(values.view(torch.uint8).numpy().tobytes() if values.numel() else b"").hexdigest()
    return _Seen(digest, (weight.dtype, str(tuple(weight.shape))), weight._version)


def _is_plain(tensor: Tensor) -> bool:
    """No shard of a tensor, and not a subclass that stores its values in another way."""
    return type(tensor.data) is Tensor
