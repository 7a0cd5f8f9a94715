"""Two sets of weights for one module: the host's own, and the adapter's. One of them is live."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from parrot_adapters.errors import HostError, explain
from parrot_adapters.hosts.adapter_switch import AdapterSwitch, BareInBlocks
from parrot_adapters.hosts.sharded_weights import cut_like, is_partitioned_by_zero

__all__ = ["SwitchedWeights"]


class SwitchedWeights:
    """Keeps a module's own weights while an adapter's are live, and the other way round.

    Weights are swapped in place: parameters keep their identity, so optimizers and wrappers keep working. Inside a
    block of the switch nothing is swapped, as other contexts go on with the adapter: there a twin of the module, which
    has the host's own weights, answers in its place.

    Where a host carries several adapters, each has parameters of its own, so that an optimizer of one never touches
    another's: :meth:`set_aside` takes them out of the module, :meth:`come_back` puts them in again. The first adapter's
    are the host's own objects.

    Args:
        module: its present weights are the host's own; the adapter's start as a copy of them. Nothing is put on it
            before :meth:`install`.
        switch: of the adapter.
        own_objects: whether the adapter has parameters of its own, put in the place of the module's; False (default)
            takes those that are there.

    Raises:
        HostError: the module has no forward of its own (a list of modules), so nothing could answer in its place.
    """

    def __init__(self, module: nn.Module, switch: AdapterSwitch, *, own_objects: bool = False) -> None:
        if type(module).forward is nn.Module.forward:
            raise HostError(
                explain(
                    f"the adapter cannot own a {type(module).__name__}: the host calls what is in it, never itself.",
                    to_do='name one module that is called: AdapterConfig(host_options={"projector": ["path.of.it"]})',
                )
            )
        self.module, self.switch = module, switch
        self.adapter_live = True
        self._twin = _without_hooks(module)
        self._resting = {name: value.detach() for name, value in self._twin.state_dict().items()}
        self._stand_in = BareInBlocks(module, self._answer_bare, switch)
        self._hooks: list[Any] = []
        self._aside: dict[str, Tensor] | None = None  # the adapter's parameters, while they are not in the module
        self._displaced: dict[str, Tensor] | None = None  # what they were put in the place of
        self._own_objects = own_objects
        if own_objects:
            self._require_here()
            self._displaced = self._live()
            put_tensors(module, fresh_tensors(self._displaced, like=self._displaced))

    def install(self) -> None:
        """Let calls and state dicts inside a block of the switch be those of the bare host."""
        self._stand_in.put()
        self._hooks = [
            self.module.register_state_dict_post_hook(functools.partial(self._bare_state)),
            self.module.register_load_state_dict_pre_hook(self._refuse_in_block),
        ]

    def remove(self) -> None:
        """Take off what :meth:`install` put on the module; the weights that are live stay."""
        self._stand_in.remove()
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def set_aside(self) -> None:
        """Take the adapter's parameters out of the module, which then has the host's own weights."""
        if self._aside is not None:
            return
        self._require_here()
        self.use(adapter=True)
        host = self.host_weights()
        self.remove()
        self._aside = self._live()
        self._displaced = self._displaced or fresh_tensors(host, like=self._aside)
        follow(self._displaced, host)
        put_tensors(self.module, self._displaced)

    def come_back(self) -> None:
        """Put the adapter's parameters into the module again, wherever it has been moved meanwhile."""
        if self._aside is None:
            return
        mine, self._aside = self._aside, None
        self._displaced = self._live()
        follow(mine, self._displaced)
        put_tensors(self.module, mine)
        self.install()

    def give_back(self) -> None:
        """The host's own weights for good, in the host's own objects; nothing of the adapter stays on the module."""
        self.come_back()
        self.use(adapter=False)
        self.remove()
        if self._own_objects and self._displaced is not None:
            follow(self._displaced, self._live())
            put_tensors(self.module, self._displaced)
            self._displaced = None

    def twin(self) -> nn.Module:
        """A module of the adapter's own parameters, in the module or set aside, that runs beside it."""
        made = copy.deepcopy(self._twin)
        made.train(self.module.training)
        put_tensors(made, self._live())
        return made

    def _require_here(self) -> None:
        if any(value.is_meta for value in self._live().values()):
            raise HostError(
                explain(
                    "the projector is offloaded, so its weights cannot be those of one adapter, then of another.",
                    given=f"{type(self.module).__name__} on the meta device",
                    to_do="keep the projector on a device (device_map), or let no adapter own it (train_projector)",
                )
            )

    def parameters(self) -> Iterator[nn.Parameter]:
        """The adapter's parameters, in the module or set aside."""
        if self._aside is None:
            return self.module.parameters()
        return (value for value in _once(self._aside.values()) if isinstance(value, nn.Parameter))

    @torch.no_grad()
    def use(self, *, adapter: bool) -> None:
        """Make the adapter's weights live, or the host's own, for the whole process."""
        if adapter == self.adapter_live:
            return
        if any(map(is_partitioned_by_zero, self._live().values())):
            raise HostError(
                explain(
                    "ZeRO-3 has cut the projector's weights up, so they cannot be exchanged for the host's.",
                    to_do="with handle.disabled(): ...; or leave DeepSpeed first",
                )
            )
        leaving = {name: live.detach().clone() for name, live in self._live().items()}
        for name, live in self._live().items():
            live.copy_(cut_like(self._resting[name], live))
        self._resting, self.adapter_live = leaving, adapter

    def adapter_weights(self) -> dict[str, Tensor]:
        """The adapter's set, whichever is live."""
        return self._set(live=self.adapter_live)

    @torch.no_grad()
    def set_adapter_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Replace the adapter's set, whichever is live; names and shapes must be the module's."""
        if self.adapter_live:
            for name, live in self._live().items():
                live.copy_(cut_like(weights[name], live))
        else:
            self._resting = {name: weights[name].to(value) for name, value in self._resting.items()}

    def written_tensors(self) -> Iterator[Tensor]:
        """Those whose values may change when weights are switched, set aside or given back."""
        kept = (self._aside or {}, self._displaced or {})
        yield from _once((*(value for _, value in _tensors(self.module)), *(v for each in kept for v in each.values())))

    def host_weights(self) -> dict[str, Tensor]:
        """The host's own set, whichever is live."""
        return self._set(live=not self.adapter_live)

    def _set(self, *, live: bool) -> dict[str, Tensor]:
        present = {name: value.detach() for name, value in self._live().items()}
        # The host may have been moved or cast meanwhile; its own weights go along.
        if live:
            return present
        return {name: _placed_as(value, present[name]) for name, value in self._resting.items()}

    def _live(self) -> dict[str, Tensor]:
        """What the module holds at this moment, inside a block, too; set aside, the adapter's."""
        if self._aside is not None:
            return self._aside
        return {name: value for name, value in _tensors(self.module) if name in self._resting}

    # --- inside a block ------------------------------------------------------------------------------------------

    def _answer_bare(self, *args: Any, **kwargs: Any) -> Any:
        if not self.adapter_live:
            return self._stand_in.own(*args, **kwargs)
        self._twin_follows()
        return self._twin(*args, **kwargs)

    def _twin_follows(self) -> None:
        """Bring the twin to where the module is by now; the host's own weights stay as precise as they came."""
        if self._twin.training != self.module.training:
            self._twin.train(self.module.training)
        live = dict(_tensors(self.module))
        for name, mine in _tensors(self._twin):
            value = _placed_as(self._resting.get(name, mine), live[name])
            if mine.data_ptr() != value.data_ptr():
                mine.data = value

    def _bare_state(self, module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        if self.adapter_live and self.switch.left_out_here:
            state.update({f"{prefix}{name}": value for name, value in self.host_weights().items()})

    def _refuse_in_block(self, *ignored: Any) -> None:
        if self.adapter_live and self.switch.left_out_here:
            raise HostError(
                explain(
                    "weights cannot be loaded into the projector inside disabled(): other threads run the adapter's.",
                    to_do="load them outside the block, or between handle.disable() and handle.enable()",
                )
            )


def put_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put these very objects, parameters and buffers, into a module."""
    for name, value in tensors.items():
        path, _, last = name.rpartition(".")
        owner = module.get_submodule(path)
        (owner._parameters if last in owner._parameters else owner._buffers)[last] = value  # type: ignore[assignment]


def fresh_tensors(values: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """New objects with these values, that do not train; one object where ``like`` has one under several names."""
    made: dict[int, Tensor] = {}
    for name, model in like.items():
        value = values[name].detach().clone()
        new = nn.Parameter(value, requires_grad=False) if isinstance(model, nn.Parameter) else value
        made.setdefault(id(model), new)
    return {name: made[id(model)] for name, model in like.items()}


def follow(tensors: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> None:
    """Bring objects to the dtype and the device of others; their values stay."""
    for name, value in tensors.items():
        if value.dtype != others[name].dtype or value.device != others[name].device:
            value.data = value.data.to(others[name])


def _placed_as(value: Tensor, like: Tensor) -> Tensor:
    """A value in the dtype and on the device of a tensor, which may be cut up among processes where it is not."""
    return value.to(device=like.device, dtype=like.dtype)


def _once(tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    yield from {id(tensor): tensor for tensor in tensors}.values()


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _without_hooks(module: nn.Module) -> nn.Module:
    """A deep copy that has none of the module's hooks: what they hang on is no part of it."""
    hooks = [kept for part in module.modules() for name, kept in vars(part).items() if "_hooks" in name]
    return copy.deepcopy(module, {id(kept): type(kept)() for kept in hooks if isinstance(kept, dict)})
