"""Count where a program waits for its device: what a GPU's queue would have to be emptied for.

On a CPU nothing waits, so the device is imagined: every tensor is on it but those that were brought here (``.cpu()``)
or made here (``device="cpu"``), and what comes of such tensors alone. On a GPU torch itself says where it waits.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.overrides import TorchFunctionMode

import parrot_adapters

# Of tensors on the device these hand a value or a size to the program, which waits for it.
READS = {"item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "__contains__"}
SIZES = {"nonzero", "argwhere", "masked_select", "unique", "unique_consecutive", "bincount", "histc"}
MADE = {"tensor", "as_tensor", "new_tensor"}  # from numbers of the program: a copy that is waited for
OWN, HOST = "parrot_adapters", "transformers"
ROOTS = {OWN: Path(parrot_adapters.__file__).parent, HOST: Path(transformers.__file__).parent}
HERE = "_is_here"  # an attribute of tensors that are not on the device


class ImaginedDevice(TorchFunctionMode):
    """Counts, while it is on, by the place in the library or in transformers that caused the wait.

    Attributes:
        waits: ``(whose, place)`` -> how often; ``whose`` is ``"parrot_adapters"``, ``"transformers"`` or ``"other"``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[tuple[str, str]] = Counter()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, getattr(function, "__name__", "")
        tensors = list(_tensors((args, kwargs)))
        here = all(getattr(t, HERE, False) for t in tensors) if tensors else kwargs.get("device") == "cpu"
        if self._waits(name, args, kwargs, tensors, here=here):
            self.waits[_place(sys._getframe(1))] += 1
        made = function(*args, **kwargs)
        stays = name == "cpu" or (here and name not in ("to", "cuda"))
        for tensor in _tensors(made):  # on a CPU, moving a tensor gives the very same one back
            if stays or hasattr(tensor, HERE):
                setattr(tensor, HERE, stays)
        return made

    def _waits(self, name: str, args: Any, kwargs: dict[str, Any], tensors: list[Tensor], *, here: bool) -> bool:
        if name in MADE and (name == "new_tensor" or "device" in kwargs) and kwargs.get("device") != "cpu":
            return not here
        if here or not tensors:
            return False
        if name == "to":
            return args[1:2] == ("cpu",) or kwargs.get("device") == "cpu"
        if name in ("__getitem__", "__setitem__", "index_put", "index_put_"):
            return any(t.dtype in (torch.bool, torch.uint8) for t in _tensors(args[1]))
        if name == "repeat_interleave":
            counts = args[1] if len(args) > 1 else kwargs.get("repeats")
            return isinstance(counts, Tensor) and kwargs.get("output_size") is None
        if name == "where":
            return len(args) + len(kwargs) == 1
        return name in READS or name in SIZES


def _tensors(found: Any) -> Iterator[Tensor]:
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, dict):
        yield from _tensors(list(found.values()))
    elif isinstance(found, list | tuple):
        for each in found:
            yield from _tensors(each)


def _place(frame: FrameType | None) -> tuple[str, str]:
    """Whose code it is, and where: the innermost of ours or transformers'."""
    while frame is not None:
        whose, place = _where(frame.f_code.co_filename, frame.f_code.co_name)
        if whose != "other":
            return whose, place
        frame = frame.f_back
    return "other", "elsewhere"


def _where(filename: str, name: str) -> tuple[str, str]:
    path = Path(filename)
    whose = next((each for each, root in ROOTS.items() if root in path.parents), "other")
    return whose, f"{path.name}: {name}"


@contextmanager
def counted_waits(device: str) -> Iterator[Counter[tuple[str, str]]]:
    """The waits inside the block, by whose code it is and where.

    Args:
        device: ``"cpu"`` for the imagined device, or a CUDA device, on which torch reports them.
    """
    if not device.startswith("cuda"):
        with ImaginedDevice() as imagined:
            yield imagined.waits
        return
    found: Counter[tuple[str, str]] = Counter()
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode(before)
    for warning in told:
        if "synchron" in str(warning.message):
            found[_where(warning.filename, f"line {warning.lineno}")] += 1
