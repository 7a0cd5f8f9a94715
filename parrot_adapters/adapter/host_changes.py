"""Which of the host's own weights have changed since the adapter was attached?

An adapter is saved without its host, so that one trained together with host weights comes back as another one. What is
remembered of each weight: a digest of some of its values, and torch's count of the writes to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

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
        self._seen = {name: _look(parameter) for name, parameter in self._weights(host)}

    def changed(self, host: nn.Module, own: tuple[str, ...] = ()) -> list[str]:
        """Names of the weights that are no longer what they were; a cast or a move changes none.

        A weight that trains and was written to counts as changed, wherever its values differ.

        Args:
            host: The model.
            own: Prefixes of the names that are the adapter's by now.
        """
        weights = ((name, parameter) for name, parameter in self._weights(host) if not name.startswith(own))
        return [name for name, parameter in weights if self._differs(name, parameter)]

    def _differs(self, name: str, parameter: nn.Parameter) -> bool:
        before = self._seen.get(name)
        if before is None:  # on the meta device then
            return False
        now = _look(parameter)
        written = parameter.requires_grad and now.writes > before.writes
        return written or (now.form == before.form and now.values != before.values)

    def _weights(self, host: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
        peft = PeftLayers(host)
        for name, parameter in host.named_parameters():
            bare = peft.host_name(name)
            if bare is not None and not bare.startswith(self._own) and not parameter.is_meta and _is_plain(parameter):
                yield bare, parameter


def _look(parameter: nn.Parameter) -> _Seen:
    places = sampled_places(parameter.numel(), SAMPLED_VALUES).to(parameter.device)
    values = parameter.detach().flatten()[places].cpu().contiguous()
    digest = hashlib.sha256(values.view(torch.uint8).numpy().tobytes() if values.numel() else b"").hexdigest()
    return _Seen(digest, (parameter.dtype, str(tuple(parameter.shape))), parameter._version)


def _is_plain(tensor: Tensor) -> bool:
    """No shard of a tensor, and not a subclass that stores its values in another way."""
    return type(tensor.data) is Tensor
