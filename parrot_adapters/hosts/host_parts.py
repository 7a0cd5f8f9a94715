"""Find a host's parts: the module that merges images into text, its projector, its language model."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from parrot_adapters.errors import HostError, PluginError, explain
from parrot_adapters.hosts import DEFAULT_HOST, HostSpec
from parrot_adapters.hosts.families import LLAVA_CODE
from parrot_adapters.hosts.private_api import require_for_hosts
from parrot_adapters.hosts.unreachable import refuse_unreachable
from parrot_adapters.plugins import Component, PluginInfo, manager

__all__ = ["MODALITIES", "MODULE_NAME", "HostParts", "find_parts", "resolve_spec"]

MODULE_NAME = "parrot_adapter"  # of the adapter's module on the host's base model
NO_TOKEN = -1  # stands for a placeholder that is no token of the vocabulary
MODALITIES = ("image", "video")
PIXEL_NAMES = {
    "image": ("pixel_values", "pixel_values_images", "image_patches"),
    "video": ("pixel_values_videos",),
}


@dataclass(frozen=True)
class Encoder:
    """How one modality is encoded.

    Attributes:
        method: name of the base model's method, e.g. ``"get_image_features"``.
        arguments: its keyword arguments.
        pixels: the forward argument that carries the raw pixels.
        token_id: the placeholder's id in the prompt.
    """

    method: str
    arguments: tuple[str, ...]
    pixels: str
    token_id: int

    def encode(self, base: Any, call: Mapping[str, Any]) -> Any:
        """The pixels of a call, encoded exactly as generate does: the method's own arguments, where they were given.

        Args:
            base: the base model.
            call: arguments of its forward.
        """
        given = {name: call[name] for name in self.arguments if call.get(name) is not None}
        return getattr(base, self.method)(**given, return_dict=True)


@dataclass(frozen=True)
class HostParts:
    """A host, taken apart. Paths are relative to ``base``; None where the host has no such part.

    Attributes:
        outer: the model the user holds.
        base: its base model, whose forward merges images into text; may be ``outer`` itself.
        spec: the declaration that applies.
        plugin: the plugin that made the declaration, or None for the defaults.
        width: D, the language model's hidden size.
        encoders: by modality.
        projector, vision_tower, language_model: dotted paths.
    """

    outer: Any  # transformers models are used through attributes torch does not declare
    base: Any
    spec: HostSpec
    plugin: PluginInfo | None
    width: int
    encoders: Mapping[str, Encoder]
    projector: str | None
    vision_tower: str | None
    language_model: str | None

    @property
    def config(self) -> Any:
        return self.base.config

    @property
    def model_type(self) -> str:
        return str(self.config.model_type)

    def module(self, path: str | None) -> nn.Module | None:
        """The base model's submodule at a path."""
        return None if path is None else self.base.get_submodule(path)

    @property
    def has_cls(self) -> bool:
        """Whether the declaration knows how to get this host's CLS tokens, and its tower has them."""
        return self.spec.cls is not None and (self.spec.has_cls is None or bool(self.spec.has_cls(self.base)))

    @property
    def base_prefix(self) -> str:
        """Where ``base`` sits in ``outer``: ``"model."``, or empty when they are one."""
        if self.base is self.outer:
            return ""
        return next(f"{name}." for name, module in self.outer.named_modules() if module is self.base)


def find_parts(model: Any, host_options: Mapping[str, Any] | None = None) -> HostParts:
    """Take a transformers model apart.

    Args:
        model: a vision-language model of transformers, with or without head; a PEFT model is looked through.
        host_options: fields of the :class:`HostSpec` to override.

    Raises:
        HostError: not a transformers model, no vision, or no way to hand it encoded images.
    """
    outer: Any = model.get_base_model() if callable(getattr(model, "get_base_model", None)) else model
    name = type(outer).__name__
    if not isinstance(model, nn.Module) or not hasattr(outer, "config") or not hasattr(outer, "base_model"):
        raise HostError(
            explain(
                f"{name} is not a transformers model.",
                to_do="for any other torch model use parrot_adapters.core.AlignmentLayer: python -m pydoc "
                "parrot_adapters.core.AlignmentLayer shows how"
                if isinstance(model, nn.Module)
                else "load it first, for example AutoModelForImageTextToText.from_pretrained(name)",
            )
        )
    spec, plugin = _spec_for(outer)
    spec = spec.override(host_options or {})
    base: Any = outer.base_model if hasattr(outer.base_model, "get_image_features") else outer
    if spec.encoder_calls and not spec.unsupported:
        base = outer.base_model
    else:
        refuse_unreachable(outer, base, spec)
        require_for_hosts()
    encoders = {"image": _called_encoder(outer, base, spec)} if spec.encoder_calls else dict(_encoders(base, spec))
    if "image" not in encoders:
        raise HostError(
            explain(
                f"{name} has no image placeholder: its config sets neither image_token_id nor image_token_index.",
                to_do="set config.image_token_id to the id that stands for an image in the prompt",
            )
        )
    return HostParts(
        outer=outer,
        base=base,
        spec=spec,
        plugin=plugin,
        width=int(outer.config.get_text_config().hidden_size),
        encoders=encoders,
        projector=_first(base, spec.projector),
        vision_tower=_first(base, spec.vision_tower),
        language_model=_first(base, spec.language_model),
    )


