"""Our own reading of a reply, for every language and script: always reported beside the reference one.

A reply is asked these questions, and the first that has an answer decides: is it a letter and nothing else; is it an
option's text; what is in the box; what follows "the answer is"; does it begin with a letter; is it a refusal; is a
letter called "option"; which option's text, or which letter, stands in it? Two answers to one question are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from parrot_adapters.evaluation.option_text import find_option, is_option
from parrot_adapters.evaluation.text_forms import Token, clean, fold, tokens
from parrot_adapters.evaluation.vocabulary import Vocabulary, forget_compiled, vocabulary

__all__ = ["forget_compiled", "robust_choice"]

API_FAILURE = "Failed to obtain answer via API"
THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
BOX = re.compile(r"\\boxed\s*\{(?:\\(?:text|mathrm|textbf|mathbf)\s*\{)?([^{}]*)\}")
SENTENCE_END = frozenset(".!?。！？؟।")
AFTER_LABEL = frozenset(".):]}>,-(、،*|")
BESIDE_LABEL = frozenset("/&+,、،")
REACH = 14


def robust_choice(prediction: str, options: Mapping[str, object], *, language: str | None = None) -> str | None:
    """The option letter, ``Z`` for a refusal in any known language, or None.

    ``options`` are texts by capital letter. Only spelling is forgiven, never meaning: what is not named is not found.
    """
    texts = {letter: str(text) for letter, text in options.items()}
    return _Reading(prediction, texts, language).choice() if texts else None


class _Reading:
    """One reply, its words, and the questions asked of it."""

    def __init__(self, prediction: str, options: dict[str, str], language: str | None) -> None:
        said = THOUGHT.sub(" ", prediction)
        if not said.strip():
            said = prediction
        self.raw = said
        self.text = clean(said)
        self.tokens = tokens(self.text)
        self.words = [t for t in self.tokens if t.is_word]
        self.options = options
        self.language = language
        self.known: Vocabulary = vocabulary(language)
        # Digits name options ("2" is B) only where no option is about numbers.
        self.counts = not any(c.isdigit() for text in options.values() for c in clean(text))

    def choice(self) -> str | None:
        if not self.words or API_FAILURE in self.raw:
            return None
        return (
            self._whole()
            or self._boxed()
            or self._after_cue()
            or self._leading()
            or self._refused()
            or self._text_after_cue()
            or self._called_option()
            or self._anywhere()
        )

    # -- the questions, in order ------------------------------------------------------------------------------------

    def _whole(self) -> str | None:
        """The reply is one letter (or another sign for it), or one option's text."""
        alone = self.words[0].text if len(self.words) == 1 else ""
        if alone in self.options:
            return alone
        return is_option(self.raw, self.options, self.language) or self._label(alone)

    def _boxed(self) -> str | None:
        boxes = BOX.findall(self.raw)
        return _Reading(boxes[-1], self.options, self.language)._whole_if_any() if boxes else None

    def _after_cue(self) -> str | None:
        """The letter after the last "answer is ..." that names one."""
        named = [self._label_from(cue.end()) for cue in self.known.answer.finditer(self.text)]
        return next((label for label in reversed(named) if label), None)

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

    def _text_after_cue(self) -> str | None:
        """The option's text after the last "answer is ...", up to the end of the sentence."""
        for cue in reversed(list(self.known.answer.finditer(self.text))):
            sentence = re.split(r"[.!?。！？؟](?=\s|$)|\n", self.text[cue.end() :].lstrip(" :\n"), maxsplit=1)[0]
            found = find_option(sentence, self.options, self.language, self.known)
            if found:
                return found
        return None

    def _called_option(self) -> str | None:
        """The one letter beside a word for "option", before or after it."""
        named = set()
        for cue in self.known.option.finditer(self.text):
            before = [i for i, t in enumerate(self.tokens) if t.end <= cue.start()]
            after = next((i for i, t in enumerate(self.tokens) if t.start >= cue.end()), None)
            if after is not None and (label := self._label_from(cue.end())):
                named.add(None if self._struck_out(after) else label)
            elif before and self.tokens[before[-1]].is_word and not self._contested(before[-1]):
                named.add(self._label(self.tokens[before[-1]].text, loose=False))
        named.discard(None)
        return named.pop() if len(named) == 1 else None

    def _anywhere(self) -> str | None:
        """The one option whose text is in the reply, or the one letter that is; the text where they disagree."""
        letters = self._standing_letters()
        letter = letters[0] if len(set(letters)) == 1 else None
        text = find_option(self.raw, self.options, self.language, self.known)
        if letter and text and letter != text:
            return letter if self.words[-1].text == letter else text
        if not letter and not text and "Z" in (t.text for t in self.words):
            return "Z"
        return text or letter

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
        following = [i for i, t in enumerate(self.tokens) if t.start >= position][:REACH]
        for i in following:
            token = self.tokens[i]
            if not token.is_word:
                if token.text in SENTENCE_END:
                    return None
                continue
            label = self._label(token.text)
            if label and not self._is_word_here(i, label):
                if skip or self._contested(i):
                    skip = False
                    continue
                return label
            if fold(token.text) in self.known.negations:
                skip = True
            elif not self.known.is_filler(token.text) and token.text.upper() not in self.known.words:
                return None
        return None

    def _is_word_here(self, i: int, label: str) -> bool:
        """True where a one-letter word such as "a" or "В" goes with the words after it and is no label."""
        token = self.tokens[i]
        following = self._neighbour(i, 1)
        if token.text.upper() not in self.known.words or following is None or not following.is_word:
            return False
        if following.text in self.options:
            return True
        if token.text != label:  # lower case, or another script
            return True
        if self.known.is_filler(following.text) and fold(following.text) not in self.known.option_words:
            return fold(following.text) not in ("is", "because")
        named = find_option(self.text[token.end :], self.options, self.language, self.known)
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
                if shares_line and not is_label_word and following.text not in self.options:
                    continue
            found.append(token.text)
        return found

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
        return label

    def _contested(self, i: int) -> bool:
        """True where another letter stands beside this one: "A or B", "A/B", "A, B"."""
        label, following, last = self._label(self.tokens[i].text), self._neighbour(i, 1), self._neighbour(i, 2)
        if following is None or last is None or not last.is_word:
            return False
        beside = following.text in BESIDE_LABEL if not following.is_word else fold(following.text) in self.known.joiners
        other = self._label(last.text, loose=False)
        return beside and other is not None and other != label

    def _struck_out(self, i: int) -> bool:
        before = self._neighbour(i, -1)
        return before is not None and before.is_word and fold(before.text) in self.known.negations

    def _neighbour(self, i: int, step: int) -> Token | None:
        return self.tokens[i + step] if 0 <= i + step < len(self.tokens) else None
