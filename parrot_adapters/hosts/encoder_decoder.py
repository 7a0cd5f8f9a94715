"""Hosts that read the prompt in an encoder and write in a decoder."""

from __future__ import annotations

from typing import Any

__all__ = ["has_decoder_of_its_own"]


def has_decoder_of_its_own(config: Any) -> bool:
    """Whether answers are written in another sequence than the prompt's (Florence-2, T5Gemma 2, BLIP-2 with T5).

    Args:
        config: of the host, or None.
    """
    return any(getattr(part, "is_encoder_decoder", False) for part in (config, getattr(config, "text_config", None)))
