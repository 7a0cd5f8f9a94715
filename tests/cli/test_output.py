"""What commands put where: one JSON document alone on standard output, nothing after a reader has gone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from support.tiers import late_unless

from parrot_adapters.cli import main
from parrot_adapters.testing import save_small_host


@pytest.mark.parametrize(
    "argv",
    [["env"], ["plugins"], ["plugins", "--installed"], ["check", "router:text-guided", "--examples", "1"]],
    ids=" ".join,
)
def test_json_is_one_document_alone(argv, capsys):
    assert main([*argv, "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)


@pytest.mark.slow
def test_a_broken_component_as_json(capsys):
    assert main(["check", "router:text-guided", "--examples", "1", "--option", "normalize=rsm", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"]
    assert any("normalize='rsm' is unknown" in (check["detail"] or "") for check in found["checks"])


def test_a_host_as_json(tmp_path, capsys):
    save_small_host(tmp_path / "host")
    assert main(["check", f"host:{tmp_path / 'host'}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"host", "seam", "checks", "ok"}
    assert (found["host"], found["seam"], found["ok"]) == ("LlavaForConditionalGeneration", "native", True)
    assert [set(check) for check in found["checks"]] == [{"name", "ok", "detail"}] * 5
    assert all(check["ok"] is True for check in found["checks"])


def test_env_names_what_a_bug_report_needs(capsys):
    import torch

    assert main(["env"]) == 0
    shown = capsys.readouterr().out
    for text in (
        torch.__version__,
        "transformers",
        "accelerator",
        "plugins.parrot-router-sinkhorn",
        sys.version.split()[0],
    ):
        assert text in shown


@pytest.mark.parametrize("both", [False, True], ids=["stdout", "stdout and stderr"])
@pytest.mark.parametrize(
    "words", late_unless([["--help"]], [["--help"], ["help", "train"], ["plugins"], ["env"]]), ids=" ".join
)
def test_a_reader_that_has_gone_is_met_with_silence(words, both):
    reading, writing = os.pipe()
    run = subprocess.Popen(
        [sys.executable, "-m", "parrot_adapters", *words], stdout=writing, stderr=writing if both else subprocess.PIPE
    )
    os.close(reading)
    os.close(writing)
    said = run.communicate(timeout=120)[1]
    assert run.returncode == 141
    assert not {b"Traceback", b"Error", b"Exception"} & set(re.findall(rb"[A-Z][a-z]+", said or b""))
