"""Two-stage training: configuration, plan, engine. Data is in :mod:`parrot_adapters.data`.

Public names are imported on first use: reading a configuration waits for no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
