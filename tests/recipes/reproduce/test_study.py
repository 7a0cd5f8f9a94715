"""The study is what it says: same data, choices without test art, resuming, a report that stands alone."""

from __future__ import annotations

import copy
import io
import json
import random
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from parrot_recipes.emoji.arms import Setting
from parrot_recipes.emoji.art import drawn_concepts
from parrot_recipes.emoji.concepts import select_concepts
from parrot_recipes.emoji.console import Display
from parrot_recipes.emoji.errors import RecipeError
from parrot_recipes.emoji.evaluation import Answer
from parrot_recipes.emoji.features import load_features
from parrot_recipes.emoji.languages import CODES, OTHERS
from parrot_recipes.emoji.tokenizer import Vocabulary, load_tokenizer
from parrot_recipes.emoji.training import TrainingSet
from parrot_recipes.emoji.workers import Workers
from parrot_recipes.reproduce import candidates, cells, report, results, search
from parrot_recipes.reproduce.arms import ARMS, BY_KEY, GROUPS, REMEDIES, arm_named
from parrot_recipes.reproduce.cells import Cell, CellResult, FingerprintedSet, same_data
from parrot_recipes.reproduce.command import command
from parrot_recipes.reproduce.conclusion import conclusions
from parrot_recipes.reproduce.presets import AMOUNTS, MAIN, PRESETS, preset
from parrot_recipes.reproduce.publish import BEGIN, END, publish
from parrot_recipes.reproduce.study import Study, beyond_the_edge, restricted
from parrot_recipes.reproduce.validation import validation_features
from rich.console import Console

import parrot_adapters as pa
from parrot_adapters.cli import main

TINY = preset("tiny_cpu")


# --- the arms ----------------------------------------------------------------------------------------------------


def size_of(arm):
    layer = pa.build_layer(pa.AdapterConfig(**arm.adapter), 128)
    return sum(parameter.numel() for parameter in layer.parameters())


def test_all_adapters_are_of_equal_size():
    cells.register()
    sizes = {arm.key: size_of(arm.arm) for arm in ARMS if arm.arm.adapter is not None}
    assert len(sizes) == len(ARMS) - 1
    assert max(sizes.values()) / min(sizes.values()) < 1.005


def test_candidates_say_when_they_are_larger():
    cells.register()
    for candidate in candidates.CANDIDATES:
        same_size = abs(size_of(candidate.arm) / size_of(arm_named("single").arm) - 1) < 0.01
        assert same_size == candidate.equal, candidate.key


def parameters_in_layers(adapter):
    """On Gemma 3 270M: 18 decoder layers of width 640, by input and output width of their linear layers."""
    widths = {"q_proj": (640, 1024), "o_proj": (1024, 640), "down_proj": (2048, 640)}
    widths |= dict.fromkeys(("k_proj", "v_proj"), (640, 256)) | dict.fromkeys(("gate_proj", "up_proj"), (640, 2048))
    layers = len(adapter.get("layers", range(18)))
    rank = adapter["layer_rank"] * adapter["num_experts"] + adapter.get("expert_options", {}).get("shared_rank", 0)
    gate = 640 if adapter.get("layer_expert") == "gated" else 0
    return layers * rank * sum(sum(widths[name]) + gate for name in adapter.get("layer_modules", candidates.ATTENTION))


def test_candidates_in_the_layers_say_when_they_are_larger():
    size = parameters_in_layers(arm_named("deep-1").arm.adapter)
    assert size == 2_211_840
    for candidate in (candidate for candidate in candidates.IN_LAYERS if candidate.arm.adapter is not None):
        assert (abs(parameters_in_layers(candidate.arm.adapter) / size - 1) < 0.05) == candidate.equal, candidate.key


def test_every_group_is_tuned_by_one_of_its_arms():
    assert {arm.group for arm in (*ARMS, *REMEDIES)} == set(GROUPS)
    for group, key in GROUPS.items():
        assert arm_named(key).group == group


def test_a_sharp_router_is_the_papers_scaled():
    torch.manual_seed(0)
    plain = pa.build_layer(pa.AdapterConfig(router="text-guided", expert_hidden_size=4), 8).router.gate
    cells.register()
    options = {"router": "text-guided-sharp", "router_options": {"sharpness": 8.0}, "expert_hidden_size": 4}
    assert torch.equal(pa.build_layer(pa.AdapterConfig(**options), 8).router.gate, 8 * plain)


