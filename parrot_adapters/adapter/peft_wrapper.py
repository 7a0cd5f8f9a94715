"""An adapter on the host inside a ``PeftModel``: saved with what peft saves, and resumed with it.

A ``Trainer`` writes a ``PeftModel`` by its own ``save_pretrained`` and reads it by its ``load_adapter``, which know
nothing of the adapter. Both are overridden on the instance: the adapter goes to a subfolder and comes back from it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parrot_adapters.adapter.adapter_files import CONFIG
from parrot_adapters.adapter.read_adapter_files import BESIDE_PEFT, read_adapter
from parrot_adapters.adapter.training_saves import within_trainer
from parrot_adapters.errors import CheckpointError, explain

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = ["PeftWrapper"]


class PeftWrapper:
    """The overrides on a ``PeftModel`` whose host carries an adapter.

    Args:
        handle: The adapter's handle.
        model: The ``PeftModel``.
    """

    def __init__(self, handle: Attachment, model: Any) -> None:
        self.handle, self.model = handle, model
        self._hooks: list[Any] = []

    def install(self) -> None:
        """Put the overrides on the instance."""
        # peft calls the host's forward past its hooks, so labels come by here.
        seam = self.handle.native_seam
        if seam is not None and self.handle.parts.outer is not self.handle.parts.base:
            self._hooks = [self.model.base_model.register_forward_pre_hook(seam.pass_labels, with_kwargs=True)]
        self.model.__dict__["save_pretrained"] = _Save(self.handle, self.model)
        self.model.__dict__["load_adapter"] = _Load(self.handle, self.model)

    def remove(self) -> None:
        """Take them off."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        for name, kind in (("save_pretrained", _Save), ("load_adapter", _Load)):
            if isinstance(self.model.__dict__.get(name), kind):
                del self.model.__dict__[name]


class _Override:
    name: str

    def __init__(self, handle: Attachment, model: Any) -> None:
        self.handle, self.model = handle, model
        self.__signature__ = inspect.signature(self.original)

    @property
    def original(self) -> Callable[..., Any]:
        bound: Callable[..., Any] = getattr(type(self.model), self.name).__get__(self.model)
        return bound


class _Save(_Override):
    name = "save_pretrained"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        made = self.original(*args, **kwargs)
        given = inspect.signature(self.original).bind(*args, **kwargs)
        given.apply_defaults()
        if given.arguments["is_main_process"]:
            self.handle.save_pretrained(Path(given.arguments["save_directory"]) / BESIDE_PEFT)
        return made


class _Load(_Override):
    name = "load_adapter"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        made = self.original(*args, **kwargs)
        directory = Path(inspect.signature(self.original).bind(*args, **kwargs).arguments["model_id"])
        there = directory / BESIDE_PEFT
        if (there / CONFIG).is_file():
            self.handle.take_over_from(read_adapter(there))
        elif within_trainer():
            raise CheckpointError(
                explain(
                    f"{directory} holds what peft trained and not the adapter, so the adapter would not be resumed.",
                    missing=str(there / CONFIG),
                    to_do="resume from a checkpoint that was written while the adapter was attached to the PeftModel: "
                    "get_peft_model(host, ...) first, then attach(peft_model, ...)",
                )
            )
        return made
