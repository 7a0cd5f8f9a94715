"""What DeepSpeed's ZeRO needs to train an attached host. Written against and run with DeepSpeed 0.19.

* ZeRO-3 cuts every parameter up and gathers it in the hooks of its module, and at each step all processes must call
  the same modules in the same order: else they wait for each other, or stop with a "disagreement". A micro-batch
  without pictures calls no visual module, and reads the input embeddings once instead of twice. So the input embeddings
  and everything outside the language model stay whole on every process, and DeepSpeed's hooks are taken off those
  modules: what is left to gather is the rest of the language model, which every micro-batch goes through alike.
  Gradients and optimizer state of what stays whole are shared all the same.
* Gradients are packed in the order in which they become ready, and summed over the processes by their place in the
  pack. That order must not depend on pictures either: see ``adapter/added_losses.py``.
* Weights and optimizer state live in flat partitions, in float32 whatever the arithmetic. Checkpoints hold them by
  parameter name, as those of the other engines do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from parrot_adapters.errors import ConfigError, TrainingError, explain

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = [
    "full_weight",
    "is_partitioned",
    "keep_visual_parts_whole",
    "leave_deepspeed",
    "load_partitions",
    "on_processors",
    "partitioned_optimizer_state",
]

MOMENTS = ("exp_avg", "exp_avg_sq")
"""Of AdamW's state, the tensors that have their parameter's shape."""


def on_processors() -> None:
    """Let DeepSpeed work on CPUs, over gloo. It would else compile an extension for shared memory first.

    Raises:
        ConfigError: DeepSpeed has found an accelerator here and uses that.
    """
    import deepspeed.ops
    from deepspeed.accelerator import get_accelerator

    if get_accelerator().device_name() != "cpu":
        raise ConfigError(
            explain(
                "engine.device: cpu, and DeepSpeed uses this machine's accelerator.",
                given=get_accelerator().device_name(),
                to_do="DS_ACCELERATOR=cpu torchrun ...",
            )
        )
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def leave_deepspeed(engine: Any) -> None:
    """Undo what DeepSpeed leaves in a process, so that the next run or the next host finds none of it."""
    from accelerate.state import AcceleratorState
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    if hasattr(engine, "destroy"):
        engine.destroy()
    unset_hf_deepspeed_config()  # else transformers would cut up the next host that it loads
    os.environ.pop("ACCELERATE_USE_DEEPSPEED", None)
    AcceleratorState._reset_state()


# --- ZeRO-3: what every process keeps --------------------------------------------------------------------------------


def keep_visual_parts_whole(handle: Attachment, optimizer: Any) -> None:
    """Under ZeRO-3, gather what pictures go through and the input embeddings, now and after each step, and no hook lets
    them go. All processes call this.

    Args:
        handle: the adapter on the model that DeepSpeed has cut up.
        optimizer: DeepSpeed's; one that cuts no parameters up is left alone.

    Raises:
        TrainingError: this release of DeepSpeed keeps its hooks elsewhere.
    """
    model = handle.model
    if not any(hasattr(parameter, "ds_id") for parameter in model.parameters()):
        return
    alone = _called_with_pictures_only(handle)
    whole = {id(p): p for module in alone for p in module.parameters(recurse=False)}
    # A tied head shares its tensor with the embeddings, and would let it go.
    alone += [m for m in model.modules() if m not in alone and any(id(p) in whole for p in m.parameters(recurse=False))]
    found: dict[int, Any] = {id(p): p for module in alone for p in module.parameters(recurse=False)}
    parameters = list(found.values())
    try:
        offload = optimizer.parameter_offload
        _take_hooks_off(alone, [*offload.forward_hooks, *offload.backward_hooks])
        kept = {id(p) for p in offload.persistent_parameters}
        for parameter in parameters:
            parameter.ds_persist = True
            if id(parameter) not in kept:
                offload.persistent_parameters.append(parameter)
        apart = [p for p in parameters if p.ds_status.name == "NOT_AVAILABLE"]
        if apart:
            apart[0].all_gather(apart)
    except AttributeError as error:
        raise TrainingError(_unknown_release(error)) from error


def _called_with_pictures_only(handle: Attachment) -> list[nn.Module]:
    """All modules but the language model's and the output head; and the input embeddings, which pictures read twice."""
    parts = handle.parts
    language_model, head = parts.module(parts.language_model), parts.outer.get_output_embeddings()
    always = {id(m) for part in (language_model, head) if part is not None for m in part.modules()}
    always -= {id(m) for m in parts.base.get_input_embeddings().modules()}
    return [module for module in handle.model.modules() if id(module) not in always]


