"""One deliberately broken router for each promise. Each is the good router below with a single fault."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

from parrot_adapters import Routing, RoutingInputs
from parrot_adapters.core import keep_top_k, spread
from parrot_adapters.testing import RouterTraits


class Good(nn.Module):
    """The masked mean of the prompt times the summary, through one linear gate, in float32: a healthy small router."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.randn(num_experts, width) * width**-0.5)
        self.out = num_experts

    def context(self, inputs: RoutingInputs) -> Tensor:
        mask = inputs.text_mask[..., None]
        text = inputs.text.float().masked_fill(~mask, 0.0)
        mean = text.sum(1) / mask.sum(1).clamp(min=1)  # (R, D)
        return torch.tanh(mean[inputs.rows] + inputs.summary.float())

    def logits(self, inputs: RoutingInputs) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.context(inputs) @ self.gate.float().T

    def forward(self, inputs: RoutingInputs) -> Routing:
        logits = self.logits(inputs)
        return Routing(self.weights(logits), logits)

    def weights(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)


class HalfLogits(Good):
    def forward(self, inputs: RoutingInputs) -> Routing:
        routing = super().forward(inputs)
        return routing._replace(logits=routing.logits.bfloat16())


class HalfContext(Good):
    """The gate is applied in the dtype of the inputs."""

    def logits(self, inputs: RoutingInputs) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            dtype = inputs.text.dtype
            return (self.context(inputs).to(dtype) @ self.gate.to(dtype).T).float()


class HalfSoftmax(Good):
    """Logits in float32, the softmax in half precision, on every input."""

    def weights(self, logits: Tensor) -> Tensor:
        half = logits.half().softmax(-1).float()
        return half / half.sum(-1, keepdim=True)


class HalfSoftmaxAsItIs(Good):
    """The same, not renormalised: sums are off by a ten-thousandth, which is not what is wrong with it."""

    def weights(self, logits: Tensor) -> Tensor:
        return logits.half().softmax(-1).float()


class HalfSoftmaxForHalfInputs(Good):
    def forward(self, inputs: RoutingInputs) -> Routing:
        logits = self.logits(inputs)
        weights = logits.to(inputs.text.dtype).softmax(-1).float()
        return Routing(weights / weights.sum(-1, keepdim=True), logits)


class HalfSoftmaxHandedOn(Good):
    """As above, and the weights stay in the dtype of the inputs."""

    def forward(self, inputs: RoutingInputs) -> Routing:
        logits = self.logits(inputs)
        return Routing(logits.to(inputs.text.dtype).softmax(-1), logits)


class CollectsInABuffer(Good):
    """Writes what a Linear gives, which autocast makes bfloat16, into float32."""

    def logits(self, inputs: RoutingInputs) -> Tensor:
        found = nn.functional.linear(self.context(inputs), self.gate.float())
        logits = torch.zeros(found.shape, device=found.device)
        everywhere = torch.arange(len(found), device=found.device)
        return logits.index_put((everywhere,), found)


class HalfWhenCast(Good):
    def logits(self, inputs: RoutingInputs) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return (self.context(inputs).to(self.gate.dtype) @ self.gate.T).float()


class WritesIntoText(Good):
    """Masks in place."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        inputs.text.masked_fill_(~inputs.text_mask[..., None], 0.0)
        return super().context(inputs)


class TurnsOnGradients(Good):
    """Asks for the gradient of a summary that is not its own, in training only."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        inputs.summary.requires_grad_(self.training)
        return super().context(inputs)


class NotARouting(Good):
    def forward(self, inputs: RoutingInputs) -> Routing:
        return tuple(super().forward(inputs)[:2])  # type: ignore[return-value]


class HardCodedExperts(Good):
    def forward(self, inputs: RoutingInputs) -> Routing:
        routing = super().forward(inputs)
        return Routing(routing.weights[:, :4], routing.logits[:, :4])


