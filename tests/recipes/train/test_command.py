"""``parrot train`` from a YAML file: both stages and retrofit, on hosts of several families as they lie on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import transformers
from PIL import Image
from support import chat_processors
from support.run_world import ADAPTER, FAMILIES, STAGE1, answers, losses, make_world, stage, write
from support.shards import write_shard
from support.tiers import late_unless

import parrot_adapters as pa
from parrot_adapters.cli import main
from parrot_adapters.data import Collator, open_data
from parrot_adapters.hosts.load_host import load_processor
from parrot_adapters.training import load_config


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("family", "kind"),
    late_unless([("llava", "lora")], [(f, kind) for f in FAMILIES for kind in ("lora", "full")]),
)
def test_both_stages_and_retrofit(world, tmp_path, family, kind, capsys):
    """Stage 1, stage 2 on its projector, and an adapter for what came out of that."""
    first = write(world, tmp_path, "one", STAGE1, family)
    assert main(["train", str(first)]) == 0
    assert {p.name for p in (tmp_path / "one" / "adapter").iterdir()} == {
        "adapter_config.json",
        "projector.safetensors",
        "README.md",
    }
    tuned = "lora: {r: 2, target_modules: all-linear}" if kind == "lora" else "train: {language_model: full}"
    second = write(world, tmp_path, "two", stage("stage2", tmp_path / "one" / "adapter", tuned), family)
    assert main(["train", str(second)]) == 0
    out = tmp_path / "two"
    assert losses(out)[-1] < 0.95 * losses(out)[0]
    assert (out / "host").is_dir() == (kind == "full")
    assert (out / "adapter" / "projector.safetensors").exists() == (kind == "lora")
    assert (out / "adapter" / "llm_lora").is_dir() == (kind == "lora")
    host = out / "host" if kind == "full" else world / family
    seen = answers(host, out / "adapter", second)
    assert torch.isfinite(seen).all()
    third = write(world, tmp_path, "three", stage("retrofit", out / "adapter"), family)
    assert main(["train", str(third), f"host.path={host}", "steps=4"]) == 0
    assert losses(tmp_path / "three")[0] < losses(out)[0]
    assert (tmp_path / "three" / "adapter" / "llm_lora").is_dir() == (kind == "lora")
    assert "done: 4 steps" in capsys.readouterr().out


@pytest.mark.slow
def test_a_module_is_taken_over(world, tmp_path):
    """With a learning rate of next to nothing the second run is the first one's adapter."""
    first = write(world, tmp_path, "one", stage("retrofit"))
    assert main(["train", str(first)]) == 0
    again = write(world, tmp_path, "two", stage("retrofit", tmp_path / "one" / "adapter"))
    assert main(["train", str(again), "steps=1", "optim.learning_rate=1e-30"]) == 0
    host = world / "llava"
    wanted = answers(host, tmp_path / "one" / "adapter", first)
    torch.testing.assert_close(answers(host, tmp_path / "two" / "adapter", again), wanted)
    assert main(["train", str(again), "adapter.num_experts=3", f"out={tmp_path / 'three'}"]) == 2


def test_trained_and_loaded_agree(world, tmp_path):
    from parrot_recipes.train import retrofit

    file = write(world, tmp_path, "one", stage("retrofit", more="train: {projector: true}"))
    kept = {}

    def keep(handle, processor, config, *args, **options):
        from parrot_recipes.train import learning

        kept["handle"] = handle
        return learning.learn(handle, processor, config, *args, **options)

    original, retrofit.learn = retrofit.learn, keep
    try:
        assert main(["train", str(file)]) == 0
    finally:
        retrofit.learn = original
    handle = kept["handle"]
    config = load_config(file)
    data = open_data(config.data, seed=0)
    from parrot_adapters.training import load_training_host

    model, processor = load_training_host(config)
    batch = Collator(processor, model_config=model.config)([data[0], data[1], data[2]])
    inputs = {k: v for k, v in batch.items() if not k.startswith("parrot_")}
    with torch.no_grad():
        trained = handle.model(**inputs).logits
        assert torch.equal(answers(world / "llava", tmp_path / "one" / "adapter", file), trained)
        handle.detach()
        assert torch.equal(handle.model(**inputs).logits, model(**inputs).logits)


# --- exit codes ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="with torchvision the whole processor loads")
def test_a_processor_whose_videos_need_torchvision_takes_pictures(tmp_path):
    made = chat_processors.qwen2_vl()
    for part in (made.tokenizer, made.image_processor, transformers.Qwen2VLConfig()):
        part.save_pretrained(tmp_path)
    with pytest.warns(pa.ParrotWarning, match="torchvision is not installed"):
        processor = load_processor(str(tmp_path))
    processor.save_pretrained(tmp_path / "again")
    transformers.Qwen2VLConfig().save_pretrained(tmp_path / "again")
    with pytest.warns(pa.ParrotWarning, match="takes no videos"):
        again = load_processor(str(tmp_path / "again"))
    asked = {"text": ["<|image_pad|> a"], "images": [Image.new("RGB", (32, 32))], "return_tensors": "pt"}
    expected = made(**asked)
    for loaded in (processor, again):
        given = loaded(**asked)
        assert torch.equal(given["input_ids"], expected["input_ids"])
        assert torch.equal(given["pixel_values"], expected["pixel_values"])


