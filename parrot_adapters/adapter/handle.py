"""The handle of an adapter on a host: observe it, switch it, save it, take it off.

The host keeps its class and its API. What attaching adds, detaching removes: one submodule (so that ``.to()``,
``parameters()``, DDP and FSDP see the adapter), the seam's hooks, and an override of ``save_pretrained`` that writes
the host as it was.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from parrot_adapters.adapter.adapter_files import LORA_CONFIG, PROJECTOR
from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.adapter.frozen_by_peft import FrozenByPeft
from parrot_adapters.adapter.host_changes import HostWeights
from parrot_adapters.adapter.host_overrides import BareHostSave, HostOverrides
from parrot_adapters.adapter.hub_transfer import local_directory, upload_adapter
from parrot_adapters.adapter.parameter_report import parameter_places, parameter_report, print_report
from parrot_adapters.adapter.peft_wrapper import PeftWrapper
from parrot_adapters.adapter.read_adapter_files import StoredAdapter, read_adapter, require_same_tensors
from parrot_adapters.adapter.save import write_adapter, write_checkpoint
from parrot_adapters.adapter.snapshot import AdapterSnapshot, plugins_used
from parrot_adapters.adapter.training_saves import TrainingSaves
from parrot_adapters.core.routing_record import RoutingRecord, recording
from parrot_adapters.errors import ConfigError, HostError, HostMismatchError, explain
from parrot_adapters.hosts.adapter_switch import AdapterSwitch
from parrot_adapters.hosts.chat_format import ChatFormat
from parrot_adapters.hosts.fingerprint import fingerprint
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.hub_name import hub_name
from parrot_adapters.hosts.layer_sites import LayerSites
from parrot_adapters.hosts.linear_layers import find_linear_layers
from parrot_adapters.hosts.offloaded_weights import loaded_state
from parrot_adapters.hosts.peft_layers import PeftLayers, live_module
from parrot_adapters.hosts.quantised_weights import is_quantised
from parrot_adapters.hosts.read_prompt import TextScope
from parrot_adapters.hosts.seam import MODULE_NAME, NativeSeam, declare_languages, undeclare_languages
from parrot_adapters.hosts.switched_weights import SwitchedWeights
from parrot_adapters.hosts.text_only_batches import TextOnlyBatches

if TYPE_CHECKING:
    from parrot_adapters.adapter.added_losses import AddedLosses
    from parrot_adapters.core import AlignmentLayer
    from parrot_adapters.hosts.lora import LanguageModelLora

__all__ = ["Attachment", "attachment_of"]

HANDLE_NAME = "_parrot_attachment"
HOST_PARTS = ("projector", "vision_tower", "language_model")


def attachment_of(model: Any) -> Attachment | None:
    """Find the handle of the adapter that a model carries; None where it carries none. A deep copy of a host has a
    handle of its own.

    Args:
        model: Host, or a model around it.
    """
    inner = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    inner = inner.get_base_model() if callable(getattr(inner, "get_base_model", None)) else inner
    return inner.__dict__.get(HANDLE_NAME)


class Attachment:
    """The handle of an adapter on a host: observe it, switch it, save it, take it off.

    ``attach``, ``attach_projector`` and ``load_adapter`` make handles.

    Attributes:
        model: The host.
        config: The adapter's settings, ``summary="auto"`` and names of layers replaced by what they mean on this host.
        parts: The host, taken apart.
        chat: The chat format of the host's processor; empty where none was given.
    """

    def __init__(
        self,
        parts: HostParts,
        config: AdapterConfig,
        layer: AlignmentLayer | None,
        chat: ChatFormat,
        detector: Callable[[Tensor, Tensor], list[str | None]] | None,
        *,
        owns_projector: bool,
        lora: Any,
        freeze_host: bool = False,
        wrapper: Any = None,
    ) -> None:
        self.parts, self.config, self.chat = parts, config, chat
        self._given_layer = layer
        self._switch = AdapterSwitch()
        self._seam: NativeSeam | None = None
        if layer is not None:
            scope = TextScope.of(config.text_scope, parts, chat)
            self._seam = NativeSeam(parts, layer, scope, self._switch, detector, self._sites(layer))
        self._added_losses: AddedLosses | None = None
        self._projector_weights: SwitchedWeights | None = None
        self._lora: LanguageModelLora | None = None
        self._overrides = HostOverrides(self.model)
        self._training_saves = TrainingSaves(self)
        self._text_only = TextOnlyBatches(parts, self._seen_by_images, self._switch)
        self._frozen_by_peft = FrozenByPeft(self)
        self._peft_wrapper = PeftWrapper(self, wrapper) if callable(getattr(wrapper, "get_base_model", None)) else None
        self._attached = False
        try:
            self._put_on(owns_projector=owns_projector, lora=lora)
            self._host_weights = HostWeights(self.model, self._own_prefixes())
            if freeze_host:
                self.freeze_host()
        except BaseException:
            self._take_off()
            raise

    def _sites(self, layer: AlignmentLayer) -> LayerSites | None:
        if layer.layer_experts is None:
            return None
        linear = find_linear_layers(self.parts, self.config.layer_modules, self.config.layers)
        return LayerSites(self.parts, layer.layer_experts, linear)

    # --- looking -----------------------------------------------------------------------------------------------

    @property
    def model(self) -> Any:
        """The host."""
        return self.parts.outer

    @property
    def _layer(self) -> Any:
        """The live module: peft's copy, where ``modules_to_save`` names the adapter."""
        if self._given_layer is None or not self._attached:
            return self._given_layer
        return live_module(self.parts.base._modules.get(MODULE_NAME, self._given_layer))

    @property
    def module(self) -> AlignmentLayer | None:
        """The adapter's own module; None where it holds a projector only (``attach_projector``)."""
        layer: AlignmentLayer | None = self._layer
        return layer

    def require_module(self) -> AlignmentLayer:
        """The adapter's own module.

        Raises:
            HostError: it has none.
        """
        if self._layer is None:
            raise HostError(
                explain(
                    "this adapter has no module, so nothing is routed: it holds a projector only, as stage 1 makes it.",
                    to_do="attach(model, AdapterConfig(...)) for an adapter with experts",
                )
            )
        layer: AlignmentLayer = self._layer
        return layer

    @property
    def native_seam(self) -> NativeSeam | None:
        """What connects the module to the host; None where there is no module."""
        return self._seam

    @property
    def projector(self) -> nn.Module | None:
        """The host's projector."""
        return self.parts.module(self.parts.projector)

    @property
    def owns_projector(self) -> bool:
        """Whether the projector's weights are the adapter's: trained, saved and switched with it."""
        return self._projector_weights is not None

    @property
    def lora_config(self) -> Any:
        """A copy of the ``peft.LoraConfig`` of its LoRA; None where it has none."""
        return None if self._lora is None else copy.deepcopy(self._lora.config)

    @property
    def seam(self) -> str | None:
        """Name of the way by which the adapter reaches its host; None of an adapter without a layer."""
        return None if self._seam is None else "native"

    @property
    def active(self) -> bool:
        """Whether a call of the host would run with the adapter, here and now: in this context, at this moment."""
        return self._attached and self._switch.on

    def parameters(self) -> Iterator[nn.Parameter]:
        """Everything that belongs to the adapter: its module, the projector and LoRA where it owns them."""
        if self._layer is not None:
            yield from self._layer.parameters()
        if self._projector_weights is not None:
            yield from self._projector_weights.module.parameters()
        if self._lora is not None:
            yield from self._lora.parameters()

    def parameter_report(self) -> dict[str, dict[str, int]]:
        """``{part: {"parameters": n, "trainable": m}}`` for adapter, projector, vision tower, language model, rest.

        Of the adapter it also says how many parameters are where: in the ``router`` (with the summary), in the
        ``projector_experts`` and in the experts of the language model's ``layers``, those of them that it has.
        """
        host = {name: self.parts.module(getattr(self.parts, name)) for name in HOST_PARTS}
        parts = {"adapter": self._layer, "lora": self._lora, **host}
        report = parameter_report(
            self.model, {name: part.parameters() for name, part in parts.items() if part is not None}
        )
        if self._layer is not None:
            report["adapter"] |= parameter_places(self._layer)
        return report

    def print_trainable_parameters(self) -> None:
        """Print :meth:`parameter_report` as a table."""
        what = "its projector" if self._layer is None else f"{self.config.router} x {self.config.expert_kind}"
        print_report(self.parameter_report(), f"{type(self.model).__name__} with {what}")

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Token ids that are never text: the tokenizer's special ones, the host's placeholders and frames."""
        return TextScope.of(self.config.text_scope, self.parts, self.chat).special_ids

    # --- switching ---------------------------------------------------------------------------------------------

    def freeze_host(self) -> None:
        """Stop gradients into the host's own weights, and let them into everything that is the adapter's.

        What peft added to the host goes on training, or not, as it did. ``detach()`` restores what was trainable.
        ``attach`` does this unless it is told not to.
        """
        mine = {id(p) for p in self.parameters()}
        peft = PeftLayers(self.model)
        for name, parameter in self.model.named_parameters():
            if id(parameter) in mine:
                parameter.requires_grad_(True)
            elif peft.host_name(name) is not None:
                parameter.requires_grad_(False)

    def enable(self) -> None:
        """Run the host with the adapter (projector and LoRA included), in the whole process.

        A block of :meth:`disabled` that is open stays bare until it ends.
        """
        self._set_active(True)

    def disable(self) -> None:
        """Run the bare host, bit for bit, until :meth:`enable`: in the whole process, in every thread."""
        self._set_active(False)

    @contextmanager
    def disabled(self) -> Iterator[Attachment]:
        """The bare host inside the block, its own projector and language model included, in this context only.

        Other threads, and other tasks of asyncio, go on with the adapter; a thread started inside the block is
        another one. Blocks may nest, overlap and end in any order. ``host.state_dict()`` is the bare host's inside,
        too; ``handle.projector`` keeps the adapter's weights, since other threads run them. Run ``backward()``
        inside the block as well where the host checkpoints activations.
        """
        self._require_attached()
        with self._switch.left_out():
            yield self

    @contextmanager
    def languages(self, languages: Sequence[str | None]) -> Iterator[None]:
        """Declare the language of each prompt of the batches inside the block (BCP-47 tags, None for unknown).

        Routers that use languages read them; otherwise they only label :meth:`record_routing`.
        """
        if isinstance(languages, str) or not all(tag is None or isinstance(tag, str) for tag in languages):
            raise ConfigError(f"languages={languages!r} must be one tag or None per prompt, for example ['tr', None]")
        if self._seam is None:  # nothing is routed, so nobody asks
            yield
            return
        token = declare_languages(self._seam, tuple(languages))
        try:
            yield
        finally:
            undeclare_languages(token)

    @contextmanager
    def record_routing(self, *, graph: bool = False) -> Iterator[list[RoutingRecord]]:
        """Collect a :class:`RoutingRecord` for every pass through the adapter inside the block, in this context only.

        Args:
            graph: Whether the records keep the autograd graph, for auxiliary losses (default: no).
        """
        with recording(id(self if self._seam is None else self._seam), graph=graph) as log:
            yield log

    def add_observer(self, observer: Callable[[RoutingRecord], object]) -> RemovableHandle:
        """Call a function after every pass through the adapter, in every thread; nothing is kept.

        Plugins offer observers that are there from the start through the hook ``register_observers``. To collect the
        records of one block of code use :meth:`record_routing`.

        Args:
            observer: Function of a :class:`RoutingRecord` without a graph; what it returns is ignored.

        Returns:
            A handle whose ``remove()`` takes the observer off; as a context manager it does so on leaving. Without
            either the observer stays as long as the adapter is attached.
        """
        observers = OrderedDict() if self._seam is None else self._seam.observers
        removable = RemovableHandle(observers)
        observers[removable.id] = observer
        return removable

    # --- training ----------------------------------------------------------------------------------------------

    def add_losses(self, scales: Mapping[str, float], options: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """From now on the host's own loss includes auxiliary losses, so that any trainer trains them.

        It holds in training mode when the host computes a loss, that is when it is given labels. Parameters that a
        batch did not use (a batch without images) get zero gradients instead of none, so that no process of a
        distributed run waits for another.

        Args:
            scales: Factor of each registered loss by name, for example ``{"load-balancing": 0.01}``; they replace
                those set before.
            options: Keyword arguments of a loss's factory by loss name; None (default) for none.

        Raises:
            UnknownNameError: No loss of that name is registered.
        """
        from parrot_adapters.adapter.added_losses import AddedLosses

        self._require_attached()
        if self._added_losses is not None:
            self._added_losses.remove()
        self._added_losses = AddedLosses(self, scales, options or {})

    @property
    def last_losses(self) -> dict[str, Tensor]:
        """The terms of the last training loss since :meth:`add_losses`, as they entered it; float32 scalars.

        ``"language_model"`` is the host's own. Empty before the first.
        """
        return {} if self._added_losses is None else dict(self._added_losses.terms)

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
            HostError: this adapter has no LoRA.
        """
        self._require_lora().merge()
        self._lora = None
        self._host_weights = HostWeights(self.model, self._own_prefixes())

    def merge_projector(self) -> None:
        """Make the adapter's projector the host's own, for good: the adapter no longer owns or saves one.

        Raises:
            HostError: this adapter does not own its projector.
        """
        projector = self._require_projector()
        projector.use(adapter=True)
        projector.remove()
        self._projector_weights = None
        self._host_weights = HostWeights(self.model, self._own_prefixes())

    def detach(self) -> None:
        """Give the host back as it was, bit for bit. Detaching twice does nothing."""
        if not self._attached:
            return
        self._set_active(False)
        self._take_off()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    # --- storing -----------------------------------------------------------------------------------------------

    def reference_state_dict(self) -> dict[str, Tensor]:
        """The adapter's weights under the names of released PARROT checkpoints.

        Returns:
            ``gate.weight`` (E, D), ``experts.{i}.gate_proj.weight`` and ``up_proj`` (F, D), ``down_proj`` (D, F).

        Raises:
            ConfigError: the adapter is not ``text-guided`` x ``swiglu``, which is all such a checkpoint can hold.
        """
        from parrot_adapters.adapter.original_names import to_reference

        return to_reference(self.require_module(), self.config)

    def save_pretrained(self, directory: str | Path, *, allow_changed_host: bool = False) -> None:
        """Save the adapter alone: config, weights, and projector and LoRA where it owns them.

        Args:
            directory: Directory to write, made if needed. An adapter that is there is replaced; other files stay, and
                so does what its owner wrote in its model card. At any moment the directory holds the old adapter or
                the new one, whole.
            allow_changed_host: Whether to save although host weights that are not the adapter's have changed since it
                was attached (default: no). They are not saved with it.

        Raises:
            CheckpointError: The directory cannot be written.
            HostMismatchError: Host weights have changed; the message says which.
            HostError: The adapter was detached.
        """
        if not allow_changed_host:
            self._require_unchanged_host()
        write_adapter(self.snapshot(), Path(directory))

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
        self._require_attached()
        switch, prefix = self._projector_weights, f"{self.parts.base_prefix}{self.parts.projector}."
        whole = dict(self.model.state_dict() if state is None else state)
        if switch is not None and state is None:
            whole |= {f"{prefix}{name}": value for name, value in switch.adapter_weights().items()}
        trained = {n: v for n, v in self._training_saves.trained(whole).items() if isinstance(v, Tensor)}
        prefixes = {
            "module": None if self._layer is None else f"{self.parts.base_prefix}{MODULE_NAME}.",
            "projector": None if switch is None else prefix,
        }
        write_checkpoint(self.snapshot(), trained, prefixes, Path(directory))

    def snapshot(self) -> AdapterSnapshot:
        """Everything of the adapter that files hold, as plain values.

        Returns:
            The snapshot; its tensors are the live ones, not copies.

        Raises:
            HostError: The adapter was detached.
        """
        self._require_attached()
        config, parts, switch, lora = self.config, self.parts, self._projector_weights, self._lora
        return AdapterSnapshot(
            config=config,
            chat=self.chat,
            host=fingerprint(parts, None if switch is None else switch.host_weights()),
            base_model=hub_name(self.model.config),
            plugins=plugins_used(config, parts.model_type, parts.plugin, has_layer=self._layer is not None),
            weights=None if self._layer is None else self._layer_weights(),
            projector=None if switch is None else switch.adapter_weights(),
            lora_config=None if lora is None else lora.stored_config(),
            lora=None if lora is None else lora.state_dict(),
        )

    def bare_state_dict(self, given: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The host's state dict without any trace of the adapter: no layer, its own projector, no LoRA.

        Args:
            given: A state dict gathered from the attached host, by a trainer for example; None takes the host's.
        """
        parts, switch = self.parts, self._projector_weights
        state = dict(self.model.state_dict() if given is None else given)
        if switch is not None:
            prefix = f"{parts.base_prefix}{parts.projector}."
            state |= {f"{prefix}{name}": value for name, value in switch.host_weights().items()}
        layer = f"{parts.base_prefix}{MODULE_NAME}."
        bare = {name: value for name, value in state.items() if not name.startswith(layer)}
        return bare if self._lora is None else self._lora.bare_names(bare)

    def push_to_hub(self, repo_id: str, *, allow_changed_host: bool = False, **options: Any) -> Any:
        """Save the adapter and upload it to the Hugging Face Hub.

        Args:
            repo_id: Name of the repository, ``owner/name``; made if needed. Its model card keeps what its owner wrote.
            allow_changed_host: As for :meth:`save_pretrained`.
            options: Further arguments of ``huggingface_hub.HfApi.upload_folder``.

        Returns:
            What ``upload_folder`` returns: the commit.
        """
        if not allow_changed_host:
            self._require_unchanged_host()
        return upload_adapter(self.snapshot(), repo_id, **options)

    # --- inside ------------------------------------------------------------------------------------------------

    def _put_on(self, *, owns_projector: bool, lora: Any) -> None:
        """Put the adapter on the host; where any of it fails, :meth:`_take_off` undoes it."""
        host, base = self.model, self.parts.base
        if owns_projector:
            self._projector_weights = SwitchedWeights(self._trainable_projector(), self._switch)
        if lora is not None:
            from parrot_adapters.hosts.lora import LanguageModelLora

            self._lora = LanguageModelLora(self.parts, lora, self.config.seed)
        if self._layer is not None and self._seam is not None:
            base.add_module(MODULE_NAME, self._layer)
            self._layer.train(host.training)
            self._seam.install()
        if self._projector_weights is not None:
            self._projector_weights.install()
        if self._lora is not None:
            self._lora.install(self._switch)
        self._training_saves.install()
        self._text_only.install()
        self._frozen_by_peft.install()
        if self._peft_wrapper is not None:
            self._peft_wrapper.install()
        prefix = f"{self.parts.base_prefix}{MODULE_NAME}."
        adapter = {f"{prefix}{name}" for name in ([] if self._layer is None else self._layer.state_dict())}
        stand_ins = {
            HANDLE_NAME: self,
            "save_pretrained": BareHostSave(self, self._overrides),
            "_keys_to_ignore_on_save": adapter | set(getattr(host, "_keys_to_ignore_on_save", None) or ()),
        }
        self._overrides.put(**stand_ins)
        self._attached = True

    def _take_off(self) -> None:
        """Undo :meth:`_put_on`, however far it came; the host's own weights are live afterwards."""
        if self._seam is not None:
            self._seam.remove()
        if self._projector_weights is not None:
            self._projector_weights.use(adapter=False)
            self._projector_weights.remove()
        if self._added_losses is not None:
            self._added_losses.remove()
        if self._lora is not None:
            self._lora.remove()
        self._training_saves.remove()
        self._text_only.remove()
        self._frozen_by_peft.remove()
        if self._peft_wrapper is not None:
            self._peft_wrapper.remove()
        if hasattr(self.parts.base, MODULE_NAME):
            delattr(self.parts.base, MODULE_NAME)
        self._overrides.remove()
        self._attached = False

    def _trainable_projector(self) -> nn.Module:
        """The host's projector, where an adapter can own it.

        Raises:
            HostError: there is none, or its weights are quantised and cannot be trained.
        """
        projector = self.projector
        if projector is None:
            raise HostError(
                explain(
                    f"no projector found in {type(self.model).__name__}, so the adapter cannot own it.",
                    looked_for=", ".join(self.parts.spec.projector),
                    to_do='name it: AdapterConfig(host_options={"projector": ["path.of.it"]})',
                )
            )
        quantised = {
            name: str(parameter.dtype).removeprefix("torch.")
            for name, parameter in projector.named_parameters()
            if not parameter.is_floating_point() or parameter.element_size() < 2 or is_quantised(parameter)
        }
        if quantised:
            raise HostError(
                explain(
                    "the projector is quantised, so an adapter cannot own and train it.",
                    given=", ".join(f"{self.parts.projector}.{name}: {dtype}" for name, dtype in quantised.items()),
                    to_do=f"load the host with its projector in full, with bitsandbytes for example "
                    f"BitsAndBytesConfig(..., llm_int8_skip_modules=[{self.parts.projector!r}, 'lm_head']); "
                    "or attach without train_projector",
                )
            )
        return projector

    def _layer_weights(self) -> dict[str, Tensor]:
        """The module's own weights, without what peft put on it, read from where accelerate has offloaded them."""
        layer = self.require_module()
        return PeftLayers(layer).bare(loaded_state(layer, layer.state_dict()))

    def _own_prefixes(self) -> tuple[str, ...]:
        """What the names of the adapter's own weights begin with on the host, LoRA apart."""
        projector = f"{self.parts.base_prefix}{self.parts.projector}."
        return (f"{self.parts.base_prefix}{MODULE_NAME}.", *([projector] if self.owns_projector else []))

    def _seen_by_images(self) -> list[nn.Module]:
        """The modules of the adapter that only images pass."""
        owned = None if self._projector_weights is None else self._projector_weights.module
        return [module for module in (self._layer, owned) if module is not None]

    def _require_unchanged_host(self) -> None:
        changed = self._host_weights.changed(self.model)
        if changed:
            raise HostMismatchError(
                explain(
                    "host weights that are not the adapter's have changed since it was attached, and are not saved "
                    "with it: on the host it was made for it would be another one.",
                    changed=f"{len(changed)}: {', '.join(changed[:3])}{' ...' if len(changed) > 3 else ''}",
                    to_do="attach(..., train_projector=True) or lora= for what is to train with it, and leave the host "
                    "frozen; or allow_changed_host=True, and save the host as well: host.save_pretrained(...)",
                )
            )

    def _require_attached(self) -> None:
        if not self._attached:
            raise HostError("this adapter was detached; attach() or load_adapter() makes a new one")

    def _require_projector(self) -> SwitchedWeights:
        self._require_attached()
        if self._projector_weights is None:
            raise HostError("this adapter does not own its projector; attach with train_projector=True")
        return self._projector_weights

    def _require_lora(self) -> LanguageModelLora:
        self._require_attached()
        if self._lora is None:
            raise HostError("this adapter has no LoRA; attach with lora=")
        return self._lora

    def _set_active(self, active: bool) -> None:
        self._require_attached()
        self._switch.wanted = active
        if self._projector_weights is not None:
            self._projector_weights.use(adapter=active)
        if self._lora is not None:
            self._lora.enable(on=active)
