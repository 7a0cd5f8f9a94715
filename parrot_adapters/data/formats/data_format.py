"""What a data format is: how one record becomes the turns of a dialogue. Plugins subclass it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from parrot_adapters.data.dialogue import Turn
from parrot_adapters.data.formats.record_fields import LANGUAGES, text_of
from parrot_adapters.data.formats.record_files import Files

__all__ = ["DataFormat"]


class DataFormat(ABC):
    """How one record becomes a dialogue. Subclass it, and register the subclass through the hook
    ``register_data_formats``.

    What every format needs (alternating roles, no empty turn, an answer to learn) is checked by the library: a format
    only says what stands where, and raises :class:`BadSample` for what it cannot read. Where records come from is the
    business of a :class:`parrot_adapters.data.Source`.
    """

    @abstractmethod
    def recognise(self, record: object) -> str | None:
        """Why a record is in this format, for example ``"it has 'conversations' with 'from'"``; None if it is not."""

    @abstractmethod
    def turns(self, record: Any, files: Files) -> tuple[Turn, ...]:
        """The dialogue.

        Raises:
            BadSample: the record is not what the format asks for.
        """

    def identity(self, record: Any) -> str | None:
        """The record's own name, if it has one."""
        return text_of(record, "id", "question_id", "uid")

    def language(self, record: Any) -> str | None:
        """The BCP-47 tag that the record declares, if it does."""
        return text_of(record, *LANGUAGES)

    def unread(self, record: Any) -> Iterable[str]:
        """Names of the record's fields that the format does not read and that may change what it means: they are
        warned of with counts, and an error under ``data.strict``. ``message.tool_calls`` is a field of a turn.
        """
        return ()

    def holding(self, inner: DataFormat) -> DataFormat | None:
        """For a format whose records wrap records of others: itself, reading those in the format that was asked for.

        Args:
            inner: the format asked for by name.

        Returns:
            None: its records wrap nothing.
        """
        return None
