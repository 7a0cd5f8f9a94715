"""``example:NAME/FILE``: made once, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import parrot_adapters as pa
from parrot_adapters.errors import ConfigError, PluginError, UnknownNameError
from parrot_adapters.examples import cache_directory, example_path


class Signs:
    """A plugin whose example counts how often it is made, and may fail halfway."""

    def __init__(self) -> None:
        self.made, self.key, self.fails = 0, "1", False

    def make(self, directory: Path) -> None:
        self.made += 1
        (directory / "train.json").write_text(str(self.made))
        if self.fails:
            raise RuntimeError("the pen broke")
        (directory / "host").mkdir()

    @pa.hookimpl
    def register_examples(self, register) -> None:
        register("gestures", pa.Example(self.make, key=self.key, seconds=1))


@pytest.fixture
def signs(tmp_path, monkeypatch) -> Iterator[Signs]:
    monkeypatch.setenv("PARROT_CACHE", str(tmp_path / "cache"))
    plugin = Signs()
    pa.plugins.register(plugin, "a-plugin-of-signs")
    yield plugin
    pa.plugins.manager.unregister("a-plugin-of-signs")


def test_it_is_made_once_and_found_again(signs, capsys) -> None:
    found = example_path("example:gestures/train.json")
    assert found is not None
    assert found.read_text() == "1"
    assert "'gestures', once, about 1 s" in capsys.readouterr().err
    assert example_path("example:gestures/train.json") == found
    assert example_path("example:gestures") == found.parent
    assert (signs.made, capsys.readouterr().err) == (1, "")
    assert found.is_relative_to(cache_directory())


def test_another_key_makes_it_again(signs) -> None:
    first = example_path("example:gestures/train.json")
    signs.key = "2"
    second = example_path("example:gestures/train.json")
    assert first != second
    assert signs.made == 2


def test_a_fault_leaves_nothing_behind_and_names_the_plugin(signs) -> None:
    signs.fails = True
    with pytest.raises(PluginError, match=r"(?s)'gestures' of a-plugin-of-signs.*the pen broke"):
        example_path("example:gestures/train.json")
    assert list((cache_directory() / "examples").iterdir()) == []
    signs.fails = False
    assert example_path("example:gestures/host") is not None


def test_other_paths_are_nobodys_example(signs) -> None:
    assert example_path("train.json") is None
    assert example_path(Path("examples/signs")) is None
    assert signs.made == 0


def test_unknown_names_and_files_are_told_what_there_is(signs) -> None:
    with pytest.raises(UnknownNameError, match="gestures"):
        example_path("example:gesture/train.json")
    with pytest.raises(ConfigError, match=r"(?s)train\.jsn.*train\.json.*it has.*host, train\.json"):
        example_path("example:gestures/train.jsn")
