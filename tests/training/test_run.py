"""One training run on a miniature: what it learns, what it leaves alone, what it writes, how it fails."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
import torch
from miniatures import FAMILIES
from support.tiers import late_unless
from support.training_runs import ToyCollator, ToyData, toy_config, toy_handle, toy_run

import parrot_adapters as pa
from parrot_adapters.errors import ConfigError, TrainingError
from parrot_adapters.training import set_trainable, train
from parrot_adapters.training.training_config import TrainSettings

SEVERAL = ("llava", "qwen2_5_vl", "gemma3", "internvl")  # two of them take no num_items_in_batch


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def metrics(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]


def logits(model, family, samples):
    batch = ToyCollator(FAMILIES[family])(samples)
    with torch.no_grad():
        return model(**{k: v for k, v in batch.items() if not k.startswith("parrot_")}).logits


@pytest.mark.parametrize("family", late_unless(["llava"], SEVERAL))
def test_it_learns_and_leaves_alone_what_is_frozen(tmp_path, family):
    config = toy_config(tmp_path, steps=40, batch=replace(toy_config("").batch, size=8, per_device=4))
    handle = toy_handle(config, family)
    frozen = {n: p.detach().clone() for n, p in handle.model.named_parameters() if not p.requires_grad}
    host = {n: v.clone() for n, v in FAMILIES[family].build().state_dict().items()}
    data = ToyData()
    result = train(handle, None, config, data, collator=ToyCollator(FAMILIES[family]))
    lines = metrics(tmp_path)
    assert result.finished
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]
    now = dict(handle.model.named_parameters())
    assert all(torch.equal(now[name], value) for name, value in frozen.items())
    assert not handle.model.training
    trained = logits(handle.model, family, data.samples[:4])
    loaded = pa.load_adapter(FAMILIES[family].build(), result.adapter)
    assert torch.equal(logits(loaded.model, family, data.samples[:4]), trained)
    handle.detach()
    assert handle.model.state_dict().keys() == host.keys()
    assert all(torch.equal(value, host[name]) for name, value in handle.model.state_dict().items())
    assert "forward" not in handle.model.__dict__


def test_a_run_that_sees_no_picture_and_trains_nothing_else_stops(tmp_path):
    """Its loss would be what it was, and its adapter that of the start."""
    data = ToyData(text_only=range(24))
    with pytest.raises(TrainingError, match=r"gradient(.|\n)*no picture in 16 samples(.|\n)*parrot data check"):
        toy_run(toy_config(tmp_path, steps=4), data=data)
    assert not (tmp_path / "adapter").exists()
    config = toy_config(tmp_path / "lora", steps=4, train=TrainSettings(language_model="lora"))
    assert toy_run(config, data=data)[1].finished  # text alone is learned there


def test_a_run_whose_adapter_is_cut_off_stops(tmp_path):
    config = toy_config(tmp_path, steps=20, train=TrainSettings(projector=False))
    handle = toy_handle(config)
    handle.module.register_forward_hook(lambda *call: call[-1]._replace(tokens=call[-1].tokens * 0))
    with pytest.raises(TrainingError, match=r"each of the 10 steps(.|\n)*parrot check host:DIR"):
        train(handle, None, config, ToyData(), collator=ToyCollator(FAMILIES["llava"]))


def test_data_may_begin_without_pictures(tmp_path):
    """Text comes first, and more of it than a run with pictures would be allowed to learn nothing from."""

    class TextFirst(ToyData):
        def batches(self, micro_batch, epoch):
            return [list(range(i, min(i + micro_batch, len(self)))) for i in range(0, len(self), micro_batch)]

    config = toy_config(tmp_path, steps=14, batch__size=2, batch__per_device=2)
    assert toy_run(config, data=TextFirst(28, text_only=range(24)))[1].finished


def test_a_line_says_what_was_measured(tmp_path):
    config = toy_config(tmp_path, losses={"load-balancing": 0.1})
    toy_run(config)
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10]
    last = lines[-1]
    assert set(last["learning_rates"]) == {"adapter", "projector"}
    assert last["lr"] == pytest.approx(last["learning_rates"]["adapter"])
    assert last["losses"].keys() == {"language_model", "load-balancing"}
    assert last["loss"] == pytest.approx(sum(last["losses"].values()))
    assert set(last["languages"]) == {"en", "tr", "ru"}
    assert 0 <= last["routing"]["entropy"] <= 1
    assert last["routing"]["language_information"] >= 0
    assert last["grad_norm"] > 0
    assert last["tokens_per_second"] > 0
    assert last["epoch"] == pytest.approx(10 * 4 / 24, abs=1e-6)


@pytest.mark.slow
def test_a_profile_is_written_where_it_is_asked_for(tmp_path):
    toy_run(toy_config(tmp_path / "run", steps=4, log__profile=True))
    found = json.loads((tmp_path / "run" / "profile" / "profile.json").read_text())
    assert found["passes"] == 7  # of eight micro-batches, but for the first
    seconds = {part["name"]: part["forward"] + part["backward"] for part in found["parts"]}
    assert min(seconds[name] for name in ("adapter", "language model", "vision tower", "optimizer")) > 0
    toy_run(toy_config(tmp_path / "bare", steps=1))
    assert not (tmp_path / "bare" / "profile").exists()


def test_the_loss_by_language_is_the_loss(tmp_path):
    """Where all samples are of one language, its loss is the language model's."""
    data = ToyData()
    data.samples = [replace(sample, language="tr") for sample in data.samples]
    toy_run(toy_config(tmp_path), data=data)
    for line in metrics(tmp_path):
        assert line["languages"] == {"tr": pytest.approx(line["loss"], rel=1e-5)}