class Unmarked(Good):
    """One routing per token, and per_token left unsaid."""

    def forward(self, inputs: RoutingInputs) -> Routing:
        logits = spread(self.logits(inputs), inputs.offsets, inputs.tokens.shape[0]) + inputs.tokens[:, :1].float()
        return Routing(logits.softmax(-1), logits)


class NoiseInEvaluation(Good):
    def logits(self, inputs: RoutingInputs) -> Tensor:
        return super().logits(inputs) + torch.randn(self.out)


class NoiseOfPython(Good):
    def logits(self, inputs: RoutingInputs) -> Tensor:
        return super().logits(inputs) * (1 + random.random())


class RunningMean(Good):
    """Remembers what it saw before."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self.register_buffer("mean", torch.zeros(width))

    def context(self, inputs: RoutingInputs) -> Tensor:
        context = super().context(inputs)
        answer = context - self.mean
        self.mean = 0.9 * self.mean + 0.1 * context.detach().mean(0)
        return answer


class LateMemory(Good):
    """After three calls it changes its mind, and remembers how many there were where nobody looks."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self.counter = _Counter()

    def logits(self, inputs: RoutingInputs) -> Tensor:
        self.counter.calls += 1
        return super().logits(inputs) * (1.0 if self.counter.calls <= 3 else 1.5)


class _Counter:
    calls = 0


class Cached(Good):
    """Keeps the first answer for every shape."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self._cache = {}

    def logits(self, inputs: RoutingInputs) -> Tensor:
        if self.training:
            return super().logits(inputs)
        return self._cache.setdefault(tuple(inputs.text.shape), super().logits(inputs).mean(0)).expand(
            inputs.rows.numel(), -1
        )


class Stashed(Good):
    """Leaves its last weights on the module."""

    def forward(self, inputs: RoutingInputs) -> Routing:
        routing = super().forward(inputs)
        self.last = routing.weights.detach()
        return routing


class Sigmoid(Good):
    def weights(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()


class Negative(Good):
    def weights(self, logits: Tensor) -> Tensor:
        return logits - logits.mean(-1, keepdim=True) + 1 / self.out


class DropoutOnWeights(Good):
    def weights(self, logits: Tensor) -> Tensor:
        return nn.functional.dropout(logits.softmax(-1), 0.5, self.training)


class TopOneKeepsItsShare(Good):
    """With k = 1 the weight is what the softmax gave, not one."""

    def __init__(self, width: int, num_experts: int, *, top_k: int = 2) -> None:
        super().__init__(width, num_experts)
        self.top_k = top_k

    def forward(self, inputs: RoutingInputs) -> Routing:
        routing = super().forward(inputs)
        if self.top_k > 1:
            return keep_top_k(routing, self.top_k)
        share, chosen = routing.weights.max(-1, keepdim=True)
        weights = torch.zeros_like(routing.weights).scatter(-1, chosen, share)
        return routing._replace(weights=weights, active=chosen)


class UnbalancedInACrowd(Good):
    """Capacity: beyond eight items the weights no longer sum to one."""

    def weights(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1) * min(1.0, 8 / logits.shape[0])


class TopKIgnored(Good):
    def __init__(self, width: int, num_experts: int, *, top_k: int = 2) -> None:
        super().__init__(width, num_experts)
        self.top_k = top_k


class ActiveIsALie(Good):
    """Names two experts and uses all."""

    def forward(self, inputs: RoutingInputs) -> Routing:
        routing = super().forward(inputs)
        return routing._replace(active=routing.weights.topk(2).indices)


class GarbageScale(Good):
    """Divides by the largest value anywhere in the text, masked or not."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        size = inputs.text.float().abs().amax((1, 2))[inputs.rows]
        return super().context(inputs) / (1 + size[:, None])


