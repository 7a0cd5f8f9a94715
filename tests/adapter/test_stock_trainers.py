"""Stock trainers around an attached host: what they write, what they take up again, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from support.adapters import same, weights
from support.tiers import late_unless

import parrot_adapters as pa
from parrot_adapters.adapter import training_saves
from parrot_adapters.adapter.training_saves import TrainingSaves
from parrot_adapters.errors import CheckpointError, HostMismatchError

BESIDE_THE_ADAPTER = pytest.mark.filterwarnings(
    "ignore:the (adapter|checkpoint) in:parrot_adapters.errors.ParrotWarning"
)


@pytest.fixture
def attached(kit: Any, make_host: Any, small: Any) -> Any:
    """A fresh host whose adapter owns projector and LoRA, the same each time it is called."""

    def make() -> Any:
        handle = pa.attach(make_host(), small, train_projector=True, lora=kit.LORA)
        kit.disturb(handle)
        return handle

    return make


def test_a_trainer_resumes_bit_for_bit(attached, trainer_of):
    whole = attached()
    trainer_of(whole.model, "whole", 4).train()
    first, second = attached(), attached()
    trainer_of(first.model, "halves", 2).train()
    trainer_of(second.model, "halves", 4).train(resume_from_checkpoint=True)
    assert not same(weights(first), weights(second))
    assert same(weights(whole), weights(second))


def test_resuming_bites_where_the_checkpoint_is_not_read(attached, trainer_of, monkeypatch):
    first, second, whole = attached(), attached(), attached()
    trainer_of(whole.model, "whole", 4).train()
    trainer_of(first.model, "halves", 2).train()
    monkeypatch.setattr(
        second.model, "load_state_dict", lambda *a, **k: torch.nn.modules.module._IncompatibleKeys([], [])
    )
    trainer_of(second.model, "halves", 4).train(resume_from_checkpoint=True)
    assert not same(weights(whole), weights(second))


def test_a_checkpoint_holds_what_trains_and_nothing_else(attached, trainer_of, tmp_path):
    handle = attached()
    trainer_of(handle.model, "run", 2).train()
    kept = load_file(tmp_path / "run" / "checkpoint-2" / "model.safetensors")
    trained = {n: p.detach() for n, p in handle.model.named_parameters() if p.requires_grad}
    assert kept.keys() == trained.keys()
    assert all(torch.equal(kept[name], trained[name]) for name in kept)


def test_host_weights_that_train_are_in_the_checkpoint(make_host, small, trainer_of, tmp_path):
    handle = pa.attach(make_host(), small, freeze_host=False)
    trainer_of(handle.model, "run", 2).train()
    kept = load_file(tmp_path / "run" / "checkpoint-2" / "model.safetensors")
    assert torch.equal(kept["lm_head.weight"], handle.model.lm_head.weight)


def test_the_best_model_is_the_one_that_stays(attached, trainer_of):
    handle, seen = attached(), {}

    class Look(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            seen[state.global_step] = weights(handle)

    trainer = trainer_of(
        handle.model,
        "run",
        3,
        save_steps=1,
        eval_steps=1,
        eval_strategy="steps",
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        greater_is_better=True,  # so that the first step is the best
    )
    trainer.add_callback(Look())
    trainer.train()
    assert trainer.state.best_global_step == 1
    assert [step for step in seen if same(seen[step], weights(handle))] == [1]


def test_what_save_model_writes_loads(kit, attached, make_host, inputs, trainer_of, tmp_path):
    handle = attached()
    trainer = trainer_of(handle.model, "run", 2)
    trainer.train()
    trainer.save_model(str(tmp_path / "final"))
    host = make_host()
    again = pa.load_adapter(host, tmp_path / "final", strict=True)
    assert again.owns_projector
    assert again.lora_config is not None
    handle.model.eval()
    assert torch.equal(kit.logits(host, inputs), kit.logits(handle.model, inputs))
    assert not torch.equal(kit.logits(host, inputs), kit.logits(make_host(), inputs))


class Around(torch.nn.Module):
    """A user's module around the host, as recipes have it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, **inputs):
        return self.model(**inputs)


def write_in_a_callback(trainer, directory):
    class Write(transformers.TrainerCallback):
        def on_save(self, args, state, control, model=None, **_):
            model.save_pretrained(directory)

    trainer.add_callback(Write())


def write_as_a_subclass(trainer, directory):
    """As the trainer of LLaVA's own code, which has a ``_save_checkpoint`` of its own."""

    class Own(type(trainer)):
        def _save_checkpoint(self, model, trial):
            self.model.save_pretrained(directory)

    trainer.__class__ = Own


WRITERS = [write_in_a_callback, write_as_a_subclass]


