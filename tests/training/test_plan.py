"""The plan of a run, held against runs that really happened."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from miniatures import FAMILIES
from support.tiers import late_unless
from support.training_runs import ToyCollator, ToyData, toy_config, toy_handle

import parrot_adapters as pa
from parrot_adapters.cli import main
from parrot_adapters.data.packing import SEGMENTS, pack
from parrot_adapters.errors import ConfigError
from parrot_adapters.hosts.packed_rows import packed_arguments
from parrot_adapters.training import train
from parrot_adapters.training.cluster_plan import ENGINES, HEADROOM, plan_clusters
from parrot_adapters.training.memory_estimate import (
    MemoryOfStep,
    TensorBytes,
    WithoutWeights,
    make_fake,
    measure_step,
)
from parrot_adapters.training.padding_estimate import heaviest, padding_by_layout
from parrot_adapters.training.plan import make_plan, step_without_weights
from parrot_adapters.training.shared_memory import shared_among
from parrot_adapters.training.training_config import BatchSettings, TrainSettings
from parrot_adapters.training.weightless_host import attach_to_nothing, held_beside, imagined_batch

FULL = {"recipe": "stage2", "train": TrainSettings(adapter=True, projector=True, language_model="full")}
LORA = {"lora": {"r": 2}, "train": TrainSettings(adapter=True, projector=False, language_model="lora")}
NOW = ("llava", "qwen2_5_vl", "idefics3")  # shapes of pictures: of one size, of their own, in tiles
CASES = [
    ("llava", {}),
    ("llava", {"engine__gradient_checkpointing": True}),
    ("llava", FULL),
    ("llava", {"engine__compute": "bfloat16", "host__dtype": "bfloat16"}),
    ("qwen2_5_vl", LORA),
    ("qwen2_5_vl", {"engine__gradient_checkpointing": True}),
    ("gemma3", {}),
    ("llava", {"adapter": {"num_experts": 6, "expert_hidden_size": 256, "top_k": 1}}),
    ("llava", {"data__packing": True, "data__max_length": 48}),
    ("qwen2_5_vl", {"data__packing": True, "data__max_length": 40}),
    ("gemma3", {"engine__gradient_checkpointing": True, **FULL}),
]


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def heaviest_batch(family: str, rows: int) -> dict[str, Any]:
    samples = sorted(ToyData().samples, key=lambda sample: -len(sample.answer))[:rows]
    batch = ToyCollator(FAMILIES[family])(samples)
    return {key: value for key, value in batch.items() if not key.startswith("parrot_")}


def really(config: Any, family: str) -> int:
    """Bytes of tensors alive at the worst moment of a run by the library's own trainer."""
    handle = toy_handle(config, family)
    counter = TensorBytes()
    counter.hold([*handle.model.parameters(), *handle.model.buffers()])
    counter.add(held_beside(handle, config))
    with counter:
        train(handle, None, config, ToyData(), collator=ToyCollator(FAMILIES[family]))
    return counter.peak


def planned(config: Any, family: str) -> MemoryOfStep:
    handle = attach_to_nothing(config, FAMILIES[family].config())
    batch = heaviest_batch(family, config.batch.per_device)
    if config.data.packing:
        batch = pack(batch, config.data.max_length)
        batch = packed_arguments(handle.parts.base, batch, batch.pop(SEGMENTS))
    return step_without_weights(config, handle, batch, accumulation=2)


@pytest.mark.parametrize(("family", "changes"), late_unless([CASES[4]], CASES))
@pytest.mark.few(1)
def test_memory_is_within_a_tenth_of_a_real_run(family: str, changes: dict[str, Any], tmp_path: Path) -> None:
    config = toy_config(tmp_path / "run", steps=3, checkpoint__every=100, **changes)
    truth, plan = really(config, family), planned(config, family)
    assert abs(plan.total / truth - 1) < 0.1
    # The parts whose size follows from the parameters are exact.
    handle = toy_handle(config, family)
    trained = sum(p.numel() for p in handle.model.parameters() if p.requires_grad)
    assert plan.trained == plan.gradients == 4 * trained
    assert abs(plan.optimizer - 8 * trained) < 0.01 * plan.optimizer


