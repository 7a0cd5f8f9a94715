"""Observers that an environment variable asks for. With none set, attaching imports nothing of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment
    from parrot_adapters.analysis.routing_observers import RoutingLogFile
    from parrot_adapters.analysis.tensorboard import TensorBoardObserver

__all__ = ["routing_log_file", "tensorboard"]


def routing_log_file(handle: Attachment) -> RoutingLogFile | None:
    """A line of statistics per pass, where ``PARROT_ROUTING_LOG`` names a file."""
    path = os.environ.get("PARROT_ROUTING_LOG")
    if not path:
        return None
    from parrot_adapters.analysis.routing_observers import RoutingLogFile

    return RoutingLogFile(path)


def tensorboard(handle: Attachment) -> TensorBoardObserver | None:
    """Curves of routing, where ``PARROT_TENSORBOARD`` names a directory."""
    if not os.environ.get("PARROT_TENSORBOARD"):
        return None
    from parrot_adapters.analysis.tensorboard import TensorBoardObserver

    return TensorBoardObserver.from_environment(handle)
