"""The kinds of components that plugins offer, and the two ways to offer one."""

from __future__ import annotations

__all__ = ["HOOKS_GROUP", "KINDS", "group_of"]

HOOKS_GROUP = "parrot_adapters"
"""Entry-point group whose targets are plugins: modules or objects with hooks."""

KINDS = {  # of components: the hook that collects them
    "router": "register_routers",
    "expert": "register_experts",
    "layer-expert": "register_layer_experts",
    "summary": "register_summaries",
    "loss": "register_losses",
    "host": "register_hosts",
    "detector": "register_detectors",
    "observer": "register_observers",
    "benchmark": "register_benchmarks",
    "model-class": "register_model_classes",
    "data-format": "register_data_formats",
    "data-source": "register_data_sources",
    "example": "register_examples",
}


def group_of(kind: str) -> str:
    """Name the entry-point group whose targets are components of a kind: ``parrot_adapters.routers`` for ``"router"``.

    Args:
        kind: Kind of component, one of :data:`KINDS`.
    """
    return f"{HOOKS_GROUP}.{KINDS[kind].removeprefix('register_')}"
