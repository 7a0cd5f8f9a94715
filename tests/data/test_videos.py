"""Videos without a decoder and without torchvision: as frames, shown to a stand-in for a video processor."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.chat_processors import llava, qwen2_vl
from support.random_dialogues import picture
from support.shards import record, write_shard

from parrot_adapters.data import BadSample, Collator, Dialogue, Picture, Turn, Video, open_data
from parrot_adapters.data import decode_videos as decoding
from parrot_adapters.data.decode_videos import read_frames, video_shape
from parrot_adapters.data.settings import DataSettings, SourceSettings
from parrot_adapters.errors import DataError, MissingDependencyError
from parrot_adapters.hosts.video_sampling import frames_wanted


class Videos:
    """As much of a video processor as this needs: two tokens a frame; it keeps what it was shown."""

    merge_size = 1

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def __call__(self, videos: list[Any], **options: Any) -> dict[str, torch.Tensor]:
        assert options["do_sample_frames"] is False
        self.shown = list(zip(videos, options["video_metadata"], strict=True))
        return {
            "pixel_values_videos": torch.tensor([float(video.mean()) for video in videos]),
            "video_grid_thw": torch.tensor([[len(video), 1, 2] for video in videos]),
        }


def takes_videos() -> Any:
    """Qwen2-VL's processor with that stand-in."""
    made = qwen2_vl()
    made.video_processor = Videos()

    def process(videos: list[Any], **options: Any) -> Any:
        done = made.video_processor(videos, **options)
        return done, [made.video_token * 2 * len(video) for video in videos]

    made._process_videos = process
    made.validate_inputs = lambda **inputs: None
    return made


def frames(*shades: int, size: tuple[int, int] = (8, 8)) -> tuple[Picture, ...]:
    return tuple(picture(*size, shade) for shade in shades)


def dialogue(name: str, *parts: Any) -> Dialogue:
    return Dialogue(name, "f.json", None, (Turn("user", (*parts, "what?")), Turn("assistant", ("rain",))))


# -- batches --------------------------------------------------------------------------------------------------------


def test_a_host_that_takes_videos_is_given_them(tmp_path: Path) -> None:
    for number, frame in zip((1, 2, 10), frames(0, 128, 255), strict=True):
        (tmp_path / f"{number}.png").write_bytes(frame.data or b"")
    (tmp_path / "notes.txt").write_text("no frame")
    processor = takes_videos()
    collator = Collator(processor)
    batch = collator(
        [
            dialogue("directory", Video(str(tmp_path), fps=2)),
            dialogue("text"),
            dialogue("listed", Video(frames=frames(255, 0))),
        ]
    )
    placeholder = processor.tokenizer.convert_tokens_to_ids("<|video_pad|>")
    assert (batch["input_ids"] == placeholder).sum(1).tolist() == [6, 0, 4]
    (first, about), (second, unknown) = processor.video_processor.shown
    assert first.shape == (3, 8, 8, 3)
    assert first[:, 0, 0, 0].tolist() == [0, 128, 255]
    assert second[:, 0, 0, 0].tolist() == [255, 0]
    assert about == {
        "total_num_frames": 3,
        "fps": 2,
        "duration": 1.5,
        "height": 8,
        "width": 8,
        "frames_indices": [0, 1, 2],
    }
    assert (unknown["fps"], unknown["duration"]) == (None, None)
    for row in range(3):
        labels = batch["labels"][row]
        assert processor.tokenizer.decode(labels[labels != -100]) == "rain<|im_end|>"


def test_a_batch_without_videos_says_nothing_of_them() -> None:
    processor = takes_videos()
    assert "pixel_values_videos" not in Collator(processor)([dialogue("text")])
    assert processor.video_processor.shown == []


def test_length_counts_a_videos_tokens() -> None:
    collator = Collator(takes_videos())
    one = dialogue("v", Video(frames=frames(0, 1, 2, 3)))
    assert collator.length(one) == int(collator([one])["attention_mask"].sum())


# -- as files write them --------------------------------------------------------------------------------------------


def opened(path: Path, **more: Any) -> Any:
    return open_data(DataSettings((SourceSettings(str(path), **more),)), seed=0)


@pytest.mark.parametrize("kind", ["llava", "chat", "chat beside", "caption"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a.mp4", {"path": "a.mp4"}),
        ({"path": "a.mp4"}, {"path": "a.mp4"}),
        ({"path": "frames", "fps": 2}, {"path": "frames", "fps": 2}),
        (["1.png", "2.png"], {"frames": ["1.png", "2.png"]}),
        ({"frames": ["1.png", "2.png"], "fps": 0.5}, {"frames": ["1.png", "2.png"], "fps": 0.5}),
    ],
)
def test_a_video_in_a_file(kind: str, given: Any, expected: dict, tmp_path: Path) -> None:
    part = {"type": "video", **(given if isinstance(given, dict) else {"video": given})}
    answered = {"role": "assistant", "content": "x"}
    made: dict[str, Any] = {
        "llava": record({"from": "human", "value": "<video>"}, {"from": "gpt", "value": "x"}, video=[given]),
        "chat": {"messages": [{"role": "user", "content": [part]}, answered]},
        "chat beside": {"messages": [{"role": "user", "content": "<video>"}, answered], "videos": [given]},
        "caption": {"videos": [given], "caption": "x"},
    }
    (tmp_path / "a.jsonl").write_text(json.dumps(made[kind]))
    (user, _) = opened(tmp_path / "a.jsonl")[0].turns
    meant = dict(expected)
    if "path" in meant:
        meant["path"] = str(tmp_path / meant["path"])
    if "frames" in meant:
        meant["frames"] = tuple(Picture(str(tmp_path / name)) for name in meant["frames"])
    assert user.parts == (Video(**meant),)


