"""A bank that two processes share by FSDP2 learns what one process learns, is saved, and loaded into shards again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.folders import TESTS
from support.sharded_banks import CASES, made, train
from torch.testing import assert_close

WAIT = float(os.environ.get("PARROT_TEST_WAIT", "300"))  # seconds for two processes; more on a busy machine


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    script = str(TESTS / "support" / "sharded_banks.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, script]
    there = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "store"), str(tmp_path / "found")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        printed = [process.communicate(timeout=WAIT)[0] for process in there]
    finally:
        for process in there:
            process.kill()
    assert [process.returncode for process in there] == [0, 0], "\n".join(printed)
    found = load_file(tmp_path / "found")
    for kind, form, k in CASES:
        bank = made(kind, form)
        losses = torch.stack(train(bank, k, [0, 1]))
        name = f"{kind}|{form}|{k}"
        for key, value in {**bank.state_dict(), "losses": losses}.items():
            assert_close(found[f"{name}|{key}"], value, msg=lambda text, at=f"{name}|{key}": f"{at}: {text}")


def test_one_part_of_the_batch_is_not_the_whole() -> None:
    """A gradient that one of the processes keeps to itself would be seen."""
    banks = [made("swiglu", "dense") for _ in range(2)]
    for bank, parts in zip(banks, ([0, 1], [0]), strict=True):
        train(bank, None, parts)
    with pytest.raises(AssertionError):
        assert_close(*(bank.down for bank in banks))
