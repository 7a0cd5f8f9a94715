"""``handle.add_losses``: the host's own loss includes the adapter's, in any trainer's hands."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from miniatures import PROMPTS, Family
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.adapter import added_losses as objective
from parrot_adapters.hosts.text_only_batches import TextOnlyBatches

ONLY = ("llava", "qwen2_vl", "internvl", "gemma3", "idefics3")
SCALES = {"load-balancing": 0.5, "router-z": 0.1}


@pytest.fixture
def trained(attached: pa.Attachment) -> pa.Attachment:
    attached.freeze_host()
    attached.model.train()
    return attached


def batch(family: Family, prompts: Any = PROMPTS) -> dict[str, Any]:
    inputs = family.batch([(*prompt, 50, 51) for prompt in prompts])
    labels = inputs["input_ids"].clone()
    labels[:, :-2] = -100
    return inputs | {"labels": labels}


def expected_terms(handle: pa.Attachment, inputs: dict[str, Any]) -> dict[str, torch.Tensor]:
    """By hand: a recorded pass before anything was added to the loss."""
    with handle.record_routing(graph=True) as log:
        loss = handle.model(**inputs).loss
    return {"language_model": loss, **pa.auxiliary_losses(log, SCALES)}


def test_the_loss_is_the_hosts_plus_the_auxiliary_ones(trained, family) -> None:
    inputs = batch(family)
    expected = expected_terms(trained, inputs)
    assert trained.last_losses == {}
    trained.add_losses(SCALES)
    loss = trained.model(**inputs).loss
    assert_close(loss, sum(expected.values()))
    assert trained.last_losses.keys() == expected.keys()
    for name, value in trained.last_losses.items():
        assert_close(value, expected[name].detach().float())
        assert not value.requires_grad


def test_the_router_feels_the_auxiliary_loss(trained, family) -> None:
    inputs = batch(family)
    weight = next(trained.module.router.parameters())

    def gradient() -> torch.Tensor:
        trained.module.zero_grad()
        trained.model(**inputs).loss.backward()
        return weight.grad.clone()

    before = gradient()
    trained.add_losses({"router-z": 10.0})
    assert (gradient() - before).abs().max() > 1e-4


def test_tuples_instead_of_outputs(trained, family) -> None:
    inputs = batch(family)
    trained.add_losses(SCALES)
    assert_close(trained.model(**inputs, return_dict=False)[0], trained.model(**inputs).loss)


def test_evaluation_and_disabled_adapters_are_left_alone(trained, family) -> None:
    inputs = batch(family)
    trained.model.eval()
    bare = trained.model(**inputs).loss
    trained.add_losses(SCALES)
    assert torch.equal(trained.model(**inputs).loss, bare)
    trained.model.train()
    with torch.no_grad():
        trained.model(**inputs)
    with trained.disabled():
        trained.model(**inputs)
    assert trained.last_losses == {}
    trained.model(**inputs)
    assert trained.last_losses


def test_micro_batches_add_up_to_the_whole(trained, family) -> None:
    """With ``num_items_in_batch`` as a trainer gives it, a micro-batch's auxiliary losses enter by its tokens."""
    inputs = batch(family, PROMPTS[:1])
    items = (inputs["labels"][:, 1:] != -100).sum()
    trained.add_losses(SCALES)
    trained.model(**inputs, num_items_in_batch=items)
    whole = trained.last_losses
    trained.model(**inputs, num_items_in_batch=4 * items)
    for name, value in trained.last_losses.items():
        assert_close(4 * value, whole[name], msg=name)


def test_a_whole_batch_has_a_share_of_one(trained, family) -> None:
    """Tokens are counted as a causal loss counts them: the first of a row is never predicted, whatever its label."""
    inputs = batch(family, PROMPTS[:1])
    inputs["labels"][:, 0] = inputs["input_ids"][:, 0]
    trained.add_losses(SCALES)
    trained.model(**inputs)
    alone = trained.last_losses
    trained.model(**inputs, num_items_in_batch=(inputs["labels"][:, 1:] != -100).sum())
    for name in SCALES:
        assert_close(trained.last_losses[name], alone[name])


def visual_side_gradients(handle: pa.Attachment, inputs: dict[str, Any]) -> list[torch.Tensor | None]:
    mine = [p for p in handle.parameters() if p.requires_grad]
    handle.model.zero_grad()
    handle.model(**inputs).loss.backward()
    return [p.grad for p in mine]


def test_a_batch_without_images_gives_zero_gradients_not_none(family) -> None:
    """Or a process with images would wait for one without."""
    handle = pa.attach(family.build(), {"num_experts": 3, "expert_hidden_size": 16}, train_projector=True)
    handle.freeze_host()
    handle.model.train()
    handle.parts.module(handle.parts.language_model).requires_grad_(True)
    inputs = batch(family, [PROMPTS[2]])
    for losses in (None, {}):
        if losses is not None:
            handle.add_losses(losses)
        found = visual_side_gradients(handle, inputs)
        assert found
        assert all(gradient is not None and not gradient.any() for gradient in found)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_the_check_bites_when_unused_parameters_are_left_out(family, monkeypatch) -> None:
    monkeypatch.setattr(TextOnlyBatches, "tied", lambda self, module, args, kwargs, output: output)
    monkeypatch.setattr(objective.AddedLosses, "_outside_language_model", lambda self: [])
    with pytest.raises(AssertionError):
        test_a_batch_without_images_gives_zero_gradients_not_none(family)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_the_check_bites_when_shares_are_forgotten(trained, family, monkeypatch) -> None:
    monkeypatch.setattr(objective, "_share", lambda labels, items: 1.0)
    with pytest.raises(AssertionError):
        test_micro_batches_add_up_to_the_whole(trained, family)


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_a_failed_pass_leaves_no_log_open(trained, family) -> None:
    inputs = batch(family)
    trained.add_losses(SCALES)
    with pytest.raises(Exception, match=r".+"):
        trained.model(**{**inputs, "input_ids": inputs["input_ids"][:, :3]})
    expected = trained.model(**inputs).loss
    assert_close(trained.model(**inputs).loss, expected)
    trained.detach()
    assert not trained.model._forward_hooks
    assert not trained.model._forward_pre_hooks


@pytest.mark.parametrize("family", ["llava"], indirect=True)
def test_unknown_losses_are_named_at_once(trained) -> None:
    with pytest.raises(pa.ParrotError, match="load-balancing"):
        trained.add_losses({"load-balancin": 1.0})
