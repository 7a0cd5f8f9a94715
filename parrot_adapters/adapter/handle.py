"""The handle of an adapter on a host: observe it, switch it, save it, take it off.

The host keeps its class and its API. What attaching adds, detaching removes: one submodule (so that ``.to()``,
``parameters()``, DDP and FSDP see the adapter), the seam's hooks, and an override of ``save_pretrained`` that writes
the host as it was.

A handle does many things, each in a file of its own: ``handle_views.py`` shows what is there, ``handle_switches.py``
switches and observes, ``handle_weights.py`` replaces weights, ``handle_adapters.py`` keeps several adapters,
``handle_weighted_sums.py`` sums them, ``handle_files.py`` stores. What is put on the host as one is in
``carried_adapter.py``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from parrot_adapters.adapter.carried_adapter import CarriedAdapter
from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.adapter.encode import encode
from parrot_adapters.adapter.frozen_by_peft import FrozenByPeft
from parrot_adapters.adapter.handle_adapters import FIRST_NAME
from parrot_adapters.adapter.handle_switches import HandleSwitches
from parrot_adapters.adapter.handle_weighted_sums import HandleWeightedSums
from parrot_adapters.adapter.host_changes import HostWeights
from parrot_adapters.adapter.host_overrides import BareHostSave, HostOverrides
from parrot_adapters.adapter.peft_wrapper import PeftWrapper
from parrot_adapters.adapter.training_saves import TrainingSaves
from parrot_adapters.adapter.wrapped_host import WrappedHost
from parrot_adapters.hosts.adapter_switch import AdapterSwitch
from parrot_adapters.hosts.base_call import BaseCall
from parrot_adapters.hosts.blind_layers import BlindLayers
from parrot_adapters.hosts.chat_format import ChatFormat
from parrot_adapters.hosts.fingerprint import fingerprint
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.packed_for_inference import PackedForInference
from parrot_adapters.hosts.text_only_batches import TextOnlyBatches

if TYPE_CHECKING:
    from parrot_adapters.adapter.added_losses import AddedLosses
    from parrot_adapters.core import AlignmentLayer

__all__ = ["Attachment", "attachment_of"]

HANDLE_NAME = "_parrot_attachment"


def attachment_of(model: Any) -> Attachment | None:
    """Find the handle of the adapter that a model carries; None where it carries none. A deep copy of a host has a
    handle of its own.

    Args:
        model: Host, or a model around it.
    """
    inner = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    inner = inner.get_base_model() if callable(getattr(inner, "get_base_model", None)) else inner
    return getattr(inner, "__dict__", {}).get(HANDLE_NAME)


class Attachment(HandleSwitches, HandleWeightedSums):
    """The handle of an adapter on a host: observe it, switch it, save it, take it off.

    ``attach``, ``attach_projector`` and ``load_adapter`` make handles.

    Attributes:
        model: The host.
        config: The adapter's settings, ``summary="auto"`` and names of layers replaced by what they mean on this host.
        parts: The host, taken apart.
        chat: The chat format of the host's processor; empty where none was given.
    """

    def __init__(
        self,
        parts: HostParts,
        config: AdapterConfig,
        layer: AlignmentLayer | None,
        chat: ChatFormat,
        detector: Callable[[Tensor, Tensor], list[str | None]] | None,
        *,
        owns_projector: bool,
        lora: Any,
        freeze_host: bool = False,
        wrapper: Any = None,
        host_seen: Mapping[str, Any] | None = None,
    ) -> None:
        self.switch, self.observers = AdapterSwitch(), OrderedDict()
        self.base_call = BaseCall(parts.base)
        self.carried = CarriedAdapter(parts, config, layer, chat, detector, self.switch, self.observers, self.base_call)
        self.shelf, self.open_rows = {FIRST_NAME: self.carried}, []
        self._added_losses: AddedLosses | None = None
        self.overrides = HostOverrides(self.model)
        weight = parts.base.get_input_embeddings().weight
        self.host_seen = host_seen or (None if weight.is_meta else fingerprint(parts))
        self.training_saves = TrainingSaves(self)
        self._text_only = TextOnlyBatches(parts, self._seen_by_images, self.switch)
        self._wrapped_host = WrappedHost(self)
        self.peft_wrapper = PeftWrapper(self, wrapper) if callable(getattr(wrapper, "get_base_model", None)) else None
        self._put_on(owns_projector=owns_projector, lora=lora)
        self.host_weights = HostWeights(self.model, self.carried.own_prefixes())
        if freeze_host:
            self.freeze_host()

    def encode(self, **inputs: Any) -> dict[str, list[Tensor]]:
        """The aligned visual tokens of every picture of a batch, without a pass through the language model.

        They are the very vectors that the host's forward puts in the place of its placeholders: with the adapter that
        is active, or the bare host's own inside :meth:`disabled`. Gradients flow as the caller has it
        (``torch.no_grad``). Experts inside the language model's layers act further inside and have no part in these
        tokens, of which a warning tells: with ``placement="layers"`` they are the bare host's.

        Args:
            inputs: What the host's processor returns: ``input_ids`` (or ``inputs_embeds``), ``attention_mask``,
                ``pixel_values``, sizes or grids of the images, as tensors on the host's device. Arguments that only
                the language model reads may be among them.

        Returns:
            ``{"image": [...], "video": [...]}``: one tensor (n_i, D) for each item, in the order of their
            placeholders, row by row; D is the language model's width, the dtype that of the host's vision side. An
            item is what is routed as one, as in the rows of a :class:`RoutingRecord`: a picture, or one of the tiles
            that a host's declaration parts it in.

        Raises:
            ConfigError: There is no prompt.
            PlaceholderError: The placeholders do not match the pictures.
            HostError: The adapter was detached.
        """
        self.require_attached()
        return encode(self, inputs)

    def add_losses(self, scales: Mapping[str, float], options: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """From now on the host's own loss includes auxiliary losses, so that any trainer trains them.

        It holds in training mode when the host computes a loss, that is when it is given labels. Parameters that a
        batch did not use (a batch without images) get zero gradients instead of none, so that no process of a
        distributed run waits for another.

        Args:
            scales: Factor of each registered loss by name, for example ``{"load-balancing": 0.01}``; they replace
                those set before.
            options: Keyword arguments of a loss's factory by loss name; None (default) for none.

        Raises:
            UnknownNameError: No loss of that name is registered.
        """
        from parrot_adapters.adapter.added_losses import AddedLosses

        self.require_attached()
        if self._added_losses is not None:
            self._added_losses.remove()
        self._added_losses = AddedLosses(self, scales, options or {})

    @property
    def last_losses(self) -> dict[str, Tensor]:
        """The terms of the last training loss since :meth:`add_losses`, as they entered it; float32 scalars.

        ``"language_model"`` is the host's own. Empty before the first.
        """
        return {} if self._added_losses is None else dict(self._added_losses.terms)

    def detach(self) -> None:
        """Give the host back as it was, bit for bit. Detaching twice does nothing.

        Where that fails, the adapter is on the host as before, and can be detached again.
        """
        if not self.attached:
            return
        self.require_no_rows()
        with self.unchanged_on_failure():
            self.set_active(False)
            self._take_off()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def _put_on(self, *, owns_projector: bool, lora: Any) -> None:
        """Put the adapter on the host."""
        self.carried.put_on(owns_projector=owns_projector, lora=lora)
        self.training_saves.install()
        self.base_call.look_first(self._wrapped_host.look)
        looks = FrozenByPeft(self).look, PackedForInference(self.model).look, BlindLayers(self.parts).look
        self.base_call.around_learning(*looks, after=self._text_only.tied)
        if self.peft_wrapper is not None:
            self.peft_wrapper.install()
        stand_ins = {
            HANDLE_NAME: self,
            "save_pretrained": BareHostSave(self, self.overrides),
            "_keys_to_ignore_on_save": None,
        }
        self.overrides.put(**stand_ins)
        self.overrides.change(_keys_to_ignore_on_save=self.keys_not_saved())
        self.attached = True

    def _take_off(self) -> None:
        """Undo :meth:`_put_on`; the host's own weights are live afterwards."""
        self.carried.take_off()
        for carried in self.shelf.values():
            carried.take_off()
        if self._added_losses is not None:
            self._added_losses.remove()
        self.training_saves.remove()
        self.base_call.look_first(None)
        self.base_call.around_learning(after=None)
        self._wrapped_host.remove()
        if self.peft_wrapper is not None:
            self.peft_wrapper.remove()
        self.overrides.remove()
        self.attached = False

    def _own_objects(self) -> Iterator[object]:
        yield from super()._own_objects()
        yield from (self.training_saves, self.base_call, self._wrapped_host)
        if self._added_losses is not None:
            yield self._added_losses

    def _seen_by_images(self) -> list[nn.Module]:
        return self.carried.seen_by_images()
