"""Hosts that take videos, in miniature, with their real processors, and videos for them. Needs torchvision and PyAV."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from miniatures import MROPE, MROPE3, siglip, text, tower

from parrot_adapters.testing import byte_tokenizer, lively_weights
from support import chat_processors
from support.chat_processors import CHATML, CHATML_TOKENS, PATCH, SIDE, llama

# Pictures and videos where they are spoken of, an end token behind the answer (as LLaVA-OneVision's).
TAGGED = (
    "{{ '<s>' }}{% for m in messages %}{{ m['role'] + ':' }}{% for p in m['content'] %}"
    "{{ '<' + p['type'] + '>' if p['type'] != 'text' else p['text'] }}{% endfor %}"
    "{% if m['role'] == 'assistant' %}{{ '</s>' }}{% else %}{{ '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
QWEN_TOKENS = (*CHATML_TOKENS, "<|video_pad|>", "<|endoftext|>")
SIZE = {"height": SIDE, "width": SIDE}
PINPOINTS = [[16, 32], [32, 16], [32, 32]]


def _qwen_processor(images: str, videos: str, processor: str, **sampling: Any) -> Any:
    size = {"shortest_edge": 64, "longest_edge": 1024}
    made = getattr(transformers, images)(patch_size=PATCH, merge_size=2, size=size)
    # The largest size is of all frames of a video together.
    moving = getattr(transformers, videos)(
        patch_size=PATCH,
        merge_size=2,
        size={"shortest_edge": 64, "longest_edge": 16 * 1024},
        cap_pixels_per_frame=False,
        **sampling,
    )
    return getattr(transformers, processor)(
        made, byte_tokenizer(QWEN_TOKENS, eos_token="<|im_end|>"), moving, chat_template=CHATML
    )


def _ids(processor: Any, **tokens: str) -> dict[str, int]:
    return {name: processor.tokenizer.convert_tokens_to_ids(token) for name, token in tokens.items()}


def _qwen_ids(processor: Any) -> dict[str, int]:
    return _ids(
        processor,
        vision_start_token_id="<|vision_start|>",
        vision_end_token_id="<|vision_end|>",
        image_token_id="<|image_pad|>",
        video_token_id="<|video_pad|>",
    )


def _words(processor: Any, model_type: str, **more: Any) -> dict[str, Any]:
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    return {**text(model_type, **more), **special, "vocab_size": len(processor.tokenizer)}


def qwen2_5_vl() -> tuple[Any, Any]:
    processor = _qwen_processor(
        "Qwen2VLImageProcessorPil", "Qwen2VLVideoProcessor", "Qwen2_5_VLProcessor", do_sample_frames=True, fps=2
    )
    vision = {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 24,
        "out_hidden_size": 32,
        "num_heads": 2,
        "patch_size": PATCH,
        "window_size": 4 * PATCH,
        "fullatt_block_indexes": [1],
    }
    config = transformers.Qwen2_5_VLConfig(
        text_config=_words(processor, "qwen2_5_vl_text", rope_parameters=MROPE),
        vision_config=vision,
        **_qwen_ids(processor),
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(config), processor


def qwen3_vl() -> tuple[Any, Any]:
    """A video is written frame by frame, each in a frame of control tokens behind its time."""
    processor = _qwen_processor("Qwen2VLImageProcessorPil", "Qwen3VLVideoProcessor", "Qwen3VLProcessor")
    vision = {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_heads": 2,
        "patch_size": PATCH,
        "out_hidden_size": 32,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0],
    }
    config = transformers.Qwen3VLConfig(
        text_config=_words(processor, "qwen3_vl_text", head_dim=8, rope_parameters=MROPE3),
        vision_config=vision,
        **_qwen_ids(processor),
    )
    return transformers.Qwen3VLForConditionalGeneration(config), processor


def _llama_ids(processor: Any) -> dict[str, int]:
    return _ids(processor, image_token_index="<image>", video_token_index="<video>")


def llava_onevision() -> tuple[Any, Any]:
    processor = transformers.LlavaOnevisionProcessor(
        transformers.LlavaOnevisionImageProcessorPil(size=SIZE, image_grid_pinpoints=PINPOINTS),
        llama("<video>", bos=False),
        transformers.LlavaOnevisionVideoProcessor(size=SIZE, do_sample_frames=True, num_frames=4),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=TAGGED,
    )
    config = transformers.LlavaOnevisionConfig(
        text_config=_words(processor, "qwen2"),
        vision_config=siglip(),
        image_grid_pinpoints=PINPOINTS,
        vision_feature_select_strategy="full",
        **_llama_ids(processor),
    )
    return transformers.LlavaOnevisionForConditionalGeneration(config), processor


def llava_next_video() -> tuple[Any, Any]:
    processor = transformers.LlavaNextVideoProcessor(
        transformers.LlavaNextVideoVideoProcessor(size=SIZE, crop_size=SIZE, do_sample_frames=True, num_frames=4),
        transformers.LlavaNextImageProcessorPil(
            size={"shortest_edge": SIDE}, crop_size=SIZE, image_grid_pinpoints=PINPOINTS
        ),
        llama("<video>", bos=False),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TAGGED,
    )
    config = transformers.LlavaNextVideoConfig(
        text_config=_words(processor, "llama"),
        vision_config=tower(),
        image_grid_pinpoints=PINPOINTS,
        **_llama_ids(processor),
    )
    return transformers.LlavaNextVideoForConditionalGeneration(config), processor


def video_llava() -> tuple[Any, Any]:
    processor = transformers.VideoLlavaProcessor(
        transformers.VideoLlavaImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SIZE)
        if hasattr(transformers, "VideoLlavaImageProcessorPil")
        else chat_processors.clip_pictures(),
        transformers.VideoLlavaVideoProcessor(
            size={"shortest_edge": SIDE}, crop_size=SIZE, do_sample_frames=True, num_frames=8
        ),
        llama("<video>", bos=False),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TAGGED,
    )
    config = transformers.VideoLlavaConfig(
        text_config=_words(processor, "llama"), vision_config=tower(), **_llama_ids(processor)
    )
    return transformers.VideoLlavaForConditionalGeneration(config), processor


HOSTS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "llava_onevision": llava_onevision,
    "llava_next_video": llava_next_video,
    "video_llava": video_llava,
}


def build(name: str) -> tuple[Any, Any]:
    """The model, the same every time, and its processor."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, processor = HOSTS[name]()
        lively_weights(model)
    return model.eval(), processor


def write_video(path: Path, shades: list[int], *, fps: int = 4, size: tuple[int, int] = (32, 24)) -> Path:
    """A video whose frames are of one shade each; the name's end decides the container."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx" if path.suffix == ".webm" else "mpeg4", rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for shade in shades:
            pixels = np.full((size[1], size[0], 3), shade, dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path
