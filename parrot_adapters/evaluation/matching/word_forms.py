"""Whether two words are forms of one: "kick" and "kicking", "зонт" and "зонтом", "يجلس" and "جالس"."""

from __future__ import annotations

import re
from functools import lru_cache

from parrot_adapters.evaluation.matching.text_forms import UNSPACED, fold, script
from parrot_adapters.evaluation.matching.vocabulary import Vocabulary

__all__ = ["WORD", "kin", "same_stem", "words_of"]

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
SHORTEST_STEM = 3
LEAST_SHARED, MOST_OF_IT = 5, 0.6
"""Letters, and the share of the longer word, that tell that two words are of one stem."""
LONGEST_ENDING = {3: 2, 4: 3}
"""Letters that may follow a stem of so many letters in a language that turns its words; behind longer ones more."""
LONGEST_ENDING_OF_ALL = 7
LONGEST_SUFFIXES, LONGEST_OF_SHORT = 8, 4
"""In a language that glues its endings one to another; behind a stem of three letters less."""
LONG_ENDING = 4
"""Letters of an ending that tells a verb by itself."""
VERB_ENDING = re.compile(
    "[aeiou]?(?:yor|mek|mak|mis|mus|c[ae]k|yac|yec|[dt][iuae]|r|p|k|s[ae]|m[ae]|[bcgdyn]?[aeiu]|[iu]?l|n[iu]|[iu]n|l[ae]r)"
)
"""How endings of Turkish verbs and nouns begin, folded: two words of which neither is the other's stem have such."""
SURE_VERB_ENDING = re.compile("[aeiou]?(?:yor|m[ae]k|m[iu][sy])")
"""How endings begin that verbs alone have."""
ENGLISH_ENDINGS = frozenset(
    {"s", "es", "'s", "ed", "ing", "ies", "ied", "ish", "er", "en", "ness", "iness", "ly", "ily", "ful"}
)
ENGLISH_BARE = frozenset({"", "e", "y"})
ARABIC_BEFORE = re.compile("^(?:وال|فال|بال|كال|لل|ال|[وفبكل](?=.{4}))?(?:[يتنم](?=.{3}))?")
ARABIC_BEHIND = re.compile("(?:تان|تين|تها|تهم|ته|تي|ون|ين|ات|ان|ها|هم|يه|ه|ي|ا)$")
ARABIC_LONG_I = re.compile("^(.{2})ي(.)$")
"""Of an adjective of three letters: حزين, of حزن."""


def words_of(text: str) -> list[str]:
    """The words of a text, folded; in a script without spaces its signs, one by one.

    Args:
        text: Any text.
    """
    found: list[str] = []
    for run in WORD.findall(fold(text)):
        found += _signs(run) if any(script(c).startswith(UNSPACED) for c in run) else [run]
    return found


def _signs(run: str) -> list[str]:
    """Chinese "用iPhone拍" is 用, iphone, 拍."""
    return re.findall(r"[a-z0-9]+|[^a-z0-9]", run)


@lru_cache(maxsize=65536)
def kin(word: str, other: str, known: Vocabulary) -> bool:
    """True where two folded words are forms of one.

    Args:
        word: One of them.
        other: The other.
        known: Words of the language.
    """
    if word == other:
        return True
    if known.infinitives and (_of_short_stem(word, other, known) or _of_short_stem(other, word, known)):
        return True
    if min(len(word), len(other)) < SHORTEST_STEM or word.isdecimal() or other.isdecimal():
        return False
    if script(word[0]) != script(other[0]) or script(word[0]).startswith(UNSPACED):
        return False
    if script(word[0]) == "ARABIC":
        mine, theirs = _skeleton(word), _skeleton(other)
        return mine == theirs and len(mine) >= SHORTEST_STEM
    same = next((i for i, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
    if same < SHORTEST_STEM:
        return False
    ends = word[same:], other[same:]
    if known.suffixing:
        is_verb = all(SURE_VERB_ENDING.match(end) for end in ends)
        longest = LONGEST_SUFFIXES if same > SHORTEST_STEM or is_verb else LONGEST_OF_SHORT
        turned = "" in ends or all(VERB_ENDING.match(end) for end in ends)
        return max(map(len, ends)) <= longest and turned
    if known.inflecting:
        longest = LONGEST_ENDING.get(same, min(same, LONGEST_ENDING_OF_ALL))
        return all(len(end) <= longest or (end in known.inflections) for end in ends)
    return any(_english(word[:same], *pair) for pair in (ends, ends[::-1]))


def same_stem(word: str, other: str) -> bool:
    """True where two folded words open with the same letters, most of the longer one: "evaporate", "evaporation".

    Args:
        word: One of them.
        other: The other.
    """
    same = next((i for i, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
    return same >= LEAST_SHARED and same >= MOST_OF_IT * max(len(word), len(other)) and word.isalpha()


def _of_short_stem(infinitive: str, turned: str, known: Vocabulary) -> bool:
    """Portuguese "ler" and "lendo", whose stem is one letter."""
    for ending in known.infinitives:
        bare = infinitive.removesuffix(ending)
        if bare != infinitive and 0 < len(bare) < SHORTEST_STEM and turned.startswith(bare):
            return len(turned) - len(bare) >= LONG_ENDING and turned[len(bare) :] in known.inflections
    return False


def _english(stem: str, bare: str, turned: str) -> bool:
    """ "sit" and "sitting", "make" and "making", "carry" and "carries", "walks" and "walked"."""
    doubled = turned[:1] == stem[-1:]
    endings = {turned, turned[1:]} if doubled and len(turned) > 1 else {turned}
    if bare in ENGLISH_BARE:
        return bool(endings & ENGLISH_ENDINGS) or (turned == "d" and stem.endswith("e") and not bare)
    return bare in ENGLISH_ENDINGS and bool(endings & ENGLISH_ENDINGS)


@lru_cache(maxsize=8192)
def _skeleton(word: str) -> str:
    """An Arabic word without what is glued to it and without its long a."""
    bare = ARABIC_BEFORE.sub("", word) if len(word) > SHORTEST_STEM else word
    bare = ARABIC_BEHIND.sub("", bare) if len(bare) > SHORTEST_STEM else bare
    short = bare.replace("ا", "")
    return ARABIC_LONG_I.sub(r"\1\2", short if len(short) >= SHORTEST_STEM else bare)
