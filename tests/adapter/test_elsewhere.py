"""The directories as other libraries see them, and ``save_pretrained`` of an attached host."""

from __future__ import annotations

import json

import pytest
import torch

import parrot_adapters as pa

PEFT_ITSELF_WARNS = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


def check_bare(kit, host, directory, inputs, bare) -> None:
    """What ``host.save_pretrained`` wrote is the bare host: every key known, every bit its own."""
    from transformers import LlavaForConditionalGeneration

    again, info = LlavaForConditionalGeneration.from_pretrained(directory, output_loading_info=True)
    assert not any(info.values()), info
    again.eval()
    kit.assert_same_bits(kit.bits(again), kit.bits(bare))
    assert torch.equal(kit.logits(again, inputs), kit.logits(bare, inputs))
    assert not list(directory.glob("adapter*"))


@pytest.mark.parametrize("given", [False, True], ids=["own state dict", "state dict of a trainer"])
@pytest.mark.parametrize("active", [True, False], ids=["active", "disabled"])
def test_host_save_pretrained_writes_the_bare_host(kit, full, make_host, inputs, tmp_path, given, active):
    host = full.model
    if not active:
        full.disable()
    before, state = kit.logits(host, inputs), kit.bits(host)
    host.save_pretrained(tmp_path / "host", **({"state_dict": host.state_dict()} if given else {}))
    check_bare(kit, host, tmp_path / "host", inputs, make_host())
    assert full.active == active
    assert torch.equal(kit.logits(host, inputs), before)
    kit.assert_same_bits(kit.bits(host), state)


def test_the_state_dict_may_come_by_position(kit, full, make_host, inputs, tmp_path):
    full.model.save_pretrained(tmp_path / "host", True, full.model.state_dict())
    check_bare(kit, full.model, tmp_path / "host", inputs, make_host())


def test_the_check_bites_without_the_override(kit, full, make_host, inputs, tmp_path):
    del full.model.__dict__["save_pretrained"]
    full.model.save_pretrained(tmp_path / "host")
    with pytest.raises(AssertionError):
        check_bare(kit, full.model, tmp_path / "host", inputs, make_host())


def test_a_bf16_host_is_saved_in_bf16(kit, make_host, small, tmp_path):
    from safetensors.torch import load_file

    host = make_host(dtype=torch.bfloat16)
    handle = pa.attach(host, small, train_projector=True)
    kit.disturb(handle)
    host.save_pretrained(tmp_path / "host", state_dict=host.state_dict())
    assert {v.dtype for v in load_file(tmp_path / "host" / "model.safetensors").values()} == {torch.bfloat16}


@PEFT_ITSELF_WARNS
def test_llm_lora_loads_with_plain_peft(kit, host, make_host, inputs, tmp_path, small):
    from peft import PeftModel

    handle = pa.attach(host, small, lora=kit.LORA)
    kit.disturb(handle)
    handle.save_pretrained(tmp_path / "adapter")
    with torch.no_grad():  # leave LoRA alone on the host
        for parameter in handle.module.experts.parameters():
            parameter.zero_()
    expected = kit.logits(host, inputs)
    assert not torch.equal(expected, kit.logits(make_host(), inputs))
    plain = PeftModel.from_pretrained(make_host(), tmp_path / "adapter" / "llm_lora")
    assert torch.equal(kit.logits(plain, inputs), expected)


def test_a_peft_config_object_will_do_and_is_not_changed(kit, host, small):
    from peft import LoraConfig

    config = LoraConfig(r=2, target_modules=["q_proj"])
    pa.attach(host, small, lora=config)
    assert config.target_modules == {"q_proj"}


def test_plain_peft_refuses_by_name(saved, make_host):
    from peft import PeftModel

    with pytest.raises(KeyError, match="PARROT_MOE"):
        PeftModel.from_pretrained(make_host(), saved)


def test_plain_transformers_is_told_what_to_use(saved):
    """The host here was made from a config, so there is no name to load it by; the error carries the way out."""
    from transformers import AutoModelForImageTextToText

    with pytest.raises((OSError, ValueError), match=r"parrot_adapters\.load_adapter"):
        AutoModelForImageTextToText.from_pretrained(saved)


def test_plain_transformers_refuses_the_adapter_of_a_saved_host(kit, make_host, small, tmp_path):
    from transformers import AutoModelForImageTextToText, LlavaForConditionalGeneration

    make_host().save_pretrained(tmp_path / "host")
    host = LlavaForConditionalGeneration.from_pretrained(tmp_path / "host")
    with pa.attach(host, small) as handle:
        handle.save_pretrained(tmp_path / "adapter")
    described = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert str(tmp_path) not in json.dumps(described), "a folder of this machine says nothing elsewhere"
    with pytest.raises((OSError, ValueError), match=r"parrot_adapters\.load_adapter"):
        AutoModelForImageTextToText.from_pretrained(tmp_path / "adapter")
