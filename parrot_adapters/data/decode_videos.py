"""Decode the frames of a video that its host asks for.

Files are decoded by PyAV, whose packages bring FFmpeg along; video processors of transformers decode with torchcodec,
which wants FFmpeg installed, and take frames as well as files. Which frames are taken is the host's own rule, so
inference on the file sees the same ones. A video that is given as frames is shown whole.

Frames are counted from the packets before the first is decoded: what a header says may be a guess. A video that ends
before its header says, or of which a wanted frame cannot be decoded, is a bad sample. Matroska and WebM do not say how
many frames they have: of one that was cut short, what is there is the video.

T  frames    H, W  pixels
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parrot_adapters.data.byte_ranges import stored_bytes
from parrot_adapters.data.decode_pictures import by_number, picture_size, read_picture
from parrot_adapters.data.dialogue import Picture, Video
from parrot_adapters.data.problems import BadSample
from parrot_adapters.errors import MissingDependencyError, first_line

__all__ = ["Frames", "VideoShape", "given_as_pictures", "read_frames", "video_shape"]

LARGEST = 4 << 30  # bytes of the decoded frames of one video
MISCOUNTED = 2  # frames by which headers of whole files are wrong
FRAME_FILES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")

Wanted = Callable[["VideoShape"], list[int]]
"""What a video is like -> the numbers of the frames that are shown, in order."""


@dataclass(frozen=True)
class VideoShape:
    """What a video is like.

    Attributes:
        frames: how many.
        height, width: in pixels.
        fps: frames in a second; None where nobody said.
        sampled: its frames are the ones to show.
    """

    frames: int
    height: int
    width: int
    fps: float | None
    sampled: bool


@dataclass(frozen=True)
class Frames:
    """Decoded frames.

    Attributes:
        pixels: (T, H, W, 3) uint8, RGB.
        shape: of the whole video.
        numbers: which of its frames these are.
    """

    pixels: NDArray[np.uint8]
    shape: VideoShape
    numbers: list[int]

    def metadata(self) -> dict[str, Any]:
        """As transformers' ``VideoMetadata`` has it."""
        return {
            "total_num_frames": self.shape.frames,
            "fps": self.shape.fps,
            "duration": self.shape.frames / self.shape.fps if self.shape.fps else None,
            "height": self.shape.height,
            "width": self.shape.width,
            "frames_indices": self.numbers,
        }


def video_shape(video: Video) -> VideoShape:
    """What a video is like, without decoding it.

    Raises:
        BadSample: it is not there, or no video.
        MissingDependencyError: PyAV is not installed.
    """
    frames = given_as_pictures(video)
    if frames is not None:
        height, width = picture_size(frames[0])
        return VideoShape(len(frames), height, width, video.fps, sampled=True)
    with _opened(video) as container:
        return _shape(container, video)


def read_frames(video: Video, wanted: Wanted) -> Frames:
    """The frames that are shown.

    Args:
        video: a file, or frames.
        wanted: asked which frames of a file; frames that are given are all shown.

    Raises:
        BadSample: it is not there, cannot be decoded, or would take more than 4 GiB.
        MissingDependencyError: PyAV is not installed.
    """
    frames = given_as_pictures(video)
    if frames is not None:
        return _from_pictures(frames, video)
    with _opened(video) as container:
        shape = _shape(container, video)
        numbers = _asked(wanted, shape, video)
        _refuse_too_large(len(numbers), shape, video)
        container.seek(0)
        kept: dict[int, NDArray[np.uint8]] = {}
        asked = set(numbers)
        for number, frame in enumerate(_decoded(container, video)):
            if number in asked:
                kept[number] = frame.to_ndarray(format="rgb24")
            if len(kept) == len(asked):
                break
    missing = sorted(asked - set(kept))
    if missing:
        raise BadSample("bad-video", f"{_named(video)}: frame {missing[0]} of {shape.frames} cannot be decoded")
    return Frames(np.stack([kept[number] for number in numbers]), shape, numbers)


# --- frames as pictures ----------------------------------------------------------------------------------------------


