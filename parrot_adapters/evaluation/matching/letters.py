"""The letters of a reply: which word of it stands for which option, and which only looks like one."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping

from parrot_adapters.evaluation.matching.gist import NUMERALS, short_names
from parrot_adapters.evaluation.matching.option_text import find_option
from parrot_adapters.evaluation.matching.text_forms import Token, clean, fold, script, tokens
from parrot_adapters.evaluation.matching.vocabulary import Vocabulary
from parrot_adapters.evaluation.matching.word_forms import kin

__all__ = ["SENTENCE", "SENTENCE_END", "Letters"]

SENTENCE_END = frozenset(".!?。！？؟।")
AFTER_LABEL = frozenset(".):]}>,-(、،*|")
BESIDE_LABEL = frozenset("/&+,、،")
ALONE = re.compile(r"(?<!\w)[^\W\d_](?!\w)")
REACH = 14
"""A letter is looked for among so many words and signs after "answer"."""
BEFORE = 6
"""A letter is looked for among so many words and signs before "is correct"."""
JOINER = 4
"""Words and signs that put two letters side by side, at most: ", as well as"."""
SENTENCE = 400
"""A sentence after "answer" is read up to so many characters."""


class Letters:
    """A cleaned reply as words, and what they are as labels of options."""

    def __init__(
        self, text: str, options: Mapping[str, str], language: str | None, known: Vocabulary, counts: bool
    ) -> None:
        self.text, self.options, self.language, self.known = text, options, language, known
        self.names = short_names(options, known)
        alphabet = dict(zip(known.alphabet, "ABCDEFGHIJ", strict=False))
        said = {word.upper() for word in ALONE.findall(text)} if alphabet else set()
        # "Б" tells that letters are counted in the language's own alphabet, in which "В" is the third.
        self.labels = (
            {**known.labels, **alphabet} if known.alphabet[1:2] and known.alphabet[1] in said else known.labels
        )
        self.counts = counts
        """True where digits name options."""
        self.tokens = tokens(text)
        self.starts = [token.start for token in self.tokens]
        self.words = [token for token in self.tokens if token.is_word]
        self.beside = self._words_beside_letters()

    def named(self, said: str) -> str | None:
        """The option whose text stands in what is said, or else the one word that tells it from the others."""
        found = find_option(said, self.options, self.language, self.known)
        if found is None and self.names:
            found = find_option(said, self.names, self.language, self.known)
        return found

    def label(self, word: str, *, loose: bool = True) -> str | None:
        """The option a word stands for: "B", and if ``loose`` also "b", "В", "ب", "2"."""
        if word in self.options or not loose:
            return word if word in self.options else None
        upper = word.upper()
        numeral = not self.counts and word in NUMERALS
        letter = upper if upper in self.options else None if numeral else self.labels.get(upper)
        if letter is None and self.counts and word.isdecimal() and len(word) == 1 and word != "0":
            letter = chr(ord("A") + int(word) - 1)
        return letter if letter in self.options else None

    def label_from(self, position: int) -> str | None:
        """The letter that the words from ``position`` lead to, through fillers such as "is the letter"."""
        skip = False
        first = bisect_left(self.starts, position)
        if first and self.tokens[first - 1].end > position:  # "选项三" is one word
            glued = self.text[position : self.tokens[first - 1].end]
            if label := self.label(glued):
                return label
        for i, token in enumerate(self.tokens[first : first + REACH], start=first):
            if not token.is_word:
                if token.text in SENTENCE_END:
                    return None
                continue
            label = self.label(token.text)
            if label and self.is_text(i):
                return None
            is_small = not token.text.isupper() and token.text.upper() in self.known.words
            if is_small and "," in self.text[position : token.start]:
                continue  # "the right answer, а" goes on with a word
            if label and (self.is_next(position, i) or not self.is_word_here(i, label)):
                if skip or self.contested(i):
                    skip = False
                    continue
                return self.by_text(i, label)
            if fold(token.text) in self.known.negations:
                skip = True
            elif not self.known.is_filler(token.text) and token.text.upper() not in self.known.words:
                return None
        return None

    def is_next(self, position: int, i: int) -> bool:
        """True of a capital of another alphabet right behind a word for "option": "вариант А" is no "А ..."."""
        token = self.tokens[i]
        return (
            token.text.isupper() and token.text not in self.options and not self.text[position : token.start].strip(" ")
        )

    def label_before(self, position: int) -> str | None:
        """The letter that stands before ``position``, fillers between, where no question is asked."""
        asked = min((end for c in "?？؟" if (end := self.text.find(c, position, position + SENTENCE)) >= 0), default=-1)
        if asked >= 0 and not any(c in self.text[position:asked] for c in ".!。！\n"):
            return None
        first = bisect_left(self.starts, position)
        for i in range(first - 1, max(first - 1 - BEFORE, -1), -1):
            token = self.tokens[i]
            if "\n" in self.text[token.end : position] or token.text in SENTENCE_END | {",", "،"}:
                return None
            if token.is_word and (label := self.label(token.text, loose=False) or self.sign(token.text)):
                rejected = self.is_text(i) or self.contested(i, -1) or self.struck_out(i)
                return None if rejected else label
            if token.is_word and not self.known.is_filler(token.text):
                return None
        return None

    def sign(self, word: str) -> str | None:
        """The option that one letter of any alphabet stands for, where it is no word: "b diyorum"."""
        alone = len(word) == 1 and not word.isdecimal() and word.upper() not in self.known.words
        return self.label(word) if alone else None

    def by_text(self, i: int, label: str) -> str:
        """What a sign that two alphabets share stands for is told by the option's text behind it: "В) слива"."""
        token = self.tokens[i]
        if token.text == label or token.text.isdecimal():
            return label
        line = self.text[token.end : token.end + SENTENCE].partition("\n")[0]
        return self.named(line) or label

    def is_word_here(self, i: int, label: str) -> bool:
        """True where a one-letter word such as "a" or "В" goes with the words after it and is no label."""
        token = self.tokens[i]
        following = self.neighbour(i, 1)
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
        named = self.named(self.text[token.end : token.end + SENTENCE])
        return named is not None and named != label

    def standing_letters(self) -> list[str]:
        """Capital option letters that stand by themselves and are neither words of the language nor struck out."""
        found = []
        for i, token in enumerate(self.tokens):
            if token.text not in self.options or self.struck_out(i) or self.is_text(i):
                continue
            following = self.neighbour(i, 1)
            if token.text in self.known.words and following is not None and following.is_word:
                shares_line = "\n" not in self.text[token.end : following.start]
                is_label_word = fold(following.text) in self.known.option_words | self.known.joiners
                article = fold(token.text) in self.known.articles and script(following.text[0]) == "LATIN"
                if article and fold(following.text) in self.known.option_words:  # "A opção correta"
                    continue
                contested = is_label_word or self.contested(i)
                if shares_line and not contested and following.text not in self.options:
                    continue
            found.append(token.text)
        return found

    def standing_signs(self) -> Iterator[str]:
        """Signs of other alphabets that stand by themselves and are no words: "Б", "ب"."""
        for i, token in enumerate(self.tokens):
            sign = token.text
            following = self.neighbour(i, 1)
            is_word = sign in self.known.words and following is not None and following.is_word
            is_capital = sign.upper() == sign and not is_word and not sign.isdecimal()
            if len(sign) != 1 or not is_capital or sign not in self.known.labels or self.struck_out(i):
                continue
            label = self.label(sign)
            if label and not self.contested(i) and not self.contested(i, -1):
                yield label

    def set_off(self) -> Iterator[str | None]:
        """The labels that stand at the start of the reply or of a line or sentence and are set off by a sign."""
        for i, token in enumerate(self.tokens):
            if token.is_word and len(token.text) == 1:
                yield self.set_off_label(i)

    def set_off_label(self, i: int) -> str | None:
        token, following = self.tokens[i], self.neighbour(i, 1)
        if following is None or following.is_word:
            ends_line = following is not None and "\n" in self.text[token.end : following.start]
            return self.label(token.text, loose=False) if ends_line or following is None else None
        if following.text not in AFTER_LABEL:
            return None
        label = self.label(token.text)
        tight = following.text in ".):]" and following.end < len(self.text) and self.text[following.end].isdigit()
        if label != token.text and (following.text not in ".):]}" or tight):
            return None
        return self.by_text(i, label) if label else None

    def contested(self, i: int, step: int = 1) -> bool:
        """True where another letter stands beside this one: "A or B", "A/B", "A, B"; ``step`` -1 looks back."""
        label, said = self.label(self.tokens[i].text), list[str]()
        for distance in range(1, JOINER + 2):
            token = self.neighbour(i, step * distance)
            if token is None:
                return False
            phrase = " ".join(said if step > 0 else reversed(said))
            if said and (phrase in self.known.joiners or phrase in BESIDE_LABEL):
                other = self.label(token.text) if token.is_word and token.text.upper() == token.text else None
                if other is not None:
                    return other != label
            if not token.is_word and token.text not in BESIDE_LABEL:
                return False
            glued = token.is_word and script(token.text[0]) == "ARABIC" and token.text[0] in self.known.joiners
            if glued and (other := self.label(token.text[1:])):  # "وب", "ود"
                return other != label
            if said[-1:] == [","]:  # "A, and B"
                said.clear()
            said.append(fold(token.text))
        return False

    def is_denied(self, i: int) -> bool:
        """True of a word with a "not" before it, fillers between, or with one right behind it: "doğru değil"."""
        following = self.neighbour(i, 1)
        behind = following is not None and self.known.suffixing and fold(following.text) in self.known.denials
        return behind or self.struck_out(i)

    def struck_out(self, i: int) -> bool:
        """True after a "not", fillers between: "not A", "não é a letra A"."""
        for before in reversed(self.tokens[max(0, i - 3) : i]):
            if fold(before.text) in self.known.negations:
                return True
            if not before.is_word or not self.known.is_filler(before.text):
                return False
        return False

    def neighbour(self, i: int, step: int) -> Token | None:
        return self.tokens[i + step] if 0 <= i + step < len(self.tokens) else None

    def _words_beside_letters(self) -> dict[str, set[tuple[int, str]]]:
        """For a letter that stands in an option's text, the words beside it there: "vitamin" before the C."""
        beside: dict[str, set[tuple[int, str]]] = {}
        for text in self.options.values():
            mine = [token for token in tokens(clean(text)) if token.is_word]
            for i, token in enumerate(mine):
                if len(token.text) == 1 and token.text in self.options and token.text not in self.known.words:
                    for step in (-1, 1):
                        if 0 <= i + step < len(mine):
                            beside.setdefault(token.text, set()).add((step, fold(mine[i + step].text)))
        return beside

    def is_text(self, i: int) -> bool:
        """True where a letter is part of what an option says: the C of "vitamin C"."""
        for step, word in self.beside.get(self.tokens[i].text, ()):
            other = self.neighbour(i, step)
            if other is not None and other.is_word and kin(fold(other.text), word, self.known):
                return True
        return False
