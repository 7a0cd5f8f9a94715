"""Our own reading of a reply, for every language and script: always reported beside the reference one.

A reply is asked these questions, and the first that has an answer decides: is it a letter and nothing else; is it an
option's text; what is in the box; what follows "the answer is"; does it begin with a letter; is it a refusal; is a
letter called "option"; which option's text, or which letter, stands in it? Two answers to one question are none.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import chain

from parrot_adapters.evaluation.matching.counts import counted_choice, counts_of, reckoned_choice
from parrot_adapters.evaluation.matching.denials import without_denied
from parrot_adapters.evaluation.matching.option_text import find_option, is_option, scattered_option
from parrot_adapters.evaluation.matching.ordinals import place_named
from parrot_adapters.evaluation.matching.text_forms import Token, clean, fold, script, tokens
from parrot_adapters.evaluation.matching.vocabulary import Vocabulary, vocabulary

__all__ = ["robust_choice"]

API_FAILURE = "Failed to obtain answer via API"
THOUGHT = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
BOX = re.compile(r"\\boxed\s*\{(?:\\(?:text|mathrm|textbf|mathbf)\s*\{)?([^{}]*)\}")
SENTENCES = re.compile(r"[.!?。！？؟]+(?=\s|$)|[。！？\n]+")
SENTENCE_END = frozenset(".!?。！？؟।")
AFTER_LABEL = frozenset(".):]}>,-(、،*|")
BESIDE_LABEL = frozenset("/&+,、،")
REACH = 14
"""A letter is looked for among so many words and signs after "answer"."""
READ_WHOLE = 60_000
"""A longer reply, in characters, is read in parts: models that go round in circles write megabytes."""
END = 10_000
"""Characters of its beginning, and of its end, that are read."""
AROUND = 100
"""Characters before a word for "answer" that are read with it."""
LAST_CUES = 32
"""Of a reply that says "answer" over and over, so many mentions are asked, from the end."""
BEFORE = 6
"""A letter is looked for among so many words and signs before "is correct"."""
LISTED = 64
"""Sentences of a list of verdicts, at most."""
VERDICT_REACH = 8000
"""Longest reply that is looked through for such a list, in characters."""
VERDICTS = re.compile(r"[\n.;!。；！]+")
LABEL_DOT = re.compile(r"(?m)^([^\w\n]*[A-Z])\.(?=\s)")
CLAUSE_END = re.compile(r"[,.;:!?，。；：！？،؛؟\n]| - ")
MARKS = frozenset("✓✔✅✗✘❌×")
JOINER = 4
"""Words and signs that put two letters side by side, at most: ", as well as"."""
SHORT = 3
"""Words of a reply that names a letter and nothing else."""
SENTENCE = 400
"""A sentence after "answer" is read up to so many characters."""


def robust_choice(prediction: str, options: Mapping[str, object], *, language: str | None = None) -> str | None:
    """The option letter, ``Z`` for a refusal in any known language, or None.

    ``options`` are texts by capital letter. Only spelling is forgiven, never meaning: what is not named is not found.
    """
    texts = {letter: str(text) for letter, text in options.items()}
    return _Reading(prediction, texts, language).choice() if texts else None


def _without_thoughts(prediction: str) -> str:
    """What follows the last closing tag of a thought (the opening one may be in the prompt), or stands before all."""
    tags = list(THOUGHT.finditer(prediction))
    closing = [tag for tag in tags if tag[1]]
    if not closing:
        return prediction
    after, before = prediction[closing[-1].end() :], prediction[: tags[0].start()]
    return next((said for said in (after, before) if said.strip()), prediction)


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


class _Reading:
    """One reply, its words, and the questions asked of it."""

    def __init__(self, prediction: str, options: dict[str, str], language: str | None) -> None:
        self.known: Vocabulary = vocabulary(language)
        said = _excerpt(_without_thoughts(prediction), self.known)
        self.said = said
        cleaned = clean(said)
        self.text = without_denied(cleaned, options, language)
        self.raw = said if self.text == cleaned else self.text
        self.denied = "".join(c if kept == " " else " " for c, kept in zip(cleaned, self.text, strict=True))
        self.tokens = tokens(self.text)
        self.starts = [t.start for t in self.tokens]
        self.words = [t for t in self.tokens if t.is_word]
        self.options = options
        self.language = language
        # Digits name options ("2" is B) only where no option is about numbers.
        self.counts = counts_of(options, language) is None and not any(
            c.isdigit() for text in options.values() for c in clean(text)
        )

    def choice(self) -> str | None:
        if API_FAILURE in self.said:
            return None
        if not self.words:  # nothing, or nothing but what is rejected: unless that is how an option reads
            return is_option(self.said, self.options, self.language) if self.said.strip() else None
        return self._said() or self._left_over()

    def _said(self) -> str | None:
        return (
            self._whole()
            or self._boxed()
            or self._verdicts()
            or self._named_right()
            or self._concluded()
            or self._leading()
            or self._yes_or_no()
            or self._refused()
            or self._text_after_cue(self.known.answer)
            or reckoned_choice(self.raw, self.options, self.language)
            or self._text_after_cue(self.known.conclusion)
            or self._sentence_alone()
            or self._unless_overturned(
                self._called_option()
                or place_named(self.raw, list(self.options), self.language)
                or self._anywhere()
                or counted_choice(self.raw, self.options, self.language)
                or scattered_option(self.raw, self.options, self.known)
            )
        )

    # -- the questions, in order ------------------------------------------------------------------------------------

    def _whole(self) -> str | None:
        """The reply is one letter (or another sign for it), or one option's text."""
        alone = self.words[0].text if len(self.words) == 1 else ""
        if alone in self.options:
            return alone
        return is_option(self.said, self.options, self.language) or self._label(alone)

    def _yes_or_no(self) -> str | None:
        """Where the options are a yes and a no: that with which the reply opens."""
        answers = {letter: fold(text).strip(" .,!。") for letter, text in self.options.items()}
        yes = [letter for letter, text in answers.items() if text in self.known.yes]
        no = [letter for letter, text in answers.items() if text in self.known.no]
        if len(answers) != 2 or len(yes) != 1 or len(no) != 1 or self.known.turn.search(self.text):
            return None
        opening, *rest = CLAUSE_END.split(fold(self.said).lstrip(" *\"'"), maxsplit=1)
        later = {token.text for said in rest for token in tokens(said)}
        for letter, mine, other in ((yes[0], self.known.yes, self.known.no), (no[0], self.known.no, self.known.yes)):
            if opening.strip() in mine:
                return None if later & other else letter  # "Yes, there is no dog"
        return None

    def _left_over(self) -> str | None:
        """The one option that is not rejected where all others are, and nothing else is said."""
        if not self.denied.strip():
            return None
        letters = {token.text for token in tokens(self.denied) if token.is_word}
        said = fold(self.denied)
        rejected = {
            letter for letter, text in self.options.items() if letter in letters or (text and fold(text) in said)
        }
        left = sorted(self.options.keys() - rejected)
        return left[0] if len(left) == 1 and len(self.options) > 2 else None

    def _boxed(self) -> str | None:
        boxes = BOX.findall(self.raw)
        return _Reading(boxes[-1], self.options, self.language)._whole_if_any() if boxes else None

    def _verdicts(self) -> str | None:
        """The one letter that a list calls right where it calls all others wrong: "A: cat - no. B: dog - yes."."""
        said: dict[str, bool] = {}
        listed = LABEL_DOT.sub(r"\1:", self.text) if len(self.text) <= VERDICT_REACH else ""
        for sentence in VERDICTS.split(listed, LISTED):
            words = [token for token in tokens(sentence) if token.is_word or fold(token.text) in MARKS]
            places = [i for i, word in enumerate(words[:2]) if self._label(word.text, loose=False)]
            last = fold(words[-1].text) if len(words) > 1 else ""
            if places and (last in self.known.yes or last in self.known.no):
                said[words[places[-1]].text] = last in self.known.yes
        right = [letter for letter, verdict in said.items() if verdict]
        return right[0] if len(said) > 1 and len(right) == 1 else None

    def _named_right(self) -> str | None:
        """The letter after the last "answer is ..." that names one, else that before the last "... is correct"."""
        behind = (self._label_from(end) for _, end in self._cues(self.known.answer))
        before = (self._label_before(start) for start, _ in self._cues(self.known.affirmation))
        return next((label for label in chain(behind, before) if label), None)

    def _concluded(self) -> str | None:
        """The letter behind the last "therefore": after a list of options this alone is the answer."""
        return next((label for _, end in self._cues(self.known.conclusion) if (label := self._label_from(end))), None)

    def _leading(self) -> str | None:
        """A letter at the start, set off by a sign: "B. cat", "b) cat", "**B**". A list of options has several."""
        starts = [label for label in self._set_off() if label]
        first = self.tokens.index(self.words[0])
        label = self._set_off_label(first)
        return label if label and set(starts) == {label} and not self._contested(first) else None

    def _refused(self) -> str | None:
        reply, offered = fold(self.raw), [fold(text) for text in self.options.values()]
        said = (p for p in self.known.refusals if p in reply and not any(p in text for text in offered))
        return "Z" if next(said, None) else None

    def _text_after_cue(self, cue: re.Pattern[str]) -> str | None:
        """The option's text after the last "answer is ..." or "therefore ...", up to the end of the sentence."""
        for _, end in self._cues(cue):
            rest = self.text[end : end + SENTENCE].lstrip(" :\n")
            sentence = re.split(r"[.!?。！？؟](?=\s|$)|\n", rest, maxsplit=1)[0]
            found = find_option(sentence, self.options, self.language, self.known)
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
        return letter or (is_option(said, self.options, self.language) if words else None)

    def _unless_overturned(self, letter: str | None) -> str | None:
        """The letter, unless what is said behind the last "but" is another option."""
        turn = deque(self.known.turn.finditer(self.text), maxlen=1)
        if letter is None or letter not in self.options or not turn:
            return letter
        behind = self.raw[turn[0].end() :]
        after = find_option(behind, self.options, self.language, self.known)
        after = after or counted_choice(behind, self.options, self.language)
        return None if after and after != letter else letter

    def _called_option(self) -> str | None:
        """The one letter beside a word for "option", before or after it."""
        named = set()
        for start, end in self._cues(self.known.option):
            before, after = bisect_left(self.starts, start) - 1, bisect_left(self.starts, end)
            if label := self._label_from(end):
                named.add(None if self._struck_out(after) else label)
            elif before >= 0 and self.tokens[before].is_word and not self._contested(before):
                word = self.tokens[before].text
                short = len(self.words) <= SHORT and word.upper() not in self.known.words
                named.add(self._label(word, loose=short and not word.isdecimal()))
        named.discard(None)
        return named.pop() if len(named) == 1 else None

    def _anywhere(self) -> str | None:
        """The one option whose text is in the reply, or the one letter that is.

        Where they disagree the text is meant: in "A is to the left of B" the letters are things in the picture.
        """
        letters = set(self._standing_letters()) or set(self._standing_signs())
        text = find_option(self.raw, self.options, self.language, self.known)
        if text or len(letters) == 1:
            return text or letters.pop()
        return "Z" if not letters and "Z" in (t.text for t in self.words) else None

    def _cues(self, pattern: re.Pattern[str]) -> list[tuple[int, int]]:
        """Where the last mentions of a cue start and end, the last one first."""
        return [cue.span() for cue in deque(pattern.finditer(self.text), maxlen=LAST_CUES)][::-1]

    # -- letters ----------------------------------------------------------------------------------------------------

    def _whole_if_any(self) -> str | None:
        return self._whole() if self.words else None

    def _label(self, word: str, *, loose: bool = True) -> str | None:
        """The option a word stands for: "B", and if ``loose`` also "b", "В", "ب", "2"."""
        if word in self.options or not loose:
            return word if word in self.options else None
        upper = word.upper()
        letter = upper if upper in self.options else self.known.labels.get(upper)
        if letter is None and self.counts and word.isdecimal() and len(word) == 1 and word != "0":
            letter = chr(ord("A") + int(word) - 1)
        return letter if letter in self.options else None

    def _label_from(self, position: int) -> str | None:
        """The letter that the words from ``position`` lead to, through fillers such as "is the letter"."""
        skip = False
        first = bisect_left(self.starts, position)
        for i, token in enumerate(self.tokens[first : first + REACH], start=first):
            if not token.is_word:
                if token.text in SENTENCE_END:
                    return None
                continue
            label = self._label(token.text)
            if label and not self._is_word_here(i, label):
                if skip or self._contested(i):
                    skip = False
                    continue
                return self._by_text(i, label)
            if fold(token.text) in self.known.negations:
                skip = True
            elif not self.known.is_filler(token.text) and token.text.upper() not in self.known.words:
                return None
        return None

    def _label_before(self, position: int) -> str | None:
        """The letter that stands before ``position``, fillers between, where no question is asked."""
        asked = min((end for c in "?？؟" if (end := self.text.find(c, position, position + SENTENCE)) >= 0), default=-1)
        if asked >= 0 and not any(c in self.text[position:asked] for c in ".!。！\n"):
            return None
        first = bisect_left(self.starts, position)
        for i in range(first - 1, max(first - 1 - BEFORE, -1), -1):
            token = self.tokens[i]
            if "\n" in self.text[token.end : position] or token.text in SENTENCE_END | {",", "،"}:
                return None
            if token.is_word and (label := self._label(token.text, loose=False) or self._capital_sign(token.text)):
                return None if self._contested(i, -1) or self._struck_out(i) else label
            if token.is_word and not self.known.is_filler(token.text):
                return None
        return None

    def _capital_sign(self, word: str) -> str | None:
        """The option that a capital of another alphabet stands for, where it is no word."""
        alone = len(word) == 1 and word.upper() == word and not word.isdecimal() and word not in self.known.words
        return self._label(word) if alone else None

    def _by_text(self, i: int, label: str) -> str:
        """What a sign that two alphabets share stands for is told by the option's text behind it: "В) слива"."""
        token = self.tokens[i]
        if token.text == label or token.text.isdecimal():
            return label
        line = self.text[token.end : token.end + SENTENCE].partition("\n")[0]
        return find_option(line, self.options, self.language, self.known) or label

    def _is_word_here(self, i: int, label: str) -> bool:
        """True where a one-letter word such as "a" or "В" goes with the words after it and is no label."""
        token = self.tokens[i]
        following = self._neighbour(i, 1)
        if token.text.upper() not in self.known.words or following is None or not following.is_word:
            return False
        if following.text in self.options:
            return True
        if script(following.text[0]) != script(token.text[0]):  # "Aです": no language goes on in another script
            return False
        if token.text != label:  # lower case, or another script
            return True
        if self.known.is_filler(following.text) and fold(following.text) not in self.known.option_words:
            return fold(following.text) not in ("is", "because")
        named = find_option(self.text[token.end : token.end + SENTENCE], self.options, self.language, self.known)
        return named is not None and named != label

    def _standing_letters(self) -> list[str]:
        """Capital option letters that stand by themselves and are neither words of the language nor struck out."""
        found = []
        for i, token in enumerate(self.tokens):
            if token.text not in self.options or self._struck_out(i):
                continue
            following = self._neighbour(i, 1)
            if token.text in self.known.words and following is not None and following.is_word:
                shares_line = "\n" not in self.text[token.end : following.start]
                is_label_word = fold(following.text) in self.known.option_words | self.known.joiners
                article = fold(token.text) in self.known.articles and script(following.text[0]) == "LATIN"
                if article and fold(following.text) in self.known.option_words:  # "A opção correta"
                    continue
                contested = is_label_word or self._contested(i)
                if shares_line and not contested and following.text not in self.options:
                    continue
            found.append(token.text)
        return found

    def _standing_signs(self) -> Iterator[str]:
        """Signs of other alphabets that stand by themselves and are no words: "Б", "ب"."""
        for i, token in enumerate(self.tokens):
            sign = token.text
            is_capital = sign.upper() == sign and sign not in self.known.words and not sign.isdecimal()
            if len(sign) != 1 or not is_capital or sign not in self.known.labels or self._struck_out(i):
                continue
            label = self._label(sign)
            if label and not self._contested(i) and not self._contested(i, -1):
                yield label

    def _set_off(self) -> Iterator[str | None]:
        """The labels that stand at the start of the reply or of a line or sentence and are set off by a sign."""
        for i, token in enumerate(self.tokens):
            if token.is_word and len(token.text) == 1:
                yield self._set_off_label(i)

    def _set_off_label(self, i: int) -> str | None:
        token, following = self.tokens[i], self._neighbour(i, 1)
        if following is None or following.is_word:
            ends_line = following is not None and "\n" in self.text[token.end : following.start]
            return self._label(token.text, loose=False) if ends_line or following is None else None
        if following.text not in AFTER_LABEL:
            return None
        label = self._label(token.text)
        tight = following.text in ".):]" and following.end < len(self.text) and self.text[following.end].isdigit()
        if label != token.text and (following.text not in ".):]}" or tight):
            return None
        return self._by_text(i, label) if label else None

    def _contested(self, i: int, step: int = 1) -> bool:
        """True where another letter stands beside this one: "A or B", "A/B", "A, B"; ``step`` -1 looks back."""
        label, said = self._label(self.tokens[i].text), list[str]()
        for distance in range(1, JOINER + 2):
            token = self._neighbour(i, step * distance)
            if token is None:
                return False
            phrase = " ".join(said if step > 0 else reversed(said))
            if said and (phrase in self.known.joiners or phrase in BESIDE_LABEL):
                other = self._label(token.text) if token.is_word and token.text.upper() == token.text else None
                if other is not None:
                    return other != label
            if not token.is_word and token.text not in BESIDE_LABEL:
                return False
            glued = token.is_word and script(token.text[0]) == "ARABIC" and token.text[0] in self.known.joiners
            if glued and (other := self._label(token.text[1:])):  # "وب", "ود"
                return other != label
            if said[-1:] == [","]:  # "A, and B"
                said.clear()
            said.append(fold(token.text))
        return False

    def _struck_out(self, i: int) -> bool:
        """True after a "not", fillers between: "not A", "não é a letra A"."""
        for before in reversed(self.tokens[max(0, i - 3) : i]):
            if fold(before.text) in self.known.negations:
                return True
            if not before.is_word or not self.known.is_filler(before.text):
                return False
        return False

    def _neighbour(self, i: int, step: int) -> Token | None:
        return self.tokens[i + step] if 0 <= i + step < len(self.tokens) else None
