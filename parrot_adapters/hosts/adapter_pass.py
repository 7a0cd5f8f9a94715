"""One pass of visual tokens through the adapter: with the prompts' languages, where its weights are, and recorded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.core import Aligned, AlignmentLayer
from parrot_adapters.core.routing_record import RoutingRecord, of_counted_rows
from parrot_adapters.errors import HostError, explain
from parrot_adapters.hosts import EncodedImages
from parrot_adapters.hosts.adapter_switch import AdapterSwitch
from parrot_adapters.hosts.declared_languages import Languages, declared_languages
from parrot_adapters.hosts.host_parts import MODULE_NAME, HostParts
from parrot_adapters.hosts.layer_sites import LayerSites
from parrot_adapters.hosts.read_prompt import Prompt, TextScope
from parrot_adapters.hosts.routing_units import RoutingUnits

__all__ = ["AdapterPass"]

Logs = tuple[tuple[list[RoutingRecord], bool], ...]
Detector = Callable[[Tensor, Tensor], list[str | None]]


class AdapterPass:
    """What a seam of any kind asks of an :class:`AlignmentLayer` on a host.

    Args:
        parts: the host.
        layer: the adapter.
        scope: which text is routing text.
        switch: says whether the adapter takes part in a call.
        detector: asked for languages when none were declared.
        sites: where ``layer.layer_experts`` stand in the host; None where it has none.

    Attributes:
        observers: called after every pass, in the order added.
    """

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
        self.observers: OrderedDict[int, Callable[[RoutingRecord], object]] = OrderedDict()
        self._has_cls = parts.has_cls
        self._is_installed = False  # beside the hooks themselves: torch.compile cannot ask those

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
            sizes=None if torch.compiler.is_compiling() else units.sizes,  # a graph would be of these sizes alone
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
        declared = declared_languages(self.switch)
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