@pytest.mark.parametrize("family", late_unless(["llava"], SEVERAL))
def test_accumulation_equals_the_large_batch(tmp_path, family):
    """Answers are of different lengths: a mean of micro-batches' means would differ."""
    runs = [
        toy_run(
            toy_config(tmp_path / str(n), steps=4, batch=replace(toy_config("").batch, size=8, per_device=n)), family
        )
        for n in (8, 2, 1)
    ]
    (whole, _), *parts = runs
    for n, (handle, _) in zip((2, 1), parts, strict=True):
        for (name, a), b in zip(whole.model.named_parameters(), handle.model.parameters(), strict=True):
            torch.testing.assert_close(b, a, rtol=2e-3, atol=2e-4, msg=lambda text, name=name: f"{name}: {text}")
        for here, there in zip(metrics(tmp_path / str(n)), metrics(tmp_path / "8"), strict=True):
            assert here["loss"] == pytest.approx(there["loss"], rel=1e-4)
            assert here["grad_norm"] == pytest.approx(there["grad_norm"], rel=1e-3)


def test_recomputing_activations_changes_no_gradient(tmp_path):
    for kind in (False, True):
        config = toy_config(
            tmp_path / str(kind), engine__gradient_checkpointing=kind, train__language_model="lora", steps=3
        )
        handle, _ = toy_run(config)
        assert not any(getattr(m, "gradient_checkpointing", False) for m in handle.model.modules())
    plain, recomputed = metrics(tmp_path / "False"), metrics(tmp_path / "True")
    assert [x["loss"] for x in plain] == pytest.approx([x["loss"] for x in recomputed], rel=1e-6)
    assert [x["grad_norm"] for x in plain] == pytest.approx([x["grad_norm"] for x in recomputed], rel=1e-5)


def test_bfloat16_trains_in_float32(tmp_path):
    config = toy_config(tmp_path, host__dtype="bfloat16", engine__compute="bfloat16", train__language_model="lora")
    handle, result = toy_run(config)
    assert metrics(tmp_path)[-1]["loss"] < metrics(tmp_path)[0]["loss"] * 1.2
    assert {p.dtype for p in handle.projector.parameters()} == {torch.bfloat16}
    loaded = pa.load_adapter(FAMILIES["llava"].build().bfloat16(), result.adapter)
    samples = ToyData().samples[:2]
    assert torch.equal(logits(loaded.model, "llava", samples), logits(handle.model, "llava", samples))


