"""``parrot evaluate`` as people run it: processes of their own, killed, gone on with, two at once, all options."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support import benchmark_files

from parrot_adapters.testing import save_small_host

pytestmark = pytest.mark.slow
QUESTIONS = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_host(tmp_path_factory.mktemp("host") / "llava")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return benchmark_files.save_benchmark(
        tmp_path_factory.mktemp("data"), questions=QUESTIONS, languages=("en", "ar", "tr")
    )


def save_adapter(model: Path, directory: Path, seed: int) -> Path:
    import parrot_adapters as pa
    from parrot_adapters.hosts.load_host import load_host

    host, processor = load_host(str(model), device="cpu")
    handle = pa.attach(host, {"num_experts": 2, "expert_hidden_size": 16}, processor=processor)
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)) * 0.3)
    handle.save_pretrained(directory)
    return directory


def start(model: Path, data: Path, out: Path, *options: str, **variables: str) -> subprocess.Popen:
    given = [
        "--model", str(model), "--benchmark", "mmmb", "--data", str(data), "--protocol", "vlmevalkit-2025",
        "--languages", "ar,en", "--max-new-tokens", "6", "--device", "cpu", "--out", str(out), *options,
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | variables
    return subprocess.Popen(
        [sys.executable, "-m", "parrot_adapters", "evaluate", *given],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen) -> str:
    told, faults = process.communicate(timeout=240)
    assert process.returncode == 0, faults
    return told


def answers(out: Path) -> dict:
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text("utf-8").splitlines()]
    return {(line["lang"], line["index"]): line["prediction"] for line in lines}


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_and_gone_on_with_in_other_batches(model: Path, data: Path, tmp_path: Path) -> None:
    store = tmp_path / "killed" / "answers.jsonl"
    first = start(model, data, store.parent, "--batch-size", "2")
    until = time.monotonic() + 120
    while first.poll() is None and time.monotonic() < until:
        if store.exists() and store.read_bytes().count(b"\n") >= 3:
            first.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    first.communicate()
    kept = store.read_bytes().count(b"\n")
    assert not (store.parent / "results.json").exists()
    assert 3 <= kept < 2 * QUESTIONS, "it was killed on the way"
    told = finished(start(model, data, store.parent, "--batch-size", "5"))
    assert f"{2 * QUESTIONS - kept} of {2 * QUESTIONS} answers are new" in told
    finished(start(model, data, tmp_path / "whole"))
    assert answers(store.parent) == answers(tmp_path / "whole")


def test_two_processes_say_what_one_says(model: Path, data: Path, tmp_path: Path) -> None:
    both = [
        start(model, data, tmp_path / "two", RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank)) for rank in (0, 1)
    ]
    for process in both:
        finished(process)
    shares = [path.read_bytes().count(b"\n") for path in sorted((tmp_path / "two").glob("answers*.jsonl"))]
    assert sum(shares) == 2 * QUESTIONS
    assert min(shares) > 0
    finished(start(model, data, tmp_path / "one"))
    assert answers(tmp_path / "two") == answers(tmp_path / "one")


def test_every_option_and_an_adapter_trained_on_in_place(model: Path, data: Path, tmp_path: Path) -> None:
    adapter = save_adapter(model, tmp_path / "adapter", seed=1)
    options = (
        "--adapter", str(adapter), "--languages", "en,tr", "--limit", "5", "--prompt-style", "parrot",
        "--scoring", "loglik", "--option-score", "text-per-token", "--matcher", "robust", "--dtype", "bfloat16",
        "--think", "strip", "--processor", "image_mean=[0.4,0.4,0.4]", "--batch-size", "3",
    )  # fmt: skip
    out = tmp_path / "out"
    assert "10 of 10 answers are new" in finished(start(model, data, out, *options))
    content = json.loads((out / "results.json").read_text("utf-8"))
    expected = {
        "protocol": "vlmevalkit-2025", "matcher": "robust", "prompt_style": "parrot", "limit": 5, "think": "strip",
        "option_score": "text-per-token", "generation": {"scoring": "loglik"}, "processor": {"image_mean": [0.4] * 3},
    }  # fmt: skip
    assert {key: content[key] for key in expected} == expected
    assert (content["host"]["dtype"], sorted(content["subsets"])) == ("bfloat16", ["MMMB_en", "MMMB_tr"])
    assert {len(subset["hits"]) for subset in content["subsets"].values()} == {5}
    assert content["calibration"].keys() == content["reliability"].keys() == content["subsets"].keys()
    assert (out / "report.html").stat().st_size > 10_000
    assert "0 of 10 answers are new" in finished(start(model, data, out, *options))
    save_adapter(model, adapter, seed=2)
    assert "10 of 10 answers are new" in finished(start(model, data, out, *options)), "other weights, same directory"
    assert json.loads((out / "results.json").read_text("utf-8"))["adapter"]["digest"] != content["adapter"]["digest"]
