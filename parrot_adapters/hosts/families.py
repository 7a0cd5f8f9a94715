"""Families of models that differ from the defaults, or cannot be reached; no plugin needs to be installed.

Everything else either follows :data:`~parrot_adapters.hosts.DEFAULT_HOST` or comes from a plugin (``plugins/``).
"""

from __future__ import annotations

from dataclasses import replace

from parrot_adapters.hosts.host_spec import HostSpec

__all__ = [
    "BLIP2",
    "BLIP_VIDEO",
    "CROSS_ATTENTION",
    "DIFFUSION_GEMMA",
    "FLORENCE2",
    "FUYU",
    "GIT",
    "GLM_V",
    "GRANITE4_VISION",
    "IDEFICS",
    "INKLING",
    "KOSMOS2",
    "KOSMOS2_5",
    "LLAMA4",
    "LLAVA_CODE",
    "MLLAMA",
    "NO_PROMPT",
    "PHI4_MULTIMODAL",
    "PI0",
    "T5GEMMA2",
    "UDOP",
]

# Their features come one element per prompt, all its images end to end; the processor separates the images of a
# prompt (and the tiles of an image) by ids of their own, so a run of placeholders is an image or a tile.
IDEFICS = HostSpec(("idefics2", "idefics3", "smolvlm"), unit="run")

# No vision encoder: linear patch embeddings, returned without pooling.
FUYU = HostSpec(("fuyu",), feature_attribute="last_hidden_state", vision_tower=("vision_embed_tokens",))

# Every patch is an element of one visual token; an id of its own stands before each picture.
INKLING = HostSpec(("inkling_mm_model",), unit="run")

# Videos stand in the prompt as the image's placeholder, between video frames of their own.
GLM_V = HostSpec(("glm4v", "glm4v_moe", "glm46v", "glm_ocr"), video_token_attributes=("image_token_id",))

# --- reached at their own calls -------------------------------------------------------------------------------------

# LLaVA's own code and its descendants, whatever type they call themselves: known by these two methods. Those whose
# generate is transformers' own (LLaVA 1.0, Bunny) encode at every step without a cache: "generate" ends the prompt.
LLAVA_CODE = HostSpec(
    encoder_calls=("encode_images",),
    prompt_calls=("prepare_inputs_labels_for_multimodal", "generate"),
    pixels=("images",),
    placeholder=-200,
    placeholder_holds="picture",
    projector=("mm_projector", "connector", "multi_modal_projector", "projector"),
    vision_tower=("vision_tower", "vision_model"),
    language_model=("language_model", "llm", "layers"),
)

# The projector is called inside forward, on all tiles of all images end to end; separators stand between tiles.
LLAMA4 = HostSpec(("llama4",), unit="run", encoder_calls=("multi_modal_projector",))

# Their generate encodes by itself and calls the language model past the place where images are handed over.
BLIP2 = HostSpec(("blip-2", "instructblip"), encoder_calls=("language_projection",), projector=("language_projection",))
BLIP_VIDEO = HostSpec(
    ("instructblipvideo",),
    encoder_calls=("language_projection",),
    projector=("language_projection",),
    placeholder="video_token_id",
)

# The encoder of an encoder-decoder model merges the images; generate calls it, or merges by itself.
FLORENCE2 = HostSpec(("florence2",), encoder_calls=("get_image_features",))
T5GEMMA2 = HostSpec(
    ("t5gemma2",),
    encoder_calls=("encoder.get_image_features",),
    projector=("encoder.multi_modal_projector",),
    vision_tower=("encoder.vision_tower",),
    language_model=("encoder.text_model",),
)

# Places for visual tokens are told by a mask; the projector returns its attention as well.
KOSMOS2 = HostSpec(
    ("kosmos-2",),
    encoder_calls=("image_to_text_projection",),
    feature_attribute="0",
    placeholder_mask="image_embeds_position_mask",
    projector=("image_to_text_projection",),
)
KOSMOS2_5 = replace(KOSMOS2, model_types=("kosmos-2.5",), pixels=("flattened_patches",))

# Pictures are projected one by one, deep inside the embedding of the prompt.
PHI4_MULTIMODAL = HostSpec(
    ("phi4_multimodal",),
    encoder_calls=("embed_tokens_extend.image_embed.img_projection_down",),
    placeholder="vision_config.image_token_id",
    pixels=("image_pixel_values",),
    projector=("embed_tokens_extend.image_embed.img_projection_down",),
    vision_tower=("embed_tokens_extend.image_embed.img_processor",),
    language_model=("layers",),
)

# Visual tokens stand in front of every prompt, without placeholders.
GIT = HostSpec(
    ("git",),
    encoder_calls=("visual_projection",),
    placeholder_holds="nothing",
    projector=("visual_projection",),
    vision_tower=("image_encoder",),
    language_model=("encoder",),
)

# Layers of cross-attention read what the projector makes; the pictures and tiles of each prompt are filled up.
MLLAMA = HostSpec(
    ("mllama",),
    encoder_calls=("multi_modal_projector",),
    placeholder_holds="picture",
    features_mask="aspect_ratio_mask",
)

# --- not reached ----------------------------------------------------------------------------------------------------

CROSS_ATTENTION = HostSpec(
    ("idefics", "blip"),
    unsupported="cross-attention reads its images at the vision tower's width, and nothing projects them to the "
    "language model's, which an adapter reads and writes",
)
DIFFUSION_GEMMA = HostSpec(
    ("diffusion_gemma",),
    unsupported="it writes a whole block of words at once, by diffusion: its forward gives no next word, which is what "
    "an adapter is checked, trained and evaluated on",
)
PI0 = HostSpec(("pi0",), unsupported="it answers with the movements of a robot, not with words")
GRANITE4_VISION = HostSpec(
    ("granite4_vision",),
    unsupported="its image features go into several layers of the language model, none into the prompt",
)
NO_PROMPT = HostSpec(
    ("pix2struct", "vision-encoder-decoder", "pp_formulanet"),
    unsupported="it reads pictures alone: there is no prompt beside them that a router could read",
)
UDOP = HostSpec(
    ("udop",),
    unsupported="it adds what it sees of a page to the words that stand there; it has no visual tokens of their own",
)