@pytest.mark.parametrize("given", [3, [], {}, {"fps": 2}, {"path": "a.mp4", "fps": 0}, {"path": "a.mp4", "fps": "2"}])
def test_what_is_no_video(given: Any, tmp_path: Path) -> None:
    made = record({"from": "human", "value": "<video>"}, {"from": "gpt", "value": "x"}, video=[given])
    (tmp_path / "a.jsonl").write_text(json.dumps(made))
    with pytest.raises(DataError, match="bad-video"):
        opened(tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl").write_text(json.dumps({**made, "video": "https://example.org/a.mp4"}))
    with pytest.raises(DataError, match="on the network"):
        opened(tmp_path / "a.jsonl")


def test_frames_in_a_shard(tmp_path: Path) -> None:
    said = [{"from": "human", "value": "<video>"}, {"from": "gpt", "value": "x"}]
    files: dict[str, object] = {"json": record(*said, video={"frames": ["0.png", "1.png"], "fps": 2}, image=[])}
    files |= {f"{n}.png": frame.data for n, frame in enumerate(frames(0, 255))}
    (user, _) = opened(write_shard(tmp_path / "a.tar", [("v", files)]))[0].turns
    found = read_frames(user.parts[0], lambda shape: [])
    assert found.pixels[:, 0, 0, 0].tolist() == [0, 255]


def test_data_check_looks_at_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from parrot_adapters.cli import main

    (tmp_path / "0.png").write_bytes(frames(0)[0].data or b"")
    said = [{"from": "human", "value": "<video>"}, {"from": "gpt", "value": "x"}]
    records = [record(*said, video=[given]) for given in (["0.png"], "gone.mp4", ["0.png", "gone.png"], ["gone.png"])]
    (tmp_path / "a.json").write_text(json.dumps(records))
    assert main(["data", "check", str(tmp_path / "a.json"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["videos"], found["usable"]) == (4, 1), "every frame that is a picture is looked at"
    assert {kind: entry["count"] for kind, entry in found["problems"].items()} == {"bad-video": 1, "missing-image": 2}


# -- what is wrong --------------------------------------------------------------------------------------------------


def reason(video: Video) -> str:
    with pytest.raises(BadSample) as caught:
        read_frames(video, lambda shape: list(range(shape.frames)))
    return str(caught.value)


def test_frames_that_make_no_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "several sizes, 8 x 8 and 16 x 8" in reason(Video(frames=(*frames(0), picture(16, 8))))
    assert "without pictures" in reason(Video(str(tmp_path)))
    assert "broken-image" in reason(Video(frames=(*frames(0), Picture(data=b"x"))))
    assert "missing-image" in reason(Video(frames=(*frames(0), Picture(str(tmp_path / "gone.png")))))
    monkeypatch.setattr(decoding, "LARGEST", 2 * 8 * 8 * 3)
    assert "do_sample_frames" in reason(Video(frames=frames(0, 1, 2)))
    assert read_frames(Video(frames=frames(0, 1)), lambda shape: []).pixels.dtype == np.uint8


def test_a_processor_that_samples_is_told_what_the_video_is() -> None:
    class Settings:
        fps: float
        device: str

    class Sampling:
        do_sample_frames, valid_kwargs, fps = True, Settings, 2.0

        def sample_frames(self, metadata: Any, **settings: Any) -> list[int]:
            self.seen = metadata.total_num_frames, metadata.fps, metadata.duration, settings
            return [0, 45]

    made = Sampling()
    for fps, seconds in ((30.0, 3.0), (None, None)):
        assert frames_wanted(made, total=90, fps=fps, height=4, width=6) == [0, 45]
        assert made.seen == (90, fps, seconds, {"fps": 2.0})


def test_a_host_without_videos_says_so() -> None:
    one = dialogue("v", Video(frames=frames(0, 1)))
    skipping = Collator(llava(), bad_samples="skip")
    assert skipping([one, dialogue("t")])["parrot_identities"] == ["t"]
    assert skipping.rejects.counts() == {"bad-video": 1}
    with pytest.raises(DataError, match="LlavaProcessor takes no videos"):
        Collator(llava())([one])


def test_without_a_decoder_nothing_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a package is missing is not the sample's fault, and skipping would hide it."""
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "a.mp4"
    path.write_bytes(b"")
    for ask in (lambda: video_shape(Video(str(path))), lambda: read_frames(Video(str(path)), lambda shape: [])):
        with pytest.raises(MissingDependencyError, match=r"parrot_adapters\[video\]"):
            ask()
    with pytest.raises(MissingDependencyError, match="PyAV"):
        Collator(takes_videos(), bad_samples="skip")([dialogue("v", Video(str(path)))])
