"""Thai, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, labels, phrases

__all__ = ["THAI"]

THAI = Language(
    scripts=phrases("THAI"),
    answer=phrases("คำตอบ | ตอบ | ข้อที่ถูกต้อง"),
    option=phrases("ตัวเลือก | ข้อ"),
    fillers=phrases("คือ | ที่ | ถูกต้อง | ตัวเลือก | ข้อ | เป็น | ของ | คำถาม | นี้"),
    refusals=phrases("ไม่สามารถตอบ | ไม่สามารถระบุ | ขอโทษ | ขออภัย | ไม่ทราบ"),
    joiners=phrases("หรือ | และ"),
    labels=labels("ก ข ค ง จ"),
)