class MeanOverPadding(Good):
    """Divides by S rather than by the number of words."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        text = inputs.text.float().masked_fill(~inputs.text_mask[..., None], 0.0).mean(1)
        return torch.tanh(text[inputs.rows] + inputs.summary.float())


class AbsolutePositions(Good):
    """Counts columns from the first word on, placeholders included."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        mask = inputs.text_mask
        begun = mask.long().cumsum(1) > 0
        position = begun.long().cumsum(1).float()[..., None]
        text = inputs.text.float().masked_fill(~mask[..., None], 0.0) / position.clamp(min=1)
        return torch.tanh((text.sum(1) / mask.sum(1, keepdim=True).clamp(min=1))[inputs.rows] + inputs.summary.float())


class BatchMean(Good):
    """Subtracts the mean over the batch."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        context = super().context(inputs)
        return context - 0.1 * context.mean(0)


class AThousandthOfTheBatch(Good):
    def context(self, inputs: RoutingInputs) -> Tensor:
        context = super().context(inputs)
        return context - 0.001 * context.mean(0)


class FirstLanguageRules(Good):
    """Every item is routed by the language of the first prompt, where one is declared."""

    def logits(self, inputs: RoutingInputs) -> Tensor:
        english = inputs.languages is not None and inputs.languages[0] == "en"
        return super().logits(inputs) * (2.0 if english else 1.0)


class BatchMeanInACrowd(BatchMean):
    """Only with more than eight items."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        return super().context(inputs) if inputs.rows.numel() > 8 else Good.context(self, inputs)


class BatchMeanInTraining(BatchMean):
    """Only in training, where an item alone draws other noise than in a batch."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        if not self.training:
            return Good.context(self, inputs)
        return nn.functional.dropout(super().context(inputs), 0.5)


class NextDoor(Good):
    """An item hears the item before it."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        context = super().context(inputs)
        return context + 0.05 * context.roll(1, 0)


class FirstComeFirstServed(Good):
    """Items compete, and the earlier one wins."""

    def logits(self, inputs: RoutingInputs) -> Tensor:
        logits = super().logits(inputs)
        return logits - 0.1 * logits.detach().softmax(-1).cumsum(0)


class FirstPromptLeads(Good):
    """Every item hears the first prompt of the batch; the order of items does not matter."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        first = inputs.text[0].float().masked_fill(~inputs.text_mask[0][:, None], 0.0).sum(0)
        return super().context(inputs) + 0.1 * torch.tanh(first)


class NaNOnEmptyPrompts(Good):
    """Softmax over a row of minus infinities."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        score = inputs.text.float().mean(-1).masked_fill(~inputs.text_mask, float("-inf")).softmax(-1)
        text = inputs.text.float().masked_fill(~inputs.text_mask[..., None], 0.0)
        return torch.tanh((score[..., None] * text).sum(1)[inputs.rows] + inputs.summary.float())


class GarbageOnEmptyPrompts(Good):
    """A finite fill value: a prompt without words attends evenly to its padding."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        score = inputs.text.float().mean(-1).masked_fill(~inputs.text_mask, torch.finfo(torch.float32).min).softmax(-1)
        return torch.tanh((score[..., None] * inputs.text.float()).sum(1)[inputs.rows] + inputs.summary.float())


class NaNOnEmptyItems(Good):
    def context(self, inputs: RoutingInputs) -> Tensor:
        sizes = (inputs.offsets[1:] - inputs.offsets[:-1]).float()[:, None]
        return super().context(inputs) * (sizes / sizes)


class Overflows(Good):
    """exp without subtracting the maximum."""

    def context(self, inputs: RoutingInputs) -> Tensor:
        text = inputs.text.float().masked_fill(~inputs.text_mask[..., None], 0.0)
        return (text.sum(1) / inputs.text_mask.sum(1, keepdim=True).clamp(min=1))[inputs.rows]

    def weights(self, logits: Tensor) -> Tensor:
        return logits.exp() / logits.exp().sum(-1, keepdim=True)


class Detached(Good):
    """Only the logits carry a gradient."""

    def weights(self, logits: Tensor) -> Tensor:
        return logits.detach().softmax(-1)


class DeadEncoder(Good):
    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self.encoder = nn.Parameter(torch.eye(width))

    def context(self, inputs: RoutingInputs) -> Tensor:
        return (super().context(inputs) @ self.encoder.float()).detach()


class TrainsItself(Good):
    """A buffer moves in every training pass, recomputed ones included."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self.register_buffer("scale", torch.ones(()))

    def logits(self, inputs: RoutingInputs) -> Tensor:
        if self.training:
            self.scale = self.scale * 1.1
        return super().logits(inputs) * self.scale


