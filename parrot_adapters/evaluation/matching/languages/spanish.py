"""Spanish, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, phrases

__all__ = ["SPANISH"]

SPANISH = Language(
    scripts=phrases("LATIN"),
    answer=phrases("respuesta | opción correcta | alternativa correcta"),
    option=phrases("opción | letra | alternativa"),
    fillers=phrases("es | la | el | correcta | correcto | opción | letra | sería | a | esta | pregunta | final | mi"),
    refusals=phrases(
        "no puedo responder | no puedo determinar | no puedo ayudar | lo siento, | no es posible determinar"
    ),
    negations=phrases("no | ni"),
    denials=phrases("está mal | es incorrecta | es incorrecto | no es | es falsa"),
    exclusions=phrases("descarto | excluyo | descartando"),
    affirmations=phrases("es correcta | es correcto | es la correcta | es la respuesta | son correctas | están bien"),
    conclusions=phrases("por lo tanto | por tanto"),
    impressions=phrases("a primera vista | al principio"),
    turns=phrases("pero | sin embargo"),
    conditions=phrases("si | en caso de"),
    dependences=phrases("depende | dependiendo"),
    corrections=phrases("corrijo | corrección | rectifico | no, espera | espera"),
    joiners=phrases("o | y | u"),
    articles=phrases("el | la | los | las | un | una | unos | unas"),
    words=phrases("A | E | O | Y"),
    endings=phrases("s | es"),
    inflecting=True,
    numbers=phrases("cero | uno/una | dos | tres | cuatro | cinco | seis | siete | ocho | nueve | diez | once | doce"),
    decimal_comma=True,
    ordinals=phrases("primer+a/o | segund+a/o | tercer+a/o | cuart+a/o | quint+a/o"),
    last=phrases("últim+a/o"),
)
