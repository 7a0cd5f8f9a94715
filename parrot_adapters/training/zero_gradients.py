"""A run from whose start no gradient has reached what trains: it would end as "done" and have learned nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["STEPS", "UNSEEN", "ZeroGradients"]

STEPS = 10
"""Steps in a row that had pictures, and no gradient."""
UNSEEN = 1000
"""Samples in a row without a single picture: data may well begin with text alone."""


class ZeroGradients:
    """Watches the gradients of optimizer steps, until one of them is not zero.

    Attributes:
        steps: how many there were so far, all zero.
        pictured: how many of them had pictures.
        samples: in all of them.
    """

    def __init__(self) -> None:
        self.steps, self.pictured, self.samples, self._watching = 0, 0, 0, True

    def verdict(self, grad_norm: float, *, samples: int, pictured: bool, last: bool) -> tuple[str, str] | None:
        """What is wrong and what to do about it; None where nothing is.

        Args:
            grad_norm: of what trains, before it moves.
            samples: of this step, all processes together.
            pictured: whether any of them had a picture.
            last: whether the run ends with this step.
        """
        self._watching = self._watching and grad_norm == 0.0
        if not self._watching:
            return None
        self.steps, self.pictured, self.samples = self.steps + 1, self.pictured + pictured, self.samples + samples
        if not (last or self.pictured >= STEPS or (not self.pictured and self.samples >= UNSEEN)):
            return None
        what = (
            f"nothing was learned: in each of the {self.steps} steps so far the gradient of all that trains was zero."
        )
        if self.pictured:
            return what, (
                "parrot check host:DIR says whether an adapter acts on this host; is it off, or has a change of the "
                "model cut it off?"
            )
        return what, (
            f"there was no picture in {self.samples} samples, and what trains here acts on pictures alone: parrot data "
            "check FILE says what it finds in the records; text alone is learned by a language model that trains "
            "(train.language_model=lora)"
        )

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return dict(self.__dict__)

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Take up where a checkpoint left off; one of an earlier release says nothing, and nothing is watched then."""
        self.__dict__.update(state if state is not None else {"_watching": False})
