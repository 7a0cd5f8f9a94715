"""Seeing what an adapter does: routing statistics, observers, explanations of single answers, diagnoses.

Nothing here runs unless asked for; a host without observers pays one comparison per pass.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
