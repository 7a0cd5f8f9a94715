"""Classes of models that live outside transformers, made known to it by the plugin that brings them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from parrot_adapters.plugins import blaming, manager

__all__ = ["make_classes_known", "make_type_known", "unknown_model_types"]


def make_classes_known(name: str) -> None:
    """Call what plugins registered for the model types in a model's config, those nested in it included.

    Args:
        name: directory or Hub name of the model. One whose config cannot be read is left to whoever loads it to report.

    Raises:
        PluginError: two plugins registered a type, or what one registered fails.
    """
    for model_type in _model_types(name):
        make_type_known(model_type)


def make_type_known(model_type: str) -> bool:
    """Call what a plugin registered for one model type; False where none did.

    Raises:
        PluginError: two plugins registered it, or what one registered fails.
    """
    if model_type not in {component.name for component in manager.components("model-class")}:
        return False
    found = manager.find("model-class", model_type)
    with blaming(
        f"the classes of model type {model_type!r} cannot be made known to transformers.", plugin=found.plugin
    ):
        found.factory()
    return True


def unknown_model_types(name: str) -> list[str]:
    """The model types in a model's config that transformers does not know (now)."""
    from transformers import CONFIG_MAPPING

    return [model_type for model_type in _model_types(name) if model_type not in CONFIG_MAPPING]


def _model_types(name: str) -> list[str]:
    from transformers import PreTrainedConfig

    try:
        config, _ = PreTrainedConfig.get_config_dict(name)
    except Exception:  # transformers raises a dozen kinds here
        return []
    if not isinstance(config, dict):  # JSON of another kind
        return []
    return list(dict.fromkeys(_nested(config)))


def _nested(config: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(model_type := config.get("model_type"), str):
        yield model_type
    for value in config.values():
        if isinstance(value, dict):
            yield from _nested(value)
