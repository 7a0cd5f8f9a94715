"""What the seam holds to, on a GPU. Skipped where there is none; nothing else in the suite needs one."""

from __future__ import annotations

import pytest
import torch
from miniatures import ADAPTER, FAMILIES, PROMPTS, awake

import parrot_adapters as pa
from parrot_adapters.core import ConditionedSwiGLUExperts, Routing, SwiGLUExperts, keep_top_k

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
]


@pytest.mark.parametrize("name", ["llava", "qwen2_vl", "qwen3_vl"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attach_generate_detach(name: str, dtype: torch.dtype) -> None:
    family = FAMILIES[name]
    model = family.build().to("cuda", dtype)
    inputs = {k: v.to("cuda", dtype if v.is_floating_point() else None) for k, v in family.batch(PROMPTS).items()}
    with torch.no_grad():
        bare = model(**inputs).logits
        handle = pa.attach(model, pa.AdapterConfig(**ADAPTER))
        assert torch.equal(model(**inputs).logits, bare)
        pa.self_test(handle, inputs)
        awake(handle)
        assert not torch.equal(model(**inputs).logits, bare)
        handle.detach()
        assert torch.equal(model(**inputs).logits, bare)


@pytest.mark.parametrize("kind", [SwiGLUExperts, ConditionedSwiGLUExperts])
def test_grouped_products_are_products(kind: type[SwiGLUExperts]) -> None:
    generator = torch.Generator().manual_seed(0)
    tokens, context = torch.randn(60, 64, generator=generator), torch.randn(5, 64, generator=generator)
    offsets = torch.tensor([0, 10, 10, 30, 45, 60], device="cuda")
    logits = torch.randn(5, 4, generator=generator)
    logits[:, 3] = -9  # an expert without tokens
    routing = keep_top_k(Routing(logits.softmax(-1).cuda(), logits.cuda(), context.cuda()), 2)

    def answer_and_gradients(grouped: bool) -> list[torch.Tensor]:
        bank = kind(64, 32, 4, grouped=grouped).to("cuda", torch.bfloat16)
        for number, parameter in enumerate(bank.parameters()):
            values = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)) / 8
            parameter.data.copy_(values)
        out = bank(tokens.to("cuda", torch.bfloat16), offsets, routing)
        out.float().square().sum().backward()
        return [out, *(parameter.grad for parameter in bank.parameters())]

    for one, other in zip(answer_and_gradients(True), answer_and_gradients(False), strict=True):
        torch.testing.assert_close(one.float(), other.float(), rtol=0, atol=0.03 * other.abs().max().item())
