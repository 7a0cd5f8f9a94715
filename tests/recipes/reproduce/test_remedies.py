"""Version 2 of the study: what is measured of text, arms made from others, planned comparisons, what follows."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from parrot_recipes.emoji.arms import attach_arm, lora_parameters
from parrot_recipes.emoji.concepts import load_concepts
from parrot_recipes.emoji.console import Display
from parrot_recipes.emoji.errors import RecipeError
from parrot_recipes.emoji.evaluation import Answer
from parrot_recipes.emoji.features import load_features
from parrot_recipes.emoji.host import build_host
from parrot_recipes.emoji.languages import CODES, EVERY_LANGUAGE
from parrot_recipes.emoji.plain_text import PLAIN_QUESTIONS, SENTENCES
from parrot_recipes.emoji.pretrained import PRETRAINED, texts
from parrot_recipes.emoji.text_model import load_text_model
from parrot_recipes.emoji.tokenizer import Vocabulary, load_tokenizer
from parrot_recipes.emoji.workers import Workers
from parrot_recipes.reproduce import cells, remedies
from parrot_recipes.reproduce.arms import BY_KEY, REMEDIES, arm_named, with_sources
from parrot_recipes.reproduce.cells import CellResult
from parrot_recipes.reproduce.command import command
from parrot_recipes.reproduce.conclusion import conclusions
from parrot_recipes.reproduce.decision import WHEN, decision_table
from parrot_recipes.reproduce.drift import Reading, read_once, read_text, text_drift
from parrot_recipes.reproduce.intervals import over_both, over_questions
from parrot_recipes.reproduce.language_vector import VectorExperts
from parrot_recipes.reproduce.presets import MAIN, preset
from parrot_recipes.reproduce.publish import BEGIN, BEGIN_REMEDIES, END, beginning, publish
from parrot_recipes.reproduce.registration_2 import DECIDING, PLANNED, TODAY
from parrot_recipes.reproduce.remedies import recommended
from parrot_recipes.reproduce.results import run
from parrot_recipes.reproduce.study import Study, restricted
from rich.console import Console
from support.tiers import late_unless
from torch.testing import assert_close

import parrot_adapters as pa

ROOT = Path(__file__).resolve().parents[3]
TINY = preset("tiny_remedies")
CONFIG = TINY.setting_of(MAIN, 0, 1e-3)


# --- plain text --------------------------------------------------------------------------------------------------


def test_plain_text_is_parallel_and_in_no_training():
    trained_on = {name for concept in load_concepts() for name in concept.names.values()}
    trained_on |= {language.question for language in EVERY_LANGUAGE}
    for written in (SENTENCES, PLAIN_QUESTIONS):
        assert list(written) == list(CODES)
        assert len({len(one) for one in written.values()}) == 1
        every = [text for one in written.values() for text in one]
        assert len(set(every)) == len(every)
        assert not set(every) & trained_on


def test_pretrained_vocabularies_can_write_it():
    kept = texts(PRETRAINED["gemma3-270m"].chat_template)
    assert all(sentence in kept for written in SENTENCES.values() for sentence in written)
    assert all(
        f"<bos>Question: {question}\nAnswer:" in kept for asked in PLAIN_QUESTIONS.values() for question in asked
    )


# --- drift -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary(load_tokenizer())


@pytest.fixture
def new_host():
    concepts = load_concepts()[:4]
    tower = load_features(concepts, grid=2, views=1, seed=0).tower(2)
    return lambda: build_host(tower, load_text_model())


def drift(trained, untouched, vocabulary):
    return text_drift(read_text(trained, vocabulary), read_text(untouched, vocabulary))


def shaken(host, arm, vocabulary):
    """The arm on the host, every trained weight moved."""
    cells.register()
    handle, groups = attach_arm(host, arm_named(arm).arm, CONFIG, vocabulary)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameters, _ in groups:
            for parameter in parameters:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    host.eval()
    return handle


@pytest.mark.parametrize(
    "arm", late_unless(["single"], ["none", "single", "mixture", "language-id", "language-vector"])
)
@pytest.mark.few(1)
def test_what_acts_on_pictures_alone_leaves_text_alone(new_host, vocabulary, arm):
    host = new_host()
    shaken(host, arm, vocabulary)
    for found in drift(host, new_host(), vocabulary).values():
        assert found["identical"]
        assert found["after"] == found["before"]
        assert found["agreement"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["lora-4", "single-lora-24", "whole"])
def test_what_acts_on_the_language_model_is_caught(new_host, vocabulary, arm):
    host = new_host()
    shaken(host, arm, vocabulary)
    found = drift(host, new_host(), vocabulary)
    assert list(found) == list(CODES)
    assert not any(one["identical"] for one in found.values())
    assert all(one["after"] != one["before"] for one in found.values())
    assert min(one["agreement"] for one in found.values()) < 1


@pytest.mark.slow
def test_learning_to_end_a_text_is_no_gain_on_the_text(new_host, vocabulary):
    """A model that does nothing but end texts more readily reads sentences worse, whatever the end itself gains."""
    host = new_host()
    host.lm_head = torch.nn.Linear(host.lm_head.in_features, host.lm_head.out_features).requires_grad_(False)
    with torch.no_grad():
        host.lm_head.weight.copy_(host.get_input_embeddings().weight)
        host.lm_head.bias.zero_()[vocabulary.eos] = 8.0
    for found in drift(host, new_host(), vocabulary).values():
        assert found["after"] > found["before"]
        assert found["after_with_end"] / found["before_with_end"] < found["after"] / found["before"]


@pytest.mark.slow
def test_a_reading_is_kept_as_it_is(new_host, vocabulary, tmp_path):
    times = []

    def read():
        times.append(1)
        return read_text(new_host(), vocabulary)

    first = read_once(tmp_path / "text.json", read)
    assert read_once(tmp_path / "text.json", read) == first == read()
    assert len(times) == 2  # ours, and the first
    alone = first.losses["en"] != first.losses_with_end["en"]
    assert alone, "the end of a text is no token of its sentence"


def test_answers_agree_where_every_token_does():
    def reading(replies):
        each = dict.fromkeys(CODES, 1.0)
        return Reading(each, each, dict.fromkeys(CODES, "bits"), dict.fromkeys(CODES, replies))

    found = text_drift(reading([[1, 2], [3], [4, 5]]), reading([[1, 9], [3], [4]]))
    assert {one["agreement"] for one in found.values()} == {1 / 3}


def test_a_lead_over_todays_form_counts_where_it_is_decided():
    described = json.loads((ROOT / "recipes" / "reproduce" / "results" / "remedies.json").read_text("utf-8"))
    found = described["regimes"][described["main"]]["remedies"]
    best = recommended(found["arms"], found["planned"])["form"]
    assert best not in (TODAY, None)
    [lead] = [pair for pair in found["planned"] if (pair["ours"], pair["theirs"]) == (best, TODAY)]
    assert lead["decided"]
    lead["decided"] = False
    assert recommended(found["arms"], found["planned"])["form"] == TODAY


# --- arms --------------------------------------------------------------------------------------------------------


def test_a_vector_is_added_as_the_weights_say():
    bank, tokens, offsets = VectorExperts(3, 1, 2), torch.randn(5, 3), torch.tensor([0, 2, 2, 5])
    weights = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]])
    assert not bank(tokens, offsets, pa.Routing(weights, weights)).any()  # attaching changes nothing
    with torch.no_grad():
        bank.vectors.copy_(torch.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]))
    added = bank(tokens, offsets, pa.Routing(weights, weights))
    last = torch.tensor([7.75, 15.5, 23.25])
    assert_close(added, torch.stack([bank.vectors[0], bank.vectors[0], last, last, last]))
    chosen = torch.eye(2)[[0, 1, 1, 0, 0]]
    by_token = pa.Routing(chosen, chosen, per_token=True)
    assert_close(bank(tokens, offsets, by_token), bank.vectors[[0, 1, 1, 0, 0]])


@pytest.mark.parametrize(("key", "expected"), [("lora-4", 73_728 // 6), ("lora-24", 73_728), ("language-vector", 768)])
def test_an_arm_trains_what_it_says(new_host, vocabulary, key, expected):
    cells.register()
    host = new_host()
    _, groups = attach_arm(host, arm_named(key).arm, CONFIG, vocabulary)
    (own, _), (projector, factor) = groups
    assert sum(parameter.numel() for parameter in own) == expected
    assert factor == 1
    trainable = {id(p) for p in host.parameters() if p.requires_grad}
    assert trainable == {id(p) for p in (*own, *projector)}


@pytest.mark.parametrize(
    "key", late_unless(["deep-taught"], ["deep-1", "deep-declared", "deep-taught", "deep-routed", "deep-text"])
)
def test_experts_in_the_layers_are_as_many_parameters_as_lora_and_learn_at_its_rate(new_host, vocabulary, key):
    sizes = {}
    for name in ("lora-24", key):
        host = new_host()
        handle, groups = attach_arm(host, arm_named(name).arm, CONFIG, vocabulary)
        sizes[name] = sum(parameter.numel() for parameter in groups[0][0])
        assert groups[0][1] == 1.0
        if name == key:
            sizes[name] -= sum(parameter.numel() for parameter in handle.module.router.parameters())
    assert sizes[key] == sizes["lora-24"]


def test_arms_made_from_others_come_after_them():
    assert with_sources(["lora-24-at-50", "none", "lora-24"]) == ("lora-24", "lora-24-at-50", "none")
    assert restricted(TINY, None, None, ["lora-24-at-25"]).regimes[MAIN][0] == ("none", "lora-24", "lora-24-at-25")
    with pytest.raises(RecipeError, match="no arm named 'lora'"):
        restricted(TINY, None, None, ["lora"])
    for remedy in REMEDIES:
        source = remedy.arm.weights_of
        assert source is None or arm_named(source).arm.kept


def logits(host, vocabulary):
    ids = torch.tensor([vocabulary.prompt("tr", 4)])
    pictures = torch.randn(1, 4, 1280, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return host(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pictures).logits


@pytest.mark.slow
def test_merging_back_scales_what_lora_changed(new_host, vocabulary, tmp_path):
    trained = new_host()
    shaken(trained, "lora-24", vocabulary)
    cells._keep_weights(trained, tmp_path / "weights.safetensors")

    def merged(strength):
        host, arm = new_host(), replace(arm_named("lora-24-at-50").arm, lora_strength=strength)
        handle, _ = attach_arm(host, arm, CONFIG, vocabulary)
        cells._take_weights(host, tmp_path / "weights.safetensors", arm)
        return host.eval(), handle

    whole, half, nothing = merged(1.0)[0], merged(0.5)[0], merged(0.0)[0]
    assert torch.equal(logits(whole, vocabulary), logits(trained, vocabulary))
    assert not torch.equal(logits(half, vocabulary), logits(trained, vocabulary))
    for name, weight in lora_parameters(half).items():
        assert torch.equal(weight, lora_parameters(trained)[name] * (0.5 if ".lora_B." in name else 1)), name
    assert all(found["identical"] for found in drift(nothing, new_host(), vocabulary).values())
    assert not torch.equal(logits(nothing, vocabulary), logits(new_host(), vocabulary))  # the projector is kept
    with pytest.raises(RecipeError, match=r"(?s)made from the weights of 'lora-24'.*run that arm first"):
        cells._take_weights(half, tmp_path / "elsewhere.safetensors", arm_named("lora-24-at-50").arm)


# --- order -------------------------------------------------------------------------------------------------------


def test_deciding_arms_come_first_with_every_seed():
    config = preset("pretrained_cpu")
    (_, first, seeds), (_, rest, more) = config.rounds
    assert first == DECIDING
    assert seeds == more == (0, 1, 2, 3, 4)
    assert set(first) | set(rest) == set(config.regimes[config.main][0])
    assert {key for pair in PLANNED for key in pair[:2]} <= set(first) | set(rest)
    assert len(preset("study").rounds) == len(preset("study").regimes)


class Made(Study):
    """A study whose cells are made up."""

    def setting(self, cell):
        return None


def test_a_study_that_was_stopped_reports_whole_rounds(tmp_path, monkeypatch):
    order = []

    def fake(setting, cell, path, progress):
        order.append((cell.config.seed, cell.key))
        cells.write_cell(path, content(cell.key, 0.5, cell.config.seed))

    monkeypatch.setattr(cells, "run_cell", fake)
    config = replace(TINY, regimes={MAIN: (TINY.regimes[MAIN][0], (0, 1))})
    made = Made(config, tmp_path, Display(Console(file=io.StringIO())), Workers())
    rates, _ = made.choose_rates()
    for regime, keys, seeds in config.rounds[:1]:
        for seed in seeds:
            made.run(made.cells(regime, seed, [arm_named(key) for key in keys], rates))
    assert made.finished(rates) == [(MAIN, ("none", "single", "lora-24"), (0, 1))]
    late = [arm_named(key) for key in config.rounds[1][1]]
    made.run(made.cells(MAIN, 0, late, rates))
    assert made.finished(rates)[1] == (MAIN, ("lora-24-at-50", "language-vector", "whole"), (0,))
    # The arm made from another waits until all that train are done.
    assert order[-3:] == [(0, "language-vector"), (0, "whole"), (0, "lora-24-at-50")]


# --- rules -------------------------------------------------------------------------------------------------------


def content(key, accuracy, seed, drift=0.0):
    """A cell's file with answers that are right as often as asked for."""
    rng = np.random.default_rng([seed, len(key), sum(map(ord, key))])
    answers = [
        Answer(concept, split, code, (0.0,) * 4, 0, bool(rng.random() < accuracy), "x", False, True, False)
        for concept in range(60)
        for split in (("seen", "held-out")[concept % 5 == 0],)
        for code in CODES
    ]
    ended = {"before_with_end": 60.0, "after_with_end": 30.0}  # which decides nothing
    text = {
        "before": 50.0,
        "after": 50.0 * (1 + drift),
        **ended,
        "agreement": 1.0 - 10 * abs(drift),
        "identical": drift == 0,
    }
    return {
        "parameters": 1000,
        "trained": 2000,
        "rate": 1e-3,
        "text": dict.fromkeys(CODES, text),
        "data": "" if key == "stage-1" else f"data-{seed}",
        "host": f"host-{seed}",
        "losses": [2.0, 1.0],
        "looked": {
            "mean": dict.fromkeys(("cosine", "cka", "adapter_cosine", "adapter_cka", "retrieval"), 0.5),
            "routing": None,
        },
        "seconds": {"training": 1.0, "rest": 1.0},
        "answers": [list(answer.to_dict().values()) for answer in answers],
    }