def _spec_for(outer: Any) -> tuple[HostSpec, PluginInfo | None]:
    """The declaration for a model; LLaVA's own code is known by its methods, whatever its descendants call their type.

    Some of them use a type of transformers' own, whose classes are handed encoded images: theirs are not.
    """
    named = {name: callable(getattr(outer, name, None)) for name in LLAVA_CODE.encoder_calls + LLAVA_CODE.prompt_calls}
    writes = named.pop("generate")
    if all(named.values()):
        found = resolve_spec(outer.config.model_type)
        if found[0].encoder_calls:
            return found
        return (LLAVA_CODE if writes else replace(LLAVA_CODE, prompt_calls=LLAVA_CODE.prompt_calls[:-1])), None
    return resolve_spec(outer.config.model_type)


def resolve_spec(model_type: str) -> tuple[HostSpec, PluginInfo | None]:
    """The declaration for a model type: a plugin's, else the library's own, else the defaults.

    Raises:
        PluginError: two plugins declare it.
    """
    found = [(spec, c) for c, spec in manager.usable("host", _declaration) if model_type in spec.model_types]
    found = [pair for pair in found if not pair[1].built_in] or found
    if len({id(spec) for spec, _ in found}) > 1:  # a hook and an entry point may offer one and the same
        raise PluginError(
            explain(
                f"hosts of type {model_type!r} are declared by {' and by '.join(str(c.plugin) for _, c in found)}.",
                to_do="uninstall one of them, or name it in PARROT_PLUGINS_BLOCK",
            )
        )
    return (found[0][0], found[0][1].plugin) if found else (DEFAULT_HOST, None)


def _declaration(component: Component) -> HostSpec:
    made = component.factory() if callable(component.factory) else component.factory
    if not isinstance(made, HostSpec):
        raise PluginError(f"{component} must be a HostSpec or a function that returns one, not {type(made).__name__}")
    if not isinstance(made.model_types, tuple | list) or not all(isinstance(each, str) for each in made.model_types):
        raise PluginError(f"{component} must have a tuple of strings as model_types, not {made.model_types!r}")
    return made


def _encoders(base: Any, spec: HostSpec) -> Iterable[tuple[str, Encoder]]:
    takes = inspect.signature(type(base).forward).parameters
    for modality in MODALITIES:
        method = getattr(base, f"get_{modality}_features", None)
        token = _token_id(base.config, modality, spec)
        pixels = next((name for name in PIXEL_NAMES[modality] if name in takes), None)
        if method is not None and token is not None and pixels is not None:
            arguments = tuple(name for name in inspect.signature(method).parameters if name != "kwargs")
            yield modality, Encoder(f"get_{modality}_features", arguments, pixels, token)


def _called_encoder(outer: Any, base: Any, spec: HostSpec) -> Encoder:
    """Of a host that is reached at its own calls."""
    takes = {name for model in (outer, base) for name in inspect.signature(type(model).forward).parameters}
    pixels = next((name for name in spec.pixels if name in takes), spec.pixels[0])
    return Encoder(spec.encoder_calls[0], (), pixels, _placeholder(outer, spec))


def _placeholder(outer: Any, spec: HostSpec) -> int:
    if spec.placeholder_mask is not None or spec.placeholder_holds == "nothing":
        return NO_TOKEN
    if isinstance(spec.placeholder, int):
        return spec.placeholder
    value: Any = outer.config
    for name in (spec.placeholder or "").split(".") if spec.placeholder else ():
        value = getattr(value, name, None)
    found = value if spec.placeholder else _token_id(outer.config, "image", spec)
    if not isinstance(found, int):
        raise HostError(
            explain(
                f"{type(outer).__name__} has no image placeholder.",
                looked_for=f"config.{spec.placeholder or 'image_token_id, image_token_index'}",
                to_do="declare HostSpec.placeholder: the token id, or the field of the configuration that holds it",
            )
        )
    return found


def _token_id(config: Any, modality: str, spec: HostSpec) -> int | None:
    names = ("image_token_id", "image_token_index") if modality == "image" else spec.video_token_attributes
    return next((int(value) for name in names if (value := getattr(config, name, None)) is not None), None)


def _first(base: Any, candidates: Iterable[str]) -> str | None:
    for path in candidates:
        try:
            base.get_submodule(path)
        except AttributeError:
            continue
        return path
    return None
