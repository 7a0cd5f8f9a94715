"""The layer itself: summarise, route, mix, add (letters: ``types.py``).

    s_i = summary of item i            c_i = softmax(s_i H^T / sqrt(D)) H           (arXiv 2406.02539, eq. 3)
    p_i = softmax(W c_i)               V_i <- residual_scale V_i + moe_scale sum_e p_ie Expert_e(V_i)      (eq. 4-5)

``residual_scale = moe_scale = 1`` with zero-initialised experts is the identity; the released code's form is
``residual_scale = 0.1, moe_scale = 1``. Where a router abstains, tokens stay as they came, bit for bit. The layer knows
nothing of any model library: visual tokens in, visual tokens out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from parrot_adapters.core.layer_experts import LayerExperts
from parrot_adapters.core.precision import float32_inside
from parrot_adapters.core.ragged import spread
from parrot_adapters.core.router_answer import can_be_read, check_form, check_tensor, check_values
from parrot_adapters.core.types import Aligned, Routing, RoutingInputs
from parrot_adapters.errors import ConfigError, ParrotError, RoutingError, explain

__all__ = ["AlignmentLayer", "keep_top_k"]

LOOKED_AT = 4  # passes on an accelerator whose weights are looked at


class AlignmentLayer(nn.Module):
    """Rewrite visual tokens as their prompts ask.

    Args:
        summary: Module ``(tokens, offsets, cls) -> (I, D)`` that makes one vector of each item.
        router: Module ``RoutingInputs -> Routing``.
        experts: Module ``(tokens, offsets, routing) -> (N, D)``; None leaves the tokens as they come, so that the
            routing serves ``layer_experts`` alone.
        num_experts: Number of experts E, which the router must answer for.
        top_k: Number of weights kept for each item, 1 to E, renormalised to sum to one; None (default) keeps all.
        residual_scale: Factor of the visual tokens as they came (default 1).
        moe_scale: Factor of the experts' mixture (default 1).
        layer_experts: Experts inside the layers of the model that reads the tokens, mixed by the same routing; None
            (default) means that there are none. They are kept here and run there:
            :func:`token_weights` turns the routing into what they need.
        part_names: Names of ``summary``, ``router`` and ``experts`` in error messages; None (default) takes their
            classes.

    Attributes:
        gradient_checkpointing: Whether the experts run again in the backward pass of a training step, rather than keep
            their activations (default: no). transformers sets it with ``model.gradient_checkpointing_enable()``. The
            router, which is small and may draw or count, never runs twice.

    Raises:
        ConfigError: ``top_k`` outside 1..E, no experts anywhere, or a router that declares ``per_token`` with experts
            that declare to take one routing per item only.
    """

    gradient_checkpointing: bool = False

    def __init__(
        self,
        *,
        summary: nn.Module,
        router: nn.Module,
        experts: nn.Module | None,
        num_experts: int,
        top_k: int | None = None,
        residual_scale: float = 1.0,
        moe_scale: float = 1.0,
        layer_experts: LayerExperts | None = None,
        part_names: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        if top_k is not None and not 1 <= top_k <= num_experts:
            raise ConfigError(f"top_k={top_k} must lie between 1 and num_experts={num_experts} (None keeps all)")
        if experts is None and layer_experts is None:
            raise ConfigError("an AlignmentLayer needs experts, at the projector or inside the layers")
        self.summary, self.router, self.experts, self.layer_experts = summary, router, experts, layer_experts
        self.num_experts, self.top_k = num_experts, top_k
        self.residual_scale, self.moe_scale = residual_scale, moe_scale
        self.part_names = dict(part_names or {})
        if _declares_per_token(router) is True and _declares_per_token(experts) is False:
            raise ConfigError(
                explain(
                    f"{self.name_of('router')} routes every visual token by itself, and {self.name_of('experts')} "
                    "takes one routing per item.",
                    to_do="use router='text-guided', or expert='swiglu'",
                )
            )
        self._unseen_passes = LOOKED_AT

    def forward(
        self,
        tokens: Tensor,
        offsets: Tensor,
        rows: Tensor,
        text: Tensor,
        text_mask: Tensor,
        *,
        cls: Tensor | None = None,
        token_ids: Tensor | None = None,
        languages: Sequence[str | None] | None = None,
        sizes: Sequence[int] | None = None,
    ) -> Aligned:
        """Align a whole batch at once.

        Args:
            tokens: Visual tokens of all items end to end, (N, D), of any floating dtype.
            offsets: Where each item begins, and the last one ends, (I + 1,) int64.
            rows: Number of the prompt that each item belongs to, (I,) int64.
            text: Embeddings of the prompts, (R, S, D).
            text_mask: Mask of the routing text, (R, S) bool, True where a token belongs to it.
            cls: Projected CLS tokens, (I, D), where the vision tower has them; None (default) otherwise.
            token_ids: Ids of the prompts' tokens, (R, S) int64; None (default) where they are unknown.
            languages: BCP-47 tag of each prompt, or None; None (default) where no language is known.
            sizes: Number of tokens of each item, where the caller knows them as numbers: experts that need them so do
                not wait for the device to say them. None (default) where it does not.

        Returns:
            Tokens (N, D) in the dtype they came in, and the :class:`Routing`. One routing per item, shared by all
            its tokens, unless the router routes per token.

        Raises:
            RoutingError: The router answered wrongly (shapes, types; on a CPU and in the first passes elsewhere also
                values that are no shares), the experts returned a wrong shape, or one of the parts failed.
        """
        num_items = offsets.numel() - 1
        if num_items == 0:
            nothing = tokens.new_zeros(0, self.num_experts, dtype=torch.float32)
            return Aligned(self._tied(tokens), Routing(nothing, nothing))
        summary = self._run("summary", tokens, offsets, cls)
        check_tensor(self.name_of("summary"), "", summary, tokens.device)
        if summary.ndim != 2 or summary.shape[0] != num_items:
            what = f"{self.name_of('summary')} returned shape {tuple(summary.shape)}"
            raise RoutingError(f"{what} for {num_items} items; expected one row each")
        inputs = RoutingInputs(
            summary=summary,
            tokens=tokens,
            offsets=offsets,
            text=text,
            text_mask=text_mask,
            rows=rows,
            token_ids=token_ids,
            languages=None if languages is None else tuple(languages),
        )
        with float32_inside(tokens):  # so that a plugin's router need not think of autocast
            routed = self._run("router", inputs)
        routing = self._checked(routed, inputs)
        if self.top_k is not None:
            routing = keep_top_k(routing, self.top_k)
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            # Not the host's own function: its re-entrant form gives no gradient where no input wants one.
            return Aligned(checkpoint(self._mixed, tokens, offsets, routing, sizes, use_reentrant=False), routing)
        return Aligned(self._mixed(tokens, offsets, routing, sizes), routing)

    def _mixed(self, tokens: Tensor, offsets: Tensor, routing: Routing, sizes: Sequence[int] | None) -> Tensor:
        """(N, D) -> (N, D)"""
        if self.experts is None:
            return tokens
        casts = getattr(self.experts, "takes_any_dtype", False)  # a bank that knows the host's dtype keeps less
        given = tokens if casts else tokens.to(self._dtype(self.experts, tokens))
        known = {"sizes": sizes} if sizes is not None and getattr(self.experts, "takes_sizes", False) else {}
        mixed = self._run("experts", given, offsets, routing, **known)
        check_tensor(self.name_of("experts"), "", mixed, tokens.device)
        if mixed.shape != tokens.shape:
            what = f"{self.name_of('experts')} returned shape {tuple(mixed.shape)}"
            raise RoutingError(f"{what} for tokens {tuple(tokens.shape)}")
        # The residual never leaves the host's dtype, so the identity is exact whatever the adapter's dtype.
        aligned = self.residual_scale * tokens + (self.moe_scale * mixed).to(tokens.dtype)
        if routing.abstain is not None:
            per_token = routing.routes_tokens(offsets.numel() - 1)
            untouched = routing.abstain if per_token else spread(routing.abstain, offsets, tokens.shape[0])  # (N,)
            aligned = torch.where(untouched[:, None], tokens, aligned)
        return aligned

    def _tied(self, tokens: Tensor) -> Tensor:
        """No tokens at all, with every parameter in their graph: no rank of a distributed run waits for another."""
        trained = [p.flatten()[:0].to(tokens.dtype).sum() for p in self.parameters() if p.requires_grad]
        return tokens + torch.stack(trained).sum() if trained and torch.is_grad_enabled() else tokens

    @staticmethod
    def _dtype(experts: nn.Module, tokens: Tensor) -> torch.dtype:
        floating = (p.dtype for p in experts.parameters() if p.is_floating_point())
        return next(floating, tokens.dtype)

    def _run(self, part: str, *args: Any, **known: Any) -> Any:
        """The answer of one of the layer's modules. What it raises is an error that names it."""
        module = getattr(self, part)
        if torch.compiler.is_compiling():
            return module(*args, **known)
        try:
            return module(*args, **known)
        except ParrotError:
            raise
        except Exception as error:
            if type(error).__module__.split(".")[0] == "torch":  # out of memory, or checkpointing that stops early
                raise
            raise RoutingError(f"{self.name_of(part)} failed: {type(error).__name__}: {error}") from error

    def _checked(self, routed: object, inputs: RoutingInputs) -> Routing:
        who = self.name_of("router")
        routing = check_form(
            who, routed, inputs.rows.numel(), inputs.tokens.shape[0], self.num_experts, inputs.tokens.device
        )
        if not can_be_read(routing.weights):
            return routing
        # On a CPU the look is free; an accelerator would be waited for, so only its first passes are looked at.
        if routing.weights.device.type == "cpu" or self._unseen_passes > 0:
            self._unseen_passes = max(0, self._unseen_passes - 1)
            check_values(who, routing.weights, self.router, inputs)
        return routing

    def name_of(self, part: str) -> str:
        """How messages name a part: with the plugin it comes from, where :func:`build_layer` knows it.

        Args:
            part: ``"summary"``, ``"router"`` or ``"experts"``.
        """
        known = self.part_names.get(part)
        return f"the {known}" if known else f"the {part} {type(getattr(self, part)).__name__}"

    def extra_repr(self) -> str:
        return f"top_k={self.top_k}, residual_scale={self.residual_scale}, moe_scale={self.moe_scale}"


def _declares_per_token(part: nn.Module | None) -> object:
    """What a router or expert bank says of routing per token (``conformance``); None where it says nothing."""
    return getattr(part, "conformance", {}).get("per_token")


def keep_top_k(routing: Routing, k: int) -> Routing:
    """Zero all but the k largest weights of each row and renormalise; k = E returns the routing as it is.

    Args:
        routing: Routing with weights (I, E) or (N, E).
        k: Number of weights kept in each row, 1 to E.

    Returns:
        Routing with ``active`` (I, k) or (N, k) set.
    """
    if k == routing.weights.shape[-1]:
        return routing
    top, active = routing.weights.topk(k, dim=-1)
    total = top.sum(-1, keepdim=True)
    # A router may leave everything outside its own choice at zero; then the k share evenly rather than become NaN.
    top = torch.where(total > 0, top / total.clamp(min=torch.finfo(top.dtype).tiny), torch.full_like(top, 1 / k))
    weights = torch.zeros_like(routing.weights).scatter(-1, active, top)
    return routing._replace(weights=weights, active=active)
