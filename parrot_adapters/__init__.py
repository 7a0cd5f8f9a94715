"""Multilingual mixture-of-experts adapters for multimodal LLMs that people already have (PARROT, arXiv 2406.02539).

    handle = attach(model, AdapterConfig())     # the host keeps its class; nothing changes until trained
    handle.save_pretrained("my-adapter")        # small, no pickle
    handle.detach()                             # the host as it was, bit for bit
    load_adapter(model, "my-adapter")

Public names are imported on first use, so ``import parrot_adapters`` costs nothing and ``parrot_adapters.core`` never
pulls in transformers.
"""

import lazy_loader

from parrot_adapters.import_after import import_after

_public_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = [*__all__, "__version__"]

# Hosts whose classes a plugin brings load with transformers' own code, whichever of both is imported first.
import_after("transformers.models.auto.configuration_auto", "parrot_adapters.hosts.classes_on_demand")


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("parrot_adapters")
    return _public_name(name)
