"""Which language is a prompt in? py3langid's answer, or None when it is not sure.

R  rows (prompts)    S  text tokens of the longest
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from parrot_adapters import hookimpl
from parrot_adapters.errors import ConfigError

__all__ = ["LANGUAGES", "LangidDetector", "register_detectors"]

# Widely written languages, without the close relatives that short texts confuse (az, gl, mk, ...).
LANGUAGES = (
    *("en", "zh", "pt", "ar", "tr", "ru", "es", "fr", "de", "it", "nl", "pl", "sv", "fi", "hu", "ro", "cs"),
    *("el", "he", "fa", "hi", "bn", "ta", "th", "vi", "id", "ja", "ko"),
)
VARIABLE = "PARROT_DETECTOR_LANGUAGES"


class LangidDetector:
    """Detect the language of the routing text.

    Args:
        tokenizer: the host's.
        languages: BCP-47 tags to choose among; None takes those of the environment variable
            ``PARROT_DETECTOR_LANGUAGES`` (comma separated), else ``LANGUAGES``.
        min_margin: how many times as probable as the next best of ``languages`` it must be.
        min_ratio: how many times as probable as the likeliest language *not* in ``languages`` it must be.

    Raises:
        ConfigError: a language the model does not know, or no language.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        languages: Sequence[str] | None = None,
        min_margin: float = 2.5,
        min_ratio: float = 0.25,
    ) -> None:
        if languages is None:
            languages = [tag.strip() for tag in os.environ.get(VARIABLE, "").split(",") if tag.strip()] or LANGUAGES
        unknown = sorted(set(languages) - _known())
        if unknown or not languages:
            raise ConfigError(f"py3langid knows no {', '.join(unknown) or 'empty list of languages'}")
        self.tokenizer, self.languages = tokenizer, tuple(languages)
        self.min_margin, self.min_ratio = min_margin, min_ratio

    def __call__(self, token_ids: Tensor, text_mask: Tensor) -> list[str | None]:
        """(R, S) ids and (R, S) bool -> a tag or None per row."""
        rows = zip(token_ids.cpu(), text_mask.cpu(), strict=True)
        return [self.detect(self.tokenizer.decode(ids[mask].tolist(), skip_special_tokens=True)) for ids, mask in rows]

    def detect(self, text: str) -> str | None:
        """The language of a text, or None."""
        if not text.strip():
            return None
        everything = {tag: float(probability) for tag, probability in _identifier().rank(text)}
        expected = {tag: everything[tag] for tag in self.languages}
        best = max(expected, key=expected.__getitem__)
        second = max((p for tag, p in expected.items() if tag != best), default=0.0)
        outside = max((p for tag, p in everything.items() if tag not in expected), default=0.0)
        sure = expected[best] >= self.min_margin * second and expected[best] >= self.min_ratio * outside
        return best if sure else None


@functools.cache  # 70 MB in memory: one for the process, never copied or pickled with a host
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@functools.cache
def _known() -> frozenset[str]:
    return frozenset(tag for tag, _ in _identifier().rank("a"))


@hookimpl
def register_detectors(register: Any) -> None:
    register("langid", LangidDetector)
