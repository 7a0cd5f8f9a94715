"""How well a host answers, in every language, about pictures by an artist it never saw.

Two measures on the same pictures:

* choice: of four names of one category, the right one has the highest mean log-likelihood per token (chance .25);
* naming: greedy `generate`; is the answer exactly the name, is it *some* name in the asked language, or in English?

Both are kept apart for *seen* concepts (drawn by the training artist in training) and *held-out* concepts (in no
picture of any training; the text model knows their names).

    Q  questions    P  tokens of the prompt    A  tokens of the longest answer    D  width
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .batches import IGNORE
from .concepts import Concept, Split
from .declared import declared
from .languages import CODES, ENGLISH
from .questions import Question
from .tokenizer import Vocabulary

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration

__all__ = ["Answer", "evaluate", "languages_of"]

Progress = Callable[[int, int], None]  # (languages done, languages in all)


@dataclass(frozen=True)
class Answer:
    """What a host answered to one question in one language."""

    concept: int
    split: Split
    language: str
    scores: tuple[float, ...]  # mean log-likelihood per token of each option
    chosen: int  # the best option's place
    choice: bool  # ... is the right one
    text: str  # the free answer
    naming: bool  # ... is exactly the name
    in_language: bool  # ... is some concept's name in the asked language
    in_english: bool  # ... is some concept's name in English, and none in the asked language

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


@torch.inference_mode()
def evaluate(
    host: LlavaForConditionalGeneration,
    concepts: Sequence[Concept],
    pictures: Tensor,
    questions: Sequence[Question],
    vocabulary: Vocabulary,
    *,
    batch_size: int = 128,
    progress: Progress | None = None,
) -> list[Answer]:
    """Ask every question in every language.

    Args:
        host: attached or not.
        concepts: all concepts; their names are what counts as a name.
        pictures: (K, V, C) features, or (K, 3, P, P) pixels, of all concepts.
        questions: what to ask.
        vocabulary: token ids.
        batch_size: questions at once.
        progress: told after every language.
    """
    visual_tokens = host.config.image_seq_length
    answers = []
    for done, language in enumerate(CODES):
        names, english = languages_of(concepts, language), languages_of(concepts, ENGLISH)
        for start in range(0, len(questions), batch_size):
            asked = questions[start : start + batch_size]
            shown = pictures[[question.concept for question in asked]].float().to(host.device)  # (Q, V, C)
            scores = _option_scores(host, concepts, asked, shown, language, vocabulary, visual_tokens)
            with declared(host, [language] * len(asked)):
                texts = _name(host, shown, language, vocabulary, visual_tokens)
            for question, score, text in zip(asked, scores.tolist(), texts, strict=True):
                concept = concepts[question.concept]
                chosen = max(range(len(score)), key=score.__getitem__)
                answers.append(
                    Answer(
                        concept=question.concept,
                        split=concept.split,
                        language=language,
                        scores=tuple(round(value, 4) for value in score),
                        chosen=chosen,
                        choice=chosen == question.answer,
                        text=text,
                        naming=text == concept.names[language],
                        in_language=text in names,
                        in_english=language != ENGLISH and text in english and text not in names,
                    )
                )
        if progress:
            progress(done + 1, len(CODES))
    return answers


def languages_of(concepts: Sequence[Concept], language: str) -> frozenset[str]:
    """Every name in a language."""
    return frozenset(concept.names[language] for concept in concepts)


def _option_scores(
    host: LlavaForConditionalGeneration,
    concepts: Sequence[Concept],
    asked: Sequence[Question],
    shown: Tensor,
    language: str,
    vocabulary: Vocabulary,
    visual_tokens: int,
) -> Tensor:
    """Mean log-likelihood per token of each option, (Q, 4). The four share their question, which is read once."""
    options = len(asked[0].options)
    prompt = torch.tensor([vocabulary.prompt(language, visual_tokens)] * len(asked)).to(host.device)  # (Q, P)
    with declared(host, [language] * len(asked)):
        read = host.model(input_ids=prompt, attention_mask=torch.ones_like(prompt), pixel_values=shown, use_cache=True)
    name = "cache" if "cache" in read else "past_key_values"  # before transformers 5.24
    read[name].batch_repeat_interleave(options)

    answers = [
        torch.tensor([*vocabulary.name(concepts[option].names[language]), vocabulary.eos])
        for question in asked
        for option in question.options
    ]
    targets = pad_sequence(answers, batch_first=True, padding_value=IGNORE).to(host.device)  # (Q * 4, A)
    answered = targets != IGNORE
    mask = torch.cat([torch.ones(len(targets), prompt.shape[1]).to(answered), answered], 1).long()
    with declared(host, [language] * len(targets)):
        written = host.model(
            input_ids=targets.where(answered, vocabulary.pad), attention_mask=mask, **{name: read[name]}
        ).last_hidden_state
    first = read.last_hidden_state[:, -1:].repeat_interleave(options, 0)  # what predicts each answer's first token
    hidden = torch.cat([first, written[:, :-1]], 1)  # (Q * 4, A, D)
    with torch.autocast(host.device.type, enabled=False):  # options differ by less than half precision can tell
        logits = host.lm_head(hidden[answered].float())
    likelihood = torch.zeros(targets.shape, device=host.device)
    likelihood[answered] = -torch.nn.functional.cross_entropy(logits, targets[answered], reduction="none")
    return (likelihood.sum(1) / answered.sum(1)).unflatten(0, (-1, options))


def _name(
    host: LlavaForConditionalGeneration, shown: Tensor, language: str, vocabulary: Vocabulary, visual_tokens: int
) -> list[str]:
    """Free answers, greedy."""
    prompt = torch.tensor([vocabulary.prompt(language, visual_tokens)] * len(shown)).to(host.device)
    generated = host.generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        pixel_values=shown,
        max_new_tokens=20,
        do_sample=False,
    )
    return [vocabulary.decode(ids) for ids in generated[:, prompt.shape[1] :].tolist()]
