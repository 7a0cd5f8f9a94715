"""``parrot evaluate`` on a whole miniature model: what is asked, stored, asked again and written."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support import benchmark_files
from support.chat_processors import PLAIN, TIGHT, llava
from support.folders import TESTS
from support.tiers import late_unless

from parrot_adapters.cli import main
from parrot_adapters.errors import ConfigError, HostError, ParrotWarning, UnknownNameError
from parrot_adapters.evaluation import PROTOCOLS, EvaluationDataError
from parrot_adapters.evaluation.answers.evaluate import Evaluation, evaluate
from parrot_adapters.evaluation.answers.evaluation_config import EvaluationConfig
from parrot_adapters.evaluation.answers.reply_text import without_thoughts
from parrot_adapters.evaluation.answers.store import AnswerStore
from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost
from parrot_adapters.evaluation.benchmark.questions import limited
from parrot_adapters.evaluation.scores.choice_files import write_results
from parrot_adapters.evaluation.scores.score_choices import score_run
from parrot_adapters.testing import save_small_host

TOKENS = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_host(tmp_path_factory.mktemp("host") / "llava")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return benchmark_files.save_benchmark(tmp_path_factory.mktemp("benchmark"), languages=("en", "ar", "tr"))


@pytest.fixture(scope="module")
def host(model: Path) -> EvaluationHost:
    return EvaluationHost.load(str(model), device="cpu")


@pytest.fixture
def config(model: Path, data: Path, tmp_path: Path) -> EvaluationConfig:
    return EvaluationConfig(
        model=str(model),
        benchmark="mmmb",
        data=str(data),
        protocol="vlmevalkit-2025",
        out=str(tmp_path / "out"),
        max_new_tokens=TOKENS,
        batch_size=4,
        device="cpu",
    )


def said(run: Evaluation) -> dict[tuple[str, int], object]:
    return {(a.lang, a.index): a.prediction if a.scores is None else a.scores for a in run.answers}


class Altered:
    """A host with some methods replaced."""

    def __init__(self, host: EvaluationHost, **methods: object) -> None:
        self._host = host
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> object:
        return getattr(self._host, name)


# --- asking -----------------------------------------------------------------------------------------------------


def test_batches_answer_as_one_by_one(config: EvaluationConfig, host: EvaluationHost, tmp_path: Path) -> None:
    alone = evaluate(replace(config, batch_size=1, out=str(tmp_path / "alone")), host=host)
    together = evaluate(config, host=host)
    assert together.batch_size == 4
    assert together.made == len(together.answers) == 18
    assert said(together) == said(alone)
    assert len({a.prediction for a in alone.answers}) > 6, "a host that says the same to everything tests nothing"


def test_a_host_that_minds_its_neighbours_is_asked_one_by_one(
    config: EvaluationConfig, host: EvaluationHost, tmp_path: Path
) -> None:
    def neighbourly(inputs, max_new_tokens):
        replies = host.generate(inputs, max_new_tokens)
        return [replace(reply, prediction=f"{reply.prediction} {len(replies)}") for reply in replies]

    broken = Altered(host, generate=neighbourly)
    with pytest.warns(ParrotWarning, match="asked one by one: answers differ for 4 of 4 rows"):
        run = evaluate(config, host=broken)
    assert run.batch_size == 1
    assert all(str(answer.prediction).endswith(" 1") for answer in run.answers)


def test_a_host_that_fails_in_batches_is_asked_one_by_one(config: EvaluationConfig, host: EvaluationHost) -> None:
    def single(asked):
        if len(asked) > 1:
            raise RuntimeError("one at a time, please")
        return host.encode(asked)

    with pytest.warns(ParrotWarning, match="RuntimeError: one at a time, please"):
        run = evaluate(config, host=Altered(host, encode=single))
    assert run.batch_size == 1
    assert run.made == 18


def test_limit_takes_the_same_questions_with_all_their_passes(
    config: EvaluationConfig, host: EvaluationHost, tmp_path: Path
) -> None:
    circular = benchmark_files.save_benchmark(tmp_path / "circular", questions=3, passes=2)
    run = evaluate(replace(config, data=str(circular), limit=2, protocol="paper-2024"), host=host)
    assert sorted((q.language, q.index) for q in run.questions) == [
        (language, index) for language in ("ar", "en") for index in (0, 1, 1_000_000, 1_000_001)
    ]
    assert set(score_run(run).subsets["MMMB_en"].hits) == {0, 1}


@pytest.mark.parametrize("template", [PLAIN, TIGHT], ids=["the tokenizer's", "the template's"])
def test_a_prompt_has_one_first_token(template: str) -> None:
    processor = llava(template)
    asked = SimpleNamespace(prompt="What is it?", language="en", pictures=list)
    encoded = EvaluationHost(torch.nn.Identity(), processor).encode([asked, asked])
    for ids in encoded.tensors["input_ids"].tolist():
        assert ids.count(processor.tokenizer.bos_token_id) == 1


def test_a_limit_is_of_the_first_questions_by_number_wherever_they_stand() -> None:
    rows = [SimpleNamespace(question_id=number) for number in (9, 5, 2, 5, 7, 2)]
    assert [row.question_id for row in limited(rows, 2)] == [5, 2, 5, 2]
    assert limited(rows, None) is rows


def test_the_table_of_confusions_tells_no_choice_from_a_refusal(config: EvaluationConfig, host: EvaluationHost) -> None:
    run = evaluate(replace(config, limit=3, languages=("en",)), host=host)
    said = ["A", "Z", "who can tell?"]
    answers = [replace(answer, prediction=text) for answer, text in zip(run.answers, said, strict=True)]
    expected: dict[str, dict[str, int]] = {}
    for question, chosen in zip(run.questions, ["A", "Z", "-"], strict=True):
        expected.setdefault(question.row.answer, {})[chosen] = 1
    assert score_run(replace(run, answers=answers), resamples=50).confusion == {"MMMB_en": expected}


# --- resuming ---------------------------------------------------------------------------------------------------


def test_nothing_is_asked_twice(config: EvaluationConfig, host: EvaluationHost) -> None:
    first = evaluate(config, host=host)
    for changed in ({}, {"batch_size": 1}, {"protocol": "paper-2024"}, {"matcher": "robust"}, {"think": "strip"}):
        again = evaluate(replace(config, **changed), host=Altered(host, generate=None, encode=None))
        assert again.made == 0
        assert said(again) == said(first)


@pytest.mark.parametrize("changed", [{"prompt_style": "parrot"}, {"max_new_tokens": 5}, {"scoring": "loglik"}])
def test_other_settings_reuse_nothing(config: EvaluationConfig, host: EvaluationHost, changed: dict) -> None:
    evaluate(config, host=host)
    assert evaluate(replace(config, **changed), host=host).made == 18


def test_another_picture_or_option_asks_that_row_again(
    config: EvaluationConfig, host: EvaluationHost, data: Path, tmp_path: Path
) -> None:
    evaluate(config, host=host)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in data.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    english = copy / "MMMB_en.tsv"
    text = english.read_text(encoding="utf-8")
    english.write_text(text.replace(benchmark_files.picture(2), benchmark_files.picture(77)), encoding="utf-8")
    assert evaluate(replace(config, data=str(copy)), host=host).made == 1
    english.write_text(text.replace("a red fox", "a blue fox"), encoding="utf-8")
    assert evaluate(replace(config, data=str(copy)), host=host).made == 6


def test_a_model_changed_in_one_weight_reuses_nothing(config: EvaluationConfig, model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    evaluate(config)
    other = tmp_path / "other"
    other.mkdir()
    for path in model.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    weights = load_file(other / "model.safetensors")
    name = next(n for n in weights if "layers.1.mlp.up_proj" in n and "vision" not in n)
    weights[name][3, 5] += 1e-3
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    assert evaluate(replace(config, model=str(other))).made == 18
    assert evaluate(config).made == 0, "the old model's answers are still there"


def test_a_torn_last_line_is_asked_again(config: EvaluationConfig, host: EvaluationHost) -> None:
    first = evaluate(config, host=host)
    path = Path(config.out) / "answers.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.warns(ParrotWarning, match="1 lines cannot be read"):
        again = evaluate(config, host=host)
    assert again.made == 1
    assert said(again) == said(first)
    assert path.read_bytes().startswith(whole[:-20] + b"\n"), "appended to, never rewritten"


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from parrot_adapters.evaluation.answers.evaluation_config import EvaluationConfig
from parrot_adapters.evaluation.answers.evaluate import evaluate
from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost
calls, generate = [], EvaluationHost.generate
def dying(self, *arguments):
    calls.append(1)
    if len(calls) == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    return generate(self, *arguments)
EvaluationHost.generate = dying
evaluate(EvaluationConfig(**{config!r}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_run_goes_on(config: EvaluationConfig, host: EvaluationHost) -> None:
    call = 1 + 4 + 1 + 2  # four rows one by one, the same together, one batch done, killed in the second
    program = KILLED.format(tests=str(TESTS), config=vars(config), call=call - 1)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120, check=False)
    assert done.returncode == -9, done.stderr.decode()
    with AnswerStore(Path(config.out) / "answers.jsonl") as store:
        kept = len(store.found)
    assert kept == 8
    assert evaluate(config, host=host).made == 18 - kept


def test_two_runs_cannot_write_to_one_place(config: EvaluationConfig, host: EvaluationHost) -> None:
    pytest.importorskip("fcntl")
    with AnswerStore(Path(config.out) / "answers.jsonl"), pytest.raises(EvaluationDataError, match="another run"):
        evaluate(config, host=host)


# --- results ----------------------------------------------------------------------------------------------------


def test_every_number_says_where_it_comes_from(config: EvaluationConfig, host: EvaluationHost, data: Path) -> None:
    import hashlib

    run = evaluate(replace(config, matcher="robust"), host=host)
    write_results(score_run(run, resamples=50), run, config.out)
    written = json.loads((Path(config.out) / "results.json").read_text(encoding="utf-8"))
    assert written["protocol"] == "vlmevalkit-2025"
    assert written["matcher"] == "robust"
    assert written["prompt_style"] == "default"
    assert written["generation"] == {
        "scoring": "generate", "max_new_tokens": TOKENS, "do_sample": False, "num_beams": 1
    }  # fmt: skip
    assert written["host"]["architecture"] == "LlavaForConditionalGeneration"
    assert len(written["host"]["weights"]) == len(written["prompt_sha256"]) == 64
    assert {"torch", "transformers", "parrot_adapters", "python"} <= set(written["versions"])
    assert set(written["matchers"]) == {"reference", "robust"}
    assert written["subsets"]["MMMB_ar"]["hits"] == written["matchers"]["robust"]["hits"]["MMMB_ar"]
    assert set(written["means"]) == {"row_weighted", "language_macro"}
    assert written["cut_off"]["MMMB_en"] > 0
    english = hashlib.md5((data / "MMMB_en.tsv").read_bytes(), usedforsecurity=False).hexdigest()
    assert written["data"]["MMMB_en"]["md5"] == english
    with (Path(config.out) / "scores.csv").open(encoding="utf-8", newline="") as file:
        scores = list(csv.DictReader(file))
    assert [(row["subset"], row["matcher"]) for row in scores] == [
        (subset, matcher) for matcher in ("reference", "robust") for subset in ("MMMB_ar", "MMMB_en", "MMMB_tr")
    ]
    for row in scores:
        assert row["protocol"] == "vlmevalkit-2025"
        assert row["host_weights"] == written["host"]["weights"]
        assert all(row[name] for name in ("prompt_style", "prompts_sha256", "data_md5", "generation", "versions"))
    with (Path(config.out) / "rows.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 18


def test_our_predictions_score_as_we_scored_them(
    config: EvaluationConfig, host: EvaluationHost, data: Path, tmp_path: Path
) -> None:
    run = evaluate(config, host=host)
    write_results(score_run(run, resamples=50), run, config.out)
    out = tmp_path / "scored.json"
    arguments = ["--benchmark", "mmmb", "--protocol", config.protocol, "--data", data, "--json", out]
    assert main(["score", *map(str, arguments), "--predictions", f"{config.out}/predictions.jsonl"]) == 0
    ours = json.loads((Path(config.out) / "results.json").read_text(encoding="utf-8"))
    assert json.loads(out.read_text(encoding="utf-8"))["subsets"] == ours["subsets"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>A or B?</think> B", "B"),
        ("so it is C</think>\nC", "C"),
        ("<think>A? B?", ""),
        ("B", "B"),
        ("<THINK>a</THINK><think>b</think>D", "D"),
    ],
)
def test_thoughts_are_stripped(text: str, left: str) -> None:
    assert without_thoughts(text) == left


# --- the command ------------------------------------------------------------------------------------------------


def arguments(config: EvaluationConfig, **changed: object) -> list[str]:
    names = ("model", "benchmark", "data", "protocol", "out", "max_new_tokens", "device")
    given = {name: getattr(config, name) for name in names} | {"languages": "en,ar"} | changed
    return [
        "evaluate",
        *(
            text
            for name, value in given.items()
            if value is not None
            for text in (f"--{name.replace('_', '-')}", str(value))
        ),
    ]


def test_the_command(config: EvaluationConfig, capsys: pytest.CaptureFixture) -> None:
    assert main(arguments(config)) == 0
    shown = capsys.readouterr()
    for part in (
        "MMMB_ar",
        "reference",
        "robust",
        "none: replies in which",
        "12 of 12 answers are new",
        "language mean",
    ):
        assert part in shown.out
    assert "is not the published file" in shown.err
    assert "replies were cut off at 6 tokens" in shown.err
    assert main([*arguments(config, scoring="loglik", batch_size=3), "--profile"]) == 0
    shown = capsys.readouterr()
    assert "time on the cpu" in shown.err
    assert (Path(config.out) / "profile" / "trace.json").stat().st_size > 1000
    for part in ("by the log-likelihood of options", "text-per-byte", "calibration", "letter decides above"):
        assert part in shown.out


def test_a_protocol_must_be_named(config: EvaluationConfig, capsys: pytest.CaptureFixture) -> None:
    assert main(arguments(config, protocol=None)) == 2
    told = capsys.readouterr().err
    assert "there is no default" in told
    assert all(name in told and protocol.use in told for name, protocol in PROTOCOLS.items())
    assert not Path(config.out).exists()


@pytest.mark.parametrize(
    ("changed", "status", "says"),
    [
        ({"protocol": "paper-2042"}, 2, "Did you mean 'paper-2024'"),
        ({"benchmark": "mmbb"}, 2, "no benchmark named 'mmbb'"),
        ({"prompt_style": "lava"}, 2, "Did you mean 'llava'"),
        ({"prompt_style": "question", "scoring": "loglik"}, 2, "--option-score text-per-token"),
        ({"scoring": "logits"}, 2, "no scoring named 'logits'"),
        ({"matcher": "robots"}, 2, "Did you mean 'robust'"),
        ({"batch_size": 0}, 2, "batch size must be at least 1"),
        ({"model": "no/such/model"}, 2, "cannot be loaded"),
        ({"dtype": "float23"}, 2, "Did you mean 'float32'"),
        ({"device": "cudda"}, 2, "no device named 'cudda'"),
        ({"device": "cuda:77"}, 2, "has no device 'cuda:77'"),
        ({"limit": 0}, 2, "limit must be at least 1"),
        ({"max_new_tokens": -1}, 2, "max new tokens must be at least 1"),
        ({"think": "drop"}, 2, "no think named 'drop'"),
        ({"option_score": "txt"}, 2, "Did you mean 'text'"),
        ({"detector": "ears"}, 2, "no detector named 'ears'"),
        ({"processor": "size"}, 2, "takes KEY=VALUE"),
        ({"processor": "pach_size=3"}, 2, "Did you mean 'patch_size'"),
        ({"languages": "en,ru"}, 1, "MMMB_ru.tsv, published as mmmb/mmmb_ru.tsv"),
        ({"data": "nowhere"}, 1, "no such directory"),
        ({"adapter": "nowhere"}, 1, "nowhere"),
    ],
)
def test_bad_usage(
    config: EvaluationConfig, capsys: pytest.CaptureFixture, changed: dict, status: int, says: str
) -> None:
    assert main(arguments(config, **changed)) == status
    assert says in capsys.readouterr().err
    assert not (Path(config.out) / "results.json").exists()


def test_an_unknown_detector_is_missed_before_anything_is_asked(config: EvaluationConfig) -> None:
    with pytest.raises(UnknownNameError, match="no detector named 'ears'"):
        evaluate(replace(config, detector="ears", model="never loaded"))
    assert not Path(config.out).exists()


@pytest.mark.usefixtures("own_languages")
def test_a_language_of_ones_own(config: EvaluationConfig, tmp_path: Path, capsys) -> None:
    from parrot_adapters.evaluation import known_languages

    path = tmp_path / "more.json"
    for content, says in (
        (None, "cannot be read"),
        ("{", "is not valid JSON"),
        ('{"fi": {"anser": []}}', "anser"),
    ):
        if content is not None:
            path.write_text(content)
        assert main([*arguments(config), "--language-data", str(path)]) == 2
        assert says in capsys.readouterr().err
    path.write_text('{"fi": {"answer": ["vastaus"], "scripts": ["LATIN"]}}')
    assert main([*arguments(config, limit=1, languages="en"), "--language-data", str(path)]) == 0
    assert known_languages()["fi"].scripts == ("LATIN",)


def test_processor_settings_change_the_key(config: EvaluationConfig) -> None:
    evaluate(config)
    changed = replace(config, processor={"image_mean": [0.1, 0.2, 0.3]})
    assert evaluate(changed).made == 18
    assert evaluate(config).made == 0
    with pytest.raises(ConfigError, match="image_meen"):
        evaluate(replace(config, processor={"image_meen": 1}))


def test_a_broken_picture_is_named_and_answers_stay(
    config: EvaluationConfig, host: EvaluationHost, tmp_path: Path
) -> None:
    folder = benchmark_files.save_benchmark(tmp_path / "data", languages=("en",))
    evaluate(replace(config, data=str(folder), limit=3), host=host)
    path = folder / "MMMB_en.tsv"
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace(benchmark_files.picture(4), "bm90IGEgcGljdHVyZSBhdCBhbGwg" * 4), encoding="utf-8")
    with pytest.raises(EvaluationDataError, match="a picture cannot be decoded") as caught:
        evaluate(replace(config, data=str(folder)), host=host)
    assert "MMMB_en 4" in str(caught.value)
    path.write_text(whole.replace(benchmark_files.picture(4), "%" + benchmark_files.picture(4)[1:]), encoding="utf-8")
    with pytest.raises(EvaluationDataError, match="not valid base64"):
        evaluate(replace(config, data=str(folder)), host=host)
    path.write_text(whole, encoding="utf-8")
    assert evaluate(replace(config, data=str(folder)), host=host).made == 3


def failing(host: EvaluationHost, fails) -> Altered:
    """The host, whose generate raises ``KeyError('cache')`` where ``fails(languages and rows asked together)``."""

    def generate(given, max_new_tokens):
        asked, inputs = given
        if fails([(question.language, question.index) for question in asked]):
            raise KeyError("cache")
        return host.generate(inputs, max_new_tokens)

    return Altered(host, encode=lambda asked: (asked, host.encode(asked)), generate=generate)


def test_the_question_that_a_host_fails_at_is_named_and_answers_stay(
    config: EvaluationConfig, host: EvaluationHost
) -> None:
    config = replace(config, languages=("en", "ar"))
    last = evaluate(config, host=host).answers[-1]  # in the order of questions
    one = evaluate(replace(config, out=f"{config.out}-2", limit=1), host=host)
    assert one.made == 2
    broken = failing(host, lambda asked: (last.lang, last.index) in asked)
    with pytest.raises(HostError, match=rf"(?s)fails at a question.*MMMB_{last.lang} {last.index}\n") as caught:
        evaluate(replace(config, out=f"{config.out}-2"), host=broken)
    assert "because    KeyError: 'cache'" in str(caught.value)
    assert "test_evaluate.py line" in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)
    assert evaluate(replace(config, out=f"{config.out}-2"), host=host).made <= 12 - one.made
    # after the check of batches, so that nothing is asked one by one for that
    once = iter([False])
    broken = failing(host, lambda asked: len(asked) > 1 and next(once, True))
    with pytest.raises(HostError, match=r"(?s)these questions together.*rows .*MMMB_.*, MMMB_.*--batch-size 1"):
        evaluate(replace(config, out=f"{config.out}-3"), host=broken)


@pytest.mark.parametrize("scoring", late_unless(["generate"], ["generate", "loglik"]))
def test_the_command_says_what_a_host_raises(
    config: EvaluationConfig, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, scoring: str
) -> None:
    def forward(self, *_: object, **__: object) -> None:
        raise ValueError("no such tile\nand more")

    monkeypatch.setattr("transformers.LlavaModel.forward", forward)
    assert main(arguments(config, scoring=scoring)) == 1
    shown = capsys.readouterr().err
    assert "parrot: HostError: the host fails at a question.\n  row        MMMB_" in shown
    assert "because    ValueError: no such tile\n" in shown
    assert "Traceback" not in shown


# --- with an adapter --------------------------------------------------------------------------------------------


def test_an_adapter_answers_and_its_routing_is_kept(config: EvaluationConfig, model: Path, tmp_path: Path) -> None:
    import parrot_adapters as pa

    loaded = EvaluationHost.load(str(model), device="cpu")
    handle = pa.attach(loaded.model, {"num_experts": 3, "expert_hidden_size": 16}, processor=loaded.processor)
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    handle.save_pretrained(tmp_path / "adapter")
    plain = evaluate(config)
    run = evaluate(replace(config, adapter=str(tmp_path / "adapter")))
    assert run.made == 18, "answers of the bare host are not the adapter's"
    assert said(run) != said(plain)
    assert all(sum(answer.routing) == pytest.approx(1, abs=1e-3) for answer in run.answers)
    content = score_run(run, resamples=50).as_json()
    assert {len(weights) for weights in content["routing"]["subsets"].values()} == {3}
    assert set(content["routing"]["categories"]) == {question.row.label("category") for question in run.questions}
    assert content["routing"]["statistics"]["decisions"] == len(run.answers)
    assert len(content["adapter"]["digest"]) == 64
    alone = evaluate(replace(config, adapter=str(tmp_path / "adapter"), batch_size=1, out=str(tmp_path / "alone")))
    assert said(alone) == said(run)
    by_row = {(a.lang, a.index): a.routing for a in run.answers}
    for answer in alone.answers:
        assert answer.routing == pytest.approx(by_row[answer.lang, answer.index], abs=1e-4)


def test_a_rows_routing_is_the_mean_of_whatever_was_routed(config: EvaluationConfig, host: EvaluationHost) -> None:
    """Per visual token here, sixteen of them: shares all the same."""
    import parrot_adapters as pa

    with pa.attach(host.model, {"num_experts": 3, "expert_hidden_size": 16, "router": "per-token"}) as handle:
        watching = EvaluationHost(host.model, host.processor, handle, host.identity)
        with handle.record_routing() as log:
            run = evaluate(replace(config, limit=1, languages=("en",)), host=watching)
    assert log[-1].unit == "token"
    assert run.answers[0].routing == pytest.approx(log[-1].weights.mean(0).tolist(), abs=1e-4)


def test_a_host_without_all_its_weights_is_refused(config: EvaluationConfig, model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    other = tmp_path / "other"
    other.mkdir()
    for path in model.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    weights = load_file(other / "model.safetensors")
    weights.pop(next(name for name in weights if "layers.1.mlp.up_proj" in name and "vision" not in name))
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="1 of the model's weights are not in its files"):
        evaluate(replace(config, model=str(other)))
    (other / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        evaluate(replace(config, model=str(other)))


def test_a_full_disk_keeps_what_is_there(
    config: EvaluationConfig, host: EvaluationHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    evaluate(replace(config, limit=2), host=host)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(EvaluationDataError, match="No space left on device"):
            evaluate(config, host=host)
    assert evaluate(replace(config, limit=2), host=host).made == 0
    (Path(config.out) / "file").write_text("")
    with pytest.raises(EvaluationDataError, match="cannot be written here"):
        evaluate(replace(config, out=f"{config.out}/file"), host=host)


# --- what looks like the model's own signs -----------------------------------------------------------------------


def test_a_question_about_a_placeholder_is_asked_as_text(
    config: EvaluationConfig, host: EvaluationHost, tmp_path: Path
) -> None:
    token = host.processor.image_token
    data = benchmark_files.save_benchmark(tmp_path / "marked", languages=("en",))
    path = data / "MMMB_en.tsv"
    head, first, second, *rest = path.read_text("utf-8").splitlines()
    index, _, *cells = second.split("\t")
    marked = "\t".join([index, f"What does {token} mean?", *cells])
    path.write_text("\n".join([head, first, marked, *rest]) + "\n", encoding="utf-8")
    with pytest.warns(ParrotWarning, match=f"1 questions contain signs .* MMMB_en {index}$"):
        run = evaluate(replace(config, data=str(data), languages=()), host=host)
    assert run.made == len(run.questions)
    [asked] = [question for question in run.questions if token in question.prompt]
    assert host.render(asked.prompt, 1).count(token) == 1, "the picture's own, and no other"
    assert host.as_text("no sign at all") == "no sign at all"


def test_a_sample_of_questions_reaches_from_the_first_to_the_last() -> None:
    from parrot_adapters.evaluation.answers.batching import spread

    assert spread(range(10), 4) == [0, 3, 6, 9]
    assert spread(range(3), 4) == [0, 1, 2]
    assert spread(range(100), 2) == [0, 99]