@pytest.fixture
def seen(tmp_path):
    """``seen(seeds, none=(accuracy, drift), ...)``: results by seed."""

    def make(seeds, **arms):
        found = []
        for seed in range(seeds):
            row = []
            for key, (accuracy, drift) in arms.items():
                name = key.replace("_", "-")
                path = tmp_path / f"{seed}-{name}.json"
                cells.write_cell(path, content(name, accuracy, seed, drift))
                row.append(cells.read_file(name, path))
            found.append(row)
        return found

    return make


def test_what_costs_and_what_does_not(seen):
    found = remedies.remedies(
        seen(3, none=(0.4, 0), single=(0.6, 0), lora_24=(0.9, 0.02), lora_4=(0.8, 0.009), lora_11=(0.8, -0.3))
    )
    arms = found["arms"]
    assert {key: arm["costs"] for key, arm in arms.items()} == {
        "none": False, "single": False, "lora-24": True, "lora-4": False, "lora-11": False,
    }  # fmt: skip
    assert [key for key, arm in arms.items() if arm["leaves_text_alone"]] == ["none", "single"]
    assert arms["lora-11"]["drift"]["tr"] == pytest.approx(-0.3)
    assert all(arms[key]["repairs"] for key in ("single", "lora-24", "lora-4", "lora-11"))


