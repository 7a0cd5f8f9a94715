"""Tell an adapter the language of each prompt, as an application does that knows what its users speak.

Routers that read the prompt do not heed it; ``language-id`` goes by nothing else, and the loss ``language-supervision``
needs it. An adapter with a detector of its own is told nothing: it is to find out.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import parrot_adapters as pa

__all__ = ["declared"]


def declared(host: Any, languages: Sequence[str]) -> AbstractContextManager[None]:
    """Declare one language for each prompt of the batches inside the block; nothing for a host without adapter."""
    handle = pa.attachment_of(host)
    if handle is None or handle.config.detector is not None:
        return nullcontext()
    return handle.languages(languages)
