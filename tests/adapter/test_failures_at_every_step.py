"""Whatever changes a host changes it whole or not at all, wherever a failure comes: tried at the lines that it runs."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import adapters as kit
from support.failing import Injected, Place, failing_at, lines_run, spread

import parrot_adapters as pa
from parrot_adapters.adapter import attach as attaching
from parrot_adapters.adapter import handle_adapters
from parrot_adapters.adapter.grow_experts import grow_adapter
from parrot_adapters.adapter.handle_adapters import HandleAdapters
from parrot_adapters.adapter.host_overrides import HostOverrides
from parrot_adapters.errors import ParrotError
from parrot_adapters.hosts import restored_on_failure as restoring
from parrot_adapters.hosts.generation_override import GENERATION_HELPER
from parrot_adapters.hosts.switched_weights import SwitchedWeights

SMALL = pa.AdapterConfig(num_experts=2, expert_hidden_size=4, summary="mean")
INSIDE = pa.AdapterConfig(num_experts=2, placement="layers", layer_rank=2, layer_modules=["q_proj"], summary="mean")
ROOMS = ("adapter", "hosts", "core")  # what plugins raise is reported, and the rest goes on
EVERY_LINE = ("attach", "detach", "switch")
MANY = 80  # of the lines of another operation, in the slow tier
A_FEW = 9  # of the lines of an operation, in the default tier


class Given:
    """A host with things of its own that must stay, and directories to load from."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.host = folder, kit.tiny_host()
        self.host.model.vision_tower.requires_grad_(False)
        self.host.model.register_forward_pre_hook(_own_hook)
        own = getattr(type(self.host), GENERATION_HELPER).__get__(self.host)
        self.host.__dict__[GENERATION_HELPER] = lambda *args, **kwargs: own(*args, **kwargs)
        self.host._keys_to_ignore_on_save = {"lm_head.weight"}
        self.model = self.host  # or what is around it

    @property
    def handle(self) -> Any:
        return pa.attachment_of(self.host)

    def saved(self, name: str = "full", config: Any = SMALL, **options: Any) -> Path:
        """A directory with an adapter for such a host, all of its weights disturbed."""
        if not (self.folder / name).exists():
            with pa.attach(kit.tiny_host(), config, **options) as handle:
                kit.disturb(handle)
                handle.save_pretrained(self.folder / name)
        return self.folder / name

    def look(self) -> dict[str, Any]:
        """All that must be the same after a failure as before."""
        handle = self.handle
        seen: dict[str, Any] = {
            "traces": kit.traces(self.model),
            "attributes": {n: {k: id(v) for k, v in vars(m).items()} for n, m in self.model.named_modules()},
            "bits": kit.bits(self.model),
        }
        if handle is not None:
            seen["adapters"] = (handle.adapters, handle.active_adapter, handle.active, list(handle.observers))
            for name, carried in handle.shelf.items():
                mine = list(carried.parameters())
                seen[f"objects of {name}"] = [(id(p), p.requires_grad) for p in mine]
                seen[f"weights of {name}"] = {str(n): p.detach().clone() for n, p in enumerate(mine)}
        return seen


def _own_hook(module: Any, args: Any) -> None:
    return None


def assert_same(now: dict[str, Any], before: dict[str, Any]) -> None:
    assert now.keys() == before.keys()
    for name, value in before.items():
        if name == "bits" or name.startswith("weights"):
            kit.assert_same_bits(now[name], value)
        else:
            assert now[name] == value, name


# --- what stands before, what is done, what undoes it -----------------------------------------------------------------


def attach_all(given: Given) -> None:
    pa.attach(given.model, SMALL, train_projector=True, lora=kit.LORA)


def attach_two(given: Given) -> None:
    attach_all(given)
    kit.disturb(given.handle)
    given.handle.add_adapter("other", SMALL, train_projector=True, lora=kit.LORA)
    given.handle.set_adapter("other")
    kit.disturb(given.handle, seed=2)
    given.handle.set_adapter("default")


def wrap_in_peft(given: Given) -> None:
    import peft

    config = peft.LoraConfig(r=2, target_modules=r".*language_model.*\.q_proj")
    given.model = peft.get_peft_model(given.host, config)


def nothing(given: Given) -> None: ...


def detach(given: Given) -> None:
    given.handle.detach()


def attach_inside(given: Given) -> None:
    pa.attach(given.model, INSIDE)


def attach_again(given: Given) -> None:
    given.handle.detach()
    attach_inside(given)


def delete_new(given: Given) -> None:
    given.handle.delete_adapter("new")


Step = Callable[[Given], Any]
OPERATIONS: dict[str, tuple[Step, Step, Step]] = {
    "attach": (nothing, attach_all, detach),
    "attach in the layers": (nothing, attach_inside, detach),
    "attach to a PeftModel": (wrap_in_peft, lambda given: pa.attach(given.model, SMALL), detach),
    "attach the projector": (nothing, lambda given: pa.attach_projector(given.model, lora=kit.LORA), detach),
    "load": (
        lambda given: given.saved(train_projector=True, lora=kit.LORA),
        lambda given: pa.load_adapter(given.model, given.saved()),
        detach,
    ),
    "detach": (attach_two, detach, attach_two),
    "detach while it is off": (
        lambda given: (attach_two(given), given.handle.disable()),
        detach,
        lambda given: (attach_two(given), given.handle.disable()),
    ),
    "detach from the layers": (
        attach_inside,
        detach,
        attach_inside,
    ),
    "add": (
        attach_all,
        lambda given: given.handle.add_adapter("new", SMALL, train_projector=True, lora=kit.LORA),
        delete_new,
    ),
    "load beside": (
        lambda given: (attach_all(given), given.saved("inside", INSIDE)),
        lambda given: given.handle.load_adapter(given.saved("inside"), "new"),
        delete_new,
    ),
    "sum": (
        attach_two,
        lambda given: given.handle.add_weighted_adapter(["default"], [1.0], "new"),
        delete_new,
    ),
    "grow": (attach_inside, lambda given: pa.grow(given.handle, 1), attach_again),
    "switch": (
        attach_two,
        lambda given: given.handle.set_adapter("other"),
        lambda given: given.handle.set_adapter("default"),
    ),
    "delete": (
        attach_two,
        lambda given: given.handle.delete_adapter("other"),
        lambda given: given.handle.add_adapter("other", SMALL, train_projector=True, lora=kit.LORA),
    ),
}


