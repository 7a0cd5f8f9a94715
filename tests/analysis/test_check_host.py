"""``parrot check host:DIR``: whole hosts pass, and a host on which a check fails is told which."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from miniatures import FAMILIES, PROMPTS
from safetensors.torch import save_file

import parrot_adapters as pa
from parrot_adapters.analysis.host_checks import run_host_checks
from parrot_adapters.cli import main
from parrot_adapters.testing import save_small_host

SMALL = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}


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


def answer(capsys, *arguments):
    """Exit code, what ``--json`` prints, what stands on stderr."""
    code = main(["check", *map(str, arguments), "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else None, said.err


def test_hosts_that_can_carry_no_adapter_are_an_answer_whatever_they_are_asked(tmp_path, capsys):
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL)).save_pretrained(tmp_path)
    code, found, _ = answer(capsys, f"host:{tmp_path}")
    assert (code, found["host"], found["seam"], found["ok"]) == (1, "LlamaForCausalLM", None, False)
    assert [(check["name"], check["ok"]) for check in found["checks"]] == [("attaches", False)]
    assert "has no vision" in found["checks"][0]["detail"]
    assert main(["check", f"host:{tmp_path}"]) == 1
    assert "has no vision" in capsys.readouterr().out


def test_damaged_directories_and_adapters_are_told_apart(tmp_path, capsys):
    save_small_host(tmp_path / "host")
    handle = pa.attach(transformers.AutoModelForImageTextToText.from_pretrained(tmp_path / "host"), {"num_experts": 2})
    handle.save_pretrained(tmp_path / "adapter")
    code, found, complaint = answer(capsys, f"host:{tmp_path / 'adapter'}")
    assert (code, found) == (2, None)
    assert "holds an adapter, not a model" in complaint
    code, _, complaint = answer(capsys, f"host:{tmp_path / 'host'}", "--option", "width=8")
    assert code == 2
    assert "not for a host" in complaint
    (tmp_path / "host" / "tokenizer.json").write_text("{", "utf-8")
    code, found, complaint = answer(capsys, f"host:{tmp_path / 'host'}")
    assert (code, found) == (2, None)
    assert "no image processor" in complaint
    assert "because" in complaint
    (tmp_path / "host" / "config.json").write_text("[1]", "utf-8")
    code, found, complaint = answer(capsys, f"host:{tmp_path / 'host'}")
    assert (code, found) == (2, None)
    assert "cannot be loaded" in complaint


def test_what_the_host_itself_cannot_do_is_not_the_adapters_fault():
    host, batch = FAMILIES["llava"].build(), FAMILIES["llava"].batch(PROMPTS)
    [found] = run_host_checks(host, {"pixel_values": batch["pixel_values"]})
    assert "the host itself fails on these inputs, without an adapter: ValueError" in found.error
    with torch.no_grad():
        host.lm_head.weight.mul_(float("nan"))
    [found] = run_host_checks(host, batch)
    assert "no numbers (nan)" in found.error


@pytest.mark.slow
def test_a_host_whose_weights_train_is_compared_with_itself_frozen():
    """Torch multiplies by frozen weights in another way where a projector's input is no plain block of memory."""
    host, batch = FAMILIES["cohere2_vision"].build(), FAMILIES["cohere2_vision"].batch(PROMPTS)
    assert all(parameter.requires_grad for parameter in host.requires_grad_(True).parameters())
    assert [outcome.error for outcome in run_host_checks(host, batch)] == [None] * 5
    assert all(parameter.requires_grad for parameter in host.parameters())
