"""What can be wrong with a sample. One word each, so that rejects can be counted."""

from __future__ import annotations

from types import MappingProxyType

from parrot_adapters.errors import DataError, explain

__all__ = ["PROBLEMS", "BadSample"]

PROBLEMS = MappingProxyType(
    {
        "bad-record": "the record cannot be read, or is not what its format asks for",
        "not-utf8": "the record is not UTF-8 text",
        "wrong-role": "a turn's speaker is unknown",
        "wrong-order": "user and assistant do not alternate, or the last word is not the assistant's",
        "empty-turn": "a turn says nothing",
        "no-assistant-turn": "there is nothing to learn: no answer",
        "placeholder-mismatch": "placeholders and pictures do not match in number",
        "control-token": "the text contains one of the host's own control tokens",
        "picture-in-answer": "an answer contains a picture; these hosts can only write",
        "missing-image": "a picture's file is not there",
        "outside": "a picture or video lies outside of the data set's folder",
        "unread-field": "the record has a field that its format does not read (data.strict)",
        "broken-image": "a picture cannot be decoded",
        "image-too-large": "a picture has more pixels than Pillow deems safe to decode",
        "bad-video": "a video cannot be read, or the host takes none",
        "over-long": "the sample has more tokens than allowed",
        "template": "the chat template cannot write this dialogue",
        "processor": "the host's processor refuses the sample",
    }
)
"""Every kind of problem, and what it means."""


class BadSample(Exception):
    """One sample cannot be used. Caught by whoever knows the policy: counted and skipped, or made a ``DataError``.

    Args:
        kind: Kind of problem, one of :data:`PROBLEMS`.
        reason: What exactly is wrong, in one line.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{kind}: {reason}")
        self.kind, self.reason = kind, reason

    def as_error(self, *, source: str, identity: str) -> DataError:
        """The error for a run that does not skip."""
        return DataError(
            explain(
                f"a training sample cannot be used: {self.reason}",
                file=source,
                sample=identity,
                problem=f"{self.kind} ({PROBLEMS[self.kind]})",
                to_do="mend or remove it, or set data.bad_samples to skip; parrot data check FILE lists them all",
            )
        )
