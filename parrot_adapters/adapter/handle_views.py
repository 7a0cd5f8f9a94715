"""What a handle is made of, and what it shows of the adapter and its host."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from parrot_adapters.adapter.carried_adapter import CarriedAdapter
from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.adapter.host_changes import HostWeights
from parrot_adapters.adapter.parameter_report import parameter_places, parameter_report, print_report
from parrot_adapters.core.routing_record import RoutingRecord
from parrot_adapters.errors import HostError, explain
from parrot_adapters.hosts.adapter_switch import AdapterSwitch
from parrot_adapters.hosts.chat_format import ChatFormat
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.native_seam import NativeSeam
from parrot_adapters.hosts.read_prompt import TextScope

if TYPE_CHECKING:
    from parrot_adapters.core import AlignmentLayer

__all__ = ["HandleViews"]

HOST_PARTS = ("projector", "vision_tower", "language_model")


class HandleViews:
    """The part of a handle that shows what is there, and that its other parts stand on.

    Attributes:
        carried: The adapter that the host carries.
        shelf: All adapters by name, that one among them.
        switch: Whether the adapter takes part in a call.
        observers: Called after every pass through the adapter.
        attached: Whether it is on the host.
        host_weights: The host's own weights, as they were when the adapter came.
        host_seen: What the host was recognised by then; None where its weights were not at hand.
    """

    carried: CarriedAdapter
    shelf: dict[str, CarriedAdapter]
    switch: AdapterSwitch
    observers: OrderedDict[int, Callable[[RoutingRecord], object]]
    attached: bool = False
    host_weights: HostWeights
    host_seen: Mapping[str, Any] | None

    def require_attached(self) -> None:
        """Refuse to go on without an adapter on the host.

        Raises:
            HostError: It was detached.
        """
        if not self.attached:
            raise HostError("this adapter was detached; attach() or load_adapter() makes a new one")

    @property
    def parts(self) -> HostParts:
        """The host, taken apart."""
        return self.carried.parts

    @property
    def model(self) -> Any:
        """The host."""
        return self.parts.outer

    @property
    def config(self) -> AdapterConfig:
        """The adapter's settings."""
        return self.carried.config

    @config.setter
    def config(self, config: AdapterConfig) -> None:
        self.carried.config = config

    @property
    def chat(self) -> ChatFormat:
        """The chat format of the host's processor."""
        return self.carried.chat

    @property
    def module(self) -> AlignmentLayer | None:
        """The adapter's own module; None where it holds a projector only (``attach_projector``)."""
        layer: AlignmentLayer | None = self.carried.module
        return layer

    def require_module(self) -> AlignmentLayer:
        """The adapter's own module.

        Raises:
            HostError: it has none.
        """
        if self.carried.module is None:
            raise HostError(
                explain(
                    "this adapter has no module, so nothing is routed: it holds a projector only, as stage 1 makes it.",
                    to_do="attach(model, AdapterConfig(...)) for an adapter with experts",
                )
            )
        layer: AlignmentLayer = self.carried.module
        return layer

    @property
    def native_seam(self) -> NativeSeam | None:
        """What connects the module to the host; None where there is no module."""
        return self.carried.seam

    @property
    def projector(self) -> nn.Module | None:
        """The host's projector."""
        return self.parts.module(self.parts.projector)

    @property
    def owns_projector(self) -> bool:
        """Whether the projector's weights are the adapter's: trained, saved and switched with it."""
        return self.carried.projector_weights is not None

    @property
    def lora_config(self) -> Any:
        """A copy of the ``peft.LoraConfig`` of its LoRA; None where it has none."""
        return None if self.carried.lora is None else copy.deepcopy(self.carried.lora.config)

    @property
    def seam(self) -> str | None:
        """Name of the way by which the adapter reaches its host; None of an adapter without a layer.

        ``"native"`` where the host is handed encoded images, ``"calls"`` where it is reached at its own calls.
        """
        return None if self.carried.seam is None else self.carried.seam.name

    @property
    def active(self) -> bool:
        """Whether a call of the host would run with the adapter, here and now: in this context, at this moment."""
        return self.attached and self.switch.on

    def parameters(self) -> Iterator[nn.Parameter]:
        """Everything that belongs to the adapter: its module, the projector and LoRA where it owns them."""
        return self.carried.parameters()

    def parameter_report(self) -> dict[str, dict[str, int]]:
        """``{part: {"parameters": n, "trainable": m}}`` for adapter, projector, vision tower, language model, rest.

        Of the adapter it also says how many parameters are where: in the ``router`` (with the summary), in the
        ``projector_experts`` and in the experts of the language model's ``layers``, those of them that it has.
        """
        host = {name: self.parts.module(getattr(self.parts, name)) for name in HOST_PARTS}
        parts = {"adapter": self.carried.module, "lora": self.carried.lora, **host}
        report = parameter_report(
            self.model, {name: part.parameters() for name, part in parts.items() if part is not None}
        )
        if self.carried.module is not None:
            report["adapter"] |= parameter_places(self.carried.module)
        return report

    def print_trainable_parameters(self) -> None:
        """Print :meth:`parameter_report` as a table."""
        what = "its projector" if self.carried.module is None else f"{self.config.router} x {self.config.expert_kind}"
        print_report(self.parameter_report(), f"{type(self.model).__name__} with {what}")

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Token ids that are never text: the tokenizer's special ones, the host's placeholders and frames."""
        return TextScope.of(self.config.text_scope, self.parts, self.chat).special_ids
