"""Original checkpoints: the converted host and adapter do what the original did, number for number.

The fixture was made by the original code. Its expected routing, aligned tokens, logits and greedy answers come from
calls *without labels*, that is, routed by the whole prompt, answers included, as the original does at inference
(``test_logits_are_those_of_a_call_without_labels``). Its expected losses come from calls *with labels*, routed by the
tokens whose label is ignored, as the original does in training.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file, save_file

import parrot_adapters as pa
from parrot_adapters.cli import main
from parrot_adapters.errors import CheckpointError
from parrot_adapters.interop import import_reference as importing
from parrot_adapters.interop.import_reference import import_reference

FIXTURE = Path(__file__).parent.parent / "fixtures" / "parrot_reference_tiny"
EXPECTED = load_file(FIXTURE / "expected.safetensors")
CASES = json.loads((FIXTURE / "expected.json").read_text("utf-8"))
VOCABULARY, VISUAL_TOKENS, IMAGE = 311, 17, 311  # the placeholder is the one row more
PREFIX = "model.moe_model."


def load(directory: Path):
    from transformers import LlavaForConditionalGeneration

    host, info = LlavaForConditionalGeneration.from_pretrained(directory / "host", output_loading_info=True)
    assert not any(info.values()), info
    return pa.load_adapter(host.eval(), directory / "adapter", strict=True)


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("imported") / "out"
    import_reference(FIXTURE, directory)
    return directory


@pytest.fixture(scope="module")
def handle(imported):
    return load(imported)


@pytest.fixture
def source(tmp_path) -> Path:
    """A copy of the fixture that a test may spoil."""
    return Path(shutil.copytree(FIXTURE, tmp_path / "source"))


def expanded(values: list[int], ids: list[int], filler: int) -> torch.Tensor:
    """-200 stands for the whole image: as many placeholders as there are visual tokens."""
    return torch.tensor([[x for v, i in zip(values, ids, strict=True) for x in ([filler] * 17 if i == -200 else [v])]])


def prompt(number: int) -> dict[str, torch.Tensor]:
    ids = CASES[number]["input_ids"]
    ids = expanded(ids, ids, IMAGE)
    pixels = EXPECTED["pixel_values"][number : number + 1]
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}


def labels(number: int) -> torch.Tensor:
    return expanded(CASES[number]["labels"], CASES[number]["input_ids"], -100)


numbers = pytest.mark.parametrize("number", range(len(CASES)))


# --- the oracle --------------------------------------------------------------------------------------------------


@torch.no_grad()
def check_oracle(handle, number: int) -> None:
    host, inputs = handle.model, prompt(number)
    aligned: list[torch.Tensor] = []
    hook = handle.module.register_forward_hook(lambda module, args, result: aligned.append(result.tokens))
    with handle.record_routing() as log:
        out = host(**inputs)
    hook.remove()
    projected = host.model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output[0]
    assert projected.shape == (VISUAL_TOKENS, 48)
    torch.testing.assert_close(projected, EXPECTED[f"{number}.projected"], atol=1e-5, rtol=0)
    torch.testing.assert_close(log[0].weights[0], EXPECTED[f"{number}.routing"], atol=1e-5, rtol=0)
    torch.testing.assert_close(aligned[0], EXPECTED[f"{number}.aligned"], atol=1e-4, rtol=0)
    torch.testing.assert_close(out.logits[0, :, :VOCABULARY], EXPECTED[f"{number}.logits"], atol=1e-4, rtol=0)


@numbers
def test_oracle(handle, number):
    check_oracle(handle, number)


@numbers
@torch.no_grad()
def test_loss(handle, number):
    """The loss over the original's vocabulary; the placeholder's row adds its share to the host's own loss."""
    out = handle.model(**prompt(number), labels=labels(number))
    original = torch.nn.functional.cross_entropy(out.logits[0, :-1, :VOCABULARY], labels(number)[0, 1:])
    assert original.item() == pytest.approx(CASES[number]["loss"], abs=1e-4)
    assert out.loss.item() == pytest.approx(CASES[number]["loss"], abs=1.5 / VOCABULARY)


@numbers
@torch.no_grad()
def test_logits_are_those_of_a_call_without_labels(handle, number):
    with handle.record_routing() as log:
        handle.model(**prompt(number), labels=labels(number))
    assert (log[0].weights[0] - EXPECTED[f"{number}.routing"]).abs().max() > 1e-3


