"""Whatever stands in the files of a stranger's adapter, every checksum right: it loads, or one clear error says why.

The host is untouched then, and no more memory was taken than the files hold.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import parrot_adapters as pa
from parrot_adapters.adapter import adapter_files, fitting_layer
from parrot_adapters.adapter import read_adapter_files as stored
from parrot_adapters.errors import CheckpointError, ConfigError
from parrot_adapters.hosts import lora_settings

CONFIG, LORA_CONFIG = "adapter_config.json", "llm_lora/adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
ODD = st.one_of(
    st.sampled_from(
        [None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**300, 1e308, -0.0, "", "a/b", "..", "(", "\0"]
    ),
    st.sampled_from([[], {}, [[]], [None], ["q_proj"], {"q_proj": "x"}, {"(": 1}, {"q_proj": 10**8}, [{}], "x" * 300]),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
)
FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter with all parts, which no test changes."""
    from support import adapters

    where = tmp_path_factory.mktemp("strangers") / "adapter"
    config = pa.AdapterConfig(num_experts=3, expert_hidden_size=8, summary="mean")
    with pa.attach(adapters.tiny_host(), config, train_projector=True, lora=adapters.LORA) as handle:
        adapters.disturb(handle)
        handle.save_pretrained(where)
    return where


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, the leaves of long lists by their first item."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    return [path, *(found for key, each in inner for found in places(each, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = copy.deepcopy(value)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = new
    return changed


def spoil(source: Path, where: Path, file: str, content: bytes) -> Path:
    """A copy with another content of one file, every checksum mended."""
    shutil.copytree(source, where)
    (where / file).write_bytes(content)
    if file != CONFIG:
        described = json.loads((where / CONFIG).read_text("utf-8"))
        described["files"][file] = hashlib.sha256(content).hexdigest()
        adapter_files.write_config(described, where / CONFIG)
    return where


def check_loads_or_refuses(kit: Any, host: Any, directory: Path) -> bool:
    """Whether it loads; otherwise one error of the library, and the host as it was."""
    with kit.Untouched(host), warnings.catch_warnings():
        warnings.simplefilter("ignore", pa.ParrotWarning)  # "made for a host with other weights"
        warnings.filterwarnings("ignore", module="peft")  # of settings that are allowed, and odd
        try:
            handle = pa.load_adapter(host, directory)
        except pa.ParrotError:
            return False
        handle.detach()
    return True


@FUZZ
@given(data=st.data())
def test_any_value_anywhere_in_the_config(kit, host, source, tmp_path_factory, data):
    described = json.loads((source / CONFIG).read_text("utf-8"))
    del described["config_sha256"]
    changed = put(described, data.draw(st.sampled_from(places(described))), data.draw(ODD))
    where = spoil(source, tmp_path_factory.mktemp("odd") / "a", CONFIG, json.dumps(changed).encode())
    check_loads_or_refuses(kit, host, where)


@FUZZ
@given(data=st.data())
def test_any_value_anywhere_in_the_settings_of_lora(kit, host, source, tmp_path_factory, data):
    described = json.loads((source / LORA_CONFIG).read_text("utf-8"))
    changed = put(described, data.draw(st.sampled_from(places(described)[1:])), data.draw(ODD))
    where = spoil(source, tmp_path_factory.mktemp("odd") / "a", LORA_CONFIG, json.dumps(changed).encode())
    check_loads_or_refuses(kit, host, where)


@FUZZ
@given(data=st.data())
def test_any_bytes_in_any_file(kit, host, source, tmp_path_factory, data):
    file = data.draw(st.sampled_from([CONFIG, LORA_CONFIG, WEIGHTS, "projector.safetensors"]))
    content = bytearray((source / file).read_bytes())
    at = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(0, 40))
    content[at : at + length] = data.draw(st.binary(max_size=40))
    where = spoil(source, tmp_path_factory.mktemp("odd") / "a", file, bytes(content))
    check_loads_or_refuses(kit, host, where)


