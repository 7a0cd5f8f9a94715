"""Whose declaration of a family counts, and what the self-test leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from miniatures import ADAPTER, FAMILIES, PROMPTS

import parrot_adapters as pa
from parrot_adapters.hosts.host_parts import resolve_spec
from parrot_adapters.plugins import manager


class Mine:
    """A stranger's declaration of a family that the library declares itself."""

    @pa.hookimpl
    def register_hosts(self, register: Any) -> None:
        register("my-idefics", pa.HostSpec(model_types=("idefics3",), unit="row"))


@pytest.fixture
def mine() -> Iterator[None]:
    name = pa.plugins.register(Mine(), "mine")
    yield
    manager.unregister(name)


def test_a_plugin_overrides_the_librarys_declaration(mine: None) -> None:
    spec, plugin = resolve_spec("idefics3")
    assert spec.unit == "row"
    assert plugin is not None
    assert plugin.name == "mine"
    assert resolve_spec("idefics2")[0].unit == "run"


def test_two_plugins_that_declare_a_family_are_an_error(mine: None) -> None:
    other = pa.plugins.register(Mine(), "other")
    try:
        with pytest.raises(pa.ParrotError, match=r"idefics3.*mine.*other"):
            resolve_spec("idefics3")
    finally:
        manager.unregister(other)


def test_the_self_test_restores_every_modules_mode() -> None:
    family = FAMILIES["llava"]
    model = family.build().train()
    model.model.vision_tower.eval()
    modes = {name: module.training for name, module in model.named_modules()}
    with pa.attach(model, pa.AdapterConfig(**ADAPTER), self_test=family.batch(PROMPTS)):
        assert {n: m.training for n, m in model.named_modules() if "parrot_adapter" not in n} == modes


def test_the_self_test_and_the_log_know_abstaining() -> None:
    family = FAMILIES["llava"]
    model, inputs = family.build(), family.batch(PROMPTS)
    config = pa.AdapterConfig(**ADAPTER, router="language-id", router_options={"languages": ["en", "tr", "ru"]})
    with pa.attach(model, config, self_test=inputs) as handle:
        with handle.record_routing() as log, handle.languages(["tr", *[None] * (len(PROMPTS) - 1)]):
            model(**inputs)
        abstained = log[0].abstain
        assert abstained is not None
        assert abstained.tolist() == [row != 0 for row in log[0].rows.tolist()]
