"""What of a reply is meant for the reader: no thoughts, no signs of a chat template, no question that the model went on
to ask itself; and what it put in a frame to be found: a box, an answer tag, a JSON object."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from itertools import islice

__all__ = ["BOX", "answer_in_json", "framed", "meant", "turns_of", "without_markup"]

THOUGHT = re.compile(r"[<◁](/?)(?:think|thinking|thought|reasoning)[>▷]", re.IGNORECASE)
TEMPLATE = re.compile(
    r"<[|｜](?!begin_of_box|end_of_box)[^|｜<>\n]{1,40}[|｜]>|</s>|<s>(?!.{0,200}</s>)|<(?:eos|bos|pad|unk|end_of_turn|end_of_utterance)>|"
    r"\[/?INST\]"
)
"""Signs of a chat template, which a decoder may leave in."""
TURN = re.compile(
    r"(?:(?<=\n)|^)[ \t#*]*(?:user|human|question|instruction|usuário|pergunta|问题|用户|السؤال|سؤال|المستخدم|soru|"
    r"kullanıcı|вопрос|пользователь)[ \t*]*\d*[ \t*]*[:：]",
    re.IGNORECASE,
)
"""Where a model goes on with a question of its own."""
TAGS = re.compile(
    r"<(answer|final_answer|conclusion|final)>(.{0,2000}?)</\1>|<\|begin_of_box\|>(.{0,2000}?)<\|end_of_box\|>|^####(?!#)([^\n]*)$",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
STRUCK = re.compile(r"~~[^~\n]{1,200}~~|<(s|del|strike)>[^<\n]{1,200}</\1>")
"""What is crossed out."""
BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
COMMAND = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|operatorname)\s*(?=\{)|[{}$]|\\[ ,;]")
BLOCK = re.compile(
    r"</?(?:p|div|br|ul|ol|li|h[1-6]|pre|table|tbody|tr|td|th|hr)(?:\s[^<>\n]{0,200})?/?>", re.IGNORECASE
)
INLINE = re.compile(r"</?(?:b|i|u|em|strong|span|code|font|mark|small|a|center)(?:\s[^<>\n]{0,200})?/?>", re.IGNORECASE)
LONGEST_BOX = 400
"""Characters between the braces of a box, at most."""
LAST_FRAMES = 8
"""Frames that are looked at, from the end."""
OBJECT = re.compile(r"\{[^{}]{1,4000}\}")


def meant(prediction: str) -> str:
    """What follows the last closing tag of a thought (the opening one may be in the prompt), or stands before all.

    Args:
        prediction: Reply as generated.
    """
    prediction = STRUCK.sub(" ", TEMPLATE.sub("\n", prediction))
    tags = list(THOUGHT.finditer(prediction))
    closing = [tag for tag in tags if tag[1]]
    if not closing:
        return prediction
    after, before = prediction[closing[-1].end() :], prediction[: tags[0].start()]
    return next((said for said in (after, before) if said.strip()), prediction)


def without_markup(said: str) -> str:
    """The reply without tags of HTML, a new line for those that begin a block.

    Args:
        said: Reply without thoughts.
    """
    return INLINE.sub("", BLOCK.sub("\n", said)) if "<" in said else said


def turns_of(said: str) -> Iterator[str]:
    """The reply up to where the model asks itself the next question, then the rest: the first that answers counts.

    Args:
        said: Reply without thoughts.
    """
    opened = len(said) - len(said.lstrip())
    for cut in islice((cut.start() for cut in TURN.finditer(said) if cut.start() > opened), 2):
        yield said[:cut]
    yield said


def framed(said: str) -> list[str]:
    """What stands in answer tags and boxes, the last one first, without the commands of LaTeX.

    Args:
        said: Reply without thoughts.
    """
    found = [(tag.start(), next(g for g in tag.groups()[1:] if g is not None)) for tag in TAGS.finditer(said)]
    for box in list(BOX.finditer(said))[-LAST_FRAMES:]:
        inner = _up_to_closing_brace(said[box.end() : box.end() + LONGEST_BOX])
        if inner is not None:
            found.append((box.start(), COMMAND.sub(" ", inner)))
    return [inner.strip() for _, inner in sorted(found, reverse=True)[:LAST_FRAMES] if inner.strip()]


def answer_in_json(said: str, letters: Collection[str], names: Collection[str]) -> str | None:
    """The value that the last flat JSON object of a reply gives for "answer", or its one key that is true, or most.

    Args:
        said: Reply without thoughts.
        letters: Letters of the options.
        names: Words for "answer" and "option", folded.
    """
    for found in list(OBJECT.finditer(said))[-LAST_FRAMES:][::-1]:
        try:
            held = json.loads(found[0])
        except ValueError:
            continue
        said_of = {key: value for key, value in held.items() if key in letters}
        if (
            len(said_of) > 1
            and len(said_of) == len(held)
            and all(isinstance(v, (bool, int, float)) for v in held.values())
        ):
            best = [key for key, value in said_of.items() if value == max(said_of.values())]
            return best[0] if len(best) == 1 else None
        for key, value in held.items():
            plain = key.lower().replace("_", " ").replace("-", " ")
            if isinstance(value, str) and value.strip() and any(word in names for word in (plain, *plain.split())):
                return value
    return None


def _up_to_closing_brace(text: str) -> str | None:
    depth = 1
    for place, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return text[:place]
    return None
