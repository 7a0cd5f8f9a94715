"""What can be known to be wrong beforehand is said before a large host is loaded."""

from __future__ import annotations

import pytest

from parrot_adapters.analysis.measure_routing import measure_routing
from parrot_adapters.cli import main
from parrot_adapters.errors import ConfigError
from parrot_adapters.testing import save_small_host

HOST_AND_ADAPTER = ["--model", "host", "--adapter", "adapter"]
ASKED = ["--benchmark", "emoji", "--data", "data", "--protocol", "vlmevalkit-2026", "--out", "run"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A directory with a host, an adapter's and a benchmark's; weights of hosts are not to be read."""
    import transformers

    monkeypatch.chdir(tmp_path)
    save_small_host(tmp_path / "host")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "EMOJI_en.tsv").write_text("index\tquestion\tA\tB\tanswer\n1\tWhich?\tone\tother\tA\n")
    (tmp_path / "prompts.txt").write_text("What is this?\n")

    def loaded(*_, **__):
        pytest.fail("the host was loaded first")

    monkeypatch.setattr(transformers.AutoModelForImageTextToText, "from_pretrained", loaded)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["explain", "missing.png", *HOST_AND_ADAPTER, "--prompt", "What?"], "the picture cannot be read"),
        (["evaluate", *HOST_AND_ADAPTER, *ASKED], "adapter is not an adapter directory"),
        (["evaluate", "--model", "host", *ASKED, "--device", "cuda:77"], "has no device 'cuda:77'"),
        (["evaluate", "--model", "host", *ASKED, "--device", "gpu"], "no device named 'gpu'"),
        (["check", "host:host", "--device", "cudda"], "no device named 'cudda'"),
    ],
    ids=["picture", "adapter", "number of a device", "device", "device of a check"],
)
def test_it_is_said_first(argv, said, capsys):
    assert main(argv) in (1, 2)
    assert said in capsys.readouterr().err


def test_pictures_to_measure_routing_on_come_first_too():
    with pytest.raises(ConfigError, match=r"the picture cannot be read(.|\n)*missing.png"):
        measure_routing("host", "adapter", ["What is this?"], images=["missing.png"])
