"""Multilingual multiple-choice evaluation: prompts, reading of replies, scores. Knows no model and imports none.

The statistics are in :mod:`parrot_adapters.evaluation.scores.intervals_and_tests`, which alone needs numpy.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
