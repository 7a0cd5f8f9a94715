"""The override of the one private helper by which ``generate`` encodes images, on a host's instance."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parrot_adapters.hosts.native_seam import NativeSeam

__all__ = ["GENERATION_HELPER", "GenerationOverride"]

ASKED = "_supports_mm_encoder_outputs"
GENERATION_HELPER = "_maybe_prepare_encoder_kwargs_for_generation"


class GenerationOverride:
    """Answers in place of the host's helper: no closure, so deepcopy and pickle follow it.

    Args:
        seam: Its owner.
    """

    def __init__(self, seam: NativeSeam) -> None:
        self.seam = seam
        own = seam.parts.outer.__dict__
        # What the host's instance had in place of its class's helper.
        self._displaced: Mapping[str, Any] = {name: own[name] for name in (GENERATION_HELPER,) if name in own}
        self.__signature__ = inspect.signature(self.original)

    def put(self) -> None:
        """From now on answer in place of the helper."""
        self.seam.parts.outer.__dict__[GENERATION_HELPER] = self

    def remove(self) -> None:
        """Give the host its own helper back, if this stands there."""
        own = self.seam.parts.outer.__dict__
        if own.get(GENERATION_HELPER) is self:
            del own[GENERATION_HELPER]
            own.update(self._displaced)

    @property
    def original(self) -> Callable[..., Any]:
        """What answers otherwise."""
        outer = self.seam.parts.outer
        if GENERATION_HELPER in self._displaced:
            return self._displaced[GENERATION_HELPER]
        return getattr(type(outer), GENERATION_HELPER).__get__(outer)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        parts = self.seam.parts
        encoded = parts.encoders if self.seam.enabled else ()
        with _modalities_said(parts.outer, encoded), _encoded_images_taken(parts.outer, parts.base, encoded):
            return self.seam.before_generation(self.original, *args, **kwargs)


@contextmanager
def _modalities_said(host: Any, encoded: Collection[str]) -> Iterator[None]:
    """Let a class say that it takes pictures where transformers forgot to, as 5.20 did for Aria and Qwen 3.5.

    Their ``generate`` would encode anew at every step without a cache, and they would be routed on what was written.
    """
    said = host.input_modalities
    said = (said,) if isinstance(said, str) else tuple(said)
    unsaid = tuple(modality for modality in encoded if modality not in said)
    if not unsaid or "input_modalities" in host.__dict__:
        yield
        return
    host.__dict__["input_modalities"] = (*said, *unsaid)
    try:
        yield
    finally:
        host.__dict__.pop("input_modalities", None)


@contextmanager
def _encoded_images_taken(host: Any, base: Any, encoded: Collection[str]) -> Iterator[None]:
    """Let a class say that it takes encoded images where only its base model names the argument, as PaddleOCR-VL of
    5.20 did; what it would do without is what classes do that forgot their modalities.
    """
    asked = getattr(host, ASKED, None)
    forgotten = encoded and callable(asked) and ASKED not in host.__dict__ and not asked()
    if not forgotten or "mm_encoder_outputs" not in inspect.signature(type(base).forward).parameters:
        yield
        return
    host.__dict__[ASKED] = _yes
    try:
        yield
    finally:
        host.__dict__.pop(ASKED, None)


def _yes() -> bool:
    return True