def test_one_language_is_enough_to_cost(seen):
    results = seen(3, none=(0.4, 0), single=(0.6, 0))
    for row in results:
        row[1].text["ar"] = {"before": 50.0, "after": 51.0, "agreement": 1.0, "identical": False}
    judged = remedies.remedies(results)["arms"]["single"]
    assert judged["costs"]
    assert not judged["leaves_text_alone"]
    assert judged["drift"]["en"] == 0


def test_pairs_that_were_not_run_count(seen):
    """Twelve pairs are planned: a p of 1/10001 alone becomes twelve times that."""
    few = remedies.remedies(seen(3, none=(0.3, 0), single=(0.9, 0)))["planned"]
    assert [(pair["ours"], pair["theirs"]) for pair in few] == [("single", "none")]
    assert few[0]["p"] == pytest.approx(0.0001, abs=5e-5)
    assert few[0]["p_holm"] == pytest.approx(len(PLANNED) * few[0]["p"], abs=1e-4)
    assert few[0]["decided"]


def test_pairs_are_compared_on_the_runs_they_share(seen):
    results = seen(3, none=(0.3, 0), single=(0.9, 0), lora_24=(0.9, 0.1))
    results[2] = results[2][:2]
    by_pair = {(pair["ours"], pair["theirs"]): pair for pair in remedies.remedies(results)["planned"]}
    assert by_pair["single", "none"]["runs"] == 3
    assert by_pair["lora-24", "single"]["runs"] == by_pair["lora-24", "none"]["runs"] == 2
    assert not by_pair["lora-24", "none"]["decided"]  # two runs decide nothing


