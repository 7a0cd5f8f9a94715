"""Put an adapter on a host: a new one, or (with :func:`attach_layer`) a layer that is finished already."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.adapter.expert_sizes import default_hidden_size
from parrot_adapters.adapter.handle import Attachment, attachment_of
from parrot_adapters.adapter.prepare_adapter import Detector, as_adapter_config, prepare_adapter
from parrot_adapters.errors import AlreadyAttachedError, ConfigError, HostError, explain
from parrot_adapters.hosts.chat_format import ChatFormat
from parrot_adapters.hosts.host_parts import MODULE_NAME, HostParts, find_parts
from parrot_adapters.hosts.offloaded_weights import running_device
from parrot_adapters.hosts.quantised_weights import is_quantised
from parrot_adapters.hosts.restored_on_failure import restored_on_failure
from parrot_adapters.hosts.sharded_weights import is_partitioned_by_zero
from parrot_adapters.plugins import manager, shielded

if TYPE_CHECKING:
    from parrot_adapters.core import AlignmentLayer

__all__ = [
    "attach",
    "attach_layer",
    "attach_projector",
    "bare_on_failure",
    "find_unattached_parts",
]


def attach(
    model: Any,
    config: AdapterConfig | Mapping[str, Any] | None = None,
    *,
    processor: Any = None,
    train_projector: bool = False,
    lora: Any = None,
    freeze_host: bool = True,
    self_test: Mapping[str, Any] | None = None,
) -> Attachment:
    """Attach a new adapter to a vision-language model of transformers.

    With built-in experts the host's outputs do not change by a bit until the adapter is trained.

    Args:
        model: Host, a vision-language model of transformers. It keeps its class; a PEFT model is looked through.
        config: Settings of the adapter, as an :class:`AdapterConfig` or a mapping of its fields; None (default) means
            ``AdapterConfig()``.
        processor: Processor or tokenizer of the host. From its chat template the adapter learns where a user's turn
            begins and ends, which it stores when it is saved; a language detector needs it too. None (default): the
            whole prompt is routing text where nothing else marks the turn's end.
        train_projector: Whether the adapter owns the projector's weights (default: no). They are made trainable and
            saved with the adapter, and ``disabled()`` and ``detach()`` give the host its own back.
        lora: A ``peft.LoraConfig``, or a mapping of its arguments, for the host's language model; it belongs to the
            adapter likewise. None (default) for none.
        freeze_host: Whether gradients into the host's own weights are stopped, as ``get_peft_model`` does (default:
            yes); ``detach()`` gives back what was trainable. False leaves the host as it is, to train it as well.
            What peft added to the host goes on training either way.
        self_test: Inputs of the host with at least one image, on which :func:`parrot_adapters.self_test` is run; None
            (default) runs none.

    Returns:
        The handle. As a context manager it detaches on leaving.

    Raises:
        HostError: Not a host with vision, one that the seam cannot reach, one that was compiled already, or one whose
            projector is quantised (with ``train_projector``).
        AlreadyAttachedError: The host carries an adapter.
        ConfigError: Unknown names or impossible settings (:class:`UnknownNameError` for routers, experts ...).
        SelfTestError: The adapter does not act on this host as it should. Nothing stays attached.
    """
    for name, flag in (("train_projector", train_projector), ("freeze_host", freeze_host)):
        if not isinstance(flag, bool):
            raise ConfigError(f"{name} must be True or False, not {flag!r}")
    config = as_adapter_config(config)
    parts = find_unattached_parts(model, config)
    made = prepare_adapter(
        parts, config, processor=processor, chat=ChatFormat(), owns_projector=train_projector, lora=lora
    )
    with bare_on_failure(model, parts, owns_projector=train_projector):
        handle = attach_layer(
            parts,
            made.config,
            made.layer,
            chat=made.chat,
            detector=made.detector,
            owns_projector=train_projector,
            lora=lora,
            freeze_host=freeze_host,
            wrapper=model,
        )
        if train_projector and handle.projector is not None:
            handle.projector.requires_grad_(True)
        if self_test is not None:
            from parrot_adapters.adapter.self_test import self_test as run_self_test

            run_self_test(handle, self_test)
        return handle


def attach_projector(
    model: Any, *, processor: Any = None, lora: Any = None, host_options: Any = None, freeze_host: bool = True
) -> Attachment:
    """Attach the host's own projector as an adapter: stage 1 of PARROT, where no experts are in the way yet.

    The handle owns the projector (trainable, saved, switched and given back as with ``attach(train_projector=True)``)
    and has no module: ``handle.module`` is None, and the host runs its own code throughout.

    Args:
        model: Host, a vision-language model of transformers.
        processor: Processor or tokenizer of the host, whose chat format is stored when the adapter is saved; None
            (default) stores none.
        lora: A ``peft.LoraConfig``, or a mapping of its arguments, for the host's language model; None (default) for
            none.
        freeze_host: Whether gradients into the rest of the host are stopped (default: yes), as for :func:`attach`.
        host_options: Mapping of fields of the :class:`HostSpec` to override, for example where the projector is; None
            (default) overrides none.

    Returns:
        The handle. As a context manager it detaches on leaving.

    Raises:
        HostError: Not a host with vision, one that was compiled already, or its projector is quantised or not where
            it should be.
        AlreadyAttachedError: The host carries an adapter.
    """
    config = AdapterConfig(host_options=dict(host_options or {}))
    parts = find_unattached_parts(model, config)
    config = replace(config, expert_hidden_size=default_hidden_size(None, parts.width))
    chat = ChatFormat() if processor is None else ChatFormat.from_processor(processor)
    with bare_on_failure(model, parts, owns_projector=True):
        handle = attach_layer(
            parts,
            config,
            None,
            chat=chat,
            owns_projector=True,
            lora=lora,
            freeze_host=freeze_host,
            wrapper=model,
        )
        if handle.projector is not None:
            handle.projector.requires_grad_(True)
        return handle


def bare_on_failure(model: Any, parts: HostParts, *, owns_projector: bool) -> AbstractContextManager[None]:
    """Leave nothing on a host that carries no adapter when the block fails, whatever it was.

    Args:
        model: Host, or what is around it.
        parts: The host, taken apart.
        owns_projector: Whether the block gives its projector other weights.
    """
    projector = parts.module(parts.projector) if owns_projector else None
    owned = () if projector is None else (*projector.parameters(), *projector.buffers())
    # What is quantised cannot be owned; its library may pack it anew meanwhile.
    return restored_on_failure((model, parts.outer), tensors=[each for each in owned if not is_quantised(each)])


def attach_layer(
    parts: HostParts,
    config: AdapterConfig,
    layer: AlignmentLayer | None,
    *,
    chat: ChatFormat,
    detector: Detector | None = None,
    owns_projector: bool = False,
    lora: Any = None,
    freeze_host: bool = False,
    wrapper: Any = None,
    host_seen: Mapping[str, Any] | None = None,
) -> Attachment:
    """Put a finished layer, or none, on a host that was checked to be free, inside :func:`bare_on_failure`."""
    if layer is not None:
        embeddings = parts.base.get_input_embeddings()
        layer.to(device=running_device(embeddings, embeddings.weight))
    handle = Attachment(
        parts,
        config,
        layer,
        chat,
        detector,
        owns_projector=owns_projector,
        lora=lora,
        freeze_host=freeze_host,
        wrapper=wrapper,
        host_seen=host_seen,
    )
    if layer is not None:
        _add_observers(handle)
    return handle


def _add_observers(handle: Attachment) -> None:
    """Those that plugins offer."""
    for component, observer in manager.usable("observer", lambda component: component.factory(handle)):
        if observer is not None:
            handle.add_observer(shielded(observer, component))


def find_unattached_parts(model: Any, config: AdapterConfig) -> HostParts:
    """The parts of a host that carries no adapter.

    Raises:
        HostError: not a host, or one that was compiled.
        AlreadyAttachedError: it carries one.
    """
    inner = model.get_base_model() if callable(getattr(model, "get_base_model", None)) else model
    for part in (model, inner, getattr(inner, "base_model", None)):
        _refuse_compiled(part)
    parts = find_parts(model, config.host_options)
    if any(map(is_partitioned_by_zero, parts.outer.parameters())):
        raise HostError(
            explain(
                "ZeRO-3 has cut the host's weights up, so an adapter cannot be made for them.",
                given=f"{type(parts.outer).__name__} from inside deepspeed.zero.Init, or after deepspeed.initialize",
                to_do="attach to the whole host, then hand it to DeepSpeed. With a Trainer: load the host and attach "
                "before TrainingArguments(deepspeed=...) is made, which lets from_pretrained cut up what it loads",
            )
        )
    # The model with head and the base model inside it are one host.
    if attachment_of(model) is not None or hasattr(parts.base, MODULE_NAME):
        raise AlreadyAttachedError(
            explain(
                f"this {type(model).__name__} carries an adapter already.",
                to_do="handle.detach() first; parrot_adapters.attachment_of(model) finds the handle",
            )
        )
    return parts


def _refuse_compiled(model: Any) -> None:
    """Code compiled without the adapter may go on running without it: torch.compile does not watch for new hooks."""
    wrapped = hasattr(model, "_orig_mod")
    in_place = getattr(model, "_compiled_call_impl", None) is not None
    its_forward = hasattr(getattr(model, "forward", None), "_torchdynamo_orig_callable")
    if wrapped or in_place or its_forward:
        raise HostError(
            explain(
                "the host was compiled before the adapter was attached, so it might run without it.",
                given=f"{type(getattr(model, '_orig_mod', model)).__name__} after torch.compile",
                to_do="attach first, compile afterwards: attach(model, ...), then torch.compile(model)",
            )
        )
