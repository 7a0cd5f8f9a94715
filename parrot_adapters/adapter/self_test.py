"""Does the adapter act on this host as it should? The check for hosts that nobody declared.

The adapter's weights are perturbed for the duration, so that it does something, and five things are looked at:
it acts in ``forward``; what it does depends on the prompt's text, where its router declares that it reads text;
``generate`` starts from the very logits that ``forward`` gives (a seam that is dead inside generate, or routes on other
text there, fails here); without a cache, too, ``generate`` routes once, on the prompt, and not again on what it wrote;
and switched off, the host is itself to the bit.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from parrot_adapters.adapter.handle import Attachment, attachment_of
from parrot_adapters.core.evaluation_mode import evaluation_mode
from parrot_adapters.core.routing_record import RoutingRecord
from parrot_adapters.errors import HostError, ParrotError, ParrotWarning, SelfTestError, explain
from parrot_adapters.hosts.called_prompts import generation_arguments
from parrot_adapters.plugins import manager

__all__ = ["self_test"]


@torch.no_grad()
def self_test(model: Any, inputs: Mapping[str, Any], *, tolerance: float | None = None) -> None:
    """Check an attached adapter on real inputs of its host.

    Args:
        model: An attached host, or its handle.
        inputs: Mapping of keyword arguments of the host's forward with at least one image, as its processor makes
            them; no labels. Row 0 must hold text besides the image.
        tolerance: Largest difference allowed between the logits of forward and generate; None (default) for 1 % of the
            adapter's effect in float32, 30 % in half precision.

    Raises:
        HostError: Nothing is attached, or the inputs are no mapping or hold no image.
        SelfTestError: The adapter does not act, ignores the text though its router declares that it reads it, differs
            in generate, routes again there, or leaves traces when disabled.
    """
    handle = model if isinstance(model, Attachment) else attachment_of(model)
    if handle is None:
        raise HostError("self_test needs an attached host: call attach(model, ...) first")
    if not isinstance(inputs, Mapping):
        raise HostError(
            explain(
                "self_test needs inputs of the host: a mapping of its forward's arguments with at least one image.",
                given=type(inputs).__name__,
                to_do='for example inputs = processor(text=prompt, images=picture, return_tensors="pt")',
            )
        )
    if not any(isinstance(value, Tensor) for value in inputs.values()):
        raise HostError(
            explain(
                "self_test needs the host's inputs as tensors, with at least one image.",
                given=", ".join(map(str, inputs)) or "nothing",
                to_do='for example inputs = processor(text=prompt, images=picture, return_tensors="pt")',
            )
        )
    host = handle.model
    with evaluation_mode(host):
        with handle.disabled():
            bare = _logits(host, inputs)
        with _perturbed(handle.require_module()), _some_language(handle, inputs):
            _compare(handle, inputs, bare, tolerance)
            # While the adapter still has something to say: an untrained one that went on would not show.
            with handle.disabled():
                if not torch.equal(_logits(host, inputs), bare):
                    raise _failure(handle, "disabled(), the host does not give the logits it gave before")


def _compare(handle: Attachment, inputs: Mapping[str, Any], bare: Tensor, tolerance: float | None) -> None:
    host = handle.model
    with handle.record_routing() as log, _layers_left_out(handle) as left_out:
        adapted = _logits(host, inputs)
    if log and left_out:
        warnings.warn(
            f"the experts of {len(left_out)} linear layers do nothing, since the host does not call these layers with "
            f"visual tokens: {', '.join(sorted(left_out)[:4])}{' ...' if len(left_out) > 4 else ''}. Leave them out "
            "(AdapterConfig(layer_modules=..., layers=...))",
            ParrotWarning,
            stacklevel=4,
        )
    if not log and any(inputs.get(name) is not None for name in handle.parts.spec.pixels) and handle.seam == "calls":
        raise _failure(
            handle,
            "no declared call made visual tokens while a call that is given the prompt was running.",
            encoder_calls=", ".join(handle.parts.spec.encoder_calls),
            prompt_calls=", ".join(handle.parts.spec.prompt_calls),
        )
    if not log:
        raise HostError("the inputs hold no image, so there is nothing to test; pass pixel_values as well")
    moved = (adapted - bare).abs().max().item()
    if not moved > 0:
        raise _failure(handle, "the adapter ran, but the host's logits did not change: its visual tokens are not used")
    if _declares_text(handle) and handle.require_module().num_experts > 1:
        _text_matters(handle, inputs, log[0].logits)
    if not hasattr(host, "generate"):
        return
    given = generation_arguments(host, inputs)
    made = host.generate(**given, max_new_tokens=1, do_sample=False, return_dict_in_generate=True, output_logits=True)
    gaps = _first_step_gaps(made, adapted)
    # A dead seam is off by the whole effect; rounding is a small part of it.
    allowed = tolerance if tolerance is not None else (0.01 if bare.dtype == torch.float32 else 0.3) * moved
    if (
        gaps.max() > allowed
    ):  # rows padded on the right: some hosts continue the padding, at other positions than forward
        with handle.disabled():
            own = host.generate(
                **given, max_new_tokens=1, do_sample=False, return_dict_in_generate=True, output_logits=True
            )
        gaps = gaps[kept] if (kept := _first_step_gaps(own, bare) <= allowed).any() else gaps
    gap = gaps.max().item()
    if gap > allowed:
        raise _failure(
            handle,
            f"generate starts from other logits than forward gives: they differ by {gap:.3g}.",
            allowed=f"{allowed:.3g}",
            effect_of_the_adapter=f"{moved:.3g}",
        )
    _routed_once(handle, inputs, len(log))


def _bare_fails_too(handle: Attachment, arguments: Mapping[str, Any]) -> bool:
    """Whether the host's own generate fails on some arguments, without the adapter."""
    with handle.disabled():
        try:
            handle.model.generate(**arguments)
        except Exception:
            return True
    return False


