"""A slow host to compare with: its linear layers loop over tokens and experts, and it is told everything.

It knows the visual positions from the ids of the whole prompt and the routing from a record of one forward pass, so it
shares no code with what it checks. Every call of it is one forward pass over a whole text, without a cache.
"""

from __future__ import annotations

from typing import Any

import torch
from miniatures import IMAGE, Family
from torch import Tensor, nn

from support.base_arguments import aligned_outputs


def adapter(family: Family, **options: Any) -> dict[str, Any]:
    """A config with experts inside the layers of this family."""
    return {"placement": "layers", "num_experts": 3, "layer_rank": 2, "expert_hidden_size": 16} | options


def trained(handle: Any, scale: float = 0.3) -> Any:
    """Random weights everywhere in the adapter, the same every time; its handle again."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in handle.module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return handle


def logits(model: Any, inputs: dict[str, Any]) -> Tensor:
    with torch.no_grad():
        return model(**inputs).logits


class SlowLinear(nn.Module):
    def __init__(self, base: nn.Module, expert: Any, layers: Any, told: dict[str, Any]) -> None:
        super().__init__()
        self.base, self.told = base, told
        self.__dict__.update(expert=expert, layers=layers)

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x).clone()
        rows = x.view(*self.told["shape"], -1)
        out = y.view(*self.told["shape"], -1)
        for row, column, weights in self.told["tokens"]:
            token = rows[row, column]
            for e, weight in enumerate(weights):
                low = self.expert.compress[e] @ token
                out[row, column] += self.layers.layer_scale * weight * (low @ self.expert.down[e])
            if self.layers.shared_rank:
                low = self.expert.shared_compress @ token
                out[row, column] += self.layers.layer_scale * (low @ self.expert.shared_down)
        return out.view_as(y)


class SlowHost:
    """A bare host whose layers do by hand what the adapter of ``handle`` asks for.

    Args:
        bare: A model of the same weights, without an adapter.
        handle: An adapter with experts inside the layers, on another model.
    """

    def __init__(self, bare: Any, handle: Any) -> None:
        self.model, self.handle, self.told = bare, handle, {}
        stack, layers = bare.base_model.get_submodule(handle.parts.language_model), handle.module.layer_experts
        for path, expert in layers.each():
            parent, _, name = path.rpartition(".")
            place = stack.get_submodule(parent)
            setattr(place, name, SlowLinear(getattr(place, name), expert, layers, self.told))

    def logits(self, inputs: dict[str, Any], *, graph: bool = False) -> Tensor:
        with torch.set_grad_enabled(graph):
            return self._logits(inputs, graph)

    def _logits(self, inputs: dict[str, Any], graph: bool) -> Tensor:
        with self.handle.record_routing(graph=graph) as log:
            plain = aligned_outputs(self.handle.model, inputs, graph=graph)
        ids = inputs["input_ids"]
        places = (ids == IMAGE).nonzero().tolist()
        (record,) = log
        weights = record.weights.repeat_interleave(record.offsets.diff(), dim=0)
        self.told |= {
            "shape": ids.shape,
            "tokens": [(row, column, w) for (row, column), w in zip(places, weights, strict=True)],
        }
        given = {k: v for k, v in inputs.items() if not k.startswith("pixel_values")}
        return self.model(**given, mm_encoder_outputs=plain).logits

    def continued(self, inputs: dict[str, Any], answer: Tensor) -> Tensor:
        """(R, T, V) logits before each token of an answer (R, T), from one pass over prompt and answer.

        The routing is that of the prompt alone.
        """
        size = inputs["input_ids"].shape[1]
        self.logits(inputs)
        told = dict(self.told)
        longer = inputs | {
            "input_ids": torch.cat([inputs["input_ids"], answer], 1),
            "attention_mask": torch.cat([inputs["attention_mask"], torch.ones_like(answer)], 1),
        }
        for name in ("token_type_ids", "mm_token_type_ids"):
            if name in inputs:
                longer[name] = torch.cat([inputs[name], torch.zeros_like(answer)], 1)
        given = {k: v for k, v in longer.items() if not k.startswith("pixel_values")}
        plain = aligned_outputs(self.handle.model, inputs)
        self.told |= told | {"shape": longer["input_ids"].shape}
        with torch.no_grad():
            return self.model(**given, mm_encoder_outputs=plain).logits[:, size - 1 : -1]


def decode(model: Any, inputs: dict[str, Any], **options: Any) -> Any:
    """``generate`` with logits of every step."""
    settings = {"max_new_tokens": 4, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
    return model.generate(**inputs, **(settings | options))
