"""French, as the robust matcher knows it."""

from __future__ import annotations

from parrot_adapters.evaluation.matching.language_words import Language, phrases

__all__ = ["FRENCH"]

FRENCH = Language(
    scripts=phrases("LATIN"),
    answer=phrases("réponse | bonne réponse | bon choix"),
    option=phrases("option | lettre | choix"),
    fillers=phrases("est | la | le | correcte | bonne | option | lettre | serait | à | cette | question | finale | ma"),
    refusals=phrases("je ne peux pas | je ne suis pas en mesure | désolé, | impossible de déterminer | je ne sais pas"),
    negations=phrases("pas | non | ni"),
    denials=phrases("est faux | est fausse | est incorrecte | n'est pas | est incorrect"),
    exclusions=phrases("j'exclus | en excluant | j'élimine"),
    affirmations=phrases("est correcte | est correct | est la bonne | est juste"),
    conclusions=phrases("donc"),
    impressions=phrases("à première vue | au début"),
    turns=phrases("mais | cependant"),
    conditions=phrases("si | au cas où"),
    dependences=phrases("dépend | ça dépend"),
    corrections=phrases("correction | je corrige | je me corrige | non, attendez | attendez"),
    joiners=phrases("ou | et"),
    articles=phrases("le | la | les | un | une | des | l'"),
    words=phrases("A | À | Y"),
    numbers=phrases("zéro | un/une | deux | trois | quatre | cinq | six | sept | huit | neuf | dix | onze | douze"),
    decimal_comma=True,
    ordinals=phrases("première/premier | deuxième/seconde | troisième | quatrième | cinquième"),
    last=phrases("dernière/dernier"),
)