@contextmanager
def _layers_left_out(handle: Attachment) -> Iterator[set[str]]:
    """Paths of the linear layers whose experts were not asked within the block, at its end: a host may have layers that
    it does not call (shared keys and values, fused kernels that take the weights)."""
    experts = handle.require_module().layer_experts
    left = set() if experts is None else set(experts.paths)
    hooks = [
        own.register_forward_pre_hook(lambda module, args, path=path: left.discard(path))
        for path, own in (() if experts is None else experts.each())
    ]
    try:
        yield left
    finally:
        for hook in hooks:
            hook.remove()


def _same_routing(one: list[RoutingRecord], other: list[RoutingRecord]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.allclose(first.weights, second.weights, atol=1e-4) for first, second in pairs)


def _first_step_gaps(made: Any, forward: Tensor) -> Tensor:
    """(R,) largest difference between the logits of a generation's first step and those of forward's last position."""
    return (made.logits[0].float() - forward[:, -1].float()).abs().amax(-1)


def _routed_once(handle: Attachment, inputs: Mapping[str, Any], passes: int) -> None:
    """Two tokens without a cache: the second step sees the whole row again, and must not route on the first's word."""
    given = generation_arguments(handle.model, inputs)
    settings = {"max_new_tokens": 2, "min_new_tokens": 2, "do_sample": False, "use_cache": False}
    try:
        with handle.record_routing() as log:
            handle.model.generate(**given, **settings)
    except ParrotError:
        raise
    except Exception:
        if _bare_fails_too(handle, given | settings):
            return  # it cannot write without a cache at all, so there is nothing to see
        raise
    if handle.seam == "calls" and len(log) == 2 * passes and _same_routing(log[:passes], log[passes:]):
        return  # such a host may encode at every step; each was routed on the prompt
    if len(log) != passes:
        raise _failure(
            handle,
            "generate without a cache does not route once, on the prompt, as forward does.",
            passes_through_the_adapter=f"{len(log)} for two tokens; forward takes {passes}",
            because="transformers no longer calls the private method that encodes images, or this host has its own",
        )


def _text_matters(handle: Attachment, inputs: Mapping[str, Any], logits: Tensor) -> None:
    """Swap every word of the prompt for another; routing must move."""
    ids = inputs.get("input_ids")
    if ids is None:
        return
    parts = handle.parts
    fixed = torch.stack([ids == e.token_id for e in parts.encoders.values()]).any(0)
    fixed |= torch.isin(ids, ids.new_tensor(handle.special_ids))
    frames = (*handle.chat.user_header, *handle.chat.assistant_header)
    fixed |= torch.isin(ids, ids.new_tensor(frames or (-1,)))
    size = parts.base.get_input_embeddings().num_embeddings
    other = torch.where(fixed, ids, (ids + size // 2).remainder(size))
    taken = torch.isin(other, ids.new_tensor([e.token_id for e in parts.encoders.values()])) & ~fixed
    other = torch.where(taken, ids, other)
    with handle.record_routing() as log:
        _logits(handle.model, {**inputs, "input_ids": other})
    if torch.equal(log[0].logits, logits):
        raise _failure(
            handle,
            "routing stayed the same when the prompt's text changed, though the router declares uses_text.",
            router=handle.config.router,
        )


def _some_language(handle: Attachment, inputs: Mapping[str, Any]) -> AbstractContextManager[None]:
    """A router that goes by declared languages abstains without one; declare one it knows."""
    tags = getattr(handle.require_module().router, "tags", ())
    rows = next(len(inputs[name]) for name in ("input_ids", "inputs_embeds") if inputs.get(name) is not None)
    return handle.languages([tags[0]] * rows) if tags else nullcontext()


def _declares_text(handle: Attachment) -> bool:
    """Whether the router says that it reads text; a control that does not, and one that says nothing, are no fault.

    A declaration stands on the router or, where a function makes it, on that function.
    """
    says: Any = handle.require_module().router
    if not hasattr(says, "conformance"):
        says = manager.find("router", handle.config.router, asked_by="AdapterConfig.router").factory
    while isinstance(says, functools.partial) and not hasattr(says, "conformance"):
        says = says.func
    return getattr(says, "conformance", {}).get("uses_text") is True


def _logits(host: nn.Module, inputs: Mapping[str, Any]) -> Tensor:
    out = host(**inputs)
    logits: Tensor | None = getattr(out, "logits", None)
    return out.last_hidden_state if logits is None else logits


@contextmanager
def _perturbed(module: nn.Module) -> Iterator[None]:
    """Noise on every weight, at the scale of the weights themselves, undone on leaving."""
    kept = {name: p.detach().clone() for name, p in module.named_parameters()}
    generator = torch.Generator().manual_seed(0)
    try:
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator).to(parameter)
            parameter.add_(noise * parameter.shape[-1] ** -0.5)
        yield
    finally:
        for name, parameter in module.named_parameters():
            parameter.copy_(kept[name])


def _failure(handle: Attachment, what: str, **facts: object) -> SelfTestError:
    return SelfTestError(
        explain(
            what,
            host=f"{type(handle.model).__name__} (model_type {handle.parts.model_type!r})",
            **facts,
            to_do="declare how this family is reached (parrot new host NAME begins a plugin with a HostSpec); "
            "a family whose forward takes no encoded images cannot be reached",
        )
    )
