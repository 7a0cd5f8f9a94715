"""Two real processes over gloo do what one does: losses, gradients, weights, checkpoints."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from miniatures import FAMILIES
from safetensors.torch import load_file
from support.folders import TESTS
from support.training_runs import ToyCollator, ToyData, toy_config, toy_run

from parrot_adapters import read_language_routing
from parrot_adapters.errors import ConfigError
from parrot_adapters.training.engines import decoder_layers, sharing_weights
from parrot_adapters.training.micro_batches import MicroBatches

NEEDS_DEEPSPEED = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed: pip install deepspeed"
)
ZERO = tuple(pytest.param(kind, marks=NEEDS_DEEPSPEED) for kind in ("zero2", "zero3"))
ENGINES = ("ddp", "fsdp2", *ZERO)


def start(out, *launcher, **changes):
    """Two processes; how they were started and what they print."""
    command = [sys.executable, "-m", *(launcher or TORCHRUN), str(TESTS / "support" / "training_runs.py")]
    path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        [*command, str(out), json.dumps(changes)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


WAIT = float(os.environ.get("PARROT_TEST_WAIT", "150"))  # seconds for two processes; more on a busy machine
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def together(out, *launcher, code=0, **changes):
    """Train in two processes."""
    process = start(out, *launcher, **changes)
    try:
        printed, _ = process.communicate(timeout=WAIT)
    except subprocess.TimeoutExpired:  # they wait for each other
        process.terminate()  # the launcher ends its processes
        raise AssertionError(f"hangs: {process.communicate()[0]}") from None
    assert process.returncode == code, printed
    return printed


class Stopped(Exception):
    """Stands for the end of the process."""


def alone(out, *, stop_after=None, **changes):
    """Train in this process; ``stop_after`` so many micro-batches it ends."""
    torch.set_num_threads(1)
    family, text_only = changes.pop("family", "llava"), changes.pop("text_only", ())
    changes.pop("zero", None)

    class Collator(ToyCollator):
        made = 0

        def __call__(self, samples):
            self.made += 1
            if self.made == stop_after:
                raise Stopped
            return super().__call__(samples)

    data = ToyData(text_only=text_only)
    return toy_run(toy_config(out, **changes), family, data, collator=Collator(FAMILIES[family]))


def same(here, there, tolerance=1e-4):
    """Metrics and adapters of two runs."""
    a, b = (
        [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()] for out in (here, there)
    )
    assert [line["step"] for line in a] == [line["step"] for line in b]
    for mine, other in zip(a, b, strict=True):
        for key in ("loss", "grad_norm", "tokens", "epoch"):
            assert mine[key] == pytest.approx(other[key], rel=tolerance), (mine["step"], key)
        assert mine.get("languages", {}) == pytest.approx(other.get("languages", {}), rel=tolerance)
        if "routing" in mine:
            assert mine["routing"]["usage"] == pytest.approx(other["routing"]["usage"], rel=tolerance)
    files = sorted(p.relative_to(here / "adapter") for p in (here / "adapter").rglob("*.safetensors"))
    assert files
    for name in files:
        weights, others = load_file(here / "adapter" / name), load_file(there / "adapter" / name)
        for key, value in weights.items():
            torch.testing.assert_close(others[key], value, rtol=1e-2, atol=1e-3)
    described, other = (json.loads((out / "adapter" / "adapter_config.json").read_text()) for out in (here, there))
    assert described["host"]["architecture"] == other["host"]["architecture"]


# --- without processes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("micro_batch", [1, 2, 3])
def test_the_global_batches_are_the_same_for_any_number_of_processes(processes, micro_batch):
    data, per_step, steps = ToyData(count=17), 4, 9
    dealt = [list(MicroBatches(data, micro_batch, per_step, steps, p, processes)) for p in range(processes)]
    assert all(len(mine) == steps * per_step // processes for mine in dealt)
    sizes = {len(MicroBatches(data, micro_batch, per_step, steps, p, processes)) for p in range(processes)}
    assert sizes == {steps * per_step // processes}
    share = per_step // processes
    found = [
        sorted(map(tuple, (batch for mine in dealt for batch in mine[step * share : (step + 1) * share])))
        for step in range(steps)
    ]
    row = [tuple(batch) for epoch in range(20) for batch in data.batches(micro_batch, epoch)]
    assert found == [sorted(row[step * per_step : (step + 1) * per_step]) for step in range(steps)]


def test_no_data_ends():
    class Empty(ToyData):
        def batches(self, micro_batch, epoch):
            return []

    assert list(MicroBatches(Empty(), 2, 2, 3, 0, 1)) == []


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "gemma3", "internvl", "qwen3_vl"])
def test_only_decoder_layers_are_units_of_their_own(family):
    from support.training_runs import toy_handle

    handle = toy_handle(toy_config("unused"), family)
    names = decoder_layers(handle)
    assert names
    inside = set(map(id, handle.parts.module(handle.parts.language_model).modules()))
    wrapped = [m for m in handle.model.modules() if type(m).__name__ in names]
    assert len(wrapped) == handle.model.config.get_text_config().num_hidden_layers
    assert all(id(m) in inside for m in wrapped)


def test_a_host_whose_tower_uses_decoder_layers_is_refused():
    from support.training_runs import toy_handle

    handle = toy_handle(toy_config("unused"))
    layer = handle.parts.module(handle.parts.language_model).layers[0]
    handle.parts.module(handle.parts.vision_tower).odd = type(layer)(handle.model.config.text_config, 0)
    with pytest.raises(ConfigError, match="in and outside the language model"):
        decoder_layers(handle)


def test_a_copy_that_shares_weights_has_a_handle_of_its_own():
    from support.training_runs import toy_handle

    from parrot_adapters import attachment_of

    handle = toy_handle(toy_config("unused"))
    copied = sharing_weights(handle.model)
    assert attachment_of(copied) is not handle
    for (name, a), b in zip(handle.model.named_parameters(), copied.parameters(), strict=True):
        assert a is not b, name
        assert a.data_ptr() == b.data_ptr(), name
        assert a.requires_grad == b.requires_grad, name


# --- two processes ---------------------------------------------------------------------------------------------------

SLOW = pytest.mark.slow


@SLOW
@pytest.mark.parametrize("engine", ENGINES)
def test_two_processes_do_what_one_does(tmp_path, engine):
    alone(tmp_path / "one", losses={"load-balancing": 0.1})
    together(tmp_path / "two", engine__kind=engine, losses={"load-balancing": 0.1})
    same(tmp_path / "one", tmp_path / "two")
    one, two = (read_language_routing(tmp_path / name / "adapter") for name in ("one", "two"))
    assert set(one) == {"en", "tr", "ru"}
    assert set(two) == (set(one) if engine == "ddp" else set())  # a process of FSDP2 has no whole model to measure
    for language in two:
        assert two[language].decisions == one[language].decisions
        assert two[language].weights == pytest.approx(one[language].weights, rel=1e-2)


@SLOW
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "gemma3"])
def test_a_process_without_pictures_keeps_nobody_waiting(tmp_path, engine, family):
    """Micro-batches of one sample, most without pictures: processes rarely agree."""
    odd = {"text_only": [n for n in range(24) if n % 3 != 1], "batch": {"size": 4, "per_device": 1}, "family": family}
    alone(tmp_path / "one", **odd)
    together(tmp_path / "two", engine__kind=engine, **odd)
    same(tmp_path / "one", tmp_path / "two")


LAYERS = {"num_experts": 3, "expert_hidden_size": 16, "layer_rank": 2}


@SLOW
@pytest.mark.parametrize("engine", ["ddp", "fsdp2"])
@pytest.mark.parametrize(
    ("placement", "recomputed"), [("layers", False), ("both", True)], ids=["layers", "both, recomputed"]
)
def test_experts_inside_the_layers(tmp_path, engine, placement, recomputed):
    """Most micro-batches without pictures, so that a process often has no visual token where the other has some."""
    changes = {
        "adapter": {**LAYERS, "placement": placement},
        "text_only": [n for n in range(24) if n % 3 != 1],
        "batch": {"size": 4, "per_device": 1},
        "engine__gradient_checkpointing": recomputed,
        "steps": 4,
    }
    alone(tmp_path / "one", **changes)
    together(tmp_path / "two", engine__kind=engine, **changes)
    same(tmp_path / "one", tmp_path / "two")
    learned = load_file(tmp_path / "two" / "adapter" / "adapter_model.safetensors")
    # Of the last layer only keys and values at visual tokens reach an answer.
    assert all(
        value.any() for name, value in learned.items() if name.endswith(("k_proj_experts.down", "v_proj_experts.down"))
    )


@SLOW
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "what",
    [
        {"train__language_model": "lora", "lora": {"r": 2}, "engine__gradient_checkpointing": True},
        {"train__language_model": "full", "recipe": "stage2"},
        {"recipe": "stage1", "adapter": None, "train__adapter": None},
        {"train__language_model": "full", "train__embeddings": True, "recipe": "stage2", "family": "gemma3"},
    ],
    ids=["lora, recomputed", "full", "stage1", "tied embeddings"],
)
def test_whatever_trains(tmp_path, engine, what):
    alone(tmp_path / "one", steps=4, **what)
    together(tmp_path / "two", steps=4, engine__kind=engine, **what)
    same(tmp_path / "one", tmp_path / "two")


@SLOW
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("family", "row"), [("llava", 60), ("qwen2_5_vl", 30)])
def test_packed_in_two_processes_is_unpacked_in_one(tmp_path, engine, family, row):
    """A process whose rows hold no picture keeps nobody waiting either."""
    what = {"text_only": [n for n in range(24) if n % 3 != 1], "batch": {"size": 8, "per_device": 2}, "family": family}
    alone(tmp_path / "one", **what)
    together(tmp_path / "two", engine__kind=engine, data__packing=True, data__max_length=row, **what)
    same(tmp_path / "one", tmp_path / "two")


@SLOW
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("what", [{}, {"train__language_model": "full", "recipe": "stage2"}], ids=["adapter", "full"])
def test_checkpoints_of_two_go_on_in_one_and_back(tmp_path, engine, what):
    what = {"checkpoint__every": 3, **what}
    alone(tmp_path / "one", **what)
    mixed = tmp_path / "mixed"
    killed = start(mixed, engine__kind=engine, die_in_step=5, **what)
    killed.communicate(timeout=WAIT)
    assert killed.returncode != 0
    (at,) = (mixed / "checkpoints").glob("step-*")
    assert at.name == "step-00000003"
    with pytest.raises(Stopped):
        alone(mixed, stop_after=9, **what)  # after step 6
    together(mixed, engine__kind=engine, **what)
    same(tmp_path / "one", mixed)


@SLOW
def test_a_signal_to_the_launcher_saves(tmp_path):
    process = start(tmp_path, steps=4000, log__every=1, checkpoint__every=1000)
    while not (tmp_path / "metrics.jsonl").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=100)
    (saved,) = (tmp_path / "checkpoints").glob("step-*")
    assert 0 < int(saved.name[5:]) < 1000


@SLOW
def test_accelerate_launches_it_too(tmp_path):
    alone(tmp_path / "one", steps=4)
    launcher = ("accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1")
    together(tmp_path / "two", *launcher, "--mixed_precision", "no", "--dynamo_backend", "no", steps=4)
    same(tmp_path / "one", tmp_path / "two")


# --- DeepSpeed -------------------------------------------------------------------------------------------------------

ODD = {"text_only": [n for n in range(24) if n % 3 != 1], "batch": {"size": 4, "per_device": 1}, "steps": 6}
CUT = {  # many buckets, and no parameter too small to be cut up
    "reduce_bucket_size": 2000,
    "allgather_bucket_size": 2000,
    "stage3_prefetch_bucket_size": 2000,
    "stage3_param_persistence_threshold": 0,
}
LORA = {"train__language_model": "lora", "lora": {"r": 2}}


@SLOW
@pytest.mark.parametrize("engine", ZERO)
@pytest.mark.parametrize("what", [LORA, {"train__language_model": "full", "recipe": "stage2"}], ids=["lora", "full"])
def test_gradients_meet_their_own_in_many_buckets_whatever_a_process_sees(tmp_path, engine, what):
    alone(tmp_path / "one", **ODD, **what)
    together(tmp_path / "two", engine__kind=engine, zero=CUT, **ODD, **what)
    same(tmp_path / "one", tmp_path / "two")


@SLOW
@NEEDS_DEEPSPEED
def test_gradients_in_another_order_would_be_summed_with_strangers(tmp_path):
    alone(tmp_path / "one", **ODD, **LORA)
    together(tmp_path / "two", engine__kind="zero2", broken="order", **ODD, **LORA)
    with pytest.raises(AssertionError):
        same(tmp_path / "one", tmp_path / "two")


@SLOW
@NEEDS_DEEPSPEED
def test_without_what_is_kept_whole_zero3_cannot_train(tmp_path):
    assert "Error" in together(tmp_path, engine__kind="zero3", broken="whole", code=1, **ODD)


@SLOW
@pytest.mark.parametrize("engine", ZERO)
def test_clipping_and_a_second_run_in_the_same_process(tmp_path, engine):
    clipped = {"optim__max_grad_norm": 0.1, "steps": 4}
    alone(tmp_path / "one", **clipped)
    together(
        tmp_path / "two", engine__kind=engine, then={"out": str(tmp_path / "three"), "engine__kind": "ddp"}, **clipped
    )
    same(tmp_path / "one", tmp_path / "two")
    same(tmp_path / "one", tmp_path / "three")


@SLOW
@pytest.mark.parametrize("engine", ZERO)
def test_a_run_that_diverges_stops_and_names_its_batch(tmp_path, engine):
    together(tmp_path, engine__kind=engine, optim__learning_rate=1e30, code=1)
    assert "training diverged at step 3: the loss is nan" in (tmp_path / "error.txt").read_text()
    assert json.loads((tmp_path / "bad_batch.json").read_text())["identities"]
    assert not (tmp_path / "adapter").exists()


@SLOW
@pytest.mark.parametrize("engine", ZERO)
@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_a_killed_run_ends_bit_for_bit_like_one_that_was_not(tmp_path, engine, compute):
    """Also where what it computes with is rounded, and the original is in the checkpoint."""
    what = {"engine__kind": engine, "engine__compute": compute, "host__dtype": compute, "steps": 6, **LORA}
    together(tmp_path / "whole", **what)
    killed = start(tmp_path / "killed", die_in_step=5, **what)
    killed.communicate(timeout=WAIT)
    assert killed.returncode != 0
    together(tmp_path / "killed", **what)
    files = sorted(p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole" / "adapter").rglob("*.safetensors"))
    assert len(files) > 1
    for name in files:
        one, two = load_file(tmp_path / "whole" / name), load_file(tmp_path / "killed" / name)
        assert all(torch.equal(one[key], two[key]) for key in one), name
