"""``disabled()``: the bare host in one context, bit for bit, while every other context keeps the adapter."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from miniatures import ADAPTER, PROMPTS, Family

import parrot_adapters as pa
from parrot_adapters.errors import HostError
from parrot_adapters.hosts import adapter_switch

LORA = {"r": 2, "target_modules": ["q_proj"]}
ONE_KIND = pytest.mark.parametrize("family", ["llava"], indirect=True)


@torch.no_grad()
def disturb(handle: pa.Attachment) -> None:
    """Noise on everything the adapter owns."""
    drawn = torch.Generator().manual_seed(1)
    for parameter in handle.parameters():
        parameter.add_(0.3 * torch.randn(parameter.shape, generator=drawn).to(parameter))


@torch.no_grad()
def logits(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    return model(**inputs).logits


class Answers:
    """A host with experts, projector and LoRA, and what it must answer with the adapter and without it."""

    def __init__(self, family: Family, *, lora: bool = True) -> None:
        self.model, self.inputs = family.build(), family.batch(PROMPTS)
        self.bare = logits(self.model, self.inputs)
        self.handle = pa.attach(self.model, ADAPTER, train_projector=True, lora=LORA if lora else None)
        disturb(self.handle)
        self.adapted = logits(self.model, self.inputs)
        assert not torch.equal(self.adapted, self.bare)

    def seen(self, handle: pa.Attachment | None = None) -> str:
        """``"bare"`` or ``"adapted"``: what a call answers here and now; anything in between fails."""
        handle = self.handle if handle is None else handle
        found = logits(handle.model, self.inputs)
        assert handle.active == torch.equal(found, self.adapted)
        assert handle.active or torch.equal(found, self.bare)
        return "adapted" if handle.active else "bare"


@pytest.fixture
def answers(family: Family) -> Answers:
    return Answers(family)


def in_another_thread(call: Callable[[], Any]) -> Any:
    made: list[Any] = []

    def run() -> None:
        try:
            made.append(call())
        except BaseException as error:
            made.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(made[0], BaseException):
        raise made[0]
    return made[0]


# --- what must hold -------------------------------------------------------------------------------------------------


@pytest.mark.few(2)
def test_projectors_of_every_family_are_bare_inside(family: Family) -> None:
    """Also where the projector is a tower's last part, and where it holds the host's merged deep features."""
    answers = Answers(family, lora=False)
    with answers.handle.disabled():
        assert answers.seen() == "bare"
        made = answers.model.generate(**answers.inputs, max_new_tokens=2, do_sample=False)
    assert answers.seen() == "adapted"
    answers.handle.detach()
    assert torch.equal(answers.model.generate(**answers.inputs, max_new_tokens=2, do_sample=False), made)


@ONE_KIND
def test_the_bare_projector_is_in_the_mode_that_the_host_is_in(host) -> None:
    projector = host.model.multi_modal_projector
    projector.act = torch.nn.Sequential(projector.act, torch.nn.Dropout(0.5))
    handle = pa.attach(host, ADAPTER, train_projector=True)
    features = torch.randn(1, 4, projector.linear_1.in_features)
    for training in (True, False):
        host.train(training)
        with handle.disabled():
            assert torch.equal(projector(features), projector(features)) is not training


def check_other_threads(answers: Answers) -> None:
    with answers.handle.disabled():
        assert answers.seen() == "bare"
        assert in_another_thread(answers.seen) == "adapted"
        assert answers.seen() == "bare"
    assert answers.seen() == "adapted"


def check_overlapping(answers: Answers) -> None:
    """Enter A, enter B, leave A, leave B; in one context, and in two."""
    first, second = answers.handle.disabled(), answers.handle.disabled()
    first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    assert answers.seen() == "bare"
    second.__exit__(None, None, None)
    assert answers.seen() == "adapted"

    first = answers.handle.disabled()
    first.__enter__()
    second = in_another_thread(lambda: _entered(answers))
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)  # by another thread than the one that entered
    assert answers.seen() == in_another_thread(answers.seen) == "adapted"


def _entered(answers: Answers) -> AbstractContextManager[Any]:
    block = answers.handle.disabled()
    block.__enter__()
    assert answers.seen() == "bare"
    return block


@ONE_KIND
def test_other_threads_keep_the_adapter(answers) -> None:
    check_other_threads(answers)


@ONE_KIND
def test_overlapping_blocks_end_with_the_adapter_on(answers) -> None:
    check_overlapping(answers)


@ONE_KIND
def test_nested_blocks_and_failing_blocks(answers) -> None:
    with answers.handle.disabled(), answers.handle.disabled():
        assert answers.seen() == "bare"
    with pytest.raises(ZeroDivisionError), answers.handle.disabled():
        raise ZeroDivisionError
    assert answers.seen() == "adapted"


@ONE_KIND
def test_tasks_of_one_thread_are_contexts_of_their_own(answers) -> None:
    async def both() -> list[str]:
        inside, asked = asyncio.Event(), asyncio.Event()

        async def holds() -> str:
            with answers.handle.disabled():
                inside.set()
                await asked.wait()
                return answers.seen()

        async def asks() -> str:
            await inside.wait()
            found = answers.seen()
            asked.set()
            return found

        return await asyncio.gather(holds(), asks())

    assert asyncio.run(both()) == ["bare", "adapted"]


@ONE_KIND
def test_the_process_wide_switch_holds_in_every_thread(answers) -> None:
    answers.handle.disable()
    assert answers.seen() == in_another_thread(answers.seen) == "bare"
    with answers.handle.disabled():
        assert answers.seen() == "bare"
        answers.handle.enable()
        assert answers.seen() == "bare"
        assert in_another_thread(answers.seen) == "adapted"
        answers.handle.disable()
    assert answers.seen() == "bare"
    answers.handle.enable()
    assert answers.seen() == "adapted"


@ONE_KIND
def test_a_block_is_of_one_host(family: Family, answers) -> None:
    other = Answers(family)
    with answers.handle.disabled():
        assert other.seen() == "adapted"


@ONE_KIND
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_made_inside_have_a_switch_of_their_own(family: Family, copied) -> None:
    answers = Answers(family)
    answers.model = family.build()  # one that has not run yet: after that, hosts do not pickle
    handle = pa.attach(answers.model, ADAPTER, train_projector=True, lora=LORA)
    disturb(handle)
    with handle.disabled():
        twin = pa.attachment_of(copied(handle.model))
        assert answers.seen(twin) == "adapted"
        with twin.disabled():
            assert answers.seen(twin) == "bare"
        assert answers.seen(twin) == "adapted"
    assert answers.seen(handle) == "adapted"


@ONE_KIND
def test_state_dicts_and_saved_files_inside(family: Family, answers, tmp_path) -> None:
    own = family.build().state_dict()
    adapters = {name: value.clone() for name, value in answers.handle.projector.named_parameters()}
    prefix = f"{answers.handle.parts.base_prefix}{answers.handle.parts.projector}."
    with answers.handle.disabled():
        inside = answers.model.state_dict()
        assert all(torch.equal(inside[name], own[name]) for name in own if name.startswith(prefix))
        answers.model.save_pretrained(tmp_path / "host")
        answers.handle.save_pretrained(tmp_path / "adapter")
        with pytest.raises(HostError, match=r"inside disabled\(\)"):
            answers.handle.projector.load_state_dict(adapters)
    outside = answers.model.state_dict()
    assert all(torch.equal(outside[f"{prefix}{name}"], value) for name, value in adapters.items())
    saved = type(answers.model).from_pretrained(tmp_path / "host").eval()
    assert torch.equal(logits(saved, answers.inputs), answers.bare)
    pa.load_adapter(saved, tmp_path / "adapter")
    assert torch.equal(logits(saved, answers.inputs), answers.adapted)


@ONE_KIND
def test_the_hosts_own_projector_follows_to_another_dtype_and_back(family: Family, answers) -> None:
    answers.model.to(torch.bfloat16)
    inputs = {k: v.bfloat16() if v.is_floating_point() else v for k, v in answers.inputs.items()}
    with answers.handle.disabled():
        assert torch.equal(logits(answers.model, inputs), logits(family.build().to(torch.bfloat16), inputs))


@ONE_KIND
@pytest.mark.parametrize("merged", ["projector", "detach"])
def test_nothing_stays_on_the_projector(answers, merged: str) -> None:
    projector = answers.handle.projector
    assert "forward" in vars(projector)
    answers.handle.merge_projector() if merged == "projector" else answers.handle.detach()
    assert "forward" not in vars(projector)
    assert not projector._state_dict_hooks
    assert not projector._load_state_dict_pre_hooks


@ONE_KIND
def test_a_projector_that_is_never_called_is_refused(host) -> None:
    host.model.several = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
    with pytest.raises(HostError, match="never itself"):
        pa.attach(host, ADAPTER | {"host_options": {"projector": ["several"]}}, train_projector=True)
    assert pa.attachment_of(host) is None


# --- doubles that must fail -----------------------------------------------------------------------------------------


@contextmanager
def for_the_whole_process(self: Any):  # as an earlier version did
    before, self.wanted = self.wanted, False
    try:
        yield
    finally:
        self.wanted = before


@contextmanager
def by_token(self: Any):  # resets the context to what it was, whatever else was opened meanwhile
    block = adapter_switch._Block()
    token = adapter_switch._BLOCKS.set((*adapter_switch._BLOCKS.get(), block))
    self._open += (block,)
    try:
        yield
    finally:
        adapter_switch._BLOCKS.reset(token)


@ONE_KIND
def test_a_process_wide_block_is_caught(answers, monkeypatch) -> None:
    monkeypatch.setattr(adapter_switch.AdapterSwitch, "left_out", for_the_whole_process)
    with pytest.raises(AssertionError):
        check_other_threads(answers)
    answers.handle.enable()
    with pytest.raises(AssertionError):
        check_overlapping(answers)


@ONE_KIND
def test_blocks_that_end_others_are_caught(answers, monkeypatch) -> None:
    monkeypatch.setattr(adapter_switch.AdapterSwitch, "left_out", by_token)
    check_other_threads(answers)
    with pytest.raises((AssertionError, ValueError)):
        check_overlapping(answers)


@ONE_KIND
@pytest.mark.parametrize("part", ["projector", "LoRA"])
def test_a_part_that_stays_adapted_is_caught(answers, monkeypatch, part: str) -> None:
    own = answers.handle.projector
    left = adapter_switch.BareInBlocks.__call__

    def forgets(self: Any, *args: Any, **kwargs: Any) -> Any:
        return (
            self.own(*args, **kwargs) if (self.module is own) == (part == "projector") else left(self, *args, **kwargs)
        )

    monkeypatch.setattr(adapter_switch.BareInBlocks, "__call__", forgets)
    with pytest.raises(AssertionError):
        check_other_threads(answers)