# --- the same data for every arm ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def setting():
    config = TINY.base
    concepts = drawn_concepts(select_concepts(config.categories, config.max_words, config.limit))
    features = load_features(concepts, grid=config.grid, views=config.views, seed=0)
    return Setting(config, concepts, features, [], Path("unused"))


def drawn(setting, *, multilingual=0.5, kind=FingerprintedSet, disturb=False):
    torch.manual_seed(0)
    data = kind(setting.concepts, setting.features, Vocabulary(load_tokenizer()), multilingual)
    rng = random.Random("x")
    for step in range(3):
        if disturb and step == 1:
            torch.rand(1)  # an arm whose router draws from the global random state
        data.draw(rng, 4)
    return data.fingerprint


def result(key, data="d", host="h", answers=()):
    return CellResult(key, tuple(answers), 0, 0, None, data, host, (), {}, {}, {})


def test_the_fingerprint_covers_samples_and_pictures(setting):
    assert drawn(setting) == drawn(setting)
    assert drawn(setting, multilingual=0.9) != drawn(setting)
    assert drawn(setting, disturb=True) != drawn(setting)


def test_fingerprinting_changes_nothing(setting):
    batches = []
    for kind in (TrainingSet, FingerprintedSet):
        torch.manual_seed(0)
        data = kind(setting.concepts, setting.features, Vocabulary(load_tokenizer()), 0.5)
        batches.append(data.draw(random.Random(1), 4))
    (asked, pictures), (asked_too, pictures_too) = batches
    assert asked == asked_too
    assert torch.equal(pictures, pictures_too)


def test_an_arm_trained_on_other_data_is_caught(setting):
    honest, cheat = result("none", drawn(setting)), result("single", drawn(setting, multilingual=0.9))
    assert same_data([result("stage-1", ""), honest, replace(honest, key="dense")]) == honest.data
    with pytest.raises(RecipeError, match=r"(?s)not the same data.*none.*single"):
        same_data([honest, cheat])


def test_an_arm_on_another_host_is_caught():
    with pytest.raises(RecipeError, match="not the same host"):
        same_data([result("none"), result("single", host="other")])


# --- choices never see test art ----------------------------------------------------------------------------------


def test_validation_views_are_of_the_training_art_and_new(setting):
    chosen_on = validation_features(setting.concepts, setting.features, TINY.base.grid)
    assert torch.equal(chosen_on.train, setting.features.train)
    new = chosen_on.test.float()
    assert new.shape == setting.features.test.shape
    for view in range(setting.features.train.shape[1]):
        assert (new - setting.features.train[:, view].float()).abs().mean((1, 2)).min() > 0.01
    near = torch.nn.functional.cosine_similarity
    to_training = near(new.mean(1), setting.features.train.float().mean((1, 2)))
    to_test = near(new.mean(1), setting.features.test.float().mean(1))
    assert to_training.mean() > to_test.mean()


@pytest.mark.parametrize(
    ("scores", "wanted"),
    [
        ({1e-3: 0.4, 2e-3: 0.5}, [4e-3]),
        ({1e-3: 0.5, 2e-3: 0.4}, [5e-4]),
        ({1e-3: 0.4, 2e-3: 0.5, 4e-3: 0.45}, []),
        ({1e-3: 0.1, 2e-3: 0.2, 4e-3: 0.3, 8e-3: 0.4, 16e-3: 0.5}, []),  # it ends
    ],
)
def test_a_best_rate_at_the_edge_moves_the_edge(scores, wanted):
    assert beyond_the_edge(scores) == wanted


# --- cells, resuming ---------------------------------------------------------------------------------------------


class Stub(Study):
    """A study whose cells are made up, so that only its bookkeeping runs."""

    def setting(self, cell):
        return None