def test_normalisation_layers_of_a_frozen_tower_keep_their_statistics(tmp_path):
    config = toy_config(tmp_path, steps=2)
    handle = toy_handle(config)
    tower = handle.parts.module(handle.parts.vision_tower)
    tower.added = torch.nn.BatchNorm1d(2).requires_grad_(False)
    tower.register_forward_hook(lambda module, args, output: module.added(torch.randn(4, 2)) is None or None)
    train(handle, None, config, ToyData(), collator=ToyCollator(FAMILIES["llava"]))
    assert tower.added.num_batches_tracked == 0


def test_a_batch_without_pictures_and_one_without_anything_to_learn(tmp_path):
    data = ToyData(text_only=range(0, 24, 2))

    class Nothing(ToyCollator):
        def __call__(self, samples):
            batch = super().__call__(samples)
            if samples[0].identity in ("s0", "s1"):  # as the collator's empty batch
                batch["labels"].fill_(-100)
            return batch

    toy_run(
        toy_config(tmp_path, batch=replace(toy_config("").batch, size=4, per_device=1)),
        data=data,
        collator=Nothing(FAMILIES["llava"]),
    )
    assert len(metrics(tmp_path)) == 5


def test_only_the_projector_is_written_after_stage_one(tmp_path):
    config = toy_config(
        tmp_path, recipe="stage1", adapter=None, train__adapter=None, train__projector=None, train__language_model=None
    )
    _, result = toy_run(config)
    assert {p.name for p in result.adapter.iterdir()} == {"adapter_config.json", "projector.safetensors", "README.md"}
    assert "routing" not in metrics(tmp_path)[-1]
    assert pa.load_adapter(FAMILIES["llava"].build(), result.adapter).module is None


def test_full_training_writes_the_host_that_the_adapter_belongs_to(tmp_path):
    import transformers

    config = toy_config(tmp_path, train__language_model="full", recipe="stage2")
    handle, result = toy_run(config)
    host = transformers.LlavaForConditionalGeneration.from_pretrained(result.host)
    samples = ToyData().samples[:4]
    wanted = logits(handle.model, "llava", samples)
    loaded = pa.load_adapter(host, result.adapter, strict=True)
    torch.testing.assert_close(logits(loaded.model.eval(), "llava", samples), wanted)
    with pytest.raises(pa.ParrotError, match="other weights"):
        pa.load_adapter(FAMILIES["llava"].build(), result.adapter, strict=True)


@pytest.mark.parametrize(  # tied embeddings and not
    ("family", "dtype"),
    late_unless(
        [("gemma3", "bfloat16")],
        [(family, dtype) for family in ("gemma3", "qwen2_5_vl") for dtype in ("float32", "bfloat16")],
    ),
)
@pytest.mark.few(1)
def test_embeddings_train_with_the_language_model(tmp_path, family, dtype):
    import transformers

    changes = {"train__language_model": "full", "train__embeddings": True, "recipe": "stage2", "host__dtype": dtype}
    config = toy_config(tmp_path, steps=6, engine__compute=dtype, **changes)
    handle, result = toy_run(config, family)
    begun = FAMILIES[family].build().get_input_embeddings().weight
    assert not torch.equal(handle.model.get_input_embeddings().weight.float(), begun)
    tied = handle.model.get_output_embeddings().weight is handle.model.get_input_embeddings().weight
    assert tied == (family == "gemma3")
    host = getattr(transformers, FAMILIES[family].architecture).from_pretrained(result.host, dtype=dtype).eval()
    size = sum(file.stat().st_size for file in result.host.glob("*.safetensors"))
    assert size < 1.1 * sum(p.numel() * p.element_size() for p in host.parameters()) + 50_000
    loaded = pa.load_adapter(host, result.adapter, strict=True)
    samples = ToyData().samples[:4]
    wanted = logits(handle.model, family, samples)
    near = {} if dtype == "float32" else {"atol": 0.1, "rtol": 0.1}  # the miniature's own buffers were cast too
    torch.testing.assert_close(logits(loaded.model, family, samples), wanted, **near)
    resumed, _ = toy_run(toy_config(tmp_path, steps=8, engine__compute=dtype, **changes), family)
    assert not torch.equal(logits(resumed.model, family, samples), wanted)


