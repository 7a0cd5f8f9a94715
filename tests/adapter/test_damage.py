"""A directory that is no sound adapter, or no adapter for this host: one clear error, and the host untouched."""

from __future__ import annotations

import json
import warnings
from contextlib import nullcontext

import pytest
import torch

import parrot_adapters as pa
from parrot_adapters.errors import CheckpointError, ConfigError, HostMismatchError, PluginError

WEIGHTS = "adapter_model.safetensors"


def truncate(kit, path):
    data = (path / WEIGHTS).read_bytes()
    (path / WEIGHTS).write_bytes(data[: len(data) // 2])


def flip_a_byte(kit, path):
    data = bytearray((path / WEIGHTS).read_bytes())
    data[len(data) // 2] ^= 1
    (path / WEIGHTS).write_bytes(data)


def empty(kit, path):
    (path / WEIGHTS).write_bytes(b"")


def truncate_and_mend_the_checksum(kit, path):
    import hashlib

    truncate(kit, path)
    digest = hashlib.sha256((path / WEIGHTS).read_bytes()).hexdigest()
    kit.edit_config(path, lambda c: c["files"].update({WEIGHTS: digest}))


def only_a_pickle(kit, path):
    from safetensors.torch import load_file

    torch.save(load_file(path / WEIGHTS), path / "adapter_model.bin")
    (path / WEIGHTS).unlink()


def lose_the_weights(kit, path):
    (path / WEIGHTS).unlink()


def lose_the_config(kit, path):
    (path / "adapter_config.json").unlink()


def break_the_json(kit, path):
    text = (path / "adapter_config.json").read_text()
    (path / "adapter_config.json").write_text(text[: len(text) // 2])


def not_even_text(kit, path):
    (path / "adapter_config.json").write_bytes(b"\xff\xfe\x00{")


def a_list(kit, path):
    (path / "adapter_config.json").write_text("[]")


def change(edit):
    return lambda kit, path: kit.edit_config(path, edit)


def weights(edit):
    return lambda kit, path: kit.edit_weights(path, edit)


def not_a_number(tensors):
    tensors["experts.up"][0, 0, 0] = float("nan")


def infinite(tensors):
    tensors["router.gate"][0, 0] = float("inf")


def integers(tensors):
    tensors["router.gate"] = tensors["router.gate"].long()


DAMAGES = {
    "truncated": (truncate, CheckpointError, "is damaged"),
    "flipped byte": (flip_a_byte, CheckpointError, "is damaged"),
    "empty file": (empty, CheckpointError, "is damaged"),
    "truncated, checksum mended": (truncate_and_mend_the_checksum, CheckpointError, "not a readable safetensors"),
    "pickle only": (only_a_pickle, CheckpointError, "adapter_model.bin: pickled weights are never loaded"),
    "no weights": (lose_the_weights, CheckpointError, "is incomplete"),
    "no config": (lose_the_config, CheckpointError, "is not an adapter directory"),
    "broken JSON": (break_the_json, CheckpointError, "is not valid JSON"),
    "binary config": (not_even_text, CheckpointError, "is not valid JSON"),
    "JSON list": (a_list, CheckpointError, "does not describe a parrot adapter"),
    "another PEFT type": (change(lambda c: c.update(peft_type="LORA")), CheckpointError, "'LORA'"),
    "newer format": (change(lambda c: c.update(format_version=4)), CheckpointError, "upgrade parrot_adapters"),
    "version 2 without layers": (change(lambda c: c.update(format_version=2)), CheckpointError, "no settings of any"),
    "no files listed": (change(lambda c: c.pop("files")), CheckpointError, "lacks files"),
    "files of the wrong kind": (change(lambda c: c["files"].update({WEIGHTS: 3})), CheckpointError, "to checksums"),
    "plugins of the wrong kind": (change(lambda c: c.update(plugins=["x"])), CheckpointError, "cannot be understood"),
    "chat format of the wrong kind": (change(lambda c: c.update(chat_format=[1])), CheckpointError, "cannot be under"),
    "unknown setting": (change(lambda c: c["adapter"].update(num_expert=3)), CheckpointError, "Did you mean 'num_exp"),
    "impossible setting": (change(lambda c: c["adapter"].update(top_k=9)), CheckpointError, "top_k=9"),
    "unknown router": (change(lambda c: c["adapter"].update(router="text-guidet")), ConfigError, "'text-guided'?"),
    "other expert count": (change(lambda c: c["adapter"].update(num_experts=4)), CheckpointError, r"\(3, 8, 16\)"),
    "other hidden size": (change(lambda c: c["adapter"].update(expert_hidden_size=9)), CheckpointError, r"\(3, 9, 16"),
    "unknown weight": (weights(lambda t: t.update(extra=torch.zeros(1))), CheckpointError, "unknown +extra"),
    "missing weight": (weights(lambda t: t.pop("experts.up")), CheckpointError, "missing +experts.up"),
    "wrong shape": (weights(lambda t: t.update({"router.gate": torch.zeros(3, 5)})), CheckpointError, r"\(3, 5\)"),
    "integers": (weights(integers), CheckpointError, "int64"),
    "NaN": (weights(not_a_number), CheckpointError, "NaN or infinite.*\n.*experts.up"),
    "infinite": (weights(infinite), CheckpointError, "NaN or infinite.*\n.*router.gate"),
    "another model type": (change(lambda c: c["host"].update(model_type="idefics3")), HostMismatchError, "idefics3"),
}


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.few(10)
def test_refused(kit, host, saved, name):
    damage, error, message = DAMAGES[name]
    damage(kit, saved)
    with kit.Untouched(host), pytest.raises(error, match=message) as caught:
        pa.load_adapter(host, saved)
    assert isinstance(caught.value, pa.ParrotError)


@pytest.mark.parametrize("part", ["projector.safetensors", "llm_lora/adapter_model.safetensors"])
@pytest.mark.parametrize("harm", ["missing", "flipped", "renamed key", "NaN"])
def test_parts_are_checked_as_well(kit, full, make_host, tmp_path, part, harm):
    path = tmp_path / "adapter"
    full.save_pretrained(path)
    if harm == "missing":
        (path / part).unlink()
    elif harm == "flipped":
        data = bytearray((path / part).read_bytes())
        data[-1] ^= 1
        (path / part).write_bytes(data)
    elif harm == "NaN":
        kit.edit_weights(path, lambda t: next(iter(t.values())).fill_(float("nan")), part)
    else:
        kit.edit_weights(path, lambda t: t.update(other=t.pop(next(iter(t)))), part)
    host = make_host()
    with kit.Untouched(host), pytest.raises(CheckpointError):
        pa.load_adapter(host, path)


@pytest.mark.parametrize("harm", ["missing", "broken", "edited"])
def test_the_config_of_lora_is_checked_as_well(kit, full, make_host, tmp_path, harm):
    path = tmp_path / "adapter"
    full.save_pretrained(path)
    config = path / "llm_lora" / "adapter_config.json"
    if harm == "missing":
        config.unlink()
    elif harm == "broken":
        config.write_text("{")
    else:
        config.write_text(json.dumps(json.loads(config.read_text()) | {"r": 3}))
    host = make_host()
    with kit.Untouched(host), pytest.raises(CheckpointError):
        pa.load_adapter(host, path)


def test_no_such_directory(kit, host, tmp_path):
    with kit.Untouched(host), pytest.raises(CheckpointError, match="no such directory"):
        pa.load_adapter(host, tmp_path / "nowhere")


def test_a_host_of_another_width(kit, make_host, saved):
    wider = make_host(width=32)
    with kit.Untouched(wider), pytest.raises(HostMismatchError, match="made for 16, this host has 32"):
        pa.load_adapter(wider, saved)


def test_a_host_of_another_architecture(kit, saved):
    from transformers import CLIPVisionConfig, Qwen2Config, VipLlavaConfig, VipLlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4
    )
    text = Qwen2Config(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    config = VipLlavaConfig(vision_config=vision, text_config=text, image_token_index=3, vision_feature_layers=[-1, -2])
    other = VipLlavaForConditionalGeneration(config)
    with kit.Untouched(other), pytest.raises(HostMismatchError, match=r"'llava'.*'vipllava'"):
        pa.load_adapter(other, saved)


def test_a_language_model_without_vision(kit, host, saved):
    language_model = host.model.language_model
    with kit.Untouched(language_model), pytest.raises(pa.ParrotError, match="has no vision"):
        pa.load_adapter(language_model, saved)


@pytest.mark.parametrize("kind", ["router", "expert", "summary", "host"])
def test_a_missing_plugin_comes_with_the_command_that_installs_it(kit, host, saved, kind):
    used = {"kind": kind, "name": "imagined", "plugin": "imagined"}
    used |= {"distribution": "parrot-imagined", "version": "0.2"}
    kit.edit_config(saved, lambda c: c.update(plugins=[used]))
    with kit.Untouched(host), pytest.raises(PluginError, match="pip install parrot-imagined") as caught:
        pa.load_adapter(host, saved)
    assert "parrot-imagined 0.2" in str(caught.value)


def test_a_plugin_registered_by_hand_is_named(kit, host, saved):
    used = {"kind": "router", "name": "mine", "plugin": "my_module", "distribution": None, "version": None}
    kit.edit_config(saved, lambda c: c.update(plugins=[used]))
    with kit.Untouched(host), pytest.raises(PluginError, match="register the plugin 'my_module'"):
        pa.load_adapter(host, saved)


def test_a_plugin_router_round_trips_while_its_plugin_is_there(kit, host, make_host, tmp_path, small):
    from dataclasses import replace

    from parrot_adapters import core

    class Plugin:
        @pa.hookimpl
        def register_routers(self, register):
            register("sharper", core.TextGuidedRouter)

    name = pa.plugins.register(Plugin(), "sharper_plugin")
    try:
        with pa.attach(host, replace(small, router="sharper")) as handle:
            handle.save_pretrained(tmp_path / "adapter")
        pa.load_adapter(host, tmp_path / "adapter").detach()
    finally:
        pa.plugins.manager.unregister(name)
    with kit.Untouched(host), pytest.raises(PluginError, match="sharper_plugin"):
        pa.load_adapter(host, tmp_path / "adapter")


def test_other_weights_warn_and_strictly_fail(kit, make_host, saved):
    other = make_host(seed=1)
    with kit.Untouched(other), pytest.raises(HostMismatchError, match="with other weights"):
        pa.load_adapter(other, saved, strict=True)
    with pytest.warns(pa.ParrotWarning, match="with other weights"):
        handle = pa.load_adapter(other, saved)
    assert handle.active


def test_the_right_weights_do_not_warn(make_host, saved):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pa.load_adapter(make_host(), saved)


def test_a_host_whose_language_model_was_trained_further_is_noticed(make_host, saved):
    other = make_host()
    with torch.no_grad():
        for parameter in other.model.language_model.layers[1].parameters():
            parameter.mul_(1.1)
    with pytest.raises(HostMismatchError, match="with other weights"):
        pa.load_adapter(other, saved, strict=True)


def test_a_host_whose_projector_was_trained_further_is_noticed(make_host, saved):
    other = make_host()
    other.model.multi_modal_projector.linear_1.weight.data.mul_(1.1)
    with pytest.raises(HostMismatchError):
        pa.load_adapter(other, saved, strict=True)


def test_loading_onto_an_attached_host(kit, host, small, saved):
    pa.attach(host, small)
    with kit.Untouched(host), pytest.raises(pa.ParrotError, match="carries an adapter already"):
        pa.load_adapter(host, saved)


def test_the_check_bites_without_checksums(kit, host, saved, monkeypatch):
    """A loader that trusts files lets the flipped byte in."""
    from parrot_adapters.adapter import read_adapter_files

    read = read_adapter_files.read_tensors
    monkeypatch.setattr(read_adapter_files, "read_tensors", lambda path, checksum: read(path))
    flip_a_byte(kit, saved)
    with pytest.raises(pytest.fail.Exception), pytest.raises(CheckpointError):
        pa.load_adapter(host, saved)


def test_the_check_bites_when_the_host_is_touched_before_the_error(kit, make_host, full, tmp_path, monkeypatch):
    """A loader that does not take a half-loaded adapter off again."""
    from parrot_adapters.adapter import load
    from parrot_adapters.adapter.handle import Attachment

    def damaged(self, **parts):
        raise CheckpointError("found late")

    path = tmp_path / "adapter"
    full.save_pretrained(path)
    monkeypatch.setattr(Attachment, "take_over", damaged)
    host = make_host()
    with kit.Untouched(host), pytest.raises(CheckpointError, match="found late"):
        pa.load_adapter(host, path)
    monkeypatch.setattr(load, "bare_on_failure", lambda *given, **options: nullcontext())
    with pytest.raises(AssertionError), kit.Untouched(host), pytest.raises(CheckpointError):
        pa.load_adapter(host, path)
