"""Training data: formats, mixtures, batches, what can be wrong with a sample.

    mixture = open_data(config.data, seed=0)                      # deterministic by (seed, epoch)
    collator = Collator(processor, model_config=model.config)     # the host's own processor and chat template
    loader = DataLoader(mixture, batch_sampler=mixture.batches(8, epoch=0), collate_fn=collator)

Names are imported on first use: formats need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parrot_adapters.data.collator import Collator
    from parrot_adapters.data.dialogue import Dialogue, Picture, Turn, Video
    from parrot_adapters.data.format import DataFormat, Files, role_of, split_at
    from parrot_adapters.data.mixture import Mixture, open_data
    from parrot_adapters.data.packing import PackedCollator
    from parrot_adapters.data.problems import PROBLEMS, BadSample
    from parrot_adapters.data.rejects import Rejects
    from parrot_adapters.data.streaming import StreamingMixture

__all__ = [
    "PROBLEMS",
    "BadSample",
    "Collator",
    "DataFormat",
    "Dialogue",
    "Files",
    "Mixture",
    "PackedCollator",
    "Picture",
    "Rejects",
    "StreamingMixture",
    "Turn",
    "Video",
    "open_data",
    "role_of",
    "split_at",
]

_HOMES = {
    "collator": ("Collator",),
    "dialogue": ("Dialogue", "Picture", "Turn", "Video"),
    "format": ("DataFormat", "Files", "role_of", "split_at"),
    "mixture": ("Mixture", "open_data"),
    "packing": ("PackedCollator",),
    "problems": ("PROBLEMS", "BadSample"),
    "rejects": ("Rejects",),
    "streaming": ("StreamingMixture",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