def check_written(handle, trainer, writes, directory, host):
    writes(trainer, directory)
    trainer.train()
    assert same(weights(pa.load_adapter(host, directory, strict=True)), weights(handle))


@pytest.mark.parametrize("writes", WRITERS)
def test_whoever_writes_the_model_within_a_trainer_writes_what_trains(
    attached, make_host, trainer_of, tmp_path, writes
):
    handle = attached()
    check_written(handle, trainer_of(handle.model, "run", 2), writes, tmp_path / "mine", make_host())


@pytest.mark.parametrize("writes", WRITERS)
def test_a_trainer_that_is_not_recognised_is_caught(attached, make_host, trainer_of, tmp_path, monkeypatch, writes):
    monkeypatch.setattr(training_saves, "TRAINER", ("transformers.trainer", "AnotherClass"))
    handle = attached()
    with pytest.raises(CheckpointError):
        check_written(handle, trainer_of(handle.model, "run", 2), writes, tmp_path / "mine", make_host())


def test_a_module_around_the_host_is_kept_and_resumed(attached, trainer_of, tmp_path):
    whole, first, second = attached(), attached(), attached()
    trainer_of(Around(whole.model), "whole", 4).train()
    trainer_of(Around(first.model), "halves", 2).train()
    kept = load_file(tmp_path / "halves" / "checkpoint-2" / "model.safetensors")
    assert kept.keys() == {f"model.{name}" for name, p in first.model.named_parameters() if p.requires_grad}
    trainer_of(Around(second.model), "halves", 4).train(resume_from_checkpoint=True)
    assert same(weights(whole), weights(second))


@pytest.mark.parametrize("damage", ["no file", "another file"])
def test_a_damaged_checkpoint_is_refused(attached, make_host, trainer_of, tmp_path, damage):
    handle = attached()
    trainer_of(handle.model, "run", 2).train()
    path = tmp_path / "run" / "checkpoint-2" / "model.safetensors"
    path.unlink() if damage == "no file" else path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="incomplete" if damage == "no file" else "damaged"):
        pa.load_adapter(make_host(), path.parent)


def test_host_weights_beside_the_adapter_are_named(make_host, small, trainer_of, tmp_path):
    handle = pa.attach(make_host(), small, freeze_host=False)
    trainer_of(handle.model, "run", 2).train()
    with pytest.raises(HostMismatchError):
        pa.load_adapter(make_host(), tmp_path / "run" / "checkpoint-2", strict=True)
    with pytest.warns(pa.ParrotWarning) as said:
        pa.load_adapter(make_host(), tmp_path / "run" / "checkpoint-2")
    assert any("lm_head.weight" in str(w.message) or "not its own" in str(w.message) for w in said)


def test_a_checkpoint_of_the_bare_host_is_refused(attached, make_host, trainer_of, tmp_path):
    trainer_of(make_host(), "run", 2).train()
    handle = attached()
    before = weights(handle)
    with pytest.raises(CheckpointError, match="would not be resumed"):
        trainer_of(handle.model, "run", 4).train(resume_from_checkpoint=True)
    assert same(weights(handle), before)


def test_a_checkpoint_with_lora_is_refused_without(attached, make_host, small, trainer_of):
    trainer_of(attached().model, "run", 2).train()
    handle = pa.attach(make_host(), small, train_projector=True)
    with pytest.raises(CheckpointError, match="another kind"):
        trainer_of(handle.model, "run", 4).train(resume_from_checkpoint=True)


def test_outside_a_trainer_the_host_is_saved_bare(attached, make_host, trainer_of, tmp_path):
    handle = attached()
    trainer_of(handle.model, "run", 2).train()
    handle.model.save_pretrained(tmp_path / "host", is_main_process=True)
    again = type(handle.model).from_pretrained(tmp_path / "host").state_dict()
    bare = make_host().state_dict()
    assert again.keys() == bare.keys()
    assert all(torch.equal(again[name], bare[name]) for name in bare)


def test_a_plain_loop_goes_on_from_a_state_dict(attached):
    one, two = attached(), attached()
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(1.0)
    two.model.load_state_dict(one.model.state_dict())
    assert same(weights(one), weights(two))
    three, trained = attached(), one.training_saves.trained(one.model.state_dict())
    assert three.model.load_state_dict(trained).missing_keys == []
    assert same(weights(one), weights(three))
    lacking = {name: value for name, value in trained.items() if "parrot_adapter" not in name}
    with pytest.raises(RuntimeError, match="parrot_adapter"):
        three.model.load_state_dict(lacking)


