"""What of a reply is meant for the reader: no thoughts, no signs of a chat template, no question that the model went on
to ask itself; and what it put in a frame to be found: a box, an answer tag, a JSON object."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from itertools import islice

__all__ = ["BOX", "answer_in_json", "framed", "likeliest", "meant", "turns_of", "without_markup"]

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
SHARE = re.compile(
    r"(?<![^\W_])([A-Z])(?![^\W_])[^\w%\n]{0,4}(?:[^\W\d_]{1,4} )?(?:([0-9]{1,3}(?:\.[0-9]{1,3})?) ?%|% ?([0-9]{1,3}))",
    re.ASCII,
)
"""A letter and the share that is given to it: "A (80%)", "C com 20%", "A (%75)"."""
WHOLE = 101
"""Per cent that all shares come to, at most."""
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
        said_of = {key: _number(value) for key, value in held.items() if key in letters}
        if len(said_of) > 1 and len(said_of) == len(held) and None not in said_of.values():
            best = [key for key, value in said_of.items() if value == max(filter(None, said_of.values()), default=None)]
            return best[0] if len(best) == 1 else None
        for key, value in held.items():
            plain = key.lower().replace("_", " ").replace("-", " ")
            if isinstance(value, str) and value.strip() and any(word in names for word in (plain, *plain.split())):
                return value
    return None


def _number(value: object) -> float | None:
    """A number, also one that is written as text: "0.81", "81%"."""
    if isinstance(value, str):
        plain = value.strip().removesuffix("%").strip()
        return float(plain) if re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,9})?", plain, re.ASCII) else None
    return float(value) if isinstance(value, (bool, int, float)) else None


def likeliest(text: str, letters: Collection[str]) -> str | None:
    """The letter to which a reply gives the largest share of several: "A (80%), C 20%".

    Args:
        text: Cleaned reply.
        letters: Letters of the options.
    """
    shares = {found[1]: float(found[2] or found[3]) for found in SHARE.finditer(text) if found[1] in letters}
    best = max(shares, key=lambda letter: shares[letter], default=None)
    alone = best is not None and all(shares[best] > share for letter, share in shares.items() if letter != best)
    return best if len(shares) > 1 and alone and sum(shares.values()) <= WHOLE else None


def _up_to_closing_brace(text: str) -> str | None:
    depth = 1
    for place, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return text[:place]
    return None
