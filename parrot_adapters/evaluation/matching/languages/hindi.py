"""Hindi, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, labels, phrases

__all__ = ["HINDI"]

HINDI = Language(
    scripts=phrases("DEVANAGARI"),
    answer=phrases("उत्तर | जवाब | सही विकल्प"),
    option=phrases("विकल्प | अक्षर"),
    fillers=phrases("है | सही | विकल्प | का | इस | प्रश्न | होगा | अक्षर"),
    refusals=phrases("उत्तर नहीं दे सकता | जवाब नहीं दे सकता | क्षमा करें | माफ़ करें | निर्धारित नहीं | मुझे नहीं पता"),
    denials=phrases("गलत है | नहीं है"),
    joiners=phrases("या | और"),
    labels=labels("क ख ग घ ङ | अ ब स द"),
)
