"""Processors whose video half needs torchvision, where torchvision is not installed: Qwen-VL's, for pictures."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

from parrot_adapters.errors import ParrotWarning

__all__ = ["load_without_videos"]


def load_without_videos(name: str, settings: dict[str, Any]) -> Any | None:
    """A processor without its video half.

    Args:
        name: directory or Hub name.
        settings: keyword arguments of ``from_pretrained``.

    Returns:
        the processor, or None if torchvision is there or no known class would be helped.
    """
    if find_spec("torchvision") is not None:
        return None
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    config = transformers.AutoConfig.from_pretrained(name)
    kind = getattr(transformers, PROCESSOR_MAPPING_NAMES.get(config.model_type, ""), None)
    # transformers hands the parts over by position, so only a last one can be left out.
    if kind is None or kind.get_attributes()[-1:] != ["video_processor"]:
        return None
    warnings.warn(
        f"torchvision is not installed, so {kind.__name__} takes no videos here; pictures are not affected",
        ParrotWarning,
        stacklevel=3,
    )
    kept = kind.get_attributes()[:-1]

    def save(self: Any, directory: Any, **options: Any) -> Any:
        written = super(made, self).save_pretrained(directory, **options)
        self.image_processor.save_pretrained(directory)  # where transformers finds a video half that has no file
        return written

    # Under the same name, because that is what a saved processor is found by.
    changed = {"get_attributes": classmethod(lambda cls: kept), "save_pretrained": save}
    made: Any = type(kind.__name__, (kind,), changed)
    return made.from_pretrained(name, **settings)
