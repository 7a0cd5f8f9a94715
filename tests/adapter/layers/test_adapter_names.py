"""``with handle.adapter_names([...])`` with experts inside the layers: every row as its adapter makes it alone."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from miniatures import FAMILIES, PROMPTS, Image
from support.adapters import LORA, disturb
from support.layers_by_hand import adapter, decode
from support.rows_alone import alone, last
from support.tiers import late_unless
from torch import Tensor
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.adapter.row_layers import RowLayers
from parrot_adapters.errors import HostError, ParrotWarning

NAMES = (None, "default", "layers", "both", "lora")
MORE = (*PROMPTS, (20, 33, Image(3), 34, 35, Image(4)), (21, Image(0), 26))
FEW = ["llava", "qwen2_5_vl", "gemma3", "idefics3"]


def made(name: str) -> pa.Attachment:
    """An adapter at the projector; three with experts in layers of their own, at the projector too, and beside LoRA."""
    family = FAMILIES[name]
    handle = pa.attach(family.build(), {"num_experts": 3, "expert_hidden_size": 8})
    handle.add_adapter("layers", adapter(family, layer_groups=2, expert_options={"shared_rank": 1}))
    gated = adapter(family, placement="both", layer_expert="gated", num_experts=2, layers=[1])
    handle.add_adapter("both", gated, train_projector=True)
    uniform = adapter(family, router="uniform", num_experts=2, layer_modules=["v_proj", "down_proj"])
    handle.add_adapter("lora", uniform, lora=LORA)
    for seed, one in enumerate(handle.adapters):
        handle.set_adapter(one)
        disturb(handle, seed)
    handle.set_adapter("default")
    return handle


@pytest.fixture(scope="module")
def handles() -> dict[str, pa.Attachment]:
    return {}


def handle_of(handles: dict[str, pa.Attachment], family: str) -> pa.Attachment:
    if family not in handles:
        handles[family] = made(family)
    return handles[family]


def check_rows(handle: pa.Attachment, family: str, numbers: list[int], names: list[str | None]) -> None:
    """Rows with an adapter are close to what they are alone; rows without are the bare host's, to the bit."""
    batch = FAMILIES[family].batch([MORE[number] for number in numbers])
    with handle.adapter_names(names):
        together = last(handle, batch)
    bare = alone(handle, batch, None)
    for row, (number, name) in enumerate(zip(numbers, names, strict=True)):
        wanted = alone(handle, FAMILIES[family].batch([MORE[number]]), name)[0]
        assert_close(together[row], wanted, rtol=1e-4, atol=1e-4)
        if name is None:
            assert torch.equal(together[row], bare[row])


rows = st.lists(st.tuples(st.sampled_from(range(len(MORE))), st.sampled_from(NAMES)), min_size=1, max_size=5)


@pytest.mark.parametrize("family", late_unless(["llava"], FEW))
@pytest.mark.parametrize("active", ["default", "layers"])
def test_each_row_is_what_it_is_alone(handles, family: str, active: str) -> None:
    handle = handle_of(handles, family)
    handle.set_adapter(active)

    @settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
    @given(rows)
    def holds(drawn: list[tuple[int, str | None]]) -> None:
        check_rows(handle, family, [number for number, _ in drawn], [name for _, name in drawn])

    holds()
    check_rows(handle, family, [0, 1, 2, 3, 4], ["layers", "both", "lora", None, "lora"])


@pytest.mark.parametrize(
    "options",
    [{}, {"num_beams": 2}, {"prefill_chunk_size": 7}, {"use_cache": False}, {"cache_implementation": "static"}],
    ids=str,
)
def test_generate(handles, options: dict[str, Any]) -> None:
    handle, names = handle_of(handles, "llava"), ["layers", None, "lora", "both", "default"]
    batch = FAMILIES["llava"].batch(list(MORE))
    with handle.adapter_names(names), torch.no_grad():
        found = decode(handle.model, batch, **options)
        wanted = last(handle, batch).repeat_interleave(options.get("num_beams", 1), 0)
    assert_close(found.logits[0], wanted, rtol=1e-4, atol=1e-4)
    for row, name in enumerate(names):
        with handle.switched_to(name) if name else handle.disabled():
            one = decode(handle.model, FAMILIES["llava"].batch([MORE[row]]), **options)
        assert found.sequences[row, -4:].tolist() == one.sequences[0, -4:].tolist()


