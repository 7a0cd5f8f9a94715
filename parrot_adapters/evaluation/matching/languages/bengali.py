"""Bengali, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, labels, phrases

__all__ = ["BENGALI"]

BENGALI = Language(
    scripts=phrases("BENGALI"),
    answer=phrases("উত্তর | সঠিক বিকল্প | জবাব"),
    option=phrases("বিকল্প | অক্ষর"),
    fillers=phrases("হল | হলো | সঠিক | বিকল্প | হবে | এই | প্রশ্নের"),
    refusals=phrases("উত্তর দিতে পারছি না | উত্তর দিতে পারি না | দুঃখিত | নির্ধারণ করা সম্ভব নয় | আমি জানি না"),
    joiners=phrases("বা | এবং"),
    labels=labels("ক খ গ ঘ ঙ"),
)
