"""Why an answer came out as it did: routing of each prompt, and what would have been with another.

E  experts    N  visual tokens    V  vocabulary
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from parrot_adapters.analysis.layer_hooks import Pass, ablated, next_token_logits, rerouted, watched
from parrot_adapters.analysis.token_similarity import Shift
from parrot_adapters.core.evaluation_mode import evaluation_mode
from parrot_adapters.core.routing_statistics import entropy
from parrot_adapters.errors import ConfigError, HostError
from parrot_adapters.errors import explain as explained
from parrot_adapters.hosts.host_failures import failures_named

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = ["Counterfactual", "Explanation", "PromptInputs", "PromptSeen", "explain"]


@dataclass(frozen=True)
class PromptInputs:
    """One prompt, ready for the host.

    Attributes:
        label: Name of the prompt in the explanation.
        inputs: Mapping of keyword arguments of the host's forward, for one row with at least one image.
        language: BCP-47 tag that is declared for the prompt, or None.
    """

    label: str
    inputs: Mapping[str, Any]
    language: str | None = None


@dataclass(frozen=True)
class Counterfactual:
    """What would have been.

    Attributes:
        change: the adapter's output moves by this much, relative to its own norm: ``|other - actual| / |actual|``.
        kl: Kullback-Leibler divergence in nats from the actual next-token distribution to the one that would have been.
    """

    change: float
    kl: float


@dataclass(frozen=True)
class PromptSeen:
    """What happened to one prompt.

    Attributes:
        label: its name.
        language: as declared.
        weights: (E,) mean routing weights over its images (or their tokens).
        spread: (E,) standard deviation over them; zeros for a single image routed as a whole.
        entropy: mean normalised entropy of the weights, 0 for one expert, 1 for all alike.
        abstained: share of the images that the router left alone.
        shift: of the visual tokens by the adapter.
        kl: from the host's own next-token distribution to the adapted one, in nats.
        host_token: the likeliest next token without the adapter, and its probability.
        token: the same with it.
        ablated: expert -> without that expert.
        swapped: label of another prompt -> with that prompt's routing, the prompt itself unchanged; None where the
            images of both were not the same.
        by_group: (G, E) mean weights in each group of decoder layers; empty where all layers have the router's.
    """

    label: str
    language: str | None
    weights: list[float]
    spread: list[float]
    entropy: float
    abstained: float
    shift: Shift
    kl: float
    host_token: tuple[str, float]
    token: tuple[str, float]
    ablated: list[Counterfactual]
    swapped: dict[str, Counterfactual | None] = field(default_factory=dict)
    by_group: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True)
class Explanation:
    """What an adapter did to some prompts.

    Attributes:
        router: Name of the router.
        expert: Name of the expert bank.
        num_experts: Number of experts E.
        prompts: Prompts as they were given.
    """

    router: str
    expert: str
    num_experts: int
    prompts: list[PromptSeen]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)


@torch.no_grad()
def explain(handle: Attachment, prompts: Sequence[PromptInputs], *, decode: Callable[[int], str] = str) -> Explanation:
    """Run each prompt as it is, without the adapter, without each expert, and routed as each other prompt.

    ``P (P + E + 1)`` forward passes for P prompts. The host is in eval mode meanwhile.

    Args:
        handle: Handle of an attached host; nobody else may be using the host meanwhile.
        prompts: Prompts, at least one. Give all the same images, so that routings can be swapped.
        decode: Function that writes a token id as text.

    Raises:
        ConfigError: No prompts, two with one label, or a prompt of several rows.
        HostError: A prompt without an image, one at which the host fails, or a host without a language-model head.
    """
    _check(prompts)
    with evaluation_mode(handle.model):
        actual = [_run(handle, prompt) for prompt in prompts]
        seen = [_seen(handle, p, logits, aligned, decode) for p, (logits, aligned) in zip(prompts, actual, strict=True)]
        for prompt, mine, about in zip(prompts, actual, seen, strict=True):
            for other, theirs in zip(prompts, actual, strict=True):
                if other is not prompt:
                    about.swapped[other.label] = _swapped(handle, prompt, mine, theirs[1])
    config = handle.config
    return Explanation(config.router, config.expert_kind, handle.require_module().num_experts, seen)


Run = tuple[Tensor, Pass]  # (V,) log-probabilities, and the pass


def _check(prompts: Sequence[PromptInputs]) -> None:
    labels = [prompt.label for prompt in prompts]
    if not labels or len(set(labels)) < len(labels):
        raise ConfigError(f"prompts need a label each, all different, not {labels}")
    for prompt in prompts:
        ids = prompt.inputs.get("input_ids", prompt.inputs.get("inputs_embeds"))
        if ids is not None and len(ids) != 1:
            raise ConfigError(
                explained(
                    f"prompt {prompt.label!r} has {len(ids)} rows.", to_do="give each prompt as inputs of its own"
                )
            )


def _run(handle: Attachment, prompt: PromptInputs) -> Run:
    named = failures_named(HostError, "the host fails at a prompt.", {"prompt": prompt.label})
    with named, handle.languages([prompt.language]), watched(handle) as passes:
        logits = next_token_logits(handle, dict(prompt.inputs))
    if not passes:
        raise HostError(f"prompt {prompt.label!r} has no image, or the adapter is disabled: there is nothing to see")
    return logits[0].double().log_softmax(-1), passes[0]


def _seen(
    handle: Attachment, prompt: PromptInputs, actual: Tensor, aligned: Pass, decode: Callable[[int], str]
) -> PromptSeen:
    weights, experts = aligned.routing.weights.double(), handle.require_module().num_experts
    with handle.disabled():
        bare = next_token_logits(handle, dict(prompt.inputs))[0].double().log_softmax(-1)
    without = []
    for expert in range(experts):
        with ablated(handle, expert):
            without.append(_counterfactual((actual, aligned), _run(handle, prompt)))
    abstain = aligned.routing.abstain
    scale = torch.tensor(float(max(experts, 2))).log().item()
    return PromptSeen(
        label=prompt.label,
        language=prompt.language,
        weights=weights.mean(0).tolist(),
        spread=weights.std(0, correction=0).tolist(),
        entropy=float(entropy(weights).mean()) / scale,
        abstained=0.0 if abstain is None else float(abstain.double().mean()),
        shift=Shift.between(aligned.before, aligned.after),
        kl=_kl(bare, actual),
        host_token=_likeliest(bare, decode),
        token=_likeliest(actual, decode),
        ablated=without,
        by_group=_by_group(handle, aligned.routing.weights),
    )


def _by_group(handle: Attachment, weights: Tensor) -> list[list[float]]:
    inside = handle.require_module().layer_experts
    if inside is None or inside.groups == 1:
        return []
    means: list[list[float]] = inside.weights_by_group(weights.float()).double().mean(1).tolist()
    return means


def _swapped(handle: Attachment, prompt: PromptInputs, mine: Run, theirs: Pass) -> Counterfactual | None:
    if not torch.equal(mine[1].offsets, theirs.offsets):
        return None
    with rerouted(handle, theirs.routed):
        return _counterfactual(mine, _run(handle, prompt))


def _counterfactual(actual: Run, other: Run) -> Counterfactual:
    change = Shift.between(actual[1].after, other[1].after).relative_norm
    return Counterfactual(change, _kl(actual[0], other[0]))


def _kl(p: Tensor, q: Tensor) -> float:
    """From log-probabilities, (V,) each."""
    return max(0.0, float((p.exp() * (p - q)).nan_to_num(0.0, posinf=0.0, neginf=0.0).sum()))


def _likeliest(logs: Tensor, decode: Callable[[int], str]) -> tuple[str, float]:
    best = int(logs.argmax())
    return decode(best), float(logs[best].exp())