@pytest.mark.parametrize(
    ("seeds", "both", "p", "decided"),
    [
        ((0.1, 0.1, 0.1), (0.05, 0.2), 0.01, True),
        ((-0.1, -0.1, -0.1), (-0.2, -0.05), 0.01, True),
        ((0.1, 0.1), (0.05, 0.2), 0.01, False),
        ((0.1, 0.1, -0.01), (0.05, 0.2), 0.01, False),
        ((0.1, 0.1, 0.1), (-0.01, 0.2), 0.01, False),
        ((0.1, 0.1, 0.1), (0.05, 0.2), 0.06, False),
    ],
)
def test_what_decides_a_pair(seeds, both, p, decided):
    assert remedies._decided(seeds, both, p) == decided


def test_the_recommendation_follows_the_rule(seen):
    def of(runs=3, **arms):
        return remedies.remedies(seen(runs, none=(0.3, 0), **arms))["defaults"]

    assert of(single=(0.6, 0), lora_24=(0.9, 0.1)) == {
        "form": TODAY, "beside": ["lora-24"],
        "because": "it gains most of those that repair, do not cost, and have a planned comparison with today's form",
        "not_asked": [],
    }  # fmt: skip
    assert of(single=(0.5, 0), lora_24=(0.9, 0))["form"] == "lora-24"
    assert of(single=(0.6, 0), lora_24=(0.61, 0))["form"] == TODAY  # not told apart
    assert of(single=(0.3, 0), lora_24=(0.9, 0.1))["form"] is None
    assert of(runs=2, single=(0.6, 0))["form"] is None
    beside_others = of(single=(0.5, 0), deep_declared=(0.8, 0), deep_both=(0.9, 0))
    assert (beside_others["form"], beside_others["not_asked"]) == ("deep-declared", ["deep-both"])


