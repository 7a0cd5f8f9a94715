"""The quickstart from end to end, in its tiny preset."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch
from parrot_recipes.emoji import arms, conclusion, quickstart
from parrot_recipes.emoji.art import load_pictures, png_bytes
from parrot_recipes.emoji.console import Display
from parrot_recipes.emoji.host import load_host, load_vocabulary
from parrot_recipes.emoji.languages import CODES, LANGUAGES
from parrot_recipes.emoji.presets import MIXTURE, NONE, PRESETS, SINGLE, preset
from rich.console import Console
from support.browser import needs_a_browser, width_needed

import parrot_adapters as pa
from parrot_adapters.cli import main


@pytest.fixture(scope="module")
def terminal():
    return Console(file=io.StringIO(), width=80, force_terminal=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, terminal):
    config = replace(preset("tiny_cpu"), arms=(NONE, SINGLE, MIXTURE))
    return quickstart.run(config, tmp_path_factory.mktemp("quickstart"), Display(terminal))


def test_everything_is_there(finished):
    made = {path.name for path in finished.out.iterdir()}
    assert made >= {
        "ATTRIBUTION.txt", "adapter", "adapter-mixture", "answers.jsonl", "benchmark", "choice.png", "erosion.png",
        "host", "naming.png", "report.html", "results.json", "routing.png",
    }  # fmt: skip


def test_results_can_be_traced(finished):
    results = json.loads((finished.out / "results.json").read_text("utf-8"))
    assert list(results["arms"]) == ["stage-1", "none", "single", "mixture"]
    assert results["config"]["seed"] == 0
    assert results["versions"]["torch"] == torch.__version__
    assert set(results["seconds"]) >= {"report", "stage 1: English, projector only"}
    seen = {key: arm["routing_statistics"] for key, arm in results["arms"].items()}
    assert [key for key, found in seen.items() if found] == ["mixture"]  # the one arm that has something to route
    assert seen["mixture"]["counts"] == dict.fromkeys(CODES, 12)
    answers = [json.loads(line) for line in (finished.out / "answers.jsonl").read_text("utf-8").splitlines()]
    assert len(answers) == 4 * 6 * 12
    for key, arm in results["arms"].items():
        for split in ("seen", "held-out"):
            mine = [a for a in answers if a["arm"] == key and a["split"] == split]
            for code in CODES:
                right = [a["choice"] for a in mine if a["language"] == code]
                assert arm["scores"][split]["choice"][code]["value"] == pytest.approx(sum(right) / len(right), abs=1e-4)


def test_the_saved_adapter_is_the_trained_one(finished):
    host = load_host(finished.out / "host")
    vocabulary = load_vocabulary(finished.out / "host")
    bare = arms.probe(host, finished.setting, vocabulary)
    handle = pa.load_adapter(host, finished.out / "adapter", strict=True)
    trained = next(arm.probe for arm in finished.arms if arm.key == "single")
    loaded = arms.probe(host, finished.setting, vocabulary)
    assert loaded.answers == trained.answers
    assert loaded.difference(trained) < 1e-4
    assert loaded.difference(bare) > 0
    handle.detach()
    assert torch.equal(arms.probe(host, finished.setting, vocabulary).logits, bare.logits)


def test_adapters_are_of_equal_size(finished):
    sizes = {arm.key: arm.parameters for arm in finished.arms if arm.parameters}
    assert set(sizes) == {"single", "mixture"}
    assert max(sizes.values()) < 1.02 * min(sizes.values())


def test_the_report_stands_alone(finished):
    page = (finished.out / "report.html").read_text("utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:image/png;base64,|https://)', page)
    assert 'lang="ar" dir="rtl"' in page
    for sentence in conclusion.conclusions(finished.arms):
        assert sentence.split(":")[0] in page
    for licence in ("CC-BY-4.0", "CC-BY-SA-4.0", "Apache-2.0", "Unicode-3.0"):
        assert licence in page
    _Balanced().feed(page)


def test_the_terminal_says_what_was_measured(finished, terminal):
    shown = terminal.file.getvalue()
    assert "Seen concepts, new art" in shown
    assert "single conditioned expert" in shown
    assert "bit for bit" in shown
    assert max(len(line) for line in shown.splitlines() if str(finished.out) not in line) <= 80


def test_conclusions_follow_the_numbers(finished):
    """Swap two arms' answers: every comparison must turn around."""
    better, worse = (replace(arm) for arm in finished.arms[1:3])
    better.answers = [replace(answer, choice=True) for answer in better.answers]
    worse.answers = [replace(answer, choice=False) for answer in worse.answers]
    worse.key, better.key = "mixture", "single"
    assert "the mixture is worse" in " ".join(conclusion.conclusions([worse, better]))
    worse.key, better.key = "single", "mixture"
    assert "the mixture is better" in " ".join(conclusion.conclusions([worse, better]))


