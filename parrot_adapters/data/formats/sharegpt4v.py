"""ShareGPT4V's JSON: LLaVA's turns, pictures named from a data root that holds several collections.

    {"id": ..., "image": "sam/images/sa_1.jpg", "conversations": [...]}

So ``images`` (or the JSON's own folder) must be the folder that holds sam/, coco/ ... A ``system`` field, as ShareGPT
tools write it, opens the dialogue. Layout as in
https://github.com/ShareGPT4Omni/ShareGPT4V/blob/master/docs/Data.md; PARROT's own multilingual sets (``sharegpt_4v`` of
AIDC-AI/Parrot-dataset) are translations of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from parrot_adapters.data.dialogue import Turn
from parrot_adapters.data.formats.data_format import DataFormat
from parrot_adapters.data.formats.llava import conversation, has_conversations, unread_in_conversation
from parrot_adapters.data.formats.record_files import Files

__all__ = ["SHAREGPT4V_FOLDERS", "ShareGPT4VFormat"]

SHAREGPT4V_FOLDERS = ("llava/llava_pretrain/", "sam/", "share_textvqa/", "web-celebrity/", "web-landmark/", "wikiart/")
"""Collections that ShareGPT4V names and LLaVA's own mixtures do not."""


class ShareGPT4VFormat(DataFormat):
    """ShareGPT4V's JSON."""

    def recognise(self, record: object) -> str | None:
        if not isinstance(record, Mapping) or not has_conversations(record):
            return None
        image = record.get("image")
        if isinstance(image, str) and image.startswith(SHAREGPT4V_FOLDERS):
            return f"it has 'conversations', and a picture below {image.split('/')[0]}/"
        return "it has 'conversations' and 'system'" if isinstance(record.get("system"), str) else None

    def turns(self, record: Any, files: Files) -> tuple[Turn, ...]:
        return conversation(record, files)

    def unread(self, record: Any) -> Iterable[str]:
        return unread_in_conversation(record)
