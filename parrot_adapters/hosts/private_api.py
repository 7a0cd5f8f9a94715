"""The private names of transformers that the library relies on: one table, looked at before anything depends on them.

Public names are not listed: their absence shows by itself. A private one may go or be renamed with any release, and
several of these would then fail in silence (an override that nobody calls any more).
"""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass

from parrot_adapters.errors import HostError, TrainingError, explain

__all__ = ["PRIVATE_API", "PrivateName", "missing_names", "require_for_hosts", "require_for_training"]


@dataclass(frozen=True)
class PrivateName:
    """A private name of transformers.

    Attributes:
        module: import path.
        owner: class in it.
        name: attribute of the class.
        purpose: what the library does with it.
        arguments: parameters it must take by these names; none for what is no function.
        training: True where only training needs it, False where every attached host does.
    """

    module: str
    owner: str
    name: str
    purpose: str
    arguments: tuple[str, ...] = ()
    training: bool = False

    def fault(self) -> str | None:
        """What is wrong with it in the installed transformers; None where nothing is."""
        owner = getattr(importlib.import_module(self.module), self.owner, None)
        if owner is None:
            return f"{self.module} has no {self.owner}"
        found = getattr(owner, self.name, None)
        if not hasattr(owner, self.name) and self.name not in getattr(owner, "__annotations__", {}):
            return f"{self.owner} has no {self.name}"
        takes = inspect.signature(found).parameters if self.arguments and callable(found) else {}
        lacking = [name for name in self.arguments if name not in takes]
        return f"{self.owner}.{self.name} takes no {', '.join(lacking)}" if lacking else None


_TRAINER = ("transformers.trainer", "Trainer")

PRIVATE_API = (
    PrivateName(
        *("transformers.generation.utils", "GenerationMixin", "_maybe_prepare_encoder_kwargs_for_generation"),
        "align images inside generate, once, with the full prompt",
        ("inputs_tensor", "model_kwargs"),
    ),
    PrivateName(
        *("transformers.modeling_utils", "PreTrainedModel", "_keys_to_ignore_on_save"),
        "keep the adapter's weights out of the host's files",
    ),
    PrivateName(
        *("transformers.modeling_utils", "PreTrainedModel", "_set_gradient_checkpointing"),
        "keep visual tokens at hand where layers are recomputed: it sets _gradient_checkpointing_func on each",
        ("gradient_checkpointing_func",),
    ),
    PrivateName(
        *(*_TRAINER, "_prepare_for_training"),
        "hand model and optimizer to DeepSpeed without its own search for a checkpoint",
        ("resume_from_checkpoint",),
        training=True,
    ),
    PrivateName(
        *(*_TRAINER, "_get_grad_norm"),
        "read the gradient's norm, and refuse a step between clipping and the optimizer",
        ("model", "grad_norm"),
        training=True,
    ),
    PrivateName(*(*_TRAINER, "_save_checkpoint"), "save a run's own checkpoints", ("model", "trial"), training=True),
    PrivateName(
        *(*_TRAINER, "_load_from_checkpoint"),
        "load a run's own checkpoints",
        ("resume_from_checkpoint", "model"),
        training=True,
    ),
    PrivateName(
        *(*_TRAINER, "_load_optimizer_and_scheduler"),
        "resume the optimizer from a run's own checkpoints",
        ("checkpoint",),
        training=True,
    ),
    PrivateName(*(*_TRAINER, "_load_rng_state"), "resume the random state", ("checkpoint",), training=True),
)


def missing_names(*, training: bool) -> dict[str, PrivateName]:
    """The entries of the table that the installed transformers does not fulfil: what is wrong -> entry.

    Args:
        training: look at those that training needs; else at those that every host needs.
    """
    looked_at = [entry for entry in PRIVATE_API if entry.training is training]
    return {fault: entry for entry in looked_at if (fault := entry.fault()) is not None}


def require_for_hosts() -> None:
    """Refuse a transformers on which an adapter would be dead in part.

    Raises:
        HostError: a private name is gone.
    """
    message = _complaint(missing_names(training=False))
    if message is not None:
        raise HostError(message)


def require_for_training() -> None:
    """Refuse a transformers whose Trainer no longer calls what a run overrides.

    Raises:
        TrainingError: a private name is gone.
    """
    message = _complaint(missing_names(training=True))
    if message is not None:
        raise TrainingError(message)


def _complaint(missing: dict[str, PrivateName]) -> str | None:
    if not missing:
        return None
    import transformers

    return explain(
        f"this transformers lacks what the library relies on: {'; '.join(missing)}.",
        given=f"transformers {transformers.__version__}",
        needed_to="; ".join(entry.purpose for entry in missing.values()),
        to_do="install a release of transformers that this release of parrot_adapters was tested with "
        "(pip show parrot-adapters lists what it requires), or a newer parrot_adapters",
    )
