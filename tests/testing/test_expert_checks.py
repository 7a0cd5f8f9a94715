"""The expert kit bites: for every check a broken bank that this check catches; healthy banks pass all."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from parrot_adapters import core
from parrot_adapters.core import spread
from parrot_adapters.testing import EXPERT_CHECKS, ExpertTraits, check_expert, devices, examples, expert_checks

pytestmark = pytest.mark.conformance


class Good(core.SwiGLUExperts):
    """A healthy bank; each broken one below changes one thing of it."""


class TooNarrow(Good):
    def forward(self, tokens, offsets, routing):
        return super().forward(tokens, offsets, routing)[:, :-1]


class HalvesTokens(Good):
    """Scales the tokens it was given in place."""

    def forward(self, tokens, offsets, routing):
        out = super().forward(tokens, offsets, routing)
        tokens.data.mul_(0.5)
        return out


class Noisy(Good):
    def forward(self, tokens, offsets, routing):
        out = super().forward(tokens, offsets, routing)
        return out * (1 + torch.rand(()))


class Counts(Good):
    calls = 0

    def forward(self, tokens, offsets, routing):
        self.calls += 1
        return super().forward(tokens, offsets, routing)


class NotIdentity(Good):
    def __init__(self, width, hidden_size, num_experts):
        super().__init__(width, hidden_size, num_experts)
        nn.init.normal_(self.down)


class BatchMean(Good):
    def forward(self, tokens, offsets, routing):
        out = super().forward(tokens, offsets, routing)
        return out * torch.tanh(tokens.shape[0] * torch.ones(())) if tokens.shape[0] else out


class CrowdMean(Good):
    """Only with more than eight items."""

    def forward(self, tokens, offsets, routing):
        out = super().forward(tokens, offsets, routing)
        return out + out.mean(0) if offsets.numel() > 9 else out


class TrainingMean(Good):
    """Only in training."""

    def forward(self, tokens, offsets, routing):
        out = super().forward(tokens, offsets, routing)
        return out + out.mean(0) if self.training and len(out) else out


class CountsKeys(Good):
    """Looks its options up by numbers; in JSON keys are text."""

    def __init__(self, width, hidden_size, num_experts, *, factors=None):
        super().__init__(width, hidden_size, num_experts)
        self.factor = (factors or {}).get(0, 1.0)

    def forward(self, tokens, offsets, routing):
        return super().forward(tokens, offsets, routing) * self.factor


class CpuConstant(Good):
    """A constant made in forward, without a device."""

    def forward(self, tokens, offsets, routing):
        return super().forward(tokens, offsets, routing) * torch.ones(self.width, dtype=tokens.dtype)


class MixesTokens(Good):
    def forward(self, tokens, offsets, routing):
        if routing.routes_tokens(offsets.numel() - 1):
            return super().forward(tokens, offsets, routing)
        out = super().forward(tokens, offsets, routing)
        return out + 0.1 * spread(core.item_mean(out, offsets), offsets, tokens.shape[0]).to(out.dtype)


class SquaresWeights(Good):
    def forward(self, tokens, offsets, routing):
        return super().forward(tokens, offsets, routing._replace(weights=routing.weights.square()))


class AssumesSorted(Good):
    """Reads the k-th weight as belonging to the k-th active expert."""

    def forward(self, tokens, offsets, routing):
        if routing.active is not None and routing.active.shape[-1] == self.num_experts:
            routing = routing._replace(weights=routing.weights.gather(-1, routing.active))
        return super().forward(tokens, offsets, routing)


class RunsInactive(Good):
    """Spreads the weights evenly over the active experts."""

    def forward(self, tokens, offsets, routing):
        if routing.active is not None and routing.active.shape[-1] < self.num_experts:
            even = torch.zeros_like(routing.weights).scatter(-1, routing.active, 1 / routing.active.shape[-1])
            routing = routing._replace(weights=even + 0 * routing.weights)
        return super().forward(tokens, offsets, routing)


class ShapesDecide(Good):
    """Ignores ``per_token`` and goes by shape."""

    def forward(self, tokens, offsets, routing):
        return super().forward(tokens, offsets, routing._replace(per_token=None))


class EarlyReturn(Good):
    """With no token at all its parameters take no part."""

    def forward(self, tokens, offsets, routing):
        return super().forward(tokens, offsets, routing) if tokens.shape[0] else tokens


class Float32Only(Good):
    def forward(self, tokens, offsets, routing):
        return super().forward(tokens, offsets, routing).float()


class Frozen(Good):
    def forward(self, tokens, offsets, routing):
        bare = Good(self.width, self.hidden_size, self.num_experts)
        bare.gate, bare.up, bare.down = nn.Parameter(self.gate.detach()), self.up, self.down
        return bare(tokens, offsets, routing) + 0 * self.gate.sum()


class DeafRouter(Good):
    def forward(self, tokens, offsets, routing):
        return super().forward(tokens, offsets, routing._replace(weights=routing.weights.detach()))


class IgnoresContext(Good):
    def forward(self, tokens, offsets, routing):
        assert routing.context is not None
        return super().forward(tokens, offsets, routing)


class TrainsItself(Good):
    def __init__(self, width, hidden_size, num_experts):
        super().__init__(width, hidden_size, num_experts)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, tokens, offsets, routing):
        if self.training:
            self.scale = self.scale * 1.1
        return super().forward(tokens, offsets, routing) * self.scale


class Unsaved(Good):
    def __init__(self, width, hidden_size, num_experts):
        super().__init__(width, hidden_size, num_experts)
        self.scale = torch.rand(())

    def forward(self, tokens, offsets, routing):
        return super().forward(tokens, offsets, routing) * self.scale


class GraphStashed(Good):
    def forward(self, tokens, offsets, routing):
        out = super().forward(tokens, offsets, routing)
        if self.training:
            self.last = out
        return out


class Lambda(Good):
    def __init__(self, width, hidden_size, num_experts):
        super().__init__(width, hidden_size, num_experts)
        self.activation = lambda x: x


class Uncompilable(Good):
    def forward(self, tokens, offsets, routing):
        out = super().forward(tokens, offsets, routing)
        return out * 2 if torch.compiler.is_compiling() else out


# check -> (bank, traits, further checks it fails)
BROKEN = [
    ("interface", TooNarrow, None, None),  # None: it can keep hardly any
    ("inputs_untouched", HalvesTokens, None, None),
    ("deterministic", Noisy, None, set()),
    ("stateless", Counts, None, set()),
    ("identity_at_start", NotIdentity, None, set()),
    ("alone_equals_batch", BatchMean, None, set()),
    ("alone_equals_batch", CrowdMean, None, {"token_by_token"}),
    (
        "alone_equals_batch_in_training",
        TrainingMean,
        None,
        {"inactive_experts", "dense_equals_all_active", "empty_items"},
    ),
    ("token_by_token", MixesTokens, None, {"routing_per_token"}),
    ("weighted_sum", SquaresWeights, None, set()),
    ("dense_equals_all_active", AssumesSorted, None, set()),
    ("inactive_experts", RunsInactive, None, set()),
    ("routing_per_token", ShapesDecide, None, set()),
    ("empty_items", EarlyReturn, None, set()),
    ("half_precision", Float32Only, None, set()),
    ("gradients_reach", Frozen, None, {"inactive_experts"}),
    ("trains_the_router", DeafRouter, None, set()),
    ("reads_context", IgnoresContext, None, set()),
    ("checkpointing", TrainsItself, None, {"deepcopy"}),
    ("state_dict_round_trip", Unsaved, None, set()),
    ("deepcopy", GraphStashed, None, set()),
    ("pickles", Lambda, None, set()),
    ("config_round_trip", CountsKeys, ExpertTraits(options={"factors": {0: 3.0}}), set()),
    ("compiled", Uncompilable, ExpertTraits(supports_compile=True), set()),
    ("device_kept", CpuConstant, None, set()),
]


@pytest.fixture
def device_elsewhere(monkeypatch):
    """Where there is no accelerator ``meta`` stands for one: it has no numbers, but refuses the CPU's as a GPU does."""
    if devices.accelerator() is None:
        monkeypatch.setattr(devices, "accelerator", lambda: torch.device("meta"))