@pytest.fixture
def ran(monkeypatch):
    """Which cells were run, in order; ``ran.stop_at`` kills the study there."""

    class Ran(list):
        stop_at = None

    log = Ran()

    def fake(setting, cell, path, progress):
        if len(log) == log.stop_at:
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / "half.part").write_text("{")
            raise KeyboardInterrupt
        log.append(cell)
        score = {5e-4: 0.2, 1e-3: 0.5, 2e-3: 0.6, 4e-3: 0.4}.get(cell.config.stage2.learning_rate, 0.1)
        cells.write_cell(path, {**made_up(cell.key, score, seed=0), "cell": cell.described()})

    monkeypatch.setattr(cells, "run_cell", fake)
    return log


def made_up(key, accuracy, seed, looked=None):
    """A cell's file with answers that are right as often as asked for."""
    rng = np.random.default_rng([seed, len(key)])
    answers = [
        asdict(Answer(concept, split, code, (0.0,) * 4, 0, bool(rng.random() < accuracy), "x", False, True, False))
        for concept in range(60)
        for split in (("seen", "held-out")[concept % 5 == 0],)
        for code in CODES
    ]
    return {
        "parameters": 0 if key in ("none", "stage-1") else 202_752,
        "trained": 0 if key == "stage-1" else 400_000,
        "rate": None if key == "stage-1" else 1e-3,
        "text": {},
        "data": "" if key == "stage-1" else f"data-{seed}",
        "host": f"host-{seed}",
        "losses": [] if key == "stage-1" else [2.0, 1.0],
        "looked": looked or {"mean": dict.fromkeys(LOOKED, 0.5), "routing": None},
        "seconds": {"training": 1.0, "rest": 1.0},
        "answers": [list(answer.values()) for answer in answers],
    }


LOOKED = ("cosine", "cka", "adapter_cosine", "adapter_cka", "retrieval")


def stub(out, **options):
    return Stub(preset("study"), out, Display(Console(file=io.StringIO())), Workers(), **options)


def test_a_killed_study_goes_on_where_it_was(tmp_path, ran):
    wanted = stub(tmp_path).cells(MAIN, 1, ARMS, dict.fromkeys(GROUPS, 1e-3))
    ran.stop_at = 4
    with pytest.raises(KeyboardInterrupt):
        stub(tmp_path).run(wanted)
    first, ran.stop_at = list(ran), None
    found = stub(tmp_path).run(wanted)
    assert [cell.key for cell in ran] == [cell.key for cell in wanted]  # none twice
    assert ran[:4] == first
    assert [r.key for r in found] == ["stage-1", *(arm.key for arm in ARMS)]
    assert stub(tmp_path).run(wanted) == found
    assert len(ran) == len(wanted)


def test_what_is_finished_can_be_read_without_training(tmp_path, ran):
    rates = dict.fromkeys(GROUPS, 1e-3)
    working = stub(tmp_path)
    few = [arm_named(key) for key in ("none", "dense", "single")]
    with pytest.raises(RecipeError, match="far enough"):
        working.finished(rates)
    working.run(working.cells(MAIN, 0, few, rates))
    working.run(working.cells(MAIN, 1, few, rates))
    working.run(working.cells(MAIN, 2, few[:2], rates))  # killed before its third arm
    assert working.finished(rates) == [(MAIN, ("none", "dense", "single"), (0, 1))]
    reader = stub(tmp_path, trains=False)
    assert len(reader.run(reader.cells(MAIN, 1, few, rates))) == 4
    count = len(ran)
    with pytest.raises(RecipeError, match=r"not run yet: single \(test\)"):
        reader.run(reader.cells(MAIN, 2, few, rates))
    assert len(ran) == count


def test_another_setting_is_another_cell(tmp_path):
    config = preset("study").setting_of(MAIN, 0, 1e-3)
    cell = Cell(arm_named("single").arm, config)
    same = [replace(cell, config=replace(config, workers=5)), replace(cell, arm=replace(cell.arm, title="renamed"))]
    other = [
        replace(cell, art="validation"),
        replace(cell, arm=None),
        replace(cell, arm=replace(cell.arm, losses={"router-z": 0.1})),
        replace(cell, config=replace(config, adapter_rate=5.0)),
        Cell(cell.arm, preset("study").setting_of(MAIN, 1, 1e-3)),
        Cell(cell.arm, preset("study").setting_of(MAIN, 0, 2e-3)),
        Cell(cell.arm, preset("study").setting_of("five_percent", 0, 1e-3)),
    ]
    assert {one.path(tmp_path) for one in same} == {cell.path(tmp_path)}
    assert len({one.path(tmp_path) for one in [cell, *other]}) == 1 + len(other)
    in_words = replace(cell, arm=replace(cell.arm, key="single, rate / 2"))
    assert in_words.path(tmp_path).parent == cell.path(tmp_path).parent


