"""Stage 1: a handle that holds the projector and no module, on disk and off."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor

import parrot_adapters as pa
from parrot_adapters.errors import CheckpointError, HostError, HostMismatchError


@pytest.fixture
def stage1(host: Any) -> pa.Attachment:
    """A projector that was trained."""
    handle = pa.attach_projector(host)
    with torch.no_grad():
        for parameter in handle.projector.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    return handle


def projector_of(host: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in host.model.multi_modal_projector.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_attaching_changes_nothing_and_trains_the_projector_alone(kit, make_host, inputs) -> None:
    bare, host = make_host(), make_host()
    handle = pa.attach_projector(host)
    handle.freeze_host()
    assert handle.module is None
    assert torch.equal(kit.logits(host, inputs), kit.logits(bare, inputs))
    report = handle.parameter_report()
    assert "adapter" not in report
    assert {part: counts["trainable"] > 0 for part, counts in report.items()} == {
        part: part == "projector" for part in report
    }
    handle.print_trainable_parameters()


def test_it_saves_only_a_projector_and_comes_back(kit, stage1, make_host, inputs, tmp_path) -> None:
    stage1.save_pretrained(tmp_path / "adapter")
    assert sorted(p.name for p in (tmp_path / "adapter").iterdir()) == [
        "README.md",
        "adapter_config.json",
        "projector.safetensors",
    ]
    host = make_host()
    handle = pa.load_adapter(host, tmp_path / "adapter", strict=True)
    assert handle.module is None
    assert torch.equal(kit.logits(host, inputs), kit.logits(stage1.model, inputs))
    assert "no experts" in (tmp_path / "adapter" / "README.md").read_text()


def test_disabled_and_detached_it_is_the_bare_host(kit, stage1, make_host, inputs) -> None:
    bare = kit.logits(make_host(), inputs)
    trained = kit.logits(stage1.model, inputs)
    assert not torch.equal(trained, bare)
    with stage1.disabled():
        assert torch.equal(kit.logits(stage1.model, inputs), bare)
        assert not stage1.active
    assert torch.equal(kit.logits(stage1.model, inputs), trained)
    with kit.Untouched(make_host()) as _:
        pass
    stage1.detach()
    assert torch.equal(kit.logits(stage1.model, inputs), bare)
    assert pa.attachment_of(stage1.model) is None
    assert not stage1.model._forward_pre_hooks
    assert not stage1.model.model._forward_pre_hooks


def test_nothing_is_routed_and_nobody_waits_for_it(stage1, inputs) -> None:
    seen: list[Any] = []
    with stage1.record_routing() as log, stage1.add_observer(seen.append), stage1.languages(["tr", None]):
        stage1.model(**inputs)
    assert log == seen == []
    for act in (stage1.require_module, stage1.reference_state_dict, lambda: pa.self_test(stage1, inputs)):
        with pytest.raises(HostError, match="stage 1"):
            act()


def test_stage_2_takes_the_projector_over(kit, stage1, make_host, small, tmp_path) -> None:
    stage1.save_pretrained(tmp_path / "one")
    host = make_host()
    own = projector_of(host)
    handle = pa.attach(host, small, train_projector=True)
    handle.load_projector(tmp_path / "one")
    assert same(projector_of(host), projector_of(stage1.model))
    handle.save_pretrained(tmp_path / "two")
    with handle.disabled():
        assert same(projector_of(host), own)
        handle.load_projector(tmp_path / "one")  # the adapter's set, although the host's is live
        assert same(projector_of(host), own)
    assert same(projector_of(host), projector_of(stage1.model))
    again = make_host()
    pa.load_adapter(again, tmp_path / "two", strict=True)
    assert same(projector_of(again), projector_of(stage1.model))
    handle.detach()
    assert same(projector_of(host), own)


def test_merging_makes_it_the_hosts_own(stage1, make_host, tmp_path) -> None:
    trained = projector_of(stage1.model)
    stage1.disable()
    stage1.enable()
    stage1.merge_projector()
    stage1.detach()
    assert same(projector_of(stage1.model), trained)
    with pytest.raises(HostError, match="own"):
        pa.attach(make_host(), {"num_experts": 2, "expert_hidden_size": 4}).merge_projector()


def test_losses_can_be_added_where_there_is_nothing_to_add(stage1, inputs) -> None:
    stage1.freeze_host()
    stage1.model.train()
    stage1.add_losses({"load-balancing": 1.0})
    stage1.model(**inputs, labels=inputs["input_ids"]).loss.backward()
    assert stage1.last_losses.keys() == {"language_model"}
    assert all(p.grad is not None for p in stage1.parameters())


def test_errors_teach(stage1, make_host, small, tmp_path) -> None:
    stage1.save_pretrained(tmp_path / "one")
    with pytest.raises(HostError, match="train_projector"):
        pa.attach(make_host(), small).load_projector(tmp_path / "one")
    moduled = make_host()
    pa.attach(moduled, small).save_pretrained(tmp_path / "module")
    handle = pa.attach(make_host(), small, train_projector=True)
    with pytest.raises(CheckpointError, match="no projector"):
        handle.load_projector(tmp_path / "module")
    with pytest.raises(HostMismatchError):
        pa.attach(make_host(width=32), small, train_projector=True).load_projector(tmp_path / "one")
    for act in (lambda d, o: pa.freeze_routing(d, o, weights=[1.0]), lambda d, o: pa.grow(d, 1, out=o)):
        with pytest.raises((CheckpointError, TypeError), match=r"projector only|argument"):
            act(tmp_path / "one", tmp_path / "out")
    (tmp_path / "one" / "projector.safetensors").unlink()
    with pytest.raises(CheckpointError, match="incomplete"):
        pa.load_adapter(make_host(), tmp_path / "one")


def test_a_lost_module_is_not_taken_for_stage_1(make_host, small, tmp_path) -> None:
    """The config says whether there is a module; files alone do not."""
    pa.attach(make_host(), small, train_projector=True).save_pretrained(tmp_path / "a")
    path = tmp_path / "a" / "adapter_config.json"
    described = json.loads(path.read_text())
    del described["files"]["adapter_model.safetensors"], described["config_sha256"]
    path.write_text(json.dumps(described))
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors"):
        pa.load_adapter(make_host(), tmp_path / "a")
