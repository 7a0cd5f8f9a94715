"""Within generate the routing of each visual token travels as columns of its features: nothing is lost on the way."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close
from transformers.modeling_outputs import BaseModelOutputWithPooling

from parrot_adapters.hosts import aligned_outputs
from parrot_adapters.hosts.aligned_outputs import AlreadyAligned, aligned_copy, with_columns, without_columns

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
D = 5


def features(form: str, dtype: torch.dtype) -> torch.Tensor | list[torch.Tensor] | tuple[torch.Tensor, ...]:
    if form == "tensor":
        return torch.randn(3, 4, D).to(dtype)
    sizes = [2, 0, 7, 3]
    return (tuple if form == "tuple" else list)(torch.randn(size, D).to(dtype) for size in sizes)


def check_round_trip(form: str, dtype: torch.dtype) -> None:
    given = features(form, dtype)
    weights = torch.rand(12, 3)
    output = BaseModelOutputWithPooling(pooler_output=given)
    aligned = aligned_copy(output, "pooler_output", given, weights)
    packed = with_columns(aligned, "pooler_output")
    rebuilt = type(packed)(**packed)  # as transformers does
    assert isinstance(rebuilt, AlreadyAligned)
    assert rebuilt.token_weights is None
    back = without_columns(rebuilt, "pooler_output", D)
    assert torch.equal(back.token_weights, weights)
    assert type(back.pooler_output) is type(given)
    for mine, theirs in zip(back.pooler_output, given, strict=True):
        assert torch.equal(mine, theirs)
    assert output.pooler_output is given


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("form", ["tensor", "list", "tuple"])
def test_round_trip(form: str, dtype: torch.dtype) -> None:
    check_round_trip(form, dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_rounding_is_caught(dtype: torch.dtype, monkeypatch) -> None:
    monkeypatch.setattr(aligned_outputs, "_bits_of", lambda weights, kind: weights.to(kind))
    monkeypatch.setattr(aligned_outputs, "_weights_in", lambda columns: columns.float())
    with pytest.raises(AssertionError):
        check_round_trip("list", dtype)


def test_outputs_without_weights_stay_as_they_are() -> None:
    given = features("list", torch.float32)
    aligned = aligned_copy(BaseModelOutputWithPooling(pooler_output=given), "pooler_output", given, None)
    assert with_columns(aligned, "pooler_output") is aligned
    assert without_columns(aligned, "pooler_output", D) is aligned


def test_rows_taken_out_keep_their_weights() -> None:
    """Chunked prefill takes rows, beams repeat them."""
    given, weights = features("list", torch.bfloat16), torch.rand(12, 3)
    aligned = aligned_copy(BaseModelOutputWithPooling(pooler_output=given), "pooler_output", given, weights)
    packed = with_columns(aligned, "pooler_output")
    rows = torch.tensor([11, 0, 3, 3])
    packed.pooler_output = [torch.cat(packed.pooler_output)[rows]]
    assert_close(without_columns(packed, "pooler_output", D).token_weights, weights[rows], rtol=0, atol=0)