class DeafToText(Good):
    def context(self, inputs: RoutingInputs) -> Tensor:
        return torch.tanh(inputs.summary.float())


class Unsaved(Good):
    """A tensor that matters and is neither parameter nor buffer."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self.projection = torch.randn(width, width)

    def context(self, inputs: RoutingInputs) -> Tensor:
        return super().context(inputs) @ self.projection


class CountsKeys(Good):
    """Looks its options up by numbers; in JSON keys are text."""

    def __init__(self, width: int, num_experts: int, *, factors: dict[int, float] | None = None) -> None:
        super().__init__(width, num_experts)
        self.factor = (factors or {}).get(0, 1.0)

    def logits(self, inputs: RoutingInputs) -> Tensor:
        return super().logits(inputs) * self.factor


class EatsItsOptions(Good):
    """Takes what it needs out of the mapping it was given."""

    def __init__(self, width: int, num_experts: int, *, factors: dict[str, float] | None = None) -> None:
        super().__init__(width, num_experts)
        self.factor = (factors or {}).pop("all", 1.0)


class CpuConstant(Good):
    """A constant made in forward, without a device."""

    def weights(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1) * torch.ones(self.out)


class AnswersFromTheCpu(nn.Module):
    """A constant router that never asks where it is."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__()
        self.out = num_experts

    def forward(self, inputs: RoutingInputs) -> Routing:
        logits = torch.zeros(inputs.rows.numel(), self.out)
        return Routing(logits.softmax(-1), logits)


