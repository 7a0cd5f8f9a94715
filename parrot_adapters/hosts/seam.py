"""The native seam: hand the host its images already aligned, through the argument it has for encoded images.

A transformers host takes ``mm_encoder_outputs={"image": ModelOutput}`` in place of pixels, and ``generate`` itself
encodes images first and passes them that way. So there are two places to align, and both see the whole prompt:

* ``forward``: a pre-hook on the base model encodes the pixels as generate does, aligns, and passes the outputs on. On
  decode steps there are none, and the hook returns at once. Labels never reach the base model by themselves; a
  pre-hook on the outer model adds them to its arguments under a name of ours, which every host passes on to its base
  model, where they are taken off again.
* ``generate``: an override of the one private helper that encodes, on the instance. Aligning here, *once, with the
  full prompt*, keeps beams, chunked prefill, ``use_cache=False`` and assisted decoding on the right text. The outputs
  are marked, so that the forward hook leaves them alone.

Where experts stand inside the language model's layers, both places also say how much of each expert every visual token
gets, and the base model's pre-hook tells the layers where in the running call those tokens are (``visual_tokens.py``).

Aligning has three steps: reading the prompt, finding its items, running the adapter. The first and the last are made
of tensors alone. The second (``item_places.py``) is where this machine waits for the device, once, and where a call
that torch compiles leaves its graph: with no detour, so it stands in the hook itself.

Wrapping ``get_image_features`` instead would be silently dead inside generate. Everything installed is a bound method
or a plain object, never a closure: a deep copy of the host gets its own seam, and pickling works where the bare
host's does.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from parrot_adapters.core import Aligned, AlignmentLayer
from parrot_adapters.core.recomputation import runs_again
from parrot_adapters.core.routing_record import RoutingRecord, of_counted_rows, recordings_for
from parrot_adapters.errors import HostError, explain
from parrot_adapters.hosts import EncodedImages
from parrot_adapters.hosts.adapter_switch import AdapterSwitch
from parrot_adapters.hosts.aligned_outputs import AlreadyAligned, aligned_copy, with_columns, without_columns
from parrot_adapters.hosts.generation_prompt import generation_prompt
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.item_places import ItemPlaces, find_places
from parrot_adapters.hosts.layer_sites import LayerSites
from parrot_adapters.hosts.packed_rows import read_apart
from parrot_adapters.hosts.read_prompt import Prompt, TextScope, find_placeholders, read_prompt
from parrot_adapters.hosts.routing_units import RoutingUnits, flat_tokens, in_shape_of, tokens_by_element
from parrot_adapters.hosts.visual_tokens import VisualTokens

__all__ = ["GENERATION_HELPER", "LABELS", "MODULE_NAME", "NativeSeam", "named_arguments"]

MODULE_NAME = "parrot_adapter"  # of the adapter's module on the host's base model

GENERATION_HELPER = "_maybe_prepare_encoder_kwargs_for_generation"
# The argument in which the outer model's call hands its labels to the base model's: they travel with the call itself,
# so that the call after one that failed, another host and another thread never see them.
LABELS = "parrot_labels"

Languages = tuple[str | None, ...]
Logs = tuple[tuple[list[RoutingRecord], bool], ...]
Detector = Callable[[Tensor, Tensor], list[str | None]]

_languages: ContextVar[Mapping[int, Languages] | None] = ContextVar("parrot_languages", default=None)


class Reading(NamedTuple):
    """What the tensors of a call with images say, before anything is read off the device.

    Attributes:
        prompt: as the router reads it, packed rows apart; None where no output is left to align.
        placeholders: modality -> (R, S) bool in the host's own rows, where its layers want to know; else None.
    """

    prompt: Prompt | None
    placeholders: Mapping[str, Tensor] | None


class Found(NamedTuple):
    """What had to be read off the device or asked of the context, and is known here now.

    Attributes:
        units: modality -> routing units of each output that is still to be aligned, on its device.
        languages: of the prompts.
        logs: open for records in this context, and whether they want graphs.
        tokens: the visual tokens of a call that runs now, for the layers; None where none asks.
        runs_again: whether the whole call is recomputed in a backward pass, and was recorded before.
    """

    units: Mapping[str, RoutingUnits]
    languages: Languages | None
    logs: Logs
    tokens: VisualTokens | None
    runs_again: bool


class NativeSeam:
    """Connects an :class:`AlignmentLayer` to a host.

    Args:
        parts: the host.
        layer: the adapter.
        scope: which text is routing text.
        switch: says whether the adapter takes part in a call.
        detector: asked for languages when none were declared.
        sites: where ``layer.layer_experts`` stand in the host; None where it has none.
    """

    name = "native"

    def __init__(
        self,
        parts: HostParts,
        layer: AlignmentLayer,
        scope: TextScope,
        switch: AdapterSwitch,
        detector: Detector | None = None,
        sites: LayerSites | None = None,
    ) -> None:
        self.parts, self._layer, self.scope, self.switch, self.detector = parts, layer, scope, switch, detector
        self.sites = sites
        self.observers: OrderedDict[int, Callable[[RoutingRecord], object]] = OrderedDict()  # in the order added
        self._has_cls = parts.has_cls
        self._hooks: list[Any] = []
        self._is_installed = False  # beside the hooks themselves: torch.compile cannot ask those
        self._displaced: dict[str, Any] = {}  # what the host's instance had in place of its class's helper
        self._pixels = tuple(e.pixels for e in parts.encoders.values())
        self._visual = (*self._pixels, "mm_encoder_outputs")

    @property
    def layer(self) -> Any:
        """What is called: the adapter's module, or what peft has put in its place (``modules_to_save``)."""
        return self.parts.base._modules.get(MODULE_NAME, self._layer) if self._is_installed else self._layer

    @layer.setter
    def layer(self, layer: Any) -> None:
        self._layer = layer

    @property
    def enabled(self) -> bool:
        """Whether the adapter takes part in a call of this context."""
        return self.switch.on

    def install(self) -> None:
        """Put the hooks in place."""
        self._is_installed = True
        base, outer = self.parts.base, self.parts.outer
        # transformers sets it on every module that has the attribute; what was switched on before is looked up.
        self._layer.gradient_checkpointing = any(getattr(m, "gradient_checkpointing", False) for m in base.modules())
        if outer is not base:
            _require_further_arguments(outer)
        self._hooks = [base.register_forward_pre_hook(self.before_forward, with_kwargs=True)]
        if outer is not base:
            self._hooks.append(outer.register_forward_pre_hook(self.pass_labels, with_kwargs=True))
        if self.sites is not None:
            self._hooks.append(base.register_forward_hook(self.after_forward, always_call=True))
            self.sites.install()
        if hasattr(type(outer), GENERATION_HELPER):
            own = outer.__dict__
            self._displaced = {name: own[name] for name in (GENERATION_HELPER,) if name in own}
            own[GENERATION_HELPER] = _Override(self, GENERATION_HELPER)

    def remove(self) -> None:
        """Take every trace of the seam off the host, however far :meth:`install` came."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._is_installed = [], False
        if self.sites is not None:
            self.sites.remove()
        own = self.parts.outer.__dict__
        if isinstance(own.get(GENERATION_HELPER), _Override):
            del own[GENERATION_HELPER]
            own.update(self._displaced)

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
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Replace pixels, or unaligned outputs, by aligned outputs."""
        labels = kwargs.get("labels") if self.parts.outer is self.parts.base else None
        if LABELS in kwargs:  # taken off whatever follows: what is inside the base model knows no such argument
            labels = kwargs[LABELS]
            kwargs = {name: value for name, value in kwargs.items() if name != LABELS}
        if not self.enabled:
            self._enter_text_only()
            return self._bare_call(module, args, kwargs) or (args, kwargs)
        call = self._image_call(module, args, kwargs)
        if call is None:  # a decode step, or a prompt without images
            self._enter_text_only()
            return args, kwargs
        outputs = call["mm_encoder_outputs"]
        if self.sites is not None or any(map(self._is_pending, outputs.values())):
            reading = self._read(outputs, call, labels)
            found = self._find(outputs, call, reading, enters=True)  # here a compiled call leaves its graph
            call["mm_encoder_outputs"] = aligned = self.run_adapter(outputs, call, reading, found)
            self._tell_layers(aligned, found.tokens)
        return (), call

    def after_forward(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """The layers have run, or failed: what they had to know of this call goes."""
        if self.sites is not None:
            self.sites.calls.leave()

    def _enter_text_only(self) -> None:
        if self.sites is not None:
            if torch.is_grad_enabled() and not torch.compiler.is_compiling():
                self.sites.prepare_recomputation()
            self.sites.calls.enter(None)

    def _image_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
        """The arguments of a call with images, by name, its pixels encoded; None of any other call."""
        if not args and not any(kwargs.get(name) is not None for name in self._visual):
            return None
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

    def _without_columns(self, output: Any) -> Any:
        if self.sites is None or not isinstance(output, AlreadyAligned):
            return output
        return without_columns(output, self.parts.spec.feature_attribute, self.parts.width)

    def _tell_layers(self, outputs: Mapping[str, Any], tokens: VisualTokens | None) -> None:
        """Say how much of each expert every visual token of the running call gets."""
        if self.sites is None or tokens is None:
            return
        weights = [o.token_weights for o in outputs.values() if getattr(o, "token_weights", None) is not None]
        tokens.units = self.layer.layer_experts.units(torch.cat(weights))

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

    # --- aligning ----------------------------------------------------------------------------------------------

    def align_outputs(
        self, outputs: Mapping[str, Any], call: Mapping[str, Any], labels: Tensor | None, seen: int = 0
    ) -> dict[str, Any]:
        """Aligned copies of encoded images; those aligned before pass through. Nothing given is mutated.

        Args:
            outputs: modality -> ModelOutput.
            call: the host's arguments, for the prompt.
            labels: (R, S) or None.
            seen: leading positions of the prompt that a cache holds already; their images are not among ``outputs``.
        """
        reading = self._read(outputs, call, labels)
        return self.run_adapter(outputs, call, reading, self._find(outputs, call, reading, seen))

    def _is_pending(self, output: Any) -> bool:
        return output is not None and not isinstance(output, AlreadyAligned)

    def _pending(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs that are still to be aligned, by modality."""
        return {m: o for m, o in outputs.items() if m in self.parts.encoders and self._is_pending(o)}

    def _read(self, outputs: Mapping[str, Any], call: Mapping[str, Any], labels: Tensor | None) -> Reading:
        """What the tensors of a call say.

        Args:
            outputs: modality -> ModelOutput.
            call: the host's arguments.
            labels: (R, S) or None.
        """
        if not self._pending(outputs):
            return Reading(None, find_placeholders(self.parts, call))
        read, labels = read_apart(call, labels)
        prompt = read_prompt(self.parts, read, self.scope, labels)
        if self.sites is None:
            return Reading(prompt, None)
        return Reading(prompt, prompt.placeholders if read is call else find_placeholders(self.parts, call))

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _find(
        self,
        outputs: Mapping[str, Any],
        call: Mapping[str, Any],
        reading: Reading,
        seen: int = 0,
        *,
        enters: bool = False,
    ) -> Found:
        """What has to be read off the device, and what the context has to say.

        Args:
            outputs: modality -> ModelOutput.
            call: the host's arguments.
            reading: of this call.
            seen: leading positions of the prompt that a cache holds already; their images are not among ``outputs``.
            enters: whether the host runs this call now, so that its layers have to know it.
        """
        prompt, field = reading.prompt, self.parts.spec.feature_attribute
        units: dict[str, RoutingUnits] = {}
        languages = tokens = places = None
        if prompt is not None:
            places = find_places(prompt.placeholders)
            features = {m: getattr(o, field) for m, o in self._pending(outputs).items()}
            units = {m: places.units(m, f, self.parts.spec.unit, seen) for m, f in features.items() if len(f)}
            languages = self._languages(prompt)
        if enters and reading.placeholders is not None:
            same = prompt is not None and prompt.placeholders is reading.placeholders
            tokens = self._enter(outputs, places if places and same else find_places(reading.placeholders))
        return Found(units, languages, tuple(recordings_for(id(self.switch))), tokens, runs_again())

    def _enter(self, outputs: Mapping[str, Any], places: ItemPlaces) -> VisualTokens | None:
        """The host's layers run next, with the visual tokens of these outputs."""
        assert self.sites is not None
        if lost := [m for m, o in outputs.items() if isinstance(o, AlreadyAligned) and not self._has_weights(o)]:
            raise HostError(
                explain(
                    f"{', '.join(lost)} outputs were aligned before; their routing, which layers need, is lost.",
                    to_do="give the host pixels, or outputs of its own encoder",
                )
            )
        if torch.is_grad_enabled():
            self.sites.prepare_recomputation()
        field = self.parts.spec.feature_attribute
        routed = {m: tokens_by_element(getattr(o, field)) for m, o in outputs.items() if m in places.placeholders and o}
        counts = {m: sum(map(len, elements)) for m, elements in routed.items() if elements}
        tokens = None
        if counts and self.layer.layer_experts is not None:
            tokens = places.visual_tokens(counts)
        self.sites.calls.enter(tokens)
        return tokens

    def _has_weights(self, output: Any) -> bool:
        """Whether an output that was aligned before still says how, in whatever form."""
        return output.token_weights is not None or self._without_columns(output) is not output

    def run_adapter(
        self, outputs: Mapping[str, Any], call: Mapping[str, Any], reading: Reading, found: Found
    ) -> dict[str, Any]:
        """The last step of :meth:`align_outputs`.

        Args:
            outputs: modality -> ModelOutput.
            call: the host's arguments.
            reading: of this call.
            found: for it.
        """
        passed = {m: self._without_columns(o) for m, o in outputs.items()}
        if reading.prompt is None:
            return passed
        aligned = {
            m: self._align(m, out, call, reading.prompt, found.units[m], found)
            for m, out in self._pending(outputs).items()
            if m in found.units
        }
        return {**passed, **aligned}

    def _align(
        self,
        modality: str,
        output: Any,
        call: Mapping[str, Any],
        prompt: Prompt,
        units: RoutingUnits,
        found: Found,
    ) -> Any:
        spec = self.parts.spec
        features = getattr(output, spec.feature_attribute)
        tokens = flat_tokens(features)
        self._check_width(tokens)
        cls = None
        if spec.cls is not None:
            elements = tokens_by_element(features)
            cls = self._cls(EncodedImages(self.parts.base, modality, output, elements, call), units)
        result = self._run(tokens, units, prompt, cls, found.languages)
        if (found.logs or self.observers) and not found.runs_again:
            self._record(result, units, modality, found.languages, found.logs)
        weights = None
        if self.sites is not None:
            offsets = units.offsets.to(result.routing.weights.device)
            weights = self.layer.layer_experts.of_tokens(result.routing, offsets, tokens.shape[0])
        new = aligned_copy(output, spec.feature_attribute, in_shape_of(features, result.tokens), weights)
        deepstack = getattr(output, "deepstack_features", None)
        if deepstack is not None and spec.deepstack == "align":
            layers = [self._run(flat_tokens(layer), units, prompt, cls, found.languages).tokens for layer in deepstack]
            new.deepstack_features = [in_shape_of(a, b) for a, b in zip(deepstack, layers, strict=True)]
        return new

    def _run(
        self, tokens: Tensor, units: RoutingUnits, prompt: Prompt, cls: Tensor | None, languages: Languages | None
    ) -> Aligned:
        # A host spread over devices may make its visual tokens elsewhere than where the adapter lives.
        weight = next(self.layer.parameters(), tokens)
        device = tokens.device if weight.is_meta else weight.device  # offloaded: brought to where it is needed
        result: Aligned = self.layer(
            tokens.to(device),
            units.offsets.to(device),
            units.rows.to(device),
            prompt.text.to(device),
            prompt.routing_text.to(device),
            cls=None if cls is None else cls.to(device),
            token_ids=None if prompt.token_ids is None else prompt.token_ids.to(device),
            languages=languages,
        )
        return result._replace(tokens=result.tokens.to(tokens.device))

    def _cls(self, encoded: EncodedImages, units: RoutingUnits) -> Tensor | None:
        find = self.parts.spec.cls
        found = None if find is None or not self._has_cls else find(encoded)
        return None if found is None else found[units.items]

    def _check_width(self, tokens: Tensor) -> None:
        if tokens.shape[-1] != self.parts.width:
            raise HostError(
                explain(
                    f"the host's visual tokens have width {tokens.shape[-1]}, its text {self.parts.width}.",
                    given=f"model_type {self.parts.model_type!r}",
                    to_do="declare where this family's visual tokens have the language model's width in a HostSpec",
                )
            )

    def _languages(self, prompt: Prompt) -> Languages | None:
        declared = (_languages.get() or {}).get(id(self.switch))
        num_rows = prompt.routing_text.shape[0]
        if declared is not None:
            if len(declared) != num_rows:
                raise HostError(f"{len(declared)} languages were declared for a batch of {num_rows} prompts")
            return declared
        if self.detector is not None and prompt.token_ids is not None:
            return tuple(self.detector(prompt.token_ids, prompt.routing_text))
        return None

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _record(
        self, result: Aligned, units: RoutingUnits, modality: str, languages: Languages | None, logs: Logs
    ) -> None:
        routing = result.routing
        per_token = routing.routes_tokens(len(units.rows))
        record = RoutingRecord(
            weights=routing.weights.float(),
            logits=routing.logits,
            rows=units.rows,
            offsets=units.offsets,
            unit="token" if per_token else self.parts.spec.unit,
            modality=modality,
            active=routing.active,
            languages=languages,
            losses=dict(routing.losses) if routing.losses else None,
            abstain=routing.abstain,
            by_group=self._by_group(routing.weights),
        )
        if (counted := of_counted_rows(record)) is None:
            return
        record = counted
        for log, graph in logs:
            log.append(record if graph else record.detached())
        for observer in tuple(self.observers.values()):  # another thread may add or remove one meanwhile
            observer(record.detached())

    def _by_group(self, weights: Tensor) -> Tensor | None:
        inside = self.layer.layer_experts
        return None if inside is None or inside.groups == 1 else inside.weights_by_group(weights.float())


class _Override:
    """An instance-level stand-in for a method of the host: no closure, so deepcopy and pickle follow it."""

    def __init__(self, seam: NativeSeam, name: str) -> None:
        self.seam, self.name = seam, name
        self.__signature__ = inspect.signature(self.original)

    @property
    def original(self) -> Callable[..., Any]:
        outer = self.seam.parts.outer
        if self.name in self.seam._displaced:
            return self.seam._displaced[self.name]
        return getattr(type(outer), self.name).__get__(outer)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.seam.before_generation(self.original, *args, **kwargs)


def declare_languages(switch: AdapterSwitch, languages: Languages) -> Any:
    """Set the languages of the next calls in this context; undo with the returned token.

    Args:
        switch: of the handle, whichever of its adapters is active.
        languages: one for each prompt.
    """
    return _languages.set({**(_languages.get() or {}), id(switch): languages})


def undeclare_languages(token: Any) -> None:
    """Undo :func:`declare_languages`."""
    _languages.reset(token)


def _require_further_arguments(outer: nn.Module) -> None:
    if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(type(outer).forward).parameters.values()):
        raise HostError(
            explain(
                f"{type(outer).__name__}.forward takes no further keyword arguments (**kwargs), so labels cannot be "
                "passed on to the base model, where the adapter reads the prompt.",
                to_do="attach to the base model, or let forward take **kwargs and hand them to the base model",
            )
        )


def named_arguments(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    names = inspect.signature(type(module).forward).parameters if args else ()
    return {**dict(zip(list(names)[1:], args, strict=False)), **kwargs}
