"""Every parameter of a host has exactly one role; what trains, and how, is decided by role.

``adapter`` is the adapter's module and ``lora`` its LoRA weights; ``projector`` the host's projector; ``embeddings``
the input embeddings, and the output head where it is the same tensor; ``language_model`` the rest of the language model
with its head; ``vision_tower`` everything else: towers, learned newlines, an image generator's own parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

from torch import nn

from parrot_adapters.errors import ConfigError, HostError, explain
from parrot_adapters.training.config_rules import learning_rate, trained_roles, with_recipe_defaults
from parrot_adapters.training.training_config import Role, TrainingConfig

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = ["ROLES", "assign_roles", "parameter_groups", "set_trainable"]

ROLES: tuple[Role, ...] = get_args(Role)


def assign_roles(handle: Attachment) -> dict[str, Role]:
    """The role of every parameter of an attached host.

    Args:
        handle: Handle of the adapter, with or without a module.

    Returns:
        by parameter name, in the host's order; a tensor under two names (tied embeddings) has the first.

    Raises:
        HostError: LoRA weights outside the language model.
    """
    parts = handle.parts
    named = list(parts.outer.named_parameters())
    inside = f"{parts.base_prefix}{parts.language_model}."
    lora = {id(parameter) for name, parameter in named if ".lora_" in name}
    stray = [name for name, _ in named if ".lora_" in name and not name.startswith(inside)]
    if stray:
        raise HostError(
            explain(
                f"LoRA weights outside the language model: {stray[0]}" + (" ..." if len(stray) > 1 else "."),
                language_model=inside.rstrip("."),
                to_do="unload them; LoRA of a training run is attached to the language model alone",
            )
        )
    # The first that claims a parameter has it: Qwen-VL's projector lies inside its tower.
    claims: tuple[tuple[Role, set[int]], ...] = (
        ("adapter", _ids(handle.module)),
        ("lora", lora),
        ("projector", _ids(handle.projector)),
        ("embeddings", _ids(parts.base.get_input_embeddings())),
        ("vision_tower", _ids(parts.module(parts.vision_tower))),
        ("language_model", _ids(parts.module(parts.language_model)) | _ids(parts.outer.get_output_embeddings())),
    )
    return {
        name: next((role for role, mine in claims if id(parameter) in mine), "vision_tower")
        for name, parameter in named
    }


def set_trainable(handle: Attachment, config: TrainingConfig) -> None:
    """Make exactly what a run trains trainable.

    Args:
        handle: Handle of the adapter.
        config: Configuration of the run; what its ``train`` leaves open is as its recipe says.

    Raises:
        ConfigError: It trains a role of which this host has no parameter.
        HostError: LoRA weights outside the language model.
    """
    trained = trained_roles(with_recipe_defaults(config).train)
    roles = assign_roles(handle)
    missing = [role for role in ROLES if role in trained and role not in roles.values()]
    if missing:
        raise ConfigError(
            explain(
                f"{' and '.join(missing)} should train, and {type(handle.model).__name__} has none.",
                has=", ".join(role for role in ROLES if role in roles.values()),
                to_do="change 'train', or attach what is missing",
            )
        )
    for name, parameter in handle.model.named_parameters():
        parameter.requires_grad_(roles[name] in trained)


def parameter_groups(handle: Attachment, config: TrainingConfig) -> list[dict[str, Any]]:
    """Groups for an optimizer: by role, and within a role what decays apart from what does not.

    Matrices decay. Vectors (norms, biases), biases of stacked experts, embeddings and the router's weights do not.

    Args:
        handle: Handle of the adapter, after :func:`set_trainable`.
        config: Configuration of the run.

    Returns:
        ``params``, ``lr``, ``weight_decay`` and ``role`` of each group; groups without parameters are left out.
    """
    roles, optim = assign_roles(handle), config.optim
    kept = set(_undecayed(handle))
    found: dict[tuple[Role, float], list[nn.Parameter]] = {}
    for name, parameter in handle.model.named_parameters():
        if parameter.requires_grad:
            decay = 0.0 if name in kept else optim.weight_decay
            found.setdefault((roles[name], decay), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": optim.learning_rates.get(role, learning_rate(config)),
            "weight_decay": decay,
            "role": role,
        }
        for (role, decay), parameters in sorted(found.items(), key=lambda item: (ROLES.index(item[0][0]), -item[0][1]))
    ]


def _undecayed(handle: Attachment) -> Iterator[str]:
    module = handle.module
    never = _ids(module.router) if module is not None else set()
    for kind in handle.model.modules():
        if isinstance(kind, nn.Embedding):
            never |= _ids(kind)
    for name, parameter in handle.model.named_parameters():
        own = name.rpartition(".")[2]
        if id(parameter) in never or parameter.dim() < 2 or own.endswith("bias") or "embed" in own:
            yield name


def _ids(module: nn.Module | None) -> set[int]:
    return set() if module is None else {id(parameter) for parameter in module.parameters()}