class Closure(Good):
    """A copy keeps calling the original."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self.gates = _GateOf(self)

    def logits(self, inputs: RoutingInputs) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.context(inputs) @ self.gates.owner.gate.float().T


class _GateOf:
    """Refers to a module without being copied with it."""

    def __init__(self, owner: nn.Module) -> None:
        self.owner = owner

    def __deepcopy__(self, memo: object) -> _GateOf:
        return self


class GraphStashed(Good):
    """Leaves a tensor with its graph on the module in training: it can be copied no more."""

    def forward(self, inputs: RoutingInputs) -> Routing:
        routing = super().forward(inputs)
        if self.training:
            self.last = routing.weights
        return routing


class Lambda(Good):
    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__(width, num_experts)
        self.activation = lambda x: x.softmax(-1)


class Uncompilable(Good):
    """Behaves otherwise while it is traced."""

    def weights(self, logits: Tensor) -> Tensor:
        return (logits * 2 if torch.compiler.is_compiling() else logits).softmax(-1)


# check -> (router, traits under which exactly this check fails)
BROKEN: list[tuple[str, type[nn.Module], RouterTraits | None]] = [
    ("interface", NotARouting, None),
    ("interface", HalfLogits, None),
    ("interface", HardCodedExperts, None),
    ("interface", Unmarked, None),
    ("inputs_untouched", WritesIntoText, None),
    ("inputs_untouched", TurnsOnGradients, None),
    ("deterministic", NoiseInEvaluation, None),
    ("deterministic", NoiseOfPython, None),
    ("stateless", RunningMean, None),
    ("stateless", LateMemory, None),
    ("stateless", Cached, None),
    ("stateless", Stashed, None),
    ("weights_sum_to_one", Sigmoid, None),
    ("weights_sum_to_one", Negative, None),
    ("weights_sum_to_one", TopOneKeepsItsShare, None),
    ("weights_sum_to_one", UnbalancedInACrowd, None),
    ("training_mode", DropoutOnWeights, None),
    ("active_experts", TopKIgnored, None),
    ("active_experts", ActiveIsALie, None),
    ("masked_values", GarbageScale, None),
    ("padding_length", MeanOverPadding, None),
    ("placeholders", AbsolutePositions, None),
    ("alone_equals_batch", BatchMean, None),
    ("alone_equals_batch", AThousandthOfTheBatch, None),
    ("alone_equals_batch", FirstLanguageRules, None),
    ("alone_equals_batch", BatchMeanInACrowd, None),
    ("alone_equals_batch_in_training", BatchMeanInTraining, None),
    ("alone_equals_batch", NextDoor, None),
    ("item_order", FirstComeFirstServed, RouterTraits(independent_items=False)),
    ("prompt_order", FirstPromptLeads, RouterTraits(independent_items=False)),
    ("empty_prompts", NaNOnEmptyPrompts, None),
    ("empty_prompts", GarbageOnEmptyPrompts, None),
    ("empty_items", NaNOnEmptyItems, None),
    ("extreme_values", Overflows, None),
    ("float32_inside", HalfContext, None),
    ("softmax_in_float32", HalfSoftmax, None),
    ("softmax_in_float32", HalfSoftmaxAsItIs, None),
    ("float32_inside", HalfSoftmaxForHalfInputs, None),
    ("float32_inside", HalfSoftmaxHandedOn, None),
    ("autocast", CollectsInABuffer, None),
    ("half_module", HalfWhenCast, None),
    ("gradients_reach", Detached, None),
    ("gradients_reach", DeadEncoder, None),
    ("checkpointing", TrainsItself, None),
    ("text_steers", DeafToText, RouterTraits(uses_text=True)),
    ("text_steers", Good, RouterTraits(uses_text=False)),
    ("state_dict_round_trip", Unsaved, None),
    ("config_round_trip", CountsKeys, RouterTraits(options={"factors": {0: 3.0}})),
    ("config_round_trip", EatsItsOptions, RouterTraits(options={"factors": {"all": 3.0}})),
    ("config_round_trip", EatsItsOptions, RouterTraits(options={"factors": {"all": {1.0}}})),
    ("deepcopy", Closure, None),
    ("deepcopy", GraphStashed, None),
    ("pickles", Lambda, None),
    ("compiled", Uncompilable, RouterTraits(supports_compile=True)),
    ("device_kept", CpuConstant, None),
    ("device_kept", AnswersFromTheCpu, None),
]
# Some faults break further promises too, and no wonder. (NotARouting can keep none.)
ALSO: dict[str, set[str]] = {
    "NoiseInEvaluation": {"device_kept"},
    "NoiseOfPython": {"checkpointing"},
    "HalfLogits": {"float32_inside"},
    "HalfSoftmaxAsItIs": {"weights_sum_to_one", "training_mode", "empty_prompts", "empty_items", "extreme_values"},
    "RunningMean": {"checkpointing", "deepcopy"},
    "Cached": {"alone_equals_batch"},
    "Sigmoid": {"training_mode", "empty_prompts", "empty_items", "extreme_values"},
    "Negative": {"training_mode", "empty_prompts", "empty_items", "extreme_values"},
    "GarbageScale": {"empty_prompts"},
    "FirstLanguageRules": {"prompt_order"},
    "UnbalancedInACrowd": {"alone_equals_batch"},
    "MeanOverPadding": {"placeholders"},
    "NextDoor": {"item_order"},
    "HalfContext": {"half_module"},
    "HalfSoftmaxForHalfInputs": {"half_module"},
    "HalfSoftmaxHandedOn": {"half_module"},
}
