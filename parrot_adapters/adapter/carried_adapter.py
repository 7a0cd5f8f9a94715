"""One adapter of a host: settings, module, projector and LoRA, put on the host and taken off it as one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.core.routing_record import RoutingRecord
from parrot_adapters.errors import HostError, explain
from parrot_adapters.hosts.adapter_switch import AdapterSwitch
from parrot_adapters.hosts.base_call import BaseCall
from parrot_adapters.hosts.call_seam import CallSeam
from parrot_adapters.hosts.chat_format import ChatFormat
from parrot_adapters.hosts.host_parts import MODULE_NAME, HostParts
from parrot_adapters.hosts.layer_sites import LayerSites
from parrot_adapters.hosts.linear_layers import find_linear_layers
from parrot_adapters.hosts.native_seam import NativeSeam
from parrot_adapters.hosts.offloaded_weights import loaded_state, running_device
from parrot_adapters.hosts.peft_layers import PeftLayers, live_module
from parrot_adapters.hosts.quantised_weights import is_quantised
from parrot_adapters.hosts.read_prompt import TextScope
from parrot_adapters.hosts.switched_weights import SwitchedWeights

if TYPE_CHECKING:
    from parrot_adapters.core import AlignmentLayer
    from parrot_adapters.hosts.lora import LanguageModelLora

__all__ = ["CarriedAdapter"]


class CarriedAdapter:
    """An adapter made for a host. Nothing is on the host before :meth:`put_on`.

    Args:
        parts: The host.
        config: Settings.
        layer: Its module; None where it holds a projector only.
        chat: The chat format of the host's processor.
        detector: Asked for languages when none were declared; None for nobody.
        switch: Whether it takes part in a call.
        observers: Called after every pass through it.
        base_call: Stands in place of the base model's ``forward``.

    Attributes:
        seam: What connects the module to the host; None where there is no module.
        projector_weights: The projector's two sets of weights; None where the adapter does not own it.
        lora: Its LoRA on the host; None where it has none.
    """

    def __init__(
        self,
        parts: HostParts,
        config: AdapterConfig,
        layer: AlignmentLayer | None,
        chat: ChatFormat,
        detector: Callable[[Tensor, Tensor], list[str | None]] | None,
        switch: AdapterSwitch,
        observers: OrderedDict[int, Callable[[RoutingRecord], object]],
        base_call: BaseCall,
    ) -> None:
        self.parts, self.config, self.chat, self.switch = parts, config, chat, switch
        self._given, self._is_on = layer, False
        self._flags: list[tuple[nn.Parameter, bool]] = []  # which of its parameters train, while it is set aside
        self.seam: NativeSeam | None = None
        if layer is not None:
            scope = TextScope.of(config.text_scope, parts, chat)
            kind = CallSeam if parts.spec.encoder_calls else NativeSeam
            self.seam = kind(parts, layer, scope, switch, detector, self._sites(layer))
            self.seam.observers, self.seam.base_call = observers, base_call
        self.projector_weights: SwitchedWeights | None = None
        self.lora: LanguageModelLora | None = None

    def _sites(self, layer: AlignmentLayer) -> LayerSites | None:
        if layer.layer_experts is None:
            return None
        paths = find_linear_layers(self.parts, self.config.layer_modules, self.config.layers)
        return LayerSites(self.parts, layer.layer_experts, paths)

    @property
    def module(self) -> Any:
        """The live module: peft's copy, where ``modules_to_save`` names the adapter. None where there is none."""
        if self._given is None or not self._is_on:
            return self._given
        return live_module(self.parts.base._modules.get(MODULE_NAME, self._given))

    def parameters(self) -> Iterator[nn.Parameter]:
        """Everything that belongs to the adapter: its module, the projector and LoRA where it owns them."""
        if self.module is not None:
            yield from self.module.parameters()
        if self.projector_weights is not None:
            yield from self.projector_weights.parameters()
        if self.lora is not None:
            yield from self.lora.parameters()

    def put_on(self, *, owns_projector: bool, lora: Any, beside_others: bool = False) -> None:
        """Put the adapter on the host.

        Args:
            owns_projector: Whether the projector's weights are the adapter's.
            lora: A ``peft.LoraConfig`` or its arguments; None for none.
            beside_others: Whether the host has other adapters, so that this one needs projector parameters of its own.

        Raises:
            HostError: The projector cannot be owned.
            ConfigError: LoRA that cannot be put on this host.
        """
        host, base, layer = self.parts.outer, self.parts.base, self._given
        if owns_projector:
            self.projector_weights = SwitchedWeights(
                self._trainable_projector(), self.switch, own_objects=beside_others
            )
        if lora is not None:
            from parrot_adapters.hosts.lora import LanguageModelLora

            self.lora = LanguageModelLora(self.parts, lora, self.config.seed)
        if layer is not None and self.seam is not None:
            base.add_module(MODULE_NAME, layer)
            layer.train(host.training)
            self.seam.install()
        if self.projector_weights is not None:
            self.projector_weights.install()
        if self.lora is not None:
            self.lora.install(self.switch)
        self._is_on = True

    def take_off(self) -> None:
        """Undo :meth:`put_on`, on the host or set aside; the host's own weights are live afterwards."""
        if self.seam is not None:
            self.seam.remove()
        if self.projector_weights is not None:
            self.projector_weights.give_back()
        if self.lora is not None:
            self.lora.remove()
        if hasattr(self.parts.base, MODULE_NAME):
            delattr(self.parts.base, MODULE_NAME)
        self._is_on = False

    def set_aside(self) -> None:
        """Take the adapter off the host, whole, for :meth:`come_back`: the very modules and parameters are kept.

        None of them trains meanwhile.
        """
        if not self._is_on:
            return
        self.use(adapter=True)
        self._flags = [(parameter, parameter.requires_grad) for parameter in self.parameters()]
        base = self.parts.base
        if self.seam is not None:
            self.seam.remove()
        if self._given is not None:
            self._given = base._modules[MODULE_NAME]  # peft may have put a wrapper in its place
            delattr(base, MODULE_NAME)
            if self.seam is not None:
                self.seam.layer = self._given
        if self.projector_weights is not None:
            self.projector_weights.set_aside()
        if self.lora is not None:
            self.lora.set_aside()
        for parameter, _ in self._flags:
            parameter.requires_grad_(False)
        self._is_on = False

    def come_back(self) -> None:
        """Put on again what :meth:`set_aside` took off, wherever the host has been moved meanwhile."""
        if self._is_on:
            return
        base = self.parts.base
        if self._given is not None and self.seam is not None:
            embeddings = base.get_input_embeddings()
            self._given.to(device=running_device(embeddings, embeddings.weight))
            base.add_module(MODULE_NAME, self._given)
            self._given.train(base.training)
            self.seam.install()
        if self.projector_weights is not None:
            self.projector_weights.come_back()
        if self.lora is not None:
            self.lora.come_back()
        for parameter, flag in self._flags:
            parameter.requires_grad_(flag)
        self._is_on = True
        self.use(adapter=self.switch.wanted)

    def use(self, *, adapter: bool) -> None:
        """Make the adapter's projector and LoRA live, or the host's own, for the whole process.

        Args:
            adapter: Which of them.
        """
        if self.projector_weights is not None:
            self.projector_weights.use(adapter=adapter)
        if self.lora is not None:
            self.lora.enable(on=adapter)

    def own_modules(self) -> Iterator[nn.Module]:
        """Its module and the layers of its LoRA, on the host or set aside."""
        if self._given is not None:
            yield self._given
        if self.lora is not None:
            yield from self.lora.layers.values()

    def own_objects(self) -> Iterator[object]:
        """Itself, and what keeps for it what is on the host."""
        sites = None if self.seam is None else self.seam.sites
        yield from (one for one in (self, self.seam, sites, self.projector_weights, self.lora) if one is not None)

    def written_tensors(self) -> Iterator[Tensor]:
        """Those whose values change when it is switched, set aside or taken off."""
        if self.projector_weights is not None:
            yield from self.projector_weights.written_tensors()

    def module_weights(self) -> dict[str, Tensor] | None:
        """The module's own weights, without what peft put on it, read from where accelerate has offloaded them."""
        if self.module is None:
            return None
        return PeftLayers(self.module).bare(loaded_state(self.module, self.module.state_dict()))

    def own_prefixes(self) -> tuple[str, ...]:
        """What the names of the adapter's own weights begin with on the host, LoRA apart."""
        projector = f"{self.parts.base_prefix}{self.parts.projector}."
        return (f"{self.parts.base_prefix}{MODULE_NAME}.", *([projector] if self.projector_weights else []))

    def seen_by_images(self) -> list[nn.Module]:
        """The modules of the adapter that only images pass."""
        owned = None if self.projector_weights is None else self.projector_weights.module
        return [module for module in (self.module, owned) if module is not None]

    def _trainable_projector(self) -> nn.Module:
        """The host's projector, where an adapter can own it.

        Raises:
            HostError: there is none, or its weights are quantised and cannot be trained.
        """
        projector = self.parts.module(self.parts.projector)
        if projector is None:
            raise HostError(
                explain(
                    f"no projector found in {type(self.parts.outer).__name__}, so the adapter cannot own it.",
                    looked_for=", ".join(self.parts.spec.projector),
                    to_do='name it: AdapterConfig(host_options={"projector": ["path.of.it"]})',
                )
            )
        quantised = {
            name: str(parameter.dtype).removeprefix("torch.")
            for name, parameter in projector.named_parameters()
            if not parameter.is_floating_point() or parameter.element_size() < 2 or is_quantised(parameter)
        }
        if quantised:
            path = f"{self.parts.base_prefix}{self.parts.projector}"
            raise HostError(
                explain(
                    "the projector is quantised, so an adapter cannot own and train it.",
                    given=", ".join(f"{self.parts.projector}.{name}: {dtype}" for name, dtype in quantised.items()),
                    to_do=f"load the host with its projector in full, with bitsandbytes for example "
                    f"BitsAndBytesConfig(..., llm_int8_skip_modules=[{path!r}, 'lm_head']); "
                    "or attach without train_projector",
                )
            )
        return projector
