"""What counts as success, written down before the first run.

PRIMARY METRIC. Accuracy in the choice of four (chance 25), test art, concepts seen in training, mean of the five
languages other than English, mean over text models; minus the same number of the arm that goes through the same
training without an adapter. An arm *repairs erosion* if all of these hold:

1. the gain is positive, and its 95% interval over questions (all languages and seeds of a question drawn together)
   excludes zero;
2. the gain is positive for every text model (seed);
3. English is not down by more than half a point against no adapter, mean over seeds.

With three seeds rule 2 is weak evidence about *other* text models (three heads in a row happen one time in eight), so
the t interval over seeds is always printed beside it.

THE 2 x 2. Mixture (one expert or six) and guidance (the prompt's text is heard, or not), equal parameters:

    dense MLP              single conditioned expert
    mixture without text   full adapter, normalised

Interaction = (full adapter - mixture without text) - (single conditioned expert - dense MLP), in points of the primary
metric. The full adapter is guided through its router alone; a second table puts the mixture of conditioned experts,
guided through router and gates, into its place. The first is primary.

CHOICES. Learning rates of stage 2 are chosen for each group of arms on one seed, by choice accuracy (mean of the five
languages) on new views of the *training* art, then frozen for all seeds, regimes and arms of the group. Test art
chooses nothing. Anything the search proposes is chosen on the same validation views and confirmed on seeds it was not
chosen on, by the rules above; held-out concepts are reported beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .intervals import Difference, difference

__all__ = [
    "ENGLISH_TOLERANCE",
    "GUIDED_TWICE",
    "METRIC",
    "REFERENCE",
    "SPLIT",
    "TWO_BY_TWO",
    "Verdict",
    "verdict",
]

METRIC = "choice"
SPLIT = "seen"
REFERENCE = "none"
ENGLISH_TOLERANCE = 0.005  # of accuracy: half a point

# (without mixture, with mixture) for no guidance, then for guidance; keys of arms.
TWO_BY_TWO: Mapping[str, tuple[str, str]] = {
    "no guidance": ("dense", "picture-only"),
    "guidance": ("single", "mixture"),
}
GUIDED_TWICE: Mapping[str, tuple[str, str]] = {
    "no guidance": ("dense", "picture-only"),
    "guidance": ("single", "conditioned-mixture"),
}


@dataclass(frozen=True)
class Verdict:
    """Whether an arm repairs erosion by the rules above.

    Attributes:
        gain: of the primary metric, over no adapter.
        english: the same for English alone.
        repairs: all three rules hold.
        because: the rules that do not hold, in words; empty when it repairs.
    """

    gain: Difference
    english: Difference
    repairs: bool
    because: tuple[str, ...]


def verdict(
    others: np.ndarray, english: np.ndarray, others_without: np.ndarray, english_without: np.ndarray
) -> Verdict:
    """Apply the rules.

    Args:
        others: (T, Q) primary metric of the arm: seeds, questions; each the mean of the five languages.
        english: (T, Q) the same, English.
        others_without: (T, Q) of no adapter.
        english_without: (T, Q) of no adapter.
    """
    gain, lost = difference(others, others_without), difference(english, english_without)
    because = []
    if gain.questions.low <= 0:
        because.append("the gain's interval over questions does not exclude zero")
    if min(gain.seeds) <= 0:
        because.append("the gain is not positive for every text model")
    if lost.questions.value < -ENGLISH_TOLERANCE - 1e-9:
        because.append(f"English is down by {-100 * lost.questions.value:.1f} points")
    return Verdict(gain, lost, not because, tuple(because))
