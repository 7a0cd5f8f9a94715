"""Is a reply in the language it was asked in?

Without a detector only the script is read, off Unicode: that tells an Arabic reply from an English one, and never a
Portuguese reply from an English one. So a result names the languages of its run that share a script. A registered
detector (hook ``register_detectors``) is asked where the script is right. Replies too short to tell ("B", "12") are
counted apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from parrot_adapters.evaluation.answers.reply_text import without_thoughts
from parrot_adapters.evaluation.matching.known_languages import known_as, known_languages
from parrot_adapters.evaluation.matching.text_forms import UNSPACED, clean, script, tokens
from parrot_adapters.evaluation.scores.result import Fidelity
from parrot_adapters.language_tags import base_language

__all__ = ["Detector", "in_script", "language_fidelity"]

Detector = Callable[[str], str | None]
"""A text's language code, or None where it is not sure."""
SCRIPT = "script"
LEAST_LETTERS = 3
"""Replies with fewer, option letters aside, are too short; one character of a script without spaces is enough."""


def language_fidelity(
    replies: Mapping[str, Mapping[int, str | None]], *, detector: Detector | None = None, name: str = SCRIPT
) -> dict[str, Fidelity]:
    """Judge every reply, by language; languages whose script is not known are left out.

    Args:
        replies: by language code and row.
        detector: asked where the script is right; None asks nobody.
        name: the detector's.
    """
    found = {}
    for language, said in replies.items():
        scripts = _scripts(language)
        if not scripts:
            continue
        verdicts = {index: _verdict(text, language, detector) for index, text in said.items()}
        counts = Counter(verdicts.values())
        shared = tuple(code for code in replies if code != language and set(_scripts(code)) & set(scripts))
        by = name if detector else SCRIPT
        told = counts[True] + counts[False]
        rate = counts[True] / told if told else None
        found[language] = Fidelity(rate, counts[True], counts[False], counts[None], by, shared, verdicts)
    return found


def in_script(text: str, language: str) -> bool | None:
    """Are most words in a script of ``language``? None where there are too few letters, or its script is not known.

    >>> in_script("الإجابة هي قطة", "ar"), in_script("The answer is cat", "ar"), in_script("B", "ar")
    (True, False, None)
    """
    scripts = _scripts(language)
    own = other = letters = 0
    enough = False
    for token in tokens(clean(text)):
        word = [c for c in token.text if c.isalpha()]
        if not word:
            continue
        kind = script(word[0])
        unspaced = kind.startswith(UNSPACED)
        if len(word) == 1 and not unspaced:  # an option's letter
            continue
        weight = len(word) if unspaced else 1
        letters += len(word)
        enough = enough or unspaced
        if kind.startswith(scripts):
            own += weight
        else:
            other += weight
    if not scripts or not (enough or letters >= LEAST_LETTERS):
        return None
    return own > other


def _verdict(text: str | None, language: str, detector: Detector | None) -> bool | None:
    said = without_thoughts(text or "")
    verdict = in_script(said, language)
    if not verdict or detector is None:
        return verdict
    found = detector(said)
    return None if found is None else base_language(found) == base_language(language)


def _scripts(language: str) -> tuple[str, ...]:
    known = known_as(language)
    return known_languages()[known].scripts if known else ()
