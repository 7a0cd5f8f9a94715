"""Configurations: read as meant, or refused with everything that is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from parrot_adapters.errors import ConfigError
from parrot_adapters.training import TrainingConfig, config_hash, config_to_dict, differences, load_config
from parrot_adapters.training.config_faults import key_paths
from parrot_adapters.training.config_rules import RANGES, accumulation_steps, with_recipe_defaults
from parrot_adapters.training.config_yaml import parse_yaml

RETROFIT = {
    "recipe": "retrofit",
    "out": "runs/x",
    "host": {"path": "./host"},
    "adapter": {},
    "data": {"sources": [{"path": "train.json"}]},
}
STAGE1 = {**{k: v for k, v in RETROFIT.items() if k != "adapter"}, "recipe": "stage1"}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def file(values: object) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text(values if isinstance(values, str) else yaml.safe_dump(values), encoding="utf-8")
        return path

    return file


def refused(path: Path, *overrides: str) -> dict[str, str]:
    """The faults of a configuration by key path."""
    with pytest.raises(ConfigError) as error:
        load_config(path, overrides)
    lines = str(error.value).splitlines()[1:]
    return dict(line.strip().split(maxsplit=1) for line in lines)


# --- YAML ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("2E5", 200000.0),
        ("-.5", -0.5),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("12", 12),
        ("true", True),
        ("no", "no"),
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("2024-01-31", "2024-01-31"),
        ("1_000", "1_000"),
        ("~", None),
        ("", None),
        ("'1e-3'", "1e-3"),
        ("e3", "e3"),
        (".", "."),
    ],
)
def test_scalars_are_what_they_look_like(text: str, expected: object) -> None:
    found = parse_yaml(text, "text")
    assert found == expected
    assert type(found) is type(expected)


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_a_number_as_python_writes_it_is_that_number(number: float) -> None:
    found = parse_yaml(repr(number), "text")
    assert found == number
    assert type(found) is type(number)


def test_the_plain_loader_would_get_these_wrong() -> None:
    assert yaml.safe_load("[1e-3, no, 010]") == ["1e-3", False, 8]
    assert parse_yaml("[1e-3, no, 010]", "text") == [0.001, "no", 10]


def test_merge_keys_work_and_repeated_keys_do_not() -> None:
    merged = parse_yaml("base: &b {a: 1, c: 2}\nmine: {<<: *b, a: 3}\nagain: {<<: *b, a: 4}", "text")
    assert (merged["mine"], merged["again"]) == ({"a": 3, "c": 2}, {"a": 4, "c": 2})
    with pytest.raises(ConfigError, match=r"'seed' is repeated") as error:
        parse_yaml("seed: 1\nout: x\nseed: 2\n", "run.yaml")
    assert "line     3, column 1" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- a\n- b\n", "holds a list, not settings"),
        ("just text", "holds a str, not settings"),
        ("a: [1\nb: 2\n", "is not YAML"),
        ("a: &x [*x]\n", "is not plain"),
        ("a: !!python/object:os.system x\n", "is not YAML"),
        ("a: \x07\n", "is not YAML"),
    ],
)
def test_what_is_no_mapping_is_refused(text: str, message: str, write: Any) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(write(text))


def test_a_syntax_error_has_its_line(write: Any) -> None:
    with pytest.raises(ConfigError, match=r"line +3, column"):
        load_config(write("recipe: stage1\nout: x\nhost: ]\nseed: 1\n"))


def test_a_missing_file_names_those_there(write: Any, tmp_path: Path) -> None:
    write("a: 1")
    with pytest.raises(ConfigError, match=r"no configuration file .*rum\.yaml(?s:.*)run\.yaml"):
        load_config(tmp_path / "rum.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


# --- types -----------------------------------------------------------------------------------------------------------


def test_a_small_configuration_is_complete(write: Any) -> None:
    config = load_config(write(RETROFIT))
    assert isinstance(config, TrainingConfig)
    assert config.train.adapter
    assert not config.train.projector
    assert config.train.language_model == "frozen"
    assert config.optim.betas == (0.9, 0.999)


def test_every_fault_is_reported_at_once(write: Any) -> None:
    found = refused(
        write(
            "recipe: stage3\nhost: {path: x, dtype: fp16}\nlearning_rate: 1e-3\n"
            "adapter: {ruter: top-k, num_experts: 0, expert: swigluu, residual_scale: big, router_options: [1]}\n"
            "data: {sources: [{path: a.json, weight: -1}, {path: b.json, wieght: 2}], max_length: long}\n"
            "optim: {learning_rates: {vison: 1e-4}, warmup_ratio: 3, betas: [0.9]}\n"
            "batch: {size: 10, per_device: 4}\ntrain: {projector: yes}\nlosses: {load-balance: 0.1}\n"
        )
    )
    assert found.keys() == {
        "recipe",
        "out",
        "host.dtype",
        "learning_rate",
        "adapter.ruter",
        "adapter.num_experts",
        "adapter.expert",
        "adapter.residual_scale",
        "adapter.router_options",
        "data.sources.0.weight",
        "data.sources.1.wieght",
        "data.max_length",
        "optim.learning_rates.vison",
        "optim.warmup_ratio",
        "optim.betas.1",
        "batch.size",
        "train.projector",
        "losses.load-balance",
    }
    assert "'optim.learning_rate'" in found["learning_rate"]
    assert "Did you mean 'weight'?" in found["data.sources.1.wieght"]
    assert "Did you mean 'router'?" in found["adapter.ruter"]
    assert found["adapter.num_experts"] == "0 must be a whole number of at least 1"
    assert "Did you mean 'load-balancing'?" in found["losses.load-balance"]
    assert "Did you mean 'stage" in found["recipe"]
    assert found["out"] == "is missing"
    assert 'true or false, given "yes"' in found["train.projector"]


@settings(deadline=None)
@given(st.data())
def test_any_misspelt_key_is_named_with_its_path(data: st.DataObject) -> None:
    key = data.draw(st.sampled_from([k for k in key_paths() if not k.startswith(("data.sources", "adapter"))]))
    letter = data.draw(st.sampled_from("qxz"))
    wrong = f"{key}{letter}"
    values = parse_yaml(yaml.safe_dump(RETROFIT), "text")
    from parrot_adapters.training.config_faults import type_faults

    place = values
    *parents, last = wrong.split(".")
    for part in parents:
        place = place.setdefault(part, {})
    place[last] = 1
    _, faults = type_faults(values)
    assert [fault.key for fault in faults] == [wrong]
    assert f"Did you mean {key.rpartition('.')[2]!r}?" in faults[0].what


def test_text_is_no_number_and_a_number_no_text(write: Any) -> None:
    assert 'given "3"' in refused(write({**RETROFIT, "seed": "3"}))["seed"]
    assert "must be text" in refused(write({**RETROFIT, "out": 3}))["out"]
    assert load_config(write({**RETROFIT, "epochs": 2})).epochs == 2.0


def test_norwegian_is_a_language(write: Any) -> None:
    config = load_config(write(RETROFIT), ["data.sources.0.language=no", "data.language_caps.no=5"])
    assert config.data.sources[0].language == "no"
    assert config.data.language_caps == {"no": 5}


# --- rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["recipe=stage1"], "adapter"),
        (["recipe=stage1", "adapter=null", "train.adapter=true"], "train.adapter"),
        (["recipe=stage1", "adapter=null", "lora.r=8"], "train.language_model"),
        (["lora.r=8", "train.language_model=full"], "lora"),
        (["train.embeddings=true"], "train.embeddings"),
        (["train.adapter=false"], "train"),
        (["adapter=null"], "adapter"),
        (["optim.learning_rates.vision_tower=1e-5"], "optim.learning_rates.vision_tower"),
        (["optim.learning_rates.adapter=0"], "optim.learning_rates.adapter"),
        (["optim.learning_rate=-1"], "optim.learning_rate"),
        (["batch.size=10", "batch.per_device=4"], "batch.size"),
        (["data.sources=[]"], "data.sources"),
        (["data.sources.0.weight=0"], "data.sources"),
        (["data.sources.0.weight=.nan"], "data.sources.0.weight"),
        (["data.sources.0.limit=0"], "data.sources.0.limit"),
        (["data.token_budget=100"], "data.token_budget"),
        (["data.packing=true", "data.group_by_length=true"], "data.packing"),
        (["data.packing=true", "batch.per_device=1"], "data.packing"),
        (["data.language_caps.tr=0"], "data.language_caps.tr"),
        (["optim.betas=[0.9, 1]"], "optim.betas.1"),
        (["adapter.router=tex-guided"], "adapter.router"),
        (["adapter.expert=swigluu"], "adapter.expert"),
        (["adapter.summary=max"], "adapter.summary"),
        (["losses.router-z=.inf"], "losses.router-z"),
        (["loss_options.router-z.a=1"], "loss_options.router-z"),
        (["lora.rank=8"], "lora.rank"),
        (["lora.r=many"], "lora.r"),
        (["lora.r=true"], "lora.r"),
        (["lora.lora_alpha=[1]"], "lora.lora_alpha"),
        (["lora.lora_dropout=high"], "lora.lora_dropout"),
        (["lora.use_dora=1"], "lora.use_dora"),
        (["lora.target_modules=[q_proj, 3]"], "lora.target_modules"),
        (["adapter.top_k=7"], "adapter.top_k"),
        (["adapter.text_scope=last-turn"], "adapter.text_scope"),
        (["data.sources.0.format=lava"], "data.sources.0.format"),
        (["out=' '"], "out"),
    ],
)
def test_what_cannot_be_is_refused(overrides: list[str], key: str, write: Any) -> None:
    assert [*refused(write(RETROFIT), *overrides)] == [key]


@pytest.mark.parametrize("key", RANGES)
def test_ranges_are_closed_to_nonsense(key: str, write: Any) -> None:
    assert key in refused(write(RETROFIT), f"{key}=-1")


def test_a_rule_is_silent_about_what_is_mistyped(write: Any) -> None:
    """An ill-typed batch.per_device becomes no second fault about batch.size."""
    assert [*refused(write(RETROFIT), "batch.size=10", "batch.per_device=many")] == ["batch.per_device"]


@pytest.mark.parametrize(
    ("recipe", "given", "expected"),
    [
        ("stage1", {}, (False, True, "frozen")),
        ("stage2", {}, (True, True, "full")),
        ("stage2", {"lora": {"r": 4}}, (True, True, "lora")),
        ("retrofit", {}, (True, False, "frozen")),
        ("retrofit", {"lora": {"r": 4}}, (True, False, "lora")),
        ("retrofit", {"train": {"projector": True}}, (True, True, "frozen")),
    ],
)
def test_recipes_say_what_trains(recipe: str, given: Any, expected: tuple[Any, ...], write: Any) -> None:
    config = load_config(write({**(STAGE1 if recipe == "stage1" else RETROFIT), "recipe": recipe, **given}))
    assert (config.train.adapter, config.train.projector, config.train.language_model) == expected
    assert with_recipe_defaults(config) == config


@pytest.mark.parametrize(("recipe", "rate"), [("stage1", 1e-3), ("stage2", 2e-5), ("retrofit", 1e-4)])
def test_recipes_say_the_learning_rate_that_nobody_gave(recipe: str, rate: float, write: Any) -> None:
    content = {**(STAGE1 if recipe == "stage1" else RETROFIT), "recipe": recipe}
    content.pop("optim", None)
    assert load_config(write(content)).optim.learning_rate == rate
    assert load_config(write(content), ["optim.learning_rate=3e-5"]).optim.learning_rate == 3e-5


def test_accumulation(write: Any) -> None:
    config = load_config(write(RETROFIT), ["batch.size=48", "batch.per_device=4"])
    assert accumulation_steps(config, 3) == 4
    with pytest.raises(ConfigError, match=r"4 x 5 processes = 20"):
        accumulation_steps(config, 5)
    with pytest.raises(ConfigError, match=r"batch.per_device=3"):
        accumulation_steps(config, 16)


# --- overrides and paths ---------------------------------------------------------------------------------------------


def test_overrides_replace_and_add(write: Any) -> None:
    config = load_config(
        write(RETROFIT), ["data.sources.0.weight=2", "optim.learning_rate=1e-3", "adapter.num_experts=2", "steps=5"]
    )
    assert config.data.sources[0].weight == 2.0
    assert config.optim.learning_rate == 0.001
    assert config.adapter == {"num_experts": 2}
    assert config.steps == 5


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("steps", "steps"),
        ("=3", "=3"),
        ("a..b=3", "a..b=3"),
        ("data.sources.1.weight=3", "data.sources.1.weight"),
        ("data.sources.1={path: x}", "data.sources.1"),
        ("data.sources.x=3", "data.sources.x"),
        ("out.deep=3", "out.deep"),
        ("data.sorces=[]", "data.sorces"),
    ],
)
def test_an_override_of_nothing_is_refused(override: str, key: str, write: Any) -> None:
    assert [*refused(write(RETROFIT), override)] == [key]


def test_paths_are_relative_to_who_wrote_them(write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    values = {**RETROFIT, "data": {"sources": [{"path": "train.json", "images": "../pictures"}, {"path": "you/data"}]}}
    config = load_config(write(values), ["data.sources.0.images=mine", "start_from=runs/one/adapter"])
    first, second = config.data.sources
    assert config.host.path == str(tmp_path / "host")
    assert first.path == str(tmp_path / "train.json")
    assert first.images == str(elsewhere / "mine")
    assert second.path == "you/data"  # on the Hub, unless it is there
    assert (config.out, config.start_from) == ("runs/x", "runs/one/adapter")
    (tmp_path / "you" / "data").mkdir(parents=True)
    assert load_config(write(values)).data.sources[1].path == str(tmp_path / "you" / "data")


# --- identity --------------------------------------------------------------------------------------------------------


def test_what_decides_the_weights_decides_the_hash(write: Any) -> None:
    def both(*overrides: str) -> tuple[str, list[str]]:
        new = load_config(write(RETROFIT), overrides)
        return config_hash(new), differences(config_to_dict(base), config_to_dict(new))

    base = load_config(write(RETROFIT))
    same = config_hash(base)
    for free in ("steps=7", "epochs=3", "out=y", "log.every=9", "checkpoint.keep=1", "engine.kind=fsdp2"):
        assert both(free) == (same, []), free
    assert both("data.workers=3", "adapter.num_experts=6") == (same, [])  # six is the default
    assert both("data.strict=true", "data.sources.0.allow_outside=true") == (same, [])  # runs begun before go on
    for key, value in {
        "seed": "1",
        "adapter.router_options.normalize": "none",
        "data.sources.0.weight": "2",
        "optim.learning_rates.adapter": "1e-3",
        "engine.compute": "float32",
        "losses.router-z": "0.1",
    }.items():
        found, keys = both(f"{key}={value}")
        assert found != same
        assert keys == [key]


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), st.sampled_from([True, 1, 1.0, 1.5, "1", None, [], [1], {}, {"d": 0}])))
def test_hash_and_differences_agree(options: dict[str, Any]) -> None:
    from dataclasses import replace

    from parrot_adapters.data.settings import DataSettings, SourceSettings
    from parrot_adapters.training.training_config import HostSettings

    base = TrainingConfig("retrofit", "o", HostSettings("h", processor={"a": 1}), DataSettings((SourceSettings("s"),)))
    other = replace(base, host=HostSettings("h", processor=options))
    same = config_hash(base) == config_hash(other)
    assert same == (not differences(config_to_dict(base), config_to_dict(other)))
    assert same == (not differences(config_to_dict(other), config_to_dict(base)))


# --- around it -------------------------------------------------------------------------------------------------------


def test_reading_an_adapterless_configuration_needs_no_model_library(write: Any) -> None:
    probe = (
        "import sys; from parrot_adapters.training import load_config; load_config(sys.argv[1]);"
        "sys.exit(any(m in sys.modules for m in ('transformers', 'peft')))"
    )
    assert subprocess.run([sys.executable, "-c", probe, str(write(STAGE1))], check=False).returncode == 0
    loud = probe.replace("import sys;", "import sys, transformers;")
    assert subprocess.run([sys.executable, "-c", loud, str(write(STAGE1))], check=False).returncode == 1


def test_every_setting_is_documented() -> None:
    """The YAML's keys are the fields; each has its line in the docstring of its dataclass."""
    import parrot_adapters.training.training_config as module

    for name in module.__all__:
        kind = getattr(module, name)
        for field in getattr(kind, "__dataclass_fields__", {}):
            described = any(field in line.split(":")[0] for line in kind.__doc__.splitlines() if ":" in line)
            assert described or name == "TrainingConfig", f"{name}.{field}"