def test_a_finished_run_says_so_and_more_steps_go_on(tmp_path):
    first, _ = toy_run(toy_config(tmp_path))
    again, result = toy_run(toy_config(tmp_path))
    assert (result.first, result.steps, result.finished) == (10, 10, True)
    for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)
    _, result = toy_run(toy_config(tmp_path, steps=14))
    assert (result.first, result.steps) == (10, 14)
    assert metrics(tmp_path)[-1]["step"] == 14
    with pytest.raises(ConfigError, match="another configuration"):
        toy_run(toy_config(tmp_path, seed=5))
    _, result = toy_run(toy_config(tmp_path, seed=5), fresh=True)
    assert result.first == 0


def test_without_checkpoints_a_finished_run_is_not_silently_repeated(tmp_path):
    import shutil

    toy_run(toy_config(tmp_path))
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(ConfigError, match="checkpoints are gone"):
        toy_run(toy_config(tmp_path, steps=14))


# --- how it fails ----------------------------------------------------------------------------------------------------


def test_what_is_no_number_stops_the_run_and_names_the_batch(tmp_path):
    data = ToyData()

    class Poisoned(ToyCollator):
        def __call__(self, samples):
            batch = super().__call__(samples)
            if "s7" in batch["parrot_identities"]:
                batch["pixel_values"] = batch["pixel_values"] * float("nan")
            return batch

    with pytest.raises(TrainingError, match="diverged at step"):
        toy_run(toy_config(tmp_path), data=data, collator=Poisoned(FAMILIES["llava"]))
    order = [i for batch in data.batches(2, 0) for i in batch]
    step = order.index(7) // 4
    found = json.loads((tmp_path / "bad_batch.json").read_text())
    assert found["step"] == step + 1
    assert found["identities"] == [f"s{i}" for i in order[4 * step : 4 * step + 4]]
    checkpoints = sorted((tmp_path / "checkpoints").glob("step-*"))
    assert [int(p.name[5:]) for p in checkpoints] == [n for n in (3, 6, 9) if n <= step][-2:]


def test_a_trainer_that_does_not_ask_is_refused(tmp_path, monkeypatch):
    """The guard hangs on a method of transformers' that is not public; should it go, the run must not go unwatched."""
    from parrot_adapters.training.trainer import ParrotTrainer

    monkeypatch.delattr(ParrotTrainer, "_get_grad_norm")
    with pytest.raises(TrainingError, match="nothing watches it"):
        toy_run(toy_config(tmp_path))
    assert not (tmp_path / "checkpoints").exists()


def test_an_exploding_loss_keeps_the_last_good_checkpoint(tmp_path):
    from parrot_adapters.training.loss_guard import PATIENCE

    class Sour(ToyCollator):
        """From some sample on, answers the model finds impossible."""

        seen = 0

        def __call__(self, samples):
            batch = super().__call__(samples)
            Sour.seen += 1
            if Sour.seen > 2 * 30:
                learned = batch["labels"] != -100
                batch["labels"][learned] = 1
            return batch

    def make(model):
        with torch.no_grad():
            model.get_output_embeddings().weight[1] = -100.0 * model.get_output_embeddings().weight[50]

    config = toy_config(tmp_path, steps=80, checkpoint__every=4, checkpoint__keep=1, optim__learning_rate=1e-3)
    handle = toy_handle(config)
    make(handle.model)
    with pytest.raises(TrainingError, match="high for"):
        train(handle, None, config, ToyData(), collator=Sour(FAMILIES["llava"]))
    found = json.loads((tmp_path / "bad_batch.json").read_text())
    assert found["step"] == 30 + PATIENCE
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000028"]


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    real, calls = torch.save, []

    def full(*args, **kwargs):
        calls.append(1)
        if len(calls) > 2:  # two files a checkpoint
            raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")
        return real(*args, **kwargs)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match=r"(?s)step 6 cannot be written.*step-00000003.*free some space"):
        toy_run(toy_config(tmp_path))
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000003"]
    monkeypatch.undo()
    assert toy_run(toy_config(tmp_path))[1].first == 3


