"""An adapter under constant routing as one plain expert: exact, needs no prompt, refused where it cannot be."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.adapter import fold_experts as freeze
from parrot_adapters.core import Routing
from parrot_adapters.errors import CheckpointError, ConfigError

WEIGHTS = [0.1, 0.0, 0.9]


def bank_of(kind, dtype=torch.float32, **options):
    bank = pa.plugins.find("expert", kind).factory(6, 4, 3, **options)
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    return bank.to(dtype)


@pytest.mark.parametrize(
    ("kind", "options", "becomes", "size"),
    [
        ("swiglu", {}, "SwiGLUExperts", 8),
        ("mlp", {}, "MLPExperts", 8),
        ("low-rank", {"scale": 0.3}, "LowRankExperts", 8),
        ("merged", {}, "SwiGLUExperts", 4),
        ("shared-swiglu", {"shared_hidden_size": 5}, "SwiGLUExperts", 13),
    ],
)
def test_fold_is_the_mixture(kind, options, becomes, size):
    bank, weights = bank_of(kind, torch.float64, **options), torch.tensor(WEIGHTS).double()
    folded = freeze.fold_experts(bank, weights)
    assert (type(folded).__name__, folded.hidden_size, folded.num_experts) == (becomes, size, 1)
    tokens, offsets, one = torch.randn(7, 6).double(), torch.tensor([0, 3, 7]), torch.ones(2, 1)
    wanted = bank(tokens, offsets, Routing(weights.expand(2, -1), weights.expand(2, -1).float()))
    assert_close(folded(tokens, offsets, Routing(one, one)), wanted, rtol=1e-6, atol=1e-6)


def test_one_expert_is_kept_bit_for_bit():
    bank = bank_of("swiglu")
    folded = freeze.fold_experts(bank, torch.tensor([0.0, 1.0, 0.0]))
    for name in ("gate", "up", "down"):
        assert torch.equal(getattr(folded, name)[0], getattr(bank, name)[1])


def test_conditioned_experts_are_refused():
    with pytest.raises(ConfigError, match="prompt-independent"):
        freeze.fold_experts(bank_of("conditioned-swiglu"), torch.tensor(WEIGHTS))


def test_a_bank_without_fold_is_refused():
    with pytest.raises(ConfigError, match="no method folded"):
        freeze.fold_experts(nn.Linear(2, 2), torch.tensor(WEIGHTS))


def test_a_fold_that_lies_is_caught():
    class Louder(type(bank_of("swiglu"))):
        def forward(self, tokens, offsets, routing):
            return 1.5 * super().forward(tokens, offsets, routing)

    bank = Louder(6, 4, 3)
    with torch.no_grad():
        bank.down.normal_()
    weights = torch.tensor(WEIGHTS)
    with pytest.raises(CheckpointError, match="does not equal the mixture"):
        freeze.verify(bank, freeze.fold_experts(bank, weights), weights)


# --- directories -----------------------------------------------------------------------------------------------------


def answers(host, inputs, directory, **declared):
    with pa.load_adapter(host, directory) as handle, torch.no_grad(), handle.languages(declared.get("as_", [None] * 2)):
        return host(**inputs).logits


def test_given_weights(host, inputs, save_adapter, tmp_path):
    source = save_adapter(num_experts=3)
    done = pa.freeze_routing(source, tmp_path / "out", weights=[1, 0, 9], language="tr")
    assert (done.weights, done.expert) == (pytest.approx((0.1, 0.0, 0.9)), "swiglu")
    assert done.difference <= done.bound
    with pa.load_adapter(host, tmp_path / "out") as handle:
        assert (handle.config.router, handle.config.num_experts) == ("frozen", 1)
        with torch.no_grad():
            frozen = host(**inputs).logits
    with pa.load_adapter(host, source) as handle:
        handle.module.router = pa.plugins.find("router", "frozen").factory(16, 3, weights=[1, 0, 9])
        with torch.no_grad():
            assert_close(frozen, host(**inputs).logits, rtol=1e-4, atol=1e-4)
    described = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert described["derived"]["language"] == "tr"
    assert "| frozen | swiglu | 1 |" in (tmp_path / "out" / "README.md").read_text()


def test_top_k_is_applied_to_the_weights(save_adapter, tmp_path):
    done = pa.freeze_routing(save_adapter(num_experts=3, top_k=1), tmp_path / "out", weights=[0.3, 0.6, 0.1])
    assert (done.weights, done.hidden_size) == ((0.0, 1.0, 0.0), 4)


@pytest.mark.parametrize("mode", ["fixed", "table"])
def test_weights_of_a_language(host, inputs, save_adapter, tmp_path, mode):
    options = {"languages": ["en", "tr"], "mode": mode}
    source = save_adapter(router="language-id", router_options=options, num_experts=3)
    pa.freeze_routing(source, tmp_path / "out", language="tr-CY")
    assert_close(
        answers(host, inputs, tmp_path / "out"),
        answers(host, inputs, source, as_=["tr", "tr"]),
        rtol=1e-4,
        atol=1e-4,
    )


def test_projector_comes_along(host, save_adapter, tmp_path):
    source = save_adapter(num_experts=2, train_projector=True)
    pa.freeze_routing(source, tmp_path / "out", weights=[1, 1])
    assert (tmp_path / "out" / "projector.safetensors").read_bytes() == (source / "projector.safetensors").read_bytes()
    with pa.load_adapter(host, tmp_path / "out") as handle:
        assert any(p is q for p in handle.parameters() for q in handle.projector.parameters())


def test_refusals(save_adapter, tmp_path):
    source, out = save_adapter(num_experts=3), tmp_path / "out"
    with pytest.raises(ConfigError, match="routes by what each prompt says"):
        pa.freeze_routing(source, out, language="tr")
    with pytest.raises(ConfigError, match="which constant weights"):
        pa.freeze_routing(source, out)
    by_language = save_adapter(router="language-id", num_experts=3)
    with pytest.raises(ConfigError, match="which language's weights"):
        pa.freeze_routing(by_language, out)
    source = save_adapter(num_experts=3)
    with pytest.raises(ConfigError, match="no weights of 3 experts"):
        pa.freeze_routing(source, out, weights=[1, 2])
    assert not out.exists()
    out.mkdir()
    (out / "precious").write_text("x")
    with pytest.raises(CheckpointError, match="exists already"):
        pa.freeze_routing(source, out, weights=[1, 2, 3])
    assert (out / "precious").read_text() == "x"


def test_unknown_language_is_refused(save_adapter, tmp_path):
    source = save_adapter(router="language-id", num_experts=3)
    with pytest.raises(ConfigError, match="abstains for language 'xx'"):
        pa.freeze_routing(source, tmp_path / "out", language="xx")


@pytest.mark.parametrize(
    ("router", "options", "expected"), [("uniform", {}, [0.5, 0.5]), ("frozen", {"weights": [1, 3]}, [0.25, 0.75])]
)
def test_constant_routers_need_not_be_told(save_adapter, tmp_path, router, options, expected):
    source = save_adapter(router=router, router_options=options, num_experts=2)
    assert pa.freeze_routing(source, tmp_path / "out").weights == pytest.approx(expected)


def test_half_precision_keeps_its_dtype_and_is_verified(host, tmp_path):
    with pa.attach(host, pa.AdapterConfig(num_experts=3, expert_hidden_size=4)) as handle:
        handle.module.bfloat16()
        with torch.no_grad():
            handle.module.experts.down.normal_()
        handle.save_pretrained(tmp_path / "source")
    done = pa.freeze_routing(tmp_path / "source", tmp_path / "out", weights=WEIGHTS)
    assert 0 < done.difference <= done.bound
    with pa.load_adapter(host, tmp_path / "out") as handle:
        assert handle.config.expert_hidden_size == 8
