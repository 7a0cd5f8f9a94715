"""Several adapters on one host, one of them active; in peft's words, ``add_adapter``, ``set_adapter`` ...

The active adapter is on the host, as if it were the only one; the others wait beside it, whole: the very modules,
parameters and LoRA layers, which nobody calls and nobody trains. So switching moves objects and computes nothing.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch

from parrot_adapters.adapter.carried_adapter import CarriedAdapter
from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.adapter.handle_weights import HandleWeights
from parrot_adapters.adapter.host_overrides import HostOverrides
from parrot_adapters.adapter.hub_transfer import local_directory
from parrot_adapters.adapter.peft_wrapper import PeftWrapper
from parrot_adapters.adapter.prepare_adapter import PreparedAdapter, as_adapter_config, prepare_adapter
from parrot_adapters.adapter.prepare_stored import prepare_stored
from parrot_adapters.adapter.read_adapter_files import read_adapter
from parrot_adapters.adapter.row_adapters import RowAdapters
from parrot_adapters.errors import ConfigError, HostError, ParrotWarning, UnknownNameError, explain, suggest
from parrot_adapters.hosts.base_call import BaseCall
from parrot_adapters.hosts.host_parts import MODULE_NAME, HostParts, find_parts
from parrot_adapters.hosts.offloaded_weights import running_device
from parrot_adapters.hosts.restored_on_failure import restored_on_failure

__all__ = ["FIRST_NAME", "HandleAdapters"]

FIRST_NAME = "default"  # of the adapter that a handle comes with; peft's word


class HandleAdapters(HandleWeights):
    """The part of a handle that keeps several adapters.

    Attributes:
        overrides: What stands in for the host's own attributes.
        base_call: What stands in place of the base model's ``forward``.
        peft_wrapper: What stands in for those of the ``PeftModel`` around it; None where there is none.
        open_rows: Blocks of :meth:`adapter_names` that are open, in any context.
    """

    overrides: HostOverrides
    base_call: BaseCall
    peft_wrapper: PeftWrapper | None
    open_rows: list[RowAdapters]

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of all adapters, in the order in which they came; the first is called ``"default"``."""
        return tuple(self.shelf)

    @property
    def active_adapter(self) -> str:
        """Name of the adapter that the host runs with, that trains, and that is saved unless another is named."""
        return next(name for name, carried in self.shelf.items() if carried is self.carried)

    def add_adapter(
        self,
        name: str,
        config: AdapterConfig | Mapping[str, Any] | None = None,
        *,
        processor: Any = None,
        train_projector: bool = False,
        lora: Any = None,
    ) -> None:
        """Add a new adapter beside those that are there; the active one stays active.

        Each has a module, and where asked for a projector and a LoRA, of its own. ``host.state_dict()`` and trainers'
        checkpoints hold the active one. Add and switch between calls of the host, and before wrappers that look at a
        model's parameters once (DDP, FSDP, optimizers).

        Args:
            name: Name of the new adapter.
            config: Settings, as for :func:`attach`; None (default) means ``AdapterConfig()``.
            processor: Processor or tokenizer of the host; None (default) takes the active adapter's chat format. A
                language detector needs it.
            train_projector: Whether the adapter owns projector weights, which start as the host's (default: no).
            lora: A ``peft.LoraConfig``, or a mapping of its arguments; None (default) for none.

        Raises:
            ConfigError: The name is taken, or impossible settings.
            HostError: The host has not what the settings ask for, or the handle was detached.
        """
        settings = as_adapter_config(config)

        def make(parts: HostParts) -> PreparedAdapter:
            chat = self.carried.chat
            return prepare_adapter(
                parts, settings, processor=processor, chat=chat, owns_projector=train_projector, lora=lora
            )

        self.bring(name, settings, make)

    def load_adapter(
        self,
        directory: str | Path,
        name: str,
        *,
        processor: Any = None,
        strict: bool = False,
        revision: str | None = None,
        subfolder: str | None = None,
        token: str | bool | None = None,
    ) -> None:
        """Add a saved adapter beside those that are there; the active one stays active.

        Args:
            directory: Directory that ``save_pretrained`` or a ``Trainer`` wrote, or a Hub name ``owner/name``.
            name: Name that the adapter gets here.
            processor: Processor or tokenizer of the host; only an adapter with a language detector needs it.
            strict: Whether a host of the same architecture with other weights is refused (default: a warning).
            revision: Branch, tag or commit on the Hub; None (default) for its main branch.
            subfolder: Folder in the directory or repository that holds the adapter; None (default) for the whole.
            token: Token of the Hub; None (default) for the one that this machine has stored.

        Raises:
            ConfigError: The name is taken.
            CheckpointError: Not an adapter's directory, damaged, of a newer format, or holding NaN.
            HostMismatchError: The adapter was made for another architecture (or other weights, with ``strict``).
            PluginError: A plugin that it needs is missing.
        """
        self.require_free(name)
        stored = read_adapter(local_directory(directory, revision=revision, subfolder=subfolder, token=token))

        def make(parts: HostParts) -> PreparedAdapter:
            return prepare_stored(parts, stored, processor=processor, strict=strict, stacklevel=5)

        self.bring(name, stored.config, make)

    def set_adapter(self, name: str) -> None:
        """Make another adapter the active one, bit for bit the one it was when it was active before.

        What trains of it trains again, and nothing of the others does. ``handle.module``, ``handle.config`` and all
        else of the handle are the active adapter's from now on; :meth:`disable` and observers hold for all.

        Args:
            name: Name of the adapter.

        Raises:
            UnknownNameError: There is no adapter of that name.
            HostError: The handle was detached.
        """
        self.require_no_rows()
        chosen = self.named(name)
        if chosen is self.carried:
            return
        with self.unchanged_on_failure():
            self.carried.set_aside()
            self.carried = chosen
            self.carried.come_back()
            self._show_active()

    def delete_adapter(self, name: str) -> None:
        """Forget an adapter that is not active. Its parameters are gone unless they were saved.

        Args:
            name: Name of the adapter.

        Raises:
            UnknownNameError: There is no adapter of that name.
            HostError: It is the active one.
        """
        self.require_no_rows()
        chosen = self.named(name)
        if chosen is self.carried:
            others = [other for other in self.shelf if other != name]
            raise HostError(
                explain(
                    f"adapter {name!r} is active and cannot be deleted.",
                    others=", ".join(others) or "none",
                    to_do=f"handle.set_adapter({others[0]!r}) first" if others else "handle.detach() takes it off",
                )
            )
        with self.unchanged_on_failure():
            self.carried.set_aside()
            chosen.take_off()
            del self.shelf[name]
            self.carried.come_back()

    @contextmanager
    def adapter_names(self, names: Sequence[str | None]) -> Iterator[None]:
        """Every row of the batches inside the block has an adapter of its own; in this context only.

        A row's logits are those of the row alone with its adapter, up to the rounding of a larger batch; for forward
        and for ``generate``, beams and several returned sequences among it. Each adapter has its own projector and
        LoRA, and experts inside the layers at the visual tokens of its rows; it costs one encoding for each projector
        and one alignment for each adapter. Run ``backward()`` inside the block where the host recomputes activations.

        Args:
            names: Name of an adapter for each row, or None for the bare host.

        Raises:
            UnknownNameError: There is no adapter of that name.
            ConfigError: Not one name or None for each row (in the call: another number of rows).
            HostError: A host that is not handed encoded images, an adapter that was switched off or detached.
        """
        self.require_attached()
        if isinstance(names, str) or not names or not all(name is None or isinstance(name, str) for name in names):
            raise ConfigError(f"adapter_names({names!r}) needs one name or None for each row, for example ['tr', None]")
        chosen = {name: self.named(name) for name in names if name is not None}
        self._require_rows()
        block = RowAdapters(self.parts, names, chosen)
        self.open_rows.append(block)
        try:
            self._forget_compiled()
            with self.switch.left_out(), block.open():
                yield
        finally:
            self.open_rows.remove(block)
            self._forget_compiled()

    def _require_rows(self) -> None:
        """Refuse what rows cannot have each for itself."""
        if self.parts.spec.encoder_calls:
            raise HostError(
                explain(
                    f"{type(self.model).__name__} encodes and merges pictures by itself, so that rows cannot have "
                    "adapters of their own.",
                    given=f"model_type {self.parts.model_type!r}",
                    to_do="run the rows of one adapter at a time, after handle.set_adapter(name)",
                )
            )
        if not self.switch.wanted:
            raise HostError("the adapters were switched off by handle.disable(); handle.enable() first")

    def named(self, name: str) -> CarriedAdapter:
        """The adapter of a name.

        Args:
            name: Name of the adapter.

        Raises:
            UnknownNameError: There is none.
        """
        if not isinstance(name, str) or name not in self.shelf:
            raise UnknownNameError(
                explain(
                    f"no adapter {name!r} on this host.{suggest(str(name), self.shelf)}", known=", ".join(self.shelf)
                )
            )
        return self.shelf[name]

    @contextmanager
    def switched_to(self, name: str | None) -> Iterator[Self]:
        """Another adapter is active inside the block.

        Args:
            name: Name of the adapter; None for the one that is active.
        """
        before = self.active_adapter
        self.set_adapter(before if name is None else name)
        try:
            yield self
        finally:
            self.set_adapter(before)

    def warn_of_others(self) -> None:
        """Say that a trainer's checkpoint holds the active adapter and not the others."""
        others = [name for name in self.shelf if name != self.active_adapter]
        if others:
            warnings.warn(
                explain(
                    f"this checkpoint holds adapter {self.active_adapter!r}, which is active, and no other.",
                    not_in_it=", ".join(others),
                    to_do="save those that were trained: handle.save_pretrained(directory, name=...); to resume, "
                    "make the same adapter active first: handle.set_adapter(...)",
                ),
                ParrotWarning,
                stacklevel=3,
            )

    def keys_not_saved(self) -> set[str]:
        """The names in the host's state dict that ``host.save_pretrained`` leaves out."""
        prefix = f"{self.parts.base_prefix}{MODULE_NAME}."
        adapter = {f"{prefix}{name}" for name in ([] if self.module is None else self.module.state_dict())}
        return adapter | set(self.overrides.before("_keys_to_ignore_on_save", type(self.model)) or ())

    def bring(self, name: str, config: AdapterConfig, make: Callable[[HostParts], PreparedAdapter]) -> None:
        """Put a new adapter on the shelf; where any of it fails, the host and the active one are as before.

        Args:
            name: Name that it gets.
            config: Its settings.
            make: Makes it, from the host without any adapter.

        Raises:
            ConfigError: The name is taken.
            HostError: The handle was detached, or a block of :meth:`adapter_names` is open.
        """
        self.require_no_rows()
        self.require_free(name)
        with self.unchanged_on_failure():
            active = self.carried
            active.set_aside()
            made = make(find_parts(self.model, config.host_options))
            if made.layer is not None:
                embeddings = made.parts.base.get_input_embeddings()
                made.layer.to(device=running_device(embeddings, embeddings.weight))
            new = CarriedAdapter(
                made.parts,
                made.config,
                made.layer,
                made.chat,
                made.detector,
                self.switch,
                self.observers,
                self.base_call,
            )
            self.carried = self.shelf[name] = new  # under its name already: the host's state dict says whose it is
            new.put_on(owns_projector=made.owns_projector, lora=made.lora, beside_others=True)
            for parameter in new.parameters():
                parameter.requires_grad_(True)
            self.take_over(projector=made.projector_weights, lora=made.lora_weights, source=made.source)
            new.set_aside()
            self.carried = active
            active.come_back()

    @contextmanager
    def unchanged_on_failure(self) -> Iterator[None]:
        """When the block fails, the host, its wrapper and all adapters are what they were before."""
        around = () if self.peft_wrapper is None else (self.peft_wrapper.model,)
        carried = {id(one): one for one in (self.carried, *self.shelf.values())}.values()
        modules = (*around, self.model, *(module for one in carried for module in one.own_modules()))
        wanted = self.switch.wanted
        try:
            with restored_on_failure(
                modules,
                objects=(*self._own_objects(), *(part for one in carried for part in one.own_objects())),
                tensors=[tensor for one in carried for tensor in one.written_tensors()],
            ):
                yield
        except BaseException:
            self.switch.wanted = wanted
            raise

    def _own_objects(self) -> Iterator[object]:
        """What the handle keeps of the host's state, apart from its adapters."""
        yield from (self, self.overrides)
        if self.peft_wrapper is not None:
            yield self.peft_wrapper

    def require_free(self, name: str) -> None:
        """Refuse a name that an adapter of this host has, or that is none.

        Args:
            name: Name for a new adapter.

        Raises:
            ConfigError: It is taken, or no text.
        """
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"an adapter's name must be text, not {name!r}")
        if name in self.shelf:
            raise ConfigError(
                explain(
                    f"this host has an adapter {name!r} already.",
                    known=", ".join(self.shelf),
                    to_do="take another name, or handle.delete_adapter() first",
                )
            )

    def _show_active(self) -> None:
        """What the host and its wrapper show is the active adapter's."""
        self.overrides.change(_keys_to_ignore_on_save=self.keys_not_saved())
        if self.peft_wrapper is not None:
            self.peft_wrapper.remove()
            self.peft_wrapper.install()
        self._forget_compiled()

    def require_no_rows(self) -> None:
        """Refuse to change what is on the host while a block of :meth:`adapter_names` is open.

        Raises:
            HostError: One is, or the handle was detached.
        """
        self.require_attached()
        if self.open_rows:
            raise HostError("inside a block of adapter_names() adapters are neither switched, added nor taken off")

    @staticmethod
    def _forget_compiled() -> None:
        if "torch._dynamo" in sys.modules:  # compiled code does not look at hooks again
            torch.compiler.reset()
