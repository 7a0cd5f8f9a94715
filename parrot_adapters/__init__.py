"""Multilingual mixture-of-experts adapters for multimodal LLMs that people already have (PARROT, arXiv 2406.02539).

    handle = attach(model, AdapterConfig())     # the host keeps its class; nothing changes until trained
    handle.save_pretrained("my-adapter")        # small, no pickle
    handle.detach()                             # the host as it was, bit for bit
    load_adapter(model, "my-adapter")

Public names are imported on first use, so ``import parrot_adapters`` costs nothing and ``parrot_adapters.core`` never
pulls in transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parrot_adapters import plugins
    from parrot_adapters.attaching import attach, attach_projector
    from parrot_adapters.attachment import Attachment, attachment_of
    from parrot_adapters.build import build_layer
    from parrot_adapters.checkpoint import load_adapter
    from parrot_adapters.config import AdapterConfig
    from parrot_adapters.core import Aligned, AlignmentLayer, Routing, RoutingInputs
    from parrot_adapters.errors import ParrotError, ParrotWarning
    from parrot_adapters.examples import Example
    from parrot_adapters.freeze import freeze_routing
    from parrot_adapters.growing import grow
    from parrot_adapters.hookspecs import hookimpl
    from parrot_adapters.hosts import EncodedImages, HostSpec
    from parrot_adapters.losses import auxiliary_losses
    from parrot_adapters.routing_file import store_routing, stored_routing
    from parrot_adapters.routing_log import RoutingRecord
    from parrot_adapters.selftest import self_test
    from parrot_adapters.sizes import equal_hidden_size, expert_parameters

__all__ = [
    "AdapterConfig",
    "Aligned",
    "AlignmentLayer",
    "Attachment",
    "EncodedImages",
    "Example",
    "HostSpec",
    "ParrotError",
    "ParrotWarning",
    "Routing",
    "RoutingInputs",
    "RoutingRecord",
    "attach",
    "attach_projector",
    "attachment_of",
    "auxiliary_losses",
    "build_layer",
    "equal_hidden_size",
    "expert_parameters",
    "freeze_routing",
    "grow",
    "hookimpl",
    "load_adapter",
    "plugins",
    "self_test",
    "store_routing",
    "stored_routing",
]

_HOMES = {
    "attaching": ("attach", "attach_projector"),
    "attachment": ("Attachment", "attachment_of"),
    "build": ("build_layer",),
    "checkpoint": ("load_adapter",),
    "config": ("AdapterConfig",),
    "core": ("Aligned", "AlignmentLayer", "Routing", "RoutingInputs"),
    "errors": ("ParrotError", "ParrotWarning"),
    "examples": ("Example",),
    "freeze": ("freeze_routing",),
    "growing": ("grow",),
    "hookspecs": ("hookimpl",),
    "hosts": ("EncodedImages", "HostSpec"),
    "losses": ("auxiliary_losses",),
    "routing_file": ("store_routing", "stored_routing"),
    "routing_log": ("RoutingRecord",),
    "selftest": ("self_test",),
    "sizes": ("equal_hidden_size", "expert_parameters"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "plugins":
        return import_module("parrot_adapters.plugins")
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
