"""What peft has put on a model: which tensors are peft's, and what the model's own are called without it.

peft puts a wrapper in a layer's place and the layer inside it: as ``base_layer`` beside LoRA, IA3 or VeRA weights, as
``original_module`` beside a copy that ``modules_to_save`` trains. Everything else inside a wrapper is peft's.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from parrot_adapters.hosts.sampled_places import sampled_places

__all__ = ["PeftLayers", "live_module"]

SAMPLED_VALUES = 64  # of each of peft's tensors


class PeftLayers:
    """The wrappers of peft inside a module, at this moment.

    Args:
        module: The module.
        without: Name of a set of weights in peft that is not looked at (the adapter's own LoRA); None (default) looks
            at all.
    """

    def __init__(self, module: nn.Module, without: str | None = None) -> None:
        self.module, self.without = module, without
        self._inner = {path: inner for path, part in module.named_modules() if (inner := _inner_name(part))}

    @property
    def paths(self) -> tuple[str, ...]:
        """Where the wrappers are."""
        return tuple(self._inner)

    def __bool__(self) -> bool:
        return bool(self._inner)

    def host_name(self, name: str) -> str | None:
        """The name that a tensor of the module has without peft; None where it is peft's own."""
        path, kept = "", []
        for part in name.split("."):
            inner = self._inner.get(path)
            if inner is None:
                kept.append(part)
            elif part != inner:
                return None
            path = f"{path}.{part}" if path else part
        return ".".join(kept)

    def bare(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """A state dict without what is peft's, under the names it has without peft."""
        named = ((self.host_name(name), value) for name, value in state.items())
        return {name: value for name, value in named if name is not None}

    def added(self) -> dict[str, Tensor]:
        """Tensors of the module that are peft's, by the names they have now."""
        own = "" if self.without is None else f".{self.without}"
        return {
            name: value
            for name, value in self.module.state_dict().items()
            if self.host_name(name) is None and not (own and own in name)
        }

    def description(self) -> dict[str, Any] | None:
        """What is recorded of peft's weights: their kinds, their number, a digest of some of their values.

        Returns:
            ``{"kinds": [...], "tensors": n, "weights": hash}``; None where there are none.
        """
        added = {name: value for name, value in self.added().items() if isinstance(value, Tensor)}
        if not added:
            return None
        digest = hashlib.sha256()
        for name, value in sorted(added.items()):
            digest.update(name.encode())
            if value.is_meta or not value.numel():
                continue
            places = sampled_places(value.numel(), SAMPLED_VALUES).to(value.device)
            digest.update(value.detach().flatten()[places].to("cpu", torch.float32).numpy().tobytes())
        kinds = {type(self.module.get_submodule(path)).__module__.split(".")[-2] for path in self._inner}
        return {"kinds": sorted(kinds), "tensors": len(added), "weights": digest.hexdigest()}


def live_module(module: nn.Module | None) -> nn.Module | None:
    """The module that answers when a module is called: the copy that peft's ``modules_to_save`` trains, if there is."""
    wrapper: Any = module
    copies = getattr(wrapper, "modules_to_save", None) if _inner_name(module) == "original_module" else None
    if copies is None:
        return module
    active = [name for name in wrapper.active_adapters if name in copies]
    off = wrapper.disable_adapters or not active
    live: nn.Module = wrapper.original_module if off else copies[active[0]]
    return live


def _inner_name(module: nn.Module | None) -> str | None:
    """Where a wrapper of peft keeps what it wraps; None for any other module. peft is not imported for it."""
    layers, other = sys.modules.get("peft.tuners.tuners_utils"), sys.modules.get("peft.utils.other")
    if layers is not None and isinstance(module, layers.BaseTunerLayer):
        return "base_layer"
    if other is not None and isinstance(module, other.AuxiliaryTrainingWrapper):
        return "original_module"
    return None