@numbers
@pytest.mark.parametrize("use_cache", [True, False])
def test_greedy_tokens(handle, number, use_cache):
    inputs, case = prompt(number), CASES[number]
    new = case["generated"][len(case["input_ids"]) :]
    made = handle.model.generate(**inputs, max_new_tokens=len(new), do_sample=False, use_cache=use_cache)
    assert made[0, inputs["input_ids"].shape[1] :].tolist() == new


def test_a_whole_batch_with_left_padding_gives_the_same_greedy_tokens(handle):
    singles = [prompt(i) for i in range(len(CASES))]
    longest = max(s["input_ids"].shape[1] for s in singles)

    def padded(name, value):
        return torch.cat(
            [torch.nn.functional.pad(s[name], (longest - s[name].shape[1], 0), value=value) for s in singles]
        )

    made = handle.model.generate(
        input_ids=padded("input_ids", 0),
        attention_mask=padded("attention_mask", 0),
        pixel_values=EXPECTED["pixel_values"],
        max_new_tokens=8,
        do_sample=False,
    )
    assert made[:, longest:].tolist() == [c["generated"][len(c["input_ids"]) :] for c in CASES]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("residual_scale", 1.0), ("moe_scale", 0.5), ("top_k", 2), ("summary", "mean"), ("router_options", {})],
)
def test_the_oracle_bites(imported, tmp_path, kit, setting, value):
    """An importer that gets one of the settings wrong."""
    wrong = shutil.copytree(imported, tmp_path / "wrong")
    kit.edit_config(wrong / "adapter", lambda c: c["adapter"].update({setting: value}))
    with pytest.raises(AssertionError):
        check_oracle(load(wrong), 0)


def test_the_oracle_bites_when_the_adapter_is_off(handle):
    with handle.disabled(), pytest.raises((AssertionError, IndexError)):
        check_oracle(handle, 0)


# --- the weights ---------------------------------------------------------------------------------------------------


def moe_weights(directory: Path) -> dict[str, torch.Tensor]:
    state = load_file(directory / "model.safetensors")
    return {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}


def test_reference_state_dict_is_the_checkpoint_bit_for_bit(kit, handle):
    kit.assert_same_bits(handle.reference_state_dict(), moe_weights(FIXTURE))


def test_the_placeholder_is_one_row_more_and_never_an_answer(handle):
    host = handle.model
    original = load_file(FIXTURE / "model.safetensors")
    for own, name in (
        (host.get_input_embeddings().weight, "model.embed_tokens.weight"),
        (host.lm_head.weight, "lm_head.weight"),
    ):
        assert own.shape[0] == VOCABULARY + 1
        assert torch.equal(own[:-1], original[name])
        torch.testing.assert_close(own[-1], original[name].mean(0))
    assert host.config.image_token_id == IMAGE
    assert host.generation_config.suppress_tokens == [IMAGE]
    assert host.generation_config.eos_token_id == 1
    assert host.generation_config.pad_token_id == 0


def test_the_host_is_a_standard_llava(handle):
    config = handle.model.config
    assert config.architectures == ["LlavaForConditionalGeneration"]
    assert config.vision_feature_select_strategy == "full"
    assert config.vision_feature_layer == -2
    assert config.projector_hidden_act == "gelu"
    assert config.image_seq_length == VISUAL_TOKENS
    assert not [key for key in (*config.to_dict(), *config.text_config.to_dict()) if key.startswith(("mm_", "moe"))]


