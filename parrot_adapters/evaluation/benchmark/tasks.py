"""What a benchmark's questions can be asked for besides the right letter.

    choice       which option is right? (the benchmark itself)
    comparison   the same, about two pictures, from files of its own
    naming       what is it? the reply is compared with the right option's text
    retrieval    which of about twenty texts belongs to the picture, and which of the pictures to the text?

The first two are multiple choice, scored under a protocol. The others are *open*: they show no options.
"""

from __future__ import annotations

__all__ = ["CHOICE", "COMPARISON", "NAMING", "OPEN", "RETRIEVAL", "TASKS"]

CHOICE, COMPARISON, NAMING, RETRIEVAL = "choice", "comparison", "naming", "retrieval"
TASKS = (CHOICE, COMPARISON, NAMING, RETRIEVAL)
OPEN = (NAMING, RETRIEVAL)
