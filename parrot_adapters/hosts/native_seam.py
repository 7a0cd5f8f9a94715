"""The native seam: hand the host its images already aligned, through the argument it has for encoded images.

A transformers host takes ``mm_encoder_outputs={"image": ModelOutput}`` in place of pixels, and ``generate`` itself
encodes images first and passes them that way. So there are two places to align, and both see the whole prompt:

* ``forward``: what stands in its place on the base model's instance (``base_call.py``) has the pixels encoded as
  generate does, aligned, and the outputs passed on. On decode steps there are none, and all is as it was at once.
  Labels never reach the base model by themselves; a pre-hook on the outer model, the only hook that a decode step
  meets, adds them to its arguments under a name of ours, which every host passes on to its base model, where they are
  taken off again.
* ``generate``: an override of the one private helper that encodes, on the instance. Aligning here, *once, with the
  full prompt*, keeps beams, chunked prefill, ``use_cache=False`` and assisted decoding on the right text. The outputs
  are marked, so that the base model's call leaves them alone.

How an encoded picture is aligned is in ``align_outputs.py``, what the adapter is asked in ``adapter_pass.py``. Wrapping
``get_image_features`` instead would be silently dead inside generate. Everything installed is a bound method or a plain
object, never a closure: a deep copy of the host gets its own seam, and pickling works where the bare host's does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from parrot_adapters.hosts.align_outputs import OutputAlignment
from parrot_adapters.hosts.aligned_outputs import AlreadyAligned, aligned_copy, with_columns
from parrot_adapters.hosts.base_call import BaseCall
from parrot_adapters.hosts.call_arguments import LABELS, named_arguments, require_further_arguments
from parrot_adapters.hosts.generation_override import GENERATION_HELPER, GenerationOverride
from parrot_adapters.hosts.generation_prompt import generation_prompt
from parrot_adapters.hosts.visual_tokens import VisualTokens

__all__ = ["NativeSeam"]


class NativeSeam(OutputAlignment):
    """Connects an :class:`AlignmentLayer` to a host; arguments as for :class:`AdapterPass`.

    Attributes:
        base_call: stands in place of the base model's ``forward``; several adapters of one host share it.
    """

    name = "native"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hooks: list[Any] = []
        self.base_call = BaseCall(self.parts.base)
        self._override: GenerationOverride | None = None
        self._pixels = tuple(e.pixels for e in self.parts.encoders.values())
        self._visual = (*self._pixels, "mm_encoder_outputs")

    def install(self) -> None:
        """Put everything in place."""
        self._is_installed = True
        base, outer = self.parts.base, self.parts.outer
        # transformers sets it on every module that has the attribute; what was switched on before is looked up.
        self._layer.gradient_checkpointing = any(getattr(m, "gradient_checkpointing", False) for m in base.modules())
        if outer is not base:
            require_further_arguments(outer)
            self._hooks = [outer.register_forward_pre_hook(self.pass_labels, with_kwargs=True)]
        if self.sites is not None:
            self.sites.install()
        self.base_call.around_calls(self.before_forward, None if self.sites is None else self.after_forward)
        if hasattr(type(outer), GENERATION_HELPER):
            self._override = GenerationOverride(self)
            self._override.put()

    def remove(self) -> None:
        """Take every trace of the seam off the host, however far :meth:`install` came."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._is_installed = [], False
        self.base_call.around_calls(None)
        if self.sites is not None:
            self.sites.remove()
        if self._override is not None:
            self._override.remove()
            self._override = None

    # --- what the host calls -----------------------------------------------------------------------------------

    def pass_labels(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Hand the labels of a call on to the base model; see :data:`LABELS`."""
        labels = kwargs.get("labels")
        if labels is None and args:
            labels = named_arguments(module, args, {}).get("labels")
        return None if labels is None or not self.enabled else (args, {**kwargs, LABELS: labels})

    def before_forward(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Replace pixels, or unaligned outputs, by aligned outputs."""
        labels = kwargs.get("labels") if self.parts.outer is self.parts.base else None
        if LABELS in kwargs:  # taken off whatever follows: what is inside the base model knows no such argument
            labels = kwargs[LABELS]
            kwargs = {name: value for name, value in kwargs.items() if name != LABELS}
        if not args and not self._has_images(kwargs):  # a decode step, or a prompt without images
            self._enter_text_only()
            return args, kwargs
        if not self.enabled:
            self._enter_text_only()
            return self._bare_call(module, args, kwargs) or (args, kwargs)
        call = self._image_call(module, args, kwargs)
        if call is None:
            self._enter_text_only()
            return args, kwargs
        outputs = call["mm_encoder_outputs"]
        if self.sites is not None or any(map(self._is_pending, outputs.values())):
            reading = self._read(outputs, call, labels)
            found = self._find(outputs, call, reading, enters=True)  # here a compiled call leaves its graph
            call["mm_encoder_outputs"] = aligned = self.run_adapter(outputs, call, reading, found)
            self._tell_layers(aligned, found.tokens)
        return (), call

    def after_forward(self) -> None:
        """The layers have run, or failed: what they had to know of this call goes."""
        if self.sites is not None:
            self.sites.calls.leave()

    def before_generation(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run inside ``generate``, where it encodes the images; the full prompt is at hand only here."""
        call, seen = generation_prompt(original, args, kwargs)  # before the pixels are taken off
        model_kwargs: dict[str, Any] = original(*args, **kwargs)
        outputs = model_kwargs.get("mm_encoder_outputs")
        if not self.enabled or not outputs:
            return model_kwargs
        aligned = self.align_outputs(outputs, call, None, seen)
        if self.sites is not None:
            field = self.parts.spec.feature_attribute
            aligned = {m: with_columns(o, field) if isinstance(o, AlreadyAligned) else o for m, o in aligned.items()}
        return model_kwargs | {"mm_encoder_outputs": aligned}

    def _enter_text_only(self) -> None:
        if self.sites is not None:
            if torch.is_grad_enabled() and not torch.compiler.is_compiling():
                self.sites.prepare_recomputation()
            self.sites.calls.enter(None)

    def _has_images(self, kwargs: Mapping[str, Any]) -> bool:
        for name in self._visual:  # noqa: SIM110 (every decode step comes by; a generator costs as much again)
            if kwargs.get(name) is not None:
                return True
        return False

    def _image_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
        """The arguments of a call with images, by name, its pixels encoded; None of any other call."""
        call = named_arguments(module, args, kwargs)
        outputs = dict(call.get("mm_encoder_outputs") or {})
        if not any(out is not None for out in outputs.values()):
            for modality, encoder in self.parts.encoders.items():
                if call.get(encoder.pixels) is not None:
                    outputs[modality] = encoder.encode(module, call)
                    call[encoder.pixels] = None
        if not outputs:
            return None
        call["mm_encoder_outputs"] = outputs
        return call

    def _bare_call(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The adapter was switched off inside ``generate``: the host gets no columns that it does not know."""
        if self.sites is None:
            return None
        call = named_arguments(module, args, kwargs)
        outputs = call.get("mm_encoder_outputs") or {}
        if not any(isinstance(output, AlreadyAligned) for output in outputs.values()):
            return None
        field = self.parts.spec.feature_attribute
        bare = {m: self._without_columns(output) for m, output in outputs.items()}
        call["mm_encoder_outputs"] = {
            m: aligned_copy(o, field, getattr(o, field), None) if isinstance(o, AlreadyAligned) else o
            for m, o in bare.items()
        }
        return (), call

    def _tell_layers(self, outputs: Mapping[str, Any], tokens: VisualTokens | None) -> None:
        """Say how much of each expert every visual token of the running call gets."""
        if self.sites is None or tokens is None:
            return
        weights = [o.token_weights for o in outputs.values() if getattr(o, "token_weights", None) is not None]
        tokens.units = self.layer.layer_experts.units(torch.cat(weights))