def test_a_path_that_leads_nowhere_is_no_hub_name(capsys):
    assert main(["data", "check", __file__, "--processor", "/nowhere/host"]) == 2
    assert "there is no such directory" in capsys.readouterr().err


def test_done_already(world, tmp_path, capsys):
    file = write(world, tmp_path, "one", STAGE1)
    assert main(["train", str(file)]) == 0
    lines = losses(tmp_path / "one")
    assert main(["train", str(file)]) == 0
    assert "done already: 12 steps" in capsys.readouterr().out
    assert main(["train", str(file), "steps=14"]) == 0
    assert losses(tmp_path / "one")[: len(lines)] == lines
    assert len(losses(tmp_path / "one")) == len(lines) + 1


def test_another_configuration_is_2_and_names_the_keys(world, tmp_path, capsys):
    file = write(world, tmp_path, "one", STAGE1)
    assert main(["train", str(file), "steps=2"]) == 0
    assert main(["train", str(file), "steps=2", "seed=3", "optim.learning_rate=1e-4"]) == 2
    error = capsys.readouterr().err
    assert "seed: was 0, is 3" in error
    assert "optim.learning_rate: was 0.005, is 0.0001" in error
    assert main(["train", str(file), "steps=2", "seed=3", "--fresh"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["steps"], 2, "is not key.path=value"),
        (["stepz=3"], 2, "stepz"),
        (["host.path=nowhere"], 2, "cannot be loaded"),
        (["start_from=nowhere"], 2, "start_from  "),
        (["data.sources.0.path=nowhere.json"], 2, "data.sources.0.path  "),
        (["data.max_length=4"], 1, "long"),
        (["engine.kind=fsdp2"], 2, "torchrun"),
        (["batch.size=3"], 2, "batch.size"),
    ],
)
def test_what_is_wrong_is_said(world, tmp_path, capsys, arguments, code, words):
    file = write(world, tmp_path, "one", STAGE1)
    assert main(["train", str(file), *arguments]) == code
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_everything_that_does_not_exist_is_named(world, tmp_path, capsys):
    file = write(world, tmp_path, "one", STAGE1)
    gone = ["host.path=./gone", "data.sources.0.path=gone.json", "data.sources.0.images=gone"]
    assert main(["train", str(file), *gone]) == 2
    error = capsys.readouterr().err
    assert all(key.partition("=")[0] in error for key in gone)


def test_an_attempt_that_came_to_nothing_holds_no_directory(world, tmp_path, capsys):
    """Mending a misspelt path is no other configuration; a run that has logged a step is."""
    file = write(world, tmp_path, "one", STAGE1)
    assert main(["train", str(file), "host.path=nowhere"]) == 2
    assert main(["train", str(file), "steps=2"]) == 0
    assert main(["train", str(file), "steps=2", "seed=5"]) == 2
    assert "seed: was 0, is 5" in capsys.readouterr().err


def test_a_configuration_of_the_users_own_is_never_replaced(world, tmp_path, capsys):
    file = write(world, tmp_path, "one", STAGE1)
    (tmp_path / "one").mkdir()
    own = tmp_path / "one" / "config.yaml"
    own.write_text("mine: true\n")
    for fresh in ([], ["--fresh"]):
        assert main(["train", str(file), *fresh]) == 2
        assert "was not written by a run" in capsys.readouterr().err
    assert own.read_text() == "mine: true\n"


@pytest.mark.parametrize(("steps", "after"), [(4, 4), (12, 10)])
def test_a_run_that_learns_nothing_is_not_done(world, tmp_path, capsys, steps, after):
    samples = json.loads((world / "stage1.json").read_text("utf-8"))
    bad = [{**sample, "image": "gone.png"} for sample in samples]
    (world / "all-bad.json").write_text(json.dumps(bad), encoding="utf-8")
    file = write(world, tmp_path, "one", "recipe: stage1\ndata: {sources: [{path: all-bad.json}], bad_samples: skip}")
    assert main(["train", str(file), f"steps={steps}"]) == 1
    assert f"nothing to learn in the last {after} steps" in capsys.readouterr().err
    assert not (tmp_path / "one" / "adapter").exists()


def test_bad_samples_can_be_skipped(world, tmp_path):
    """A picture that is not there: an error, or a line in the rejects file."""
    samples = json.loads((world / "stage1.json").read_text("utf-8"))
    samples[1]["image"] = "gone.png"
    (world / "holes.json").write_text(json.dumps(samples), encoding="utf-8")
    file = write(world, tmp_path, "one", "recipe: stage1\ndata: {sources: [{path: holes.json}]}")
    assert main(["train", str(file)]) == 1
    assert main(["train", str(file), "data.bad_samples=skip", "--fresh"]) == 0
    rejects = [json.loads(line) for line in (tmp_path / "one" / "rejects.jsonl").read_text().splitlines()]
    assert [reject["identity"] for reject in rejects] == [samples[1]["id"]]


