"""Attach an adapter to a host, switch it, take it off.

The host keeps its class and its API. What attaching adds, detaching removes: one submodule (so that ``.to()``,
``parameters()``, DDP and FSDP see the adapter), the seam's hooks, and an override of ``save_pretrained`` that writes
the host as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from parrot_adapters.bare_save import MODULE_NAME, BareSave
from parrot_adapters.build import build_layer
from parrot_adapters.config import AdapterConfig
from parrot_adapters.errors import AlreadyAttachedError, ConfigError, HostError, explain
from parrot_adapters.interop.chat_format import ChatFormat
from parrot_adapters.interop.native import NativeSeam, declare_languages, undeclare_languages
from parrot_adapters.interop.parts import HostParts, find_parts
from parrot_adapters.interop.prompt import TextScope
from parrot_adapters.interop.switch import SwitchedWeights
from parrot_adapters.plugins import manager
from parrot_adapters.routing_log import RoutingRecord, recording

if TYPE_CHECKING:
    from parrot_adapters.core import AlignmentLayer
    from parrot_adapters.interop.lora import LanguageModelLora

__all__ = ["Attachment", "attach", "attachment_of"]

HANDLE_NAME = "_parrot_attachment"


def attach(
    model: Any,
    config: AdapterConfig | Mapping[str, Any] | None = None,
    *,
    processor: Any = None,
    train_projector: bool = False,
    lora: Any = None,
    self_test: Mapping[str, Any] | None = None,
) -> Attachment:
    """Attach a new adapter to a vision-language model of transformers.

    With built-in experts the host's outputs do not change by a bit until the adapter is trained.

    Args:
        model: the host. It keeps its class; a PEFT model is looked through.
        config: what to attach; None means ``AdapterConfig()``.
        processor: the host's processor or tokenizer. From its chat template the adapter learns where a user's turn
            begins and ends, and stores that with the checkpoint; a language detector needs it too.
        train_projector: let the adapter own the projector's weights: they are made trainable, saved with the
            adapter, and ``disabled()`` and ``detach()`` give the host its own back.
        lora: a ``peft.LoraConfig`` (or its arguments) for the host's language model; belongs to the adapter likewise.
        self_test: inputs of the host with at least one image; :func:`parrot_adapters.self_test` is run on them.

    Returns:
        The handle. Usable as a context manager that detaches.

    Raises:
        HostError: not a host with vision, or one the seam cannot reach.
        AlreadyAttachedError: it carries an adapter.
        ConfigError: unknown names or impossible settings (:class:`UnknownNameError` for routers, experts ...).
        SelfTestError: the adapter does not act on this host as it should. Nothing stays attached.
    """
    config = _as_config(config)
    parts = _free_host(model, config)
    layer = build_layer(_resolved(config, parts), parts.width)
    handle = assemble(
        parts,
        _resolved(config, parts),
        layer,
        chat=ChatFormat() if processor is None else ChatFormat.from_processor(processor),
        detector=_detector(config, processor),
        owns_projector=train_projector,
        lora=lora,
    )
    if train_projector and handle.projector is not None:
        handle.projector.requires_grad_(True)
    if self_test is not None:
        from parrot_adapters.selftest import self_test as run_self_test

        try:
            run_self_test(handle, self_test)
        except BaseException:
            handle.detach()
            raise
    return handle


def attachment_of(model: Any) -> Attachment | None:
    """The handle of the adapter a model carries, or None. A deep copy of a host has a handle of its own."""
    inner = model.get_base_model() if callable(getattr(model, "get_base_model", None)) else model
    return inner.__dict__.get(HANDLE_NAME)


class Attachment:
    """An adapter on a host: switch it, watch it, save it, take it off. Made by :func:`attach` and ``load_adapter``.

    Attributes:
        model: the host.
        config: with ``summary`` resolved.
        parts: where the host's parts are.
    """

    def __init__(
        self,
        parts: HostParts,
        config: AdapterConfig,
        layer: AlignmentLayer,
        chat: ChatFormat,
        detector: Callable[[Tensor, Tensor], list[str | None]] | None,
    ) -> None:
        self.parts, self.config, self.chat = parts, config, chat
        self._layer = layer
        self._seam = NativeSeam(parts, layer, TextScope.of(config.text_scope, parts, chat), detector)
        self._switch: SwitchedWeights | None = None
        self._lora: LanguageModelLora | None = None
        self._host_flags: dict[str, bool] = {}
        self._host_attributes: dict[str, Any] = {}
        self._replaced: tuple[str, ...] = ()
        self._attached = False

    # --- looking -----------------------------------------------------------------------------------------------

    @property
    def model(self) -> Any:
        """The host."""
        return self.parts.outer

    @property
    def module(self) -> AlignmentLayer:
        """The adapter's own module; its ``parameters()`` are the adapter's."""
        return self._layer

    @property
    def projector(self) -> nn.Module | None:
        """The host's projector."""
        return self.parts.module(self.parts.projector)

    @property
    def active(self) -> bool:
        """Whether the host currently runs with the adapter."""
        return self._attached and self._seam.enabled

    def parameters(self) -> Iterator[nn.Parameter]:
        """Everything that belongs to the adapter: its module, the projector and LoRA where it owns them."""
        yield from self._layer.parameters()
        if self._switch is not None:
            yield from self._switch.module.parameters()
        if self._lora is not None:
            yield from self._lora.parameters()

    def parameter_report(self) -> dict[str, dict[str, int]]:
        """``{part: {"parameters": n, "trainable": m}}`` for adapter, projector, vision tower, language model, rest."""
        owner: dict[int, str] = {id(p): "adapter" for p in self._layer.parameters()}
        if self._lora is not None:
            owner |= {id(p): "lora" for p in self._lora.parameters()}
        for part in ("projector", "vision_tower", "language_model"):
            module = self.parts.module(getattr(self.parts, part))
            for parameter in module.parameters() if module is not None else ():
                owner.setdefault(id(parameter), part)
        report: dict[str, dict[str, int]] = {}
        for parameter in self.model.parameters():
            counts = report.setdefault(owner.get(id(parameter), "rest"), {"parameters": 0, "trainable": 0})
            counts["parameters"] += parameter.numel()
            counts["trainable"] += parameter.numel() if parameter.requires_grad else 0
        return report

    def print_trainable_parameters(self) -> None:
        """Print :meth:`parameter_report` as a table."""
        from rich.console import Console
        from rich.table import Table

        table = Table(title=f"{type(self.model).__name__} with {self.config.router} x {self.config.expert}")
        for column in ("part", "parameters", "trainable"):
            table.add_column(column, justify="left" if column == "part" else "right")
        for part, counts in self.parameter_report().items():
            table.add_row(part, f"{counts['parameters']:,}", f"{counts['trainable']:,}")
        Console().print(table)

    # --- switching ---------------------------------------------------------------------------------------------

    def freeze_host(self) -> None:
        """Stop gradients into everything that is not the adapter's; ``detach()`` restores what was trainable."""
        mine = {id(p) for p in self.parameters()}
        for parameter in self.model.parameters():
            parameter.requires_grad_(id(parameter) in mine)

    def enable(self) -> None:
        """Run the host with the adapter (projector and LoRA included)."""
        self._set_active(True)

    def disable(self) -> None:
        """Run the bare host, bit for bit, until :meth:`enable`."""
        self._set_active(False)

    @contextmanager
    def disabled(self) -> Iterator[Attachment]:
        """The bare host inside the block, its own projector and language model included."""
        before = self._seam.enabled
        self._set_active(False)
        try:
            yield self
        finally:
            if self._attached:  # unless it was detached inside the block
                self._set_active(before)

    @contextmanager
    def languages(self, languages: Sequence[str | None]) -> Iterator[None]:
        """Declare the language of each prompt of the batches inside the block (BCP-47 tags, None for unknown).

        Routers that use languages read them; otherwise they only label :meth:`record_routing`.
        """
        if isinstance(languages, str) or not all(tag is None or isinstance(tag, str) for tag in languages):
            raise ConfigError(f"languages={languages!r} must be one tag or None per prompt, for example ['tr', None]")
        token = declare_languages(self._seam, tuple(languages))
        try:
            yield
        finally:
            undeclare_languages(token)

    @contextmanager
    def record_routing(self, *, graph: bool = False) -> Iterator[list[RoutingRecord]]:
        """Collect a :class:`RoutingRecord` for every pass through the adapter inside the block, in this context only.

        Args:
            graph: keep the autograd graph, for auxiliary losses.
        """
        with recording(id(self._seam), graph=graph) as log:
            yield log

    @contextmanager
    def observe(self, observer: Callable[[RoutingRecord], object]) -> Iterator[None]:
        """Call ``observer`` with a :class:`RoutingRecord` (no graph) after every pass inside the block.

        Unlike :meth:`record_routing` this holds in every thread, and keeps nothing. Plugins offer observers that are
        there from the start through the hook ``register_observers``.
        """
        self._seam.observers = (*self._seam.observers, observer)
        try:
            yield
        finally:
            kept = list(self._seam.observers)
            kept.remove(observer)
            self._seam.observers = tuple(kept)

    def detach(self) -> None:
        """Give the host back as it was, bit for bit. Detaching twice does nothing."""
        if not self._attached:
            return
        self._set_active(False)
        self._seam.remove()
        if self._lora is not None:
            self._lora.remove()
        delattr(self.parts.base, MODULE_NAME)
        self._restore_attributes()
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(self._host_flags.get(name, parameter.requires_grad))
        self._attached = False

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
        from parrot_adapters.reference import to_reference

        return to_reference(self._layer, self.config)

    def save_pretrained(self, directory: str | Path) -> None:
        """Save the adapter alone: config, weights, and projector and LoRA where it owns them.

        Args:
            directory: created if needed; an adapter already there is replaced, other files stay. At any moment the
                directory holds the old adapter or the new one, whole.

        Raises:
            CheckpointError: the directory cannot be written.
            HostError: the adapter was detached.
        """
        from parrot_adapters.checkpoint import save_adapter

        self._require_attached()
        save_adapter(self, Path(directory))

    def push_to_hub(self, repo_id: str, **options: Any) -> Any:
        """Save and upload to the Hugging Face Hub; ``options`` go to ``HfApi.upload_folder``."""
        import tempfile

        from huggingface_hub import HfApi

        api = HfApi()
        api.create_repo(repo_id, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return api.upload_folder(repo_id=repo_id, folder_path=folder, **options)

    # --- inside ------------------------------------------------------------------------------------------------

    def _install(self, *, owns_projector: bool, lora: Any) -> None:
        host, base = self.model, self.parts.base
        self._host_flags = {name: p.requires_grad for name, p in host.named_parameters()}
        if owns_projector:
            if self.projector is None:
                raise HostError(
                    explain(
                        f"no projector found in {type(host).__name__}, so the adapter cannot own it.",
                        looked_for=", ".join(self.parts.spec.projector),
                        to_do='name it: AdapterConfig(host_options={"projector": ["path.of.it"]})',
                    )
                )
            self._switch = SwitchedWeights(self.projector)
        if lora is not None:
            from parrot_adapters.interop.lora import LanguageModelLora

            self._lora = LanguageModelLora(self.parts, lora, self.config.seed)
        # From here on nothing fails: the host gets all of it or, on an error above, none.
        base.add_module(MODULE_NAME, self._layer)
        self._layer.train(host.training)
        self._seam.install()
        self._replace_attributes()
        self._attached = True

    def _require_attached(self) -> None:
        if not self._attached:
            raise HostError("this adapter was detached; attach() or load_adapter() makes a new one")

    def _set_active(self, active: bool) -> None:
        self._require_attached()
        self._seam.enabled = active
        if self._switch is not None:
            self._switch.use(adapter=active)
        if self._lora is not None:
            self._lora.enable(on=active)

    def _replace_attributes(self) -> None:
        """Put what stands in for the host's own on the instance, and remember what was there."""
        own = self.model.__dict__
        prefix = f"{self.parts.base_prefix}{MODULE_NAME}."
        adapter = {f"{prefix}{name}" for name in self._layer.state_dict()}
        replacements = {
            HANDLE_NAME: self,
            "save_pretrained": BareSave(self),
            "_keys_to_ignore_on_save": adapter | set(getattr(self.model, "_keys_to_ignore_on_save", None) or ()),
        }
        self._host_attributes = {name: own[name] for name in replacements if name in own}
        self._replaced = tuple(replacements)
        own.update(replacements)

    def _restore_attributes(self) -> None:
        own = self.model.__dict__
        for name in self._replaced:
            own.pop(name, None)
        own.update(self._host_attributes)


def assemble(
    parts: HostParts,
    config: AdapterConfig,
    layer: AlignmentLayer,
    *,
    chat: ChatFormat,
    detector: Callable[[Tensor, Tensor], list[str | None]] | None = None,
    owns_projector: bool = False,
    lora: Any = None,
) -> Attachment:
    """Put a finished layer on a host that was checked to be free."""
    weight = parts.base.get_input_embeddings().weight
    layer.to(device=weight.device)
    handle = Attachment(parts, config, layer, chat, detector)
    made = [component.factory(handle) for component in manager.components("observer")]
    handle._seam.observers = tuple(observer for observer in made if observer is not None)
    handle._install(owns_projector=owns_projector, lora=lora)
    return handle


def _as_config(config: AdapterConfig | Mapping[str, Any] | None) -> AdapterConfig:
    if config is None:
        return AdapterConfig()
    if isinstance(config, Mapping):
        return AdapterConfig.from_dict(config)
    if not isinstance(config, AdapterConfig):
        raise ConfigError(f"config must be an AdapterConfig, not {type(config).__name__}")
    return config


def _free_host(model: Any, config: AdapterConfig) -> HostParts:
    parts = find_parts(model, config.host_options)
    # The model with head and the base model inside it are one host.
    if attachment_of(model) is not None or hasattr(parts.base, MODULE_NAME):
        raise AlreadyAttachedError(
            explain(
                f"this {type(model).__name__} carries an adapter already.",
                to_do="handle.detach() first; parrot_adapters.attachment_of(model) finds the handle",
            )
        )
    return parts


def _resolved(config: AdapterConfig, parts: HostParts) -> AdapterConfig:
    if config.summary == "auto":
        summary = "mean" if parts.spec.summary == "cls" and not parts.has_cls else parts.spec.summary
        config = AdapterConfig.from_dict({**config.to_dict(), "summary": summary})
    if config.summary == "cls" and not parts.has_cls:
        missing = "nothing is known of this host's" if parts.spec.cls is None else "this host's tower has none"
        raise HostError(
            explain(
                f"summary='cls' needs the vision tower's CLS token, and {missing}.",
                given=f"model_type {parts.model_type!r}",
                to_do="use summary='mean', or install the plugin that knows the family "
                "(LLaVA: pip install parrot-host-llava)",
            )
        )
    return config


def _detector(config: AdapterConfig, processor: Any) -> Callable[[Tensor, Tensor], list[str | None]] | None:
    if config.detector is None:
        return None
    if processor is None:
        raise ConfigError(f"detector={config.detector!r} reads text, so attach() needs processor=")
    tokenizer = getattr(processor, "tokenizer", processor)
    return manager.find("detector", config.detector, asked_by="AdapterConfig.detector").factory(tokenizer)