def test_the_adapter_config(handle, imported):
    described = json.loads((imported / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert described["plugins"] == [], "it loads with this library alone"
    assert described["base_model_name_or_path"] == str(imported / "host")
    config = handle.config
    assert (config.router, config.expert, config.summary) == ("text-guided", "swiglu", "first-token")
    assert config.router_options == {"normalize": "none"}
    assert (config.residual_scale, config.moe_scale, config.top_k) == (0.1, 1.0, None)
    assert (config.num_experts, config.expert_hidden_size, config.text_scope) == (6, 40, "reference")


def test_without_moe_residual_the_tokens_themselves_are_dropped(source, tmp_path):
    edit(source, use_moe_residual=False)
    import_reference(source, tmp_path / "out")
    assert load(tmp_path / "out").config.residual_scale == 0.0


def test_image_processor_pads_as_the_original_does(imported):
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(imported / "host", backend="pil")
    assert type(processor).__name__.startswith("Llava")
    assert processor.do_pad
    assert processor.crop_size["height"] == 28


def test_bf16_stays_bf16(kit, source, tmp_path):
    state = {name: value.bfloat16() for name, value in load_file(source / "model.safetensors").items()}
    save_file(state, source / "model.safetensors")
    report = import_reference(source, tmp_path / "out")
    assert report.dtype == "bfloat16"
    handle = load(tmp_path / "out")
    assert {p.dtype for p in handle.model.parameters()} == {torch.bfloat16}
    kit.assert_same_bits(handle.reference_state_dict(), moe_weights(source))
    with torch.no_grad():
        out = handle.model(**{k: v.bfloat16() if v.is_floating_point() else v for k, v in prompt(0).items()})
    assert out.logits[0].isfinite().all()
    agreement = (out.logits[0, :, :VOCABULARY].argmax(-1) == EXPECTED["0.logits"].argmax(-1)).float().mean()
    assert agreement > 0.7


# --- ways a checkpoint is stored -----------------------------------------------------------------------------------


def shard(directory: Path, pieces: int) -> None:
    """Split ``model.safetensors`` into shards and an index, as original checkpoints come."""
    state = load_file(directory / "model.safetensors")
    names, weight_map = sorted(state), {}
    for i in range(pieces):
        file = f"model-{i + 1:05}-of-{pieces:05}.safetensors"
        mine = names[i::pieces]
        save_file({name: state[name] for name in mine}, directory / file)
        weight_map |= dict.fromkeys(mine, file)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (directory / "model.safetensors").unlink()


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


def test_no_more_than_a_shard_is_held(monkeypatch, tmp_path):
    from parrot_adapters.interop import shards

    sizes = []
    save = shards.save_file
    monkeypatch.setattr(
        shards, "save_file", lambda t, *a, **k: (sizes.append(sum(v.nbytes for v in t.values())), save(t, *a, **k))
    )
    import_reference(FIXTURE, tmp_path / "out", shard_bytes=70_000)
    assert max(sizes) <= 70_000


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


# --- refused ---------------------------------------------------------------------------------------------------------


def edit(directory: Path, **values) -> None:
    config = json.loads((directory / "config.json").read_text("utf-8")) | values
    (directory / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v != "absent"}))


def weights(change):
    def harm(directory: Path) -> None:
        state = load_file(directory / "model.safetensors")
        change(state)
        save_file(state, directory / "model.safetensors")

    return harm


def config(**values):
    return lambda directory: edit(directory, **values)


def pickled(directory: Path) -> None:
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model-00001-of-00001.bin")
    (directory / "model.safetensors").unlink()


def lose_a_shard(directory: Path) -> None:
    shard(directory, 3)
    (directory / "model-00002-of-00003.safetensors").unlink()


def truncate(directory: Path) -> None:
    data = (directory / "model.safetensors").read_bytes()
    (directory / "model.safetensors").write_bytes(data[:1000])


def index_outside(directory: Path) -> None:
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../other.safetensors"}}))


def no_number(state) -> None:
    state[f"{PREFIX}gate.weight"][0, 0] = float("nan")