@pytest.mark.slow
def test_streams_and_budgets(world, tmp_path):
    """Other ways to make batches: a run goes on from a stream's middle as if it had never stopped."""
    lines = [json.dumps(sample) for sample in json.loads((world / "stage2.json").read_text("utf-8"))]
    (world / "stage2.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = "recipe: stage1\ndata: {sources: [{path: stage2.jsonl, streaming: true, format: llava}]}"
    whole, parts = (write(world, tmp_path, name, text) for name in ("whole", "parts"))
    steady = ["optim.schedule=constant", "optim.warmup_ratio=0"]
    assert main(["train", str(whole), *steady]) == 0
    assert main(["train", str(parts), *steady, "steps=5"]) == 0
    assert main(["train", str(parts), *steady]) == 0
    assert losses(tmp_path / "parts")[-3:] == losses(tmp_path / "whole")[-3:]
    assert main(["train", str(parts), "steps=null", "--fresh"]) == 2  # a stream has no epochs to count
    text = "recipe: stage1\ndata: {sources: [{path: stage2.json}], token_budget: 300, max_length: 200}"
    budget = write(world, tmp_path, "budget", text)
    assert main(["train", str(budget)]) == 0
    # In pieces it goes on, where a micro-batch of one sample leaves a piece without any.
    assert main(["train", str(budget), "engine.pieces=2", "data.token_budget=300", "steps=14"]) == 0
    assert main(["train", str(budget), "engine.pieces=3", "steps=16"]) == 2


@pytest.mark.slow
def test_shards(world, tmp_path, capsys):
    """WebDataset, streamed: planned, trained, gone on with from a shard's middle, and its bad samples skipped."""
    samples = json.loads((world / "stage2.json").read_text("utf-8"))
    for shard in range(3):
        here = [(s["id"], {"json": s, "png": (world / s["image"]).read_bytes()}) for s in samples[shard::3]]
        write_shard(world / f"colours-{shard}.tar", [*here, ("bad", {"json": b"{", "png": b""})])
    data = "{sources: [{path: 'colours-{0..2}.tar', streaming: true}], bad_samples: skip}"
    text = f"recipe: retrofit\ndata: {data}\n{ADAPTER}"
    whole, parts = (write(world, tmp_path, name, text) for name in ("whole", "parts"))
    assert main(["plan", str(whole), "--json"]) == 0
    (source,) = json.loads(capsys.readouterr().out)["data"]["sources"]
    assert source["path"] == str(world / "colours-{0..2}.tar")
    assert main(["plan", str(whole), "--json", "data.sources.0.streaming=false"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["samples"] == len(samples)
    steady = ["optim.schedule=constant", "optim.warmup_ratio=0"]
    assert main(["train", str(whole), *steady]) == 0
    assert main(["train", str(parts), *steady, "steps=5"]) == 0
    assert main(["train", str(parts), *steady]) == 0
    assert losses(tmp_path / "parts")[-3:] == losses(tmp_path / "whole")[-3:]
    for name in ("whole", "parts"):
        lines = (tmp_path / name / "rejects.jsonl").read_text("utf-8").splitlines()
        rejects = {(Path(r["source"]).name, r["identity"], r["problem"]) for r in map(json.loads, lines)}
        assert rejects == {(f"colours-{shard}.tar", "bad", "bad-record") for shard in range(3)}
        assert len(lines) == 3, "each is written once"


def test_tensorboard_gets_what_metrics_get(world, tmp_path):
    file = write(world, tmp_path, "one", STAGE1)
    assert main(["train", str(file), "log.tensorboard=true", "steps=4"]) == 0
    assert list((tmp_path / "one" / "tensorboard").rglob("events.*"))


@pytest.mark.slow
def test_a_process_that_is_asked_to_stop_says_143(world, tmp_path):
    file = write(world, tmp_path, "one", STAGE1)
    command = [sys.executable, "-m", "parrot_adapters", "train", str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, "steps=5000", "checkpoint.every=10000"], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (tmp_path / "one" / "metrics.jsonl").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "saved. The same command goes on" in error
    (saved,) = (tmp_path / "one" / "checkpoints").glob("step-*")
    step = int(saved.name[5:])
    done = subprocess.run([*command, f"steps={step + 2}"], env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert f"done: steps {step} to {step + 2}" in done.stdout


@pytest.mark.slow
def test_torchrun(world, tmp_path):
    file = write(world, tmp_path, "one", stage("retrofit"))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for engine in ("ddp", "fsdp2"):
        done = subprocess.run(
            [
                *launcher,
                "-m",
                "parrot_adapters",
                "train",
                str(file),
                f"engine.kind={engine}",
                f"out={tmp_path / engine}",
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("done: 12 steps") == 1
    assert losses(tmp_path / "ddp") == pytest.approx(losses(tmp_path / "fsdp2"), rel=1e-4)
