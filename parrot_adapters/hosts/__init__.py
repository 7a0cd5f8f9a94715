"""Hosts are data: what the library must know to reach a family of models."""

from parrot_adapters.hosts.host_spec import DEFAULT_HOST, EncodedImages, HostSpec

__all__ = ["DEFAULT_HOST", "EncodedImages", "HostSpec"]
