"""What records say beside the words of their turns: a system prompt, and which answers are to be learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from parrot_adapters.data.dialogue import Turn
from parrot_adapters.data.formats.record_fields import LANGUAGES, ROLES, brief, text_of
from parrot_adapters.data.problems import BadSample

__all__ = ["is_learned", "read_beside", "read_marks", "refuse_unwanted", "with_system"]

MARKS = ("loss", "weight", "loss_weight", "train")
"""Fields of a turn that say whether it is learned, as ms-swift, OpenAI's files and axolotl write them."""


def is_learned(message: Mapping[str, Any]) -> bool:
    """Whether a turn is to be learned: False where one of its :data:`MARKS` is false or 0.

    Raises:
        BadSample: a mark is neither yes nor no; weights in between are not supported.
    """
    learned = True
    for name in MARKS:
        mark = message.get(name)
        if mark is None:
            continue
        if mark not in (0, 1):  # False and True too
            raise BadSample("bad-record", f"a turn has {name!r} {brief(mark)}; only false, true, 0 and 1 are supported")
        learned = learned and bool(mark)
    return learned


def read_marks(message: Mapping[str, Any]) -> set[str]:
    """The marks of a turn that are heeded: of a turn that is not the assistant's, those that ask for nothing."""
    told = ROLES.get(str(message.get("role", message.get("from"))).strip().lower()) == "assistant"
    return {name for name in MARKS if told or not message.get(name)}


def read_beside(record: Mapping[str, Any]) -> set[str]:
    """Fields of a record beside its turns and files that are read."""
    said = text_of(record, *LANGUAGES)
    read = {name for name in LANGUAGES if said is not None and text_of(record, name) == said}
    return read | {"system", *(("label",) if isinstance(record.get("label"), bool) else ())}


def refuse_unwanted(record: object) -> None:
    """Refuse a record whose ``label`` is false: preference data (KTO) that shows what is not wanted.

    Raises:
        BadSample: so it is.
    """
    if isinstance(record, Mapping) and record.get("label") is False:
        raise BadSample("no-assistant-turn", "its 'label' is false: the answer is marked as not wanted")


def with_system(record: object, turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns, after the system prompt that a record has beside them.

    Raises:
        BadSample: it is no text, or the turns begin with another one.
    """
    said = record.get("system") if isinstance(record, Mapping) else None
    if said is None or said == "":
        return tuple(turns)
    if not isinstance(said, str):
        raise BadSample("bad-record", f"its 'system' is no text but {brief(said)}")
    if not said.strip():
        return tuple(turns)
    opening = Turn("system", (said.strip(),))
    if turns and turns[0].role == "system":
        if turns[0] != opening:
            raise BadSample("bad-record", "it has two system prompts, one beside the turns and one among them")
        return tuple(turns)
    return (opening, *turns)
