"""Qwen-VL hosts: Qwen2-VL, Qwen2.5-VL, Qwen3-VL and its mixture of experts.

Images and videos come in any resolution, so each has its own number of visual tokens; one image, or one whole video,
is routed as one. The towers have no CLS token: the summary is the mean. Qwen3-VL writes a video frame by frame with
time stamps between, and its placeholders are still one video's; it also feeds features of inner vision layers
(deepstack) into the language model, which stay as they are unless
``AdapterConfig(host_options={"deepstack": "align"})`` sends them through the adapter as well.
"""

from __future__ import annotations

from typing import Any

from parrot_adapters import HostSpec, hookimpl

QWEN_VL = HostSpec(
    model_types=("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe"),
    unit="item",
    summary="mean",
    projector=("visual.merger",),
    vision_tower=("visual",),
    language_model=("language_model",),
    video_token_attributes=("video_token_id",),  # a video is never marked by the image's placeholder
    deepstack="raw",
)


@hookimpl
def register_hosts(register: Any) -> None:
    register("qwen-vl", QWEN_VL)