DTYPES = [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64, torch.int8, torch.bool, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_weights_of_any_type(kit, host, source, inputs, tmp_path, dtype):
    kit.logits(host, inputs)
    tensors = {k: v.to(dtype) for k, v in adapter_files.read_tensors(source / WEIGHTS).items()}
    save_file(tensors, tmp_path / "w")
    where = spoil(source, tmp_path / "a", WEIGHTS, (tmp_path / "w").read_bytes())
    assert check_loads_or_refuses(kit, host, where) == (dtype == torch.float64)


# --- settings of LoRA -------------------------------------------------------------------------------------------------

SLOW = r"(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)(?(1)[XZ]|b)"
LORA_REFUSED = {
    "a pattern without end": ({"target_modules": SLOW}, "takes too long"),
    "an exclusion without end": ({"exclude_modules": SLOW}, "takes too long"),
    "a rank's pattern without end": ({"rank_pattern": {SLOW: 3}}, "takes too long"),
    "no pattern": ({"target_modules": "("}, "is no regular expression"),
    "a rank beyond reason": ({"rank_pattern": {"q_proj": 10**8}}, "65,536"),
    "a huge rank": ({"r": 10**8}, "65,536"),
    "foreign code": ({"megatron_config": {"a": 1}, "megatron_core": "os"}, "megatron"),
    **{f"tokens {value!r}": ({"trainable_token_indices": value}, "trainable_token") for value in ([], 0, False, {})},
    **{f"modules {value!r}": ({"modules_to_save": value}, "modules_to_save") for value in ([], 0, False)},
}


@pytest.mark.parametrize("name", LORA_REFUSED)
@pytest.mark.few(4)
def test_settings_of_lora_are_refused_before_the_host_is_touched(kit, host, small, monkeypatch, name):
    monkeypatch.setenv("PARROT_LIMIT_PATTERN_SECONDS", "1")
    settings_, message = LORA_REFUSED[name]
    with kit.Untouched(host), pytest.raises(ConfigError, match=message):
        pa.attach(host, small, lora=kit.LORA | settings_)
    pa.attach(host, small, lora=kit.LORA)


def test_the_same_as_an_object_of_peft(kit, host, small):
    from peft import LoraConfig

    with kit.Untouched(host), pytest.raises(ConfigError, match="trainable_token_indices"):
        pa.attach(host, small, lora=LoraConfig(r=2, target_modules=["q_proj"], trainable_token_indices=[]))


def test_a_rank_that_the_file_has_not_is_refused_before_it_is_made(kit, host, source, tmp_path, monkeypatch):
    described = json.loads((source / LORA_CONFIG).read_text("utf-8")) | {"r": 60_000}
    where = spoil(source, tmp_path / "a", LORA_CONFIG, json.dumps(described).encode())
    monkeypatch.setattr("peft.inject_adapter_in_model", lambda *args: pytest.fail("layers were made"))
    with kit.Untouched(host), pytest.raises(CheckpointError, match="2 in the file, rank 60000"):
        pa.load_adapter(host, where)
    monkeypatch.setattr(lora_settings.LoraPlan, "require_weights", lambda plan, state: None)
    with pytest.raises(pytest.fail.Exception, match="layers were made"):
        pa.load_adapter(host, where)


def test_the_check_bites_when_patterns_have_no_clock(kit, host, small, monkeypatch):
    monkeypatch.setattr(lora_settings._Clock, "matching", lambda clock, pattern, names, setting: list(names)[:1])
    with pytest.raises(AssertionError), pytest.raises(ConfigError, match="takes too long"):
        pa.attach(host, small, lora=kit.LORA | {"target_modules": SLOW})


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes", [{"expert_hidden_size": 10**7}, {"num_experts": 10**9}, {"num_experts": 4000}], ids=str
)
def test_sizes_are_compared_with_the_file_before_memory_is_taken(kit, host, source, tmp_path, monkeypatch, sizes):
    described = json.loads((source / CONFIG).read_text("utf-8"))
    del described["config_sha256"]
    described["adapter"] |= sizes
    where = spoil(source, tmp_path / "a", CONFIG, json.dumps(described).encode())
    real = torch.device("cpu")
    made: list[int] = []

    def watched(build: Any, *rest: Any) -> Any:
        def counted(**options: Any) -> Any:
            layer = build(**options)
            made.extend(p.numel() for p in layer.parameters() if p.device == real)
            return layer

        return fitting_layer.fitting_layer(counted, *rest)

    monkeypatch.setattr("parrot_adapters.adapter.prepare_stored.fitting_layer", watched)
    with kit.Untouched(host), pytest.raises(CheckpointError, match="does not fit the adapter its config describes"):
        pa.load_adapter(host, where)
    assert made == []


