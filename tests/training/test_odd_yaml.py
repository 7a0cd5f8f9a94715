"""Odd YAML and odd overrides of a training configuration: settings or one error, never Python's own."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parrot_adapters.errors import ConfigError
from parrot_adapters.training import config_yaml, load_config
from parrot_adapters.training.config_yaml import parse_yaml, read_yaml

BASE = "recipe: retrofit\nout: o\nhost: {path: h}\ndata: {sources: [{path: d.json}]}\n"
BOMB = "x0: &x0 [a,a,a,a,a,a,a,a,a]\n" + "".join(
    f"x{i}: &x{i} [{','.join([f'*x{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
REFUSED = {
    "digits": ("steps: " + "9" * 5000, "400 digits"),
    "a whole number that is none": ("steps: !!int abc", "holds a value that is none"),
    "a number that is none": ("steps: !!float abc", "holds a value that is none"),
    "a truth value that is none": ("steps: !!bool maybe", "holds a value that is none"),
    "a date that is none": ("steps: !!timestamp 2024-99-99", "holds a value that is none"),
    "levels": ("\n".join(" " * i + "a:" for i in range(3000)), "50 levels"),
    "references": (BOMB, "100,000 values"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    text, message = REFUSED[name]
    with pytest.raises(ConfigError, match=message):
        parse_yaml(text, "it")


def test_a_large_file_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "c.yaml"
    path.write_text("a: 1" + " " * 100)
    assert read_yaml(path) == {"a": 1}
    monkeypatch.setenv("PARROT_LIMIT_YAML_BYTES", "50")
    with pytest.raises(ConfigError, match="larger than 50 bytes"):
        read_yaml(path)


def test_references_within_the_limit_are_followed():
    assert parse_yaml("a: &a [1, 2]\nb: [*a, *a]", "it")["b"] == [[1, 2], [1, 2]]


@given(text=st.text(st.sampled_from("abc019 \n:-[]{}&*!<>|'\"#%@,.?~eEx_\t"), max_size=60))
def test_any_text_is_data_or_one_error(text):
    with suppress(ConfigError):
        parse_yaml(text, "it")


OVERRIDES = st.builds(
    "{}={}".format,
    st.lists(
        st.sampled_from(["data", "sources", "0", "\u00b2", "9" * 5000, "path", "steps", "optim", ""]), max_size=5
    ).map(".".join),
    st.sampled_from(["1", "x", "9" * 5000, "[", "!!int x", "{a: 1}", "*x", ""]),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(overrides=st.lists(OVERRIDES, max_size=3))
def test_any_override_is_a_setting_or_one_error(tmp_path, overrides):
    (tmp_path / "c.yaml").write_text(BASE)
    with suppress(ConfigError):
        load_config(tmp_path / "c.yaml", overrides)


def test_the_check_bites_when_references_are_not_counted(monkeypatch):
    monkeypatch.setattr(config_yaml, "_values", lambda node, known: 0)
    with pytest.raises(pytest.fail.Exception), pytest.raises(ConfigError):
        parse_yaml(BOMB, "it")
