"""Which frames of a video a host is shown: its own video processor decides, as at inference."""

from __future__ import annotations

from typing import Any

__all__ = ["frames_wanted"]

NOT_OF_SAMPLING = ("input_data_format", "do_convert_rgb", "do_sample_frames", "device", "video_metadata")


def frames_wanted(video_processor: Any, *, total: int, fps: float | None, height: int, width: int) -> list[int]:
    """Numbers of the frames that a video processor takes, in order; all of them where it does not sample.

    Args:
        video_processor: of the host.
        total: frames of the video.
        fps: frames in a second; None if unknown.
        height: in pixels.
        width: in pixels.

    Raises:
        Exception: whatever the processor raises, for a video that is too short for example.
    """
    if not getattr(video_processor, "do_sample_frames", False):
        return list(range(total))
    from transformers.video_utils import VideoMetadata

    # The settings that its own preprocess hands to sample_frames.
    names = [name for name in video_processor.valid_kwargs.__annotations__ if name not in NOT_OF_SAMPLING]
    settings = {name: getattr(video_processor, name, None) for name in names}
    duration = total / fps if fps else None
    metadata = VideoMetadata(total_num_frames=total, fps=fps, duration=duration, height=height, width=width)
    return [int(number) for number in video_processor.sample_frames(metadata=metadata, **settings)]
