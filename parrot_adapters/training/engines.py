"""Engines: the same run in one process, under DDP, FSDP2 or DeepSpeed, as transformers' ``TrainingArguments``.

The library decides little here. What it does decide:

* FSDP2 shards the language model's decoder layers, each a unit of its own. Everything visual stays in the root unit,
  whose parameters are gathered in every forward pass: a process whose micro-batch holds no picture takes part in the
  same collective operations as the others, and nobody waits for ever.
  Two more differences between prompts with and without pictures are levelled: the input embeddings, which accelerate
  makes a unit too, are read twice with a picture (the adapter reads the text) and once without, so they stay gathered
  from their first use in a step; and gradients pass through a frozen language model only on their way to a picture, so
  there they are made to pass always.
* DDP does not look for unused parameters; the objective gives every one a gradient (``adapter/added_losses.py``).
* DeepSpeed: ``training/zero.py``.
* A process uses one device. A machine with several is used through ``torchrun`` or ``accelerate launch``.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from parrot_adapters.errors import ConfigError, MissingDependencyError, explain
from parrot_adapters.training.training_config import TrainingConfig
from parrot_adapters.training.zero import on_processors

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = [
    "ON_A_COPY",
    "SHARDED",
    "ZERO",
    "decoder_layers",
    "host_device",
    "join_processes",
    "keep_embeddings_whole",
    "number_of_processes",
    "pass_gradients_always",
    "require_engine",
    "sharing_weights",
    "training_arguments",
]

ZERO = ("zero2", "zero3")
"""DeepSpeed's engines."""
SHARDED = ("fsdp2", "zero3")
"""Engines under which no process holds the whole model."""
ON_A_COPY = ("fsdp2", "zero2", "zero3")
"""Engines that take apart the model they are given, or cast it; they get a copy of it."""
SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def number_of_processes() -> int:
    """How many share the run, as the launcher said it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join_processes(config: TrainingConfig) -> Any:
    """Meet the run's other processes; accelerate's ``PartialState``, which knows how to wait for them."""
    from accelerate import PartialState

    return PartialState(cpu=_on_cpu(config))


def host_device(config: TrainingConfig) -> str:
    """Where a host is loaded to: engines that work on a copy take it from the CPU's memory."""
    return "cpu" if config.engine.kind in ON_A_COPY or _on_cpu(config) else "auto"


def training_arguments(
    config: TrainingConfig,
    *,
    directory: Path,
    steps: int,
    accumulation: int,
    layers: Sequence[str],
    deepspeed: Mapping[str, Any] | None,
) -> Any:
    """What the Trainer is told.

    Args:
        config: the run.
        directory: where the Trainer may write; it writes nothing there on its own.
        steps: of the optimizer.
        accumulation: micro-batches of a process in one of them, each in ``engine.pieces``.
        layers: class names of the language model's decoder layers.
        deepspeed: DeepSpeed's own configuration, for the engines that are DeepSpeed's.

    Raises:
        ConfigError: the device is not there, or the engine needs several processes.
        MissingDependencyError: DeepSpeed or TensorBoard is not installed.
    """
    from transformers import TrainingArguments

    require_engine(config)
    options: dict[str, Any] = {}
    if config.engine.kind == "fsdp2":
        options["fsdp"] = True
        options["fsdp_config"] = {
            "version": 2,
            "transformer_layer_cls_to_wrap": list(layers),
            "cpu_ram_efficient_loading": False,
            "state_dict_type": "FULL_STATE_DICT",
        }
    if config.engine.kind in ZERO:
        options["deepspeed"] = copy.deepcopy(dict(deepspeed or {}))
    arguments = TrainingArguments(
        output_dir=str(directory),
        max_steps=steps,
        per_device_train_batch_size=config.batch.per_device,
        gradient_accumulation_steps=accumulation * config.engine.pieces,
        lr_scheduler_type=SCHEDULES[config.optim.schedule],
        warmup_steps=math.ceil(config.optim.warmup_ratio * steps),
        max_grad_norm=config.optim.max_grad_norm,
        bf16=config.engine.compute == "bfloat16",
        use_cpu=_on_cpu(config),
        seed=config.seed,
        logging_strategy="no",  # when to log and save is decided by the run's own callback
        save_strategy="no",
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        ignore_data_skip=True,  # the sampler finds its place itself
        average_tokens_across_devices=True,
        ddp_find_unused_parameters=False,
        label_names=["labels"],
        **options,
    )
    if config.engine.kind in ZERO and _on_cpu(config):
        on_processors()
    _ = arguments.device  # sets the process group up
    if config.engine.kind == "fsdp2" and _on_cpu(config):
        _let_processors_shard(arguments)
    arguments._n_gpu = min(arguments._n_gpu, 1)  # never DataParallel, which copies a host without its hooks
    return arguments


