"""A finished run stores how its adapter routes each language, so that it can be frozen by language right away."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from miniatures import ADAPTER, FAMILIES
from support.run_world import make_world, stage, write
from support.tiers import late_unless
from support.training_runs import LANGUAGES, ToyCollator, ToyData, toy_config, toy_run

import parrot_adapters as pa
from parrot_adapters.analysis import RoutingObserver
from parrot_adapters.cli import main
from parrot_adapters.training.store_routing_after import samples_to_measure


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stored(out):
    return {language: one.weights for language, one in pa.read_language_routing(out / "adapter").items()}


def watched(adapter, data, host=None):
    """The oracle: what a host with the adapter loaded from disk does with every sample."""
    observer = RoutingObserver()
    host = FAMILIES["llava"].build() if host is None else host
    with pa.load_adapter(host.eval(), adapter) as handle, handle.add_observer(observer):
        for sample in data.samples:
            batch = ToyCollator(FAMILIES["llava"])([sample])
            with torch.no_grad(), handle.languages([sample.language]):
                host(**{k: v for k, v in batch.items() if not k.startswith("parrot_")})
    statistics = observer.statistics()
    return {language: row for language, row in statistics.by_language.items() if language}


def same(found, wanted):
    return found.keys() == wanted.keys() and all(found[x] == pytest.approx(wanted[x], abs=1e-5) for x in wanted)


def test_train_then_freeze_by_language(tmp_path, capsys):
    world = make_world(tmp_path, ["llava"])
    assert main(["train", str(write(world, tmp_path, "one", stage("retrofit")))]) == 0
    adapter = tmp_path / "one" / "adapter"
    assert set(stored(tmp_path / "one")) == {"en", "tr", "ru"}
    for language in ("tr", "ru"):
        frozen = tmp_path / language
        assert main(["freeze-routing", "--language", language, str(adapter), str(frozen)]) == 0
        weights = json.loads((frozen / "adapter_config.json").read_text())["derived"]["weights"]
        assert weights == pytest.approx(stored(tmp_path / "one")[language], abs=1e-6)
    assert main(["freeze-routing", "--language", "de", str(adapter), str(tmp_path / "de")]) == 2
    assert "nothing was measured for 'de'" in capsys.readouterr().err


@pytest.mark.parametrize("language_model", late_unless(["lora"], ["frozen", "lora", "full"]))
def test_it_is_of_the_finished_weights(tmp_path, language_model):
    data = ToyData()
    options = {"recipe": "stage2"} if language_model == "full" else {}
    _, result = toy_run(toy_config(tmp_path, train__language_model=language_model, **options), data=data)
    host = None
    if result.host is not None:
        import transformers

        host = transformers.LlavaForConditionalGeneration.from_pretrained(result.host)
    assert same(stored(tmp_path), watched(result.adapter, data, host))


def test_the_oracle_tells_weights_on_the_way_from_finished_ones(tmp_path):
    """The double: a run that stored what it had logged."""
    data = ToyData()
    toy_run(toy_config(tmp_path / "less", steps=3, optim__learning_rate=5e-2), data=data)
    _, result = toy_run(toy_config(tmp_path / "more", steps=9, optim__learning_rate=5e-2), data=data)
    assert same(stored(tmp_path / "more"), watched(result.adapter, data))
    assert not same(stored(tmp_path / "less"), watched(result.adapter, data))


def test_more_steps_measure_anew(tmp_path):
    data = ToyData()
    toy_run(toy_config(tmp_path), data=data)
    before = stored(tmp_path)
    _, result = toy_run(toy_config(tmp_path, steps=14), data=data)
    assert stored(tmp_path) != before
    assert same(stored(tmp_path), watched(result.adapter, data))


@pytest.mark.parametrize(
    ("changes", "languages"),
    [
        ({}, (None,)),
        ({"adapter": {**ADAPTER, "num_experts": 1}}, LANGUAGES),
        (
            {"adapter": {**ADAPTER, "router": "language-id", "router_options": {"languages": ["en", "tr"]}}},
            ("en", "tr"),
        ),
    ],
    ids=["no languages", "one expert", "a router of languages"],
)
@pytest.mark.few(1)
def test_nothing_to_tell(tmp_path, changes, languages):
    data = ToyData()
    data.samples = [replace(s, language=languages[n % len(languages)]) for n, s in enumerate(data.samples)]
    _, result = toy_run(toy_config(tmp_path, **changes), data=data)
    assert result.finished
    assert not (result.adapter / "routing.json").exists()


@pytest.mark.parametrize("broken", late_unless(["data"], ["data", "collator", "disk"]))
def test_a_finished_run_does_not_fail(tmp_path, monkeypatch, broken):
    """Whatever goes wrong: a warning that says what to do, and the run is done."""
    done = []

    class Data(ToyData):
        def __getitem__(self, index):
            if done and broken == "data":
                raise OSError("gone")
            return super().__getitem__(index)

    class Collating(ToyCollator):
        def __call__(self, samples):
            if done and broken == "collator":
                raise RuntimeError("out of memory")
            return super().__call__(samples)

    save = pa.Attachment.save_pretrained

    def saving(self, directory, **options):
        save(self, directory, **options)
        done.append(True)
        if broken == "disk":
            (directory / "routing.json").mkdir()

    monkeypatch.setattr(pa.Attachment, "save_pretrained", saving)
    with pytest.warns(pa.ParrotWarning, match=r"(?s)the run is done.*parrot measure-routing"):
        _, result = toy_run(toy_config(tmp_path, steps=2), data=Data(), collator=Collating(FAMILIES["llava"]))
    assert result.finished
    assert pa.load_adapter(FAMILIES["llava"].build(), result.adapter).module is not None
    assert json.loads((tmp_path / "finished.json").read_text())["steps"] == 2


def test_few_of_each_language_are_measured():
    data = ToyData(count=90)
    data.samples[5] = replace(data.samples[5], language=None)
    chosen = samples_to_measure(data, each=4)
    order = [index for batch in data.batches(16, 0) for index in batch]
    wanted = [i for tag in ("en", "tr", "ru") for i in [i for i in order if data[i].language == tag][:4]]
    assert sorted(chosen) == sorted(wanted)
    assert samples_to_measure(data, read=7) == [i for i in order[:7] if i != 5]


def test_the_mode_of_every_module_is_as_before():
    from support.training_runs import toy_handle

    from parrot_adapters.analysis.measure_routing import measure_samples

    handle = toy_handle(toy_config(""))
    handle.model.train()
    handle.parts.module(handle.parts.vision_tower).eval()
    before = {name: module.training for name, module in handle.model.named_modules()}
    seen = measure_samples(handle, ToyData().samples[:2], ToyCollator(FAMILIES["llava"]))
    assert seen is not None
    assert seen.decisions == 2
    assert {name: module.training for name, module in handle.model.named_modules()} == before
    assert len(set(before.values())) == 2

    def fail(*_):
        raise KeyError("tiles")

    handle.model.lm_head.register_forward_hook(fail)
    with pytest.raises(pa.ParrotError, match=r"(?s)fails at a sample.*s0\n.*KeyError: 'tiles'"):
        measure_samples(handle, ToyData().samples[:2], ToyCollator(FAMILIES["llava"]))
    assert {name: module.training for name, module in handle.model.named_modules()} == before


def test_routing_is_measured_as_it_is_at_inference():
    """A router with noise in training is measured without it, whatever mode the host is in."""
    from support.training_runs import toy_handle

    from parrot_adapters.analysis.measure_routing import measure_samples

    handle = toy_handle(
        toy_config("", adapter={**ADAPTER, "router": "top-k", "top_k": 2, "router_options": {"noise": 5.0}})
    )
    samples, collator = ToyData().samples[:3], ToyCollator(FAMILIES["llava"])
    handle.model.eval()
    at_inference = measure_samples(handle, samples, collator)
    handle.model.train()
    assert measure_samples(handle, samples, collator).by_language == at_inference.by_language
