"""Where time and memory of a run go: a trace of some passes, and a table of the adapter's share and the host's.

    with profiled(handle.model, handle, "runs/mine/profile") as profile:
        ...                                     # calls of the model, training steps
    print(profile.text())                       # and trace.json, for https://ui.perfetto.dev or chrome://tracing

A part of the host is known by ranges that hooks open and close around it. An operation belongs to the innermost part
that it ran in, and its backward pass to that part too, by autograd's sequence numbers. Nothing is counted twice: every
operation enters with its own time, without that of the operations it called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from parrot_adapters.atomic_files import write_json, write_text
from parrot_adapters.errors import ConfigError, HostError, writing
from parrot_adapters.hosts.host_parts import find_parts

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = ["PASSES", "ModelProfile", "PartOfProfile", "profiled"]

PASSES = 8
"""Passes of the model that are recorded, backward passes and optimizer steps between them included."""
WARM_UP = 1
"""Passes before those: a first one allocates and chooses what later ones find."""
RANGE = "parrot: "
OTHER, OPTIMIZER, DATA = "other", "optimizer", "data"
NAMED = {"Optimizer.": OPTIMIZER, "enumerate(DataLoader)": DATA}
BACKWARD = "autograd::engine::evaluate_function"


@dataclass(frozen=True)
class PartOfProfile:
    """What one part took.

    Attributes:
        name: ``"adapter"``, ``"projector"``, ``"vision tower"``, ``"language model"`` (its LoRA included), ``"host"``
            (the rest of it), ``"optimizer"``, ``"data"`` or ``"other"``.
        forward: Seconds of its operations outside backward passes.
        backward: Seconds in them, recomputed activations included.
        allocated: Bytes that its operations allocated and did not free themselves, in all passes together.
    """

    name: str
    forward: float
    backward: float
    allocated: int

    @property
    def seconds(self) -> float:
        """Both together."""
        return self.forward + self.backward


@dataclass(frozen=True)
class ModelProfile:
    """Where the time of some passes went.

    Attributes:
        passes: Number of passes recorded.
        device: Whose time it is: ``"cpu"``, or ``"cuda"`` where an accelerator computed.
        parts: Each part, the one that took longest first.
        trace: The trace, or None where no pass was recorded.
    """

    passes: int
    device: str
    parts: tuple[PartOfProfile, ...]
    trace: Path | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), "trace": None if self.trace is None else str(self.trace)}

    def text(self) -> str:
        """The table."""
        if not self.parts:
            return f"nothing was recorded: the model was called fewer than {WARM_UP + 1} times"
        total = sum(part.seconds for part in self.parts) or 1.0
        rows = [("part", "forward s", "backward s", "share", "allocated MiB")]
        rows += [
            (
                part.name,
                f"{part.forward:.4f}",
                f"{part.backward:.4f}",
                f"{part.seconds / total:.1%}",
                f"{part.allocated / 2**20:.1f}",
            )
            for part in self.parts
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(
                cell.ljust(width) if not column else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        return "\n".join([f"{self.passes} passes, time on the {self.device}", *lines, f"trace: {self.trace}"])


class _Recording:
    """Counts passes, and has some of them recorded."""

    def __init__(self, passes: int) -> None:
        cuda = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
        self.profiler = profile(activities=[ProfilerActivity.CPU, *cuda], profile_memory=True, acc_events=True)
        self.passes, self.seen, self.running = passes, 0, False

    @property
    def recorded(self) -> int:
        return max(0, min(self.seen - WARM_UP, self.passes))

    def next_pass(self, *ignored: Any) -> None:
        """The model is called."""
        if self.seen == WARM_UP:
            self.profiler.start()
            self.running = True
        elif self.seen == WARM_UP + self.passes:
            self.stop()
        self.seen += 1

    def stop(self) -> None:
        """Record no more."""
        if self.running:
            self.profiler.stop()
            self.running = False


class _Result:
    """Filled when the block ends."""

    found: ModelProfile

    def text(self) -> str:
        """The table."""
        return self.found.text()


@contextmanager
def profiled(
    model: Any, handle: Attachment | None, directory: str | Path, *, passes: int = PASSES
) -> Iterator[_Result]:
    """Profile the first passes of a block, but for the very first, and write ``trace.json`` and ``profile.json``.

    Args:
        model: Host whose calls count as passes.
        handle: Handle of its adapter, or None.
        directory: Directory to write, made if need be.
        passes: Number of passes that are recorded (default 8).

    Raises:
        ConfigError: The directory cannot be written.
    """
    directory, recording, result = Path(directory), _Recording(passes), _Result()
    hooks = [model.register_forward_pre_hook(recording.next_pass)]
    hooks += [hook for name, modules in _parts(model, handle).items() for m in modules for hook in _around(m, name)]
    hooks += _around_layer_experts(handle)
    try:
        yield result
    finally:
        recording.stop()
        for hook in hooks:
            hook.remove()
        with writing(directory, ConfigError):
            directory.mkdir(parents=True, exist_ok=True)
            trace = directory / "trace.json" if recording.recorded else None
            if trace is not None:
                recording.profiler.export_chrome_trace(str(trace))
            result.found = _read(recording, trace)
            write_json(directory / "profile.json", result.found.to_dict(), indent=2)
            write_text(directory / "profile.txt", result.found.text() + "\n")


def _parts(model: Any, handle: Attachment | None) -> Mapping[str, Iterable[nn.Module]]:
    """Modules by the name of their part; the outermost first, so that the innermost range is the part's."""
    found: dict[str, list[nn.Module | None]] = {"host": [model]}
    try:
        parts = find_parts(model) if handle is None else handle.parts
    except HostError:  # a host that no adapter can be put on has no parts that we know
        return {"host": [model]}
    places = {"vision tower": parts.vision_tower, "language model": parts.language_model, "projector": parts.projector}
    found |= {name: [parts.module(path)] for name, path in places.items()}
    if handle is not None:
        found["adapter"] = [handle.module]
    return {name: [module for module in modules if module is not None] for name, modules in found.items()}


