"""The fingerprint of a host of any size: which values are sampled, today as in format 1."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import parrot_adapters as pa
from parrot_adapters.hosts import fingerprint as fingerprint_module
from parrot_adapters.hosts.fingerprint import SAMPLED_ROWS, SAMPLED_VALUES
from parrot_adapters.hosts.sampled_places import sampled_places

COUNTS = (SAMPLED_ROWS, SAMPLED_VALUES)
EXACT = 2**24  # float32 holds every whole number up to here


def float32_places(size: int, count: int) -> torch.Tensor:
    """What format 1 was first written with."""
    return torch.linspace(0, size - 1, min(count, size)).long()


def rounded_twice(size: int, count: int) -> torch.Tensor:
    """The formula without the fused multiply-add: a mistake that a careless port would make."""
    count = min(count, size)
    last, number = torch.tensor(size - 1, dtype=torch.float32), torch.arange(count)
    step = last / (count - 1)
    return torch.where(number < count // 2, step * number, last - step * (count - 1 - number)).long()


def check_as_before(places, size: int, count: int) -> None:
    assert torch.equal(places(size, count), float32_places(size, count)), (size, count)


def check_within(places, size: int, count: int) -> None:
    """Real places, ascending, first and last among them, no gap wider than twice the even one."""
    found = places(size, count)
    assert found.dtype == torch.int64
    assert len(found) == min(size, count)
    assert found[0] == 0
    assert found.max() < size
    if len(found) > 1:
        assert found.diff().min() > 0
        assert found.diff().max() <= 2 * (size - 1) / (len(found) - 1)
        assert size - 1 - found[-1] <= size // EXACT, "the last one, as closely as float32 can name it"


@pytest.mark.parametrize("count", COUNTS)
def test_as_before_for_every_small_size(count):
    for size in range(3000):
        check_as_before(sampled_places, size, count)


@given(size=st.integers(1, EXACT), count=st.sampled_from(COUNTS))
@example(size=EXACT, count=SAMPLED_ROWS)
@example(size=EXACT, count=SAMPLED_VALUES)
@settings(max_examples=1000, deadline=None)
def test_as_before_wherever_float32_is_exact(size, count):
    check_as_before(sampled_places, size, count)


@given(size=st.integers(EXACT + 1, 2**36), count=st.sampled_from(COUNTS))
@settings(max_examples=500, deadline=None)
def test_as_before_beyond_it_wherever_it_worked(size, count):
    if float32_places(size, count).max() < size:
        check_as_before(sampled_places, size, count)


@given(size=st.integers(1, 2**40), count=st.sampled_from(COUNTS))
@example(size=32064 * 4096, count=SAMPLED_VALUES)  # the embedding of LLaVA-1.5-7B
@example(size=EXACT + 4, count=SAMPLED_VALUES)
@settings(max_examples=500, deadline=None)
def test_places_exist(size, count):
    check_within(sampled_places, size, count)


def test_the_check_of_places_bites_on_float32():
    with pytest.raises(AssertionError):
        check_within(float32_places, 32064 * 4096, SAMPLED_VALUES)


@pytest.mark.parametrize("size", [EXACT - 1, 4_958_209])
def test_the_check_of_the_past_bites_on_other_rounding(size):
    wrong = [count for count in COUNTS if not torch.equal(rounded_twice(size, count), float32_places(size, count))]
    assert wrong, "a size that tells the two apart"
    with pytest.raises(AssertionError):
        check_as_before(rounded_twice, size, wrong[0])


@pytest.fixture
def large_host(make_host):
    """The tiny LLaVA with one parameter of more than 2^24 numbers, 64 MiB in bfloat16."""
    host = make_host(dtype=torch.bfloat16)
    wide = torch.nn.Linear(2**13, 2**12 + 1, bias=False, dtype=torch.bfloat16)
    host.model.language_model.register_parameter("large", wide.weight)
    return host


def test_a_host_of_real_size_is_saved_and_loaded(large_host, small, tmp_path):
    pa.attach(large_host, small).save_pretrained(tmp_path / "adapter")
    pa.attachment_of(large_host).detach()
    pa.load_adapter(large_host, tmp_path / "adapter", strict=True)


def test_that_bites_with_float32_places(large_host, small, tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint_module, "sampled_places", float32_places)
    with pytest.raises(IndexError):
        pa.attach(large_host, small).save_pretrained(tmp_path / "adapter")