def _let_processors_shard(arguments: Any) -> None:
    """torch shards on CPUs as well, but accelerate only thinks of it where processes have accelerators."""
    from accelerate import DistributedType

    arguments.distributed_state._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def require_engine(config: TrainingConfig) -> None:
    """Refuse an engine that cannot run here.

    Raises:
        ConfigError: the device is not there, or the engine needs several processes.
        MissingDependencyError: DeepSpeed or TensorBoard is not installed.
    """
    import importlib.util

    if config.engine.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(explain("engine.device: cuda, and torch sees no CUDA device.", to_do="engine.device=cpu"))
    if config.engine.kind == "fsdp2" and number_of_processes() < 2:
        raise ConfigError(
            explain(
                "engine.kind: fsdp2 shares a model among several processes, and this is one.",
                to_do="torchrun --nproc-per-node N -m parrot_adapters train CONFIG; or engine.kind=ddp",
            )
        )
    if config.engine.kind in ZERO and importlib.util.find_spec("deepspeed") is None:
        raise MissingDependencyError(
            explain(f"engine.kind: {config.engine.kind} is DeepSpeed's.", to_do="pip install deepspeed")
        )
    if config.engine.kind in ZERO and "RANK" not in os.environ:
        raise ConfigError(
            explain(
                f"engine.kind: {config.engine.kind} is DeepSpeed's, which only works under a launcher.",
                to_do="torchrun --nproc-per-node N -m parrot_adapters train CONFIG; or engine.kind=ddp",
            )
        )
    if config.log.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise MissingDependencyError(
            explain("log.tensorboard needs TensorBoard.", to_do="pip install 'parrot_adapters[train]'")
        )


def _on_cpu(config: TrainingConfig) -> bool:
    return config.engine.device == "cpu" or (config.engine.device == "auto" and not torch.cuda.is_available())


def decoder_layers(handle: Attachment) -> list[str]:
    """Class names of the language model's decoder layers, none of which are used outside it.

    Raises:
        ConfigError: the host's parts share the class, so the layers cannot be told from visual ones by name.
    """
    parts = handle.parts
    language_model = parts.module(parts.language_model)
    if language_model is None:
        return []
    listed = set(getattr(language_model, "_no_split_modules", None) or ())
    inside = list(language_model.modules())
    names = {type(module).__name__ for module in inside} & listed
    if not names:
        stacks = [module for module in inside if isinstance(module, nn.ModuleList)]
        names = {type(layer).__name__ for layer in max(stacks, key=len, default=())}
    mine = {id(module) for module in inside}
    outside = {type(module).__name__ for module in parts.outer.modules() if id(module) not in mine}
    if shared := sorted(names & outside):
        raise ConfigError(
            explain(
                f"fsdp2 cannot tell this host's parts apart: {shared[0]} is in and outside the language model.",
                to_do="engine.kind=ddp",
            )
        )
    return sorted(names)


def pass_gradients_always(handle: Attachment) -> None:
    """Let the backward pass go through the language model whether or not something before it trains."""
    handle.parts.base.get_input_embeddings().register_forward_hook(_with_gradient)


def _with_gradient(module: nn.Module, args: Any, output: Any) -> None:
    if torch.is_grad_enabled():
        output.requires_grad_(True)


def keep_embeddings_whole(model: nn.Module) -> None:
    """Under FSDP2, gather the input embeddings once a step, however often they are read."""
    from torch.distributed.fsdp import FSDPModule

    embeddings = getattr(model, "get_input_embeddings", lambda: None)()
    if isinstance(embeddings, FSDPModule):
        embeddings.set_reshard_after_forward(False)


def sharing_weights(model: nn.Module) -> Any:
    """A copy of a model that shares its tensors: sharding the copy leaves the model as it is.

    The copy has hooks, and an adapter's handle, of its own.
    """
    memo: dict[int, Any] = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        if isinstance(tensor, nn.Parameter):
            memo[id(tensor)] = nn.Parameter(tensor.detach(), requires_grad=tensor.requires_grad)
        else:
            memo[id(tensor)] = tensor
    return copy.deepcopy(model, memo)