@pytest.mark.slow
def test_the_tenth_bites(tmp_path: Path) -> None:
    """A plan of another run is refused: of half the batch, with recomputation, of the adapter alone."""
    config = toy_config(tmp_path / "run", steps=3, checkpoint__every=100, **FULL)
    truth = really(config, "llava")
    handle = attach_to_nothing(config, FAMILIES["llava"].config())
    half = step_without_weights(config, handle, heaviest_batch("llava", 1), accumulation=2)
    assert abs(half.total / truth - 1) > 0.1
    frozen = planned(toy_config(tmp_path / "run"), "llava")
    assert abs(frozen.total / truth - 1) > 0.1


def test_recomputing_saves_activations(tmp_path: Path) -> None:
    kept = planned(toy_config(tmp_path), "llava")
    recomputed = planned(toy_config(tmp_path, engine__gradient_checkpointing=True), "llava")
    assert recomputed.activations < 0.8 * kept.activations
    assert (recomputed.trained, recomputed.optimizer) == (kept.trained, kept.optimizer)


@pytest.mark.parametrize("family", late_unless(NOW, FAMILIES))
@pytest.mark.few(2)
def test_every_family_can_be_planned(family: str, tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    handle = attach_to_nothing(config, FAMILIES[family].config())
    assert all(p.is_meta for p in handle.model.parameters())
    step = step_without_weights(config, handle, heaviest_batch(family, 2))
    real = FAMILIES[family].build()
    weights = sum(p.nbytes for p in real.parameters())
    assert step.activations > 0
    assert step.frozen + step.trained > weights
    assert sum(1 for _ in handle.model.parameters()) == sum(1 for _ in toy_handle(config, family).model.parameters())


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_a_batch_can_be_imagined(family: str, tmp_path: Path) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    config = toy_config(tmp_path)
    handle = attach_to_nothing(config, FAMILIES[family].config())
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    make_fake(handle.model, mode)
    with mode, WithoutWeights():
        batch = imagined_batch(handle, 3, 64, {"max_pixels": 16 * 16})
    assert batch is not None
    assert batch["input_ids"].shape == (3, 64)
    model = FAMILIES[family].build()
    assert model(**batch).loss.isfinite()  # the host itself takes it: placeholders and pixels agree


def test_a_counter_counts() -> None:
    counter = TensorBytes()
    with counter:
        one = torch.zeros(1000)
        view = one[:10]
        two = one + 1
        del two, view
    assert (counter.live, counter.peak) == (4000, 8000)
    del one
    assert counter.live == 0


def test_engines_share_what_they_share() -> None:
    step = MemoryOfStep(frozen=16_000, trained=800, gradients=800, optimizer=1600, activations=100)
    alone = shared_among(step, "ddp", 1, layers=(1000, 500), compute="bfloat16")
    assert sum(alone.values()) == step.total
    for engine in ("ddp", "zero2", "zero3", "fsdp2"):
        shares = [shared_among(step, engine, n, layers=(1000, 500), compute="bfloat16") for n in (2, 4, 8)]
        assert all(parts["activations"] == 100 for parts in shares)
        totals = [sum(parts.values()) for parts in shares]
        assert totals == sorted(totals, reverse=True)
        state = [parts["optimizer state"] for parts in shares]
        assert state == ([1600] * 3 if engine == "ddp" else [800, 400, 200])
    assert shares[0]["frozen weights"] == 8000
    assert shared_among(step, "zero2", 4, layers=(0, 0), compute="bfloat16")["frozen weights"] == 16_000


def test_what_two_processes_hold_to_the_byte() -> None:
    """Worked out by hand from what each engine says of itself: half the weights are bfloat16 copies under ZeRO."""
    step = MemoryOfStep(frozen=16_000, trained=800, gradients=800, optimizer=1600, activations=100)
    held = {
        "ddp": (16_000, 800, 800, 1600, 800),  # buckets as large as the gradients
        "zero2": (16_000, 400 + 400, 200, 800, 400),
        "zero3": (8000, 200 + 400, 200, 800, 400 + 1000 * 2 + 16_400),
        "fsdp2": (8000, 400, 400, 800, (1000 + 2 * 500) * 2),
    }
    for engine, (frozen, trained, gradients, optimizer, communication) in held.items():
        assert shared_among(step, engine, 2, layers=(1000, 500), compute="bfloat16") == {
            "frozen weights": frozen,
            "trained weights": trained,
            "gradients": gradients,
            "optimizer state": optimizer,
            "activations": 100,
            "communication": communication,
        }, engine
    assert "communication" not in shared_among(step, "ddp", 1, layers=(1000, 500), compute="bfloat16")
    whole = shared_among(step, "fsdp2", 2, layers=(1000, 500), compute="float32")
    assert whole["communication"] == (1000 + 2 * 500) * 4


def test_what_engines_hold_of_a_large_model_is_limited_as_the_shipped_presets_say() -> None:
    presets = Path(__file__).parents[2] / "recipes" / "train"
    zero2, zero3 = (
        json.loads((presets / f"{kind}.json").read_text())["zero_optimization"] for kind in ("zero2", "zero3")
    )
    step = MemoryOfStep(
        frozen=14 * 10**9, trained=4 * 10**9, gradients=4 * 10**9, optimizer=8 * 10**9, activations=0
    )  # seven billion frozen weights in bfloat16, a billion that train
    for engine, limited in (
        ("zero2", 2 * zero2["reduce_bucket_size"]),  # two bytes an element
        ("zero3", 2 * zero3["reduce_bucket_size"] + 2 * zero3["stage3_max_live_parameters"]),
    ):
        assert shared_among(step, engine, 8, layers=(0, 0), compute="bfloat16")["communication"] == limited


# --- the whole plan --------------------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A configuration of a host that is a config.json alone, and of data that is not there: planned, but not fine."""
    FAMILIES["llava"].config().save_pretrained(tmp_path / "host")
    (tmp_path / "run.yaml").write_text(
        "recipe: retrofit\nout: run\nhost: {path: host, dtype: float32}\n"
        "adapter: {num_experts: 3, expert_hidden_size: 16}\ndata: {sources: [{path: train.json}], max_length: 48}\n"
        "batch: {size: 8, per_device: 2}\noptim: {learning_rates: {adapter: 1e-3}, weight_decay: 0.1}\n"
    )
    return tmp_path / "run.yaml"


def test_a_plan_needs_a_config_and_nothing_else(written: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(written), "--json", "steps=7"]) == 2
    plan = json.loads(capfd.readouterr().out)
    assert [path.name for path in (written.parent / "host").iterdir()] == ["config.json"]
    assert plan["steps"] == 7
    assert plan["accumulation"] == 4
    assert plan["tokens_per_step"] == 8 * 48
    assert {r["role"]: bool(r["trainable"]) for r in plan["roles"]} == {
        "adapter": True,
        "projector": False,
        "language_model": False,
        "vision_tower": False,
        "embeddings": False,
    }
    assert [(g["role"], g["learning_rate"], g["weight_decay"]) for g in plan["groups"]] == [
        ("adapter", 1e-3, 0.1),
        ("adapter", 1e-3, 0.0),
    ]
    assert plan["memory"]["total"] == sum(plan["memory"]["parts"].values()) > 0
    assert any("data cannot be read" in note for note in plan["notes"])
    assert any("data.sources.0.path does not exist" in problem for problem in plan["problems"])
    assert any("no processor" in note for note in plan["notes"])


