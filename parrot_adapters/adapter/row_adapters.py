"""A batch whose rows have an adapter each: the bare host runs, and every row gets what its adapter makes of it.

Inside a block each adapter encodes and aligns the whole batch, with its own projector, and each visual token is taken
from the adapter of its row; a linear layer with LoRA runs a second time on the rows whose adapter has it, and experts
inside the layers act at the visual tokens of their adapter's rows (``row_layers.py``). So rows share
one pass through the language model and one cache, and beams may multiply them. It costs one encoding for each projector
and one alignment for each adapter.

Everything acts in the context (thread, or task of asyncio) that opened the block, and nowhere else.

R  rows    N  visual tokens    D  width
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from parrot_adapters.adapter.carried_adapter import CarriedAdapter
from parrot_adapters.adapter.row_layers import Here, RowLayers, owner_of_tokens
from parrot_adapters.core.ragged import on_device
from parrot_adapters.core.routing_record import counted_rows
from parrot_adapters.errors import ConfigError, HostError, explain
from parrot_adapters.hosts.aligned_outputs import AlreadyAligned, aligned_copy
from parrot_adapters.hosts.call_arguments import LABELS, named_arguments
from parrot_adapters.hosts.generation_override import GENERATION_HELPER
from parrot_adapters.hosts.generation_prompt import generation_prompt
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.item_places import find_places
from parrot_adapters.hosts.read_prompt import find_placeholders
from parrot_adapters.hosts.routing_units import find_units, flat_tokens, in_shape_of, tokens_by_element

__all__ = ["RowAdapters", "rows_here"]

_BLOCKS: ContextVar[tuple[RowAdapters, ...]] = ContextVar("parrot_row_adapters", default=())
_PROJECTOR: ContextVar[Callable[..., Any] | None] = ContextVar("parrot_row_projector", default=None)
_IN_LORA: ContextVar[bool] = ContextVar("parrot_row_lora", default=False)
_GENERATES: ContextVar[bool] = ContextVar("parrot_row_generates", default=False)
_CHANGES = threading.Lock()  # of the stand-ins on a host


def rows_here(parts: HostParts) -> RowAdapters | None:
    """The innermost block of this context that is about a host; None where there is none."""
    return next((block for block in reversed(_BLOCKS.get()) if block.parts.outer is parts.outer), None)


class RowAdapters:
    """The adapters of the rows of the batches inside one block.

    Args:
        parts: The host.
        names: The adapter of each row, by name; None for the bare host.
        adapters: Those adapters by name.
    """

    def __init__(self, parts: HostParts, names: Sequence[str | None], adapters: Mapping[str, CarriedAdapter]) -> None:
        self.parts, self.names = parts, tuple(names)
        self.adapters = [adapters[name] for name in dict.fromkeys(names) if name is not None]
        number = {name: i for i, name in enumerate(dict.fromkeys(name for name in names if name is not None))}
        self._owners = [-1 if name is None else number[name] for name in names]  # of each row
        self._projectors = [
            None if one.projector_weights is None else one.projector_weights.twin() for one in self.adapters
        ]
        sites = [None if one.seam is None else one.seam.sites for one in self.adapters]
        self.layers = RowLayers(parts, sites, Here(lambda: self.here, _IN_LORA.get))
        self._hooks: list[Any] = []
        self._stand_ins: list[_StandIn] = []

    @contextmanager
    def open(self) -> Iterator[None]:
        """The block: hooks are on the host, and act in this context."""
        try:
            self._install()
            _BLOCKS.set((*_BLOCKS.get(), self))
            yield
        finally:
            _BLOCKS.set(tuple(block for block in _BLOCKS.get() if block is not self))
            for hook in self._hooks:
                hook.remove()
            for stand_in in reversed(self._stand_ins):
                stand_in.remove()
            self.layers.remove()

    @property
    def here(self) -> bool:
        """Whether this is the block that counts in this context."""
        return rows_here(self.parts) is self

    def _install(self) -> None:
        base, outer = self.parts.base, self.parts.outer
        self._hooks.append(base.register_forward_pre_hook(self.before_forward, with_kwargs=True, prepend=True))
        if outer is not base:
            self._hooks.append(outer.register_forward_pre_hook(self.pass_labels, with_kwargs=True))
        self._stand_ins = [
            _StandIn(outer, name, answer)
            for name, answer in ((GENERATION_HELPER, self.before_generation), ("generate", self.generate))
            if hasattr(type(outer), name)
        ]
        owned = {
            id(one.projector_weights.module): one.projector_weights.module
            for one in self.adapters
            if one.projector_weights
        }
        self._stand_ins += [_StandIn(module, "forward", _project) for module in owned.values()]
        for stand_in in self._stand_ins:
            stand_in.put()
        layers: dict[int, _LoraOfRows] = {}
        for number, one in enumerate(self.adapters):
            for path, layer in ({} if one.lora is None else one.lora.layers).items():
                linear = layer.get_base_layer()
                if id(linear) not in layers:
                    layers[id(linear)] = _LoraOfRows(self, path, {})
                    self._hooks.append(linear.register_forward_hook(layers[id(linear)]))
                layers[id(linear)].layers[number] = layer
        self.layers.install()  # after LoRA's, which give whole rows anew
        self._hooks.append(base.register_forward_hook(self.after_forward, always_call=True))

    # --- what the host calls -----------------------------------------------------------------------------------

    def pass_labels(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Labels of a call are handed on to the base model, as the seam does where it takes part."""
        labels = named_arguments(module, args, kwargs).get("labels")
        return (args, {**kwargs, LABELS: labels}) if self.here and labels is not None else None

    def before_forward(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Replace pixels, or outputs that are not aligned, by aligned ones."""
        if not self.here:
            return None
        call = named_arguments(module, args, kwargs)
        labels = call.pop(LABELS, call.get("labels") if self.parts.outer is module else None)
        prompt = call.get("input_ids") if call.get("input_ids") is not None else call.get("inputs_embeds")
        owners = None if prompt is None else self.owners(prompt.shape[0])
        outputs = self.outputs(call, labels)
        self.layers.enter(outputs, call, owners)
        if not outputs:
            return (), call
        pixels = {encoder.pixels: None for encoder in self.parts.encoders.values() if encoder.pixels in call}
        return (), {**call, **pixels, "mm_encoder_outputs": outputs}

    def after_forward(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """What the layers had to know of this call goes."""
        if self.here:
            self.layers.leave()

    def generate(self, own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The host's ``generate``: rows may be multiplied inside it, by beams or several returned sequences."""
        if not self.here:
            return own(*args, **kwargs)
        given = [*args[:1], *(kwargs.get(name) for name in ("inputs", "input_ids", "inputs_embeds"))]
        for tensor in given:
            if isinstance(tensor, Tensor):
                self.owners(tensor.shape[0])
        token = _GENERATES.set(True)
        try:
            return own(*args, **kwargs)
        finally:
            _GENERATES.reset(token)

    def before_generation(self, own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Where ``generate`` encodes the images; the full prompt is at hand only here."""
        call, seen = generation_prompt(own, args, kwargs)  # before the pixels are taken off
        made = own(*args, **kwargs)
        if not self.here or not made.get("mm_encoder_outputs"):
            return made
        aligned = self.layers.widened(self.outputs(call, None, seen))
        return {**made, "mm_encoder_outputs": aligned or made["mm_encoder_outputs"]}

    # --- aligning ----------------------------------------------------------------------------------------------

    def owners(self, rows: int) -> list[int]:
        """The number of each row's adapter, -1 for the bare host; numbers known here: nothing waits for a device.

        Args:
            rows: Rows of the call; inside ``generate`` a multiple of those that were named.

        Raises:
            ConfigError: Another number of adapters was named.
        """
        times, rest = divmod(rows, len(self.names))
        if rest or (times != 1 and not _GENERATES.get()) or not times:
            raise ConfigError(
                explain(
                    f"{len(self.names)} adapters were named for a batch of {rows} rows.",
                    given=f"adapter_names({list(self.names)!r})",
                    to_do="name one adapter, or None, for each row of the batch",
                )
            )
        return [owner for owner in self._owners for _ in range(times)]

    def outputs(self, call: Mapping[str, Any], labels: Tensor | None, seen: int = 0) -> dict[str, Any]:
        """Encoded images, each row's as its adapter makes them; empty where the call has none.

        Args:
            call: Arguments of the base model's forward.
            labels: (R, S) or None.
            seen: Leading positions of the prompt whose images are not among them.
        """
        given = {m: o for m, o in dict(call.get("mm_encoder_outputs") or {}).items() if o is not None}
        if given and all(isinstance(output, AlreadyAligned) for output in given.values()):
            return self.layers.narrowed(given)
        pixels = any(call.get(encoder.pixels) is not None for encoder in self.parts.encoders.values())
        if not given and not pixels:
            return {}
        bare = given or self._encoded(call)
        each = []
        for number, one in enumerate(self.adapters):
            projector = self._projectors[number]
            if projector is not None and not pixels:
                raise HostError(
                    explain(
                        "images that are encoded already went through the host's own projector, and a row's adapter "
                        "has another one.",
                        given="mm_encoder_outputs, without pixels",
                        to_do="give the host pixels",
                    )
                )
            token = _PROJECTOR.set(projector)
            try:
                encoded = bare if projector is None else self._encoded(call)
                if projector is not None:
                    self._require_tokens_alone(bare, encoded)
                if one.seam is not None:
                    mine = [row for row, owner in enumerate(self._owners) if owner == number]
                    with counted_rows(mine):
                        encoded = one.seam.align_outputs(encoded, call, labels, seen)
            finally:
                _PROJECTOR.reset(token)
            each.append(encoded)
        places = find_places(find_placeholders(self.parts, call)).placeholders
        return {m: self._chosen(output, [one[m] for one in each], places, m, seen) for m, output in bare.items()}

    def _encoded(self, call: Mapping[str, Any]) -> dict[str, Any]:
        encoders = self.parts.encoders.items()
        return {m: e.encode(self.parts.base, call) for m, e in encoders if call.get(e.pixels) is not None}

    def _require_tokens_alone(self, bare: Mapping[str, Any], other: Mapping[str, Any]) -> None:
        """Refuse hosts whose projector makes more of an image than its visual tokens: rows could not share it."""
        kept = (self.parts.spec.feature_attribute, "deepstack_features")
        fields = [(name, value, other[m].get(name)) for m, output in bare.items() for name, value in output.items()]
        for name, value, theirs in fields:
            if name not in kept and isinstance(value, Tensor) and not torch.equal(value, theirs):
                raise HostError(
                    explain(
                        f"the projector of {type(self.parts.outer).__name__} also makes {name}, which is one for the "
                        "whole batch: rows cannot have projectors of their own here.",
                        to_do="run the rows of one adapter at a time, after handle.set_adapter(name)",
                    )
                )

    def _chosen(
        self, bare: Any, each: Sequence[Any], placeholders: Mapping[str, Tensor], modality: str, seen: int
    ) -> Any:
        """The output of one modality, each visual token from the adapter of its row; placeholders on the CPU."""
        field, places = self.parts.spec.feature_attribute, placeholders[modality][:, seen:]
        sizes = [len(feature) for feature in tokens_by_element(getattr(bare, field))]
        find_units(sizes, places, "item")  # refuses what does not match
        owner = owner_of_tokens(self.owners(len(places)), {modality: places}, (modality,))
        features = _by_owner([getattr(o, field) for o in (bare, *each)], owner)
        new = aligned_copy(bare, field, features, self.layers.together(each))
        deep = [getattr(output, "deepstack_features", None) for output in (bare, *each)]
        if deep[0] is not None:
            new.deepstack_features = [_by_owner(list(layer), owner) for layer in zip(*deep, strict=True)]
        return new


def _by_owner(made: Sequence[Any], owner: Tensor) -> Any:
    """Features of the host's own form.

    Args:
        made: Features of the bare host, then those of each adapter.
        owner: (N,) number of each token's adapter, -1 for the bare host.
    """
    chosen = flat_tokens(made[0])
    owner = owner.to(chosen.device, non_blocking=True)[:, None]
    for number, other in enumerate(made[1:]):
        tokens = flat_tokens(other).to(chosen)
        chosen = torch.where(owner == number, tokens, chosen)
    return in_shape_of(made[0], chosen)


class _LoraOfRows:
    """The hook of a linear layer on which some rows' adapters have LoRA.

    Args:
        block: Whose rows.
        path: The layer's, for messages.
        layers: peft's layer around it, by the adapter's number.
    """

    def __init__(self, block: RowAdapters, path: str, layers: dict[int, Any]) -> None:
        self.block, self.path, self.layers = block, path, layers

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if not self.block.here or _IN_LORA.get():
            return None
        given: Tensor = args[0]
        if given.dim() < 3:
            raise HostError(
                explain(
                    f"{self.path} is given positions without rows, so no row can have LoRA of its own.",
                    given=f"input of shape {tuple(given.shape)}",
                    to_do="run one adapter at a time: handle.set_adapter(name)",
                )
            )
        owners = self.block.owners(given.shape[0])
        for number, layer in self.layers.items():
            if number not in owners:
                continue
            mine = on_device([row for row, owner in enumerate(owners) if owner == number], given.device)
            token = _IN_LORA.set(True)
            try:
                # The class's forward: on the instance stands what answers for the bare host in this context.
                made = type(layer).forward(layer, given[mine])
            finally:
                _IN_LORA.reset(token)
            output = output.index_copy(0, mine, made.to(output.dtype))
        return output


def _project(own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    chosen = _PROJECTOR.get()
    return (own if chosen is None else chosen)(*args, **kwargs)


class _StandIn:
    """In the place of a module's method. Blocks of several threads may end in any order.

    Args:
        module: On whose instance it stands.
        name: Of the method.
        answer: Called with the method, then the arguments.
    """

    def __init__(self, module: nn.Module, name: str, answer: Callable[..., Any]) -> None:
        self.module, self.name, self.answer = module, name, answer
        self.below: Any = None

    def put(self) -> None:
        """From now on answer in place of the method."""
        with _CHANGES:
            self.below = self.module.__dict__.get(self.name)
            self.__signature__ = inspect.signature(self.own)
            self.module.__dict__[self.name] = self

    def remove(self) -> None:
        """Take it out, wherever in the pile it is by now."""
        with _CHANGES:
            above, here = None, self.module.__dict__.get(self.name)
            while isinstance(here, _StandIn) and here is not self:
                above, here = here, here.below
            if here is not self:
                return
            if above is not None:
                above.below = self.below
            elif self.below is None:
                del self.module.__dict__[self.name]
            else:
                self.module.__dict__[self.name] = self.below

    @property
    def own(self) -> Callable[..., Any]:
        """What answers otherwise."""
        return self.below or getattr(type(self.module), self.name).__get__(self.module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.answer(self.own, *args, **kwargs)
