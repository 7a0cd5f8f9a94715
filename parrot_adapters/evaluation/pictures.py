"""A name from before the image column had a file of its own; kept for code written then."""

from parrot_adapters.evaluation.benchmark.image_column import check_references, decode_picture, resolve_pictures

__all__ = ["check_references", "decode_picture", "resolve_pictures"]