@pytest.mark.parametrize("broken", ["mixed up", "everywhere"])
def test_rows_that_get_anothers_experts_are_caught(handles, monkeypatch, broken: str) -> None:
    handle, own = handle_of(handles, "llava"), RowLayers._mine
    names = ["layers", "both", None]

    def wrong(self: Any, one: Any, tokens: Any, weights: Any, owners: Tensor, start: int) -> Any:
        owners = owners.roll(1) if broken == "mixed up" else torch.full_like(owners, one.number)
        return own(self, one, tokens, weights, owners, start)

    monkeypatch.setattr(RowLayers, "_mine", wrong)
    with pytest.raises(AssertionError):
        check_rows(handle, "llava", [0, 1, 3], names)


@pytest.mark.parametrize("recompute", [False, {"use_reentrant": False}, {"use_reentrant": True}], ids=str)
def test_gradients_are_those_of_the_rows_alone(recompute: Any) -> None:
    """Each adapter learns from its own rows, whatever is computed again."""
    handle, family = made("llava"), FAMILIES["llava"]
    names = ["layers", "both", "layers", None]
    handle.model.train()
    if recompute:
        handle.model.activation_checkpointing_enable(recompute)
        handle.model.enable_input_require_grads()
    for one in handle.shelf.values():
        for parameter in one.parameters():
            parameter.requires_grad_(True)
    found = {}
    with handle.adapter_names(names):
        handle.model(**family.batch(list(MORE[:4]))).logits[:, -1].square().sum().backward()
    for name in ("layers", "both"):
        found[name] = {key: p.grad for key, p in handle.shelf[name].module.named_parameters()}
        handle.shelf[name].module.zero_grad()
    for name in found:
        mine = family.batch([MORE[row] for row, other in enumerate(names) if other == name])
        with handle.switched_to(name):
            for parameter in handle.parameters():
                parameter.requires_grad_(True)
            handle.model(**mine).logits[:, -1].square().sum().backward()
            for key, p in handle.module.named_parameters():
                assert p.grad.any() or not found[name][key].any()
                assert_close(found[name][key], p.grad, rtol=1e-3, atol=1e-3)


def test_running_again_after_the_block_is_refused() -> None:
    handle, family = made("llava"), FAMILIES["llava"]
    handle.model.train()
    handle.model.activation_checkpointing_enable({"use_reentrant": False})
    for parameter in handle.shelf["layers"].parameters():
        parameter.requires_grad_(True)
    with handle.adapter_names(["layers", None]):
        loss = handle.model(**family.batch(list(MORE[:2]))).logits[:, -1].square().sum()
    with pytest.raises(HostError, match=r"run backward\(\) inside the block"):
        loss.backward()


def test_nothing_of_it_stays(handles) -> None:
    handle, batch = handle_of(handles, "llava"), FAMILIES["llava"].batch(list(MORE[:3]))
    handle.set_adapter("layers")
    wanted, bare, others = last(handle, batch), alone(handle, batch, None), []
    hooks = {name: list(m._forward_hooks) for name, m in handle.model.named_modules()}
    with handle.adapter_names(["both", "layers", None]), torch.no_grad():
        thread = threading.Thread(target=lambda: others.append(last(handle, batch)))
        thread.start()
        thread.join()
        with handle.adapter_names([None, None, None]):  # the innermost counts
            assert torch.equal(last(handle, batch), bare)
        with pytest.warns(ParrotWarning, match="carry nothing of the experts inside"):
            handle.encode(**batch)
        with pytest.raises(RuntimeError):
            handle.model(**batch | {"attention_mask": batch["attention_mask"][:, :-1]})
        text = FAMILIES["llava"].batch([MORE[2]] * 3)  # the call that failed is forgotten
        assert torch.equal(last(handle, text), alone_bare(handle, text))
    assert torch.equal(others[0], wanted)
    assert torch.equal(last(handle, batch), wanted)
    assert hooks == {name: list(m._forward_hooks) for name, m in handle.model.named_modules()}


def alone_bare(handle: pa.Attachment, batch: dict[str, Any]) -> Tensor:
    with handle.adapter_names([None, None, None]):
        return last(handle, batch)
