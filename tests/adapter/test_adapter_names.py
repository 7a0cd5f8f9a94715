"""``with handle.adapter_names([...])``: every row of a batch as its adapter, or the bare host, makes it alone.

In float32 the comparison is ``allclose``, not bitwise: matrix products of other shapes sum in another order, and torch
takes other kernels for weights that need a gradient, which those of adapters that wait do not. The bare host's rows are
bitwise those of the same batch under ``disabled()``.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from miniatures import FAMILIES, PROMPTS, Image
from support.adapters import LORA, disturb
from support.rows_alone import alone, last
from torch import Tensor
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.errors import ConfigError, HostError, UnknownNameError

NAMES = (None, "default", "owns", "lora")
MORE = (*PROMPTS, (20, 33, Image(3), 34, 35, Image(4)), (21, Image(0), 26))


def made(name: str) -> pa.Attachment:
    """A family's host with an adapter at the projector, one that owns the projector, one with LoRA."""
    host = FAMILIES[name].build()
    handle = pa.attach(host, {"num_experts": 3, "expert_hidden_size": 8})
    handle.add_adapter("owns", {"num_experts": 2, "expert_hidden_size": 4}, train_projector=True)
    handle.add_adapter("lora", {"num_experts": 2, "expert_hidden_size": 4, "router": "uniform"}, lora=LORA)
    for seed, adapter in enumerate(handle.adapters):
        handle.set_adapter(adapter)
        disturb(handle, seed)
    handle.set_adapter("default")
    return handle


@pytest.fixture(scope="module")
def handles() -> dict[str, pa.Attachment]:
    return {name: made(name) for name in ("llava", "qwen2_5_vl")}


rows = st.lists(st.tuples(st.sampled_from(range(len(MORE))), st.sampled_from(NAMES)), min_size=1, max_size=4)


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
@pytest.mark.parametrize("active", ["default", "lora"])
def test_each_row_is_what_it_is_alone(handles, family: str, active: str) -> None:
    handle = handles[family]
    handle.set_adapter(active)

    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
    @given(rows)
    def holds(drawn: list[tuple[int, str | None]]) -> None:
        names = [name for _, name in drawn]
        batch = FAMILIES[family].batch([MORE[number] for number, _ in drawn])
        with handle.adapter_names(names):
            together = last(handle, batch)
        for row, (number, name) in enumerate(drawn):
            wanted = alone(handle, FAMILIES[family].batch([MORE[number]]), name)[0]
            assert_close(together[row], wanted, rtol=1e-4, atol=1e-4)

    holds()
    handle.set_adapter("default")


@pytest.fixture
def handle(handles) -> pa.Attachment:
    return handles["llava"]


BATCH = FAMILIES["llava"].batch(PROMPTS)


def test_rows_are_those_of_the_same_batch_with_one_adapter(handle) -> None:
    each = {name: alone(handle, BATCH, name) for name in NAMES}
    for names in ([None, "owns", "default"], ["owns", "lora", "owns"], ["default", None, None]):
        with handle.adapter_names(names):
            together = last(handle, BATCH)
        for row, name in enumerate(names):
            assert_close(together[row], each[name][row], rtol=1e-4, atol=1e-4)
            assert name is not None or torch.equal(together[row], each[name][row])
    assert torch.equal(last(handle, BATCH), each["default"])  # nothing stays


@pytest.mark.parametrize(
    "options", [{}, {"num_beams": 2}, {"num_beams": 3, "num_return_sequences": 2}, {"use_cache": False}]
)
def test_generate(handle, options: dict[str, Any]) -> None:
    names = ["lora", "owns", None]
    settings_of = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False, **options}
    with handle.adapter_names(names), torch.no_grad():
        together = handle.model.generate(**BATCH, **settings_of)
    kept = options.get("num_return_sequences", 1)
    for row, name in enumerate(names):
        batch = FAMILIES["llava"].batch([PROMPTS[row]])
        if name is None:
            with handle.disabled():
                wanted = handle.model.generate(**batch, **settings_of)
        else:
            with handle.switched_to(name):
                wanted = handle.model.generate(**batch, **settings_of)
        assert torch.equal(together[row * kept : (row + 1) * kept, -4:], wanted[:, -4:])