HARMS = {
    "no config": (lambda d: (d / "config.json").unlink(), "it has no config.json"),
    "broken config": (lambda d: (d / "config.json").write_text("{"), "not valid JSON"),
    "a plain language model": (
        config(mm_vision_tower="absent", num_experts="absent", mm_projector_type="absent"),
        r"not an original PARROT checkpoint(.|\n)*missing +mm_vision_tower, mm_projector_type, num_experts",
    ),
    "another language model": (config(model_type="llama"), "model_type is 'llama'"),
    "experts switched off": (config(use_moe=False), "use_moe is false"),
    "another projector": (config(mm_projector_type="mlp3x_gelu"), "'mlp3x_gelu'; a LLaVA host has 'mlp2x_gelu'"),
    "patches only": (config(mm_vision_select_feature="patch"), "'cls_patch'"),
    "experts of another width": (config(moe_hidden_size=32), "moe_hidden_size 32 differs from hidden_size 48"),
    "a count that is none": (config(num_experts="six"), "num_experts is 'six'"),
    "a weight that is none": (config(moe_weight="0.1"), "moe_weight is '0.1'"),
    "a value that makes no model": (config(num_attention_heads="four"), "make no model"),
    "two reasons": (config(use_moe=False, mm_projector_type="linear"), r"use_moe is false(.|\n)*'linear'"),
    "no vision tower": (lambda d: shutil.rmtree(d / "clip-vit-tiny"), "--vision-tower DIR"),
    "a tower of another width": (config(mm_hidden_size=64), "has width 32; the checkpoint was made with 64"),
    "a tower with fewer layers": (config(mm_vision_select_layer=-9), "mm_vision_select_layer is -9"),
    "a tower without CLS": (
        lambda d: (d / "clip-vit-tiny" / "config.json").write_text('{"model_type": "siglip_vision_model"}'),
        "is no CLIP",
    ),
    "pickles only": (pickled, r"pytorch_model-00001-of-00001\.bin: pickled weights are never(.|\n)*save_file"),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), "holds no safetensors weights"),
    "a shard is missing": (lose_a_shard, r"1 of 3 weight files(.|\n)*model-00002-of-00003\.safetensors"),
    "truncated": (truncate, "not a readable safetensors file"),
    "an index that leads outside": (index_outside, "names files outside"),
    "an expert is missing": (
        weights(lambda s: s.pop(f"{PREFIX}experts.3.up_proj.weight")),
        r"missing +model\.moe_model\.experts\.3\.up_proj",
    ),
    "fewer experts than announced": (config(num_experts=7), r"missing +model\.moe_model\.experts\.6"),
    "the router is missing": (weights(lambda s: s.pop(f"{PREFIX}gate.weight")), "moe_model.gate.weight"),
    "a layer is missing": (weights(lambda s: s.pop("model.norm.weight")), r"missing +model\.language_model\.norm"),
    "half a tower": (
        weights(lambda s: s.pop("model.vision_tower.vision_tower.vision_model.pre_layrnorm.bias")),
        r"missing +model\.vision_tower\.pre_layrnorm\.bias",
    ),
    "an unknown weight": (
        weights(lambda s: s.update({"model.image_newline": torch.zeros(48)})),
        r"unknown +model\.image_newline",
    ),
    "another vocabulary": (config(vocab_size=400), r"\(311, 48\), expected \(400, 48\)"),
    "NaN in an expert": (weights(no_number), "NaN or infinite"),
}


@pytest.mark.parametrize("name", HARMS)
def test_refused(source, tmp_path, name):
    harm, message = HARMS[name]
    harm(source)
    with pytest.raises(CheckpointError, match=message):
        import_reference(source, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["source"], "nothing is written"


def test_no_such_directory(tmp_path):
    with pytest.raises(CheckpointError, match="no such directory"):
        import_reference(tmp_path / "nowhere", tmp_path / "out")


def test_a_destination_in_use(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match="exists already"):
        import_reference(FIXTURE, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


def test_an_empty_destination_will_do(tmp_path):
    (tmp_path / "out").mkdir()
    import_reference(FIXTURE, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importing, "write_shards", full)
    with pytest.raises(CheckpointError, match="No space left"):
        import_reference(FIXTURE, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["write_host", "write_adapter"])
def test_a_failure_on_the_way_leaves_nothing(tmp_path, monkeypatch, step):
    whole = getattr(importing._Plan, step)

    def interrupted(self, *args, **kwargs):
        whole(self, *args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(importing._Plan, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_reference(FIXTURE, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# --- the command ---------------------------------------------------------------------------------------------------


def test_command(tmp_path, capsys):
    assert main(["import-reference", str(FIXTURE), str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "124,640" in said, "parameters of the host"
    assert "34,848" in said, "parameters of the adapter"
    assert "id 311, 17 of them" in said
    code = said[said.index("import parrot_adapters") :]
    namespace = {}
    exec(code, namespace)  # what it says how to load does load
    assert namespace["handle"].active


def test_command_says_what_is_missing(tmp_path, capsys):
    assert main(["import-reference", str(tmp_path), str(tmp_path / "out")]) == 1
    assert "it has no config.json" in capsys.readouterr().err


def test_command_with_a_vision_tower(source, tmp_path):
    shutil.move(source / "clip-vit-tiny", tmp_path / "tower")
    arguments = ["import-reference", str(source), str(tmp_path / "out")]
    assert main(arguments) == 1
    assert main([*arguments, "--vision-tower", str(tmp_path / "tower")]) == 0