# --- the config itself ------------------------------------------------------------------------------------------------


def test_a_router_swapped_for_another_of_the_same_shape_is_noticed(kit, host, saved):
    path = saved / CONFIG
    described = json.loads(path.read_text("utf-8"))
    assert described["adapter"]["router"] == "text-guided"
    described["adapter"]["router"] = "visual-only"
    path.write_text(json.dumps(described), encoding="utf-8")
    with kit.Untouched(host), pytest.raises(CheckpointError, match="damaged"):
        pa.load_adapter(host, saved)
    del described["config_sha256"]
    path.write_text(json.dumps(described), encoding="utf-8")
    pa.load_adapter(
        host, saved
    ).detach()  # as an adapter of an early release, which has no digest: the check is the digest's


# --- reading while somebody saves -------------------------------------------------------------------------------------


def saving_in_between(monkeypatch: pytest.MonkeyPatch, save: Any) -> None:
    """Save another adapter in the middle of the next read."""
    read, left = stored.read_tensors, [save]

    def interrupted(path: Path, digest: str) -> Any:
        if left:
            left.pop()()
        return read(path, digest)

    monkeypatch.setattr(stored, "read_tensors", interrupted)


def test_a_reader_during_a_save_gets_the_new_adapter(kit, make_host, small, saved, monkeypatch):
    other = pa.attach(make_host(), small)
    kit.disturb(other, seed=9)
    saving_in_between(monkeypatch, lambda: other.save_pretrained(saved))
    found = stored.read_adapter(saved)
    assert all(torch.equal(found.require_weights()[k], v) for k, v in other.require_module().state_dict().items())


def test_the_check_bites_when_a_reader_does_not_wait(kit, make_host, small, saved, monkeypatch):
    other = pa.attach(make_host(), small)
    kit.disturb(other, seed=9)
    saving_in_between(monkeypatch, lambda: other.save_pretrained(saved))
    monkeypatch.setenv("PARROT_LIMIT_SAVE_SECONDS", "0")
    with pytest.raises(CheckpointError, match="damaged"):
        stored.read_adapter(saved)


def test_one_reads_while_another_saves(kit, make_host, small, saved):
    handle = pa.attach(make_host(), small)
    kit.disturb(handle, seed=9)
    stop = threading.Event()

    def save() -> None:
        while not stop.is_set():
            kit.disturb(handle)
            handle.save_pretrained(saved)

    writer = threading.Thread(target=save)
    writer.start()
    try:
        for _ in range(10):
            stored.read_adapter(saved)
    finally:
        stop.set()
        writer.join()


# --- writing ----------------------------------------------------------------------------------------------------------


def test_what_a_killed_save_left_is_gone_after_the_next(full, tmp_path):
    import socket
    import subprocess
    import sys

    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    mark = f"writing-{socket.gethostname()[:40]}-{gone.stdout.strip()}-abc"
    (tmp_path / f".adapter.{mark}" / "new").mkdir(parents=True)
    full.save_pretrained(tmp_path / "adapter")
    assert [p.name for p in tmp_path.iterdir()] == ["adapter"]
    (tmp_path / "adapter" / f".adapter_config.json.{mark}" / "new").mkdir(parents=True)
    full.save_pretrained(tmp_path / "adapter")
    assert not list((tmp_path / "adapter").glob(".*"))


def test_names_that_no_file_can_have(full, tmp_path):
    with pytest.raises(ConfigError, match="longer than a path can be"):
        full.save_pretrained(tmp_path / ("x" * 300))
    with pytest.raises(ConfigError, match="longer than a path can be"):
        pa.load_adapter(full.model, tmp_path / ("x" * 300))


def test_an_error_of_the_disk_is_told_as_one_of_the_library(tmp_path):
    from parrot_adapters.errors import TrainingError, writing

    with pytest.raises(TrainingError, match=r"cannot write there(.|\n)*No space left"), writing("there", TrainingError):
        raise OSError(28, "No space left on device")
    with pytest.raises(ValueError, match="mine"), writing("there"):
        raise ValueError("mine")
