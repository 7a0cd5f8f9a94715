"""What an adapter does to visual tokens and how it routes, beyond right and wrong answers.

Q  questions    V  visual tokens    N  all of them, Q x V    D  width    E  experts
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from parrot_recipes.emoji.host import load_host, load_vocabulary, projector
from parrot_recipes.emoji.languages import CODES
from torch import Tensor
from torch.nn.functional import cosine_similarity

from parrot_adapters.analysis import linear_cka, retrieval, watched
from parrot_adapters.core import RoutingStatistics

if TYPE_CHECKING:
    from parrot_recipes.emoji.arms import Setting
    from transformers import LlavaForConditionalGeneration

    import parrot_adapters as pa

__all__ = ["look"]


@torch.inference_mode()
def look(host: LlavaForConditionalGeneration, handle: pa.Attachment | None, setting: Setting) -> dict[str, Any]:
    """Visual preservation, retrieval and routing on the test pictures.

    Returns:
        for each language, and ``"mean"`` over them:
        ``cosine``: per visual token, what the text model is given against what stage 1 would have given it;
        ``cka``: the same as linear CKA over all tokens;
        ``adapter_cosine``: per visual token, after the adapter against before it (1 without an adapter);
        ``adapter_cka``: the same as linear CKA;
        ``retrieval``: share of test pictures whose other drawing, of the training artist, is the nearest of all by the
        cosine of mean tokens; both as asked about in that language.
        Then ``routing`` (weights by language, entropy, mutual information with the language in nats and as a share of
        the largest possible) for adapters with several experts.
    """
    asked = [question.concept for question in setting.questions]
    vocabulary = load_vocabulary(setting.host)
    test = setting.features.test[asked].float().to(host.device)  # (Q, V, C)
    drawn_otherwise = setting.features.train[asked, 0].float().to(host.device)
    stage1 = projector(load_host(setting.host)).to(host.device)(test).flatten(0, 1)  # (N, D)
    found: dict[str, Any] = {}
    records: list[pa.RoutingRecord] = []
    for language in CODES:
        prompt = vocabulary.prompt(language, host.config.image_seq_length)
        before, after, record = _tokens(host, handle, test, prompt, language)
        _, other, _ = _tokens(host, handle, drawn_otherwise, prompt, language)
        records += record
        size = (len(asked), -1, after.shape[-1])
        found[language] = {
            "cosine": float(cosine_similarity(stage1, after, dim=-1).mean()),
            "cka": linear_cka(stage1, after),
            "adapter_cosine": float(cosine_similarity(before, after, dim=-1).mean()),
            "adapter_cka": linear_cka(before, after),
            "retrieval": retrieval(after.reshape(size).mean(1), other.reshape(size).mean(1)),
        }
    names = list(found[CODES[0]])
    found["mean"] = {name: sum(found[code][name] for code in CODES) / len(CODES) for name in names}
    found["routing"] = _routing(records)
    return found


def _tokens(
    host: LlavaForConditionalGeneration,
    handle: pa.Attachment | None,
    pictures: Tensor,
    prompt: list[int],
    language: str,
) -> tuple[Tensor, Tensor, list[pa.RoutingRecord]]:
    """Visual tokens (N, D) before and after the adapter, asked about in a language, and what was routed."""
    if handle is None or handle.module is None:  # no adapter, or one without experts
        projected = projector(host)(pictures).flatten(0, 1)
        return projected, projected, []
    ids = torch.tensor([prompt] * len(pictures)).to(host.device)
    with handle.languages([language] * len(pictures)), handle.record_routing() as log, watched(handle) as passes:
        host.model(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pictures, use_cache=False)
    return torch.cat([p.before for p in passes]), torch.cat([p.after for p in passes]), log


def _routing(records: list[pa.RoutingRecord]) -> dict[str, Any] | None:
    if not records or records[0].weights.shape[-1] == 1:
        return None
    statistics = RoutingStatistics.of(records)
    largest = torch.tensor(float(min(len(CODES), statistics.num_experts))).log().item()
    information = statistics.language_information or 0.0
    return {
        "weights": [[round(w, 4) for w in statistics.by_language[code]] for code in CODES],
        "entropy": round(statistics.entropy, 4),
        "language_information": round(information, 4),
        "language_information_share": round(information / largest, 4),
        "collapse": statistics.collapse,
    }
