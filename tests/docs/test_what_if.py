"""recipes/WHAT_IF.md names commands, settings and messages that exist."""

from __future__ import annotations

import ast
import re
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

import pytest
from support.folders import ROOT

from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.cli import main
from parrot_adapters.plugins import manager
from parrot_adapters.training.training_config import TrainingConfig

PAGE = (ROOT / "recipes" / "WHAT_IF.md").read_text("utf-8")
CODE = re.findall(r"`([^`\n]+)`", PAGE.replace("```", ""))
WANTED = (
    "Out of memory",
    "Routing is flat",
    "One expert takes all",
    "The loss has spikes",
    "The loss explodes",
    "Not a number",
    "Nothing to learn",
    "Erosion persists",
    "A run was killed",
    "It hangs at the start",
    "The Hub cannot be reached",
)


def settings_of(code: list[str]) -> list[str]:
    """Everything that looks like a key of the configuration."""
    sections = "|".join(field.name for field in fields(TrainingConfig))
    return sorted({found for text in code for found in re.findall(rf"\b((?:{sections})\.[\w.-]+)", text)} - FILES)


FILES = set(re.findall(r"[\w/-]+\.(?:jsonl|json|yaml|md)", PAGE))


def is_setting(key: str) -> bool:
    """Whether a configuration has a key of that path."""
    here: Any = TrainingConfig
    parts = key.split(".")
    for number, part in enumerate(parts):
        if not is_dataclass(here):
            parent = parts[number - 1]
            if parent == "adapter":
                return part in {field.name for field in fields(AdapterConfig)}
            if parent == "losses":
                return part in {component.name for component in manager.components("loss")}
            if parent == "learning_rates":
                from parrot_adapters.training.training_config import Role

                return part in get_args(Role)
            return parent in ("lora", "language_caps", "router_options", "processor")
        hints = get_type_hints(here)
        if part not in hints:
            return False
        here = hints[part]
    return True


def test_every_question_is_there():
    assert [line[3:] for line in PAGE.splitlines() if line.startswith("## ")][: len(WANTED)] == list(WANTED)


def test_settings_exist():
    named = settings_of(CODE)
    assert len(named) > 20
    assert [key for key in named if not is_setting(key)] == []


@pytest.mark.parametrize("key", ["engine.kinds", "optim.lr", "losses.load-balance", "adapter.expertise"])
def test_the_check_bites(key):
    assert settings_of([f"set {key}=3"]) == [key]
    assert not is_setting(key)


def test_commands_exist(capsys):
    named = sorted({words[1] for text in CODE if (words := text.split())[:1] == ["parrot"] and len(words) > 1})
    assert {"train", "plan", "data", "diagnose", "evaluate", "compare"} <= {name for name in named if name.isalpha()}
    for name in named:
        if name.isalpha():
            asked = [name, "check"] if name == "data" else [name]
            with pytest.raises(SystemExit) as stopped:
                main([*asked, "--help"])
            assert stopped.value.code == 0, name
            known = capsys.readouterr().out
            lines = [text for text in CODE if text.startswith(f"parrot {name} ")]
            assert [option for text in lines for option in re.findall(r"--[\w-]+", text) if option not in known] == []


def test_messages_are_ours():
    source = "".join(path.read_text("utf-8") for path in (ROOT / "parrot_adapters").rglob("*.py"))
    for words in ("the device ran out of memory.", "training diverged at step", "the loss has been high for"):
        assert words in PAGE
        assert words in source


def settings_advised(source: str, message: str) -> set[str]:
    """Settings that the error with this message names as what to do."""
    raised = next(
        call
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "explain" and message in ast.unparse(call.args[0])
    )
    to_do = next(ast.unparse(keyword.value) for keyword in raised.keywords if keyword.arg == "to_do")
    return set(re.findall(r"(?:engine|host|optim|train)\.\w+", to_do.replace("config.engine", "")))


@pytest.mark.parametrize(
    ("file", "message"), [("run.py", "the device ran out of memory."), ("trainer.py", "training diverged at step")]
)
def test_messages_advise_what_the_page_advises(file, message):
    advised = settings_advised((ROOT / "parrot_adapters" / "training" / file).read_text("utf-8"), message)
    assert len(advised) > 1
    assert [setting for setting in advised if setting not in PAGE] == []
