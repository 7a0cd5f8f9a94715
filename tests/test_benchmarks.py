"""The benchmarks run, and the page that is written from their results says which are of other code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"

RESULT = {
    "theme": "bench-experts",
    "settings": {"covers": ["parrot_adapters/core/"]},
    "repeats": 5,
    "threads": 1,
    "device": "cpu",
    "device_name": "a processor",
    "commit": "",
    "date": "2026-01-01",
    "versions": {"torch": "2.13.0", "peft": "-"},
    "rows": [
        {"what": "dense", "against": "plain loop", "ratio": 1.234, "limit": 1.0, "spread": [1.1, 1.3]}
        | {"settings": "D=8", "at_least": False, "holds": False}
    ],
}


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "table", raising=False)
    import table

    return table


def test_the_page_says_what_was_missed_and_what_is_old(table, monkeypatch):
    page = table.page(f"before\n{table.START}\nold\n{table.END}\nafter", [RESULT])
    assert "| dense | plain loop | 1.23 | 1.10..1.30 | <= 1 | **missed** |" in page
    assert "a processor, 1 thread(s), 5 rounds; torch 2.13.0; commit `unknown`" in page
    assert "**Old" in page  # nobody knows of what code it is
    assert page.startswith("before")
    assert page.endswith("after")
    monkeypatch.setattr(table, "changed_since", lambda commit, paths: False)
    again = table.page(page, [RESULT])
    assert "**Old" not in again
    assert again.count("### experts, cpu") == 1


def test_every_result_is_a_themes_and_says_what_code_it_is_of(table):
    from harness import themes

    stored = [json.loads(path.read_text()) for path in (BENCHMARKS / "results").glob("*.json")]
    assert stored
    assert {result["theme"].removeprefix("bench-") for result in stored} <= set(themes())
    assert all((ROOT / path).exists() for result in stored for path in result["settings"]["covers"])
    with pytest.raises(KeyError, match="covers"):
        table.section({**RESULT, "settings": {}})


def test_a_result_of_other_code_is_known(table):
    from harness import changed_since

    assert changed_since("", ("parrot_adapters/",))
    assert changed_since("abc1234+", ("parrot_adapters/",))
    assert changed_since("0000000", ("parrot_adapters/",))


def test_a_gpu_that_is_not_there_is_said(table, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "bench", raising=False)
    import bench

    monkeypatch.setattr(bench.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        bench.main(["--device", "cuda", "decode"])
    assert ended.value.code == 2
    assert "finds no CUDA device here" in capsys.readouterr().err


@pytest.fixture
def weak_scaling(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "weak_scaling", raising=False)
    import weak_scaling

    return weak_scaling


def test_what_gpus_send_each_other_by_hand(weak_scaling):
    host = weak_scaling.Host(width=10, layers=2, of_layer=1000, outside=500)
    machine = weak_scaling.Machine(compute=1.0, inside=2.0, between=1.0, latency=0.0, per_machine=2)
    whole, sharded = weak_scaling.Job(1, full=False, sharded=False), weak_scaling.Job(1, full=True, sharded=True)
    assert weak_scaling.sending(host, whole, machine, 1) == 0
    # 300 gradients in float32, there and back: half of them each way on two GPUs, three quarters on four.
    assert weak_scaling.sending(host, whole, machine, 2) == 2 * 1200 / 2 / 2.0
    assert weak_scaling.sending(host, whole, machine, 4) == 2 * 1200 * 3 / 4
    # In bfloat16 both layers twice, the rest and the bank once, and the gradients of all, one way.
    sent = 2 * (2 * 2000 + 500 + 300) + 2 * (2000 + 500 + 300)
    assert weak_scaling.sending(host, sharded, machine, 4) == sent * 3 / 4
    tokens, visual = weak_scaling.TOKENS, weak_scaling.VISUAL
    assert weak_scaling.arithmetic(host, whole, machine) == 2 * (3 * 2000 * tokens + 4 * 300 * visual)


def test_more_gpus_never_do_more_each(weak_scaling):
    machine = weak_scaling.Machine(400e12, 300e9, 50e9, 5e-6, 8)
    for host in weak_scaling.HOSTS.values():
        for job in weak_scaling.JOBS.values():
            found = [weak_scaling.shares(host, job, machine, gpus) for gpus in weak_scaling.COUNTS]
            assert found[0] == (1.0, 1.0)
            assert all(best >= worst for best, worst in found)
            assert found == sorted(found, reverse=True)


@pytest.mark.slow
def test_hosts_have_their_published_sizes_and_the_table_is_the_plans(weak_scaling):
    import clusters
    import torch
    from transformers import AutoModelForImageTextToText
    from transformers.initialization import no_init_weights

    for name, (make, billions) in clusters.HOSTS.items():
        with torch.device("meta"), no_init_weights():
            model = AutoModelForImageTextToText.from_config(make())
        total = sum(p.numel() for p in model.parameters())
        assert round(total / 1e9, 2) == billions
        for short, host in weak_scaling.HOSTS.items():
            if name == f"Qwen2.5-VL-{short.split()[0]}":
                layers = model.model.language_model.layers
                size = sum(p.numel() for p in layers[0].parameters())
                assert host == (layers[0].hidden_size, len(layers), size, total - len(layers) * size)
    page = clusters.PAGE.read_text()
    for engine, sizes in clusters.totals("LLaVA-1.5-7B", "experts in the layers").items():
        assert clusters.row("LLaVA-1.5-7B", "experts in the layers", engine, sizes) in page


@pytest.mark.slow
@pytest.mark.parametrize("theme", sorted(path.stem for path in (BENCHMARKS / "rows").glob("*.py")))
def test_every_theme_runs(theme, tmp_path):
    command = [sys.executable, str(BENCHMARKS / "bench.py"), theme, "--tiny", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / f"bench-{theme}-cpu.json").read_text())
    assert result["settings"]["covers"]
    assert all((ROOT / path).exists() for path in result["settings"]["covers"])
    ratios = [row["ratio"] for row in result["rows"]]
    assert any(ratio > 0 for ratio in ratios)
    assert all(ratio > 0 or (theme == "waits" and ratio == 0) for ratio in ratios)  # a call of text waits for nothing
