"""Aligning what a host's vision side has encoded: reading the prompt, finding its items, running the adapter.

The first and the last step are made of tensors alone. The second (``item_places.py``) is where this machine waits for
the device, once, and where a call that torch compiles leaves its graph: with no detour, so it stands in the hook
itself.

Where experts stand inside the language model's layers, a call also says how much of each expert every visual token
gets, and tells the layers where in it those tokens are (``visual_tokens.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from parrot_adapters.core.recomputation import runs_again
from parrot_adapters.core.routing_record import recordings_for
from parrot_adapters.errors import HostError, explain
from parrot_adapters.hosts import EncodedImages
from parrot_adapters.hosts.adapter_pass import AdapterPass, Logs
from parrot_adapters.hosts.aligned_outputs import AlreadyAligned, aligned_copy, without_columns
from parrot_adapters.hosts.declared_languages import Languages
from parrot_adapters.hosts.item_places import find_places
from parrot_adapters.hosts.packed_rows import read_apart
from parrot_adapters.hosts.read_prompt import Prompt, find_placeholders, read_prompt
from parrot_adapters.hosts.routing_units import RoutingUnits, flat_tokens, in_shape_of, tokens_by_element
from parrot_adapters.hosts.visual_tokens import VisualTokens

__all__ = ["OutputAlignment"]


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


class OutputAlignment(AdapterPass):
    """Aligns outputs of a host's vision side; arguments as for :class:`AdapterPass`."""

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
        languages = tokens = None
        if prompt is not None:
            places = find_places(prompt.placeholders)
            features = {m: getattr(o, field) for m, o in self._pending(outputs).items()}
            units = {m: places.units(m, f, self.parts.spec.unit, seen) for m, f in features.items() if len(f)}
            languages = self._languages(prompt)
        if enters and reading.placeholders is not None:
            tokens = self._enter(outputs, reading.placeholders)
        return Found(units, languages, tuple(recordings_for(id(self.switch))), tokens, runs_again())

    def _enter(self, outputs: Mapping[str, Any], placeholders: Mapping[str, Tensor]) -> VisualTokens | None:
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
        routed = {m: tokens_by_element(getattr(o, field)) for m, o in outputs.items() if m in placeholders and o}
        counts = {m: sum(map(len, elements)) for m, elements in routed.items() if elements}
        tokens = None
        if counts and self.layer.layer_experts is not None:
            tokens = VisualTokens.at(placeholders, counts)
        self.sites.enter(tokens)
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

    def _without_columns(self, output: Any) -> Any:
        if self.sites is None or not isinstance(output, AlreadyAligned):
            return output
        return without_columns(output, self.parts.spec.feature_attribute, self.parts.width)
