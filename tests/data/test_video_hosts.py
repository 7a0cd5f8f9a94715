"""Hosts that take videos, with their real processors: frames, tokens, labels and routing are those of inference.

The oracle is transformers' own way from a file to a prompt, its sampling and its PyAV reader included.
"""

from __future__ import annotations

import functools
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, awake
from support.random_dialogues import picture
from support.shards import add, record
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.cli import main
from parrot_adapters.data import Collator, Dialogue, Picture, Turn, Video, open_data
from parrot_adapters.data.decode_videos import read_frames, video_shape
from parrot_adapters.data.settings import DataSettings, SourceSettings
from parrot_adapters.errors import ConfigError, DataError

pytest.importorskip("av", reason="decodes videos")
pytest.importorskip("torchvision", reason="video processors of transformers need it")

from support.video_hosts import HOSTS, build, write_video

END = {"qwen2_5_vl": "<|im_end|>", "qwen3_vl": "<|im_end|>"}


@functools.cache
def host(name: str) -> tuple[Any, Any]:
    return build(name)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos: rising and falling brightness, several containers, sizes, lengths."""
    made = tmp_path_factory.mktemp("videos")
    write_video(made / "rise.mp4", [15 * n for n in range(16)])
    write_video(made / "fall.avi", [240 - 12 * n for n in range(20)], size=(24, 40))
    for name in ("long.mov", "long.mkv"):
        write_video(made / name, [5 * n for n in range(50)], fps=8, size=(16, 16))
    return made


def dialogue(name: str, *parts: Any, language: str | None = None) -> Dialogue:
    """Two questions, what is shown in the first."""
    said = (Turn("user", (*parts, "what is it?")), Turn("assistant", ("rain",)))
    return Dialogue(name, "f.json", language, (*said, Turn("user", ("sure?",)), Turn("assistant", ("yes",))))


def video(folder: Path, name: str) -> Video:
    return Video(str(folder / name))


def samples(folder: Path) -> list[Dialogue]:
    """Text, a picture, a video, a video and a picture, two videos."""
    return [
        dialogue("text"),
        dialogue("picture", picture(16, 16)),
        dialogue("video", video(folder, "rise.mp4")),
        dialogue("both", video(folder, "fall.avi"), "and ", picture(16, 16)),
        dialogue("two", video(folder, "long.mov"), video(folder, "rise.mp4")),
    ]


def at_inference(processor: Any, turns: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What transformers makes of the files; its default decoder, torchcodec, replaced by its PyAV one."""
    from transformers.video_utils import load_video

    def fetch(videos: Any, sample_indices_fn: Any = None) -> Any:
        if isinstance(videos, list):
            return list(zip(*[fetch(one, sample_indices_fn) for one in videos], strict=True))
        return load_video(videos, backend="pyav", sample_indices_fn=sample_indices_fn)

    def part(given: Any) -> dict[str, Any]:
        from parrot_adapters.data.decode_pictures import read_picture

        if isinstance(given, str):
            return {"type": "text", "text": given}
        if isinstance(given, Picture):
            return {"type": "image", "image": read_picture(given)}
        return {"type": "video", "video": given.path}

    messages = [{"role": turn.role, "content": [part(p) for p in turn.parts]} for turn in turns]
    with monkeypatch.context() as patched:
        patched.setattr(processor.video_processor, "fetch_videos", fetch)
        return dict(
            processor.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            )
        )