def _take_hooks_off(modules: list[nn.Module], handles: list[Any]) -> None:
    mine = {id(hooks) for m in modules for hooks in (m._forward_hooks, m._forward_pre_hooks)}
    found = [handle for handle in handles if id(handle.hooks_dict_ref()) in mine]
    if len(found) != 4 * len(modules):  # before and after a module, forward and backward
        raise AttributeError(f"{len(found)} hooks on {len(modules)} modules")
    for handle in found:
        handle.remove()


def _unknown_release(error: Exception) -> str:
    from importlib.metadata import version

    return explain(
        "this release of DeepSpeed is built differently, and a process without pictures would hang.",
        given=f"deepspeed {version('deepspeed')}",
        because=error,
        to_do="pip install deepspeed==0.19.8, or engine.kind=fsdp2",
    )


# --- weights and optimizer state -------------------------------------------------------------------------------------


def is_partitioned(tensor: Tensor) -> bool:
    """Whether ZeRO trains this parameter: its float32 original is in partitions."""
    return tensor.requires_grad and (hasattr(tensor, "_hp_mapping") or hasattr(tensor, "ds_id"))


def full_weight(parameter: Tensor) -> Tensor:
    """The float32 original of a parameter that ZeRO trains, on the CPU. All processes call this."""
    from deepspeed.utils import safe_get_full_fp32_param

    found: Tensor = safe_get_full_fp32_param(parameter)
    return found.detach().cpu().clone()


def partitioned_optimizer_state(model: nn.Module, optimizer: Any, *, keep: bool = True) -> dict[str, dict[str, Any]]:
    """AdamW's state by parameter name, gathered from the partitions. All processes call this.

    Args:
        model: what trains.
        optimizer: DeepSpeed's.
        keep: False answers nothing, for processes that only take part.
    """
    from deepspeed.utils import safe_get_full_optimizer_state

    steps = next(iter(optimizer.optimizer.state.values()))["step"]  # partitions step together
    _link_states(optimizer)
    found = {}
    for name, parameter in model.named_parameters():
        if is_partitioned(parameter):
            state = {key: safe_get_full_optimizer_state(parameter, key).detach().cpu() for key in MOMENTS}
            if keep:
                found[name] = {"step": torch.as_tensor(float(steps)), **state}
    return found


@torch.no_grad()
def load_partitions(
    model: nn.Module, optimizer: Any, weights: Mapping[str, Tensor], state: Mapping[str, Mapping[str, Any]]
) -> None:
    """Load a checkpoint's float32 weights and optimizer state into the partitions of an optimizer that has not stepped.

    Args:
        model: what trains; its own weights are the checkpoint's already, rounded to what it computes in.
        optimizer: DeepSpeed's.
        weights: by parameter name.
        state: likewise, as :func:`partitioned_optimizer_state` gave it.
    """
    base = optimizer.optimizer
    third = hasattr(optimizer, "fp32_partitioned_groups_flat")
    flat = optimizer.fp32_partitioned_groups_flat if third else optimizer.single_partition_of_fp32_groups
    steps = torch.as_tensor(float(next(iter(state.values()))["step"]))
    for partition in flat:
        base.state[partition] = {"step": steps.clone(), **{key: torch.zeros_like(partition) for key in MOMENTS}}
    _link_states(optimizer)
    for name, parameter in model.named_parameters():
        if is_partitioned(parameter):
            _set(parameter, weights[name], None)
            for key in MOMENTS:
                _set(parameter, state[name][key], key)


def _link_states(optimizer: Any) -> None:
    """ZeRO-2 notes where each parameter's state is after the first group's first step: of later groups, nowhere."""
    if hasattr(optimizer, "_hp_optimizer_states_linked"):
        optimizer._hp_optimizer_states_linked = False
        optimizer._lazy_init_hp_params_optimizer_state()


def _set(parameter: Any, value: Tensor, key: str | None) -> None:
    """This process's share of a weight (no key) or of the optimizer's state."""
    from deepspeed.utils import (
        safe_set_full_fp32_param,
        safe_set_full_optimizer_state,
        safe_set_local_fp32_param,
        safe_set_local_optimizer_state,
    )

    if not hasattr(parameter, "ds_id"):
        value = value.to(parameter.device)
        if key is None:
            safe_set_full_fp32_param(parameter, value)
        else:
            safe_set_full_optimizer_state(parameter, value, key)
        return
    # The whole-tensor form for ZeRO-3 fails where a tensor does not divide by the number of processes.
    share = parameter.ds_tensor.numel()
    rank = torch.distributed.get_rank(parameter.ds_process_group)
    mine = torch.zeros(share, dtype=value.dtype)
    given = value.flatten()[rank * share : (rank + 1) * share]
    mine[: given.numel()] = given
    mine = mine.to(parameter.ds_tensor.device)
    if key is None:
        safe_set_local_fp32_param(parameter, mine)
    else:
        safe_set_local_optimizer_state(parameter, mine, key)