def test_the_tables_show_it(written: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(written), "--processes", "2", "engine.kind=zero2"]) == 2
    shown = capfd.readouterr().out
    for text in ("retrofit on LlavaForConditionalGeneration", "frozen", "zero2, 2 processes", "communication", "total"):
        assert text in shown
    assert "2 x 2 accumulated x 2 processes" in shown
    assert main(["plan", str(written), "engine.pieces=2"]) == 2
    assert "each micro-batch in 2 pieces" in capfd.readouterr().out


def test_many_gpus_are_planned_at_once(written: Path, capfd: pytest.CaptureFixture[str]) -> None:
    asked = ["plan", str(written), "--gpus", "8,1,2,2", "engine.device=cuda"]
    assert main([*asked, "--json"]) == 2
    plan = json.loads(capfd.readouterr().out)
    assert [(one["processes"], one["engine"]) for one in plan["clusters"]] == [
        (count, engine) for count in (1, 2, 8) for engine in ENGINES
    ]
    for one in plan["clusters"]:  # 80 GiB are enough
        assert one["fits"] == (one["processes"] != 8 and (one["engine"], one["processes"]) != ("fsdp2", 1))
    assert plan["clusters"][0]["parts"] == plan["memory"]["parts"]
    assert plan["clusters"][0]["total"] == plan["memory"]["total"]
    assert main([*asked, "--gpu-memory", "0.5"]) == 2
    shown = capfd.readouterr().out
    assert "Memory of each GPU" in shown
    assert "cannot be dealt" in shown
    for wrong in ("0", "two", "1,-2"):
        assert main(["plan", str(written), "--gpus", wrong]) == 2
        assert "--gpus must be numbers" in capfd.readouterr().err


