"""``parrot check host:DIR``: whole hosts pass, and a host on which a check fails is told which."""

from __future__ import annotations

import pytest
import torch
from miniatures import FAMILIES, PROMPTS
from safetensors.torch import save_file

from parrot_adapters.analysis.host_checks import run_host_checks
from parrot_adapters.cli import main
from parrot_adapters.testing import save_small_host


def broken(host, family="llava"):
    return [outcome.name for outcome in run_host_checks(host, FAMILIES[family].batch(PROMPTS)) if outcome.error]


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_sound_hosts_pass_every_check_and_are_left_as_they_were(family):
    host, batch = FAMILIES[family].build(), FAMILIES[family].batch(PROMPTS)
    names, state = list(host.state_dict()), [p.clone() for p in host.parameters()]
    found = list(run_host_checks(host, batch))
    assert [outcome.error for outcome in found] == [None] * 5
    assert list(host.state_dict()) == names
    assert all(map(torch.equal, state, host.parameters()))


def test_a_host_deaf_to_its_images():
    host = FAMILIES["llava"].build()
    forward = host.model.language_model.forward

    def deaf(*args, inputs_embeds, **kwargs):
        return forward(*args, inputs_embeds=torch.ones_like(inputs_embeds), **kwargs)

    host.model.language_model.forward = deaf
    assert broken(host) == ["self-test", "round trip"]


def test_a_host_that_never_answers_twice_alike():
    host = FAMILIES["llava"].build()
    head = host.lm_head.forward
    host.lm_head.forward = lambda hidden: head(hidden) + torch.rand(1)
    assert set(broken(host)) >= {"unchanged", "round trip", "detached"}


def test_a_model_without_vision_cannot_carry_an_adapter():
    found = list(
        run_host_checks(FAMILIES["llava"].build().model.language_model, {"input_ids": torch.ones(1, 3).long()})
    )
    assert [outcome.name for outcome in found] == ["attaches"]
    assert "no vision" in found[0].error


def test_the_command(tmp_path, capsys):
    host, inputs = FAMILIES["llava"].build(), tmp_path / "inputs.safetensors"
    host.save_pretrained(tmp_path / "host")
    save_file(FAMILIES["llava"].batch(PROMPTS), inputs)
    assert main(["check", f"host:{tmp_path / 'host'}", "--inputs", str(inputs)]) == 0
    assert capsys.readouterr().out.count("passed") == 5
    assert main(["check", f"host:{tmp_path / 'host'}"]) == 2
    assert "--inputs FILE.safetensors" in capsys.readouterr().err
    assert main(["check", f"host:{tmp_path / 'host'}", "--inputs", str(tmp_path / "none")]) == 2
    save_file({k: v for k, v in FAMILIES["llava"].batch(PROMPTS).items() if k != "pixel_values"}, inputs)
    assert main(["check", f"host:{tmp_path / 'host'}", "--inputs", str(inputs)]) == 1  # placeholders without pixels


def test_a_family_is_no_model(capsys):
    assert main(["check", "host:no-such-directory"]) == 2
    assert "a declaration alone cannot be tried" in capsys.readouterr().err


def test_inputs_made_by_the_processor(tmp_path, capsys):
    pytest.importorskip("PIL")

    save_small_host(tmp_path / "host")
    assert main(["check", f"host:{tmp_path / 'host'}"]) == 0
    assert "pixel_values" in capsys.readouterr().out
