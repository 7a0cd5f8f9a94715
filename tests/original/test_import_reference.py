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
import torch
from safetensors.torch import load_file, save_file
from support.reference_checkpoint import (
    CASES,
    EXPECTED,
    FIXTURE,
    IMAGE,
    PREFIX,
    VISUAL_TOKENS,
    VOCABULARY,
    check_oracle,
    edit,
    labels,
    load,
    prompt,
)

from parrot_adapters.cli import main
from parrot_adapters.original.import_checkpoint import import_reference


@pytest.fixture(scope="module")
def handle(imported):
    return load(imported)


numbers = pytest.mark.parametrize("number", range(len(CASES)))


# --- the oracle --------------------------------------------------------------------------------------------------


@numbers
@pytest.mark.few(1)
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
    assert "load_adapter" in described["base_model_name_or_path"], "the host is a directory, which has no Hub name"
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
