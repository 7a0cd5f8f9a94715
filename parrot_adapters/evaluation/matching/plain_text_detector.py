"""A registered language detector, asked about plain text.

Detectors read token ids, because inside a model there is nothing else. Here a character's code point is its token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from parrot_adapters.errors import PluginError, explain
from parrot_adapters.plugins import manager, passes_through

__all__ = ["text_detector"]


def text_detector(name: str) -> Callable[[str], str | None]:
    """The detector registered as ``name``: text to language code, or None where it is not sure.

    Raises:
        UnknownNameError: no such detector.
        PluginError: it fails on plain text.
    """
    found = manager.find("detector", name)
    try:
        detector = found.factory(_CodePoints())
    except BaseException as error:
        if passes_through(error):
            raise
        raise _unfit(name, str(found.plugin), error) from error

    def detect(text: str) -> str | None:
        ids = torch.tensor([[ord(char) for char in text]], dtype=torch.long)
        try:
            [language] = detector(ids, torch.ones_like(ids, dtype=torch.bool))
        except BaseException as error:
            if passes_through(error):
                raise
            raise _unfit(name, str(found.plugin), error) from error
        return language

    return detect


class _CodePoints:
    """As much of a tokenizer as a detector needs."""

    def decode(self, token_ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        return "".join(map(chr, token_ids))


def _unfit(name: str, plugin: str, error: BaseException) -> PluginError:
    return PluginError(
        explain(
            f"the detector {name!r} of {plugin} cannot be asked about replies.",
            because=f"{type(error).__name__}: {error}",
            to_do="leave out --detector: the script of replies is read",
        )
    )
