"""Every parameter of every family of hosts has one role, and exactly what a run trains is trainable."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from miniatures import ADAPTER, FAMILIES, KINDS, PROMPTS, Family
from support.tiers import late_unless
from torch import nn

import parrot_adapters as pa
from parrot_adapters.data.settings import DataSettings, SourceSettings
from parrot_adapters.errors import ConfigError, HostError
from parrot_adapters.training import TrainingConfig, assign_roles, parameter_groups, set_trainable, train
from parrot_adapters.training.parameter_roles import ROLES
from parrot_adapters.training.training_config import (
    HostSettings,
    OptimSettings,
    TrainSettings,
)

TIED = ("paligemma", "gemma3", "internvl", "mistral3", "aya_vision", "ovis2", "janus")


def run(recipe: Any = "stage2", *, lora: bool = False, optim: OptimSettings | None = None, **train: Any) -> Any:
    return TrainingConfig(
        recipe,
        "out",
        HostSettings("host"),
        DataSettings((SourceSettings("train.json"),)),
        adapter=None if recipe == "stage1" else ADAPTER,
        train=TrainSettings(**train),
        lora={"r": 2} if lora else {},
        optim=optim or OptimSettings(),
    )


def attached(family: Family, *, lora: bool = False) -> pa.Attachment:
    options = {"r": 2} if lora else None
    return pa.attach(family.build(), ADAPTER, train_projector=True, lora=options)


@pytest.fixture(params=late_unless(KINDS, FAMILIES))
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


def faults(handle: pa.Attachment, roles: dict[str, Any]) -> list[str]:
    """What is wrong with some roles, told from where parameters are rather than from the code that gave them."""
    found = []
    named = dict(handle.model.named_parameters())
    if roles.keys() != named.keys():
        found.append("not every parameter has a role")
    projector = {id(p) for p in handle.projector.parameters()}
    embeddings = handle.model.get_input_embeddings().weight
    for name, role in roles.items():
        place = (
            "adapter"
            if "parrot_adapter." in name
            else "lora"
            if "lora_" in name
            else "projector"
            if id(named[name]) in projector
            else "embeddings"
            if named[name] is embeddings
            else "language_model"
            if "language_model." in name or "text_model." in name or name.startswith("lm_head")
            else "vision_tower"
        )
        if role != place:
            found.append(f"{name} is {role}, not {place}")
    return found


def test_every_parameter_has_one_role(family: Family) -> None:
    handle = attached(family, lora=True)
    roles = assign_roles(handle)
    assert faults(handle, roles) == []
    assert {*roles.values()} >= {*ROLES} - {"vision_tower"}
    wrong = {**roles, next(name for name, role in roles.items() if role == "projector"): "vision_tower"}
    assert faults(handle, wrong)  # the check bites


@pytest.mark.parametrize("name", TIED)
def test_tied_embeddings_count_once(name: str) -> None:
    handle = attached(FAMILIES[name])
    assert handle.model.get_output_embeddings().weight is handle.model.get_input_embeddings().weight
    assert [*assign_roles(handle).values()].count("embeddings") == 1
    set_trainable(handle, run(embeddings=True))
    groups = parameter_groups(handle, run(embeddings=True))
    members = [id(p) for group in groups for p in group["params"]]
    assert len(members) == len(set(members))


@pytest.mark.parametrize(
    ("config", "trains"),
    [
        (run("stage2"), {"adapter", "projector", "language_model"}),
        (run("stage2", lora=True), {"adapter", "projector", "lora"}),
        (run("retrofit"), {"adapter"}),
        (run("retrofit", vision_tower=True), {"adapter", "vision_tower"}),
        (run("stage2", embeddings=True), {"adapter", "projector", "language_model", "embeddings"}),
    ],
    ids=["stage2", "stage2-lora", "retrofit", "tower", "embeddings"],
)
@pytest.mark.few(8)
def test_freezing_is_exact(family: Family, config: TrainingConfig, trains: set[str]) -> None:
    handle = attached(family, lora=bool(config.lora))
    roles = assign_roles(handle)
    if trains - {*roles.values()}:
        assert family.name == "fuyu"  # its projector is all the vision it has
        with pytest.raises(ConfigError, match="vision_tower should train"):
            set_trainable(handle, config)
        return
    set_trainable(handle, config)
    assert {roles[name] for name, p in handle.model.named_parameters() if p.requires_grad} == trains
    assert not any(p.requires_grad for name, p in handle.model.named_parameters() if roles[name] not in trains)
    groups = parameter_groups(handle, config)
    grouped = {id(p) for group in groups for p in group["params"]}
    assert grouped == {id(p) for p in handle.model.parameters() if p.requires_grad}


def test_stage_1_trains_the_projector_alone(family: Family) -> None:
    handle = pa.attach_projector(family.build())
    set_trainable(handle, run("stage1"))
    trained = {id(p) for p in handle.model.parameters() if p.requires_grad}
    assert trained == {id(p) for p in handle.projector.parameters()}
    with pytest.raises(ConfigError, match="adapter should train"):
        set_trainable(handle, run("retrofit"))


def test_a_step_moves_what_trains_and_nothing_else() -> None:
    family = FAMILIES["qwen2_5_vl"]
    config = run("stage2", lora=True, optim=OptimSettings(learning_rate=0.1))
    handle = attached(family, lora=True)
    set_trainable(handle, config)
    before = {name: p.detach().clone() for name, p in handle.model.named_parameters()}
    batch = family.batch(PROMPTS)
    optimizer = torch.optim.AdamW(parameter_groups(handle, config))
    for _ in range(2):  # the router's turn comes when the experts say something
        handle.model(**batch, labels=batch["input_ids"]).loss.backward()
        optimizer.step()
    roles = assign_roles(handle)
    moved = {roles[name] for name, p in handle.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"adapter", "projector", "lora"}


def test_learning_rates_are_per_role() -> None:
    optim = OptimSettings(learning_rate=2e-5, learning_rates={"adapter": 1e-3, "lora": 1e-4}, weight_decay=0.1)
    config = run("stage2", lora=True, optim=optim)
    handle = attached(FAMILIES["llava"], lora=True)
    set_trainable(handle, config)
    groups = parameter_groups(handle, config)
    assert {(g["role"], g["lr"]) for g in groups} == {("adapter", 1e-3), ("projector", 2e-5), ("lora", 1e-4)}
    assert [g["role"] for g in groups] == sorted((g["role"] for g in groups), key=ROLES.index)


@pytest.mark.parametrize("expert", ["swiglu", "mlp"])
def test_matrices_alone_decay(expert: str, family: Family) -> None:
    config = run("stage2", optim=OptimSettings(weight_decay=0.1), vision_tower=family.name != "fuyu", embeddings=True)
    handle = pa.attach(family.build(), {**ADAPTER, "expert": expert}, train_projector=True)
    set_trainable(handle, config)
    groups = parameter_groups(handle, config)
    decays = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    assert {*decays.values()} == {0.0, 0.1}
    embeddings = {id(p) for m in handle.model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    router = {id(p) for p in handle.module.router.parameters()}
    for name, p in handle.model.named_parameters():
        kept = p.dim() < 2 or id(p) in embeddings | router or name.endswith(("bias", "position_embeddings"))
        if decays[id(p)] != (0.0 if kept else 0.1):
            assert "embed" in name.rpartition(".")[2], name  # learned positions that are no nn.Embedding
    experts = dict(handle.module.experts.named_parameters())
    assert decays[id(experts["down"])] == 0.1
    if expert == "mlp":
        assert experts["up_bias"].dim() == 2  # a matrix by shape only
        assert decays[id(experts["up_bias"])] == 0.0


def test_lora_elsewhere_is_refused() -> None:
    """LoRA that somebody put on the whole host trains the tower too, and nothing would save it."""
    from peft import LoraConfig, inject_adapter_in_model

    host = FAMILIES["llava"].build()
    inject_adapter_in_model(LoraConfig(r=2, target_modules="all-linear"), host)
    handle = pa.attach(host, ADAPTER)
    with pytest.raises(HostError, match=r"outside the language model: model\.(vision_tower|multi_modal)"):
        assign_roles(handle)


@pytest.mark.parametrize("config", [None, "run.yaml", {"recipe": "stage1"}])
def test_a_file_in_place_of_its_configuration_is_named(config):
    with pytest.raises(ConfigError, match=r"(?s)a TrainingConfig, not .*load_config\(path\)"):
        train(None, None, config, None)
