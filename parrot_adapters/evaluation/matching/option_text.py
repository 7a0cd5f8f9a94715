"""Which option's text stands in a reply: whole words, the longest option wins, spelling forgiven step by step."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping

from parrot_adapters.evaluation.matching.asides import without_asides
from parrot_adapters.evaluation.matching.text_forms import fold, joined, light, script
from parrot_adapters.evaluation.matching.vocabulary import Vocabulary

__all__ = ["completed", "find_option", "is_option", "stem"]

ASPECT = re.compile(r"(?<=[\u4e00-\u9fff])[着了过](?=[\u4e00-\u9fff])")
EDGES = string.punctuation.replace("%", "") + string.whitespace + "。，、！？：；،؛؟।…«»“”‘’"
LONGEST_ENDING = 7
ARTICLE = "ال"
LAST_WORD = re.compile(r"[^\W\d_]{4,40}$")
LONGEST_WORD = 60
CUT_OFF = 120
"""Characters from which on a reply may have been cut off."""
VOWELS = "aeiouаеиоуыэюяйь"
SHORTEST_INFLECTED = 4
SHORTEST_SHORTENED = 3
LONGEST_INFLECTION = 2
"""Letters behind a stem; more of them make other words."""


def is_option(reply: str, options: Mapping[str, str], language: str | None) -> str | None:
    """The one option that the whole reply spells, punctuation around it aside."""
    for bold in (False, True):
        forms = _forms(options, language, bold)
        plain = light(reply, language) if not bold else fold(reply)
        for said in (plain, _stripped(plain)):
            same = [letter for letter, form in forms.items() if said and form == said]
            if same:
                return same[0] if len(same) == 1 else None
    return _shortened(fold(reply).strip(EDGES), options)


def completed(reply: str, options: Mapping[str, str]) -> str:
    """Return a long reply that breaks off within the one word of an option with that word written out.

    Args:
        reply: Reply.
        options: Option texts by letter.
    """
    last = LAST_WORD.search(reply[-LONGEST_WORD:])
    if last is None or len(reply) < CUT_OFF:
        return reply
    said = fold(last[0])
    longer = [text for text in options.values() if fold(text).startswith(said) and text.isalpha()]
    is_whole = any(said in fold(text).split() for text in options.values())
    return reply[: -len(last[0])] + longer[0] if len(longer) == 1 and not is_whole else reply


def _shortened(said: str, options: Mapping[str, str]) -> str | None:
    """The one option that a reply names by its beginning: "Tue" for "Tuesday", "白" for "白色"."""
    if not said or " " in said or not said.isalpha():
        return None
    forms = {letter: _stripped(fold(text)) for letter, text in options.items()}
    if script(said[0]) == "CJK":
        longer = [letter for letter, form in forms.items() if form[:-1] == said]
    else:
        longer = [letter for letter, form in forms.items() if form.startswith(said) and len(said) >= SHORTEST_SHORTENED]
    return longer[0] if len(longer) == 1 else None


def _without_aspect(text: str) -> str:
    """Chinese without the signs that say that something is going on or done: "骑着自行车" is "骑自行车"."""
    return ASPECT.sub("", text)


def find_option(reply: str, options: Mapping[str, str], language: str | None, known: Vocabulary) -> str | None:
    """The one option whose text stands in the reply, or None where there is none or more than one.

    Exact words are looked for before words without their accents, those before words with an ending or a glued
    article, and options without their own article last.
    """
    bare = {letter: _without_article(text, known) for letter, text in options.items()}
    for texts, bold, glued in (
        (options, False, False),
        (options, True, False),
        (bare, True, False),
        (bare, True, True),
    ):
        said = fold(reply) if bold else light(reply, language)
        forms = _forms(texts, language, bold)
        spans = {letter: _spans(form, said, known if glued else None) for letter, form in forms.items() if form}
        standing = _outermost(spans)
        if standing and known.inflecting and not any(" " in forms[letter] for letter in standing):
            standing |= inflected_options(reply, options, known)
        if standing and not glued and known.prefixes:  # "وعمود": an "and" is written with the word behind it
            said_bold, beside = fold(reply), {x: _stripped(fold(t)) for x, t in bare.items() if x not in standing}
            standing |= {x for x, form in beside.items() if form and _spans(form, said_bold, known)} - _hidden(
                standing, beside, forms
            )
        if standing and (longer := _longer_in_other_forms(standing, options, fold(reply), known)):
            standing, spans, said = longer
        if standing:
            affirmed = {
                letter for letter in standing if not spans.get(letter) or not _struck_out(said, spans[letter], known)
            }
            chosen = affirmed if len(standing) > 1 and affirmed else standing
            if len(chosen) > 1 and all(spans.get(letter) for letter in chosen):
                chosen = without_asides(said, {letter: spans.get(letter, []) for letter in chosen}, known) or chosen
            return chosen.pop() if len(chosen) == 1 else None
    if ASPECT.search(reply):
        plain = {letter: _without_aspect(text) for letter, text in options.items()}
        if len(set(plain.values())) == len(plain):
            return find_option(_without_aspect(reply), plain, language, known)
    turned = inflected_options(reply, options, known) if known.inflecting else set()
    if not turned and known.cases:
        turned = _in_other_cases(fold(reply), options, known)
    return turned.pop() if len(turned) == 1 else None


def _hidden(standing: set[str], beside: Mapping[str, str], forms: Mapping[str, str]) -> set[str]:
    """Options that are part of one that stands in the reply."""
    return {x for x, form in beside.items() if any(form in fold(forms[letter]) for letter in standing)}


def _longer_in_other_forms(
    standing: set[str], options: Mapping[str, str], said: str, known: Vocabulary
) -> tuple[set[str], dict[str, list[tuple[int, int]]], str] | None:
    """What stands where an option that holds another one is there with an ending: "masa lambasıdır" hides "masa"."""
    forms = {letter: _stripped(fold(text)) for letter, text in options.items()}
    longer = {b for b in forms.keys() - standing if any(forms[a] and forms[a] in forms[b] for a in standing)}
    if not longer:
        return None
    spans = {letter: _spans(forms[letter], said, known) for letter in standing | longer if forms[letter]}
    return (_outermost(spans), spans, said) if any(spans.get(letter) for letter in longer) else None


def _in_other_cases(said: str, options: Mapping[str, str], known: Vocabulary) -> set[str]:
    """The options whose own ending a reply puts another in the place of: "altta", and "altında" in the reply."""
    stems = {}
    for letter, text in options.items():
        form = _stripped(fold(text))
        ending = next((e for e in known.cases if form.endswith(e) and len(form) - len(e) >= SHORTEST_INFLECTED - 1), "")
        if " " in form or not ending:
            return set()
        stems[letter] = form[: -len(ending)]
    if len(set(stems.values())) < len(stems):
        return set()
    return {letter for letter, form in stems.items() if _spans(form, said, known)}


def inflected_options(reply: str, options: Mapping[str, str], known: Vocabulary) -> set[str]:
    """The options of one word that stand in a reply in any of their forms; none where two options share their stem."""
    stems = {letter: stem(_stripped(fold(text))) for letter, text in options.items()}
    told = {letter: bare for letter, bare in stems.items() if bare}
    if any(a != b and told[a].startswith(told[b]) for a in told for b in told):
        return set()
    # "blue" beside "dark blue": which of them a turned word belongs to is not told by it.
    shared = {word for text in options.values() if len(parts := fold(text).split()) > 1 for word in parts}
    words = [word.strip(EDGES) for word in fold(reply).split()]
    words += [word.removeprefix(ARTICLE) for word in words if word.startswith(ARTICLE)]
    return {
        letter
        for letter, bare in told.items()
        if _stripped(fold(options[letter])) not in shared
        and any(word.startswith(bare) and _turns(word[len(bare) :], known) for word in words)
    }


def _turns(ending: str, known: Vocabulary) -> bool:
    return len(ending) <= LONGEST_INFLECTION or ending in known.inflections


def stem(word: str) -> str:
    """A word without its last vowel; nothing where it is short, or several words."""
    if len(word) == SHORTEST_INFLECTED and word.startswith("ا"):  # Arabic colours: "أزرق", and "زرقاء" of a car
        return word[1:]
    bare = word.rstrip(VOWELS)
    return (
        bare
        if len(word) >= SHORTEST_INFLECTED and len(bare) >= SHORTEST_INFLECTED - 1 and bare.replace("-", "").isalpha()
        else ""
    )


def _forms(options: Mapping[str, str], language: str | None, bold: bool) -> dict[str, str]:
    """The options as they are compared; punctuation around them stays only where it tells two of them apart."""
    whole = {letter: fold(text) if bold else light(text, language) for letter, text in options.items()}
    bare = {letter: _stripped(form) for letter, form in whole.items()}
    return bare if len(set(bare.values())) == len(set(whole.values())) else whole


def _stripped(form: str) -> str:
    """Without punctuation around it; a minus before a number is no punctuation."""
    bare = form.strip(EDGES)
    return f"-{bare}" if bare[:1].isdigit() and form.lstrip(EDGES.replace("-", "")).startswith(f"-{bare[0]}") else bare


def _without_article(text: str, known: Vocabulary) -> str:
    folded = fold(text)
    first, _, rest = folded.partition(" ")
    if folded.startswith(ARTICLE) and len(first) > len(ARTICLE) + 1:
        return folded.removeprefix(ARTICLE)
    return rest if rest and first in known.articles else text


def _spans(form: str, said: str, glued: Vocabulary | None) -> list[tuple[int, int]]:
    """Where ``form`` stands in ``said`` as a word, or with ``glued`` as a word but for a prefix or an ending."""
    found, start = [], said.find(form)
    while start >= 0:
        end = start + len(form)
        if _opens(said, start, form, glued) and _closes(said, end, form, glued):
            found.append((start, end))
        start = said.find(form, start + 1)
    return found


def _opens(said: str, start: int, form: str, glued: Vocabulary | None) -> bool:
    if start == 0:
        return True
    if form[0].isdigit() and said[start - 1] in ".,-":
        # the 50 in "1.50" and the 3 in "-3" are not the numbers 50 and 3
        inside = said[start - 1] == "-" and (start == 1 or said[start - 2].isspace())
        return not (inside or (start > 1 and said[start - 2].isdigit()))
    if not joined(said[start - 1], form[0]):
        return True
    if glued is None or not glued.prefixes:
        return False
    word_start = start
    while word_start > 0 and joined(said[word_start - 1], said[word_start]):
        word_start -= 1
    return said[word_start:start] in glued.prefixes


def _closes(said: str, end: int, form: str, glued: Vocabulary | None) -> bool:
    if end == len(said):
        return True
    if form[-1].isdigit() and said[end] in ".,":
        return not (end + 1 < len(said) and said[end + 1].isdigit())
    if not joined(form[-1], said[end]):
        return True
    if glued is None:
        return False
    word_end = end + 1
    while word_end < len(said) and joined(said[word_end - 1], said[word_end]):
        word_end += 1
    ending = said[end:word_end]
    long_enough = len(form) >= (2 if "\uac00" <= form[-1] <= "\ud7a3" else 4)
    longest = LONGEST_ENDING if long_enough else LONGEST_INFLECTION if len(form) == SHORTEST_INFLECTED - 1 else 0
    return ending in glued.endings or (glued.suffixing and len(ending) <= longest)


def _outermost(spans: Mapping[str, list[tuple[int, int]]]) -> set[str]:
    """The options that stand somewhere outside every longer option: "top left" hides "top" and "left"."""
    every = [span for found in spans.values() for span in found]
    return {
        letter
        for letter, found in spans.items()
        if any(not any(a <= s and e <= b and (a, b) != (s, e) for a, b in every) for s, e in found)
    }


def _struck_out(said: str, spans: list[tuple[int, int]], known: Vocabulary) -> bool:
    """True where every mention follows a "not": the red in "not red but blue"."""
    before = ((said[:start].split() or [""])[-1] for start, _ in spans)
    return all(word in known.negations for word in before)