@contextmanager
def places_of(name: str, folder: Path) -> Iterator[tuple[Given, list[Place]]]:
    prepare, do, undo = OPERATIONS[name]
    given = Given(folder)
    bare = given.look()
    prepare(given)
    wrapped = given.model is not given.host
    do(given)  # what is imported or remembered on first use is here by now
    undo(given)
    places = lines_run(lambda: do(given), ROOMS)
    undo(given)
    yield given, places
    if given.handle is not None:
        given.handle.detach()
    if not wrapped:
        assert_same(given.look(), bare)


def check_failing(name: str, given: Given, place: Place) -> bool:
    """Fail there: all is as before. Says whether the failure came out of the operation."""
    _, do, undo = OPERATIONS[name]
    before = given.look()
    with failing_at(*place) as reached:
        try:
            do(given)
        except (Injected, ParrotError):
            assert_same(given.look(), before)
            return True
    assert reached, "the line is run each time"
    undo(given)
    return False


pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft's own


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.few(4)
def test_a_failure_leaves_all_as_it_was(tmp_path, name):
    with places_of(name, tmp_path) as (given, places):
        assert len(places) > 2 * A_FEW
        failed = [check_failing(name, given, place) for place in spread(places, A_FEW)]
        assert sum(failed) > len(failed) / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_failure_at_every_line(tmp_path, name):
    """Of the others so many lines that the tier stays within its time."""
    with places_of(name, tmp_path) as (given, places):
        wanted = places if name in EVERY_LINE else spread(places, MANY)
        failed = [check_failing(name, given, place) for place in wanted]
        assert sum(failed) > 0.8 * len(failed)


# --- making a directory out of another --------------------------------------------------------------------------------

DERIVED: dict[str, Callable[[Path, Path], Any]] = {
    "freeze": lambda source, out: pa.freeze_routing(source, out, weights=[0.4, 0.6]),
    "grow": lambda source, out: grow_adapter(source, out, 1),
}


def check_derived(name: str, folder: Path, share: int) -> None:
    """Fail at the lines, all of them or a share: nothing new is there, and what was there is the same."""
    source, derive = Given(folder).saved("full"), DERIVED[name]
    derive(source, folder / "warm")
    places = lines_run(lambda: derive(source, folder / "traced"), ROOMS)
    before = contents(folder)
    failed = 0
    for number, place in enumerate(spread(places, share)):
        out = folder / f"out-{number}"
        with failing_at(*place):
            try:
                derive(source, out)
            except (Injected, ParrotError):
                failed += 1
            else:
                shutil.rmtree(out)
        assert contents(folder) == before
    assert failed > 0.8 * min(share, len(places))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", DERIVED)
def test_a_failure_leaves_no_directory(tmp_path, name):
    check_derived(name, tmp_path, A_FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", DERIVED)
def test_a_failure_at_any_line_leaves_no_directory(tmp_path, name):
    check_derived(name, tmp_path, 10_000)


# --- the check bites --------------------------------------------------------------------------------------------------


@contextmanager
def never_restored(modules: Any, **ignored: Any) -> Iterator[None]:
    yield


class Shallow(restoring._Kept):
    """Puts attributes back, and not what the containers among them hold: hooks and modules."""

    def __init__(self, holder: Any) -> None:
        super().__init__(holder)
        self.contents = {}


BROKEN: dict[str, Callable[[Any], None]] = {
    "nothing is put back": lambda patch: patch.setattr(attaching, "restored_on_failure", never_restored),
    "hooks and modules stay": lambda patch: patch.setattr(restoring, "_Kept", Shallow),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_the_check_bites(tmp_path, monkeypatch, broken):
    given = Given(tmp_path)
    BROKEN[broken](monkeypatch)
    before = given.look()
    with pytest.raises(Injected), failing_at(HostOverrides.put.__code__, line_of(HostOverrides.put, "own.update")):
        attach_all(given)
    with pytest.raises(AssertionError):
        assert_same(given.look(), before)


@pytest.mark.parametrize("part", ["objects", "tensors"])
def test_the_check_bites_for_a_handle(tmp_path, monkeypatch, part):
    """An adapter that is switched to: what the handle keeps, and the values that were moved, count as well."""
    given = Given(tmp_path)
    attach_two(given)
    whole = handle_adapters.restored_on_failure
    patched = lambda modules, **more: whole(modules, **{**more, part: ()})  # noqa: E731
    monkeypatch.setattr(handle_adapters, "restored_on_failure", patched)
    before = given.look()
    place = HandleAdapters._show_active if part == "objects" else SwitchedWeights.remove
    do = given.handle.detach if part == "tensors" else lambda: given.handle.set_adapter("other")
    with pytest.raises(Injected), failing_at(place.__code__, place.__code__.co_firstlineno + 2):
        do()
    with pytest.raises((AssertionError, KeyError)):
        assert_same(given.look(), before)


def line_of(function: Any, text: str) -> int:
    lines, first = inspect.getsourcelines(function)
    return first + next(number for number, line in enumerate(lines) if text in line)
