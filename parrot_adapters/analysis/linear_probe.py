"""Can a language be read off the routing weights, and the kind of thing that is shown off the visual tokens?

K  decisions    E  experts    L  languages (or other classes)    D  width
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from parrot_adapters.errors import ConfigError

__all__ = ["Probe", "category_probe", "linear_probe"]

STEPS = 50
PENALTY = 1e-3


@dataclass(frozen=True)
class Probe:
    """How well a linear classifier, tested on groups it was not fitted to, tells languages (or other classes).

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
    places = list(dict.fromkeys(groups))
    if len(set(languages)) < 2 or len(places) < 2:
        raise ConfigError(
            f"a probe needs two languages and two groups to be fitted and tested on, not {sorted(set(languages))} and "
            f"{len(places)}"
        )
    fold = torch.tensor([places.index(group) % min(folds, len(places)) for group in groups])
    return _cross_validated(weights.detach().double().cpu().clamp(min=1e-6).log(), languages, fold)


def category_probe(tokens: Tensor, categories: Sequence[str], *, folds: int = 5) -> Probe | None:
    """As :func:`linear_probe`, from one vector per picture to the category of what it shows.

    Categories of a single picture are left out: it cannot be both fitted to and tested on. Each fold has its share of
    every category.

    Args:
        tokens: (K, D) mean visual token of each picture.
        categories: of each picture.
        folds: at most this many.

    Returns:
        The probe, or None with fewer than two categories of at least two pictures.
    """
    kept = [k for k, category in enumerate(categories) if categories.count(category) > 1]
    named = [categories[k] for k in kept]
    if len(set(named)) < 2:
        return None
    fold = torch.tensor([named[:n].count(category) % folds for n, category in enumerate(named)])
    return _cross_validated(tokens.detach().double().cpu()[kept], named, fold)


def _cross_validated(features: Tensor, classes: Sequence[str], fold: Tensor) -> Probe:
    """Fit to all folds but one and test on that, for every fold."""
    names = sorted(set(classes))
    targets = torch.tensor([names.index(name) for name in classes])
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
