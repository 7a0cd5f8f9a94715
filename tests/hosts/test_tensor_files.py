"""Files of tensors: what the library safetensors would write, and what it would read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from parrot_adapters.digests import file_checksum, file_digest
from parrot_adapters.hosts import tensor_files
from parrot_adapters.hosts.tensor_files import TensorSource, read_tensor_file, write_tensor_file

DTYPES = (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn),
    *(torch.bool, torch.uint8, torch.int16, torch.int32, torch.int64),
)
shapes = st.lists(st.integers(0, 5), max_size=3).map(tuple)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6).filter("__metadata__".__ne__)


@st.composite
def tensors(draw: st.DrawFn) -> dict[str, Tensor]:
    made = {}
    for name in draw(st.lists(names, max_size=5, unique=True)):
        shape, dtype = draw(shapes), draw(st.sampled_from(DTYPES))
        made[name] = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))).to(dtype)
    return made


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=tensors(), piece=st.integers(8, 64))
def test_the_file_is_the_librarys_and_reads_back(given: dict[str, Tensor], piece: int, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tensor_files, "PIECE", piece)
        checksum = write_tensor_file(tmp_path / "ours", given)
        save_file(given, tmp_path / "theirs", metadata={"format": "pt"})
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
        found = read_tensor_file(tmp_path / "ours")
        earlier = read_tensor_file(tmp_path / "ours", "0" * 64)
    assert checksum == found.checksum == file_checksum(tmp_path / "ours")
    assert earlier.checksum == file_digest(tmp_path / "ours") == file_checksum(tmp_path / "ours", "0" * 64)
    assert found.tensors.keys() == given.keys()
    for name, value in found.tensors.items():
        assert value.dtype == given[name].dtype
        assert torch.equal(value.view(-1).view(torch.uint8), given[name].view(-1).view(torch.uint8))
        assert value.shape == given[name].shape
    assert not found.not_finite


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("at", [0, 999, 5000])
def test_one_number_that_is_none_is_found(tmp_path: Path, monkeypatch, dtype: torch.dtype, bad: str, at: int) -> None:
    monkeypatch.setattr(tensor_files, "PIECE", 4096)
    largest = torch.full((5001,), torch.finfo(dtype).max, dtype=dtype)
    spoilt = largest.clone()
    spoilt[at] = float(bad)
    write_tensor_file(tmp_path / "a", {"sound": largest, "spoilt": spoilt, "whole": torch.arange(3)})
    assert read_tensor_file(tmp_path / "a").not_finite == ("spoilt",)


def test_odd_tensors_are_written_in_full(tmp_path: Path) -> None:
    """Shared memory, strides, gradients, parameters."""
    base = torch.nn.Parameter(torch.arange(24.0).view(4, 6))
    odd = {"whole": base, "turned": base.t(), "every second": base[:, ::2], "one": base[0, 0], "none": base[:0]}
    write_tensor_file(tmp_path / "a", odd)
    found = load_file(tmp_path / "a")
    assert all(torch.equal(found[name], value) for name, value in odd.items())


def test_a_tensor_is_made_while_it_is_written(tmp_path: Path) -> None:
    whole = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    write_tensor_file(tmp_path / "a", {"x": TensorSource(whole.dtype, (6, 5), lambda: iter(whole))})
    assert torch.equal(load_file(tmp_path / "a")["x"], whole)
    with pytest.raises(ValueError, match="x has 140 bytes, 120 were made"):
        write_tensor_file(tmp_path / "a", {"x": TensorSource(whole.dtype, (7, 5), lambda: iter(whole))})


def test_what_was_read_is_independent_of_the_file(tmp_path: Path) -> None:
    """Whoever writes a mapped file in place changes the tensors, or ends the process that reads them."""
    write_tensor_file(tmp_path / "a", {"x": torch.ones(100_000)})
    value = read_tensor_file(tmp_path / "a").tensors["x"]
    with (tmp_path / "a").open("r+b") as file:
        file.write(b"\xff" * 1000)
        os.truncate(file.fileno(), 1000)
    assert bool((value == 1).all())
    trained = torch.nn.Parameter(value)
    trained.sum().backward()
    torch.optim.SGD([trained], lr=1.0).step()
    assert bool((trained == 0).all())


def test_a_file_that_becomes_shorter_is_an_error(tmp_path: Path, monkeypatch) -> None:
    write_tensor_file(tmp_path / "a", {"x": torch.ones(100), "y": torch.ones(100)})
    whole = torch.empty

    def cut(*size: object, **kind: object) -> Tensor:
        os.truncate(tmp_path / "a", 300)
        return whole(*size, **kind)

    monkeypatch.setattr(torch, "empty", cut)
    with pytest.raises(OSError, match="became shorter"):
        read_tensor_file(tmp_path / "a")
