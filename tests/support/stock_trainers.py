"""What stock trainers are asked to do in two processes. Run by ``two_processes.together``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import parrot_adapters as pa
from parrot_adapters.testing.small_host import IMAGE
from support import adapters

INSIDE = {"num_experts": 2, "placement": "layers", "layer_rank": 2, "layer_modules": ["q_proj", "v_proj"]}
PLACEMENTS: dict[str, dict[str, Any]] = {
    "projector": {"num_experts": 3, "expert_hidden_size": 8},
    "layers": {**INSIDE, "expert_options": {"shared_rank": 2}},
    "both": {**INSIDE, "placement": "both", "expert_hidden_size": 8},
}
STATE_OF = {"fsdp2": "FULL_STATE_DICT", "fsdp2-shards": "SHARDED_STATE_DICT"}
ROWS, WORD = 8, 7
TEXT_ONLY = (0, 1, 4)  # so that, in a process or the other, there are batches without images, the first one among them


def attached(placement: str = "projector", **options: Any) -> Any:
    """A fresh host whose adapter owns projector and LoRA, the same each time."""
    owned = {"train_projector": True, "lora": adapters.LORA, **options}
    handle = pa.attach(adapters.tiny_host(), pa.AdapterConfig(**PLACEMENTS[placement]), **owned)
    adapters.disturb(handle)
    return handle


def whole(value: Any) -> Tensor:
    """A tensor gathered from all processes."""
    return (value.full_tensor() if hasattr(value, "full_tensor") else value).detach().clone()


def trained(model: torch.nn.Module) -> dict[str, Tensor]:
    """What trains, gathered."""
    return {name: whole(value) for name, value in model.named_parameters() if value.requires_grad}


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Rows of one picture each, some without."""

    def __init__(self, text_only: tuple[int, ...] = TEXT_ONLY) -> None:
        both = adapters.two_prompts()
        self.rows: list[dict[str, Any]] = []
        for number in range(ROWS):
            row: dict[str, Any] = {name: value[number % 2] for name, value in both.items()}
            row["pixel_values"] = row["pixel_values"] + 0.1 * number
            if number in text_only:
                row["input_ids"] = row["input_ids"].masked_fill(row["input_ids"] == IMAGE, WORD)
                row["pixel_values"] = None
            self.rows.append(row)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.rows[number]


def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    """A batch; the last words are what is learned."""
    made = {name: torch.stack([row[name] for row in rows]) for name in ("input_ids", "attention_mask")}
    pictures = [row["pixel_values"] for row in rows if row["pixel_values"] is not None]
    if pictures:
        made["pixel_values"] = torch.stack(pictures)
    ids = made["input_ids"]
    return {**made, "labels": torch.where(torch.arange(ids.shape[1]) > ids.shape[1] - 4, ids, -100)}