def test_out_of_memory_says_what_to_do(tmp_path):
    class Large(ToyCollator):
        def __call__(self, samples):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB\nmore")

    with pytest.raises(TrainingError, match=r"(?s)ran out of memory.*engine.pieces=2"):
        toy_run(toy_config(tmp_path), collator=Large(FAMILIES["llava"]))


@pytest.mark.parametrize("moment", ["forward", "backward"])
def test_what_a_host_raises_names_the_samples(tmp_path, moment):
    config, seen = toy_config(tmp_path), []
    handle = toy_handle(config)

    class Kept(ToyCollator):
        def __call__(self, samples):
            seen.append([sample.identity for sample in samples])
            return super().__call__(samples)

    def fail(*_):
        if len(seen) > 7:
            raise KeyError("tiles")

    tower = handle.model.lm_head
    tower.register_forward_hook(fail) if moment == "forward" else tower.register_full_backward_hook(fail)
    with pytest.raises(
        TrainingError, match=r"(?s)the host failed in step 4.*KeyError: 'tiles'.*engine.pieces=2"
    ) as said:
        train(handle, None, config, ToyData(), collator=Kept(FAMILIES["llava"]))
    assert f"samples          {', '.join(seen[6])}\n" in str(said.value)
    assert f"last checkpoint  {tmp_path / 'checkpoints' / 'step-00000003'}" in str(said.value)
    assert isinstance(said.value.__cause__, KeyError)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"engine__kind": "fsdp2"}, "torchrun"),
        ({"engine__device": "cuda"}, "no CUDA device"),
        ({"engine__kind": "zero2"}, "pip install deepspeed|under a launcher"),
        ({"batch__size": 6, "batch__per_device": 4}, "per_device"),
    ],
)
def test_what_cannot_run_here_is_said_before_anything_is_loaded(tmp_path, changes, words):
    if changes == {"engine__device": "cuda"} and torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(pa.ParrotError, match=words):
        toy_run(toy_config(tmp_path, **changes))


def test_a_failed_run_leaves_the_host_as_it_was(tmp_path):
    class Broken(ToyCollator):
        def __call__(self, samples):
            raise TrainingError("as if")

    config = toy_config(tmp_path, host__dtype="bfloat16", engine__compute="bfloat16")
    handle = toy_handle(config)
    host = FAMILIES["llava"].build().bfloat16()
    before = copy.deepcopy(handle.model.config.to_dict())
    with pytest.raises(TrainingError, match="as if"):
        train(handle, None, config, ToyData(), collator=Broken(FAMILIES["llava"]))
    handle.detach()
    assert handle.model.config.to_dict() == before
    for (name, a), b in zip(host.state_dict().items(), handle.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
        assert a.dtype == b.dtype, name


def test_set_trainable_decides_what_moves(tmp_path):
    """The double: a run in which something else was left trainable moves it, so the test above can fail."""
    config = toy_config(tmp_path, steps=2)
    handle = toy_handle(config)
    set_trainable(handle, config)
    stray = handle.parts.module(handle.parts.vision_tower).get_submodule("encoder.layers.0.layer_norm1").weight
    stray.requires_grad_(True)
    before = stray.detach().clone()
    train(handle, None, config, ToyData(), collator=ToyCollator(FAMILIES["llava"]))
    assert not torch.equal(stray, before)
