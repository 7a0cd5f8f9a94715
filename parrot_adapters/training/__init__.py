"""Two-stage training: configuration, plan, engine. Data is in :mod:`parrot_adapters.data`."""

from __future__ import annotations