def test_what_the_optimizers_step_needs_is_shared_as_its_state_is() -> None:
    step = MemoryOfStep(frozen=0, trained=800, gradients=800, optimizer=1600, activations=100, update=800)
    assert step.total == 800 + 800 + 1600 + 800
    needs = {
        (engine, count): shared_among(step, engine, count, layers=(0, 0), compute="float32")["activations"]
        for engine in ENGINES
        for count in (1, 4, 16)
    }
    for engine in ENGINES:
        assert needs[engine, 1] == 800
        assert (needs[engine, 4], needs[engine, 16]) == ((800, 800) if engine == "ddp" else (200, 100))


def test_copies_that_autocast_keeps_are_counted_and_not_shared_out_twice() -> None:
    def measured(*, accumulates: bool) -> MemoryOfStep:
        model = torch.nn.Sequential(*(torch.nn.Linear(256, 256, bias=False) for _ in range(8)))
        optimizer, given = torch.optim.AdamW(model.parameters()), torch.zeros(2, 256)

        def loss() -> torch.Tensor:
            return model(given).float().sum()

        return measure_step(TensorBytes(), model, optimizer, loss, accumulates=accumulates, compute=torch.bfloat16)

    step = measured(accumulates=True)
    assert step.casts == 2 * 8 * 256 * 256
    assert step.casts < step.activations < 1.2 * step.casts
    for engine in ENGINES:
        held = shared_among(step, engine, 64, layers=(0, 0), compute="bfloat16")["activations"]
        assert held == (step.activations if engine == "ddp" else max(step.activations - step.casts, step.update // 64))
    assert measured(accumulates=False).casts == 0  # at that moment there are no gradients yet, which are larger


def test_what_fits_is_what_is_shared_and_room_for_a_context() -> None:
    """A batch of 8 with 2 on a device is dealt to 4 at most."""
    step = MemoryOfStep(frozen=16_000, trained=800, gradients=800, optimizer=1600, activations=100)
    run, layers = toy_config("out", batch=BatchSettings(size=8, per_device=2)), (1000, 500)
    clusters = plan_clusters(step, run, layers, (1, 4, 8), None)
    assert {one.fits for one in clusters} == {None}
    middle = sorted(one.total for one in clusters)[len(clusters) // 2]
    for one in plan_clusters(step, run, layers, (1, 4, 8), middle + HEADROOM):
        assert one.parts == shared_among(step, one.engine, one.processes, layers=layers, compute="float32")
        assert one.accumulation == {1: 4, 4: 1, 8: None}[one.processes]
        assert one.fits == (one.total <= middle and one.processes != 8 and (one.engine, one.processes) != ("fsdp2", 1))


LAYERS = "adapter={placement: layers, num_experts: 3, layer_rank: 2, expert_options: {shared_rank: 1}}"


def test_it_lists_the_layers_that_get_experts(written: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(written), "--json", LAYERS]) == 2
    plan = json.loads(capfd.readouterr().out)
    assert [(g["name"], g["count"], g["in_features"], g["out_features"]) for g in plan["layers"]] == [
        (f"self_attn.{name}_proj", 2, 32, width) for name, width in (("q", 32), ("k", 16), ("v", 16), ("o", 32))
    ]
    handle = pa.attach(FAMILIES["llava"].build(), plan["config"]["adapter"])
    assert plan["layer_parameters"] == handle.parameter_report()["adapter"]["layers"]
    assert plan["layer_parameters"] == sum(g["parameters"] for g in plan["layers"]) > 0
    assert main(["plan", str(written), LAYERS, "adapter.layers=[1]"]) == 2
    shown = capfd.readouterr().out
    assert "1 of 32 -> 16" in shown
    assert "decoder layers without experts: 0 of 2" in shown
    assert "LoRA's rates" not in shown
    assert main(["plan", str(written), LAYERS, "optim.learning_rates.adapter=2e-5"]) == 2
    assert "the adapter learns at 2e-05; experts inside layers are low-rank maps" in capfd.readouterr().out


def test_names_that_fit_nothing_are_refused_with_those_that_exist(
    written: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(written), LAYERS, "adapter.layer_modules=[qkv_proj]"]) == 2
    assert "self_attn.q_proj (2 of 32 -> 32)" in capfd.readouterr().err


def test_a_mixture_of_the_hosts_own_is_named(written: Path, capfd: pytest.CaptureFixture[str]) -> None:
    FAMILIES["qwen3_vl_moe"].config().save_pretrained(written.parent / "host")
    assert main(["plan", str(written), LAYERS]) == 2
    assert "decoder layers with a mixture of experts of the host's own: 0-1" in capfd.readouterr().out


@pytest.mark.slow
def test_a_token_budget_makes_smaller_micro_batches(written: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def activations(*overrides: str) -> int:
        assert main(["plan", str(written), "--json", "batch.per_device=8", *overrides]) == 2
        return int(json.loads(capfd.readouterr().out)["memory"]["parts"]["activations"])

    assert activations("data.token_budget=96") < 0.5 * activations()
    assert activations("engine.pieces=3") == activations("batch.size=24", "batch.per_device=3")  # of eight


def test_steps_are_counted_in_the_micro_batches_that_a_budget_leaves(
    written: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said = [{"from": "human", "value": "a?"}, {"from": "gpt", "value": "b"}]
    samples = [{"id": str(number), "conversations": said} for number in range(10)]
    (written.parent / "train.json").write_text(json.dumps(samples))

    def steps(*overrides: str) -> int:
        assert main(["plan", str(written), "--json", *overrides]) == 0
        return int(json.loads(capfd.readouterr().out)["steps"])

    # Of eight samples in micro-batches of two; with room for one sample in a micro-batch, four of one make a step.
    assert steps() == 2
    assert steps("data.token_budget=48") == 3
    assert steps("data.token_budget=48", "epochs=2.5") == 7


def test_the_heaviest_micro_batch() -> None:
    lengths = {0: 10, 1: 50, 2: 20, 3: 40}

    def chosen(**data: Any) -> list[int]:
        config = toy_config("unused", batch=BatchSettings(8, 4), data__max_length=60)
        return heaviest(replace(config, data=replace(config.data, **data)), lengths)

    assert chosen() == chosen(packing=True) == [1, 3, 2, 0]
    assert chosen(token_budget=100) == [1, 3]
    assert chosen(token_budget=40) == [1], "longer than there is room for: alone"
    assert chosen(token_budget=110, packing=True) == [1, 3, 2]
    assert chosen(token_budget=60, packing=True) == [1]


def test_padding_is_planned_for_each_layout() -> None:
    config = toy_config("unused", batch=BatchSettings(4, 2), data__max_length=60)
    assert padding_by_layout(config, [50, 10, 50, 10]) == {"padded": 0.4, "grouped": 0.0, "packed": 0.0}
    assert padding_by_layout(config, []) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--processes", "3"], "cannot be shared out"),
        (["--processes", "0"], "must be at least 1"),
        (["host.path=./nowhere"], "config.json cannot be read"),
        (["host.path=nobody/nothing"], "config.json cannot be read"),
        (["batch.sise=3"], "'size'"),
    ],
)
def test_what_cannot_be_planned_is_a_bad_configuration(
    arguments: list[str], message: str, written: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(written), *arguments]) == 2
    assert message in capfd.readouterr().err


def test_what_a_host_lacks_cannot_train(written: Path) -> None:
    from parrot_adapters.training import load_config

    FAMILIES["fuyu"].config().save_pretrained(written.parent / "host")
    with pytest.raises(ConfigError, match="vision_tower should train"):
        make_plan(load_config(written, ["train.vision_tower=true"]))