def let_processors_shard() -> None:
    """torch shards on CPUs as well, but accelerate only thinks of it where processes have accelerators."""
    from accelerate import DistributedType, PartialState

    PartialState(cpu=True)
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def arguments(kind: type, out: Path, steps: int, engine: str, **options: Any) -> Any:
    """A trainer's arguments; sharding needs the class of the host's layers, as its own list names others too."""
    if engine in STATE_OF:
        layers = {"transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]}
        options |= {"fsdp": True, "fsdp_config": {"version": 2, "state_dict_type": STATE_OF[engine], **layers}}
    settings: dict[str, Any] = {"per_device_train_batch_size": 1, "per_device_eval_batch_size": 1, "save_steps": 2}
    settings |= {"learning_rate": 3e-2, "lr_scheduler_type": "constant", "logging_strategy": "no", "report_to": []}
    settings |= {"remove_unused_columns": False, "disable_tqdm": True, "dataloader_pin_memory": False, "use_cpu": True}
    made = kind(str(out), max_steps=steps, **{**settings, **options})
    _ = made.device  # sets the process group up
    if engine in STATE_OF:
        let_processors_shard()
    return made


def train(
    rank: int,
    out: Path,
    steps: int,
    engine: str = "ddp",
    placement: str = "projector",
    *,
    resume: bool = False,
    final: Path | None = None,
    **options: Any,
) -> dict[str, Any]:
    """A ``Trainer``'s run: what trains at its end and after each step, and the best step."""
    import transformers

    handle, seen = attached(placement), {}

    class Look(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            seen[state.global_step] = trained(handle.model)

    trainer = transformers.Trainer(
        handle.model,
        arguments(transformers.TrainingArguments, out, steps, engine, **options),
        train_dataset=Rows(),
        eval_dataset=Rows(text_only=(1,)),
        data_collator=collate,
        callbacks=[Look()],
    )
    trainer.train(resume_from_checkpoint=resume)
    if final is not None:
        trainer.save_model(str(final))
    return {"end": trained(handle.model), "seen": seen, "best": trainer.state.best_global_step}


def train_sft(rank: int, out: Path, steps: int, *, resume: bool = False, final: Path | None = None) -> dict[str, Any]:
    """The same with TRL's ``SFTTrainer``."""
    import datasets
    import trl

    from support import chat_processors

    handle, rows = attached(), Rows()
    trainer = trl.SFTTrainer(
        handle.model,
        arguments(trl.SFTConfig, out, steps, "ddp", max_length=None, dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=datasets.Dataset.from_dict({"number": list(range(ROWS))}),
        data_collator=lambda made: collate([rows[one["number"]] for one in made]),
        processing_class=chat_processors.llava(),
    )
    trainer.train(resume_from_checkpoint=resume)
    if final is not None:
        trainer.save_model(str(final))
    return {"end": trained(handle.model)}


def accelerated(rank: int, engine: str, state: Path, steps: int, *, take_up: bool = False) -> dict[str, Any]:
    """A loop under accelerate, which saves its state after so many steps or goes on from it."""
    import accelerate

    plugin = None
    if engine in STATE_OF:
        plugin = accelerate.FullyShardedDataParallelPlugin(
            fsdp_version=2,
            state_dict_type=STATE_OF[engine],
            auto_wrap_policy="transformer_based_wrap",
            transformer_cls_names_to_wrap=["LlamaDecoderLayer"],
        )
        let_processors_shard()
    handle, accelerator = attached("both"), accelerate.Accelerator(cpu=True, fsdp_plugin=plugin)
    mine = [parameter for parameter in handle.model.parameters() if parameter.requires_grad]
    model, update = accelerator.prepare(handle.model, torch.optim.AdamW(mine, lr=3e-2))
    rows, first = Rows(), 0
    if take_up:
        accelerator.load_state(str(state))
        first = steps
        steps *= 2
    model.train()
    for step in range(first, steps):
        batch = collate([rows[(2 * step + rank) % ROWS]])
        accelerator.backward(model(**batch).loss)
        update.step()
        update.zero_grad()
    if not take_up:
        accelerator.save_state(str(state))
    return {"end": trained(accelerator.unwrap_model(model)), "adapter": [whole(p) for p in handle.parameters()]}


def plain_loop(rank: int, *, find_unused: bool, steps: int = 3) -> dict[str, Any]:
    """A loop around ``DistributedDataParallel`` with nothing else."""
    handle, rows = attached("both"), Rows()
    model = torch.nn.parallel.DistributedDataParallel(handle.model, find_unused_parameters=find_unused)
    update = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.train()
    for step in range(steps):
        model(**collate([rows[2 * step + rank]])).loss.backward()
        update.step()
        update.zero_grad()
    return {"end": trained(handle.model), "state": handle.training_saves.trained(model.module.state_dict())}


def alone(steps: int = 3) -> dict[str, Tensor]:
    """What :func:`plain_loop` does, in one process."""
    handle, rows = attached("both"), Rows()
    update = torch.optim.SGD([p for p in handle.model.parameters() if p.requires_grad], lr=0.1)
    handle.model.train()
    for step in range(steps):
        for rank in range(2):
            (handle.model(**collate([rows[2 * step + rank]])).loss / 2).backward()
        update.step()
        update.zero_grad()
    return trained(handle.model)


def wrapped_first(rank: int, wrapper: str) -> str:
    """The host is wrapped, then an adapter is attached: what the first training step says."""
    host = adapters.tiny_host().train()
    if wrapper == "ddp":
        model: Any = torch.nn.parallel.DistributedDataParallel(host)
    else:
        model = torch.distributed.fsdp.fully_shard(host)
    pa.attach(host, pa.AdapterConfig(**PLACEMENTS["projector"]))
    with contextlib.suppress(RuntimeError):
        try:
            model(**collate([Rows()[2 + rank]])).loss.backward()
        except pa.ParrotError as error:
            return str(error)
    return "nothing was said"


def save_from_shards(rank: int, directory: Path) -> dict[str, Any]:
    """An adapter saved, switched off and on where its host is sharded."""
    handle = attached("both")
    batch = collate([Rows()[2]])
    before = adapters.logits(handle.model.eval(), batch)
    with handle.disabled():
        bare = adapters.logits(handle.model, batch)
    for layer in handle.parts.module(handle.parts.language_model).layers:
        torch.distributed.fsdp.fully_shard(layer)
    torch.distributed.fsdp.fully_shard(handle.model)
    found = {"before": before, "bare": bare, "after": adapters.logits(handle.model, batch)}
    with handle.disabled():
        found["bare in a block"] = adapters.logits(handle.model, batch)
    handle.disable()
    found["bare while disabled"] = adapters.logits(handle.model, batch)
    handle.enable()
    found["enabled"] = adapters.logits(handle.model, batch)
    handle.save_pretrained(directory)
    return found


def zero3(rank: int, directory: Path, placement: str) -> dict[str, Any]:
    """A few steps under DeepSpeed's ZeRO-3, the adapter saved; what is refused there."""
    import torch._dynamo  # which cannot be imported once DeepSpeed has changed torch

    import deepspeed  # isort: skip

    from parrot_adapters.training.zero import on_processors

    on_processors()
    deepspeed.init_distributed("gloo")
    handle, rows = attached(placement), Rows(())
    config: dict[str, Any] = {"train_micro_batch_size_per_gpu": 1, "zero_allow_untested_optimizer": True}
    # Nothing stays whole any longer than a module runs, as in a model that is larger than this one.
    kept = ("param_persistence_threshold", "max_live_parameters", "max_reuse_distance")
    config["zero_optimization"] = {"stage": 3, **{f"stage3_{name}": 0 for name in kept}}
    mine = torch.optim.AdamW([p for p in handle.model.parameters() if p.requires_grad], lr=1e-2)
    engine = deepspeed.initialize(model=handle.model, optimizer=mine, config=config)[0]
    handle.model.train()
    for step in range(2):
        engine.backward(engine(**collate([rows[2 * step + rank]])).loss)
        engine.step()
    handle.save_pretrained(directory)
    engine.eval()
    with torch.no_grad():
        found: dict[str, Any] = {"logits": engine(**collate([rows[2]])).logits}

    def attach_again() -> None:
        model = handle.model
        del model.__dict__["_parrot_attachment"]
        del handle.parts.base.parrot_adapter
        pa.attach(model, pa.AdapterConfig(**PLACEMENTS["projector"]))

    engine.train()
    refused = {"text": lambda: engine(**collate([Rows()[0]])), "disable": handle.disable, "attach": attach_again}
    for name, call in refused.items():
        try:
            call()
        except pa.ParrotError as error:
            found[name] = str(error)
    return found
