"""``parrot new``: what it writes can be installed, is found, and passes its own tests."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from parrot_adapters.cli import main

KINDS = ("router", "expert", "layer-expert", "host")
LOOK = """
from parrot_adapters.plugins import manager
for kind in ("router", "expert", "layer-expert", "host"):
    component = manager.find(kind, f"my-own-{kind}")
    print(component.plugin.distribution, component.plugin.version)
"""


def run(*command, **environment):
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """All kinds, with names of several words."""
    folder = tmp_path_factory.mktemp("new")
    for kind in KINDS:
        assert main(["new", kind, f"my-own-{kind}", "--out", str(folder / kind)]) == 0
    return folder


@pytest.mark.slow
def test_installed_they_are_found(written, tmp_path):
    site = tmp_path / "site"
    pip = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index")
    run(*pip, "--target", str(site), *(str(written / kind) for kind in KINDS))
    found = run(sys.executable, "-c", LOOK, PYTHONPATH=str(site)).split("\n")
    assert found[: len(KINDS)] == [f"parrot-{kind}-my-own-{kind} 0.1.0" for kind in KINDS]


@pytest.mark.slow
def test_they_pass_their_own_tests(written):
    """The router's pyproject.toml, in charge here, puts its own module on the path; the others get help."""
    helped = os.pathsep.join(str(written / kind) for kind in KINDS[1:])
    arguments = ("-q", "-W", "error", "-p", "no:cacheprovider", "-c", str(written / "router" / "pyproject.toml"))
    tests = (str(written / kind / "tests") for kind in KINDS)
    told = run(sys.executable, "-m", "pytest", *arguments, *tests, PYTHONPATH=helped)
    assert "passed" in told
    assert "failed" not in told


def test_what_is_written_is_clean(written):
    ruff = (sys.executable, "-m", "ruff")
    run(*ruff, "check", "--isolated", "--select", "E,F,W,B,UP,PT", "--line-length", "120", str(written))
    run(*ruff, "format", "--check", "--isolated", "--line-length", "120", str(written))


def test_the_default_directory(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "router", "quiet"]) == 0
    assert (tmp_path / "parrot-router-quiet" / "parrot_router_quiet.py").is_file()
    assert "pip install -e" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["Upper", "under_score", "9lives", "-x", "a--b", "../x", ""])
def test_impossible_names(name, tmp_path, capsys):
    assert main(["new", "router", "--out", str(tmp_path / "x"), "--", name]) == 2
    assert "lower-case words" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_taken_names(tmp_path, capsys):
    assert main(["new", "expert", "swiglu", "--out", str(tmp_path / "x")]) == 2
    assert "already, from built in" in capsys.readouterr().err


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("precious")
    assert main(["new", "router", "quiet", "--out", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
