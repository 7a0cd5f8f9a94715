"""What a router may answer: types and shapes are checked at every pass, values where that costs next to nothing.

I items    N visual tokens    E experts
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parrot_adapters.core.types import Routing, RoutingInputs
from parrot_adapters.errors import RoutingError, explain

__all__ = ["can_be_read", "check_form", "check_tensor", "check_values"]

TOLERANCE = {torch.float16: 0.02, torch.bfloat16: 0.1}  # of a row's sum; 0.001 for the wider types


def check_tensor(who: str, what: str, value: object, device: torch.device) -> None:
    """Refuse what is no plain tensor where the tokens are: whoever reads it next would be blamed.

    Args:
        who: part of the layer as messages name it.
        what: name of the answer; empty for one that has none.
        value: the answer.
        device: of the visual tokens.

    Raises:
        RoutingError: it is none.
    """
    named = f"{what} as " if what else ""
    if not isinstance(value, Tensor):
        raise RoutingError(f"{who} returned {named}{type(value).__name__}, not a tensor")
    if value.layout != torch.strided:
        raise RoutingError(f"{who} returned {named}a tensor of layout {value.layout}; expected a dense one")
    if value.device != device:
        raise RoutingError(
            explain(
                f"{who} returned {named}a tensor on {value.device}; the visual tokens are on {device}.",
                to_do="make tensors on the device of the inputs (torch.zeros(..., device=inputs.summary.device)), and "
                "keep constants in buffers (register_buffer), which follow the model",
            )
        )


def check_form(
    who: str, routing: object, num_items: int, num_tokens: int, num_experts: int, device: torch.device
) -> Routing:
    """The answer, if types, shapes and devices are right; looks at no value.

    Args:
        who: router as messages name it.
        routing: its answer.
        num_items: I.
        num_tokens: N.
        num_experts: E.
        device: of the visual tokens.

    Raises:
        RoutingError: they are not.
    """
    if not isinstance(routing, Routing):
        raise RoutingError(f"{who} returned {type(routing).__name__}, not parrot_adapters.Routing")
    per_item, per_token = (num_items, num_experts), (num_tokens, num_experts)
    allowed = {None: (per_item, per_token), False: (per_item,), True: (per_token,)}[routing.per_token]
    for name in ("weights", "logits"):
        check_tensor(who, name, getattr(routing, name), device)
        shape = tuple(getattr(routing, name).shape)
        if shape not in allowed or shape != tuple(routing.weights.shape):
            raise RoutingError(
                explain(
                    f"{who} returned {name} of shape {shape}.",
                    expected=f"{per_item} (items, experts) or {per_token} (tokens, experts), logits as weights",
                    per_token=routing.per_token,
                )
            )
    for name in ("context", "active"):
        value, rows = getattr(routing, name), num_items if name == "context" else routing.weights.shape[0]
        if value is None:
            continue
        check_tensor(who, name, value, device)
        if value.ndim != 2 or value.shape[0] != rows:
            raise RoutingError(f"{who} returned {name} of shape {tuple(value.shape)}; expected ({rows}, ...)")
    abstain = routing.abstain
    if abstain is not None:
        check_tensor(who, "abstain", abstain, device)
    if abstain is not None and (abstain.dtype != torch.bool or abstain.shape != routing.weights.shape[:1]):
        raise RoutingError(
            f"{who} returned abstain {abstain.dtype} of shape {tuple(abstain.shape)}; "
            f"expected torch.bool of shape {tuple(routing.weights.shape[:1])}"
        )
    if not routing.weights.dtype.is_floating_point or routing.weights.dtype.itemsize < 2:
        what = "floating point, of 16 bits or more"
        raise RoutingError(f"{who} returned weights in {routing.weights.dtype}; they must be {what}")
    if routing.logits.dtype != torch.float32:
        raise RoutingError(f"{who} returned logits in {routing.logits.dtype}; they must be float32")
    return routing


def can_be_read(weights: Tensor) -> bool:
    """Whether values are there to be read now: not while a graph is compiled, exported, traced or captured."""
    traced = torch.jit.is_tracing()  # type: ignore[attr-defined]
    if torch.compiler.is_compiling() or traced or type(weights) is not Tensor or weights.is_meta:
        return False
    return not (weights.is_cuda and torch.cuda.is_current_stream_capturing())


def check_values(who: str, weights: Tensor, router: nn.Module, inputs: RoutingInputs) -> None:
    """Refuse weights that are no shares: NaN, infinite, negative, or rows that do not sum to one.

    Weights that are NaN because the prompt, the picture or the trained parameters are pass: that is no fault of the
    router, and whoever trains it has better words for it.

    Args:
        who: router as messages name it.
        weights: (I, E) or (N, E), floating point. Reading them waits for the device.
        router: module that made them.
        inputs: what it was given.

    Raises:
        RoutingError: the router is at fault.
    """
    shares = weights.detach().float()
    sums = shares.sum(-1)  # (I,) or (N,)
    right = (shares >= 0).all() & ((sums - 1).abs() <= TOLERANCE.get(weights.dtype, 1e-3)).all()
    if right.item():
        return
    if not shares.isfinite().all():
        if not _finite(router, inputs):
            return
        what = "weights that are not finite"
    elif (shares < 0).any():
        what = f"negative weights (down to {shares.min().item():.3g})"
    else:
        furthest = sums[(sums - 1).abs().argmax()].item()
        what = f"weights whose rows do not sum to one (one sums to {furthest:.6g})"
    raise RoutingError(
        explain(
            f"{who} returned {what}.",
            expected="each row shares: finite, not negative, summing to one",
            to_do="mend the router; parrot check router:NAME finds the smallest batch that shows it",
        )
    )


def _finite(router: nn.Module, inputs: RoutingInputs) -> bool:
    parameters = [p for p in router.parameters() if p.is_floating_point()]
    text = inputs.text[inputs.text_mask]
    return all(bool(tensor.isfinite().all()) for tensor in (inputs.summary, inputs.tokens, text, *parameters))