def test_each_seed_has_a_text_model_of_its_own():
    config = preset("study")
    assert [config.setting_of(MAIN, seed, 1e-3).text_model_seed for seed in range(3)] == [0, 1, 2]
    assert config.setting_of("linked_languages", 2, 1e-3).text_model == "linked"
    assert len(config.regimes[MAIN][1]) >= 3
    assert len(PRESETS["long"]().regimes[MAIN][1]) == 5


def test_a_damaged_cell_is_named(tmp_path):
    cell = Cell(arm_named("none").arm, preset("study").setting_of(MAIN, 0, 1e-3))
    path = cell.path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text('{"answers": [[1, 2')
    with pytest.raises(RecipeError, match=rf"(?s){path.name} is damaged.*delete it"):
        cells.read_cell(cell, tmp_path)


def test_a_cell_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        cells.write_cell(tmp_path / "a" / "cell.json", {"answers": object()})
    assert list((tmp_path / "a").iterdir()) == []


def test_rates_are_chosen_on_validation_cells_of_one_seed(tmp_path, ran):
    rates, tuning = stub(tmp_path).choose_rates()
    assert set(rates) == {arm.group for arm in ARMS}  # groups of arms that this study runs
    assert set(rates.values()) == {2e-3}  # the best of what `ran` makes up, with neighbours on both sides
    assert {cell.art for cell in ran} == {"validation"}
    assert {cell.config.seed for cell in ran} == {0}
    assert {cell.key for cell in ran} == {GROUPS[group] for group in rates}
    assert all(set(grid) == {1e-3, 2e-3, 4e-3} for grid in tuning.values())


def test_the_search_looks_at_validation_views_only(tmp_path, ran):
    rates = dict.fromkeys(GROUPS, 1e-3)
    found = search.search(stub(tmp_path), rates, MAIN, ["single", "mixture"])
    assert set(found) == {"none", "single", "mixture"}
    assert {(cell.art, cell.config.seed) for cell in ran} == {("validation", 0)}


def test_a_candidate_is_not_confirmed_on_the_seed_that_chose_it(tmp_path, ran):
    with pytest.raises(RecipeError, match="cannot confirm"):
        search.confirm(stub(tmp_path), {}, MAIN, "single", [0, 1])
    found = search.confirm(stub(tmp_path), dict.fromkeys(GROUPS, 1e-3), MAIN, "single", [1, 2])
    assert {(cell.art, cell.config.seed) for cell in ran} == {("test", 1), ("test", 2)}
    assert len(found["gain"]["seeds"]) == 2
    assert found["gain_over_arm"] is None


def test_a_candidate_is_confirmed_beside_the_arm_that_it_changes(tmp_path, ran):
    config = preset("pretrained_cpu")
    study = Stub(config, tmp_path, Display(Console(file=io.StringIO())), Workers())
    found = search.confirm(study, dict.fromkeys(GROUPS, 1e-3), config.main, "deep-1, rate x 2", [1])
    assert {cell.key for cell in ran} == {"deep-1, rate x 2", "none", "deep-1"}
    assert len(found["gain_over_arm"]["seeds"]) == 1


def test_rates_of_lora_are_tried_as_those_of_experts_in_the_layers_are():
    known = candidates.candidates_of(2)
    assert {key.removeprefix("deep-1, ") for key in known if key.startswith("deep-1, rate")} == {
        key.removeprefix("lora-24, ") for key in known if key.startswith("lora-24, rate")
    }


def test_restricting_keeps_the_cells():
    config = preset("study")
    few = restricted(config, [MAIN], 2)
    assert list(few.regimes) == [MAIN]
    assert few.regimes[MAIN][1] == (0, 1)
    assert few.setting_of(MAIN, 1, 1e-3) == config.setting_of(MAIN, 1, 1e-3)
    assert restricted(config, seeds=5).regimes[MAIN][1] == (0, 1, 2, 3, 4)  # more than the study has of its own
    assert restricted(config, seeds=(9, 4, 9)).regimes[MAIN][1] == (9, 4)
    with pytest.raises(RecipeError, match="nothing is left"):
        restricted(config, None, 0)


