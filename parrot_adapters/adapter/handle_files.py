"""Storing what a handle holds: an adapter's directory, a trainer's checkpoint, a repository on the Hub."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from parrot_adapters.adapter.handle_adapters import HandleAdapters
from parrot_adapters.adapter.hub_transfer import upload_adapter
from parrot_adapters.adapter.model_card import CardFacts
from parrot_adapters.adapter.save import write_adapter, write_checkpoint
from parrot_adapters.adapter.snapshot import AdapterSnapshot, plugins_used
from parrot_adapters.adapter.training_saves import TrainingSaves
from parrot_adapters.atomic_files import as_path
from parrot_adapters.errors import HostMismatchError, explain
from parrot_adapters.hosts.fingerprint import fingerprint
from parrot_adapters.hosts.host_parts import MODULE_NAME
from parrot_adapters.hosts.hub_name import hub_name
from parrot_adapters.hosts.sharded_weights import (
    any_sharded,
    first_process_alone,
    gathered_all,
    is_partitioned_by_zero,
    whole_parameters,
)

__all__ = ["HandleFiles"]


class HandleFiles(HandleAdapters):
    """The part of a handle that stores the adapter.

    Attributes:
        training_saves: What trainers store of the host.
    """

    training_saves: TrainingSaves

    def reference_state_dict(self) -> dict[str, Tensor]:
        """The adapter's weights under the names of released PARROT checkpoints.

        Returns:
            ``gate.weight`` (E, D), ``experts.{i}.gate_proj.weight`` and ``up_proj`` (F, D), ``down_proj`` (D, F).

        Raises:
            ConfigError: the adapter is not ``text-guided`` x ``swiglu``, which is all such a checkpoint can hold.
        """
        from parrot_adapters.adapter.original_names import to_reference

        return to_reference(self.require_module(), self.config)

    def save_pretrained(
        self, directory: str | Path, *, name: str | None = None, allow_changed_host: bool = False
    ) -> None:
        """Save the adapter alone: config, weights, and projector and LoRA where it owns them.

        Where the host is cut up among processes (FSDP2), all of them call this, and the first one writes.

        Args:
            directory: Directory to write, made if needed. An adapter that is there is replaced; other files stay, and
                so does what its owner wrote in its model card. At any moment the directory holds the old adapter or
                the new one, whole.
            name: Name of the adapter to save; None (default) for the active one.
            allow_changed_host: Whether to save although host weights that are not the adapter's have changed since it
                was attached (default: no). They are not saved with it.

        Raises:
            CheckpointError: The directory cannot be written.
            HostMismatchError: Host weights have changed; the message says which.
            UnknownNameError: There is no adapter of that name.
            HostError: The adapter was detached.
        """
        with self.switched_to(name):
            if not allow_changed_host:
                self._require_unchanged_host()
            snapshot = self.snapshot()
            if not any_sharded(self.model.parameters()):
                write_adapter(snapshot, as_path(directory, "directory"))
                return
            with first_process_alone() as is_first:
                if is_first:
                    write_adapter(snapshot, as_path(directory, "directory"))

    def write_checkpoint(self, directory: str | Path, state: Mapping[str, Tensor] | None = None) -> None:
        """Write what trains, in the form that a stock ``Trainer`` reads back into the attached host.

        ``load_adapter`` reads it too. A ``Trainer`` calls this itself, through ``host.save_pretrained``.

        Args:
            directory: Directory to write, made if needed: ``model.safetensors`` with what trains under the names of
                the host's state dict, ``adapter_config.json`` and a model card.
            state: A state dict gathered from the attached host; None (default) takes the host's.

        Raises:
            CheckpointError: The directory cannot be written.
            HostError: The adapter was detached.
        """
        self.require_attached()
        self.warn_of_others()
        switch, prefix = self.carried.projector_weights, f"{self.parts.base_prefix}{self.parts.projector}."
        whole = self.training_saves.whole() if state is None else dict(state)
        if switch is not None and state is None:
            whole |= {f"{prefix}{name}": value for name, value in switch.adapter_weights().items()}
        trained = {n: v for n, v in self.training_saves.trained(whole).items() if isinstance(v, Tensor)}
        prefixes = {
            "module": None if self.carried.module is None else f"{self.parts.base_prefix}{MODULE_NAME}.",
            "projector": None if switch is None else prefix,
        }
        trained |= self.training_saves.name_tensor()
        write_checkpoint(self.snapshot(whole=False), trained, prefixes, as_path(directory, "directory"))

    def snapshot(self, *, whole: bool = True) -> AdapterSnapshot:
        """Everything of the adapter that files hold, as plain values.

        Args:
            whole: Whether weights that are cut up among processes (FSDP2) are gathered (default: yes), for which all
                processes call this.

        Returns:
            The snapshot; its tensors are the live ones, not copies, where they are not gathered.

        Raises:
            HostError: The adapter was detached.
        """
        self.require_attached()
        config, parts, switch, lora = self.config, self.parts, self.carried.projector_weights, self.carried.lora
        if whole and any(map(is_partitioned_by_zero, self.parameters())):
            with whole_parameters(self.parameters()):
                return copy.deepcopy(self.snapshot(whole=False))  # the values go with the block
        gather = gathered_all if whole else dict
        return AdapterSnapshot(
            config=config,
            chat=self.chat,
            host=self._host_as_it_is(),
            base_model=hub_name(self.model.config),
            plugins=plugins_used(config, parts.model_type, parts.plugin, has_layer=self.carried.module is not None),
            weights=None if (weights := self.carried.module_weights()) is None else gather(weights),
            projector=None if switch is None else gather(switch.adapter_weights()),
            lora_config=None if lora is None else lora.stored_config(),
            lora=None if lora is None else gather(lora.state_dict()),
        )

    def _host_as_it_is(self) -> Mapping[str, Any]:
        """What the host is recognised by; where it is cut up among processes, as it was when the adapter came."""
        if self.host_seen is not None and any_sharded(self.model.parameters()):
            return self.host_seen
        switch = self.carried.projector_weights
        return fingerprint(self.parts, None if switch is None else switch.host_weights())

    def bare_state_dict(self, given: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The host's state dict without any trace of the adapter: no layer, its own projector, no LoRA.

        Args:
            given: A state dict gathered from the attached host, by a trainer for example; None takes the host's.
        """
        parts, switch = self.parts, self.carried.projector_weights
        state = dict(self.model.state_dict() if given is None else given)
        if switch is not None:
            prefix = f"{parts.base_prefix}{parts.projector}."
            state |= {f"{prefix}{name}": value for name, value in switch.host_weights().items()}
        layer = f"{parts.base_prefix}{MODULE_NAME}."
        bare = {name: value for name, value in state.items() if not name.startswith(layer)}
        return bare if self.carried.lora is None else self.carried.lora.bare_names(bare)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        name: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        commit_message: str | None = None,
        languages: Sequence[str] = (),
        data: Sequence[str] = (),
        licence: str | None = None,
        results: Mapping[str, float] | None = None,
        allow_changed_host: bool = False,
        **options: Any,
    ) -> Any:
        """Save the adapter and upload it to the Hugging Face Hub.

        Its model card names the host by its Hub name, never by a path of this machine, and keeps what its owner wrote.

        Args:
            repo_id: Name of the repository, ``owner/name``; made if needed.
            name: Name of the adapter; None (default) for the active one.
            private: Whether a repository that is made is private; None (default) for its owner's setting.
            token: Token of the Hub; None (default) for the one that this machine has stored.
            revision: Branch to upload to, made if needed; None (default) for the main one.
            commit_message: First line of the commit; None (default) for the Hub's own.
            languages: Tags of the languages that it is for, for the card.
            data: Hub names of the data that it was trained on, for the card.
            licence: Licence as the Hub calls it (``"apache-2.0"``), for the card.
            results: What was measured, name to number, for the card; None (default) for nothing.
            allow_changed_host: As for :meth:`save_pretrained`.
            options: Further arguments of ``huggingface_hub.HfApi.upload_folder``.

        Returns:
            What ``upload_folder`` returns: the commit.
        """
        facts = CardFacts(languages, data, licence, results or {})
        with self.switched_to(name):
            if not allow_changed_host:
                self._require_unchanged_host()
            return upload_adapter(
                self.snapshot(),
                repo_id,
                private=private,
                token=token,
                revision=revision,
                facts=facts,
                commit_message=commit_message,
                **options,
            )

    def _require_unchanged_host(self) -> None:
        changed = self.host_weights.changed(self.model, self.carried.own_prefixes())
        if changed:
            statistics = any("running_" in name for name in changed)
            raise HostMismatchError(
                explain(
                    "host weights that are not the adapter's have changed since it was attached, and are not saved "
                    "with it: on the host it was made for it would be another one.",
                    changed=f"{len(changed)}: {', '.join(changed[:3])}{' ...' if len(changed) > 3 else ''}",
                    because="batch norms move their statistics at every forward in training mode, frozen or not: "
                    "keep those modules in eval()"
                    if statistics
                    else None,
                    to_do="attach(..., train_projector=True) or lora= for what is to train with it, and leave the host "
                    "frozen; or allow_changed_host=True, and save the host as well: host.save_pretrained(...)",
                )
            )
