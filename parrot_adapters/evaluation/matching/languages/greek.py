"""Greek, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, labels, phrases

__all__ = ["GREEK"]

GREEK = Language(
    scripts=phrases("GREEK"),
    answer=phrases("απάντηση | σωστή επιλογή"),
    option=phrases("επιλογή | γράμμα"),
    fillers=phrases("είναι | η | το | σωστή | επιλογή | γράμμα"),
    refusals=phrases("δεν μπορώ | λυπάμαι | συγγνώμη"),
    joiners=phrases("ή | και"),
    articles=phrases("ο | η | το | ένας | μια | ένα"),
    words=phrases("Η | Ο"),
    labels=labels("Α Β Γ Δ Ε"),
)
