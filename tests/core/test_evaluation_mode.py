"""Evaluation mode for a while: every part is given back in the mode it was in."""

from __future__ import annotations

import pytest
from torch import nn

from parrot_adapters.core import evaluation_mode


def made() -> nn.Module:
    """In training, with one part at rest."""
    module = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2)))
    module[1].eval()
    return module


def modes(module: nn.Module) -> list[bool]:
    return [part.training for part in module.modules()]


def test_every_part_is_given_back_in_its_own_mode():
    module = made()
    before = modes(module)
    with evaluation_mode(module):
        assert not any(modes(module))
    assert modes(module) == before == [True, True, False, False]


def test_after_an_error_too():
    module = made()
    with pytest.raises(KeyError), evaluation_mode(module):
        raise KeyError
    assert modes(module) == [True, True, False, False]


def test_the_check_bites_when_all_are_put_in_training():
    module = made()
    module.eval()
    module.train()
    assert modes(module) != [True, True, False, False]
