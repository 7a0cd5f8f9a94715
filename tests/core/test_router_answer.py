"""What a router answers is looked at before anything is mixed with it; errors name the router."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import parrot_adapters as pa
from parrot_adapters import Routing
from parrot_adapters.core import AlignmentLayer, MeanSummary, SwiGLUExperts
from parrot_adapters.errors import RoutingError

E, D = 4, 8
UNIFORM = torch.full((2, E), 1 / E)


class Spoils(nn.Module):
    """Even shares, spoilt by a function."""

    def __init__(self, spoil):
        super().__init__()
        self.spoil = spoil
        self.gate = nn.Parameter(torch.ones(1))

    def forward(self, inputs):
        return Routing(self.spoil(UNIFORM.clone() * self.gate), UNIFORM.log())


def make_layer(spoil):
    return AlignmentLayer(summary=MeanSummary(D), router=Spoils(spoil), experts=SwiGLUExperts(D, 4, E), num_experts=E)


def run(layer, tokens=None):
    tokens = torch.randn(5, D) if tokens is None else tokens
    rows, mask = torch.tensor([0, 0]), torch.ones(1, 2, dtype=torch.bool)
    return layer(tokens, torch.tensor([0, 2, 5]), rows, torch.randn(1, 2, D), mask)


def half_negative(weights):
    return weights + torch.tensor([0.5, -0.5, 0.0, 0.0])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda w: w * float("nan"), "weights that are not finite"),
        (lambda w: w.index_fill(0, torch.tensor([1]), float("inf")), "weights that are not finite"),
        (lambda w: -w, r"negative weights \(down to -0.25\)"),
        (half_negative, r"negative weights \(down to -0.25\)"),
        (lambda w: w * 100, r"do not sum to one \(one sums to 100\)"),
        (lambda w: w * torch.tensor([[1.0], [1.01]]), r"do not sum to one \(one sums to 1.01\)"),
        (lambda w: w.to("meta"), "weights as a tensor on meta; the visual tokens are on cpu"),
        (lambda w: w.to_sparse(), "weights as a tensor of layout torch.sparse_coo"),
        (
            lambda w: w.to(torch.float8_e4m3fn),
            "weights in torch.float8_e4m3fn; they must be floating point, of 16 bits",
        ),
        (lambda w: w.long(), "weights in torch.int64; they must be floating point"),
        (lambda w: w > 0, "weights in torch.bool"),
    ],
)
def test_weights_that_are_no_shares_are_refused(spoil, message):
    with pytest.raises(RoutingError, match=f"the router Spoils returned .*{message}"):
        run(make_layer(spoil))


@pytest.mark.parametrize("name", ["logits", "context", "active", "abstain"])
def test_whatever_else_it_answers_is_where_the_tokens_are(name):
    """Named is the router, not whoever reads it next."""
    right = {
        "logits": UNIFORM.log(),
        "context": torch.randn(2, D),
        "active": torch.tensor([[0, 1], [0, 1]]),
        "abstain": torch.zeros(2, dtype=torch.bool),
    }
    layer = make_layer(lambda w: w)
    layer.router.forward = lambda inputs: Routing(UNIFORM, **right)
    run(layer)
    right[name] = right[name].to("meta")
    with pytest.raises(RoutingError, match=f"the router Spoils returned {name} as a tensor on meta"):
        run(layer)


@pytest.mark.parametrize(
    ("part", "answer", "says"),
    [
        ("summary", torch.zeros(2, D, device="meta"), "returned a tensor on meta"),
        ("summary", torch.zeros(3, D), r"returned shape \(3, 8\) for 2 items"),
        ("summary", None, "returned NoneType, not a tensor"),
        ("experts", torch.zeros(5, D, device="meta"), "returned a tensor on meta"),
        ("experts", None, "returned NoneType, not a tensor"),
    ],
)
def test_so_are_the_answers_of_the_other_parts(part, answer, says):
    class Odd(nn.Module):
        def forward(self, *args):
            return answer

    layer = make_layer(lambda w: w)
    setattr(layer, part, Odd())
    with pytest.raises(RoutingError, match=f"the {part} Odd {says}"):
        run(layer)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_rounding_is_no_fault(dtype):
    thirds = torch.tensor([[0.1, 0.2, 0.3, 0.4], [1 / 3, 1 / 3, 1 / 3, 0.0]])
    run(make_layer(lambda w: thirds.to(dtype)))


def test_it_is_looked_at_in_every_pass_on_a_cpu():
    layer = make_layer(lambda w: w)
    for _ in range(10):
        run(layer)
    layer.router.spoil = torch.neg
    with pytest.raises(RoutingError, match="negative"):
        run(layer)


def test_diverged_parameters_and_spoilt_pictures_are_not_the_routers_fault():
    layer = make_layer(lambda w: w)
    nn.init.constant_(layer.router.gate, float("nan"))
    assert run(layer).routing.weights.isnan().all()
    layer = make_layer(lambda w: w * float("nan"))
    run(layer, torch.full((5, D), float("nan")))


def test_nothing_is_read_while_a_graph_is_made():
    """A look at values would break the graph (an error under fullgraph)."""
    layer = make_layer(lambda w: w)
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    assert torch.allclose(run(compiled).routing.weights, UNIFORM)
    with torch.device("meta"):
        layer = AlignmentLayer(
            summary=MeanSummary(D), router=pa.core.UniformRouter(D, E), experts=SwiGLUExperts(D, 4, E), num_experts=E
        )
    meta = [each.to("meta") for each in (torch.randn(5, D), torch.tensor([0, 2, 5]), torch.tensor([0, 0]))]
    layer(*meta, torch.randn(1, 2, D, device="meta"), torch.ones(1, 2, dtype=torch.bool, device="meta"))


@pytest.mark.parametrize("part", ["router", "experts", "summary"])
def test_a_part_that_fails_is_named(part):
    class Fails(nn.Module):
        def forward(self, *args):
            raise IndexError("out of experts")

    layer = make_layer(lambda w: w)
    setattr(layer, part, Fails())
    with pytest.raises(RoutingError, match=f"the {part} Fails failed: IndexError: out of experts") as caught:
        run(layer)
    assert isinstance(caught.value.__cause__, IndexError)


def test_torchs_own_errors_keep_their_type():
    """Out of memory is handled by whoever trains; checkpointing stops a forward pass by raising."""

    class Full(nn.Module):
        def forward(self, inputs):
            raise torch.OutOfMemoryError("full")

    layer = make_layer(lambda w: w)
    layer.router = Full()
    with pytest.raises(torch.OutOfMemoryError):
        run(layer)


def test_a_built_layer_names_the_plugin(request):
    class Plugin:
        @pa.hookimpl
        def register_routers(self, register):
            register("spoils", lambda width, num_experts: Spoils(torch.neg))

    name = pa.plugins.register(Plugin(), "spoiler")
    request.addfinalizer(lambda: pa.plugins.manager.unregister(name))
    layer = pa.build_layer(pa.AdapterConfig(router="spoils", num_experts=E, expert_hidden_size=4), D)
    with pytest.raises(RoutingError, match=r"the router 'spoils' of spoiler \(registered\) returned negative"):
        run(layer)
