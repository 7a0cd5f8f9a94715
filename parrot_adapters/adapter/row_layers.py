"""Experts inside the layers of the rows' adapters, each adapter's at the visual tokens of its own rows.

All adapters route the whole batch; what each says of every visual token travels side by side, as further columns of the
features within ``generate``, and each adapter's hooks on the layers are told their rows' part where the call begins.

R  rows    S  positions    N  visual tokens of the call    C  columns of one adapter
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.errors import HostError, explain
from parrot_adapters.hosts.aligned_outputs import AlreadyAligned, with_columns, without_columns
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.item_places import find_places
from parrot_adapters.hosts.layer_sites import LayerSites
from parrot_adapters.hosts.read_prompt import find_placeholders
from parrot_adapters.hosts.routing_units import tokens_by_element
from parrot_adapters.hosts.visual_tokens import RunningCalls, VisualTokens

__all__ = ["Here", "LayersOfRows", "RowLayers", "owner_of_tokens"]


@dataclass(frozen=True)
class Here:
    """What hooks ask where they are called.

    Attributes:
        is_block: Whether the block counts in this context.
        is_lora: Whether LoRA of a row runs a layer a second time, which is none of the experts'.
    """

    is_block: Callable[[], bool]
    is_lora: Callable[[], bool]


class LayersOfRows(LayerSites):
    """The experts of one adapter on the layers of a host, for its rows alone.

    Args:
        parts: The host.
        number: Of the adapter among those of the rows.
        sites: Of the adapter, where it is the only one.
        here: Where hooks act.
    """

    def __init__(self, parts: HostParts, number: int, sites: LayerSites, here: Here) -> None:
        super().__init__(parts, sites.experts, sites.paths)
        self.number, self.rows = number, _RowCalls(here)
        self.calls = self.rows

    def remove(self) -> None:
        """As :meth:`LayerSites.remove`; what runs again from now on is refused."""
        super().remove()
        self.rows.is_over = True

    @property
    def columns(self) -> int:
        """C: the weight of the shared expert, of each routed one, and the context where they read it."""
        return self.experts.columns


class _RowCalls(RunningCalls):
    """Known where the call was entered or is run again, and nowhere else."""

    def __init__(self, place: Here) -> None:
        super().__init__()
        self.place, self.is_over = place, False

    def here(self) -> VisualTokens | None:
        if self.place.is_lora() or not (self.entered() or self.place.is_block()):
            return None
        return super().here()

    def run(self, tokens: VisualTokens | None, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.is_over and tokens is not None:
            raise HostError(
                explain(
                    "layers with experts run again after the block of adapter_names() that they ran in; the gradients "
                    "would be wrong.",
                    to_do="run backward() inside the block, or do not checkpoint activations",
                )
            )
        return super().run(tokens, function, *args, **kwargs)


class RowLayers:
    """The experts inside the layers of all adapters of a block.

    Args:
        parts: The host.
        sites: Of each of the adapters; None where one has no such experts.
        here: Where hooks act.
    """

    def __init__(self, parts: HostParts, sites: Sequence[LayerSites | None], here: Here) -> None:
        self.parts = parts
        self.each = [LayersOfRows(parts, n, one, here) for n, one in enumerate(sites) if one is not None]

    def install(self) -> None:
        """Put the hooks on the layers."""
        for one in self.each:
            one.install()

    def remove(self) -> None:
        """Take every trace off the host."""
        for one in self.each:
            one.remove()

    def together(self, outputs: Sequence[Any]) -> Tensor | None:
        """(N, sum of C): what every adapter says of each visual token; None where none has experts inside the layers.

        Args:
            outputs: Of one modality, as each adapter has aligned it.
        """
        said = [outputs[one.number].token_weights for one in self.each]
        return torch.cat(said, 1) if said else None

    def widened(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs as ``generate`` carries them: what is said of each token in further columns of its features."""
        field = self.parts.spec.feature_attribute
        return {m: with_columns(o, field) if isinstance(o, AlreadyAligned) else o for m, o in outputs.items()}

    def narrowed(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """The reverse of :meth:`widened`."""
        field, width = self.parts.spec.feature_attribute, self.parts.width
        return {m: without_columns(o, field, width) if self.each and o is not None else o for m, o in outputs.items()}

    def enter(self, outputs: Mapping[str, Any], call: Mapping[str, Any], owners: Sequence[int] | None) -> None:
        """The host's layers run next.

        Args:
            outputs: Modality -> output of the running call; empty for a decode step, or a batch without images.
            call: Arguments of the base model's forward.
            owners: number of each row's adapter, -1 for the bare host; None where there is no prompt.

        Raises:
            HostError: Outputs that were aligned elsewhere, so that nobody knows how they were routed.
        """
        if not self.each:
            return
        tokens = weights = owner = None
        if outputs and owners is not None:
            if lost := [m for m, output in outputs.items() if output.token_weights is None]:
                raise HostError(
                    explain(
                        f"{', '.join(lost)} outputs were aligned before; their routing, which layers need, is lost.",
                        to_do="give the host pixels, or outputs of its own encoder",
                    )
                )
            placeholders, field = find_placeholders(self.parts, call), self.parts.spec.feature_attribute
            features = {m: tokens_by_element(getattr(output, field)) for m, output in outputs.items()}
            tokens = VisualTokens.at(placeholders, {m: sum(map(len, e)) for m, e in features.items()})
            owner = owner_of_tokens(owners, find_places(placeholders).placeholders, tuple(outputs))
            weights = torch.cat([output.token_weights for output in outputs.values()])
        start = 0
        for one in self.each:
            if torch.is_grad_enabled():
                one.prepare_recomputation()
            one.enter(None if tokens is None else self._mine(one, tokens, weights, owner, start))
            start += one.columns

    def leave(self) -> None:
        """The layers have run, or failed."""
        for one in self.each:
            one.calls.leave()

    def _mine(self, one: LayersOfRows, tokens: VisualTokens, weights: Any, owner: Any, start: int) -> Any:
        """The visual tokens of one adapter's rows; None where it has none."""
        mine = (owner == one.number).nonzero().squeeze(-1)  # found on the CPU
        if not mine.numel():
            return None
        said = weights[:, start : start + one.columns].index_select(0, mine.to(weights.device, non_blocking=True))
        positions = tokens.positions[mine.to(tokens.positions.device, non_blocking=True)]
        return VisualTokens(positions, one.experts.units(said), tokens.total)


def owner_of_tokens(owners: Sequence[int], placeholders: Mapping[str, Tensor], modalities: Sequence[str]) -> Tensor:
    """The number of each visual token's adapter, -1 for the bare host: (N,) int64 on the CPU.

    Args:
        owners: Number of each row's adapter.
        placeholders: Modality -> (R, S) bool, on the CPU.
        modalities: In the order of the tokens.
    """
    rows = torch.cat([placeholders[modality].nonzero()[:, 0] for modality in modalities])
    return torch.tensor(owners, device="cpu")[rows]
