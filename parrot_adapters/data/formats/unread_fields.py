"""Fields of a record that a format does not read. Nothing that may change what a record means is dropped in silence."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

__all__ = ["HARMLESS", "first_of", "unread"]

DESCRIPTIONS = """
    id uid uuid idx index key question_id answer_id image_id conversation_id sample_id item_id row_id __index_level_0__
    source data_source dataset dataset_name data_name origin subset split task task_name category categories type domain
    topic tags keywords difficulty score quality similarity license licence author model model_name generator version
    date timestamp created created_at updated_at url page_url status error_message meta metadata info comment comments
    note notes width height original_width original_height image_width image_height width_list height_list image_size
    exif sha256 md5 hash phash nsfw pwatermark punsafe aesthetic aesthetic_score language_score turn_id n_turns
    num_turns token_count length detail format
"""
HARMLESS = frozenset(DESCRIPTIONS.split())
"""Fields that describe a record and change nothing about what it says, in lower case."""


def unread(fields: Mapping[str, Any], read: Collection[str], *, within: str = "") -> Iterator[str]:
    """Names of fields that hold something, are not read and are not known to be harmless.

    Args:
        fields: of a record, a turn or a part.
        read: names of the fields that are read.
        within: what they are fields of, put before their names.
    """
    for name, value in fields.items():
        if name not in read and str(name).lower() not in HARMLESS and value not in (None, "", [], {}, ()):
            yield f"{within}{name}"


def first_of(fields: Mapping[str, Any], *names: str) -> str:
    """The first of some fields that holds something, which is the one that is read; else the first."""
    return next((name for name in names if fields.get(name) not in (None, "", [])), names[0])
