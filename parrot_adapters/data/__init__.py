"""Training data: formats, mixtures, collation, checks."""

from __future__ import annotations
