"""The languages the robust matcher knows, one file each: who knows the language can check its file, and that alone.

A file is one ``Language`` of ``language_words.py``, whose fields say what each list is for. Phrases are separated by
``|``; case, accents and spaces do not matter. The first six are the languages of MMMB, the others those of the emoji
benchmark and a few large ones. Phrases were written by hand; scripts are the likely ones of Unicode CLDR
(``likelySubtags``).

To add a language, copy ``swahili.py``, fill in what a speaker would say, and enter it in ``languages_by_code.py``.
Every field may be left out; ``answer``, ``option``, ``fillers``, ``negations``, ``denials`` and ``turns`` matter most.
A plugin calls ``parrot_adapters.evaluation.add_language`` instead; a JSON file with the same fields is read by
``load_languages`` there, and by ``parrot score --language-data``.
"""
