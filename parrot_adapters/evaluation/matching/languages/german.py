"""German, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, phrases

__all__ = ["GERMAN"]

GERMAN = Language(
    scripts=phrases("LATIN"),
    answer=phrases("antwort | lösung | richtige option | richtige wahl"),
    option=phrases("option | buchstabe | möglichkeit"),
    fillers=phrases(
        "ist | lautet | wäre | die | der | das | richtige | korrekte | option | buchstabe | auf | frage | eindeutig"
    ),
    refusals=phrases(
        "ich kann nicht | kann ich nicht | tut mir leid | nicht beantworten | nicht bestimmen | ich weiß es nicht"
    ),
    negations=phrases("nicht | kein | keine"),
    denials=phrases("ist falsch | ist nicht richtig | ist es nicht | sind falsch"),
    exclusions=phrases("schließe aus | ausgeschlossen"),
    affirmations=phrases("ist richtig | ist korrekt | ist die richtige | stimmt"),
    conclusions=phrases("daher | deshalb | folglich"),
    impressions=phrases("auf den ersten blick | zuerst | zunächst"),
    turns=phrases("aber | jedoch"),
    conditions=phrases("wenn | falls"),
    dependences=phrases("kommt darauf an | hängt davon ab | je nachdem"),
    corrections=phrases("korrektur | ich korrigiere | nein, moment | moment"),
    joiners=phrases("oder | und"),
    articles=phrases("der | die | das | ein | eine | einen | einem"),
    numbers=phrases(
        "null | eins/ein/eine | zwei | drei | vier | fünf | sechs | sieben | acht | neun | zehn | elf | zwölf"
    ),
    decimal_comma=True,
    ordinals=phrases("erst+e/en | zweit+e/en | dritt+e/en | viert+e/en | fünft+e/en"),
    last=phrases("letzt+e/en"),
)
