"""The seam at a host's own calls: for hosts that cannot be handed encoded images.

A declaration names the calls that make visual tokens (``HostSpec.encoder_calls``: LLaVA's own ``encode_images``, the
projector of Llama 4) and the calls that are given the prompt (``prompt_calls``: ``forward``, ``generate``, LLaVA's
``prepare_inputs_labels_for_multimodal``). While a prompt call runs, its arguments are kept for this context; whatever
an encoder call returns meanwhile goes through the adapter, in the order in which the prompt's placeholders stand.

Hosts that encode at every step of a ``generate`` without cache are routed on the prompt each time, never on what was
written since: the arguments of ``generate`` say where the prompt ends.

Everything installed is a hook that is a bound method, or a plain object in the place of a method of the instance: a
deep copy of the host gets its own seam, and pickling works where the bare host's does.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from parrot_adapters.core.recomputation import runs_again
from parrot_adapters.core.routing_record import recordings_for
from parrot_adapters.errors import HostError, PlaceholderError, explain
from parrot_adapters.hosts import EncodedImages
from parrot_adapters.hosts.called_methods import CalledMethod, find_call
from parrot_adapters.hosts.called_prompts import UNASKED, PromptCall, picture_sizes
from parrot_adapters.hosts.native_seam import NativeSeam
from parrot_adapters.hosts.read_prompt import Prompt
from parrot_adapters.hosts.routing_units import RoutingUnits, in_shape_of

__all__ = ["CallSeam"]

_OPEN: ContextVar[tuple[PromptCall, ...]] = ContextVar("parrot_prompt_calls", default=())
_WANTED: ContextVar[list[Tensor] | None] = ContextVar("parrot_wanted_items", default=None)


class _AllMade(Exception):
    """Every visual token of the prompt is made: the host need not go on."""


class CallSeam(NativeSeam):
    """Connects an :class:`AlignmentLayer` to a host through calls of its own; arguments as for :class:`AdapterPass`.

    Experts inside the layers have to know where visual tokens end up in the prompt, which such a host does not say.
    """

    name = "calls"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.methods: list[CalledMethod] = []

    def install(self) -> None:
        """Put hooks and stand-ins in place.

        Raises:
            HostError: the host has no call of a declared name.
        """
        base, outer, spec = self.parts.base, self.parts.outer, self.parts.spec
        encoders = [(path, find_call((base, outer), path, "encoder_calls")) for path in spec.encoder_calls]
        prompts = [(path, find_call((outer, base), path, "prompt_calls")) for path in spec.prompt_calls]
        for path, (owner, name) in prompts:
            called = getattr(owner, name)
            if isinstance(called, nn.Module) or name == "forward":
                module = owner if name == "forward" else called
                self._hooks += [
                    module.register_forward_pre_hook(self.before_prompt_module, with_kwargs=True, prepend=True),
                    module.register_forward_hook(self.after_prompt_module, always_call=True),
                ]
            else:
                self.methods.append(CalledMethod(self, owner, name, reads=True, generates=path == "generate"))
        for _, (owner, name) in encoders:
            called = getattr(owner, name)
            if isinstance(called, nn.Module) or name == "forward":
                module = owner if name == "forward" else called
                self._hooks.append(module.register_forward_hook(self.after_encoder_module))
            else:
                self.methods.append(CalledMethod(self, owner, name))
        for method in self.methods:
            method.put()
        self._is_installed = True

    def remove(self) -> None:
        """Take every trace of the seam off the host, however far :meth:`install` came."""
        for hook in self._hooks:
            hook.remove()
        for method in reversed(self.methods):
            method.remove()
        self._hooks, self.methods, self._is_installed = [], [], False

    # --- what the host calls -----------------------------------------------------------------------------------

    def pass_labels(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Labels need not be passed on: they are among a prompt call's arguments."""

    def before_prompt_module(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The host's forward begins."""
        self.open_prompt(type(module).forward.__get__(module), args, kwargs)

    def after_prompt_module(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """The host's forward has ended, or failed."""
        self.close_prompt(whole=output is not None)

    def after_encoder_module(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """A module has made visual tokens."""
        return self.align_encoded(output)

    def open_prompt(
        self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], *, generates: bool = False
    ) -> None:
        """Keep the arguments of a prompt call until :meth:`close_prompt`."""
        _OPEN.set((*_OPEN.get(), PromptCall.of(self, call, args, kwargs, generates=generates)))

    def close_prompt(self, *, whole: bool) -> None:
        """The innermost prompt call is over.

        Args:
            whole: it was not cut short by an error.

        Raises:
            PlaceholderError: it has fewer visual tokens than placeholders.
        """
        calls = _OPEN.get()
        mine = [number for number, call in enumerate(calls) if call.owner is self]
        if not mine:
            return
        ended = calls[mine[-1]]
        _OPEN.set((*calls[: mine[-1]], *calls[mine[-1] + 1 :]))
        if whole and 0 < ended.used < ended.places:
            raise PlaceholderError(
                explain(
                    "the prompt has more places for images than the host made visual tokens.",
                    places=ended.places,
                    filled=ended.used,
                    to_do="hand the host as many pictures as the prompt has placeholders; if it was, declare "
                    "HostSpec.placeholder_holds for this family",
                )
            )

    def encode_items(self, call: Mapping[str, Any]) -> list[Tensor]:
        """What the host's encoder calls make of a prompt's pictures, (n_i, D) for each item, aligned where the adapter
        is on. The host's forward is left as soon as it has them all, in front of the language model.

        Args:
            call: arguments of the host's forward.
        """
        made: list[Tensor] = []
        token = _WANTED.set(made)
        try:
            self.parts.outer(**call)
        except _AllMade:
            pass
        finally:
            _WANTED.reset(token)
        return made

    # --- aligning ----------------------------------------------------------------------------------------------

    def align_encoded(self, output: Any) -> Any:
        """What an encoder call returned, aligned; as it is outside prompt calls and where the adapter is off."""
        mine = [call for call in _OPEN.get() if call.owner is self]
        if not mine or not (self.enabled or _WANTED.get() is not None):
            return output
        held = _held(output, field := self.parts.spec.feature_attribute)
        if not _is_features(held):
            raise HostError(
                explain(
                    f"{' or '.join(self.parts.spec.encoder_calls)} of {type(self.parts.outer).__name__} returns no "
                    "visual tokens.",
                    given=f"{type(output).__name__}, field {field!r}" if held is not output else _described(output),
                    wanted=f"a tensor (..., width {self.parts.width}), a list of them, or an output with such a field",
                    to_do="declare other encoder_calls, or feature_attribute, in a HostSpec",
                )
            )
        features = mine[-1].elements(self.parts, held)
        if not features:
            return output
        aligned = in_shape_of(held, torch.cat(self._aligned_features(features, output, mine)))
        if held is output:
            return aligned
        if isinstance(output, tuple | list):
            return type(output)(aligned if each is held else each for each in output)
        new = copy.copy(output)
        setattr(new, field, aligned)
        return new

    def _aligned_features(self, features: list[Tensor], output: Any, calls: list[PromptCall]) -> list[Tensor]:
        """
        Args:
            features: (n_i, D) of each element that the host encoded.
            output: what holds them.
            calls: the prompt calls that are open, the innermost last.
        """
        call = calls[-1]
        call.read(self.parts, self.scope, calls[:-1])
        for one in features:
            self._check_width(one)
        if self.enabled and call.languages is UNASKED:
            call.languages = self._languages_of(call, calls[:-1])
        units, routed = self._units(features, call)
        made = list(features)
        if routed:
            mine = [features[number] for number in routed]
            tokens = (
                self._aligned_tokens(mine, units.to(mine[0].device), output, call) if self.enabled else torch.cat(mine)
            )
            for number, aligned in zip(routed, tokens.split([len(one) for one in mine]), strict=True):
                made[number] = aligned.to(features[number].dtype)
        if (wanted := _WANTED.get()) is not None:
            items = torch.cat([made[number] for number in routed]) if routed else features[0][:0]
            wanted += items.split(units.sizes)
            if call.is_complete(self.parts):
                raise _AllMade
        return made

    def _aligned_tokens(self, mine: list[Tensor], units: RoutingUnits, output: Any, call: PromptCall) -> Tensor:
        """(N, D)"""
        cls = self._cls(
            EncodedImages(self.parts.base, self.parts.spec.called_modality, output, mine, call.arguments), units
        )
        result = self._run(torch.cat(mine), units, call.prompt, cls, call.languages)
        if not runs_again():
            logs = tuple(recordings_for(id(self.switch)))
            self._record(result, units, self.parts.spec.called_modality, call.languages, logs)
        return result.tokens

    def _languages_of(self, call: PromptCall, around: list[PromptCall]) -> tuple[str | None, ...] | None:
        """A language for each row; ``generate`` may have made several of each row that it was given."""
        prompt, rows = call.prompt, call.prompt.routing_text.shape[0]
        given = next((each.rows for each in reversed(around) if each.generates and each.rows), rows)
        if given == rows or rows % given:
            return self._languages(prompt)
        times = rows // given
        ids = None if prompt.token_ids is None else prompt.token_ids[::times]
        places = {modality: where[::times] for modality, where in prompt.placeholders.items()}
        found = self._languages(Prompt(prompt.text[::times], prompt.routing_text[::times], places, ids))
        return None if found is None else tuple(tag for tag in found for _ in range(times))

    def _units(self, features: list[Tensor], call: PromptCall) -> tuple[RoutingUnits, list[int]]:
        """Routing units of some encoded elements, and which elements they are made of."""
        sizes = [len(one) for one in features]
        spec = self.parts.spec
        if spec.features_mask is not None and not call.without_prompt:
            owners = call.owners_of_slots(self.parts, sizes)
        elif spec.placeholder_holds == "token" and not call.without_prompt:
            return call.units_of_tokens(sizes, spec.unit), list(range(len(sizes)))
        elif spec.placeholder_holds == "picture" and not call.without_prompt:
            owners = call.owners_of_pictures(len(sizes), picture_sizes(call.pixels(self.parts)))
        else:
            owners = call.owners_in_order(len(sizes))
        routed = [number for number, (row, _) in enumerate(owners) if row is not None]
        return _grouped([sizes[n] for n in routed], [owners[n] for n in routed], spec.unit), routed


def _grouped(sizes: list[int], owners: list[tuple[int | None, int]], unit: str) -> RoutingUnits:
    """Units of elements that belong to (row, picture)."""
    offsets, rows, items, last = [0], [], [], None
    for number, (size, (row, picture)) in enumerate(zip(sizes, owners, strict=True)):
        owner = row if unit == "row" else (row, picture)
        if owner == last:
            offsets[-1] += size
            continue
        offsets.append(offsets[-1] + size)
        rows.append(row)
        items.append(number)
        last = owner
    return RoutingUnits.here(torch.tensor(offsets), torch.tensor(rows), torch.tensor(items))


def _held(output: Any, field: str) -> Any:
    """What holds the visual tokens of an encoder call's output; None where nothing does."""
    if not isinstance(output, tuple | list):
        return output if isinstance(output, Tensor) else getattr(output, field, None)
    if not field.isdigit():
        return output
    return output[int(field)] if int(field) < len(output) else None


def _is_features(held: Any) -> bool:
    tensors = held if isinstance(held, list | tuple) else [held]
    return all(isinstance(one, Tensor) and one.is_floating_point() and one.dim() >= 2 for one in tensors)


def _described(output: Any) -> str:
    if isinstance(output, list | tuple):
        return f"{type(output).__name__} of {', '.join(sorted({type(one).__name__ for one in output}))}"
    return f"{type(output).__name__} {tuple(getattr(output, 'shape', ()))}"
