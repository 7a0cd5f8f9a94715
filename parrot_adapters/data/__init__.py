"""Training data: formats, mixtures, batches, what can be wrong with a sample.

    mixture = open_data(config.data, seed=0)                      # deterministic by (seed, epoch)
    collator = Collator(processor, model_config=model.config)     # the host's own processor and chat template
    loader = DataLoader(mixture, batch_sampler=mixture.batches(8, epoch=0), collate_fn=collator)

Names are imported on first use: formats need no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
