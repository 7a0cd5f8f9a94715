"""Which linear layers of a host get experts, and how many parameters they have: a part of the plan of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from parrot_adapters.hosts.linear_layers import decoder_layers, group_layers, has_mixture

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = ["LayerPlan", "plan_layers"]


@dataclass(frozen=True)
class LayerPlan:
    """Linear layers of one name and size that get experts.

    Attributes:
        name: their path in a decoder layer.
        count: how many there are.
        in_features, out_features: what each of them maps.
        layers: numbers of the decoder layers that they stand in.
        parameters: of all their experts.
    """

    name: str
    count: int
    in_features: int
    out_features: int
    layers: tuple[int, ...]
    parameters: int


SLOW = 5e-5  # a learning rate below it is a projector's, or a language model's


def plan_layers(handle: Attachment, rate: float, notes: list[str]) -> tuple[LayerPlan, ...]:
    """The linear layers that get experts, in the order of the host's; empty where none do.

    Args:
        handle: of the adapter.
        rate: its learning rate.
        notes: told which decoder layers stay without, where the host has a mixture of experts of its own, and whether
            the learning rate is none for low-rank maps.
    """
    experts = None if handle.module is None else handle.module.layer_experts
    if experts is None:
        return ()
    if rate < SLOW:
        notes.append(
            f"the adapter learns at {rate:g}; experts inside layers are low-rank maps, which learn at LoRA's rates, "
            "1e-4 to 1e-3 (optim.learning_rates.adapter)"
        )
    features = {path: (own.in_features, own.out_features) for path, own in experts.each()}
    sizes = {path: sum(p.numel() for p in own.parameters()) for path, own in experts.each()}
    groups = group_layers(features)
    stack = decoder_layers(handle.parts)[1]
    if bare := sorted(set(range(len(stack))) - {number for group in groups for number in group.layers}):
        notes.append(f"decoder layers without experts: {_ranges(bare)} of {len(stack)}")
    if mixtures := [number for number, layer in enumerate(stack) if has_mixture(layer)]:
        notes.append(
            f"decoder layers with a mixture of experts of the host's own: {_ranges(mixtures)}. Those see some tokens "
            "each and get none of the adapter's"
        )
    return tuple(
        LayerPlan(
            group.name,
            len(group.paths),
            group.in_features,
            group.out_features,
            group.layers,
            sum(sizes[path] for path in group.paths),
        )
        for group in groups
    )


def _ranges(numbers: Iterable[int]) -> str:
    """``0-3, 7``"""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
