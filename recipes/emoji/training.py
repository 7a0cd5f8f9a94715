"""Two stages, as in the paper, after a warm start that needs no pass through the language model.

* warm start: pooled visual tokens are pulled towards the mean embedding of the English name (contrastive). Seconds.
* stage 1: English only, the projector learns, no adapter is attached.
* stage 2: several languages; projector and adapter learn, the text model stays frozen (unless an arm says otherwise).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

import parrot_adapters as pa

from .batches import IGNORE, encode_samples
from .compute import Compute
from .concepts import Concept
from .declared import declared
from .features import Features
from .host import projector
from .languages import ENGLISH, OTHERS
from .schedule import Schedule
from .tokenizer import Vocabulary

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration

__all__ = ["Auxiliary", "TrainingSet", "train", "warm_start"]

Progress = Callable[[int, int, float], None]  # (steps done, steps in all, loss)


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Training pictures of the seen concepts, and questions about them.

    Attributes:
        concepts: all concepts.
        features: their pictures.
        vocabulary: token ids.
        multilingual: share of samples in another language than English.
        noise: standard deviation of the noise on features, whose own is about one; without it a projector learns the
            one artist's habits by heart.
    """

    concepts: Sequence[Concept]
    features: Features
    vocabulary: Vocabulary
    multilingual: float = 0.0
    noise: float = 1.0

    @cached_property
    def seen(self) -> list[int]:
        return [index for index, concept in enumerate(self.concepts) if concept.split == "seen"]

    def draw(self, rng: random.Random, count: int) -> tuple[list[tuple[int, str]], Tensor]:
        """``count`` samples: (concept, language), and pictures (B, V, C)."""
        seen, views = self.seen, self.features.train.shape[1]
        asked = [
            (rng.choice(seen), rng.choice(OTHERS) if rng.random() < self.multilingual else ENGLISH)
            for _ in range(count)
        ]
        chosen = [concept for concept, _ in asked], [rng.randrange(views) for _ in asked]
        pictures = self.features.train[chosen].float()  # (B, V, C)
        return asked, pictures + self.noise * torch.randn_like(pictures)


@dataclass(frozen=True, eq=False)
class Auxiliary:
    """Losses on the routing, added to the next-token loss.

    Attributes:
        handle: whose routing.
        scales: factor of each registered loss.
        options: arguments of their factories.
    """

    handle: pa.Attachment
    scales: Mapping[str, float]
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def loss(self, log: Sequence[pa.RoutingRecord]) -> Tensor | float:
        """Their sum over what one forward pass routed."""
        return sum(pa.auxiliary_losses(log, self.scales, self.options).values(), 0.0)


def warm_start(
    host: LlavaForConditionalGeneration, data: TrainingSet, schedule: Schedule, seed: int, temperature: float = 0.07
) -> float:
    """Fit the projector so that a picture's mean visual token resembles the mean embedding of its English name.

    Returns:
        the last loss.
    """
    rng, module = random.Random(f"warm start {seed}"), projector(host)
    embedding = host.get_input_embeddings()
    with torch.no_grad():
        names = torch.stack(
            [
                embedding(torch.tensor(data.vocabulary.name(c.names[ENGLISH])).to(host.device)).mean(0)
                for c in data.concepts
            ]
        )  # (K, D)
        spread = names.var()
    optimizer, scheduler = _optimizer([{"params": list(module.parameters())}], schedule)
    loss = torch.zeros(())
    for _ in range(schedule.steps):
        asked, pictures = data.draw(rng, schedule.batch_size)
        chosen = torch.tensor([concept for concept, _ in asked]).to(host.device)
        pooled = module(pictures.to(host.device)).mean(1)  # (B, D)
        similarity = normalize(pooled, dim=-1) @ normalize(names[chosen], dim=-1).T / temperature  # (B, B)
        same = chosen[:, None] == chosen[None]  # a concept drawn twice is not its own rival
        similarity = similarity.masked_fill(
            same & ~torch.eye(len(chosen), dtype=torch.bool, device=same.device), float("-inf")
        )
        target = torch.arange(len(chosen)).to(host.device)
        contrast = (cross_entropy(similarity, target) + cross_entropy(similarity.T, target)) / 2
        loss = contrast + 0.1 * (pooled - names[chosen]).square().mean() / spread
        _step(loss, optimizer, scheduler)
    return loss.item()


