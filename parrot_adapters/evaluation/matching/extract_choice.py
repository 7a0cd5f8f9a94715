"""Which option does a reply choose? One door to the reference matchers and to our own."""

from __future__ import annotations

import string
from collections.abc import Mapping

from parrot_adapters.errors import ConfigError, explain, suggest
from parrot_adapters.evaluation.benchmark.cell_values import Value, is_missing
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
from parrot_adapters.evaluation.benchmark.protocols import PROTOCOLS, protocol_named
from parrot_adapters.evaluation.matching.robust import robust_choice
from parrot_adapters.evaluation.matching.vlmevalkit import reference_choice
from parrot_adapters.language_tags import canonical_language

__all__ = ["REFUSED", "ROBUST", "extract_choice"]

ROBUST = "robust"
REFUSED = "Z"


def extract_choice(
    prediction: str, options: Mapping[str, str] | Mapping[str, Value], protocol: str, *, language: str | None = None
) -> str | None:
    """Return the option letter that ``prediction`` chooses, ``"Z"`` for a refusal, or None where none is found.

    Args:
        prediction: Reply of the model, as generated.
        options: Texts of the options by their capital letter. Options whose text is missing (None, NaN) are left out.
        protocol: Name of the protocol: ``paper-2024``, ``vlmevalkit-2024``, ``vlmevalkit-2025`` or ``vlmevalkit-2026``
            reproduce the field's harness exactly; ``robust`` is the library's own matcher, to be reported beside one of
            them.
        language: Language that ``robust`` may expect (a code such as ``"tr"``, or ``"cn"`` for ``"zh"``), None
            (default) where it is unknown; the others ignore it.

    >>> extract_choice("The answer is cat", {"A": "dog", "B": "cat", "C": "ant"}, "vlmevalkit-2026")
    'C'
    >>> extract_choice("The answer is cat", {"A": "dog", "B": "cat", "C": "ant"}, "robust")
    'B'
    """
    present = {letter: text for letter, text in options.items() if not is_missing(text)}
    odd = [letter for letter in present if len(letter) != 1 or letter not in string.ascii_uppercase]
    if odd:
        raise EvaluationDataError(
            explain("options are named by one capital letter each.", given=sorted(odd), to_do="use keys from A to Z")
        )
    if protocol == ROBUST:
        return robust_choice(prediction, present, language=language and canonical_language(language))
    if protocol not in PROTOCOLS:
        known = [*PROTOCOLS, ROBUST]
        raise ConfigError(explain(f"no matcher named {protocol!r}.{suggest(protocol, known)}", known=", ".join(known)))
    return reference_choice(str(prediction), present, protocol_named(protocol))
