"""A dialogue as the host's chat template writes it, and where in that text the answers are.

Every answer has a *prompt*: what the template writes for the turns before it, with the generation prompt, which is what
the host is given at inference. The text of a training sample is the last answer's prompt followed by the answer and its
end-of-turn token. An earlier answer is learned where its own prompt is a prefix of that text, so that it too follows
exactly what inference will show; templates that rewrite earlier turns (thinking ones drop the thoughts of the past)
leave only the last answer to learn. Nothing here depends on ``{% generation %}`` marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from parrot_adapters.data.dialogue import Picture, Turn, Video
from parrot_adapters.data.problems import BadSample
from parrot_adapters.errors import ConfigError, explain
from parrot_adapters.hosts.picture_text import picture_text

__all__ = ["ChatText", "Written", "special_tokens"]


@dataclass(frozen=True)
class Written:
    """A dialogue in writing.

    Attributes:
        text: what is tokenised; placeholders are as the template writes them, one a picture.
        answers: (begin, end) characters of what is learned: answers with their end-of-turn tokens. ``text[:begin]`` is
            the prompt of that answer.
    """

    text: str
    answers: tuple[tuple[int, int], ...]


class ChatText:
    """Writes dialogues with a processor's chat template.

    Args:
        processor: of the host; without a chat template, pictures come first and turns are lines, as in the evaluation.

    Raises:
        ConfigError: the template cannot write a question and an answer.
    """

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self._tokenizer = getattr(processor, "tokenizer", processor)
        self._has_template = bool(
            getattr(processor, "chat_template", None) or getattr(self._tokenizer, "chat_template", None)
        )
        self._specials = special_tokens(self._tokenizer)
        self._as_text = {role: self._takes_only_text(role) for role in ("user", "assistant", "system")}
        self._framing = tuple(sorted(self._framing_tokens(), key=len, reverse=True))
        self._control = re.compile("|".join(map(re.escape, self._framing)) or r"(?!)")

    def write(self, turns: Sequence[Turn]) -> Written:
        """The text of a training sample.

        Args:
            turns: a checked dialogue, the last turn an answer that is learned.

        Raises:
            BadSample: the template cannot write it, or the text contains one of the host's control tokens.
        """
        self._refuse_control_tokens(turns)
        *earlier, last = [number for number, turn in enumerate(turns) if turn.role == "assistant" and turn.learned]
        prompt, answer = self._answer(turns, last)
        if self._end_of_turn(answer) is None:
            answer += self._tokenizer.eos_token or ""
        text = prompt + answer
        answers = []
        for number in earlier:
            begin, learned = self._answer(turns, number)
            if text.startswith(begin + learned):
                answers.append((len(begin), len(begin) + len(learned)))
        return Written(text, (*answers, (len(prompt), len(text))))

    def _answer(self, turns: Sequence[Turn], number: int) -> tuple[str, str]:
        """The prompt of an answer, and the answer with its end of turn."""
        opened = self._render(turns[:number], generation=True)
        closed = self._render(turns[: number + 1], generation=False)
        if closed.startswith(opened):
            body = closed[len(opened) :]
        else:  # the generation prompt is not how the template opens a finished answer
            words = _words(turns[number]).strip()
            asked = self._render(turns[:number], generation=False)
            at = closed.find(words, _common(asked, closed)) if words else -1
            if at < 0:
                raise BadSample("template", f"the answer {words[:40]!r} is not in what the template writes")
            body = closed[at:]
        end = self._end_of_turn(body)
        return opened, body.rstrip() if end is None else body[:end]

    def _end_of_turn(self, body: str) -> int | None:
        """Where the first of the control tokens that a finished answer ends with ends; None if it ends with words."""
        found, rest = None, body.rstrip()
        while rest.endswith(self._framing):
            found = len(rest)
            last = next(token for token in self._framing if rest.endswith(token))
            rest = rest.removesuffix(last).rstrip()
        return found

    def _framing_tokens(self) -> set[str]:
        """Control tokens that frame turns and pictures. Others (boxes, references) may be what is to be learned."""
        asked, told = Turn("user", ("one",)), Turn("assistant", ("two",))
        written = ""
        for shown in ((Picture(),), (Video(""),), ("three",)):
            turns = (asked, told, Turn("user", shown))
            try:
                written += self._render(turns, generation=True)
            except BadSample:  # a template without videos, for example
                continue
        held = {**vars(self._processor), **self._tokenizer.special_tokens_map}
        named = {value for name, value in held.items() if name.endswith("_token") and name != "unk_token"}
        return {token for token in self._specials if token in written or token in named}

    def _refuse_control_tokens(self, turns: Sequence[Turn]) -> None:
        for number, turn in enumerate(turns, 1):
            found = self._control.search(_words(turn))
            if found:
                raise BadSample("control-token", f"turn {number} ({turn.role}) contains {found[0]!r}")

    def _render(self, turns: Sequence[Turn], *, generation: bool) -> str:
        if not self._has_template:
            return self._plain(turns, generation)
        messages = [{"role": turn.role, "content": self._content(turn)} for turn in turns]
        try:
            return str(self._processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=generation))
        except Exception as error:  # jinja's and whatever a template raises by itself
            raise BadSample("template", (str(error) or type(error).__name__).splitlines()[0]) from None

    def _plain(self, turns: Sequence[Turn], generation: bool) -> str:
        pictures = sum(not isinstance(part, str) for turn in turns for part in turn.parts)
        lines = "\n".join(_words(turn) for turn in turns)
        return f"{picture_text(self._processor, pictures)}\n{lines}" if turns else ""

    def _content(self, turn: Turn) -> Any:
        if self._as_text.get(turn.role, False) and all(isinstance(part, str) for part in turn.parts):
            return _words(turn)
        return [_part(part) for part in turn.parts]

    def _takes_only_text(self, role: str) -> bool:
        """Whether the template wants this role's content as a string: it fails on a list, or prints it as it is."""
        if not self._has_template:
            return True
        self._as_text = {}
        word, asked, told = "probe", Turn("user", ("one",)), Turn("assistant", ("two",))
        turns = {
            "user": (Turn("user", (word,)),),
            "assistant": (asked, Turn("assistant", (word,))),
            "system": (Turn("system", (word,)), asked, told),
        }[role]
        reasons = []
        for as_text in (not hasattr(self._processor, "tokenizer"), hasattr(self._processor, "tokenizer")):
            self._as_text = {"user": as_text, "assistant": as_text, "system": as_text}
            try:
                shown = self._render(turns, generation=False)
            except BadSample as problem:
                reasons.append(problem.reason)
                continue
            if word in shown and "'type'" not in shown:
                return as_text
            reasons.append(f"it writes {shown[:60]!r}")
        if role == "system":
            return True  # a template may refuse system prompts; the sample that has one will say so
        raise ConfigError(
            explain(f"the chat template cannot write the {role}'s turns.", because="; ".join(dict.fromkeys(reasons)))
        )


def special_tokens(tokenizer: Any) -> frozenset[str]:
    """The texts of a tokenizer's control tokens; those that are only white space are ordinary text."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    named: Iterable[str] = (str(token) for token in added if getattr(token, "special", False))
    return frozenset(token for token in (*tokenizer.all_special_tokens, *named) if token.strip())


def _part(part: Any) -> dict[str, str]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image" if isinstance(part, Picture) else "video"}


def _words(turn: Turn) -> str:
    return "".join(part for part in turn.parts if isinstance(part, str))


def _common(a: str, b: str) -> int:
    """How many characters two texts begin with in common."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
