"""The ``parrot`` command: quick, torch-free until needed, with exit statuses to rely on."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.tiers import late_unless
from torch import nn

from parrot_adapters import Routing, hookimpl, plugins
from parrot_adapters.cli import BUILT_IN, _targets, main
from parrot_adapters.cli.commands import help_line

HEAVY = {"torch", "transformers", "hypothesis"}
LIGHT = [
    ["--help"],
    ["--version"],
    [],
    ["help", "data", "check"],
    ["emoji", "export", "--help"],
    *([name, "--help"] for name in (*BUILT_IN, "train", "quickstart", "compare-routers")),
]


@pytest.mark.parametrize("argv", late_unless([*LIGHT[:6], ["train", "--help"]], LIGHT), ids=" ".join)
def test_help_never_waits_for_torch(argv):
    probe = (
        f"import sys, time; from parrot_adapters.cli import main\ntry: status = main({argv!r})\n"
        "except SystemExit as done: status = done.code\n"
        f"heavy = {HEAVY | ({'pluggy'} if argv in LIGHT[:3] else set())} & set(sys.modules); assert not heavy, heavy\n"
        "assert time.process_time() < 3, 'measured 0.1 to 0.2 s'\n"
        "sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in BUILT_IN)


@pytest.mark.parametrize("name", _targets())
def test_every_command_has_a_help_line(name):
    line = help_line(_targets()[name])
    assert len(line) > 20
    assert "`" not in line


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_command_that_takes_a_model_takes_a_device(name):
    parameters = {parameter.name for parameter in _targets()[name].load().params}
    assert ("device" in parameters) == bool(parameters & {"model", "component"})


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_command_exists(name, capsys):
    with pytest.raises(SystemExit) as done:
        main([name, "--help"])
    assert done.value.code == 0
    assert f"parrot {name}" in capsys.readouterr().out


def test_unknown_command_suggests(capsys):
    assert main(["plugin"]) == 2
    assert capsys.readouterr().err.startswith("parrot: no command 'plugin'. Did you mean 'plugins'?")


@pytest.mark.parametrize("words", [["train"], ["data", "check"], ["plugins"]])
def test_help_as_a_word_is_help_as_an_option(words, capsys):
    shown = []
    for argv in (["help", *words], [*words, "--help"], [*words, "-h"]):
        with pytest.raises(SystemExit) as done:
            main(argv)
        assert done.value.code == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] == shown[2]
    assert shown[0].startswith(f"Usage: parrot {' '.join(words)} ")


def test_help_of_nothing_and_of_what_is_not_there(capsys):
    assert main(["help"]) == 0
    assert "Commands:" in capsys.readouterr().out
    assert main(["help", "trian"]) == 2
    assert "no command 'trian'. Did you mean 'train'?" in capsys.readouterr().err


def test_a_misspelt_option_suggests(capsys):
    with pytest.raises(SystemExit):
        main(["plugins", "--instaled"])
    assert "--installed" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["check"], ["check", "router:x", "--examples", "0"], ["plugins", "--nonsense"]])
def test_bad_usage_is_2(argv, capsys):
    with pytest.raises(SystemExit) as done:
        main(argv)
    assert done.value.code == 2


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ("text-guided", "must look like router:NAME, expert:NAME or layer-expert:NAME"),
        ("rooter:text-guided", "Did you mean 'router'?"),
        ("router:text-guide", "Did you mean 'text-guided'?"),
    ],
)
def test_check_refuses_what_it_cannot_find(component, message, capsys):
    assert main(["check", component]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("component", ["router:text-guided", "expert:swiglu"])
def test_check_passes_the_built_ins(component, capsys):
    assert main(["check", component, "--examples", "2"]) == 0
    shown = capsys.readouterr().out
    assert "alone_equals_batch" in shown
    assert "FAILED" not in shown


class Sums(nn.Module):
    """Weights that do not sum to one."""

    def __init__(self, width, num_experts):
        super().__init__()
        self.gate = nn.Parameter(nn.init.normal_(nn.Linear(width, num_experts).weight.detach()))

    def forward(self, inputs):
        logits = inputs.summary.float() @ self.gate.T
        return Routing(logits.sigmoid(), logits)


def test_check_fails_with_the_smallest_batch(capsys):
    class Plugin:
        @hookimpl
        def register_routers(self, register):
            register("sums", Sums)

    name = plugins.register(Plugin(), name="broken-for-test")
    try:
        assert main(["check", "router:sums", "--examples", "3"]) == 1
    finally:
        plugins.manager.unregister(name)
    shown = capsys.readouterr().out
    assert "FAILED" in shown
    assert "weights_sum_to_one: required: Weights are finite" in shown
    assert "smallest batch found: items of [1] tokens, rows [0], text_mask 1," in shown


@pytest.mark.slow
def test_options_reach_the_factory(capsys):
    assert main(["check", "router:text-guided", "--examples", "1", "--option", "normalize=none"]) == 0
    assert main(["check", "router:text-guided", "--examples", "1", "--option", "normalize=rsm"]) == 1
    assert "normalize='rsm' is unknown. Did you mean 'rms'?" in capsys.readouterr().out
