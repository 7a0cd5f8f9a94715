"""Persian, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, labels, phrases

__all__ = ["PERSIAN"]

PERSIAN = Language(
    scripts=phrases("ARABIC"),
    answer=phrases("پاسخ | جواب | گزینه صحیح | گزینهٔ صحیح"),
    option=phrases("گزینه | گزینهٔ | حرف"),
    fillers=phrases("صحیح | درست | گزینه | گزینهٔ | این | سوال | برابر | با | است"),
    refusals=phrases("نمی‌توانم | متأسفم | متاسفم | نمی‌دانم"),
    denials=phrases("غلط است | نادرست است | نیست"),
    joiners=phrases("یا | و"),
    labels=labels("الف ب ج د ه | ا ب ج د"),
)
