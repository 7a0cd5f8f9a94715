"""Switching an adapter on and off, and what is declared or watched while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from torch.utils.hooks import RemovableHandle

from parrot_adapters.adapter.handle_views import HandleViews
from parrot_adapters.core.routing_record import RoutingRecord, recording
from parrot_adapters.errors import ConfigError
from parrot_adapters.hosts.declared_languages import declare_languages, undeclare_languages
from parrot_adapters.hosts.peft_layers import PeftLayers

__all__ = ["HandleSwitches"]


class HandleSwitches(HandleViews):
    """The part of a handle that switches the adapter, and observes it."""

    def freeze_host(self) -> None:
        """Stop gradients into the host's own weights, and let them into everything that is the adapter's.

        What peft added to the host goes on training, or not, as it did. ``detach()`` restores what was trainable.
        ``attach`` does this unless it is told not to.
        """
        mine = {id(p) for p in self.parameters()}
        peft = PeftLayers(self.model)
        for name, parameter in self.model.named_parameters():
            if id(parameter) in mine:
                parameter.requires_grad_(True)
            elif peft.host_name(name) is not None:
                parameter.requires_grad_(False)

    def enable(self) -> None:
        """Run the host with the adapter (projector and LoRA included), in the whole process.

        A block of :meth:`disabled` that is open stays bare until it ends.
        """
        self.set_active(True)

    def disable(self) -> None:
        """Run the bare host, bit for bit, until :meth:`enable`: in the whole process, in every thread."""
        self.set_active(False)

    @contextmanager
    def disabled(self) -> Iterator[Self]:
        """The bare host inside the block, its own projector and language model included, in this context only.

        Other threads, and other tasks of asyncio, go on with the adapter; a thread started inside the block is
        another one. Blocks may nest, overlap and end in any order. ``host.state_dict()`` is the bare host's inside,
        too; ``handle.projector`` keeps the adapter's weights, since other threads run them. Run ``backward()``
        inside the block as well where the host checkpoints activations.
        """
        self.require_attached()
        with self.switch.left_out():
            yield self

    @contextmanager
    def languages(self, languages: Sequence[str | None]) -> Iterator[None]:
        """Declare the language of each prompt of the batches inside the block (BCP-47 tags, None for unknown).

        Routers that use languages read them; otherwise they only label :meth:`record_routing`.
        """
        if (
            not isinstance(languages, Sequence)
            or isinstance(languages, str)
            or not all(tag is None or isinstance(tag, str) for tag in languages)
        ):
            raise ConfigError(f"languages={languages!r} must be one tag or None per prompt, for example ['tr', None]")
        token = declare_languages(self.switch, tuple(languages))
        try:
            yield
        finally:
            undeclare_languages(token)

    @contextmanager
    def record_routing(self, *, graph: bool = False) -> Iterator[list[RoutingRecord]]:
        """Collect a :class:`RoutingRecord` for every pass through the adapter inside the block, in this context only.

        Args:
            graph: Whether the records keep the autograd graph, for auxiliary losses (default: no).
        """
        with recording(id(self.switch), graph=graph) as log:
            yield log

    def add_observer(self, observer: Callable[[RoutingRecord], object]) -> RemovableHandle:
        """Call a function after every pass through the adapter, in every thread; nothing is kept.

        Plugins offer observers that are there from the start through the hook ``register_observers``. To collect the
        records of one block of code use :meth:`record_routing`.

        Args:
            observer: Function of a :class:`RoutingRecord` without a graph; what it returns is ignored.

        Returns:
            A handle whose ``remove()`` takes the observer off; as a context manager it does so on leaving. Without
            either the observer stays as long as the adapter is attached.

        Raises:
            ConfigError: It cannot be called.
        """
        if not callable(observer):
            raise ConfigError(f"an observer must be a function of a RoutingRecord, not {type(observer).__name__}")
        removable = RemovableHandle(self.observers)
        self.observers[removable.id] = observer
        return removable

    def set_active(self, active: bool) -> None:
        """:meth:`enable` or :meth:`disable`.

        Args:
            active: Which of them.
        """
        self.require_attached()
        self.switch.wanted = active
        self.carried.use(adapter=active)