def test_accelerate_saves_what_trains_and_goes_on(attached, tmp_path):
    from accelerate import Accelerator

    def prepared() -> tuple[Any, Any, Any]:
        handle, accelerator = attached(), Accelerator(cpu=True)
        model, _ = accelerator.prepare(
            handle.model, torch.optim.AdamW([p for p in handle.model.parameters() if p.requires_grad])
        )
        return handle, accelerator, model

    one, accelerator, _ = prepared()
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.add_(1.0)
    accelerator.save_state(str(tmp_path / "state"))
    kept = load_file(tmp_path / "state" / "model.safetensors")
    assert kept.keys() == {n for n, p in one.model.named_parameters() if p.requires_grad}
    two, accelerator, _ = prepared()
    accelerator.load_state(str(tmp_path / "state"))
    assert same(weights(one), weights(two))


def test_a_state_dict_is_whole_for_anyone_else(attached, make_host):
    assert make_host().state_dict().keys() <= {
        name.replace(".base_layer.", ".") for name in attached().model.state_dict()
    }


def test_a_state_dict_of_one_adapter_is_not_anothers(make_host, small):
    handle = pa.attach(make_host(), small)
    handle.add_adapter("tr", small)
    handle.set_adapter("tr")
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(1.0)
    state, theirs = handle.model.state_dict(), weights(handle)
    handle.set_adapter("default")
    before = weights(handle)
    with pytest.raises(CheckpointError, match=r"'tr', and 'default' is the active one(.|\n)*set_adapter\('tr'\)"):
        handle.model.load_state_dict(state)
    assert same(weights(handle), before)
    handle.model.load_state_dict(dict(state))  # meant
    assert same(weights(handle), theirs)
    handle.set_adapter("tr")
    handle.model.load_state_dict(state)


@pytest.mark.filterwarnings("ignore:this checkpoint holds adapter 'tr':parrot_adapters.errors.ParrotWarning")
@pytest.mark.parametrize("library", late_unless(["accelerate"], ["transformers", "accelerate"]))
def test_a_checkpoint_of_one_adapter_is_not_anothers(make_host, small, trainer_of, tmp_path, library):
    """Whose it is stands in its tensors, as files of them hold nothing else that these libraries read."""
    from accelerate import Accelerator

    def two(active):
        handle = pa.attach(make_host(), small)
        handle.add_adapter("tr", small)
        handle.set_adapter(active)
        return handle

    def take_up(handle):
        if library == "transformers":
            trainer_of(handle.model, "run", 4).train(resume_from_checkpoint=True)
        else:
            accelerator = Accelerator(cpu=True)
            accelerator.prepare(handle.model)
            accelerator.load_state(str(tmp_path / "run"))

    one, accelerator = two("tr"), Accelerator(cpu=True)
    if library == "transformers":
        trainer_of(one.model, "run", 2).train()
        pa.load_adapter(make_host(), tmp_path / "run" / "checkpoint-2", strict=True)
    else:
        accelerator.prepare(one.model)
        with torch.no_grad():
            for parameter in one.parameters():
                parameter.add_(1.0)
        accelerator.save_state(str(tmp_path / "run"))
    other = two("default")
    before = weights(other)
    with pytest.raises(CheckpointError, match=r"'tr', and 'default' is the active one(.|\n)*set_adapter\('tr'\)"):
        take_up(other)
    assert same(weights(other), before)
    other.set_adapter("tr")
    take_up(other)
    assert same(weights(other), weights(one)) == (library == "accelerate")  # the trainer has gone on


def test_detaching_leaves_no_hook(attached, make_host):
    handle = attached()
    host = handle.model
    handle.detach()
    assert not host._state_dict_hooks
    assert not host._load_state_dict_pre_hooks
    assert not host._load_state_dict_post_hooks
    host.load_state_dict(make_host().state_dict(), strict=False)


@pytest.mark.parametrize("owned", [{}, {"train_projector": True}], ids=["layer", "projector"])
def test_a_batch_without_images_is_a_step_that_changes_nothing(make_host, small, inputs, owned):
    host = make_host().train()
    handle = pa.attach(host, small, **owned)
    ids = torch.where(inputs["input_ids"] == host.config.image_token_id, 7, inputs["input_ids"])
    host(input_ids=ids, attention_mask=inputs["attention_mask"], labels=ids).loss.backward()
    assert all(p.grad is not None and not p.grad.any() for p in handle.parameters())
    handle.detach()
    handle = pa.attach_projector(host)
    host(input_ids=ids, attention_mask=inputs["attention_mask"], labels=ids).loss.backward()


# --- frozen, and changed all the same ---------------------------------------------------------------------------------


def step(host: Any, inputs: Any) -> None:
    update = torch.optim.SGD([p for p in host.parameters() if p.requires_grad], lr=0.1)
    host(**inputs, labels=inputs["input_ids"]).loss.backward()
    update.step()


