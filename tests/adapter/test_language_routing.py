"""The mean routing of each language, kept with an adapter for as long as its weights stay what they are."""

from __future__ import annotations

import json

import pytest
import torch
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.analysis import RoutingObserver
from parrot_adapters.cli import main
from parrot_adapters.core import RoutingStatistics
from parrot_adapters.errors import CheckpointError, ConfigError
from parrot_adapters.testing import save_small_host


def record(weights, languages):
    rows = torch.arange(len(weights))
    return pa.RoutingRecord(weights, weights.log(), rows, torch.arange(len(weights) + 1), "item", languages=languages)


def statistics(experts=3, languages=("tr", "tr", "ru", None)):
    logits = torch.randn(len(languages), experts, generator=torch.Generator().manual_seed(len(languages)))
    return RoutingStatistics.of([record(logits.softmax(-1), languages)])


def watched(host, inputs, directory, languages):
    observer = RoutingObserver()
    with pa.load_adapter(host, directory) as handle, handle.add_observer(observer), handle.languages(languages):
        host(**inputs)
    return observer.statistics()


def test_what_was_watched_is_what_the_plain_command_freezes(host, inputs, save_adapter, tmp_path, capsys):
    source = save_adapter(num_experts=3)
    seen = watched(host, inputs, source, ["tr", "ru"])
    pa.write_language_routing(source, seen)
    assert main(["freeze-routing", "--language", "tr-TR", str(source), str(tmp_path / "out")]) == 0
    frozen = json.loads((tmp_path / "out" / "adapter_config.json").read_text())["derived"]["weights"]
    assert frozen == pytest.approx(seen.by_language["tr"], abs=1e-6)
    assert main(["freeze-routing", "--language", "de", str(source), str(tmp_path / "other")]) == 2
    said = capsys.readouterr().err
    assert "nothing was measured for 'de'" in said
    assert "ru, tr" in said


def test_nothing_else_about_the_adapter_changes(host, inputs, save_adapter):
    source = save_adapter(num_experts=3)
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    pa.write_language_routing(source, statistics())
    after = {path.name: path.read_bytes() for path in source.iterdir()}
    assert after.keys() - before.keys() == {"routing.json"}
    assert all(after[name] == value for name, value in before.items())
    with pa.load_adapter(host, source):
        pass


def test_languages_add_up_and_unknown_ones_are_not_kept(save_adapter):
    source = save_adapter(num_experts=3)
    assert pa.read_language_routing(source) == {}
    first = pa.write_language_routing(source, statistics())
    assert {language: one.decisions for language, one in first.items()} == {"ru": 1, "tr": 2}
    pa.write_language_routing(source, statistics(languages=("ar", "tr", "tr")))
    stored = pa.read_language_routing(source)
    assert {language: one.decisions for language, one in stored.items()} == {"ar": 1, "ru": 1, "tr": 2}
    assert stored["ru"] == first["ru"]
    assert stored["tr"] != first["tr"]
    assert sum(stored["tr"].weights) == pytest.approx(1)


def test_routing_of_other_weights_does_not_count(host, inputs, save_adapter, tmp_path, capsys):
    source = save_adapter(num_experts=3)
    pa.write_language_routing(source, statistics())
    with pa.load_adapter(host, source) as handle:
        with torch.no_grad():
            handle.module.router.gate.add_(1.0)
        handle.save_pretrained(source)  # trained on, saved in place: the file is still there
    assert (source / "routing.json").is_file()
    assert pa.read_language_routing(source) == {}
    assert main(["freeze-routing", "--language", "tr", str(source), str(tmp_path / "out")]) == 2
    assert "nothing was measured" in capsys.readouterr().err
    pa.write_language_routing(source, statistics(languages=("ar", "ar")))
    assert list(pa.read_language_routing(source)) == ["ar"]


def test_derived_adapters_start_anew(save_adapter, tmp_path):
    from parrot_adapters.adapter.grow_experts import grow_adapter

    source = save_adapter(num_experts=3)
    pa.write_language_routing(source, statistics())
    grow_adapter(source, tmp_path / "grown", 1)
    assert pa.read_language_routing(tmp_path / "grown") == {}


def test_a_router_that_knows_its_languages_is_asked_itself(save_adapter, tmp_path):
    source = save_adapter(router="language-id", router_options={"languages": ["en", "tr"]}, num_experts=3)
    pa.write_language_routing(source, statistics())
    assert pa.freeze_routing(source, tmp_path / "out", language="tr").weights == (0.0, 1.0, 0.0)


def test_refusals(save_adapter, tmp_path):
    source = save_adapter(num_experts=3)
    with pytest.raises(ConfigError, match="no language is known"):
        pa.write_language_routing(source, statistics(languages=(None, None)))
    with pytest.raises(ConfigError, match="4 experts is not that of an adapter of 3"):
        pa.write_language_routing(source, statistics(experts=4))
    with pytest.raises(CheckpointError, match="not an adapter directory"):
        pa.write_language_routing(tmp_path, statistics())
    pa.write_language_routing(source, statistics())
    whole = json.loads((source / "routing.json").read_text())
    for damage in ("{", "[]", json.dumps({**whole, "languages": {"tr": {"weights": [1.0], "decisions": 1}}})):
        (source / "routing.json").write_text(damage)
        with pytest.raises(CheckpointError, match=r"routing\.json"):
            pa.read_language_routing(source)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--data DIR, or --prompts FILE"),
        (["--data", "x", "--prompts", "y"], "--data DIR, or --prompts FILE"),
        (["--prompts", "y"], "--language TAG, one"),
        (["--prompts", "none.txt", "--language", "tr"], "cannot read the prompts"),
        (["--data", "x", "--limit", "0"], "--limit"),
    ],
)
def test_measuring_refuses(save_adapter, capsys, arguments, message):
    assert main(["measure-routing", str(save_adapter(num_experts=2)), "--model", "m", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_measured_on_a_benchmark_or_on_prompts(tmp_path, capsys):
    pytest.importorskip("PIL")
    from support import benchmark_files

    from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost

    save_small_host(tmp_path / "host")
    benchmark_files.save_benchmark(tmp_path, questions=2, languages=("en", "ar"))
    loaded = EvaluationHost.load(str(tmp_path / "host"), device="cpu")
    with pa.attach(loaded.model, {"num_experts": 3, "expert_hidden_size": 8}, processor=loaded.processor) as handle:
        with torch.no_grad():
            handle.module.router.gate.normal_(generator=torch.Generator().manual_seed(0))
        handle.save_pretrained(tmp_path / "adapter")
    argv = ["measure-routing", str(tmp_path / "adapter"), "--model", str(tmp_path / "host")]
    assert main([*argv, "--benchmark", "mmmb", "--data", str(tmp_path)]) == 0
    assert "over 2\n" in capsys.readouterr().out
    (tmp_path / "tr.txt").write_text("ne var\n\nhangi renk\n")
    assert main([*argv, "--prompts", str(tmp_path / "tr.txt"), "--language", "tr"]) == 0
    stored = pa.read_language_routing(tmp_path / "adapter")
    assert {language: one.decisions for language, one in stored.items()} == {"ar": 2, "en": 2, "tr": 2}
    assert not torch.allclose(torch.tensor(stored["en"].weights), torch.tensor(stored["tr"].weights))
    frozen = pa.freeze_routing(tmp_path / "adapter", tmp_path / "out", language="ar")
    assert_close(torch.tensor(frozen.weights), torch.tensor(stored["ar"].weights))
