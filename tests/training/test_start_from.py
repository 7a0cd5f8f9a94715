"""``start_from``: a run begins with the answers of the adapter it starts from, whatever that has and the run trains.

What the language model does (frozen, lora, full)  x  whether the earlier adapter has LoRA; and stage 1.
"""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from support.run_world import answers, losses, make_world, stage, write
from support.tiers import late_unless

import parrot_adapters as pa
from parrot_adapters.cli import main
from parrot_adapters.data import Collator, open_data
from parrot_adapters.training import load_config, load_training_host

LORA = "{r: 2, target_modules: [q_proj, v_proj], lora_dropout: 0.1}"
TUNED = {  # no dropout while LoRA trains: the oracle has none
    "frozen": "train: {projector: true}",
    "lora": "train: {projector: true}\nlora: {r: 2, target_modules: [q_proj, v_proj]}",
    "full": "train: {projector: true, language_model: full}",
}
CELLS = [("retrofit", tuned, there) for tuned in TUNED for there in ("with", "without")]
CELLS += [("stage2", "full", "with"), ("stage2", "lora", "with"), ("stage2", "frozen", "with")]
NOW = [("stage2", "lora", "with")]
STILL = ["steps=1", "log.every=1", "optim.learning_rate=1e-30"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """With two runs to start from: ``with`` LoRA and ``without``."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = make_world(tmp_path_factory.mktemp("world"), ["llava"])
    for name, lora in (("with", f"\nlora: {LORA}"), ("without", "")):
        file = write(folder, folder, name, stage("retrofit", more=f"train: {{projector: true}}{lora}"))
        assert main(["train", str(file), "optim.learning_rate=2e-2"]) == 0
    torch.set_num_threads(before)
    return folder


def first_loss(file, adapter):
    """The oracle: the loss of the host with an adapter loaded, on the samples of a run's first step."""
    config = load_config(file)
    model, processor = load_training_host(config)
    handle = pa.load_adapter(model.train(), adapter, processor=processor)
    data, collator = open_data(config.data, seed=config.seed), Collator(processor, model_config=model.config)
    if handle.lora_config is not None:
        for name, module in model.named_modules():
            if "lora_dropout" in name:
                module.eval()
    total = learned = 0
    with torch.no_grad():
        for batch in list(data.batches(2, 0))[:2]:
            given = {k: v for k, v in collator([data[i] for i in batch]).items() if not k.startswith("parrot_")}
            tokens = int((given["labels"][:, 1:] != -100).sum())
            total, learned = total + float(model(**given).loss) * tokens, learned + tokens
    return total / learned


def begun(world, out, kind, there, tuned):
    """A run of one step that moves nothing; what it wrote, and the adapter it started from."""
    start = world / there / "adapter"
    more = TUNED[tuned] if not (kind == "stage2" and tuned == "frozen") else "train: {language_model: frozen}"
    file = write(world, out, f"{kind}-{tuned}-{there}", stage(kind, start, more))
    assert main(["train", str(file), *STILL]) == 0
    return out / f"{kind}-{tuned}-{there}", start, file


@pytest.mark.parametrize(("kind", "tuned", "there"), late_unless(NOW, CELLS))
@pytest.mark.few(1)
def test_a_run_begins_where_the_adapter_is(world, tmp_path, kind, tuned, there):
    out, start, file = begun(world, tmp_path, kind, there, tuned)
    near = {"rel": 1e-4} if tuned == "full" else {"rel": 1e-6}
    assert losses(out)[0] == pytest.approx(first_loss(file, start), **near)
    assert (out / "host").is_dir() == (tuned == "full")
    has_lora = tuned == "lora" or (tuned == "frozen" and there == "with")
    assert (out / "adapter" / "llm_lora").is_dir() == has_lora
    # What is written answers as what it started from: loaded onto the host it belongs to, whose weights are checked.
    host = out / "host" if tuned == "full" else world / "llava"
    wanted = answers(world / "llava", start, file)
    torch.testing.assert_close(answers(host, out / "adapter", file), wanted, rtol=1e-4, atol=1e-4)
    if there == "with" and has_lora:
        name = "llm_lora/adapter_model.safetensors"
        old, new = load_file(start / name), load_file(out / "adapter" / name)
        assert old.keys() == new.keys()
        assert all(torch.equal(old[key], new[key]) for key in old)


@pytest.mark.parametrize("tuned", late_unless(["lora"], TUNED))
def test_the_oracle_sees_lora_that_was_dropped(world, tmp_path, monkeypatch, tuned):
    """The double: a run that does not take the LoRA weights over."""
    monkeypatch.setattr(pa.Attachment, "load_lora", lambda self, directory: None)
    out, start, file = begun(world, tmp_path, "retrofit", "with", tuned)
    assert losses(out)[0] != pytest.approx(first_loss(file, start), rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("tuned", TUNED)
def test_a_run_that_was_killed_ends_alike(world, tmp_path, monkeypatch, tuned):
    """Once more from the files: what does not train comes from ``start_from``, what does from the checkpoint."""
    more = TUNED[tuned].replace("v_proj]", "v_proj], lora_dropout: 0.1")
    files = {name: write(world, tmp_path, name, stage("stage2", world / "with" / "adapter", more)) for name in "ab"}
    assert main(["train", str(files["a"])]) == 0

    class Killed(BaseException):
        pass

    left, step = [7], torch.optim.AdamW.step

    def dying(self, *args, **options):
        left[0] -= 1
        if not left[0]:
            raise Killed
        return step(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", dying)
        with pytest.raises(Killed):
            main(["train", str(files["b"])])
    assert not (tmp_path / "b" / "adapter").exists()
    assert main(["train", str(files["b"])]) == 0
    for folder in ("adapter", "host"):
        for path in sorted((tmp_path / "a" / folder).rglob("*.*")):
            twin = tmp_path / "b" / folder / path.relative_to(tmp_path / "a" / folder)
            assert twin.read_bytes() == path.read_bytes(), path.name
    assert losses(tmp_path / "a") == losses(tmp_path / "b")


def test_frozen_lora_stays_and_trained_lora_moves(world, tmp_path):
    before = load_file(world / "with" / "adapter" / "llm_lora" / "adapter_model.safetensors")
    for tuned, moves in (("frozen", False), ("lora", True)):
        file = write(world, tmp_path, tuned, stage("retrofit", world / "with" / "adapter", TUNED[tuned]))
        assert main(["train", str(file), "steps=2"]) == 0
        after = load_file(tmp_path / tuned / "adapter" / "llm_lora" / "adapter_model.safetensors")
        assert all(torch.equal(before[name], after[name]) != moves for name in before)


@pytest.mark.parametrize(
    ("lora", "said"),
    [
        ("{r: 3, target_modules: [q_proj, v_proj]}", ("r", "there 2, here 3")),
        ("{r: 2, lora_alpha: 4, target_modules: [q_proj, v_proj]}", ("lora alpha", "there 8, here 4")),
        ("{r: 2, target_modules: [q_proj]}", ("only there", "v_proj")),
        ("{r: 2, target_modules: [q_proj, v_proj, k_proj]}", ("only here", "k_proj")),
    ],
)
@pytest.mark.few(2)
def test_lora_of_another_kind_names_both_settings(world, tmp_path, capsys, lora, said):
    file = write(world, tmp_path, "one", stage("retrofit", world / "with" / "adapter", f"lora: {lora}"))
    assert main(["train", str(file)]) == 2
    error = capsys.readouterr().err
    assert "the LoRA in" in error
    assert "llm_lora/adapter_config.json" in error
    assert any(said[0] in line and said[1] in line for line in error.splitlines()), error
    if said[0] == "r":  # nothing came of it, so doing what the message says needs no --fresh
        file = write(world, tmp_path, "one", stage("retrofit", world / "with" / "adapter", TUNED["lora"]))
        assert main(["train", str(file), "steps=2"]) == 0
        assert main(["train", str(file), "steps=2", "seed=3"]) == 2


def test_the_same_layers_may_be_written_otherwise(world, tmp_path):
    lora = r'{r: 2, target_modules: ".*language_model.*\\.[qv]_proj"}'
    file = write(world, tmp_path, "one", stage("retrofit", world / "with" / "adapter", f"lora: {lora}"))
    assert main(["train", str(file), *STILL]) == 0


def test_stage1_takes_a_projector_only(world, tmp_path, capsys):
    """It would drop the rest; the way that the message names keeps it."""
    text = "recipe: stage1\ndata: {sources: [{path: stage1.json}]}\nstart_from: "
    for there, has in (("with", "a module and LoRA"), ("without", "a module")):
        file = write(world, tmp_path, there, f"{text}{world / there / 'adapter'}")
        assert main(["train", str(file)]) == 2
        assert f"has {has}, which stage1 would drop" in capsys.readouterr().err
    more = "train: {adapter: false, projector: true}"
    file = write(world, tmp_path, "kept", stage("retrofit", world / "with" / "adapter", more))
    assert main(["train", str(file), "steps=2"]) == 0
    first = write(world, tmp_path, "one", text.removesuffix("start_from: "))
    assert main(["train", str(first)]) == 0
    second = write(world, tmp_path, "two", f"{text}{tmp_path / 'one' / 'adapter'}")
    assert main(["train", str(second), *STILL]) == 0
    assert losses(tmp_path / "two")[0] == pytest.approx(first_loss(second, tmp_path / "one" / "adapter"), rel=1e-6)
    for name in ("adapter_model.safetensors", "llm_lora/adapter_model.safetensors"):
        old, new = (load_file(run / "adapter" / name) for run in (world / "with", tmp_path / "kept"))
        assert all(torch.equal(old[key], new[key]) for key in old)


def test_the_plan_knows_of_it(world, tmp_path, capsys):
    file = write(world, tmp_path, "one", stage("retrofit", world / "with" / "adapter", TUNED["frozen"]))
    assert main(["plan", str(file), "--json"]) == 0
    roles = {role["role"]: role for role in json.loads(capsys.readouterr().out)["roles"]}
    assert roles["lora"]["parameters"] == sum(
        value.numel() for value in load_file(world / "with/adapter/llm_lora/adapter_model.safetensors").values()
    )
    assert not roles["lora"]["trainable"]
