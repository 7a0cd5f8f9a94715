"""Training a compiled host: the loss and the gradients are those of the host that is not compiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from miniatures import PROMPTS
from support.compiled_hosts import LLAVA, attached
from torch.testing import assert_close

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Dynamo detected a call to a:UserWarning:transformers"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),  # torch's own, while it traces
]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def learned(model: Any, call: Any) -> dict[str, torch.Tensor]:
    """The loss, and the gradient of every weight that has one, by name."""
    model.zero_grad()
    batch = LLAVA.batch(PROMPTS)
    loss = call(**batch, labels=batch["input_ids"]).loss
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return {"the loss": loss.detach(), **gradients}


@pytest.mark.parametrize(
    ("placement", "top_k", "recomputed"),
    [
        ("projector", None, True),
        ("projector", 2, False),
        ("layers", None, False),
        ("layers", 2, False),
    ],
)
def test_loss_and_gradients_are_those_of_eager(placement: str, top_k: int | None, recomputed: bool) -> None:
    handle = attached(placement, top_k=top_k)
    model = handle.model.train()
    if recomputed:
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()  # it was renamed
    expected = learned(model, model)
    found = learned(model, torch.compile(model, backend="aot_eager"))
    trained = {id(p) for p in handle.module.parameters()}
    assert expected.keys() == {"the loss"} | {name for name, p in model.named_parameters() if id(p) in trained}
    assert any(gradient.abs().max() > 1e-3 for name, gradient in expected.items() if name != "the loss")
    assert_close(found, expected, rtol=1e-4, atol=1e-6)
