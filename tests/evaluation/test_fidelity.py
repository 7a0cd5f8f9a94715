"""Replies in the asked language: told where they can be told, and nothing claimed where they cannot."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.evaluation_runs import ScriptedHost, run
from support.folders import FIXTURES

import parrot_adapters as pa
from parrot_adapters.cli import main
from parrot_adapters.errors import PluginError
from parrot_adapters.evaluation.answers.host_protocol import Answer
from parrot_adapters.evaluation.matching.known_languages import known_languages
from parrot_adapters.evaluation.scores.reply_language import in_script, language_fidelity
from parrot_adapters.plugins import manager

MMMB = FIXTURES / "mmmb"


@pytest.mark.parametrize(
    ("text", "language", "verdict"),
    [
        ("الإجابة هي قطة", "ar", True),
        ("The answer is cat", "ar", False),
        ("B. قطة", "ar", True),
        ("On the picture: قطة", "ar", False),
        ("猫", "zh", True),
        ("答案是 Istanbul", "zh", True),
        ("Istanbul is the answer，是的", "zh", False),
        ("На картинке iPhone и кот", "ru", True),
        ("это猫", "ru", None),
        ("ねこです", "ja", True),
        ("猫です", "zh", False),
        ("gato", "en", True),  # the script is right, and that is all that is said
        ("नमस्ते दुनिया", "hi", True),
        ("ＣＡＴ ｄｏｇ", "en", True),
        ("gato", "xx", None),
    ],
)
def test_scripts(text: str, language: str, verdict: bool | None) -> None:
    expected = False if (text, language) == ("это猫", "ru") else verdict  # a tie is not the asked script
    assert in_script(text, language) is expected


@pytest.mark.parametrize("text", ["", "B", "(B)", "B.", "A B C D", "12", "1.50", "!?", "no", "ب", "Z", "\u200b", "🐱"])
@pytest.mark.parametrize("language", ["en", "ar", "zh", "ru"])
def test_too_short_to_tell(text: str, language: str) -> None:
    assert in_script(text, language) is None


@given(st.text(max_size=60), st.sampled_from(sorted(known_languages())))
def test_any_reply_has_a_verdict_and_option_letters_never_change_it(text: str, language: str) -> None:
    verdict = in_script(text, language)
    assert verdict in (True, False, None)
    assert in_script(f"B. {text}", language) is verdict


def test_every_known_language_has_a_script_and_its_own_words_are_in_it() -> None:
    for code, language in known_languages().items():
        assert language.scripts, code
        assert in_script(" ".join(language.refusals), code) is True, code


def test_languages_that_share_a_script_are_named() -> None:
    replies = {"en": {1: "cat"}, "pt": {1: "cat"}, "ar": {1: "cat"}, "xx": {1: "cat"}}
    found = language_fidelity(replies)
    assert found["pt"].shared_script == ("en",), (
        "an English reply to a Portuguese question goes unnoticed, and we say so"
    )
    assert (found["pt"].rate, found["ar"].rate, found["ar"].shared_script) == (1.0, 0.0, ())
    assert "xx" not in found
    found = language_fidelity(replies, detector=lambda text: "en", name="ears")
    assert (found["pt"].rate, found["pt"].by, found["en"].rate) == (0.0, "ears", 1.0)
    unsure = language_fidelity(replies, detector=lambda text: None)["pt"]
    assert (unsure.rate, unsure.abstained) == (None, 1)


def test_thoughts_are_no_part_of_a_reply() -> None:
    assert language_fidelity({"ar": {1: "<think>I wonder what this is</think> قطة صغيرة"}})["ar"].rate == 1.0


class Ears:
    """Finds the language in the first word; deaf ones show that a detector's fault is named."""

    @staticmethod
    @pa.hookimpl
    def register_detectors(register) -> None:
        register("first-word", Ears.FirstWord)
        register("deaf", lambda tokenizer: tokenizer.vocabulary)

    class FirstWord:
        def __init__(self, tokenizer) -> None:
            self.tokenizer = tokenizer

        def __call__(self, ids, mask) -> list[str | None]:
            texts = [self.tokenizer.decode(row[kept].tolist()) for row, kept in zip(ids, mask, strict=True)]
            return [{"the": "en", "gato": "pt-BR"}.get(text.split()[0].lower()) for text in texts]


@pytest.fixture
def ears() -> Iterator[None]:
    name = manager.register(Ears(), name="ears-plugin")
    yield
    manager.unregister(name)


class Speaker(ScriptedHost):
    def generate(self, asked, max_new_tokens: int) -> list[Answer]:
        said = ["The fox is red", "gato grande", "B", "ثعلب أحمر كبير"]
        return [Answer(said[q.index % 4], True, None) for q in asked]


def test_a_run_reports_it_beside_accuracy(tmp_path: Path) -> None:
    result = run(tmp_path, Speaker(adapter=False))
    told = result.result.as_json()["fidelity"]
    assert told["MMMB_en"] | {"rate": 0} == {
        "rate": 0, "kept": 16, "other": 7, "abstained": 7, "by": "script", "shared_script": [],
    }  # fmt: skip
    assert told["MMMB_ar"]["rate"] == pytest.approx(7 / 23)
    with (Path(result.run.config.out) / "rows.csv").open(encoding="utf-8", newline="") as file:
        verdicts = {(row["subset"], int(row["index"])): row["in_language"] for row in csv.DictReader(file)}
    assert [verdicts["MMMB_ar", i] for i in range(4)] == ["no", "no", "", "yes"]


@pytest.mark.usefixtures("ears")
def test_a_registered_detector_is_asked(tmp_path: Path) -> None:
    told = run(tmp_path, Speaker(adapter=False), detector="first-word").result.as_json()["fidelity"]
    assert {key: told["MMMB_en"][key] for key in ("kept", "other", "abstained", "by")} == {
        "kept": 8, "other": 15, "abstained": 7, "by": "first-word",
    }  # fmt: skip
    with pytest.raises(PluginError, match=r"'deaf' of (.|\n)*cannot be asked about replies(.|\n)*vocabulary"):
        run(tmp_path, Speaker(adapter=False), detector="deaf")


def test_likelihoods_are_no_replies(tmp_path: Path) -> None:
    from parrot_adapters.evaluation.scores.score_choices import score_run

    result = run(tmp_path, Speaker(adapter=False))
    from dataclasses import replace

    asked = replace(result.run, config=replace(result.run.config, scoring="loglik"))
    assert score_run(asked, resamples=10).fidelity == {}


@pytest.mark.usefixtures("ears")
def test_score_reports_it_too(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out.json"
    given_ = ["score", "--benchmark", "mmmb", "--data", str(MMMB / "data"), "--json", str(out)]
    given_ += ["--predictions", str(MMMB / "predictions_MMMB.jsonl"), "--protocol", "vlmevalkit-2025"]
    assert main(given_) == 0
    assert "asked: of replies long enough to tell, those in the asked language's script" in " ".join(
        capsys.readouterr().out.split()
    )
    by_script = json.loads(out.read_text("utf-8"))["fidelity"]
    assert by_script["MMMB_tr"]["shared_script"] == ["en"]
    assert by_script["MMMB_ar"]["rate"] < 0.5 < by_script["MMMB_en"]["rate"]
    assert main([*given_, "--detector", "first-word"]) == 0
    assert json.loads(out.read_text("utf-8"))["fidelity"]["MMMB_en"]["by"] == "first-word"
    assert main([*given_, "--detector", "second-word"]) == 2
    assert "no detector named 'second-word'" in capsys.readouterr().err
