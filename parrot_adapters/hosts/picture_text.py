"""What stands for pictures in a prompt that no chat template writes."""

from __future__ import annotations

from typing import Any

__all__ = ["picture_text"]

PUT_THEMSELVES = frozenset(
    ["Blip2Processor", "Florence2Processor", "InstructBlipProcessor", "InstructBlipVideoProcessor", "Kosmos2Processor"]
)
"""Processors that put a picture's placeholders in front of the text themselves; one in the text would be a second."""


def picture_text(processor: Any, pictures: int) -> str:
    """Placeholders of some pictures, as a processor wants them in its text.

    Args:
        processor: of the host.
        pictures: how many.
    """
    if any(base.__name__ in PUT_THEMSELVES for base in type(processor).__mro__):
        return ""
    return str(getattr(processor, "image_token", None) or "<image>") * pictures
