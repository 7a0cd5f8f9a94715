"""An argument of the wrong kind: one short message that names it, nothing attached, nothing half done."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import parrot_adapters as pa
from parrot_adapters.errors import ConfigError, HostError, ParrotError
from parrot_adapters.testing import small_llava


@pytest.fixture(scope="module")
def host():
    return small_llava()


@pytest.fixture
def handle(host):
    with pa.attach(host, {"num_experts": 2}) as handle:
        yield handle


ATTACHING = {
    "nothing": (lambda host: pa.attach(None), "NoneType is not a transformers model"),
    "a name": (lambda host: pa.attach("llava-hf/llava-1.5-7b-hf"), "load it first"),
    "a name to test": (lambda host: pa.self_test("llava", {}), "needs an attached host"),
    "a file of settings": (lambda host: pa.attach(host, "config.yaml"), "config must be an AdapterConfig or a mapping"),
    "settings as pairs": (lambda host: pa.attach(host, [("num_experts", 4)]), "AdapterConfig or a mapping"),
    "a number as text": (lambda host: pa.attach(host, {"num_experts": "4"}), "num_experts='4' must be a whole number"),
    "one name for a list": (lambda host: pa.attach(host, {"layer_modules": "q_proj"}), "must be a list of names"),
    "the processor's name": (lambda host: pa.attach(host, processor="llava"), "processor must be a processor"),
    "a word for yes": (lambda host: pa.attach(host, freeze_host="no"), "freeze_host must be True or False, not 'no'"),
    "a number for yes": (lambda host: pa.attach(host, train_projector=1), "train_projector must be True or False"),
    "no directory": (lambda host: pa.load_adapter(host, None), "directory must be a path, .*, not NoneType"),
    "bytes": (lambda host: pa.load_adapter(host, b"my-adapter"), "directory must be a path, .*, not bytes"),
    "the other way round": (
        lambda host: pa.load_adapter("my-adapter", host),
        "directory must be a path, .*, not Llava",
    ),
    "several adapters": (lambda host: pa.load_adapter(host, ["one", "two"]), "directory must be a path, .*, not list"),
    "folding nothing": (lambda host: pa.freeze_routing(None, "out"), "adapter must be a path, .*, not NoneType"),
}
USING = {
    "saving nowhere": (lambda h: h.save_pretrained(None), "directory must be a path, .*, not NoneType"),
    "several active": (lambda h: h.set_adapter(["default"]), r"no adapter \['default'\]"),
    "no languages": (lambda h: h.languages(None).__enter__(), "languages=None must be one tag or None per prompt"),
    "one language": (lambda h: h.languages("en").__enter__(), "languages='en' must be one tag"),
    "no function": (lambda h: h.add_observer("print"), "an observer must be a function of a RoutingRecord, not str"),
    "a prompt as text": (lambda h: h.encode(input_ids="What is this?"), "prompt as a tensor, not str"),
    "no inputs": (lambda h: pa.self_test(h, {}), "inputs as tensors"),
    "lists for tensors": (lambda h: pa.self_test(h, {"input_ids": [[1, 2]]}), "inputs as tensors"),
    "added from nowhere": (lambda h: h.load_adapter(None, "other"), "directory must be a path, .*, not NoneType"),
}


@pytest.mark.parametrize(("call", "said"), ATTACHING.values(), ids=list(ATTACHING))
def test_attaching_and_loading_say_what_is_wrong(host, call, said):
    with pytest.raises(ParrotError, match=said) as caught:
        call(host)
    assert len(str(caught.value)) < 500
    assert pa.attachment_of(host) is None


@pytest.mark.parametrize(("call", "said"), USING.values(), ids=list(USING))
def test_a_handle_says_what_is_wrong_and_stays_as_it_is(handle, call, said):
    with pytest.raises((ConfigError, HostError), match=said) as caught:
        call(handle)
    assert len(str(caught.value)) < 500
    assert handle.active
    assert handle.adapters == ("default",)


def test_a_file_in_place_of_its_directory(handle, tmp_path: Path):
    made = handle.module
    handle.save_pretrained(tmp_path)
    handle.detach()
    with pytest.raises(ParrotError, match=f"a file; its directory is {tmp_path}"):
        pa.load_adapter(handle.model, tmp_path / "adapter_config.json")
    with pa.load_adapter(handle.model, str(tmp_path)) as again:
        assert all(map(torch.equal, again.module.parameters(), made.parameters()))
