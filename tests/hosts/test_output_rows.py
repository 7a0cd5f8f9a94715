"""Some rows of a batch whose images are encoded: whatever belongs to their visual tokens goes along."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from parrot_adapters.errors import HostError
from parrot_adapters.hosts.output_rows import OutputRows

WIDTH = 3
PLACES = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]], dtype=torch.bool)  # 2, 3, 0, 2 tokens


def numbered(start: int, *sizes: int) -> tuple[torch.Tensor, ...]:
    """An element an image; each token holds its own number."""
    whole = (torch.arange(sum(sizes)) + start)[:, None].expand(-1, WIDTH).float()
    return whole.split(sizes)


def output() -> SimpleNamespace:
    return SimpleNamespace(
        features=numbered(0, 2, 3, 2),
        deepstack_features=[torch.cat(numbered(100, 2, 3, 2)), torch.cat(numbered(200, 2, 3, 2))],
        token_weights=torch.cat(numbered(300, 2, 3, 2)),
    )


def firsts(values: torch.Tensor) -> list[int]:
    return [int(token[0]) for token in values]


def test_rows_are_taken_with_all_that_belongs_to_them() -> None:
    given = output()
    taken = OutputRows({"image": given}, {"image": PLACES}, "features").take([3, 2, 1])["image"]
    assert [firsts(image) for image in taken.features] == [[5, 6], [2, 3, 4]]
    assert [firsts(layer) for layer in taken.deepstack_features] == [
        [105, 106, 102, 103, 104],
        [205, 206, 202, 203, 204],
    ]
    assert firsts(taken.token_weights) == [305, 306, 302, 303, 304]
    assert len(given.features) == 3, "the host's own output is as it was"


def test_rows_without_images_take_nothing() -> None:
    assert OutputRows({"image": output()}, {"image": PLACES}, "features").take([2]) == {}


@pytest.mark.parametrize("what", ["features", "deepstack_features", "token_weights", None])
def test_rows_are_the_same_where_everything_is(what: str | None) -> None:
    given = output()
    for name in ("features", "deepstack_features", "token_weights"):
        parts = getattr(given, name)
        whole = [torch.cat(parts)] if name == "features" else parts if isinstance(parts, list) else [parts]
        for values in whole:
            values[5:7] = values[0:2]
        if name == what:
            whole[-1][6] += 1
        if name == "features":
            given.features = whole[0].split((2, 3, 2))
    rows = OutputRows({"image": given}, {"image": PLACES}, "features")
    assert rows.same(0, 3) == (what is None)
    assert not rows.same(0, 1)


def test_an_element_of_several_rows_is_refused() -> None:
    given = SimpleNamespace(features=(torch.cat(numbered(0, 2, 3)), *numbered(5, 2)))
    with pytest.raises(HostError, match="several rows"):
        OutputRows({"image": given}, {"image": PLACES}, "features").take([0])
