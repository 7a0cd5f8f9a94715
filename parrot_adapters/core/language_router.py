"""The paper's other path, "language detection -> gating": the prompt's language, known as a tag, chooses the experts.

Letters: ``types.py``. Languages are declared (``handle.languages([...])``) or found by a detector plugin
(``AdapterConfig(detector="lingua")``). A detector that is not sure answers None, and this router then *abstains*: the
image keeps its tokens bit for bit, which is the honest answer when nobody knows the language. So does a language it was
never told about. (For a router that reads the text and is merely *taught* languages, use ``text-guided`` with the loss
``language-supervision``.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from parrot_adapters.core.control_routers import LOGIT_FLOOR
from parrot_adapters.core.types import Routing, RoutingInputs
from parrot_adapters.errors import ConfigError, explain

__all__ = ["PAPER_LANGUAGES", "LanguageIdRouter", "find_language"]

PAPER_LANGUAGES = ("en", "zh", "pt", "ar", "tr", "ru")
SHARPNESS = 4.0  # of a new table: with six experts the language's own starts with weight 0.92


class LanguageIdRouter(nn.Module):
    """One expert per language, or a learned row of weights per language.

    A tag is looked up as it is, then without its last subtag, and so on (RFC 4647: ``pt-BR`` finds ``pt``).

    ``mode="fixed"`` has no parameters and runs only the language's own expert. ``mode="table"`` learns
    ``weights = softmax(table[language])`` with the task, starts near the fixed mapping, and is held there by a loss of
    its own, ``language`` (cross-entropy to the language's expert, scaled by ``supervision``; read it from
    :func:`parrot_adapters.auxiliary_losses` as ``router/language``).

    Items whose language is unknown are marked in ``Routing.abstain``. Their weights sum to one like all others, as
    the contract asks, and are not used: the first expert's in fixed mode, even ones in table mode.

    Args:
        width: Hidden size D of the language model, which visual tokens have too.
        num_experts: Number of experts E, at least 1.
        languages: Number of the expert of each BCP-47 tag, or a list of tags, numbered in order (and around again where
            there are more languages than experts).
        mode: ``"fixed"`` or ``"table"``.
        supervision: Factor of the loss ``language`` in table mode; 0 makes none.

    Raises:
        ConfigError: Unknown ``mode``, an expert that does not exist, or no language at all.
    """

    conformance: ClassVar[Mapping[str, Any]] = {
        "uses_text": False,
        "needs_languages": True,
        "stochastic": False,
    }

    def __init__(
        self,
        width: int,
        num_experts: int,
        *,
        languages: Mapping[str, int] | Sequence[str] = PAPER_LANGUAGES,
        mode: str = "fixed",
        supervision: float = 0.1,
    ) -> None:
        super().__init__()
        if mode not in ("fixed", "table"):
            raise ConfigError(f"mode={mode!r} must be 'fixed' or 'table'")
        self.num_experts, self.mode, self.supervision = num_experts, mode, supervision
        self.languages = known_languages(languages, num_experts)
        self.tags = tuple(self.languages)  # rows of the table, in order
        if mode == "table":
            self.table = nn.Parameter(SHARPNESS * one_hot(self._experts(), num_experts).float())  # (languages, E)

    def forward(self, inputs: RoutingInputs) -> Routing:
        device = inputs.summary.device
        per_row = [find_language(tag, self.tags) for tag in inputs.languages or [None] * inputs.text.shape[0]]
        found = torch.tensor([-1 if tag is None else self.tags.index(tag) for tag in per_row], device=device)
        language = found[inputs.rows]  # (I,) number of the tag, -1 where unknown
        abstain = language < 0
        known = language.clamp(min=0)
        expert = self._experts().to(device)[known]  # (I,)
        if self.mode == "fixed":
            expert = expert.masked_fill(abstain, 0)
            weights = one_hot(expert, self.num_experts).float()  # (I, E)
            logits = weights.log().clamp(min=LOGIT_FLOOR).masked_fill(abstain[:, None], 0.0)
            return Routing(weights, logits, active=expert[:, None], abstain=abstain)
        logits = self.table.float()[known].masked_fill(abstain[:, None], 0.0)  # (I, E)
        losses = None
        if self.training and self.supervision:
            each = cross_entropy(logits, expert, reduction="none").masked_fill(abstain, 0.0)
            losses = {"language": self.supervision * each.sum() / (~abstain).sum().clamp(min=1)}
        return Routing(logits.softmax(-1), logits, losses=losses, abstain=abstain)

    def language_weights(self, language: str | None) -> Tensor | None:
        """(E,) the weights of a language, or None where the router would abstain. Read by ``parrot freeze-routing``."""
        tag = find_language(language, self.tags)
        if tag is None:
            return None
        if self.mode == "fixed":
            return one_hot(torch.tensor(self.languages[tag]), self.num_experts).float()
        return self.table.detach().float()[self.tags.index(tag)].softmax(-1)

    def _experts(self) -> Tensor:
        return torch.tensor(list(self.languages.values()))

    def extra_repr(self) -> str:
        return f"mode={self.mode!r}, languages={self.languages}"


def find_language(tag: str | None, known: Sequence[str]) -> str | None:
    """Find the known tag that fits a tag best: itself, else without its last subtag, and so on (RFC 4647 lookup).

    A language without script or region also finds the only tag that adds one to it.

    Args:
        tag: BCP-47 tag, for example ``"pt-BR"``; None finds nothing.
        known: BCP-47 tags to choose from.

    >>> find_language("zh-Hant-TW", ["en", "zh"])
    'zh'
    """
    by_lower = {name.lower(): name for name in known}
    parts = tag.replace("_", "-").lower().split("-") if tag else []
    while parts:
        if (found := by_lower.get("-".join(parts))) is not None:
            return found
        parts = parts[:-1]
    # Data that says "pt", for a router that was made for "pt-BR": nobody else can be meant.
    regional = [name for lower, name in by_lower.items() if tag and lower.startswith(f"{tag.lower()}-")]
    return regional[0] if len(regional) == 1 else None


def known_languages(languages: Mapping[str, int] | Sequence[str], num_experts: int) -> dict[str, int]:
    """Expert number by tag; a mapping's in the order of the tags, since files do not keep the order of a mapping.

    Raises:
        ConfigError: as :class:`LanguageIdRouter`.
    """
    if isinstance(languages, str) or not languages:
        raise ConfigError(f"languages={languages!r} must be tags such as ['en', 'tr'], or experts by tag")
    by_tag = isinstance(languages, Mapping)
    if not isinstance(languages, Mapping):
        languages = {tag: number % num_experts for number, tag in enumerate(languages)}
    wrong = {
        tag: expert
        for tag, expert in languages.items()
        if not isinstance(tag, str) or not isinstance(expert, int) or not 0 <= expert < num_experts
    }
    if wrong:
        raise ConfigError(
            explain("languages name experts that do not exist.", given=wrong, known=f"0..{num_experts - 1}")
        )
    return dict(sorted(languages.items())) if by_tag else dict(languages)
