"""Observers see every pass of their own adapter, cost nothing when absent, and leave the answers alone."""

from __future__ import annotations

import copy
import json
import threading

import pytest
import torch
from miniatures import ADAPTER, FAMILIES, PROMPTS, awake

import parrot_adapters as pa
from parrot_adapters.analysis import RoutingObserver
from parrot_adapters.core import RoutingStatistics
from parrot_adapters.hosts import adapter_pass


@pytest.fixture
def inputs():
    return FAMILIES["llava"].batch(PROMPTS)


def run(handle, inputs):
    with torch.no_grad():
        return handle.model(**inputs).logits


def test_an_observer_sees_what_was_recorded(handle, inputs):
    observer = RoutingObserver()
    with handle.add_observer(observer), handle.languages(["en", "tr", None]), handle.record_routing() as log:
        run(handle, inputs)
        run(handle, inputs)
    assert observer.statistics() == RoutingStatistics.of(log)
    assert observer.statistics().counts == {"en": 4, "tr": 2}
    run(handle, inputs)  # after the block
    assert observer.statistics().decisions == 6
    observer.reset()
    with pytest.raises(pa.ParrotError, match="nothing was routed"):
        observer.statistics()


def test_observers_change_no_answer_and_see_no_graph(handle, inputs):
    expected, seen = run(handle, inputs), []
    with handle.add_observer(seen.append):
        logits = handle.model(**inputs).logits
    assert torch.equal(logits, expected)
    assert logits.requires_grad
    assert not seen[0].weights.requires_grad


def test_records_have_a_graph_where_it_is_asked_for_and_nowhere_else(inputs):
    """Its losses too: whoever keeps records would else keep the activations of every pass."""
    table = {"router": "language-id", "router_options": {"languages": ["en", "tr"], "mode": "table"}}
    handle, seen = awake(pa.attach(FAMILIES["llava"].build().train(), {**ADAPTER, **table})), []
    logs = handle.record_routing(), handle.record_routing(graph=True)
    with handle.add_observer(seen.append), handle.languages(["en", "tr", None]), logs[0] as plain, logs[1] as kept:
        handle.model(**inputs)
    for (record,), graph in ((seen, False), (plain, False), (kept, True)):
        held = [record.weights, record.logits, record.losses["language"]]
        assert [tensor.requires_grad for tensor in held] == [graph] * 3


def test_an_observer_is_taken_off_once(handle, inputs):
    first, second = [], []
    kept, removed = handle.add_observer(first.append), handle.add_observer(second.append)
    run(handle, inputs)
    removed.remove()
    removed.remove()
    run(handle, inputs)
    assert (len(first), len(second)) == (2, 1)
    with kept:
        run(handle, inputs)
    run(handle, inputs)
    assert len(first) == 3


def test_one_observer_may_be_there_twice(handle, inputs):
    seen = []
    with handle.add_observer(seen.append):
        with handle.add_observer(seen.append):
            run(handle, inputs)
        run(handle, inputs)
    assert len(seen) == 3


def test_other_threads_are_seen(handle, inputs):
    seen = []
    with handle.add_observer(seen.append):
        thread = threading.Thread(target=run, args=(handle, inputs))
        thread.start()
        thread.join()
    assert len(seen) == 1


def test_no_record_is_made_when_nobody_listens(handle, inputs, monkeypatch):
    def forbidden(**fields):
        raise AssertionError("a record was made for nobody")

    monkeypatch.setattr(adapter_pass, "RoutingRecord", forbidden)
    run(handle, inputs)
    with handle.add_observer(lambda record: None), pytest.raises(AssertionError, match="for nobody"):
        run(handle, inputs)  # the double bites


def test_plugins_observers_are_there_from_the_start(host, inputs, request):
    seen = []

    class Plugin:
        @pa.hookimpl
        def register_observers(self, register):
            register("mine", lambda handle: seen.append if handle.config.num_experts == 3 else None)

    pa.plugins.register(Plugin(), "observing")
    request.addfinalizer(lambda: pa.plugins.manager.unregister("observing"))
    handle = awake(pa.attach(host, ADAPTER))
    run(handle, inputs)
    assert len(seen) == 1
    handle.detach()
    other = pa.attach(host, {**ADAPTER, "num_experts": 2})  # it does not want this one
    run(other, inputs)
    assert len(seen) == 1


def test_the_environment_can_name_a_file(host, inputs, tmp_path, monkeypatch):
    path = tmp_path / "routing.jsonl"
    monkeypatch.setenv("PARROT_ROUTING_LOG", str(path))
    handle = awake(pa.attach(host, ADAPTER))
    twin = copy.deepcopy(host)
    run(handle, inputs)
    with pa.attachment_of(twin).languages(["en", "tr", "tr"]):
        run(pa.attachment_of(twin), inputs)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [line["pass"] for line in lines] == [1, 1]
    assert lines[1]["counts"] == {"en": 2, "tr": 1}
    assert lines[0]["num_experts"] == 3


def test_nothing_is_written_unasked(host, inputs, tmp_path, monkeypatch):
    monkeypatch.delenv("PARROT_ROUTING_LOG", raising=False)
    handle = pa.attach(host, ADAPTER)
    assert not handle.carried.seam.observers
