"""A stock ``Trainer`` as people set it: whatever the setting, a run that is taken up again ends as one that was not."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from support.adapters import logits, tiny_host
from support.stock_trainers import Rows, attached, collate, trained
from support.tiers import late_unless
from torch import Tensor

import parrot_adapters as pa

KNOWN = {field.name for field in fields(transformers.TrainingArguments)}
RECOMPUTE = next(name for name in ("activation_checkpointing", "gradient_checkpointing") if name in KNOWN)
BY_LENGTH = {"train_sampling_strategy": "group_by_length"} if "train_sampling_strategy" in KNOWN else {}
BEST: dict[str, Any] = {"save_steps": 1, "eval_steps": 1, "eval_strategy": "steps", "load_best_model_at_end": True}
BEST |= {"metric_for_best_model": "loss", "greater_is_better": True}  # so that the first step is the best
SETTINGS: dict[str, dict[str, Any]] = {
    "accumulation": {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 2},
    "group by length": BY_LENGTH or {"group_by_length": True},
    "Seq2SeqTrainer": {"predict_with_generate": True, "eval_strategy": "steps", "eval_steps": 2},
    "unused columns": {"remove_unused_columns": True},
    "bf16": {"bf16": True},
    "recomputed": {RECOMPUTE: True, f"{RECOMPUTE}_kwargs": {"use_reentrant": False}},
    "recomputed, re-entrant": {RECOMPUTE: True, f"{RECOMPUTE}_kwargs": {"use_reentrant": True}},
    "auto_find_batch_size": {"auto_find_batch_size": True, "per_device_train_batch_size": 3},
    "workers": {"dataloader_num_workers": 1},
    "neftune": {"neftune_noise_alpha": 5.0},
    "compiled": {"torch_compile": True, "torch_compile_backend": "eager"},
}
pytestmark = [
    pytest.mark.filterwarnings("ignore:Dynamo detected a call to a:UserWarning:transformers"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),  # torch's own, while it traces
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"),
]


def hold_two_rows(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """A hook that has memory for two rows at a time and no more."""
    if len(kwargs["input_ids"]) > 2:
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")


def trainer_of(handle: Any, out: Path, steps: int, **options: Any) -> Any:
    kind = "Seq2SeqTrain{}" if "predict_with_generate" in options else "Train{}"
    settings: dict[str, Any] = {"per_device_train_batch_size": 1, "per_device_eval_batch_size": 1, "save_steps": 2}
    settings |= {"learning_rate": 3e-2, "lr_scheduler_type": "linear", "remove_unused_columns": False}
    settings |= {"report_to": [], "disable_tqdm": True, "use_cpu": True, "dataloader_pin_memory": False}
    made = getattr(transformers, kind.format("ingArguments"))(str(out), max_steps=steps, **{**settings, **options})
    return getattr(transformers, kind.format("er"))(
        handle.model, made, train_dataset=Rows(), eval_dataset=Rows(text_only=(1,)), data_collator=collate
    )


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether these are the same names with the same bits."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Look(transformers.TrainerCallback):
    """What trains, after each step."""

    def __init__(self) -> None:
        self.seen: dict[int, dict[str, Tensor]] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.seen[state.global_step] = trained(getattr(model, "_orig_mod", model))


@pytest.mark.parametrize("name", late_unless(["accumulation"], SETTINGS))
def test_it_ends_as_a_run_that_was_not_interrupted(tmp_path: Path, name: str) -> None:
    def seen(settings: dict[str, Any], resume: Path | None = None) -> dict[int, dict[str, Tensor]]:
        torch._dynamo.reset()
        handle = attached("both")
        if "auto_find_batch_size" in settings and not resume:
            handle.model.register_forward_pre_hook(hold_two_rows, with_kwargs=True)
        trainer = trainer_of(handle, tmp_path / "again" if resume else tmp_path, 4, **settings)
        trainer.add_callback(look := Look())
        trainer.train(resume_from_checkpoint=resume and str(resume))
        return look.seen

    whole, before = seen(SETTINGS[name]), trained(attached("both").model)
    checkpoint = tmp_path / "checkpoint-2"
    assert same(load_file(checkpoint / "model.safetensors"), whole[2])
    again = seen(SETTINGS[name], resume=checkpoint)
    assert sorted(again) == [3, 4]
    assert same(again[4], whole[4])
    assert not any(
        torch.equal(whole[4][one], before[one]) or torch.equal(whole[4][one], whole[2][one]) for one in before
    )
    if name.startswith("recomputed"):
        torch.testing.assert_close(whole[4], seen({})[4], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 2])
def test_the_best_stays_where_few_checkpoints_do(tmp_path: Path, limit: int) -> None:
    handle = attached("both")
    trainer = trainer_of(handle, tmp_path, 4, save_total_limit=limit, save_only_model=limit == 2, **BEST)
    trainer.train()
    assert trainer.state.best_global_step == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1", "checkpoint-4"][:limit]
    assert same(load_file(tmp_path / "checkpoint-1" / "model.safetensors"), trained(handle.model))
    host, batch = tiny_host(), collate([Rows()[2]])
    pa.load_adapter(host, tmp_path / "checkpoint-1", strict=True)
    assert torch.equal(logits(host.eval(), batch), logits(handle.model.eval(), batch))


@pytest.mark.slow
def test_a_seq2seq_trainer_predicts_what_generate_gives(tmp_path: Path) -> None:
    handle = attached("both")
    handle.model.config.pad_token_id = handle.model.generation_config.pad_token_id = 0
    trainer = trainer_of(handle, tmp_path, 1, predict_with_generate=True, generation_max_length=14)
    found = trainer.predict(Rows(())).predictions
    for number in range(2):
        batch = collate([Rows(())[number]])
        expected = handle.model.eval().generate(**batch, max_length=14, pad_token_id=0)[0].tolist()
        assert found[number].tolist()[: len(expected)] == expected


@pytest.mark.slow
def test_a_model_that_the_trainer_has_made_is_kept(tmp_path: Path) -> None:
    made = []

    def init() -> Any:
        made.append(attached("both"))
        return made[-1].model

    settings = transformers.TrainingArguments(
        str(tmp_path),
        max_steps=2,
        save_steps=2,
        report_to=[],
        remove_unused_columns=False,
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = transformers.Trainer(None, settings, model_init=init, train_dataset=Rows(), data_collator=collate)
    trainer.train()
    assert same(load_file(tmp_path / "checkpoint-2" / "model.safetensors"), trained(made[-1].model))


@pytest.mark.slow
def test_accelerate_accumulates_and_goes_on(tmp_path: Path) -> None:
    from accelerate import Accelerator

    def end(first: int, steps: int, *, take_up: bool = False) -> dict[str, Tensor]:
        handle, accelerator, rows = attached("both"), Accelerator(cpu=True, gradient_accumulation_steps=3), Rows()
        update = torch.optim.AdamW([p for p in handle.model.parameters() if p.requires_grad], lr=3e-2)
        schedule = torch.optim.lr_scheduler.LinearLR(update, 1.0, 0.1, 4)
        model, update, schedule = accelerator.prepare(handle.model.train(), update, schedule)
        if take_up:
            accelerator.load_state(str(tmp_path / "state"))
        for number in range(3 * first, 3 * steps):
            with accelerator.accumulate(model):
                accelerator.backward(model(**collate([rows[number % len(rows)]])).loss)
                update.step()
                schedule.step()
                update.zero_grad()
        if steps == 2:
            accelerator.save_state(str(tmp_path / "state"))
        return trained(handle.model)

    whole, half = end(0, 4), end(0, 2)
    assert same(load_file(tmp_path / "state" / "model.safetensors"), half)
    assert not same(whole, half)
    assert same(end(2, 4, take_up=True), whole)