def _around(module: nn.Module, name: str) -> list[Any]:
    opened: list[Any] = []
    return [
        module.register_forward_pre_hook(lambda *ignored: _open(opened, name), prepend=True),
        module.register_forward_hook(lambda *ignored: _close(opened), always_call=True),
    ]


def _around_layer_experts(handle: Attachment | None) -> list[Any]:
    """Ranges around what experts inside the layers add, which happens in hooks of the layers they stand beside."""
    experts = None if handle is None or handle.module is None else handle.module.layer_experts
    if experts is None or handle is None:
        return []
    language_model = handle.parts.module(handle.parts.language_model) or handle.parts.base
    hooks: list[Any] = []
    for path, _ in experts.each():
        opened: list[Any] = []
        layer = language_model.get_submodule(path)
        hooks.append(layer.register_forward_hook(_opening(opened), prepend=True))
        hooks.append(layer.register_forward_hook(lambda *ignored, opened=opened: _close(opened), always_call=True))
    return hooks


def _opening(opened: list[Any]) -> Callable[..., None]:
    return lambda *ignored: _open(opened, "adapter")


def _open(opened: list[Any], name: str) -> None:
    opened.append(record_function(RANGE + name))
    opened[-1].__enter__()


def _close(opened: list[Any]) -> None:
    if opened:
        opened.pop().__exit__(None, None, None)


# --- reading what was recorded ---------------------------------------------------------------------------------------


def _read(recording: _Recording, trace: Path | None) -> ModelProfile:
    if trace is None:
        return ModelProfile(0, "cpu", (), None)
    events = list(recording.profiler.events())
    cuda = sum(event.self_device_time_total for event in events) > 0
    owners = _owners(events)
    sums: dict[str, list[float]] = {}
    for event in events:
        ancestors = list(_upwards(event))
        backward = any(one.name.startswith(BACKWARD) for one in ancestors)
        name = next((part for one in ancestors if (part := _part_of(one, owners)) is not None), OTHER)
        kept = sums.setdefault(name, [0.0, 0.0, 0.0])
        kept[backward] += (event.self_device_time_total if cuda else event.self_cpu_time_total) / 1e6
        kept[2] += max(0, event.self_device_memory_usage if cuda else event.self_cpu_memory_usage)
    parts = [PartOfProfile(name, forward, backward, int(held)) for name, (forward, backward, held) in sums.items()]
    parts.sort(key=lambda part: -part.seconds)
    return ModelProfile(recording.recorded, "cuda" if cuda else "cpu", tuple(parts), trace)


def _upwards(event: Any) -> Iterator[Any]:
    """An event, and those that it ran in."""
    while event is not None:
        yield event
        event = event.cpu_parent


def _part_of(event: Any, owners: Mapping[tuple[int, int], str]) -> str | None:
    if event.name.startswith(RANGE):
        return str(event.name).removeprefix(RANGE)
    if event.name.startswith(BACKWARD):
        return owners.get((event.fwd_thread, event.sequence_nr))
    return next((part for sign, part in NAMED.items() if event.name.startswith(sign)), None)


def _owners(events: Iterable[Any]) -> dict[tuple[int, int], str]:
    """Thread and sequence number of an operation that autograd recorded -> the part that it ran in.

    Operations that autograd did not record have the number of the next one that it did, so the last of a number counts.
    """
    found: dict[tuple[int, int], tuple[float, str]] = {}
    for event in events:
        if event.sequence_nr < 0 or event.name.startswith(BACKWARD):
            continue
        ancestors = list(_upwards(event))
        if any(one.name.startswith(BACKWARD) for one in ancestors):
            continue
        part = next((str(one.name).removeprefix(RANGE) for one in ancestors if one.name.startswith(RANGE)), None)
        key, start = (event.thread, event.sequence_nr), event.time_range.start
        if part is not None and start >= found.get(key, (start, ""))[0]:
            found[key] = (start, part)
    return {key: part for key, (_, part) in found.items()}
