"""``handle.encode`` of hosts that encode and merge by themselves: what their own code gets from their encoder."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, BOS, Image, awake
from miniatures.own_calls import OWN_CALLS
from support.tiers import late_unless
from torch import Tensor, nn

import parrot_adapters as pa
from parrot_adapters.errors import PlaceholderError

NAMES = [name for name in OWN_CALLS if name != "llama4"]  # whose bare model fails in transformers 5.24
NONE = (BOS, 40, 41, 42)


def prompts(name: str) -> list[Any]:
    """Several pictures in a row, one, and, where its own code takes it, none."""
    if name == "git":
        return [(BOS, 20, 21, Image(0), 22), (BOS, 30, Image(2), 31)]
    some = [(BOS, 20, 21, Image(0), 22, Image(1), 23), (BOS, 30, Image(2), 31)]
    return [NONE, *some] if name in ("florence2", "mllama", "phi4_multimodal", "t5gemma2") else some


@pytest.fixture(params=late_unless(["blip-2", "mllama", "phi4_multimodal"], NAMES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def inputs(name: str) -> dict[str, Any]:
    return OWN_CALLS[name].batch(prompts(name))


@pytest.fixture
def attached(name: str) -> pa.Attachment:
    return awake(pa.attach(OWN_CALLS[name].build(), ADAPTER))


def taken(handle: pa.Attachment, inputs: dict[str, Any]) -> Tensor:
    """(N, D) what the host's own code has in hand after its encoder calls; the adapter's hooks are older than this."""
    spec, kept = handle.parts.spec, []
    *above, last = spec.encoder_calls[0].split(".")
    owner = handle.parts.base.get_submodule(".".join(above))

    def keep(out: Any) -> Any:
        held = out[0] if isinstance(out, tuple) else getattr(out, spec.feature_attribute, out)
        if spec.features_mask is not None:  # leave out empty tiles, and slots behind a prompt's last picture
            mask = inputs[spec.features_mask].bool()
            pictures = inputs["input_ids"].eq(handle.parts.encoders["image"].token_id).sum(1)
            held = held[mask & (torch.arange(mask.shape[1]) < pictures[:, None])[..., None]]
        kept.extend(each.flatten(0, -2) for each in (held if isinstance(held, list | tuple) else [held]))
        return out

    if isinstance(getattr(owner, last), nn.Module):
        hook = getattr(owner, last).register_forward_hook(lambda module, args, out: keep(out))
        undo = hook.remove
    else:
        method = getattr(owner, last)
        owner.__dict__[last] = lambda *args, **kwargs: keep(method(*args, **kwargs))
        undo = lambda: owner.__dict__.__setitem__(last, method)  # noqa: E731
    handle.model(**inputs)
    undo()
    return torch.cat(kept)


@torch.no_grad()
def test_they_are_what_the_host_takes(attached, inputs) -> None:
    with attached.record_routing() as log:
        found = attached.encode(**inputs)
    modality, other = ("video", "image") if attached.parts.model_type == "instructblipvideo" else ("image", "video")
    assert found[other] == []
    assert {one.modality for one in log} == {modality}
    assert [len(item) for item in found[modality]] == torch.cat([one.offsets.diff() for one in log]).tolist()
    wanted = taken(attached, inputs)
    assert torch.equal(torch.cat(found[modality]), wanted)
    with attached.disabled():
        bare = attached.encode(**inputs)[modality]
        assert torch.equal(torch.cat(bare), taken(attached, inputs))
    assert not torch.equal(torch.cat(bare), wanted)
    assert not torch.equal(torch.cat(found[modality][::-1]), wanted)  # an oracle that would notice another order


@torch.no_grad()
def test_items_are_pictures_in_placeholder_order(name: str, attached, inputs) -> None:
    found = itertools.chain(*attached.encode(**inputs).values())
    for prompt in prompts(name):
        if prompt != NONE:
            for alone in itertools.chain(*attached.encode(**OWN_CALLS[name].batch([prompt])).values()):
                torch.testing.assert_close(next(found), alone, atol=2e-5, rtol=1e-4)
    assert next(found, None) is None


@pytest.mark.parametrize("name", ["blip-2"], indirect=True)
def test_the_language_model_is_not_entered_and_nothing_is_left_behind(attached, inputs) -> None:
    entered = []
    attached.model.language_model.register_forward_pre_hook(lambda *ignored: entered.append(1))
    before = torch.cat(attached.encode(**inputs)["image"])
    assert not entered
    before.sum().backward()
    assert any(parameter.grad is not None for parameter in attached.parameters())
    attached.model(**inputs)
    assert entered


@pytest.mark.parametrize("name", ["mllama"], indirect=True)
@torch.no_grad()
def test_no_pictures_none_for_placeholders_and_too_few(name: str, attached, inputs) -> None:
    words = OWN_CALLS[name].batch([NONE])
    assert attached.encode(**words) == {"image": [], "video": []}
    without = {key: inputs[key] for key in ("input_ids", "attention_mask")}
    with pytest.raises(PlaceholderError, match="no images were given"):
        attached.encode(**without)
    fewer = {**inputs, "input_ids": inputs["input_ids"].clone()}
    fewer["input_ids"][-1, -3:] = attached.parts.encoders["image"].token_id
    with pytest.raises(PlaceholderError, match=r"do not match(.|\n)*per row \[0, 2, 3\](.|\n)*per row \[0, 2, 2\]"):
        attached.encode(**fewer)
    assert len(attached.encode(**inputs)["image"]) == 3


@pytest.mark.parametrize("name", ["blip-2"], indirect=True)
@torch.no_grad()
def test_a_projector_alone(name: str, inputs) -> None:
    handle = pa.attach_projector(OWN_CALLS[name].build())
    hooks = sum(len(module._forward_hooks) for module in handle.model.modules())
    for parameter in handle.parameters():
        parameter.mul_(1.5)
    found = handle.encode(**inputs)["image"]
    assert len(found) == 3
    assert torch.equal(torch.cat(found), taken(handle, inputs))
    assert sum(len(module._forward_hooks) for module in handle.model.modules()) == hooks
