"""Italian, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, phrases

__all__ = ["ITALIAN"]

ITALIAN = Language(
    scripts=phrases("LATIN"),
    answer=phrases("risposta | opzione corretta"),
    option=phrases("opzione | lettera | scelta"),
    fillers=phrases("è | la | il | corretta | giusta | opzione | lettera | sarebbe | a | questa | domanda"),
    refusals=phrases("non posso rispondere | non posso determinare | mi dispiace, | non è possibile determinare"),
    negations=phrases("non | né"),
    denials=phrases("è sbagliata | è sbagliato | è errata | non è"),
    exclusions=phrases("escludo | escludendo"),
    affirmations=phrases("è corretta | è corretto | è giusta | è la risposta"),
    conclusions=phrases("quindi | pertanto"),
    impressions=phrases("a prima vista | all'inizio"),
    turns=phrases("ma | però | tuttavia"),
    conditions=phrases("se | nel caso"),
    dependences=phrases("dipende"),
    corrections=phrases("correzione | mi correggo | correggo | no, aspetta | aspetta"),
    joiners=phrases("o | e"),
    articles=phrases("il | lo | la | i | gli | le | un | uno | una | l'"),
    words=phrases("A | E | È | I | O"),
    inflecting=True,
    numbers=phrases(
        "zero | uno/una | due | tre | quattro | cinque | sei | sette | otto | nove | dieci | undici | dodici"
    ),
    decimal_comma=True,
    ordinals=phrases("prim+a/o | second+a/o | terz+a/o | quart+a/o | quint+a/o"),
    last=phrases("ultim+a/o"),
)
