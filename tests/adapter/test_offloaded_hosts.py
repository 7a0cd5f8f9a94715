"""Hosts that accelerate keeps on disk or off the device, before and after attaching: as in memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from accelerate import cpu_offload

import parrot_adapters as pa
from parrot_adapters.hosts.fingerprint import fingerprint
from parrot_adapters.hosts.host_parts import find_parts

TRANSFORMERS_ITSELF_WARNS = pytest.mark.filterwarnings("ignore:.*offload.*")
PARTS = ("model.vision_tower", "model.multi_modal_projector", "model.language_model", "lm_head")


@pytest.fixture
def on_disk(make_host: Any, tmp_path: Any) -> Any:
    """``on_disk(part)``: the tiny host with one part on disk."""
    make_host().save_pretrained(tmp_path / "host")

    def load(part: str) -> Any:
        places = {name: "disk" if name == part else "cpu" for name in PARTS}
        host = type(make_host()).from_pretrained(
            tmp_path / "host", device_map=places, offload_folder=str(tmp_path / f"disk-{part}")
        )
        return host.eval()

    return load


@TRANSFORMERS_ITSELF_WARNS
@pytest.mark.parametrize("part", ["model.multi_modal_projector", "model.language_model"])
def test_a_part_on_disk(kit, make_host, small, inputs, on_disk, saved, tmp_path, part):
    plain = make_host()
    pa.load_adapter(plain, saved)
    wanted = kit.logits(plain, inputs)
    host = on_disk(part)
    assert any(p.is_meta for p in host.parameters()), "nothing is on disk"
    handle = pa.load_adapter(host, saved, strict=True)
    assert not any(p.is_meta for p in handle.parameters())
    torch.testing.assert_close(kit.logits(host, inputs), wanted)
    handle.save_pretrained(tmp_path / "again")
    pa.load_adapter(make_host(), tmp_path / "again", strict=True)


@TRANSFORMERS_ITSELF_WARNS
def test_the_fingerprint_is_that_of_the_host_in_memory(make_host, on_disk):
    here, there = (fingerprint(find_parts(host)) for host in (make_host(), on_disk("model.language_model")))
    assert there.pop("language_model") is None
    here.pop("language_model")
    assert here == there
    assert here["weights"] != fingerprint(find_parts(make_host(seed=1)))["weights"]


def test_offloaded_after_attaching(kit, make_host, small, inputs, saved, tmp_path):
    plain, host = make_host(), make_host()
    pa.load_adapter(plain, saved)
    handle = pa.load_adapter(host, saved)
    cpu_offload(host, execution_device=torch.device("cpu"))
    assert all(p.is_meta for p in handle.parameters()), "nothing is offloaded"
    assert torch.equal(kit.logits(host, inputs), kit.logits(plain, inputs))
    handle.save_pretrained(tmp_path / "again")
    other = make_host()
    pa.load_adapter(other, tmp_path / "again", strict=True)
    assert torch.equal(kit.logits(other, inputs), kit.logits(plain, inputs))
