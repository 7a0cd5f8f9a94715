"""What turns pictures and chats into inputs of the host: a standard `LlavaProcessor`, as `AutoProcessor` loads it.

A picture that is drawn on paper as ours are (`art.draw`) comes out exactly as `vision.to_pixel_values` makes it; any
other is first resized to the same square.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .art import PIXELS
from .tokenizer import load_tokenizer
from .vision import PIXEL_MEAN, PIXEL_SCALE

if TYPE_CHECKING:
    from transformers import LlavaProcessor, PreTrainedTokenizerFast

__all__ = ["load_processor"]


def load_processor(grid: int, tokenizer: PreTrainedTokenizerFast | None = None) -> LlavaProcessor:
    """The processor of hosts with ``grid`` x ``grid`` visual tokens, and the miniature's tokenizer or another."""
    from transformers import CLIPImageProcessor, LlavaProcessor

    tokenizer = tokenizer or load_tokenizer()
    square = {"height": PIXELS, "width": PIXELS}
    pictures = CLIPImageProcessor(
        size=square,
        crop_size=square,  # only read: the processor counts visual tokens with it
        do_center_crop=False,
        do_rescale=False,
        image_mean=[PIXEL_MEAN] * 3,
        image_std=[PIXEL_SCALE] * 3,
    )
    return LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=PIXELS // grid,
        vision_feature_select_strategy="full",  # no CLS token
        chat_template=tokenizer.chat_template,
    )