def given_as_pictures(video: Video) -> tuple[Picture, ...] | None:
    """The frames of a video that is given as pictures; None of one in a file.

    Raises:
        BadSample: its directory has none.
    """
    if video.frames:
        return video.frames
    if video.path is None or not Path(video.path).is_dir():
        return None
    found = [file for file in Path(video.path).iterdir() if file.suffix.lower() in FRAME_FILES]
    if not found:
        raise BadSample("bad-video", f"{video.path} is a directory without pictures")
    return tuple(Picture(str(file)) for file in sorted(found, key=lambda file: by_number(file.name)))


def _from_pictures(frames: tuple[Picture, ...], video: Video) -> Frames:
    height, width = picture_size(frames[0])
    shape = VideoShape(len(frames), height, width, video.fps, sampled=True)
    _refuse_too_large(len(frames), shape, video)
    read = [np.asarray(read_picture(frame)) for frame in frames]
    other = next((number for number, pixels in enumerate(read) if pixels.shape != read[0].shape), None)
    if other is not None:
        sizes = " and ".join(f"{pixels.shape[1]} x {pixels.shape[0]}" for pixels in (read[0], read[other]))
        raise BadSample("bad-video", f"{_named(video)}: its frames have several sizes, {sizes}")
    return Frames(np.stack(read), shape, list(range(len(read))))


# --- files -----------------------------------------------------------------------------------------------------------


def _opened(video: Video) -> Any:
    av = _pyav()
    data = video.data if video.stored is None else stored_bytes(video.stored, kind="bad-video")
    if data is None and (video.path is None or not Path(video.path).is_file()):
        raise BadSample("bad-video", f"{video.path} is not there")
    try:
        container = av.open(video.path if data is None else io.BytesIO(data))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise BadSample("bad-video", f"{_named(video)}: {first_line(error)}") from None
    if not container.streams.video:
        container.close()
        raise BadSample("bad-video", f"{_named(video)} has no pictures in it")
    return container


def _shape(container: Any, video: Video) -> VideoShape:
    stream = container.streams.video[0]
    try:
        count = sum(packet.size > 0 for packet in container.demux(stream))
    except (_pyav().error.FFmpegError, OSError, ValueError) as error:
        raise BadSample("bad-video", f"{_named(video)}: {first_line(error)}") from None
    if not count or count < stream.frames - MISCOUNTED:
        raise BadSample("bad-video", f"{_named(video)}: {count} frames are there; its header says {stream.frames}")
    rate = stream.average_rate or stream.guessed_rate
    return VideoShape(count, stream.height, stream.width, float(rate) if rate else None, sampled=False)


def _decoded(container: Any, video: Video) -> Any:
    try:
        yield from container.decode(video=0)
    except (_pyav().error.FFmpegError, OSError, ValueError) as error:
        raise BadSample("bad-video", f"{_named(video)}: {first_line(error)}") from None


def _asked(wanted: Wanted, shape: VideoShape, video: Video) -> list[int]:
    try:
        numbers = wanted(shape)
    except Exception as error:  # whatever a video processor raises
        raise BadSample("bad-video", f"{_named(video)}: {first_line(error)}") from None
    if not numbers or min(numbers) < 0 or max(numbers) >= shape.frames:
        raise BadSample("bad-video", f"{_named(video)}: frames {numbers[:8]} are asked for, of {shape.frames}")
    return numbers


def _refuse_too_large(count: int, shape: VideoShape, video: Video) -> None:
    size = count * shape.height * shape.width * 3
    if size > LARGEST:
        raise BadSample(
            "bad-video",
            f"{_named(video)}: {count} frames of {shape.width} x {shape.height} are {size / 2**30:.1f} GiB;"
            " have the processor sample (host.processor: {do_sample_frames: true, fps: 2})",
        )


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError(
            "training on video files needs PyAV\n  todo  pip install 'parrot_adapters[video]', or give videos as frames"
        ) from error
    return av


def _named(video: Video) -> str:
    if video.frames:
        return f"a video of {len(video.frames)} frames"
    return str(video.stored) if video.stored else video.path or f"{len(video.data or b''):,} bytes"