# -- batches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", HOSTS)
def test_ids_frames_and_labels_are_those_of_inference(
    name: str, side: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, processor = host(name)
    batch = Collator(processor, model_config=model.config, padding_side=side)(samples(folder))
    pixels = []
    for row, told in enumerate(samples(folder)):
        mask = batch["attention_mask"][row].bool()
        ids, labels = batch["input_ids"][row][mask].tolist(), batch["labels"][row][mask].tolist()
        for asked in (1, 3):
            inference = at_inference(processor, told.turns[:asked], monkeypatch)
            prompt = inference["input_ids"][0].tolist()
            assert ids[: len(prompt)] == prompt
            begin = len(prompt)
            end = begin + next(n for n in range(1, 99) if labels[begin + n] == -100 or begin + n + 1 == len(labels))
            end += labels[-1] != -100 and end + 1 == len(labels)
            said = told.turns[asked].parts[0]
            assert processor.tokenizer.decode(ids[begin:end]).removesuffix(END.get(name, "</s>")) == said
            assert labels[begin:end] == ids[begin:end]
        learned = processor.tokenizer.decode([label for label in labels if label != -100])
        assert learned == "".join(told.turns[n].parts[0] + END.get(name, "</s>") for n in (1, 3))  # type: ignore[operator]
        pixels += list(inference.get("pixel_values_videos", ()))
        if "second_per_grid_ts" in inference:
            times = list(inference["second_per_grid_ts"])
            assert times
    found = batch["pixel_values_videos"]
    assert torch.equal(found, torch.stack(pixels).view_as(found)), "the frames are the processor's own choice"


@pytest.mark.parametrize("name", HOSTS)
def test_a_batch_is_its_samples(name: str, folder: Path) -> None:
    """A row without videos neither takes nor moves one, and the host says the same of it."""
    model, processor = host(name)
    collator = Collator(processor, model_config=model.config)
    together = samples(folder)

    def losses(batch: dict[str, Any]) -> torch.Tensor:
        inputs = {key: value for key, value in batch.items() if not key.startswith("parrot_") and key != "labels"}
        with torch.no_grad():
            logits = model(**inputs).logits[:, :-1].log_softmax(-1)
        labels = batch["labels"][:, 1:]
        picked = logits.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
        return -(picked * (labels != -100)).sum(1)

    alone = torch.cat([losses(collator([one])) for one in together])
    assert_close(losses(collator(together)), alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", HOSTS)
def test_length_counts_the_tokens_of_videos(name: str, folder: Path) -> None:
    model, processor = host(name)
    collator = Collator(processor, model_config=model.config)
    for told in samples(folder):
        if name == "video_llava" and told.identity in ("picture", "both"):
            continue  # its processor does not say how many tokens a picture has
        counted = int(collator([told])["attention_mask"].sum())
        if name == "qwen3_vl":  # times and frames around the frames of a video are not counted
            assert collator.length(told) <= counted
        else:
            assert collator.length(told) == counted


def test_settings_of_the_video_processor_are_settings(tmp_path: Path, folder: Path) -> None:
    from parrot_adapters.hosts.load_host import load_processor

    _, processor = host("qwen2_5_vl")
    processor.save_pretrained(tmp_path)
    frames = {}
    for fps in (1.0, 4.0):
        made = load_processor(str(tmp_path), {"fps": fps})
        batch = Collator(made)([dialogue("v", video(folder, "rise.mp4"))])
        frames[fps] = int(batch["video_grid_thw"][0, 0])
    assert frames == {1.0: 2, 4.0: 8}  # 4 s; two frames become one
    every = load_processor(str(tmp_path), {"do_sample_frames": False})
    assert int(Collator(every)([dialogue("v", video(folder, "rise.mp4"))])["video_grid_thw"][0, 0]) == 8
    with pytest.raises(ConfigError, match="Did you mean 'num_frames'"):
        load_processor(str(tmp_path), {"num_frame": 4})


@pytest.mark.parametrize("name", HOSTS)
def test_a_video_may_be_its_frames(name: str, folder: Path) -> None:
    """The frames that would be taken of the file, as pictures: the same batch, in a directory, listed or in a file."""
    from PIL import Image

    model, processor = host(name)
    collator = Collator(processor, model_config=model.config)
    path = folder / "rise.mp4"
    decoded = read_frames(Video(str(path)), collator._frames_wanted)
    pieces = folder / f"frames-{name}"
    pieces.mkdir()
    for number, pixels in enumerate(decoded.pixels):
        Image.fromarray(pixels).save(pieces / f"{number:03}.png")
    pictures = tuple(Picture(str(file)) for file in sorted(pieces.iterdir()))
    fps = len(pictures) / decoded.shape.frames * decoded.shape.fps  # type: ignore[operator]
    expected = collator([dialogue("v", Video(str(path)))])
    for given in (Video(str(pieces), fps=fps), Video(frames=pictures, fps=fps)):
        found = collator([dialogue("v", given)])
        assert torch.equal(found["pixel_values_videos"], expected["pixel_values_videos"])
        if name != "qwen3_vl":  # which writes the time of each, and the numbers in the file are not known any more
            assert torch.equal(found["input_ids"], expected["input_ids"])
    in_a_file = collator([dialogue("v", Video(data=path.read_bytes()))])
    assert torch.equal(in_a_file["input_ids"], expected["input_ids"])
    assert torch.equal(in_a_file["pixel_values_videos"], expected["pixel_values_videos"])


def test_videos_of_several_lengths_need_batches_of_one_where_they_are_stacked(folder: Path) -> None:
    model, processor = host("llava_onevision")
    two = [
        dialogue("short", Video(frames=(picture(16, 16),) * 2)),
        dialogue("long", Video(frames=(picture(16, 16),) * 3)),
    ]
    collator = Collator(processor, model_config=model.config, bad_samples="skip")
    with pytest.raises(ConfigError, match=r"batch\.per_device to 1"):
        collator(two)
    assert [collator([one])["parrot_identities"] for one in two] == [["short"], ["long"]]
    model, processor = host("qwen2_5_vl")
    assert len(Collator(processor, model_config=model.config)(two)["video_grid_thw"]) == 2


def test_matroska_does_not_say_how_long_it_is(folder: Path) -> None:
    """transformers' PyAV reader takes that for a video of no frames; packets are counted."""
    model, processor = host("qwen2_5_vl")
    collator = Collator(processor, model_config=model.config)
    grids = [collator([dialogue("v", video(folder, f"long.{end}"))])["video_grid_thw"] for end in ("mkv", "mov")]
    assert torch.equal(*grids)


# -- what is wrong with a video -------------------------------------------------------------------------------------


def test_videos_that_cannot_be_used(tmp_path: Path, folder: Path) -> None:
    model, processor = host("qwen2_5_vl")
    whole = (folder / "rise.mp4").read_bytes()
    spoiled = bytearray((folder / "fall.avi").read_bytes())
    spoiled[len(spoiled) // 3 :] = b"\x55" * (len(spoiled) - len(spoiled) // 3)
    files = {
        "cut.mp4": whole[: len(whole) // 2],
        "empty.mp4": b"",
        "text.mp4": b"no video at all\n" * 99,
        "spoiled.avi": bytes(spoiled),
        "picture.mp4": picture(16, 16).data or b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "no frames.mp4").mkdir()
    write_video(tmp_path / "short.mp4", [9])
    bad = [*files, "no frames.mp4", "short.mp4", "missing.mp4"]
    bad.remove("picture.mp4")  # FFmpeg reads it: a video of one frame
    good = dialogue("good", video(folder, "rise.mp4"))
    rejects = tmp_path / "rejects.jsonl"
    skipping = Collator(processor, model_config=model.config, bad_samples="skip", rejects=rejects)
    told = [
        Dialogue(name, "f.json", None, dialogue("", Video(str(tmp_path / name))).turns, number)
        for number, name in enumerate(bad)
    ]
    batch = skipping([*told, good])
    alone = skipping([good])
    assert batch["parrot_identities"] == ["good"]
    assert torch.equal(batch["input_ids"], alone["input_ids"])
    entries = [json.loads(line) for line in rejects.read_text("utf-8").splitlines()]
    assert [(e["identity"], e["problem"]) for e in entries] == [(name, "bad-video") for name in bad]
    assert all(e["identity"] in e["reason"] for e in entries), "each reason names the file"
    for one in told:
        with pytest.raises(DataError, match="bad-video"):
            Collator(processor, model_config=model.config)([one])


def test_shapes_are_read_without_decoding(folder: Path) -> None:
    shape = video_shape(video(folder, "fall.avi"))
    assert (shape.frames, shape.width, shape.height, shape.fps) == (20, 24, 40, 4.0)
    assert video_shape(video(folder, "long.mkv")).frames == 50, "Matroska says nothing, so packets are counted"


def test_videos_in_a_shard(tmp_path: Path, folder: Path) -> None:
    """Decoded from the shard's own bytes."""
    import tarfile

    model, processor = host("qwen2_5_vl")
    said = [{"from": "human", "value": "<video>\nwhat is it?"}, {"from": "gpt", "value": "rain"}]
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "0.json", record(*said))
        add(tar, "0.mp4", (folder / "rise.mp4").read_bytes())
        add(tar, "1.json", record(*said))
        add(tar, "1.mp4", (folder / "rise.mp4").read_bytes()[:300])
    for streaming in (False, True):
        source = SourceSettings(str(tmp_path / "a.tar"), streaming=streaming)
        made = open_data(DataSettings((source,)), seed=0)
        skipping = Collator(processor, model_config=model.config, bad_samples="skip")
        batch = skipping([made[one] for batch in made.batches(2, 0) for one in batch])
        assert batch["parrot_identities"] == ["0"]
        assert int(batch["video_grid_thw"][0, 0]) == 4
        assert skipping.rejects.counts() == {"bad-video": 1}


# -- routing and training -------------------------------------------------------------------------------------------


def attached(name: str) -> tuple[pa.Attachment, Collator]:
    model, processor = build(name)
    return awake(pa.attach(model, ADAPTER, processor=processor)), Collator(processor, model_config=model.config)


@pytest.mark.parametrize("name", HOSTS)
def test_videos_are_routed_by_the_question_in_training_as_at_inference(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, collator = attached(name)

    def routed(inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = {key: value for key, value in inputs.items() if not key.startswith("parrot_") and key != "labels"}
        with handle.record_routing() as log, torch.no_grad():
            logits = handle.model(**inputs).logits
        return torch.cat([one.weights[one.rows == 0] for one in log]), logits[0, -1]

    shown = dialogue("v", video(folder, "rise.mp4"))
    weights, logits = routed(collator([shown]))
    assert len(weights) == (8 if name == "video_llava" else 1), "a video is routed as one; by this host frame by frame"
    expected, _ = routed(at_inference(collator.processor, shown.turns[:1], monkeypatch))
    assert_close(weights, expected, rtol=1e-5, atol=1e-6)
    beside, _ = routed(collator([shown, dialogue("p", picture(16, 16)), dialogue("t")]))
    assert_close(beside, expected, rtol=1e-5, atol=1e-6)

    asked = Turn("user", (video(folder, "rise.mp4"), "Какая сейчас погода?"))
    other, _ = routed(collator([Dialogue("o", "f", None, (asked, *shown.turns[1:]))]))
    assert not torch.allclose(other, expected, rtol=1e-3), "the router reads the question"
    with handle.disabled():
        _, bare = routed_without(handle, collator([shown]))
    assert not torch.allclose(bare, logits, rtol=1e-3), "and the video's tokens are changed"


def routed_without(handle: pa.Attachment, batch: dict[str, Any]) -> tuple[None, torch.Tensor]:
    inputs = {key: value for key, value in batch.items() if not key.startswith("parrot_") and key != "labels"}
    with torch.no_grad():
        return None, handle.model(**inputs).logits[0, -1]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    """Hosts on disk, and a mixture: rising and falling videos, bright and dark pictures, and text, in two languages."""
    made = tmp_path_factory.mktemp("world")
    for name in ("qwen2_5_vl", "llava_onevision"):
        model, processor = build(name)
        model.save_pretrained(made / name)
        processor.save_pretrained(made / name)
    words = {"en": ("what?", "rise", "fall", "light", "dark"), "tr": ("ne?", "artar", "azalir", "acik", "koyu")}
    told = []
    write_video(made / "down.mp4", [240 - 15 * n for n in range(16)])
    shutil.copy(folder / "rise.mp4", made / "up.mp4")
    for shade, name in ((20, "dark"), (230, "light")):
        (made / f"{name}.png").write_bytes(picture(16, 16, shade).data or b"")
    for n in range(3):
        for tag, (asked, up, down, light, dark) in words.items():
            for key, marker, file, answer in (
                ("video", "<video>\n", "up.mp4", up),
                ("video", "<video>\n", "down.mp4", down),
                ("image", "<image>\n", "light.png", light),
                ("image", "<image>\n", "dark.png", dark),
                (None, "", "", "yes"),
            ):
                said = [{"from": "human", "value": marker + asked}, {"from": "gpt", "value": answer}]
                shown = {} if key is None else {key: file}
                told.append({"id": f"{tag}-{answer}-{n}", "language": tag, "conversations": said, **shown})
    random.Random(0).shuffle(told)
    broken = {"id": "broken", "video": "gone.mp4", "conversations": told[0]["conversations"]}
    broken["conversations"] = [{"from": "human", "value": "<video>\n?"}, {"from": "gpt", "value": "x"}]
    (made / "mixed.json").write_text(json.dumps([*told, broken]))
    return made


@pytest.mark.parametrize("name", ["qwen2_5_vl", "llava_onevision"])
def test_training_on_pictures_videos_and_text(
    name: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that people use, on a mixture; the broken video is skipped and written down, and the loss falls."""
    run = tmp_path / "run.yaml"
    run.write_text(
        f"""
recipe: retrofit
out: {tmp_path / "out"}
host: {{path: {world / name}, dtype: float32}}
adapter: {{num_experts: 2, expert_hidden_size: 16}}
train: {{projector: true, language_model: lora}}
lora: {{r: 4, target_modules: all-linear}}
data: {{sources: [{{path: {world / "mixed.json"}}}], bad_samples: skip, group_by_length: true}}
steps: 30
batch: {{size: 8, per_device: 4}}
engine: {{device: cpu, compute: float32}}
optim: {{learning_rate: 1e-2}}
log: {{every: 5, progress: false}}
"""
    )
    assert main(["train", str(run)]) == 0
    losses = [json.loads(line)["loss"] for line in (tmp_path / "out/metrics.jsonl").read_text("utf-8").splitlines()]
    assert losses[-1] < 0.7 * losses[0]
    rejects = [json.loads(line) for line in (tmp_path / "out/rejects.jsonl").read_text("utf-8").splitlines()]
    assert [(r["identity"], r["problem"]) for r in rejects] == [("broken", "bad-video")]
    capsys.readouterr()
    assert main(["data", "check", str(world / "mixed.json"), "--processor", str(world / name), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["videos"] == 13
    assert (found["usable"], found["problems"]["bad-video"]["count"]) == (30, 1)
