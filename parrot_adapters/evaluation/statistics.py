"""A name from before :mod:`parrot_adapters.statistics` was a room of its own; kept for code written then."""

from parrot_adapters.statistics import Interval, clustered_difference, clustered_interval, holm

__all__ = ["Interval", "clustered_difference", "clustered_interval", "holm"]
