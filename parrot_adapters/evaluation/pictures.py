"""The pictures of a benchmark file, under one public name."""

from parrot_adapters.evaluation.benchmark.image_column import check_references, decode_picture, resolve_pictures

__all__ = ["check_references", "decode_picture", "resolve_pictures"]
