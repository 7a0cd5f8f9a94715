"""Weight names of an original PARROT checkpoint, of a LLaVA host in memory, and of a LLaVA host on disk.

On disk are the names that published LLaVA models use, which every release of transformers reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["ADAPTER_PREFIX", "EMBEDDING", "OUTPUT", "PROJECTOR_PREFIX", "host_name", "in_memory", "on_disk"]

EMBEDDING, OUTPUT = "model.language_model.embed_tokens.weight", "lm_head.weight"
PROJECTOR_PREFIX = "model.multi_modal_projector."
ADAPTER_PREFIX = "model.moe_model."

# Buffers that old releases of transformers stored and new ones compute.
COMPUTED = re.compile(r".*\.(position_ids|rotary_emb\.inv_freq)")

FROM_ORIGINAL = {
    r"(?:model\.vision_tower\.vision_tower\.)?vision_model\.(.+)": r"model.vision_tower.\1",
    r"model\.mm_projector\.0\.(.+)": rf"{PROJECTOR_PREFIX}linear_1.\1",
    r"model\.mm_projector\.2\.(.+)": rf"{PROJECTOR_PREFIX}linear_2.\1",
    r"model\.((?:embed_tokens|layers|norm)\..+)": r"model.language_model.\1",
    r"(lm_head\..+)": r"\1",
}
TO_DISK = {
    r"model\.language_model\.(.+)": r"language_model.model.\1",
    r"(lm_head\..+)": r"language_model.\1",
    r"model\.vision_tower\.(.+)": r"vision_tower.vision_model.\1",
    r"model\.(multi_modal_projector\..+)": r"\1",
}


def host_name(original: str) -> str | None:
    """The host's name of one of the original's weights; the empty string if the host computes it; None if unknown.

    >>> host_name("model.mm_projector.2.bias")
    'model.multi_modal_projector.linear_2.bias'
    """
    return "" if COMPUTED.fullmatch(original) else _renamed(original, FROM_ORIGINAL)


def in_memory(name: str) -> str:
    """A name of a LLaVA model in memory, whatever the release of transformers: some have one level more."""
    return name.replace("model.vision_tower.vision_model.", "model.vision_tower.")


def on_disk(name: str) -> str:
    """The name under which published LLaVA models store a weight."""
    found = _renamed(name, TO_DISK)
    assert found is not None, name
    return found


def _renamed(name: str, rules: Mapping[str, str]) -> str | None:
    for pattern, replacement in rules.items():
        if match := re.fullmatch(pattern, name):
            return match.expand(replacement)
    return None
