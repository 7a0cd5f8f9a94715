"""The host of PARROT's stage 1, in miniature: its parts are what they were, and a run can begin on it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from miniatures import FAMILIES, tower
from parrot_recipes.train.command import command
from parrot_recipes.train.make_host import make_host
from PIL import Image

import parrot_adapters as pa
from parrot_adapters.hosts.load_host import load_host
from parrot_adapters.testing import byte_tokenizer


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A Qwen2 and a CLIP, each with what reads its inputs."""
    transformers.AutoModelForCausalLM.from_config(FAMILIES["llava_onevision"].config().text_config).save_pretrained(
        tmp_path / "text"
    )
    # Of bytes: transformers reads every Qwen2 tokenizer as one of bytes, and roles must not be unknown words.
    words = byte_tokenizer(["<pad>", "<s>", "</s>"], bos_token="<s>", eos_token="</s>")
    words.save_pretrained(tmp_path / "text")
    transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**{**tower(), "image_size": 16})).save_pretrained(
        tmp_path / "tower"
    )
    transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16).save_pretrained(tmp_path / "tower")
    make_host(str(tmp_path / "text"), str(tmp_path / "tower"), tmp_path / "host", dtype="float32")
    return tmp_path


def test_the_language_model_answers_as_before(parts: Path) -> None:
    host, processor = load_host(str(parts / "host"))
    bare = transformers.AutoModelForCausalLM.from_pretrained(parts / "text").eval()
    ids = torch.tensor([[30, 31, 32, 33]])
    with torch.no_grad():
        expected, found = bare(ids).logits, host(ids).logits
    assert torch.equal(found[..., : expected.shape[-1]], expected)
    said = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "w30 w31"}]}]
    text = processor.apply_chat_template(said, add_generation_prompt=True)
    inputs = processor(text=text, images=Image.new("RGB", (16, 16)), return_tensors="pt")
    assert int((inputs["input_ids"] == host.config.image_token_id).sum()) == 4 * 4 + 1  # patches and CLS
    handle = pa.attach(host, {"num_experts": 2, "expert_hidden_size": 8}, processor=processor)
    assert host(**inputs).logits.isfinite().all()
    assert handle.chat.user_header  # the template says where a user's words begin
    assert handle.chat.assistant_header


def test_stage_1_begins_on_it(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (16, 16), "red").save(parts / "red.png")
    (parts / "train.json").write_text(
        '[{"id": "a", "image": "red.png", "conversations": [{"from": "human", "value": "<image>\\nw30"},'
        ' {"from": "gpt", "value": "w31 w32"}]}]'
    )
    (parts / "run.yaml").write_text(
        f"recipe: stage1\nout: {parts / 'run'}\nhost: {{path: host, dtype: float32}}\nsteps: 2\n"
        "data: {sources: [{path: train.json}]}\nbatch: {size: 1, per_device: 1}\n"
        "engine: {device: cpu, compute: float32}\nlog: {progress: false}\n"
    )
    assert command([str(parts / "run.yaml")]) == 0
    assert (parts / "run" / "adapter" / "projector.safetensors").is_file()
    assert not (parts / "run" / "adapter" / "adapter_model.safetensors").exists()
