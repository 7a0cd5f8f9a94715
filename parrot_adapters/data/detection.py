"""Hear the language of texts with a detector that a plugin offers for prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["text_detector"]


class _Letters:
    """A tokenizer whose tokens are letters: all that a detector needs of one is to read them back."""

    def decode(self, ids: Sequence[int], **options: object) -> str:
        return "".join(map(chr, ids))


def text_detector(name: str | None = None) -> tuple[str, Callable[[Sequence[str]], list[str | None]]] | None:
    """The detector of that name, or the first there is; None where none is installed.

    Raises:
        UnknownNameError: nobody registered the name.
    """
    from parrot_adapters.plugins import manager

    if name is not None:
        component = manager.find("detector", name, asked_by="--detector")
    else:
        installed = manager.components("detector")
        if not installed:
            return None
        component = installed[0]
    made = component.factory(_Letters())

    def detect(texts: Sequence[str]) -> list[str | None]:
        import torch

        if not texts:
            return []
        ids = torch.zeros(len(texts), max(1, *map(len, texts)), dtype=torch.long)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = torch.tensor(list(map(ord, text)), dtype=torch.long)
            mask[row, : len(text)] = True
        return list(made(ids, mask))

    return component.name, detect