def test_runs_hold_what_they_promise(seen):
    (row,) = seen(1, single=(0.5, 0.02))
    found = run(row[0])
    assert list(found["choice"]) == [*CODES, "others"]
    assert found["choice"]["others"] == pytest.approx(np.mean([found["choice"][code] for code in CODES[1:]]), abs=1e-4)
    assert found["fidelity"]["others"] == 1
    hits = found["hits"]["choice"]["seen"]["tr"]
    assert hits == "".join(str(int(value)) for value in row[0].tables["choice", "seen"][:, CODES.index("tr")])
    assert found["choice"]["tr"] == round(hits.count("1") / len(hits), 4)
    assert found["text_drift"] == dict.fromkeys(CODES, pytest.approx(0.02))
    assert found["text_drift_with_end"]["tr"] == pytest.approx(-0.5)
    assert found["text_identical"] is False
    assert (found["parameters"], found["trained"], found["rate"], found["seconds"]) == (1000, 2000, 1e-3, 2.0)
    assert isinstance(row[0], CellResult)


def test_runs_that_differ_widen_the_interval():
    rng = np.random.default_rng(0)
    same = np.tile(rng.normal(0.1, 0.2, 80), (3, 1))
    apart = same + np.array([[-0.1], [0.0], [0.1]])
    fixed, wide = over_questions(apart), over_both(apart)
    assert over_both(same).low == pytest.approx(over_questions(same).low, abs=0.01)
    assert wide.low < fixed.low - 0.03
    assert wide.high > fixed.high + 0.03
    assert over_both(same[:1]).low == -np.inf


# --- publishing --------------------------------------------------------------------------------------------------


def test_publishing_leaves_the_first_study_alone(tmp_path):
    out, home = tmp_path / "out", tmp_path / "home"
    out.mkdir()
    (home / "results").mkdir(parents=True)
    (home / "results" / "results.json").write_text("first")
    (home / "README.md").write_text(f"{BEGIN}\nold\n{END}\n{BEGIN_REMEDIES}\n{END}\nend\n")
    (out / "results.json").write_text(json.dumps({"rules": 2}))
    (out / "table.md").write_text("new")
    publish(out, home)
    assert (home / "results" / "results.json").read_text() == "first"
    assert json.loads((home / "results" / "remedies.json").read_text()) == {"rules": 2}
    assert (home / "README.md").read_text() == f"{BEGIN}\nold\n{END}\n{BEGIN_REMEDIES}\n\nnew\n{END}\nend\n"


