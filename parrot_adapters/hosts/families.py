"""Families of transformers that differ from the defaults, and that no plugin needs to be installed for.

Everything else either follows :data:`~parrot_adapters.hosts.DEFAULT_HOST` or comes from a plugin (``plugins/``).
"""

from __future__ import annotations

from parrot_adapters.hosts.spec import HostSpec

__all__ = ["FAMILIES"]

FAMILIES = {
    # Their features come one element per prompt, all its images end to end; the processor separates the images of a
    # prompt (and the tiles of an image) by ids of their own, so a run of placeholders is an image or a tile.
    "idefics": HostSpec(("idefics2", "idefics3", "smolvlm"), unit="run"),
    # No vision encoder: linear patch embeddings, returned without pooling.
    "fuyu": HostSpec(("fuyu",), feature_attribute="last_hidden_state", vision_tower=("vision_embed_tokens",)),
}
