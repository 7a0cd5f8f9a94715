"""Families of transformers that differ from the defaults, or cannot be reached; no plugin needs to be installed.

Everything else either follows :data:`~parrot_adapters.hosts.DEFAULT_HOST` or comes from a plugin (``plugins/``).
"""

from __future__ import annotations

from parrot_adapters.hosts.host_spec import HostSpec

__all__ = ["BLIP", "FUYU", "GLM_V", "GRANITE4_VISION", "IDEFICS", "LLAMA4", "MLLAMA"]

# Their features come one element per prompt, all its images end to end; the processor separates the images of a
# prompt (and the tiles of an image) by ids of their own, so a run of placeholders is an image or a tile.
IDEFICS = HostSpec(("idefics2", "idefics3", "smolvlm"), unit="run")

# No vision encoder: linear patch embeddings, returned without pooling.
FUYU = HostSpec(("fuyu",), feature_attribute="last_hidden_state", vision_tower=("vision_embed_tokens",))

# Videos stand in the prompt as the image's placeholder, between video frames of their own.
GLM_V = HostSpec(("glm4v", "glm4v_moe", "glm46v", "glm_ocr"), video_token_attributes=("image_token_id",))

LLAMA4 = HostSpec(("llama4",), unsupported="its forward projects the image features after it is handed them")
MLLAMA = HostSpec(("mllama",), unsupported="its images go into cross-attention, not into the prompt")
BLIP = HostSpec(
    ("blip-2", "instructblip", "instructblipvideo"),
    unsupported="its generate calls the language model directly, past the place where images are handed over",
)
GRANITE4_VISION = HostSpec(
    ("granite4_vision",),
    unsupported="its image features go into several layers of the language model, none into the prompt",
)