def train(
    host: LlavaForConditionalGeneration,
    groups: Sequence[tuple[Sequence[nn.Parameter], float]],
    data: TrainingSet,
    schedule: Schedule,
    seed: int,
    progress: Progress | None = None,
    auxiliary: Auxiliary | None = None,
    compute: Compute | None = None,
) -> list[float]:
    """Next-token training on answers.

    An attached adapter is in training mode meanwhile, and so its router's noise, balancing and own losses act; the host
    stays in the mode it is in.

    Args:
        host: attached or not; what it computes is what is trained.
        groups: (parameters, learning-rate factor); everything else stays as it is.
        data: where samples come from.
        schedule: how.
        seed: of the samples.
        progress: told about every step.
        auxiliary: losses on the routing, beside the router's own.
        compute: how precisely; float32 unless said otherwise. Where is where the host is.

    Returns:
        the next-token loss of every step.
    """
    rng, compute = random.Random(f"train {seed}"), compute or Compute()
    visual_tokens = data.features.train.shape[2]
    optimizer, scheduler = _optimizer(
        [{"params": list(parameters), "lr": schedule.learning_rate * factor} for parameters, factor in groups], schedule
    )
    losses = []
    adapter = pa.attachment_of(host)
    if auxiliary is None and adapter is not None and adapter.module is not None:
        auxiliary = Auxiliary(adapter, {})
    with _learning(adapter):
        for step in range(schedule.steps):
            asked, pictures = data.draw(rng, schedule.batch_size)
            samples = encode_samples(data.vocabulary, data.concepts, asked, visual_tokens).to(host.device)
            recorded = nullcontext([]) if auxiliary is None else auxiliary.handle.record_routing(graph=True)
            # Entered anew in each step: autocast keeps its copies of weights for as long as one block lasts.
            with compute.autocast(), declared(host, [language for _, language in asked]), recorded as log:
                hidden = host.model(
                    input_ids=samples.input_ids,
                    attention_mask=samples.attention_mask,
                    pixel_values=pictures.to(host.device),
                    use_cache=False,
                ).last_hidden_state[:, :-1]
                targets = samples.labels[:, 1:]
                answers = targets != IGNORE  # the vocabulary's matmul runs on answers only
                loss = cross_entropy(host.lm_head(hidden[answers]), targets[answers])
            _step(loss if auxiliary is None else loss + auxiliary.loss(log), optimizer, scheduler)
            losses.append(loss.item())
            if progress:
                progress(step + 1, schedule.steps, losses[-1])
    return losses


@contextmanager
def _learning(adapter: pa.Attachment | None) -> Iterator[None]:
    """The adapter in training mode inside the block; nothing where a host has none."""
    module = None if adapter is None else adapter.module
    before = {} if module is None else {part: part.training for part in module.modules()}
    if module is not None:
        module.train()
    try:
        yield
    finally:
        for part, training in before.items():
            part.training = training


def _optimizer(
    groups: list[dict[str, object]], schedule: Schedule
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    optimizer = torch.optim.AdamW(
        groups, lr=schedule.learning_rate, weight_decay=schedule.weight_decay, betas=(0.9, 0.98)
    )
    warmup = max(1, round(schedule.warmup * schedule.steps))

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / warmup) * (0.5 + 0.5 * math.cos(math.pi * step / max(1, schedule.steps)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _step(loss: Tensor, optimizer: torch.optim.Optimizer, scheduler: torch.optim.lr_scheduler.LRScheduler) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
    optimizer.step()
    scheduler.step()
