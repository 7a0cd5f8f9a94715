"""The aligned visual tokens of a batch, without a pass through the language model."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from parrot_adapters.adapter.row_adapters import rows_here
from parrot_adapters.errors import ConfigError, ParrotWarning, PlaceholderError, explain
from parrot_adapters.hosts.adapter_switch import AdapterSwitch
from parrot_adapters.hosts.call_seam import CallSeam
from parrot_adapters.hosts.host_parts import MODALITIES
from parrot_adapters.hosts.item_places import find_places
from parrot_adapters.hosts.read_prompt import TextScope, find_placeholders
from parrot_adapters.hosts.routing_units import flat_tokens

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = ["encode"]


def encode(handle: Attachment, inputs: Mapping[str, Any]) -> dict[str, list[Tensor]]:
    """What the host's forward puts in the place of its placeholders; see :meth:`Attachment.encode`.

    Args:
        handle: The adapter's handle.
        inputs: Arguments of the host's forward.
    """
    parts = handle.parts
    given = {name: value for name, value in inputs.items() if value is not None}
    if "input_ids" not in given and "inputs_embeds" not in given:
        raise ConfigError(
            explain(
                "encode() needs the prompt: the adapter reads it, and its placeholders say whose the tokens are.",
                given=", ".join(given) or "nothing",
                to_do="handle.encode(**processor(text=..., images=..., return_tensors='pt'))",
            )
        )
    prompt = given.get("input_ids", given.get("inputs_embeds"))
    if not isinstance(prompt, Tensor):
        raise ConfigError(
            explain(
                f"encode() needs the prompt as a tensor, not {type(prompt).__name__}.",
                to_do="handle.encode(**processor(text=..., images=..., return_tensors='pt'))",
            )
        )
    if parts.spec.encoder_calls:
        made = _encoded_by_calls(handle, given)
        return {m: made if m == parts.spec.called_modality else [] for m in MODALITIES}
    block = rows_here(parts)
    inside = handle.active and handle.config.placement != "projector"
    if inside or (block is not None and block.layers.each):
        warnings.warn(
            explain(
                "these tokens carry nothing of the experts inside the language model's layers: what is handed them in "
                "place of pictures, as a server that takes embeddings is, does without those experts.",
                to_do="answer with this model, in transformers; or train an adapter with placement='projector' for "
                "such a server",
            ),
            ParrotWarning,
            stacklevel=3,
        )
    found: dict[str, list[Tensor]] = {modality: [] for modality in MODALITIES}
    handed = {m: output for m, output in dict(given.pop("mm_encoder_outputs", {})).items() if output is not None}
    outputs = dict(handed)
    for modality, encoder in parts.encoders.items() if not handed else ():
        if encoder.pixels in given:
            outputs[modality] = encoder.encode(parts.base, given)
    places = find_placeholders(parts, given)
    if not outputs and any(bool(where.any()) for where in places.values()):
        raise _without_images(places, given, [encoder.pixels for encoder in parts.encoders.values()])
    if block is not None:
        outputs = block.outputs({**given, "mm_encoder_outputs": handed}, given.get("labels"))
    elif outputs and handle.native_seam is not None and handle.active:
        outputs = handle.native_seam.align_outputs(outputs, given, given.get("labels"))
    for modality, output in outputs.items():
        features = getattr(output, parts.spec.feature_attribute)
        if len(features):
            units = find_places(places).units(modality, features, parts.spec.unit)
            found[modality] = list(flat_tokens(features).split(units.sizes))
    return found


def _encoded_by_calls(handle: Attachment, given: Mapping[str, Any]) -> list[Tensor]:
    """Of a host that encodes and merges by itself: its forward, as far as the last of its visual tokens."""
    parts = handle.parts
    if not any(name in given for name in parts.spec.pixels):
        places = find_placeholders(parts, given)
        if any(bool(where.any()) for where in places.values()):
            raise _without_images(places, given, parts.spec.pixels)
        return []
    if isinstance(handle.native_seam, CallSeam):
        return handle.native_seam.encode_items(given)
    nobody = AdapterSwitch()  # a projector alone has no seam
    nobody.wanted = False
    scope = TextScope.of(handle.config.text_scope, parts, handle.chat)
    seam = CallSeam(parts, None, scope, nobody)
    try:
        seam.install()
        return seam.encode_items(given)
    finally:
        seam.remove()


def _without_images(places: Mapping[str, Tensor], given: Mapping[str, Any], pixels: Iterable[str]) -> PlaceholderError:
    return PlaceholderError(
        explain(
            "the prompt has placeholders for images, and no images were given.",
            placeholders=f"per row {next(iter(places.values())).sum(1).tolist()}",
            given=", ".join(given),
            to_do=f"hand on all that the processor made: {', '.join(pixels)}",
        )
    )