def test_attach_freezes_the_host_and_saves(make_host, small, inputs, tmp_path):
    handle = pa.attach(make_host(), small)
    mine = {id(p) for p in handle.parameters()}
    assert {id(p) for p in handle.model.parameters() if p.requires_grad} == mine
    step(handle.model, inputs)
    handle.save_pretrained(tmp_path / "adapter")
    pa.load_adapter(make_host(), tmp_path / "adapter", strict=True)


@BESIDE_THE_ADAPTER
def test_an_adapter_beside_a_changed_host_is_not_saved_in_silence(make_host, small, inputs, tmp_path):
    handle = pa.attach(make_host(), small, freeze_host=False)
    step(handle.model, inputs)
    with pytest.raises(HostMismatchError, match=r"lm_head|model\."):
        handle.save_pretrained(tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
    handle.save_pretrained(tmp_path / "adapter", allow_changed_host=True)
    pa.load_adapter(make_host(), tmp_path / "adapter")


class Normed(torch.nn.Module):
    """A part of a host with statistics of its own, as timm's towers and the VQ-VAE of Emu 3 have them."""

    def __init__(self, width):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(width)

    def forward(self, hidden):
        return self.norm(hidden.flatten(0, -2)).view_as(hidden)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_statistics_of_a_frozen_host_that_moved_are_told(make_host, small, inputs, tmp_path, mode):
    host = make_host()
    projector = host.model.multi_modal_projector
    projector.linear_2 = torch.nn.Sequential(projector.linear_2, Normed(projector.linear_2.out_features))
    handle = pa.attach(host, small)
    getattr(host, mode)()
    step(host, inputs)
    if mode == "eval":
        handle.save_pretrained(tmp_path / "adapter")
    else:
        with pytest.raises(HostMismatchError, match=r"2: .*running_mean, .*running_var\n.*eval\(\)"):
            handle.save_pretrained(tmp_path / "adapter")


@pytest.mark.filterwarnings("ignore:statistics of the frozen host:parrot_adapters.errors.ParrotWarning")
@pytest.mark.parametrize("library", late_unless(["accelerate"], ["transformers", "accelerate"]))
def test_statistics_that_moved_are_taken_up_again(make_host, small, inputs, trainer_of, tmp_path, library):
    """The tower's batch norm is the host's and frozen, and what was learned was learned with its statistics."""

    def normed():
        host = make_host()
        tower = host.model.multi_modal_projector
        tower.linear_1 = torch.nn.Sequential(tower.linear_1, Normed(tower.linear_1.out_features))
        return pa.attach(host, small)

    def end(folder, steps, resume=False):
        handle = normed()
        if library == "transformers":
            trainer_of(handle.model, folder, steps).train(resume_from_checkpoint=resume)
        else:
            from accelerate import Accelerator

            accelerator, mine = Accelerator(cpu=True), list(handle.parameters())
            model, update = accelerator.prepare(handle.model.train(), torch.optim.SGD(mine, lr=0.1))
            if resume:
                accelerator.load_state(str(tmp_path / folder))
            for _ in range(steps - 2 if resume else steps):
                accelerator.backward(model(**inputs, labels=inputs["input_ids"]).loss)
                update.step()
                update.zero_grad()
            if steps == 2:
                accelerator.save_state(str(tmp_path / folder))
        return handle

    with pytest.warns(
        pa.ParrotWarning, match=r"moved  3: .*num_batches_tracked, .*running_mean, .*running_var\n.*eval"
    ):
        end("halves", 2)
    whole, again = end("whole", 4), end("halves", 4, resume=True)
    assert same(weights(again), weights(whole))
    moved, fresh = again.model.state_dict(), normed().model.state_dict()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(moved[name], value), name
    assert any("running_mean" in name and not torch.equal(moved[name], fresh[name]) for name in fresh)


@pytest.mark.parametrize("how", ["cast", "own projector", "merged"])
def test_what_is_no_change_is_saved(kit, make_host, small, tmp_path, how):
    handle = pa.attach(make_host(), small, train_projector=how != "cast", lora=kit.LORA if how == "merged" else None)
    kit.disturb(handle)
    if how == "cast":
        handle.model.to(torch.bfloat16)
    if how == "merged":
        handle.merge_lora()
        handle.merge_projector()
    handle.save_pretrained(tmp_path / "adapter")


def test_the_hooks_are_what_makes_a_checkpoint_small(attached, trainer_of, tmp_path, monkeypatch):
    handle = attached()
    monkeypatch.setattr(TrainingSaves, "_frozen", lambda self, names: set())
    trainer_of(handle.model, "run", 2).train()
    assert "lm_head.weight" in load_file(tmp_path / "run" / "checkpoint-2" / "model.safetensors")
