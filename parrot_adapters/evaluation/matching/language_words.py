"""What the robust matcher knows of one language: the fields, without any language's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Language", "labels", "phrases"]


@dataclass(frozen=True)
class Language:
    """Words with which a language announces, names or refuses an answer. Case, accents and spacing do not matter."""

    answer: tuple[str, ...] = ()
    """Words before an answer: "answer", "correct option"."""
    option: tuple[str, ...] = ()
    """Words beside a letter: "option" in "option B", "şıkkı" in "B şıkkı"."""
    fillers: tuple[str, ...] = ()
    """Words between the answer word and the letter: "is", "the", "clearly"."""
    adverbs: tuple[str, ...] = ()
    """Endings of such words: "ly" of "obviously"."""
    refusals: tuple[str, ...] = ()
    """Phrases that mean "I will not, or cannot, say"."""
    negations: tuple[str, ...] = ()
    """Words before a letter that strike it out: "not" in "not A, but B"."""
    denials: tuple[str, ...] = ()
    """Words behind a letter or an option that strike it out: "is wrong", "değil"."""
    direct_negations: tuple[str, ...] = ()
    """Words that deny the word right behind them only: "不" in "不高兴"."""
    certainties: tuple[str, ...] = ()
    """Phrases with a "not" that denies nothing: "no doubt"."""
    exceptions: tuple[str, ...] = ()
    """Words before the one that is not meant by "all ... are wrong": "all except"."""
    exceptions_behind: tuple[str, ...] = ()
    """Words behind it: "hariç", "以外"."""
    all_others: tuple[str, ...] = ()
    """Words for all of them: "all", "every", "the rest"."""
    corrections: tuple[str, ...] = ()
    """Words with which a reply takes back what it said: "no, wait"."""
    exclusions: tuple[str, ...] = ()
    """Words before all the letters that are struck out together: "ruling out" in "ruling out A, C and D"."""
    affirmations: tuple[str, ...] = ()
    """Words behind a letter that choose it: "is correct", "is the right answer"."""
    conclusions: tuple[str, ...] = ()
    """Words before what a reply comes to in the end: "therefore", "which leaves", "no, wait"."""
    impressions: tuple[str, ...] = ()
    """Words before what was thought at first, and is not any more: "at first glance"."""
    seemings: tuple[str, ...] = ()
    """Words before what only seems, where a turn follows: "might suggest" in "might suggest A, but it is B"."""
    turns: tuple[str, ...] = ()
    """Words with which a reply turns away from that: "but"."""
    concessions: tuple[str, ...] = ()
    """Words that open a clause which only grants or supposes something: "although", "if it were"."""
    concessions_behind: tuple[str, ...] = ()
    """Words that close such a clause: "olsa da"."""
    conditions: tuple[str, ...] = ()
    """Words that make what follows hold in one case only: "if" in "if it is winter, A; if it is autumn, D"."""
    dependences: tuple[str, ...] = ()
    """Words that leave it open which of several is meant: "it depends"."""
    sides: tuple[str, ...] = ()
    """Words that tell two things of a picture apart: "left" in "the left one is A, the right one D"."""
    beliefs: tuple[str, ...] = ()
    """Words before what others think, or thought, where a turn follows: "many people" in "many people think that it
    is a fish, but it is none"."""
    undeterminable: tuple[str, ...] = ()
    """Phrases, of options and of replies, that mean that it cannot be told."""
    additions: tuple[str, ...] = ()
    """Words that add to what was said: "also" in "besides the red one there is also a green one"."""
    hedges: tuple[str, ...] = ()
    """Words before another thing that may be meant: "maybe"."""
    results: tuple[str, ...] = ()
    """Words before the number that a reckoning comes to: "equals", "a total of"."""
    totals: tuple[str, ...] = ()
    """Words behind it: "in all"."""
    only: tuple[str, ...] = ()
    """Words that make a "one" beside them a count: "only" in "only one boat"."""
    single: tuple[str, ...] = ()
    """Words that count one by themselves: "a single boat"."""
    yes: tuple[str, ...] = ()
    """Words that say of an option that it is right, as in "B: cat - yes"."""
    no: tuple[str, ...] = ()
    """Words that say of an option that it is wrong."""
    both: tuple[str, ...] = ()
    """Words for two of two: "both"; in an option, and in a reply that means it."""
    neither: tuple[str, ...] = ()
    """Words for none: "neither", "none of"."""
    every: tuple[str, ...] = ()
    """Words for all: "all of the above"."""
    absences: tuple[str, ...] = ()
    """Words that say that something is not there: a no where the options are a yes and a no."""
    openings: tuple[str, ...] = ()
    """Words with which a reply opens before it names the thing: "it is", "the picture shows"."""
    relations: tuple[str, ...] = ()
    """Words before a thing that is mentioned beside the answer: "on" in "the lamp on the table"."""
    places: tuple[str, ...] = ()
    """Words behind such a thing, in languages that put them there: "上" in "桌子上的台灯"."""
    negated: tuple[str, ...] = ()
    """Folded parts of a word that deny it: "miyor" in Turkish "uyumuyor"."""
    synonyms: tuple[str, ...] = ()
    """Words of one meaning, with slashes between: "sofa/couch". One that a reply says is the other in an option, where
    no option has both."""
    joiners: tuple[str, ...] = ()
    """Words that put two letters side by side: "or" in "A or B"."""
    alternatives: tuple[str, ...] = ()
    """Those of them that leave it open which: "or"."""
    articles: tuple[str, ...] = ()
    """Words an answer may put before an option's text, or leave away."""
    words: tuple[str, ...] = ()
    """One-letter words that look like an option letter: "A" in "A dog"."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Other signs for the option letters: ``{"ب": "B"}``."""
    alphabet: str = ""
    """The language's own letters in their order, where some of them look like others of Latin: "АБВГД"."""
    prefixes: tuple[str, ...] = ()
    """What the language writes glued before a noun: the Arabic article and prepositions."""
    endings: tuple[str, ...] = ()
    """Endings an option's text may take without becoming another word: the plural "s"."""
    inflections: tuple[str, ...] = ()
    """Endings of more than two letters that an inflecting language turns its words with."""
    infinitives: tuple[str, ...] = ()
    """Endings of infinitives, in place of which ``inflections`` stand: the "er" of "ler", and "lendo"."""
    cases: tuple[str, ...] = ()
    """Endings that an option may have and a reply may put others in the place of: Turkish "altta", "altında"."""
    inflecting: bool = False
    """True where a word's last letters turn with case, gender or number: "груша" and "грушу", "branco" and "branca"."""
    suffixing: bool = False
    """True where words carry any number of endings without a space: Turkish, Korean."""
    scripts: tuple[str, ...] = ()
    """What it is written in, by the first word of the Unicode names of its letters: ``LATIN``, ``CYRILLIC``."""
    numbers: tuple[str, ...] = ()
    """Words for 0, 1, 2, ... in their order; forms of one number behind a slash: "two", "dois/duas"."""
    duals: tuple[str, ...] = ()
    """Endings of a word that means two of a thing: "قطتان"."""
    nothing: tuple[str, ...] = ()
    """Words that count nothing, as options beside numbers do: "none"."""
    tens: tuple[str, ...] = ()
    """Words for 20, 30, ... 90, likewise."""
    hundreds: tuple[str, ...] = ()
    """Words for larger numbers, each with what it means: "hundred:100"."""
    number_joiners: tuple[str, ...] = ()
    """What may stand between a ten and a one: the "e" of "vinte e cinco"."""
    number_endings: tuple[str, ...] = ()
    """What is glued to a number: Turkish "beşidir"."""
    hours: tuple[str, ...] = ()
    """Words for one o'clock, two o'clock ... in their order, where they are not the numbers."""
    hours_begun: tuple[str, ...] = ()
    """Words for the hours as they run: the "девятого" of "четверть девятого", which is 8:15."""
    hour_parts: tuple[str, ...] = ()
    """Words for parts of an hour, each with its minutes: "quarter:15"."""
    clocks: tuple[str, ...] = ()
    """How times are said, with M for minutes, H for the hour and B for one that has begun: "+ M past H", "- M to H",
    "30 H buçuk"; "~" stands where no space need be."""
    shares: tuple[str, ...] = ()
    """Words for shares of a whole, with what they are: "a half/half:1/2"."""
    decimal_comma: bool = False
    """True where 1,5 is one and a half."""
    ordinals: tuple[str, ...] = ()
    """Words for the first, second, ... in their order. Forms of one behind a slash; behind a plus endings of what
    stands before it, a semicolon before a form of another stem: "треть+я/его;третий"."""
    last: tuple[str, ...] = ()
    """Words for the last one and for the one before it, likewise."""


def phrases(text: str) -> tuple[str, ...]:
    """Return the phrases that a text has between its ``|``.

    Args:
        text: Phrases as a language's file has them.

    >>> phrases("answer | correct option")
    ('answer', 'correct option')
    """
    return tuple(phrase.strip() for phrase in text.split("|"))


def labels(rows: str) -> dict[str, str]:
    """Return the letter that each sign stands for: the first of a row for A, the second for B, and so on.

    Args:
        rows: Rows of signs with spaces between, separated by ``|``.

    >>> labels("ا ب | α β")
    {'ا': 'A', 'ب': 'B', 'α': 'A', 'β': 'B'}
    """
    return {sign: letter for row in rows.split("|") for sign, letter in zip(row.split(), "ABCDEFGHIJ", strict=False)}
