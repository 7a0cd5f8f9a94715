"""Where a chat template puts the user's words: token ids of its headers, found by rendering it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from parrot_adapters.errors import ConfigError, explain

__all__ = ["ChatFormat"]

FIRST_WORDS = ("one", "2", "the", "in", "What", "图")


@dataclass(frozen=True)
class ChatFormat:
    """Token ids that frame the turns of a conversation. Empty where a template has no such frame.

    Attributes:
        user_header: ids right before a user's words.
        assistant_header: ids right before an assistant's answer.
        special_ids: ids that are never text: BOS, end of turn, image frames ...
    """

    user_header: tuple[int, ...] = ()
    assistant_header: tuple[int, ...] = ()
    special_ids: tuple[int, ...] = ()

    @classmethod
    def from_processor(cls, processor: Any) -> ChatFormat:
        """Read the format off a processor's or tokenizer's chat template; without a template only the special ids.

        The template is rendered with and without the generation prompt, and with several messages: what differs is
        content, what stays is frame.

        Raises:
            ConfigError: it is neither.
        """
        tokenizer = getattr(processor, "tokenizer", processor)
        if not hasattr(tokenizer, "all_special_ids"):
            raise ConfigError(
                explain(
                    "processor must be a processor or tokenizer of transformers.",
                    given=f"{type(processor).__name__} {str(processor)[:80]!r}",
                    to_do="for example processor=AutoProcessor.from_pretrained(name)",
                )
            )
        template = getattr(processor, "chat_template", None) or getattr(tokenizer, "chat_template", None)
        special = tuple(sorted({*tokenizer.all_special_ids, *_added_special_ids(tokenizer)}))
        if not template:
            return cls(special_ids=special)

        def ids(*turns: tuple[str, str], prompt: bool = False) -> list[int]:
            messages = [{"role": role, "content": _content(processor, text)} for role, text in turns]
            text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
            return list(tokenizer(text, add_special_tokens=False)["input_ids"])

        user, answer = ("user", "one"), ("assistant", "three")
        closed, opened, dialogue = ids(user), ids(user, prompt=True), ids(user, answer)
        assistant_header = _beyond(closed, opened)
        # What an answer changes of it (a last space joins the answer's first word) is no help in finding it later.
        kept = assistant_header[: len(_common_prefix(opened, dialogue)) - len(opened) + len(assistant_header)]
        if kept and not _contains(closed, kept):
            assistant_header = kept
        elif _contains(closed, assistant_header):  # to this tokenizer both roles are unknown words
            assistant_header = []
        # Several words, because one may share a token with the frame: a space before it, most often.
        asked = [ids(user, answer, ("user", word)) for word in FIRST_WORDS]
        framed = functools.reduce(_common_prefix, asked)
        # A tokenizer to which all of them are unknown cannot tell content from frame.
        user_header = _beyond(dialogue, framed) if framed != asked[0] else []
        return cls(tuple(user_header), tuple(assistant_header), special)

    def to_dict(self) -> dict[str, list[int]]:
        """Plain lists, for JSON."""
        return {key: list(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Sequence[int]]) -> ChatFormat:
        """The format behind :meth:`to_dict`.

        Raises:
            ConfigError: Other names, or values that are no lists of token ids.
        """
        known = [f.name for f in fields(cls)]
        if not isinstance(values, Mapping) or any(key not in known for key in values):
            raise ConfigError(explain("a chat format has other fields.", known=", ".join(known)))
        for key, ids in values.items():
            if not isinstance(ids, list | tuple) or not all(_is_token_id(i) for i in ids):
                raise ConfigError(f"{key} of a chat format must be a list of token ids, whole numbers below 2**31")
        return cls(**{key: tuple(value) for key, value in values.items()})


def _is_token_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _content(processor: Any, text: str) -> Any:
    # Processors' templates iterate over typed parts; plain tokenizers' templates take a string.
    is_processor = hasattr(processor, "tokenizer")
    return [{"type": "text", "text": text}] if is_processor else text


def _added_special_ids(tokenizer: Any) -> Iterable[int]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return [int(i) for i, token in added.items() if getattr(token, "special", False)]


def _beyond(text: Sequence[int], longer: Sequence[int]) -> list[int]:
    """What ``longer`` adds to ``text``.

    A template that ends a turn with a space ("USER: one ASSISTANT:", as LLaVA's does) has a token for it only as long
    as nothing follows; then the space belongs to the next word. So the two may part one token before the end.
    """
    same = len(_common_prefix(text, longer))
    return list(longer[same:]) if same >= len(text) - 1 else []


def _contains(text: Sequence[int], part: Sequence[int]) -> bool:
    return bool(part) and any(list(text[at : at + len(part)]) == list(part) for at in range(len(text) - len(part) + 1))


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> list[int]:
    same = []
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        same.append(x)
    return same
