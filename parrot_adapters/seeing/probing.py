"""Can a language be read off the routing weights?

K  decisions    E  experts    L  languages
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from parrot_adapters.errors import ConfigError

__all__ = ["Probe", "linear_probe"]

STEPS = 50
PENALTY = 1e-3


@dataclass(frozen=True)
class Probe:
    """How well a linear classifier, tested on groups it was not fitted to, tells languages by routing weights.

    Attributes:
        languages: in the order of the matrix.
        confusion: (L, L) share of the decisions of a row's language that were taken for the column's.
        accuracy: mean over languages of the share taken for themselves (balanced accuracy).
        chance: ``1 / L``.
    """

    languages: list[str]
    confusion: list[list[float]]
    accuracy: float
    chance: float

    def pairs(self) -> list[tuple[str, str, float]]:
        """Pairs of languages by how often they are taken for one another, most often first."""
        count = len(self.languages)
        found = [
            (self.languages[a], self.languages[b], (self.confusion[a][b] + self.confusion[b][a]) / 2)
            for a in range(count)
            for b in range(a + 1, count)
        ]
        return sorted(found, key=lambda pair: -pair[2])


def linear_probe(weights: Tensor, languages: Sequence[str], groups: Sequence[int], *, folds: int = 5) -> Probe:
    """Cross-validated multinomial logistic regression on log routing weights.

    Whole groups are left out together: a picture shown with prompts in every language would otherwise be in both parts.
    The fit is convex (L-BFGS from zero with a small penalty) and the folds are in order, so nothing here is random.

    Args:
        weights: (K, E).
        languages: of each decision.
        groups: what belongs together, for example the number of the picture.
        folds: at most this many; fewer where there are fewer groups.

    Raises:
        ConfigError: fewer than two languages or groups.
    """
    names, places = sorted(set(languages)), list(dict.fromkeys(groups))
    if len(names) < 2 or len(places) < 2:
        raise ConfigError(
            f"a probe needs two languages and two groups to be fitted and tested on, not {names} and {len(places)}"
        )
    features = weights.detach().double().cpu().clamp(min=1e-6).log()
    targets = torch.tensor([names.index(language) for language in languages])
    fold = torch.tensor([places.index(group) % min(folds, len(places)) for group in groups])
    taken = torch.zeros(len(names), len(names), dtype=torch.float64)
    for number in range(int(fold.max()) + 1):
        test = fold == number
        mean, scale = features[~test].mean(0), features[~test].std(0, correction=0)
        scaled = (features - mean) / torch.where(scale > 1e-6, scale, torch.ones_like(scale))
        guessed = _fit(scaled[~test], targets[~test], len(names))(scaled[test]).argmax(-1)
        for truth, guess in zip(targets[test].tolist(), guessed.tolist(), strict=True):
            taken[truth, guess] += 1
    confusion = taken / taken.sum(1, keepdim=True)
    return Probe(names, confusion.tolist(), float(confusion.diagonal().mean()), 1 / len(names))


def _fit(features: Tensor, targets: Tensor, classes: int) -> nn.Module:
    probe = nn.Linear(features.shape[1], classes, dtype=torch.float64)
    nn.init.zeros_(probe.weight)
    nn.init.zeros_(probe.bias)
    optimizer = torch.optim.LBFGS(probe.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(probe(features), targets) + PENALTY * probe.weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return probe
