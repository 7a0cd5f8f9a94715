"""What a trainer's checkpoint of an attached host holds, and how it is taken up again.

A stock ``Trainer`` writes a model by ``model.save_pretrained`` and reads it by ``model.load_state_dict``; accelerate
writes ``model.state_dict()``. For an attached host that would be gigabytes that do not train. So a checkpoint of such
a library holds what trains (the adapter, its projector and LoRA, and any host weight that is not frozen), under the
names of the host's own state dict, and ``load_state_dict`` takes it for complete. Running statistics of a frozen host
that have moved in training are part of what was computed with, so they are in it too, and that is said. A state dict
that holds the host and not the adapter would leave the adapter untrained without a word, and is refused.

``save_pretrained`` and ``state_dict`` are called by users and by trainers alike and are not told what for, so who calls
is looked up (``who_calls.py``). A ``Trainer`` is known by its class, whatever its subclass calls its methods: within
it, ``save_pretrained`` writes what trains, in a callback too.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from parrot_adapters.adapter.adapter_files import NAMED
from parrot_adapters.adapter.who_calls import called_by_function, called_by_object
from parrot_adapters.errors import CheckpointError, ParrotWarning, explain
from parrot_adapters.hosts.host_parts import MODULE_NAME
from parrot_adapters.hosts.lora import NAME as LORA_NAME
from parrot_adapters.hosts.peft_layers import PeftLayers

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = ["TrainingSaves", "within_trainer"]

TRAINER = ("transformers.trainer", "Trainer")
TRAINER_SAVES = frozenset(("_save", "save_model", "_save_checkpoint"))
SHARDS = "accelerate.utils.fsdp_utils"  # what a checkpoint of shards is read into has to be what was written
ADAPTER = "parrot_adapter"  # in the metadata of a state dict: the name of the adapter that it holds
BY_SHARD = {(SHARDS, "save_fsdp_model"), (SHARDS, "load_fsdp_model")}
STATES_OF_WHAT_TRAINS = {("accelerate.accelerator", "save_state"), *BY_SHARD}


def within_trainer() -> bool:
    """Whether a transformers ``Trainer``, or its subclass, is what called: itself, or a callback of its."""
    return called_by_object(*TRAINER) is not None


class TrainingSaves:
    """The hooks on an attached host's ``state_dict`` and ``load_state_dict``.

    Args:
        handle: The adapter's handle.
    """

    def __init__(self, handle: Attachment) -> None:
        self.handle = handle
        self._hooks: list[Any] = []
        self._prefix, self._complete, self._looking = "", False, False

    def install(self) -> None:
        """Put the hooks in place."""
        host = self.handle.model
        self._hooks = [
            host.register_state_dict_post_hook(functools.partial(self.shorten)),  # torch sets an attribute on it
            host.register_load_state_dict_pre_hook(self.before_load),
            host.register_load_state_dict_post_hook(self.after_load),
        ]

    def remove(self) -> None:
        """Take them off."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def trained(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """What trains of a state dict of the host: the adapter's own, what peft added, host weights not frozen.

        And statistics of frozen batch norms that have moved all the same.
        """
        frozen = self._frozen(state) - self._moved(state)
        return {name: value for name, value in state.items() if name not in frozen}

    def whole(self) -> dict[str, Any]:
        """The host's whole state dict, whoever asks."""
        self._looking = True
        try:
            return dict(self.handle.model.state_dict())
        finally:
            self._looking = False

    # --- hooks ---------------------------------------------------------------------------------------------------

    def shorten(self, module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        """Say whose the adapter is.

        Leave out what is frozen, where a library writes a checkpoint, or reads one of shards into what it holds.
        """
        metadata[ADAPTER] = self._name()
        if self._looking:
            return
        if called_by_function(STATES_OF_WHAT_TRAINS) or called_by_object(*TRAINER, TRAINER_SAVES) is not None:
            self.handle.warn_of_others()
            mine = {name.removeprefix(prefix): name for name in state if name.startswith(prefix)}
            for name in self._frozen(mine) - self._moved(mine):
                del state[mine[name]]
            if not called_by_function(BY_SHARD):
                state.update({f"{prefix}{name}": value for name, value in self.name_tensor().items()})

    def name_tensor(self) -> dict[str, Tensor]:
        """The active adapter's name as a tensor, since files of tensors hold nothing else; none where it is alone."""
        name = self._name()
        if name is None or len(self.handle.shelf) < 2:
            return {}
        return {NAMED: torch.tensor(list(name.encode()), dtype=torch.uint8)}

    def before_load(self, module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any, *_: Any) -> None:
        """Refuse a state dict that would leave the adapter as it is, or that holds one that has no place here.

        Which of several adapters a state dict is of is said by its metadata, where it is as torch made it, or by a
        tensor in it, where a library has written it.

        Raises:
            CheckpointError: It is one.
        """
        said = state.pop(f"{prefix}{NAMED}", None)
        given = {name.removeprefix(prefix) for name in state if name.startswith(prefix)}
        own = {name for name in self._all_names() if self._is_own(name)}
        self._prefix, self._complete = prefix, bool(own) and own <= given
        foreign = sorted(name for name in given - own if self._is_named_as_own(name))
        if foreign:
            raise CheckpointError(
                explain(
                    "the state dict holds an adapter of another kind than the host carries.",
                    without_a_place=", ".join(foreign[:3]) + (" ..." if len(foreign) > 3 else ""),
                    to_do="attach with the config, and the lora=, that the checkpoint was made with, then load it",
                )
            )
        active = self._name()
        name = metadata.get(ADAPTER) if said is None else bytes(said.tolist()).decode(errors="replace")
        if None not in (name, active) and name != active and own & given:
            raise CheckpointError(
                explain(
                    f"the state dict holds the adapter {name!r}, and {active!r} is the active one.",
                    adapters=", ".join(self.handle.adapters),
                    to_do=f"handle.set_adapter({name!r}) first; or, where {active!r} is to have the weights of "
                    f"{name!r}, load_state_dict(dict(state))",
                )
            )
        missing = sorted(own - given)
        if missing and self.handle.active and self._holds_host(given):
            raise CheckpointError(
                explain(
                    "the state dict holds the host and not the adapter, so the adapter would not be resumed.",
                    missing=", ".join(missing[:3]) + (" ..." if len(missing) > 3 else ""),
                    to_do="resume from a checkpoint of the attached host; to load weights into the host alone, "
                    "do so before attaching",
                )
            )

    def after_load(self, module: nn.Module, incompatible: Any) -> None:
        """A state dict with all that is the adapter's is complete: the host's frozen weights are those it has."""
        if not self._complete:
            return
        frozen = {f"{self._prefix}{name}" for name in self._frozen(self._all_names())}
        incompatible.missing_keys[:] = [name for name in incompatible.missing_keys if name not in frozen]

    def _name(self) -> str | None:
        """The active adapter's; None while it has none, that is while another is being made."""
        return next((name for name, one in self.handle.shelf.items() if one is self.handle.carried), None)

    # --- whose is a name? ----------------------------------------------------------------------------------------

    def _frozen(self, names: Iterable[str]) -> set[str]:
        """The host's own weights and buffers that do not train, of these names."""
        host = self.handle.model
        peft = PeftLayers(host)
        learns = {
            path
            for path, module in host.named_modules(remove_duplicate=False)
            if any(p.requires_grad for p in module.parameters(recurse=False))
        }
        return {
            name
            for name in names
            if not self._is_own(name) and peft.host_name(name) is not None and _owner(name, host) not in learns
        }

    def _moved(self, names: Iterable[str]) -> set[str]:
        """Of these names, the statistics of frozen modules that are no longer what they were; a warning names them."""
        owners = self.handle.host_weights.moved_statistics(self.handle.model)
        buffers = {name for name, _ in self.handle.model.named_buffers()} if owners else set()
        found = {n for n in names if n in buffers and n.rpartition(".")[0] in owners and not self._is_own(n)}
        if found:
            warnings.warn(
                explain(
                    "statistics of the frozen host have moved in training; this checkpoint holds them, the adapter "
                    "does not.",
                    moved=f"{len(found)}: {', '.join(sorted(found)[:3])}{' ...' if len(found) > 3 else ''}",
                    to_do="keep those modules in eval(), also after the trainer has called model.train(): batch norms "
                    "move at every forward in training mode, frozen or not",
                ),
                ParrotWarning,
                stacklevel=3,
            )
        return found

    def _is_own(self, name: str) -> bool:
        parts = self.handle.parts
        projector = f"{parts.base_prefix}{parts.projector}."
        return self._is_named_as_own(name) or (self.handle.owns_projector and name.startswith(projector))

    def _is_named_as_own(self, name: str) -> bool:
        return name.startswith(f"{self.handle.parts.base_prefix}{MODULE_NAME}.") or f".{LORA_NAME}" in name

    def _holds_host(self, given: set[str]) -> bool:
        """Most of the host, that is. Counted, since checkpoints of older releases have other names."""
        peft = PeftLayers(self.handle.model)

        def count(names: Iterable[str]) -> int:
            return sum(not self._is_own(name) and peft.host_name(name) is not None for name in names)

        return 2 * count(given) > count(self._all_names())

    def _all_names(self) -> list[str]:
        return list(self.whole())


def _owner(name: str, host: nn.Module) -> str:
    """The module whose tensor a name of a state dict is; quantised weights have further levels below theirs."""
    path = name.rpartition(".")[0]
    while path:
        try:
            host.get_submodule(path)
            return path
        except AttributeError:
            path = path.rpartition(".")[0]
    return path
