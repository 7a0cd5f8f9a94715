"""Two sets of weights for one module: the host's own, and the adapter's. One of them is live."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["SwitchedWeights"]


class SwitchedWeights:
    """Keeps a module's own weights while an adapter's are live, and the other way round.

    Weights are swapped in place: parameters keep their identity, so optimizers and wrappers keep working.

    Args:
        module: its present weights are the host's own; the adapter's start as a copy of them.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.adapter_live = True
        self._resting = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def use(self, *, adapter: bool) -> None:
        """Make the adapter's weights live, or the host's own."""
        if adapter == self.adapter_live:
            return
        for name, live in self.module.state_dict().items():
            leaving = live.detach().clone()
            live.copy_(self._resting[name])
            self._resting[name] = leaving
        self.adapter_live = adapter

    def adapter_weights(self) -> dict[str, Tensor]:
        """The adapter's set, whichever is live."""
        return self._set(live=self.adapter_live)

    @torch.no_grad()
    def set_adapter_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Replace the adapter's set, whichever is live; names and shapes must be the module's."""
        if self.adapter_live:
            for name, live in self.module.state_dict().items():
                live.copy_(weights[name])
        else:
            self._resting = {name: weights[name].to(value) for name, value in self._resting.items()}

    def host_weights(self) -> dict[str, Tensor]:
        """The host's own set, whichever is live."""
        return self._set(live=not self.adapter_live)

    def _set(self, *, live: bool) -> dict[str, Tensor]:
        present = {name: value.detach() for name, value in self.module.state_dict().items()}
        # The host may have been moved or cast meanwhile; its own weights go along.
        return present if live else {name: value.to(present[name]) for name, value in self._resting.items()}
