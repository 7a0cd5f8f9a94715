"""Our own reading of a reply, for every language and script: always reported beside the reference one.

A reply is asked these questions, and the first that has an answer decides: is it a letter and nothing else; is it an
option's text; what is in the box; what follows "the answer is"; does it begin with a letter; is it a refusal; is a
letter called "option"; which option's text, or which letter, stands in it; which option does it say in other words?
Two answers to one question are none.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from itertools import chain

from parrot_adapters.evaluation.matching.beliefs import without_beliefs
from parrot_adapters.evaluation.matching.clock_times import clock_choice
from parrot_adapters.evaluation.matching.counts import counted_choice, counts_of, number_names, reckoned_choice
from parrot_adapters.evaluation.matching.denials import without_denied
from parrot_adapters.evaluation.matching.exceptions import excepted_choice
from parrot_adapters.evaluation.matching.frames import (
    BOX,
    answer_in_json,
    framed,
    likeliest,
    meant,
    turns_of,
    without_markup,
)
from parrot_adapters.evaluation.matching.gist import derived_choice, gist_choice, short_names
from parrot_adapters.evaluation.matching.groups import group_choice
from parrot_adapters.evaluation.matching.items import judged_choice
from parrot_adapters.evaluation.matching.letters import SENTENCE, SENTENCE_END, Letters
from parrot_adapters.evaluation.matching.listings import begun_list, without_recital, without_step_numbers
from parrot_adapters.evaluation.matching.option_text import completed, find_option, is_option
from parrot_adapters.evaluation.matching.ordinals import place_named
from parrot_adapters.evaluation.matching.quantities import quantity_choice
from parrot_adapters.evaluation.matching.shares import share_choice
from parrot_adapters.evaluation.matching.synonyms import other_names
from parrot_adapters.evaluation.matching.text_forms import clean, fold, tokens
from parrot_adapters.evaluation.matching.undecided import without_undecided
from parrot_adapters.evaluation.matching.vocabulary import Vocabulary, vocabulary
from parrot_adapters.evaluation.matching.word_sets import listed_things, things_choice
from parrot_adapters.evaluation.matching.written_in import written_in

__all__ = ["robust_choice"]

API_FAILURE = "Failed to obtain answer via API"
SENTENCES = re.compile(r"[.!?。！？؟]+(?=\s|$)|[。！？\n]+")
TOLD_BY = 2000
"""Characters of a reply, of its end, that tell its language where nobody does."""
READ_WHOLE = 60_000
"""A longer reply, in characters, is read in parts: models that go round in circles write megabytes."""
END = 10_000
"""Characters of its beginning, and of its end, that are read."""
AROUND = 100
"""Characters before a word for "answer" that are read with it."""
LAST_CUES = 32
"""Of a reply that says "answer" over and over, so many mentions are asked, from the end."""
LISTED = 64
"""Sentences of a list of verdicts, at most."""
VERDICT_REACH = 8000
"""Longest reply that is looked through for such a list, in characters."""
VERDICTS = re.compile(r"[\n.;!。；！]+")
VERDICTS_IN_LINE = re.compile(r"[\n.;!。；！,，،]+")
LISTED_VERDICT = re.compile(r"(?:^|[,，،])[^\w\n]*[^\W\d_]\s?[-:=]\s?\w+\s?(?=[,，،.;]|$)")
LABEL_DOT = re.compile(r"(?m)^([^\w\n]*[A-Za-z])\.(?=\s)")
TAIL = re.compile(r"[;；،,，]")
CLAUSE_END = re.compile(r"[,.;:!?，。；：！？،؛؟\n]| - ")
MARKS = frozenset("✓✔✅✗✘❌×")
MARKED = re.compile(r"(?<![^\W_])([A-Z])[ :).|]{0,4}([✓✔✅✗✘❌×])")
TICK_BOX = re.compile(r"(?m)^[^\w\n\[(]{0,8}[\[(]([ xX✓✔•*]?)[\])]([^\n]{1,400})$")
NUMBERED = re.compile(r"\W*(?:no|nr|#)[\s.:]{0,3}([1-9])\W*")
"""A reply that is a number with a sign for it: "No. 3", "№ 3"."""
SHORT = 3
"""Words of a reply that names a letter and nothing else."""
CUT_OFF = 120
"""Characters from which on a reply that ends in the middle of a sentence is taken to be cut off before it concludes."""
UNFINISHED = re.compile(r"[^\W\d_][,;:]?\s*$")


def robust_choice(prediction: str, options: Mapping[str, object], *, language: str | None = None) -> str | None:
    """The option letter, ``Z`` for a refusal in any known language, or None.

    ``options`` are texts by capital letter. Spelling, inflection and the order of words are forgiven, meaning never:
    what is not named is not found.
    """
    texts = {letter: str(text) for letter, text in options.items()}
    if not texts or API_FAILURE in prediction:
        return None
    language = language or written_in(f"{' '.join(texts.values())} {prediction[-TOLD_BY:]}")
    said = meant(prediction)
    said = said if any("<" in text for text in texts.values()) else without_markup(said)
    said = completed(_excerpt(said, vocabulary(language)), texts)
    found = (_Reading(turn, texts, language).choice() for turn in turns_of(said))
    return next((choice for choice in found if choice), None)


def _excerpt(said: str, known: Vocabulary) -> str:
    """What is read of a very long reply: its beginning, its end, and what stands around the last words for "answer"."""
    if len(said) <= READ_WHOLE:
        return said
    wanted = [(0, END), (len(said) - END, len(said))]
    lower = said.replace("İ", "I").lower()  # every character in its place
    for pattern, text in ((known.lower_cue, lower), (BOX, said)):
        last = deque(pattern.finditer(text), maxlen=LAST_CUES)
        wanted += [(max(found.start() - AROUND, 0), found.end() + SENTENCE) for found in last]
    parts: list[list[int]] = []
    for start, end in sorted(wanted):
        if parts and start <= parts[-1][1]:
            parts[-1][1] = max(parts[-1][1], end)
        else:
            parts.append([start, end])
    return "\n\n".join(said[start:end] for start, end in parts)


class _Reading(Letters):
    """One reply, its words, and the questions asked of it."""

    def __init__(self, said: str, options: Mapping[str, str], language: str | None, *, framed: bool = False) -> None:
        self.is_framed = framed
        cleaned = clean(said)
        plain = without_step_numbers(without_recital(cleaned, options, vocabulary(language).small))
        plain = without_beliefs(plain, language)
        self.said = said = said if plain == cleaned else plain
        cleaned = plain
        self.synonyms = other_names(options, language)
        names = (*short_names(options, vocabulary(language)).values(), *(name for _, name in self.synonyms))
        names += (*number_names(options, language),)
        decided = without_undecided(cleaned, options, language)
        text = without_denied(decided, options, language, names)
        self.raw = said if text == cleaned else text
        self.denied = "".join(c if kept == " " else " " for c, kept in zip(decided, text, strict=True))
        # Digits name options ("2" is B) only where no option is about numbers.
        counts = counts_of(options, language) is None and not any(
            c.isdigit() for option in options.values() for c in clean(option)
        )
        super().__init__(text, options, language, vocabulary(language), counts)

    def choice(self) -> str | None:
        if not self.words:  # nothing, or nothing but what is rejected: unless that is how an option reads
            if not self.said.strip():
                return None
            begun = self.known.exclusion.match(fold(self.said).lstrip(" *"))  # "Ruling out A and B": and then?
            return self._sole() or (None if begun else self._left_over())
        if (listed := begun_list(self.text, self.options)) is not None:
            before = _Reading(self.text[:listed], self.options, self.language)
            return before._named_right() or before._text_after_cue(self.known.answer)
        return self._said() or self._left_over() or self._odd_one_out()

    def _sole(self) -> str | None:
        return is_option(self.said, self.options, self.language) or self._yes_or_no() or self._grouped()

    def _said(self) -> str | None:
        return (
            self._whole()
            or self._framed()
            or self._ticked()
            or self._corrected()
            or self._listed_things()
            or excepted_choice(self.said, self.options, self.language)
            or judged_choice(self.said, self.options, self.language, self.known)
            or self._verdicts()
            or self._named_right()
            or self._concluded()
            or self._leading()
            or self._undeterminable()
            or self._yes_or_no()
            or self._refused()
            or self._text_after_cue(self.known.answer)
            or reckoned_choice(self.raw, self.options, self.language)
            or self._text_after_cue(self.known.conclusion)
            or self._sentence_alone()
            or (self._odd_one_out() if len(self.said) <= SENTENCE // 2 else None)
            or likeliest(self.text, self.options)
            or self._unless_overturned(
                self._called_option()
                or place_named(self.raw, list(self.options), self.language, counts=self.counts)
                or self._grouped()
                or self._unless_rejected(self._opened() or self._predicated() or self._ended())
                or self._unless_cut_off(self._unless_rejected(self._unless_denied(self._mentioned())))
            )
        )

    # -- the questions, in order ------------------------------------------------------------------------------------

    def _whole(self) -> str | None:
        """The reply is one letter (or another sign for it), or one option's text."""
        alone = self.words[0].text if len(self.words) == 1 else ""
        if alone in self.options:
            return alone
        if self.counts and (numbered := NUMBERED.fullmatch(fold(self.said))):
            return self.label(numbered[1])
        return self._is_option(self.said) or self.label(alone)

    def _framed(self) -> str | None:
        """What stands in a box, in answer tags or under "answer" in an object: one letter, or whatever it says."""
        if self.is_framed:
            return None
        named = answer_in_json(self.raw, self.options.keys(), self.known.answer_words)
        for said in [*framed(self.raw), *([named] if named else [])]:
            inner = _Reading(said, self.options, self.language, framed=True)
            if found := inner.choice():
                return found
        return None

    def _ticked(self) -> str | None:
        """The one line of a checklist that is ticked: "- [x] B. cat" among "- [ ] A. dog"."""
        ticked = [box[2] for box in TICK_BOX.finditer(self.said) if box[1].strip()]
        if len(ticked) != 1 or all(box[1].strip() for box in TICK_BOX.finditer(self.said)):
            return None
        return _Reading(ticked[0], self.options, self.language, framed=True).choice()

    def _corrected(self) -> str | None:
        """What follows the last "no, wait": it takes back what stands before it."""
        for start, end in self._cues(self.known.correction)[:1]:
            rest = self.text[end:]
            if any(c.isalnum() for c in self.text[:start]) and any(c.isalnum() for c in rest):
                return _Reading(rest, self.options, self.language, framed=True).firm()
        return None

    def firm(self) -> str | None:
        """What the reply plainly names: nothing that is only mentioned."""
        if not self.words:
            return None
        return (
            self._whole()
            or self._named_right()
            or self._concluded()
            or self._leading()
            or self.label_from(0)
            or self._text_after_cue(self.known.answer)
            or self._text_after_cue(self.known.conclusion)
            or self._sentence_alone()
            or self._opened()
            or self._predicated()
        )

    def _verdicts(self) -> str | None:
        """The one letter that a list calls right where it calls all others wrong: "A: cat - no. B: dog - yes."."""
        said = {pair[1]: pair[2] in self.known.yes for pair in MARKED.finditer(self.text) if pair[1] in self.options}
        listed = LABEL_DOT.sub(r"\1:", self.text) if len(self.text) <= VERDICT_REACH else ""
        by_comma = len(LISTED_VERDICT.findall(listed)) > 1  # "A - no, B - yes"
        for sentence in (VERDICTS_IN_LINE if by_comma else VERDICTS).split(listed, LISTED):
            words = [token for token in tokens(sentence) if token.is_word or fold(token.text) in MARKS]
            labels = [label for word in words[:3] if (label := self._listed_label(word.text, sentence))]
            marks = [fold(word.text) for word in words if fold(word.text) in MARKS]
            last = marks[-1] if marks else fold(words[-1].text) if len(words) > 1 else ""
            if labels and (last in self.known.yes or last in self.known.no):
                said[labels[-1]] = last in self.known.yes
        right, wrong = ([letter for letter, verdict in said.items() if verdict is kind] for kind in (True, False))
        if len(wrong) == 1 and len(said) == len(self.options) > 2:  # asked was what is not so
            return wrong[0]
        return right[0] if len(said) > 1 and len(right) == 1 else None

    def _listed_label(self, word: str, sentence: str) -> str | None:
        """The label of a line of a list: a capital, or any letter that a bracket or a colon sets off: "a) cat"."""
        set_off = (
            len(word) == 1 and not word.isdecimal() and re.match(rf"[^\w]*{re.escape(word)}\s?[):\]}}.-]", sentence)
        )
        return self.label(word, loose=bool(set_off))

    def _named_right(self) -> str | None:
        """The letter after the last "answer is ..." that names one, else that before the last "... is correct"."""
        behind = (self.label_from(end) for _, end in self._cues(self.known.answer))
        before = (self.label_before(start) for start, _ in self._cues(self.known.affirmation))
        return next((label for label in chain(behind, before) if label), None)

    def _concluded(self) -> str | None:
        """The letter behind the last "therefore": after a list of options this alone is the answer."""
        return next((label for _, end in self._cues(self.known.conclusion) if (label := self.label_from(end))), None)

    def _leading(self) -> str | None:
        """A letter at the start, set off by a sign: "B. cat", "b) cat", "**B**". A list of options has several."""
        starts = [label for label in self.set_off() if label]
        first = self.tokens.index(self.words[0])
        label = self.set_off_label(first)
        return label if label and set(starts) == {label} and not self.contested(first) else None

    def _yes_or_no(self) -> str | None:
        """Where the options are a yes and a no: that with which the reply opens, or no where a thing is not there."""
        answers = {letter: fold(text).strip(" .,!。") for letter, text in self.options.items()}
        yes = [letter for letter, text in answers.items() if text in self.known.yes]
        no = [letter for letter, text in answers.items() if text in self.known.no]
        if len(yes) != 1 or len(no) != 1:
            return None
        said = fold(self.said).lstrip(" *\"'")
        opening, *rest = CLAUSE_END.split(said, maxsplit=1)
        if said[len(opening) : len(opening) + 1] not in SENTENCE_END and self.known.turn.search(self.text):
            return None
        later = {token.text for said in rest for token in tokens(said)}
        for letter, mine, other in ((yes[0], self.known.yes, self.known.no), (no[0], self.known.no, self.known.yes)):
            if opening.strip() in mine:
                return None if later & other else letter  # "Yes, there is no dog"
        if len(answers) != 2:
            return None
        rejected = {token.text for token in tokens(fold(self.denied))}
        if rejected & self.known.yes or any(
            fold(token.text) in self.known.yes and self.is_denied(i) for i, token in enumerate(self.tokens)
        ):
            return no[0]  # "the statement is not true"
        absent = self.known.absence.search(self.said) and not (later | {*opening.split()}) & self.known.yes
        return no[0] if absent else None

    def _undeterminable(self) -> str | None:
        """The option that means that it cannot be told, where the reply says so in any words."""
        means_it = [letter for letter, text in self.options.items() if self.known.undeterminable.search(fold(text))]
        if len(means_it) != 1 or not self.known.undeterminable.search(fold(self.said[: 2 * SENTENCE])):
            return None
        others = {*self.standing_letters()} - {*means_it}
        return None if others else self._unless_overturned(means_it[0])

    def _listed_things(self) -> str | None:
        """The option that lists the things which the reply affirms: "red and blue", "only the cat", "both"."""
        if listed_things(self.options, self.language) is None or self.standing_letters():
            return None
        return things_choice(self.said, self.options, self.language, self.known)

    def _left_over(self) -> str | None:
        """The one option that is not rejected where all others are, and nothing else is said."""
        if not self.denied.strip():
            return None
        words = [token.text for token in tokens(self.denied) if token.is_word]
        letters = {*words, *(self.label(word.removeprefix("و")) for word in words if len(word) <= 2)}  # "وب"
        said = fold(self.denied)
        rejected = {
            letter
            for letter, text in self.options.items()
            if letter in letters or (text and fold(text) in said) or fold(self.names.get(letter, "\0")) in said
        }
        left = sorted(self.options.keys() - rejected)
        return left[0] if len(left) == 1 and len(self.options) > 2 else None

    def _odd_one_out(self) -> str | None:
        """The one option that is denied where every other is there: asked was what is missing."""
        if not self.denied.strip() or len(self.options) < 3 or self.known.alternative.search(self.text):
            return None
        denied, there = self._standing(self.denied), self._standing(self.text)
        return denied.pop() if len(denied) == 1 and there == self.options.keys() - denied else None

    def _refused(self) -> str | None:
        if any(self._is_option(said) for said in CLAUSE_END.split(self.raw[:SENTENCE]) if len(said.strip()) > 1):
            return None  # "Too little is told: it cannot be determined"
        reply, offered = fold(self.raw), [fold(text) for text in self.options.values()]
        said = (p for p in self.known.refusals if p in reply and not any(p in text for text in offered))
        return "Z" if next(said, None) else None

    def _text_after_cue(self, cue: re.Pattern[str]) -> str | None:
        """The option's text after the last "answer is ..." or "therefore ...", up to the end of the sentence."""
        for _, end in self._cues(cue):
            rest = self.text[end : end + SENTENCE].lstrip(" :,،，\n")
            sentence = re.split(r"[.!?。！？؟](?=\s|$)|\n", rest, maxsplit=1)[0]
            first, *more = TAIL.split(sentence, maxsplit=1)  # "I'd say a bee; a wasp is thinner"
            joined = any(fold(said).split()[:1] and fold(said).split()[0] in self.known.joiners for said in more)
            found = self.named(sentence) or (None if joined else self.named(first))
            found = found or counted_choice(sentence, self.options, self.language)
            if found:
                return found
        return None

    def _sentence_alone(self) -> str | None:
        """The one option that is a whole sentence of the reply, or the end of its last one: "... has one: B"."""
        sentences = [said for said in SENTENCES.split(self.text)[-LISTED:] if said.strip()]
        alone = [letter for said in sentences if len(said) <= SENTENCE and (letter := self._is_choice(said))]
        if not alone and sentences and ":" in sentences[-1]:
            end = sentences[-1].rpartition(":")[2]
            alone = [letter] if (letter := self._is_choice(end)) else []
        return alone[0] if len(alone) == 1 else None

    def _is_choice(self, said: str) -> str | None:
        words = [token.text for token in tokens(said) if token.is_word]
        letter = words[0] if len(words) == 1 and words[0] in self.options else None
        return letter or (self._is_option(said) or self._is_option(self._bare(said)) if words else None)

    def _bare(self, said: str) -> str:
        """Without an article in front: "the bicycle"."""
        first, _, rest = said.strip().partition(" ")
        return rest if fold(first) in self.known.articles else said

    def _is_option(self, said: str) -> str | None:
        return is_option(said, self.options, self.language) or (
            is_option(said, self.names, self.language) if self.names else None
        )

    def _unless_overturned(self, letter: str | None) -> str | None:
        """The letter, unless what is said behind the last "but" or "maybe" is another option."""
        turn = deque(self.known.turn_or_hedge.finditer(self.text), maxlen=1)
        if letter is None or letter not in self.options or not turn:
            return letter
        behind = self.raw[turn[0].end() :]
        after = self.named(behind)
        after = after or counted_choice(behind, self.options, self.language)
        return None if after and after != letter else letter

    def _unless_cut_off(self, letter: str | None) -> str | None:
        """The letter, unless the reply breaks off, not having opened with it: on the way much is mentioned."""
        sentences = [said for said in SENTENCES.split(self.text) if said.strip()]
        if letter is None or len(self.said) < CUT_OFF or len(sentences) < 2 or not UNFINISHED.search(self.said):
            return letter
        return letter if self.named(sentences[0]) == letter else None

    def _called_option(self) -> str | None:
        """The one letter beside a word for "option", before or after it."""
        named = set()
        for start, end in self._cues(self.known.option):
            before, after = bisect_left(self.starts, start) - 1, bisect_left(self.starts, end)
            if label := self.label_from(end):
                named.add(None if self.struck_out(after) else label)
            elif before >= 0 and self.tokens[before].is_word and not self.contested(before):
                word = self.tokens[before].text
                short = len(self.words) <= SHORT and word.upper() not in self.known.words
                named.add(self.label(word, loose=short and not word.isdecimal()))
        named.discard(None)
        return named.pop() if len(named) == 1 else None

    def _opened(self) -> str | None:
        """The one option in an opening "It is a cat.", where the reply does not end with another."""
        sentences = [said for said in SENTENCES.split(self.text[: 2 * SENTENCE]) if said.strip()]
        if len(sentences) < 2 or not self.known.opening.match(sentences[0].lstrip(" *\"'")):
            return None
        first, last = (self.named(said) for said in (sentences[0], sentences[-1]))
        return first if last in (None, first) else None

    def _ended(self) -> str | None:
        """The one option in the last of several sentences, where those before it go through many."""
        sentences = [said for said in SENTENCES.split(self.raw[-2 * SENTENCE :]) if said.strip()]
        if len(sentences) < 2 or len(sentences[-1].split()) == 1 or self._is_option(sentences[-1]):
            return None
        before = [self._standing(said) for said in sentences[:-1]]
        last = self._standing(sentences[-1])
        return (
            last.pop() if len(last) == 1 and len(set().union(*before)) > 2 and any(len(x) > 1 for x in before) else None
        )

    def _standing(self, said: str) -> set[str]:
        """Every option that a sentence mentions, each looked for by itself."""
        shorter = {
            a for a, text in self.options.items() for other in self.options.values() if text != other and text in other
        }
        return {
            letter
            for letter, text in self.options.items()
            if letter not in shorter and find_option(said, {letter: text}, self.language, self.known)
        }

    def _predicated(self) -> str | None:
        """The one option that the reply says something is: the llama of "this is a llama, camels have humps"."""
        texts = [fold(text) for text in self.options.values() if text]
        if any(text in self.known.yes or text in self.known.no for text in texts):  # "Yes, there is no dog"
            return None
        said = []
        for start, end in self._cues(self.known.opening):
            clause, rest = self.text[max(0, start - SENTENCE) : end], self.text[end : end + SENTENCE]
            sentence = CLAUSE_END.split(clause)[-1] + CLAUSE_END.split(rest, maxsplit=1)[0]
            is_text = fold(self.text[start : start + SENTENCE]).startswith(tuple(texts))  # "São Paulo"
            if not is_text and not self.known.alternative.search(sentence):  # "it is a llama or a camel"
                said.append(rest)
        found = {letter for rest in said if (letter := self.named(CLAUSE_END.split(rest, maxsplit=1)[0]))}
        return found.pop() if len(found) == 1 else None

    def _grouped(self) -> str | None:
        group = group_choice(self.said, self.options, self.language)
        return (self.named(self.raw) or group) if group else None

    def _mentioned(self) -> str | None:
        return (
            clock_choice(self.raw, self.options, self.language)
            or share_choice(self.raw, self.options, self.language)
            or self._anywhere()
            or counted_choice(self.raw, self.options, self.language)
            or self._counted_none()
            or quantity_choice(self.raw, self.options, self.language)
            or (None if counts_of(self.options, self.language) else gist_choice(self.raw, self.options, self.known))
            or self._renamed()
            or derived_choice(self.raw, self.options, self.known)
        )

    def _renamed(self) -> str | None:
        """The one option that the reply names by another word for the same."""
        if not self.synonyms or len(self.said) > READ_WHOLE // 10:
            return None
        found = {x for x, name in self.synonyms if find_option(self.raw, {x: name}, self.language, self.known)}
        return found.pop() if len(found) == 1 else None

    def _unless_rejected(self, letter: str | None) -> str | None:
        """The letter of an option's text, unless the letter was rejected: "D is wrong, since grapes are small"."""
        named = {self.label(token.text.removeprefix("و")) for token in tokens(self.denied) if len(token.text) <= SHORT}
        return None if letter in named and letter not in self.standing_letters() else letter

    def _unless_denied(self, letter: str | None) -> str | None:
        """The letter, unless its text stands nowhere but behind a "not" of the same clause."""
        if letter not in self.options or letter is None:
            return letter
        forms = [form for form in (fold(self.options[letter]), fold(self.names.get(letter, ""))) if form]
        if any(self.known.negation.search(form) for form in forms):
            return letter
        clauses = [fold(clause) for clause in CLAUSE_END.split(self.raw)]
        before = [clause[: clause.index(form)] for clause in clauses for form in forms if form in clause]
        return None if before and all(self.known.negation.search(said) for said in before) else letter

    def _counted_none(self) -> str | None:
        """The option that counts nothing, where options are numbers and the reply says that there is none."""
        letters = counts_of(self.options, self.language) or {}
        counted = any(c.isdecimal() for c in self.text) or counted_choice(self.said, self.options, self.language)
        return letters.get(0) if not counted and self.known.absence.search(self.said) else None

    def _anywhere(self) -> str | None:
        """The one option whose text is in the reply, or the one letter that is.

        Where they disagree the text is meant: in "A is to the left of B" the letters are things in the picture.
        """
        letters = set(self.standing_letters()) or set(self.standing_signs())
        text = self.named(self.raw)
        text = self._unless_rejected(text)
        if text or len(letters) == 1:
            return text or letters.pop()
        last = self.tokens.index(self.words[-1])
        joined = len(self.words) > 1 and fold(self.words[-2].text) in self.known.joiners
        is_last = self.words[-1].text in letters and len(self.words) > SHORT and not joined
        if is_last and len(letters) > 1 and not self.contested(last, -1):
            return self.words[-1].text  # "between B and C, by its form B"
        return "Z" if not letters and "Z" in (t.text for t in self.words) else None

    def _cues(self, pattern: re.Pattern[str]) -> list[tuple[int, int]]:
        """Where the last mentions of a cue start and end, the last one first."""
        return [cue.span() for cue in deque(pattern.finditer(self.text), maxlen=LAST_CUES)][::-1]