def test_a_study_with_a_name_stands_beside_the_one_before(tmp_path):
    out, home = tmp_path / "out", tmp_path / "home"
    out.mkdir()
    (home / "results").mkdir(parents=True)
    (home / "results" / "remedies.json").write_text("before")
    (out / "results.json").write_text(json.dumps({"rules": 2}))
    (out / "table.md").write_text("new")
    (out / "gains-x.png").write_bytes(b"drawn")
    readme = home / "README.md"
    readme.write_text(f"{BEGIN_REMEDIES}\nbefore\n{END}\n")
    with pytest.raises(RecipeError, match="no place for tables"):
        publish(out, home, "again")
    readme.write_text(f"{BEGIN_REMEDIES}\nbefore\n{END}\n{beginning('again')}\n{END}\n")
    publish(out, home, "again")
    assert readme.read_text() == f"{BEGIN_REMEDIES}\nbefore\n{END}\n{beginning('again')}\n\nnew\n{END}\n"
    kept = {path.name: path.read_bytes() for path in (home / "results").iterdir()}
    assert kept == {
        "remedies.json": b"before",
        "remedies-again.json": json.dumps({"rules": 2}).encode(),
        "gains-x-again.png": b"drawn",
    }


def test_a_name_without_a_place_is_refused(capsys):
    with pytest.raises(SystemExit):
        command(["--preset", "tiny_cpu", "--as", "again"])
    assert "give both, or neither" in " ".join(capsys.readouterr().err.split())


def test_the_page_of_remedies_says_what_the_results_say(tmp_path):
    described = json.loads((ROOT / "recipes" / "reproduce" / "results" / "remedies.json").read_text("utf-8"))
    found = described["regimes"][described["main"]]
    page = (ROOT / "docs" / "which-remedy.md").read_text("utf-8")
    assert decision_table(found) in page
    home, out = tmp_path / "recipes" / "reproduce", tmp_path / "out"
    for directory in (home, out, tmp_path / "docs"):
        directory.mkdir(parents=True)
    (home / "README.md").write_text(f"{BEGIN_REMEDIES}\n{END}\n")
    (tmp_path / "docs" / "which-remedy.md").write_text(f"before\n{BEGIN_REMEDIES}\n\nold\n{END}\nafter\n")
    (out / "table.md").write_text("new")
    found["remedies"]["arms"]["single"]["title"] = "another title"
    (out / "results.json").write_text(json.dumps(described))
    publish(out, home)
    written = (tmp_path / "docs" / "which-remedy.md").read_text("utf-8")
    assert written == f"before\n{BEGIN_REMEDIES}\n\n{decision_table(found)}\n{END}\nafter\n"
    assert "another title" in written


def test_the_report_names_what_gains_more_and_was_not_asked():
    described = json.loads((ROOT / "recipes" / "reproduce" / "results" / "remedies.json").read_text("utf-8"))
    assert "today's form: in the layers and at the projector." in " ".join(conclusions(described))
    described["regimes"][described["main"]]["remedies"]["defaults"]["not_asked"] = []
    assert "was not planned" not in " ".join(conclusions(described))


def test_every_remedy_of_the_table_is_an_arm():
    assert set(WHEN) <= set(BY_KEY)


@pytest.mark.slow
def test_the_tiny_study_of_remedies_from_end_to_end(tmp_path, capsys):
    argv = ["--preset", "tiny_remedies", "--arms", "language-vector,lora-24-at-50", "--seeds", "1"]
    assert command([*argv, "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "results.json").read_text("utf-8"))
    by_arm = {one["arm"]: one for one in found["runs"]}
    assert set(by_arm) == {"stage-1", "none", "lora-24", "language-vector", "lora-24-at-50"}
    assert by_arm["language-vector"]["text_identical"]
    assert not by_arm["lora-24"]["text_identical"]
    drift = [max(map(abs, by_arm[key]["text_drift"].values())) for key in ("lora-24", "lora-24-at-50")]
    assert drift[1] < drift[0]
    assert "REPAIRING" in found["registration_2"]
    assert (tmp_path / f"frontier-{MAIN}.png").exists()
    assert "Recommended form by the registered rule: none" in " ".join(capsys.readouterr().out.split())
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").rglob("*.json")}
    assert command([*argv, "--out", str(tmp_path)]) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").rglob("*.json")} == made
