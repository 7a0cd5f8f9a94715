"""JSON of a stranger: plain data within the limits, or one error that names the file; limits can be set."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parrot_adapters import bounded_json
from parrot_adapters.bounded_json import parse_json, read_json, read_json_object
from parrot_adapters.errors import CheckpointError, ConfigError, DataError
from parrot_adapters.limits import DEFAULT_LIMITS, limit

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(value=PLAIN)
def test_plain_data_comes_back(value):
    assert parse_json(json.dumps(value).encode(), "it") == value


@given(text=st.text(st.sampled_from('[]{}",:0123456789eE+-. nultrfasNI\\\n\ud800'), max_size=60))
def test_any_text_is_data_or_one_error(text):
    with suppress(CheckpointError):
        parse_json(text.encode("utf-8", "surrogatepass"), "it")


BEYOND = {
    "deep list": (b"[" * 200 + b"]" * 200, "100 levels"),
    "deep beyond Python's own limit": (b"[" * 100_000, "100 levels"),
    "deep objects": (b'{"a":' * 101 + b"1" + b"}" * 101, "100 levels"),
    "digits": (b"9" * 401, "400 digits"),
    "more digits than Python reads": (b"9" * 5000, "400 digits"),
    "infinity": (b"[Infinity]", "Infinity is no number"),
    "not a number": (b"NaN", "NaN is no number"),
    "a name twice": (b'{"a": 1, "a": 2}', "'a' stands twice"),
    "no UTF-8": (b"\xf6{}", "utf-8"),
    "cut short": (b"{", "JSON"),
    "half a character": (rb'{"a": ["\ud800"]}', "surrogates not allowed"),
    "half a character in a name": (rb'{"\udfff": 1}', "surrogates not allowed"),
}


@pytest.mark.parametrize("name", BEYOND)
def test_refused(name):
    content, message = BEYOND[name]
    with pytest.raises(CheckpointError, match=message):
        parse_json(content, "it")


def test_characters_of_two_escapes_are_whole():
    assert parse_json(rb'"\ud83d\ude00 \\ud800"', "it") == "\U0001f600 \\ud800"


def test_as_deep_as_allowed():
    parse_json(b"[" * 100 + b"]" * 100, "it")


def test_a_large_file_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text("[" + " " * 100 + "]")
    assert read_json(path) == []
    monkeypatch.setenv("PARROT_LIMIT_JSON_BYTES", "50")
    with pytest.raises(DataError, match=r"a\.json(.|\n)*50 bytes.*PARROT_LIMIT_JSON_BYTES"):
        read_json(path, DataError)


def test_no_file_and_no_object(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_json(tmp_path / ("x" * 300))
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(CheckpointError, match="holds list, not an object"):
        read_json_object(tmp_path / "a.json")


@pytest.mark.parametrize("name", DEFAULT_LIMITS)
def test_every_limit_is_documented_and_can_be_set(name, monkeypatch):
    from parrot_adapters import limits

    assert f"    {name} " in str(limits.__doc__)
    monkeypatch.setenv(f"PARROT_LIMIT_{name.upper()}", "7")
    assert limit(name) == 7
    for wrong in ("-1", "many", "\u00b2", "9" * 40):
        monkeypatch.setenv(f"PARROT_LIMIT_{name.upper()}", wrong)
        with pytest.raises(ConfigError, match="whole number"):
            limit(name)


def test_an_unknown_limit():
    with pytest.raises(ConfigError, match="Did you mean 'json_bytes'"):
        limit("json_byte")


def test_the_check_bites_without_a_limit_of_depth(monkeypatch):
    monkeypatch.setattr(bounded_json, "_require_shallow", lambda value: None)
    with pytest.raises(pytest.fail.Exception), pytest.raises(CheckpointError):
        parse_json(b"[" * 200 + b"]" * 200, "it")
