"""Giving an adapter the weights of another, and giving its own to the host for good."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from parrot_adapters.adapter.adapter_files import LORA_CONFIG, PROJECTOR
from parrot_adapters.adapter.handle_views import HandleViews
from parrot_adapters.adapter.host_changes import HostWeights
from parrot_adapters.adapter.hub_transfer import local_directory
from parrot_adapters.adapter.read_adapter_files import StoredAdapter, read_adapter, require_same_tensors
from parrot_adapters.errors import ConfigError, HostError, explain
from parrot_adapters.hosts.fingerprint import fingerprint
from parrot_adapters.hosts.switched_weights import SwitchedWeights

if TYPE_CHECKING:
    from parrot_adapters.hosts.lora import LanguageModelLora

__all__ = ["HandleWeights"]


class HandleWeights(HandleViews):
    """The part of a handle that replaces the adapter's weights, or makes them the host's own."""

    def load_projector(self, directory: str | Path) -> None:
        """Take over the projector of another adapter: what stage 1 made, for stage 2.

        Args:
            directory: Directory, or Hub name, of an adapter that owns its projector and was made for the same
                architecture.

        Raises:
            HostError: This adapter does not own its projector.
            CheckpointError: There is no adapter, or one without a projector.
            HostMismatchError: The adapter there was made for another architecture.
        """
        self._require_projector()
        stored = read_adapter(local_directory(directory))
        weights = stored.require_projector()
        stored.require_architecture(fingerprint(self.parts))
        self.take_over(projector=weights, source=stored.directory / PROJECTOR)

    def load_lora(self, directory: str | Path) -> None:
        """Take over the LoRA weights of another adapter.

        Args:
            directory: Directory, or Hub name, of an adapter with LoRA on the same layers of the same architecture, with
                the same settings (rank, scale ...; dropout may differ).

        Raises:
            HostError: This adapter has no LoRA.
            ConfigError: The LoRA there has other settings; the message names both.
            CheckpointError: There is no adapter, or one without LoRA.
            HostMismatchError: The adapter there was made for another architecture.
        """
        lora = self._require_lora()
        stored = read_adapter(local_directory(directory))
        settings, weights = stored.require_lora()
        stored.require_architecture(fingerprint(self.parts))
        if different := lora.differences(settings, weights):
            raise ConfigError(
                explain(
                    f"the LoRA in {directory} is of another kind.",
                    **different,
                    to_do=f"set lora to what it was made with ({LORA_CONFIG})",
                )
            )
        self.take_over(lora=weights)

    def take_over(
        self,
        *,
        projector: Mapping[str, Tensor] | None = None,
        lora: Mapping[str, Tensor] | None = None,
        source: Path | None = None,
    ) -> None:
        """Replace the adapter's projector or LoRA weights by others of the same names and shapes.

        Args:
            projector: Tensors by the names they have in the projector's state dict; None leaves it as it is.
            lora: Tensors by the names they have in a peft directory; None leaves it as it is.
            source: The file the projector's tensors are from, for the message.

        Raises:
            HostError: This adapter owns no projector, or has no LoRA.
            CheckpointError: Other names or shapes.
        """
        if projector is not None:
            switch = self._require_projector()
            require_same_tensors(switch.module.state_dict(), projector, source or Path(PROJECTOR))
            switch.set_adapter_weights(projector)
        if lora is not None:
            self._require_lora().load_state_dict(lora)

    def take_over_from(self, stored: StoredAdapter) -> None:
        """Replace all the adapter's weights by those of a stored one of the same kind, in place.

        Args:
            stored: What :func:`read_adapter` gave.

        Raises:
            HostError: It has a projector or LoRA, and this one has none.
            CheckpointError: Other names or shapes.
        """
        if stored.weights is not None:
            module = self.require_module()
            require_same_tensors(module.state_dict(), stored.weights, stored.directory)
            module.load_state_dict(dict(stored.weights))
        self.take_over(projector=stored.projector, lora=stored.lora, source=stored.directory / PROJECTOR)

    def merge_lora(self) -> None:
        """Add the adapter's LoRA to the host's own weights, for good: the adapter no longer has or saves one.

        Raises:
            HostError: this adapter has no LoRA, or the host has other adapters, which were made for it as it is.
        """
        self._require_alone()
        self._require_lora().merge()
        self.carried.lora = None
        self._look_at_host()

    def merge_projector(self) -> None:
        """Make the adapter's projector the host's own, for good: the adapter no longer owns or saves one.

        Raises:
            HostError: this adapter does not own its projector, or the host has other adapters.
        """
        self._require_alone()
        projector = self._require_projector()
        projector.use(adapter=True)
        projector.remove()
        self.carried.projector_weights = None
        self._look_at_host()

    def _look_at_host(self) -> None:
        """Remember the host's own weights as they are from now on."""
        self.host_weights = HostWeights(self.model, self.carried.own_prefixes())
        switch = self.carried.projector_weights
        self.host_seen = fingerprint(self.parts, None if switch is None else switch.host_weights())

    def _require_alone(self) -> None:
        others = [name for name, carried in self.shelf.items() if carried is not self.carried]
        if others:
            raise HostError(
                explain(
                    "merging changes the host's own weights for good, and other adapters were made for it as it is.",
                    others=", ".join(others),
                    to_do="save them and handle.delete_adapter() each first",
                )
            )

    def _require_projector(self) -> SwitchedWeights:
        self.require_attached()
        if self.carried.projector_weights is None:
            raise HostError("this adapter does not own its projector; attach with train_projector=True")
        return self.carried.projector_weights

    def _require_lora(self) -> LanguageModelLora:
        self.require_attached()
        if self.carried.lora is None:
            raise HostError("this adapter has no LoRA; attach with lora=")
        return self.carried.lora
