"""Indonesian, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, phrases

__all__ = ["INDONESIAN"]

INDONESIAN = Language(
    scripts=phrases("LATIN"),
    answer=phrases("jawaban | jawabannya | pilihan yang benar"),
    option=phrases("pilihan | opsi | huruf"),
    fillers=phrases("adalah | yang | benar | tepat | pilihan | opsi | huruf | ialah | untuk | pertanyaan | ini"),
    refusals=phrases("tidak dapat menjawab | tidak bisa menjawab | tidak dapat menentukan | maaf,"),
    negations=phrases("bukan | tidak"),
    denials=phrases("salah | adalah salah"),
    conclusions=phrases("jadi | oleh karena itu"),
    joiners=phrases("atau | dan"),
    articles=phrases("sebuah | seekor | seorang"),
    numbers=phrases("nol | satu | dua | tiga | empat | lima | enam | tujuh | delapan | sembilan | sepuluh | sebelas"),
    decimal_comma=True,
    ordinals=phrases("pertama | kedua | ketiga | keempat | kelima"),
    last=phrases("terakhir"),
)