def test_a_row_stands_out_only_where_it_is_decidedly_ahead(finished):
    one, other = (replace(arm) for arm in finished.arms[1:3])
    one.answers = [replace(answer, choice=True) for answer in one.answers]
    other.answers = [replace(answer, choice=False) for answer in one.answers]
    assert conclusion.decided_winner([one, other], "seen") is one
    assert conclusion.decided_winner([other, one], "seen") is one
    alike = replace(one)
    assert conclusion.decided_winner([one, other, alike], "seen") is None, "a tie has no winner"
    assert conclusion.decided_winner([other, replace(other)], "seen") is None


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_complete(name):
    config = preset(name)
    assert config.name == name
    assert set(config.saved) <= {arm.key for arm in config.arms}
    assert json.loads(json.dumps(config.to_dict()))["name"] == name


def test_unknown_presets_are_refused():
    with pytest.raises(pa.ParrotError, match="tiny_cpu"):
        preset("tiny")


def test_help_is_light():
    probe = (
        "import sys; from parrot_recipes.emoji import quickstart\n"
        "try: quickstart.command(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True).returncode == 0


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(pa.ParrotError, match="taken"):
        quickstart.run(preset("tiny_cpu"), tmp_path / "taken", Display(Console(file=io.StringIO())))


def test_the_text_model_trains_where_an_arm_says_so(finished):
    """The regime in which nothing is left to repair: adapter, projector and text model all learn."""
    setting = replace(finished.setting, config=replace(finished.config, train_text_model=True))
    result = arms.run_arm(setting, SINGLE, None, lambda *_: None)
    frozen = next(arm for arm in finished.arms if arm.key == "single")
    assert result.losses[0] == pytest.approx(frozen.losses[0])
    assert result.losses[-1] < frozen.losses[-1]


@pytest.mark.slow
def test_arms_run_in_processes_of_their_own(tmp_path):
    config = replace(preset("tiny_cpu"), arms=(NONE, SINGLE), saved=("single",), workers=2)
    display = Display(Console(file=io.StringIO(), width=80))
    assert [arm.key for arm in quickstart.run(config, tmp_path, display).arms] == ["stage-1", "none", "single"]


@pytest.mark.slow
def test_every_command_works_on_what_a_run_leaves(finished, tmp_path, capsys):
    """`evaluate`, `explain`, `diagnose` and `check host:` with nothing but directories, as the run's last lines say."""
    out = finished.out
    subject = ["--model", str(out / "host"), "--adapter", str(out / "adapter-mixture")]
    asked = [*subject, "--benchmark", "emoji", "--data", str(out / "benchmark"), "--prompt-style", "question"]

    scored = ["--protocol", "vlmevalkit-2026", "--scoring", "loglik", "--option-score", "text-per-token"]
    assert main(["evaluate", *asked, *scored, "--out", str(tmp_path / "run"), "--languages", "en,ar"]) == 0
    found = json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))
    assert {name: len(subset["hits"]) for name, subset in found["subsets"].items()} == {"EMOJI_en": 12, "EMOJI_ar": 12}

    assert main(["diagnose", *asked, "--limit", "3", "--json", str(tmp_path / "diagnosis.json")]) == 0
    assert set(json.loads((tmp_path / "diagnosis.json").read_text("utf-8"))["accuracy"]) == set(CODES)

    picture = tmp_path / "cat.png"
    picture.write_bytes(png_bytes(load_pictures(finished.setting.concepts[:1], "openmoji")[0]))
    prompts = [part for language in LANGUAGES[:2] for part in ("--prompt", language.question)]
    assert main(["explain", str(picture), *subject, *prompts, "--json", str(tmp_path / "explanation.json")]) == 0
    seen = json.loads((tmp_path / "explanation.json").read_text("utf-8"))["prompts"]
    assert [prompt["label"] for prompt in seen] == [language.question for language in LANGUAGES[:2]]

    capsys.readouterr()
    assert main(["check", f"host:{out / 'host'}"]) == 0
    assert capsys.readouterr().out.count("passed") == 5


class _Balanced(HTMLParser):
    """Fails on a tag that is closed in the wrong place."""

    EMPTY = frozenset({"meta", "img", "br", "link", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.slow
@needs_a_browser
def test_the_report_is_as_wide_as_a_phone(finished):
    assert width_needed((finished.out / "report.html").read_text("utf-8"), 390) == 390
