"""transformers asks plugins for a model type before it calls it unknown.

Imported right after transformers' own table of model types (see ``parrot_adapters/__init__.py``): whoever has imported
``parrot_adapters`` loads every host with transformers' own code, as an adapter's model card says. Types that
transformers knows never lead here, so a plugin is imported only for a host that needs it.
"""

from __future__ import annotations

from typing import Any

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from parrot_adapters.hosts.model_classes import make_type_known

__all__: list[str] = []


class _AsksPlugins(type(CONFIG_MAPPING)):  # type: ignore[misc]  # the class of whichever release is installed
    """The same table, which knows more types once somebody asks for them."""

    def __contains__(self, model_type: object) -> bool:
        if super().__contains__(model_type):
            return True
        return isinstance(model_type, str) and make_type_known(model_type) and super().__contains__(model_type)

    def __getitem__(self, model_type: str) -> Any:
        # Asked for first: the lookup of the class above then finds it, or raises what it always raised.
        _ = model_type in self
        return super().__getitem__(model_type)


CONFIG_MAPPING.__class__ = _AsksPlugins
