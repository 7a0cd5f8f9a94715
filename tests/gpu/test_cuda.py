"""What the seam holds to, on a GPU. Skipped where there is none; nothing else in the suite needs one."""

from __future__ import annotations

import pytest
import torch
from miniatures import ADAPTER, FAMILIES, PROMPTS, awake

import parrot_adapters as pa

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
