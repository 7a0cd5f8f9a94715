"""Original checkpoints are stored in several ways: all of them give the same host and adapter."""

from __future__ import annotations

import json
import shutil
import weakref
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file, save_file
from support.reference_checkpoint import FIXTURE, VISUAL_TOKENS, VOCABULARY, check_oracle, edit, load, shard

from parrot_adapters.errors import CheckpointError
from parrot_adapters.original.import_checkpoint import import_reference


def test_sharded_input_gives_the_same(kit, source, imported, tmp_path):
    shard(source, 3)
    import_reference(source, tmp_path / "out")
    kit.assert_same_bits(
        load_file(tmp_path / "out" / "host" / "model.safetensors"), load_file(imported / "host" / "model.safetensors")
    )
    for name in ("adapter/adapter_model.safetensors", "host/config.json", "host/generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (imported / name).read_bytes()
    check_oracle(load(tmp_path / "out"), 0)


def test_pickles_converted_as_the_message_says(kit, source, imported, tmp_path):
    state = load_file(source / "model.safetensors")
    names = sorted(state)
    for i in range(2):
        torch.save({name: state[name] for name in names[i::2]}, source / f"pytorch_model-0000{i + 1}-of-00002.bin")
    (source / "model.safetensors").unlink()
    with pytest.raises(CheckpointError) as caught:
        import_reference(source, tmp_path / "out")
    code = next(line for line in str(caught.value).splitlines() if "convert each FILE once:" in line)
    for file in source.glob("*.bin"):
        exec(code.partition("once: ")[2], {"torch": torch, "safetensors": safetensors, "FILE": str(file)})
    import_reference(source, tmp_path / "out")
    kit.assert_same_bits(
        load_file(tmp_path / "out" / "host" / "model.safetensors"), load_file(imported / "host" / "model.safetensors")
    )


def test_output_shards_are_of_bounded_size(imported, tmp_path):
    limit = 70_000  # the embedding table alone is 59,904 bytes
    import_reference(FIXTURE, tmp_path / "out", shard_bytes=limit)
    shards = sorted((tmp_path / "out" / "host").glob("*.safetensors"))
    assert len(shards) > 5
    assert all(path.stat().st_size < limit + 10_000 for path in shards), "tensors up to the limit, and a header"
    index = json.loads((tmp_path / "out" / "host" / "model.safetensors.index.json").read_text())
    whole = load_file(imported / "host" / "model.safetensors")
    assert index["weight_map"].keys() == whole.keys()
    assert index["metadata"]["total_size"] == sum(v.nbytes for v in whole.values())
    check_oracle(load(tmp_path / "out"), 1)


def test_no_more_than_some_rows_are_held(monkeypatch, tmp_path):
    """Matrices of single experts are the most: their rows become columns."""
    from parrot_adapters.hosts import weight_files

    monkeypatch.setattr(weight_files, "PIECE", 4096)
    made, alive, most = torch.empty, [], []

    def counted(*size, **options):
        value = made(*size, **options)
        if value.device.type == "cpu":  # sketches have no memory
            alive.append(weakref.ref(value))
        most.append(sum(one.nbytes for ref in alive if (one := ref()) is not None))
        return value

    monkeypatch.setattr(weight_files.torch, "empty", counted)
    import_reference(FIXTURE, tmp_path / "out", shard_bytes=70_000)
    matrix = max(v.nbytes for k, v in load_file(FIXTURE / "model.safetensors").items() if "moe_model.experts" in k)
    assert 4096 <= max(most) <= 3 * matrix < 70_000
    check_oracle(load(tmp_path / "out"), 0)


def test_tied_embeddings(source, tmp_path):
    state = load_file(source / "model.safetensors")
    del state["lm_head.weight"]
    save_file(state, source / "model.safetensors")
    edit(source, tie_word_embeddings=True)
    import_reference(source, tmp_path / "out")
    host = load(tmp_path / "out").model
    assert host.lm_head.weight is host.get_input_embeddings().weight


def test_vision_weights_of_the_tower_directory_if_the_checkpoint_has_none(source, imported, tmp_path):
    tower = {k: v for k, v in load_file(source / "model.safetensors").items() if "vision_tower" in k}
    rest = {k: v for k, v in load_file(source / "model.safetensors").items() if k not in tower}
    save_file(rest, source / "model.safetensors")
    report = import_reference(source, tmp_path / "out")
    assert any("no vision weights" in note for note in report.notes)
    host = load(tmp_path / "out").model
    own = load_file(source / "clip-vit-tiny" / "model.safetensors")
    assert torch.equal(
        host.model.vision_tower.embeddings.class_embedding, own["vision_model.embeddings.class_embedding"]
    )


def test_vision_tower_elsewhere(source, tmp_path):
    shutil.move(source / "clip-vit-tiny", tmp_path / "tower")
    import_reference(source, tmp_path / "out", vision_tower=tmp_path / "tower")
    check_oracle(load(tmp_path / "out"), 2)


def test_a_name_of_the_hub_finds_the_directory_of_that_name(source, tmp_path):
    edit(source, mm_vision_tower="openai/clip-vit-tiny")
    import_reference(source, tmp_path / "out")


def test_buffers_of_old_releases_are_left_out(source, tmp_path):
    state = load_file(source / "model.safetensors")
    state["model.vision_tower.vision_tower.vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(6)
    save_file(state, source / "model.safetensors")
    import_reference(source, tmp_path / "out")


def word_level(directory: Path) -> None:
    """A tokenizer of 300 words, fewer than the 311 rows: the original pads its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {f"w{i}": i for i in range(298)} | {"up": 298, "on": 299}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="w0", pad_token="w0", eos_token="w1")
    fast.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    fast.save_pretrained(directory)


def qwen2(directory: Path) -> None:
    """The files a released checkpoint has: byte-level BPE of 258 entries and three special tokens after them."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = {letter: i for i, letter in enumerate(sorted(ByteLevel.alphabet()))} | {"up": 256, "on": 257}
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    added = {str(258 + i): {"content": token, "special": True, "normalized": False} for i, token in enumerate(special)}
    described = {
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": added,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "chat_template": "{% for m in messages %}{{ m['content'] }} {% endfor %}",
    }
    (directory / "vocab.json").write_text(json.dumps(letters))
    (directory / "merges.txt").write_text("#version: 0.2\nu p\no n\n")
    (directory / "tokenizer_config.json").write_text(json.dumps(described))


@pytest.mark.parametrize(("write", "placeholder"), [(word_level, 300), (qwen2, 261)])
def test_tokenizer_comes_along_with_the_placeholder(source, tmp_path, write, placeholder):
    from PIL import Image
    from transformers import AutoProcessor, AutoTokenizer

    write(source)
    report = import_reference(source, tmp_path / "out")
    assert report.image_token_id == placeholder
    handle = load(tmp_path / "out")
    assert handle.model.config.image_token_id == placeholder
    assert handle.model.generation_config.suppress_tokens == [placeholder]
    assert handle.model.get_input_embeddings().weight.shape[0] == VOCABULARY, "the row was there, and nobody used it"
    processor = AutoProcessor.from_pretrained(tmp_path / "out" / "host", backend="pil")
    assert processor.image_token_id == placeholder
    assert processor.tokenizer.chat_template.startswith("{% for m in messages %}")
    before, _, after = processor.tokenizer("up<image>on")["input_ids"]
    batch = processor(text="up<image>on", images=Image.new("RGB", (40, 20)), return_tensors="pt")
    assert batch["input_ids"].tolist() == [[before, *[placeholder] * VISUAL_TOKENS, after]]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out" / "host")
    assert tokenizer("up<image>on")["input_ids"] == [before, placeholder, after]
    assert tokenizer.decode([before, after]).replace(" ", "") == "upon"
    made = handle.model.generate(**batch, max_new_tokens=3, do_sample=False)
    assert made.shape[1] <= batch["input_ids"].shape[1] + 3


def test_a_broken_tokenizer(source, tmp_path):
    word_level(source)
    (source / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="the tokenizer in"):
        import_reference(source, tmp_path / "out")
