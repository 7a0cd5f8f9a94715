"""A module imported as soon as another one has been."""

from __future__ import annotations

import sys

import pytest

from parrot_adapters.import_after import import_after


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two modules: ``waited_for``, which raises the first time where told to, and ``follower``, which reads it."""
    (tmp_path / "waited_for.py").write_text("value = 1\n")
    (tmp_path / "follower.py").write_text("from waited_for import value\n")
    monkeypatch.syspath_prepend(tmp_path)
    finders = list(sys.meta_path)
    yield tmp_path
    sys.meta_path[:] = finders
    for name in ("waited_for", "follower"):
        sys.modules.pop(name, None)


def test_the_second_waits_for_the_first(files):
    finders = len(sys.meta_path)
    import_after("waited_for", "follower")
    import_after("waited_for", "follower")
    assert len(sys.meta_path) == finders + 1
    import json.tool  # noqa: F401  another module

    assert "follower" not in sys.modules
    import waited_for

    assert sys.modules["follower"].value == waited_for.value == 1
    assert waited_for.__spec__.origin == str(files / "waited_for.py")
    assert len(sys.meta_path) == finders


def test_at_once_where_the_first_is_there(files):
    import waited_for  # noqa: F401

    import_after("waited_for", "follower")
    assert "follower" in sys.modules


def test_a_first_that_is_not_there_stays_an_import_error(files):
    import_after("nobody_has_this", "follower")
    with pytest.raises(ModuleNotFoundError, match="nobody_has_this"):
        import nobody_has_this  # noqa: F401
    assert "follower" not in sys.modules