@pytest.mark.parametrize(("name", "bank", "traits", "also"), BROKEN, ids=[f"{n}-{b.__name__}" for n, b, *_ in BROKEN])
@pytest.mark.usefixtures("device_elsewhere")
@pytest.mark.few(8)
def test_a_broken_bank_is_caught_by_its_check(name, bank, traits, also):
    check = next(check for check in EXPERT_CHECKS if check.name == name)
    with examples(40):
        assert replace(check, traits=traits).outcome(bank).error is not None


@pytest.mark.slow
@pytest.mark.parametrize(("name", "bank", "traits", "also"), BROKEN, ids=[f"{n}-{b.__name__}" for n, b, *_ in BROKEN])
@pytest.mark.usefixtures("device_elsewhere")
def test_no_other_check_complains_of_a_broken_bank(name, bank, traits, also):
    if also is None:
        return  # it breaks nearly everything
    with examples(4):
        failed = {
            check.name for check in EXPERT_CHECKS if replace(check, traits=traits).outcome(bank).error is not None
        }
    if "alone_equals_batch" in failed:  # then in training, too
        failed.discard("alone_equals_batch_in_training")
    assert failed - also <= {name}


def test_every_check_has_a_broken_bank():
    assert {name for name, *_ in BROKEN} == {check.name for check in EXPERT_CHECKS}


@expert_checks()
@pytest.mark.usefixtures("device_elsewhere")
@pytest.mark.parametrize("bank", [core.SwiGLUExperts, core.MLPExperts, core.ConditionedSwiGLUExperts])
@pytest.mark.few(12)
def test_built_in_banks_pass_every_check(check, bank):
    check(bank)


def test_built_in_bank_agrees_when_compiled():
    (compiled,) = (c for c in EXPERT_CHECKS if c.name == "compiled")
    replace(compiled, traits=ExpertTraits(supports_compile=True))(core.SwiGLUExperts)


def test_message_names_the_check():
    with pytest.raises(AssertionError, match=r"^identity_at_start: required: A new bank answers exactly zero"):
        check_expert(NotIdentity)