def test_encode_records_and_gradients(handle) -> None:
    names = ["default", "owns", None]
    with handle.adapter_names(names), handle.record_routing() as log, torch.no_grad():
        found = handle.encode(**BATCH)["image"]
    assert [record.rows.tolist() for record in log] == [[0, 0], [1]]
    assert [record.weights.shape[1] for record in log] == [3, 2]
    assert [record.offsets.diff().tolist() for record in log] == [[16, 16], [16]]
    with torch.no_grad(), handle.switched_to("owns"):
        assert_close(found[2], handle.encode(**BATCH)["image"][2])
    for one in handle.shelf.values():
        for parameter in one.parameters():
            parameter.requires_grad_(True)
            parameter.grad = None
    with handle.adapter_names(["lora", "owns", None]):
        handle.model(**BATCH, labels=BATCH["input_ids"]).loss.backward()
    touched = {
        name: any(p.grad is not None and p.grad.any() for p in one.parameters()) for name, one in handle.shelf.items()
    }
    assert touched == {"default": False, "owns": True, "lora": True}


def test_other_threads_do_not_notice(handle) -> None:
    wanted = last(handle, BATCH)
    found = []
    with handle.adapter_names([None, "lora", "owns"]):
        thread = threading.Thread(target=lambda: found.append(last(handle, BATCH)))
        thread.start()
        thread.join()
        with handle.adapter_names([None, None, None]):  # the innermost counts
            assert torch.equal(last(handle, BATCH), alone_bare(handle))
    assert torch.equal(found[0], wanted)


def alone_bare(handle: pa.Attachment) -> Tensor:
    with handle.disabled():
        return last(handle, BATCH)


def test_what_cannot_be_is_refused(handle) -> None:
    with (
        handle.adapter_names(["default", None]),
        pytest.raises(ConfigError, match="2 adapters were named for a batch of 3"),
    ):
        last(handle, BATCH)
    with handle.adapter_names(["default"]), pytest.raises(ConfigError, match="1 adapters were named for a batch of 3"):
        handle.model.generate(**BATCH, max_new_tokens=1)
    with pytest.raises(UnknownNameError, match="Did you mean 'owns'"), handle.adapter_names(["own"]):
        pass
    with pytest.raises(ConfigError, match="one name or None for each row"), handle.adapter_names("default"):
        pass
    with handle.adapter_names([None, None, "owns"]):
        with pytest.raises(HostError, match="block of adapter_names"):
            handle.set_adapter("owns")
        encoded = handle.parts.encoders["image"].encode(handle.parts.base, BATCH)
        words = {name: value for name, value in BATCH.items() if name != "pixel_values"}
        with pytest.raises(HostError, match="give the host pixels"):
            handle.model(**words, mm_encoder_outputs={"image": encoded})


def test_a_projector_that_makes_more_than_visual_tokens_is_refused() -> None:
    """Ovis2's indicators are not among the tokens that rows choose from."""
    inputs = FAMILIES["ovis2"].batch(PROMPTS)
    handle = pa.attach(FAMILIES["ovis2"].build(), {"num_experts": 2, "expert_hidden_size": 4})
    handle.add_adapter("owns", train_projector=True, config={"num_experts": 2, "expert_hidden_size": 4})
    handle.set_adapter("owns")
    disturb(handle)
    with handle.adapter_names(["owns", None, "default"]), pytest.raises(HostError, match="visual_indicator_features"):
        last(handle, inputs)


def test_the_comparison_notices_rows_that_are_mixed_up(handle, monkeypatch) -> None:
    """A double that gives every row its neighbour's adapter."""
    from parrot_adapters.adapter.row_adapters import RowAdapters

    own = RowAdapters.owners
    names = ["default", "owns", None]
    with handle.adapter_names(names):
        right = last(handle, BATCH)
        monkeypatch.setattr(RowAdapters, "owners", lambda self, count: [*own(self, count)[-1:], *own(self, count)[:-1]])
        wrong = last(handle, BATCH)
    assert not torch.allclose(right, wrong, atol=1e-3)