def test_seeds_are_counted_or_named(capsys):
    with pytest.raises(SystemExit) as refused:
        command(["--seeds", "1", "--seed", "7"])
    assert refused.value.code == 2
    assert "do not go together" in capsys.readouterr().err


def test_the_command_lists_every_arm(capsys):
    assert command(["--list-arms"]) == 0
    shown = capsys.readouterr().out
    listed = {line.split()[0] for line in shown.splitlines() if line[1:2].strip() and "─" not in line}
    assert listed - {"arm"} == set(BY_KEY)
    assert max(map(len, shown.splitlines())) <= 80


def test_unknown_names_are_refused():
    with pytest.raises(RecipeError, match=r"no arm named 'singel'\. Did you mean 'single'"):
        arm_named("singel")
    assert main(["reproduce", "--arms", "singel", "--preset", "tiny_cpu"]) == 2, "bad usage, as of every command"
    with pytest.raises(RecipeError, match="no preset named"):
        preset("large")


# --- from answers to the page ------------------------------------------------------------------------------------

ACCURACY = {"none": 0.4, "dense": 0.4, "picture-only": 0.4, "single": 0.8, "mixture": 0.6}


@pytest.fixture
def described(planted):
    return copy.deepcopy(planted)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A regime in which guidance helps a lot and mixture takes some of it back."""
    routing = {"weights": np.full((6, 6), 1 / 6).tolist(), "entropy": 1.0, "language_information_share": 0.25}
    seeds = []
    for seed in range(3):
        row = []
        for arm in ("stage-1", *(arm.key for arm in ARMS)):
            looked = {"mean": dict.fromkeys(LOOKED, 0.5), "routing": routing if arm == "mixture" else None}
            path = tmp_path_factory.mktemp("cell") / "cell.json"
            cells.write_cell(path, made_up(arm, ACCURACY.get(arm, 0.4), seed, looked))
            row.append(cells.read_file(arm, path))
        seeds.append(row)
    found = results.describe_regime(seeds)
    return {
        "preset": "planted",
        "main": MAIN,
        "compute": {"device": "cpu", "dtype": "float32"},
        "registration": "rules",
        "config": {"base": {"text_model": "siloed"}, "by_amount": False},
        "concepts": {"seen": 48, "held-out": 12},
        "tuning": {"no adapter": {"0.001": 0.4}},
        "rates": {"no adapter": 0.001},
        "regimes": {
            MAIN: {"title": "planted", "repeats": "text model", "data": {"0": "d"}, "seeds": [0, 1, 2], **found}
        },
        "versions": {"torch": "x"},
        "commit": None,
        "machine": {"processor": "x", "system": "x"},
    }


def test_planted_effects_come_out(described):
    found = described["regimes"][MAIN]
    assert found["arms"]["single"]["verdict"]["repairs"]
    assert found["arms"]["single"]["gain"]["value"] == pytest.approx(0.4, abs=0.06)
    assert not found["arms"]["dense"]["verdict"]["repairs"]
    effects = found["two_by_two"]["choice"]
    assert effects["guidance"]["value"] == pytest.approx(0.3, abs=0.06)
    assert effects["interaction"]["high"] < 0
    erosion = found["arms"]["none"]["erosion"]
    none = found["arms"]["none"]["scores"]["seen"]["choice"]
    for code in OTHERS:
        assert erosion[code]["value"] == pytest.approx(none["en"]["value"] - none[code]["value"], abs=2e-4)
    json.dumps(described, allow_nan=False)


def test_amounts_are_one_table_and_one_figure(described, tmp_path):
    (regime,) = described["regimes"].values()
    few = {**copy.deepcopy(regime), "comparisons": [], "two_by_two": {}, "guided_twice": {}}
    for arm in few["arms"].values():
        arm["scores"]["seen"]["choice"]["others"]["value"] = 0.301
    described["config"]["by_amount"] = True
    described["regimes"] = {"half": {**regime, "multilingual": 0.5}, "few": {**few, "multilingual": 0.02}}
    del few["arms"]["dense"]  # an arm that one share lacks is in no row
    head, _, first, second, *_ = results.markdown(described).splitlines()
    assert "single conditioned expert" in head
    assert "dense" not in head
    assert "stage 1 only" not in head
    assert first.startswith("| 2% | 30.1 (")
    assert second.startswith("| 50% | ")
    assert "| 30.1 (" not in second
    report.write_report(described, tmp_path)
    assert (tmp_path / "amounts.png").exists()
    described["config"]["by_amount"] = False
    assert results.markdown(described).startswith("**Planted**")


def test_the_preset_of_amounts_changes_nothing_but_the_amount():
    config = preset("amounts_cpu")
    settings = [config.setting_of(regime, 0, 4e-4) for regime in config.regimes]
    assert [setting.multilingual for setting in settings] == [0.5, *AMOUNTS]
    assert len({replace(setting, name="", multilingual=0.5) for setting in settings}) == 1
    assert settings[0] == preset("pretrained_cpu").setting_of(config.main, 0, 4e-4)


def test_sentences_follow_the_numbers(described):
    text = " ".join(conclusions(described))
    assert "these repair erosion, gains in points: single conditioned expert" in text
    assert "together they do less than the sum" in text
    # The same numbers without the winners: the page must not repeat the sentence.
    arms = described["regimes"][MAIN]["arms"]
    for arm in arms.values():
        if "verdict" in arm:
            arm["verdict"]["repairs"] = False
    assert "no arm repairs erosion" in " ".join(conclusions(described))


def test_the_page_stands_alone(described, tmp_path):
    page = report.write_report(described, tmp_path).read_text("utf-8")

    found: list[str] = []

    class Sources(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.extend(value for name, value in attrs if name == "src" or (tag == "link" and name == "href"))

    Sources().feed(page)
    assert found
    assert all(source.startswith("data:image/png;base64,") for source in found)
    names = ("gains", "languages", "routing", "two-by-two")
    assert {path.stem for path in tmp_path.glob("*.png")} == {f"{name}-{MAIN}" for name in names}
    assert "routing taught languages" in page


def test_the_table_has_a_row_for_each_arm(described):
    lines = results.markdown(described).splitlines()
    assert sum(line.startswith("| ") for line in lines) == 2 + 1 + len(ARMS)
    assert any("single conditioned expert" in line and "**yes**" in line for line in lines)


def test_publishing_writes_between_the_comments_only(described, tmp_path):
    report.write_report(described, tmp_path)
    (tmp_path / "results.json").write_text("{}")
    (tmp_path / "table.md").write_text(results.markdown(described), "utf-8")
    home = tmp_path / "home"
    home.mkdir()
    with pytest.raises(RecipeError, match="no place for tables"):
        publish(tmp_path, home)
    assert list(home.iterdir()) == []
    readme = home / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")
    publish(tmp_path, home)
    once = readme.read_text("utf-8")
    publish(tmp_path, home)
    assert readme.read_text("utf-8") == once
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    assert "single conditioned expert" in once
    assert "old" not in once
    assert (home / "results" / f"gains-{MAIN}.png").exists()


@pytest.mark.slow
def test_the_tiny_study_from_end_to_end(tmp_path, capsys):
    argv = ["--preset", "tiny_cpu", "--out", str(tmp_path)]
    assert command(argv) == 0
    found = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert list(found["regimes"][MAIN]["arms"]) == ["stage-1", *(arm.key for arm in ARMS)]
    assert list(found["regimes"]) == [MAIN, "five_percent"]
    assert found["regimes"][MAIN]["data"]["0"] != found["regimes"]["five_percent"]["data"]["0"]
    fixed = found["regimes"][MAIN]["arms"]["language-id"]["looked"]["routing"][0]
    assert fixed["language_information_share"] == pytest.approx(1, abs=1e-3)
    assert found["regimes"][MAIN]["arms"]["uniform"]["looked"]["routing"][0]["collapse"] == "uniform"
    assert (tmp_path / "report.html").exists()
    assert "report" in capsys.readouterr().out
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").rglob("*.json")}
    assert command(argv) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").rglob("*.json")} == made
