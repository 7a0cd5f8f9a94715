"""Views of training pictures: what moves in from outside is white, and what may not be mirrored is not."""

from __future__ import annotations

import torch
from parrot_recipes.emoji.augment import ink, jitter, training_views


def seeded():
    return torch.Generator().manual_seed(0)


def test_white_stays_white_wherever_it_is_moved():
    assert torch.allclose(jitter(torch.ones(6, 3, 16, 16), seeded()), torch.ones(6, 3, 16, 16), atol=1e-5)


def test_only_what_may_be_mirrored_is():
    """A picture that is dark on its left is darker on its left in every view, unless it was mirrored."""
    pictures = torch.ones(40, 3, 16, 16)
    pictures[..., 3:7] = 0.0

    def mirrored(flip):
        seen = jitter(pictures, seeded(), flip).mean((1, 2))  # (B, 16)
        return seen[:, :8].mean(1) > seen[:, 8:].mean(1)

    assert not mirrored(torch.zeros(40, dtype=torch.bool)).any()
    may = torch.arange(40) < 20
    found = mirrored(may)
    assert found[:20].any()
    assert not found[:20].all()
    assert not found[20:].any()


def test_views_are_the_picture_its_ink_and_what_was_moved():
    pictures = torch.rand(2, 3, 16, 16, generator=seeded())
    views = training_views(pictures, 4, seeded(), None)
    assert torch.equal(views[0], pictures)
    assert torch.equal(views[1], ink(pictures))
    assert views.shape == (4, 2, 3, 16, 16)
