"""Log-likelihoods of a question's options given picture and prompt, the prompt computed once for all of them.

R rows (questions)   P pairs (row, candidate)   S prompt tokens, padded on the left   L candidate tokens   V vocabulary

The fastest path computes what prompts share once, and all that differs in one pass (``packed_options.py``). The next
runs each prompt once, keeps its key-value cache, and appends every candidate to a copy of it. The slow path runs prompt
and candidate together, one question at a time and nothing padded before the prompt; it is what the others are checked
against.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.core.types import IGNORED
from parrot_adapters.errors import HostError, explain
from parrot_adapters.evaluation.answers.host_protocol import Answer
from parrot_adapters.evaluation.answers.packed_options import PackedOptions
from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost, Inputs
from parrot_adapters.evaluation.benchmark.questions import Question
from parrot_adapters.hosts.called_prompts import generation_arguments
from parrot_adapters.hosts.encoder_decoder import has_decoder_of_its_own
from parrot_adapters.hosts.key_value_cache import cache_argument, cache_rows, made_cache

__all__ = ["OptionScorer"]

Ids = tuple[int, ...]
PREFIX_HOSTS = frozenset(["paligemma"])
"""Every word of their prompt sees every other one; token type 1 marks what follows and sees only what is before it."""
PAIRS_PER_ROW = 4
"""Pairs in one pass of the fast path, for each row of the batch: about what MMMB has in multi-token options."""


class OptionScorer:
    """Scores options with a host.

    Args:
        host: the model.
        shared: compute a prompt once for all its options.
        packed: pack all options of a batch, and share what its prompts share; only where ``shared``. Hosts whose
            prompts cannot be cut are scored without.
        texts: most texts of a question that are scored, the longest and then the last; None for all. For a look: what
            is left out is in no score.

    Raises:
        HostError: the host writes in a decoder of its own.
    """

    def __init__(
        self, host: EvaluationHost, *, shared: bool = True, packed: bool = True, texts: int | None = None
    ) -> None:
        self.host, self.shared, self.texts = host, shared, texts
        config = getattr(host.model, "config", None)
        kind = getattr(config, "model_type", None)
        if has_decoder_of_its_own(config):
            raise HostError(
                explain(
                    "options cannot be scored behind the prompt: this host writes in a decoder of its own.",
                    host=f"model_type {kind!r}",
                    to_do="evaluate it with --scoring generate",
                )
            )
        self.packed = PackedOptions(host) if shared and packed and kind not in PREFIX_HOSTS else None
        self._known: dict[str, Ids] = {}
        self._tail: str | None = None

    def encode(self, asked: Sequence[Question]) -> Inputs:
        """A batch as :meth:`score` takes it; runs in another thread than the model."""
        return self.host.encode(asked) if self.packed is None else self.packed.encode(asked)

    @torch.inference_mode()
    def score(self, asked: Sequence[Question], inputs: Inputs) -> list[Answer]:
        """The log-likelihoods of every question's options.

        Args:
            asked: the questions of the batch.
            inputs: the batch, as :meth:`encode` or :meth:`EvaluationHost.encode` made it.

        Raises:
            HostError: the host gives no finite numbers, or an option has no tokens.
        """
        letters = [{letter: self.ids(letter) for letter in question.options} for question in asked]
        texts = [self._chosen({k: self.ids(v, question) for k, v in question.options.items()}) for question in asked]
        wanted = [
            list(dict.fromkeys([*by_letter.values(), *by_text.values()]))
            for by_letter, by_text in zip(letters, texts, strict=True)
        ]
        found: list[dict[Ids, float]] | None = None
        routing: list[list[float] | None] = []
        for way in (self._packed, self._by_cache) if self.shared else ():
            if found is None:
                with self.host.watched(inputs) as log:
                    found = way(asked, inputs, wanted)
                    routing = log.rows(len(asked))
        if found is None:
            found, routing = self._by_whole_prompts(asked, wanted)
        _require_finite(found)
        return [
            Answer(
                None,
                routing=routed,
                scores={
                    "letter": {letter: values[ids] for letter, ids in by_letter.items()},
                    "text": {letter: values[ids] for letter, ids in by_text.items()},
                    "tokens": {letter: float(len(ids)) for letter, ids in by_text.items()},
                },
            )
            for values, by_letter, by_text, routed in zip(found, letters, texts, routing, strict=True)
        ]

    @torch.inference_mode()
    def as_generated(self, question: Question) -> tuple[str, float]:
        """What ``generate`` finds when it is made to write an option: the judge where the two paths differ.

        Returns:
            the letter of the option with most tokens, and the log-likelihood of its text.
        """
        letter = max(question.options, key=lambda option: len(self.ids(question.options[option], question)))
        ids = self.ids(question.options[letter], question)
        forced = iter(ids)
        inputs = self.host.encode([question])
        with self.host.watched(inputs):
            made = self.host.model.generate(
                **generation_arguments(self.host.model, self.host.on_device(inputs.tensors)),
                max_new_tokens=len(ids),
                min_new_tokens=len(ids),
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=self.host.tokenizer.pad_token_id,
                prefix_allowed_tokens_fn=lambda row, so_far: [next(forced)],
                output_logits=True,  # before anything is forced
                return_dict_in_generate=True,
            )
        steps = zip(ids, made.logits, strict=True)
        return letter, sum(logits[0].float().log_softmax(-1)[token].item() for token, logits in steps)

    def ids(self, text: str, question: Question | None = None) -> Ids:
        """The tokens of an answer as they follow the prompt: a space before it where the template leaves none.

        Raises:
            HostError: there are none.
        """
        text = self.host.as_text(text)
        if text not in self._known:
            tail = self._after_prompt()
            before = list(self._tokens(tail)) if tail else []
            joined = list(self._tokens(tail + self._separator(tail) + text)) if tail else []
            stands = len(joined) > len(before) and joined[: len(before)] == before
            ids = joined[len(before) :] if stands else list(self._tokens(text))
            if not ids:
                where = f"{question.subset} {question.index}" if question else None
                raise HostError(explain(f"the tokenizer has no tokens for the option {text!r}.", row=where))
            self._known[text] = tuple(ids)
        return self._known[text]

    def _chosen(self, texts: dict[str, Ids]) -> dict[str, Ids]:
        if self.texts is None:
            return texts
        order = sorted(texts, key=lambda letter: len(texts[letter]), reverse=True)
        kept = dict.fromkeys([*order[:1], *reversed(texts)])
        return {letter: texts[letter] for letter in list(kept)[: self.texts]}

    # --- fast ---------------------------------------------------------------------------------------------------

    def _packed(
        self, asked: Sequence[Question], inputs: Inputs, wanted: Sequence[Sequence[Ids]]
    ) -> list[dict[Ids, float]] | None:
        return None if self.packed is None else self.packed.score(asked, inputs, wanted)

    def _by_cache(
        self, asked: Sequence[Question], inputs: Inputs, wanted: Sequence[Sequence[Ids]]
    ) -> list[dict[Ids, float]] | None:
        tensors = self.host.on_device(inputs.tensors)
        mask = tensors["attention_mask"]  # (R, S)
        shifts = self._mrope
        first = {} if shifts else {"position_ids": _positions(mask)}
        out = self._forward(**tensors, **first, use_cache=True, last_only=True)
        if not shifts and made_cache(out).get_seq_length() != mask.shape[1]:
            return None  # the host put pictures into the prompt itself, so the mask is another
        opening = out.logits[:, -1].float().log_softmax(-1)  # (R, V)
        found = [{ids: opening[row, ids[0]].item() for ids in candidates} for row, candidates in enumerate(wanted)]
        deltas = self._base.rope_deltas if shifts else None  # (R, 1)
        longer = [(row, ids) for row, candidates in enumerate(wanted) for ids in candidates if len(ids) > 1]
        longer.sort(key=lambda pair: len(pair[1]))
        step = PAIRS_PER_ROW * len(wanted)
        for start in range(0, len(longer), step):
            pairs = longer[start : start + step]
            rows = torch.tensor([row for row, _ in pairs], device=mask.device)
            tokens, kept = _right_padded([ids for _, ids in pairs], mask.device)  # (P, L)
            whole = torch.cat([mask[rows], kept[:, :-1]], 1)
            places = _positions(whole)[:, mask.shape[1] :]
            if deltas is not None:
                places = (places + deltas.to(places.device)[rows]).expand(3, -1, -1)
            logits = self._forward(
                input_ids=tokens[:, :-1],
                attention_mask=whole,
                position_ids=places,
                use_cache=True,
                **{cache_argument(self.host.model.forward): cache_rows(made_cache(out), rows)},
            ).logits
            for (row, ids), value in zip(pairs, _summed(logits, tokens[:, 1:], kept[:, 1:]), strict=True):
                found[row][ids] += value
        return found

    @property
    def _base(self) -> Any:
        return getattr(self.host.model, "model", self.host.model)

    @property
    def _mrope(self) -> bool:
        """Hosts with positions in three dimensions find those of the prompt themselves."""
        return hasattr(self._base, "rope_deltas")

    @property
    def _answer_type(self) -> int:
        """The token type of an answer: that of text, 0, but where 0 means "of the prompt, which sees itself whole"."""
        return int(self.host.model.config.model_type in PREFIX_HOSTS)

    def _forward(self, *, last_only: bool = False, **arguments: Any) -> Any:
        known = inspect.signature(self.host.model.forward).parameters
        if last_only and "logits_to_keep" in known:
            arguments["logits_to_keep"] = 1
        return self.host.model(**arguments)

    # --- slow ---------------------------------------------------------------------------------------------------

    def _by_whole_prompts(
        self, asked: Sequence[Question], wanted: Sequence[Sequence[Ids]]
    ) -> tuple[list[dict[Ids, float]], list[list[float] | None]]:
        found: list[dict[Ids, float]] = []
        routing: list[list[float] | None] = []
        for question, candidates in zip(asked, wanted, strict=True):
            values: dict[Ids, float] = {}
            routed: list[float] | None = None
            short, longer = ([ids for ids in candidates if (len(ids) > 1) is long] for long in (False, True))
            for ids in longer or short[:1]:  # one by one: hosts without masks for padding exist
                inputs = self.host.encode([question])
                tensors = self.host.on_device(inputs.tensors)
                tokens, kept = _right_padded([ids], tensors["input_ids"].device)
                with self.host.watched(inputs) as log:
                    extended = _extended(tensors, tokens, kept, self._answer_type)
                    if self.host.adapter is not None:  # labels say where the prompt ends: no router reads the answer
                        extended["labels"] = _answer_labels(extended["input_ids"], tokens)
                    logits = self._forward(use_cache=False, **extended).logits
                routed = log.rows(1)[0]
                answered = logits[:, -len(ids) - 1 : -1]  # counted from the end: some hosts put pictures in later
                [values[ids]] = _summed(answered, tokens, kept)
                if len(values) == 1:  # a candidate of one token is as likely before whatever else follows
                    opening = answered[0, 0].float().log_softmax(-1)
                    values |= {one: opening[one[0]].item() for one in short}
            found.append(values)
            routing.append(routed)
        return found, routing

    # --- tokens -------------------------------------------------------------------------------------------------

    def _after_prompt(self) -> str:
        """What the template writes between the user's words and the answer."""
        if self._tail is None:
            probe = "parrot probe"
            rendered = self.host.render(probe, 0)
            self._tail = rendered[rendered.rfind(probe) + len(probe) :] if probe in rendered else ""
        return self._tail

    def _separator(self, tail: str) -> str:
        specials = self.host.tokenizer.all_special_tokens
        return "" if tail[-1].isspace() or any(tail.endswith(special) for special in specials) else " "

    def _tokens(self, text: str) -> list[int]:
        return self.host.tokenize(text)


def _positions(mask: Tensor) -> Tensor:
    """Each token's place in its row, padding not counted: what ``generate`` uses."""
    return (mask.long().cumsum(-1) - 1).clamp(min=0)


def _right_padded(candidates: Sequence[Ids], device: torch.device) -> tuple[Tensor, Tensor]:
    longest = max(map(len, candidates))
    tokens = [[*ids, *[0] * (longest - len(ids))] for ids in candidates]
    kept = [[1] * len(ids) + [0] * (longest - len(ids)) for ids in candidates]
    return torch.tensor(tokens, device=device), torch.tensor(kept, device=device)


def _extended(tensors: dict[str, Tensor], tokens: Tensor, kept: Tensor, answer_type: int) -> dict[str, Any]:
    """The inputs of a prompt with an answer behind it, every token of which has the type ``answer_type``."""
    length = tensors["input_ids"].shape[1]
    added = {"input_ids": tokens, "attention_mask": kept}
    by_token = {}
    for name, value in tensors.items():
        of_tokens = name.endswith(("token_type_ids", "position_mask")) and value.shape[1:] == (length,)
        if name in added or of_tokens:
            fill = answer_type if name.endswith("token_type_ids") else 0  # no picture stands in an answer
            behind = added.get(name, torch.full_like(tokens, fill))
            by_token[name] = torch.cat([value, behind.to(value.dtype)], 1)
    return tensors | by_token


def _answer_labels(ids: Tensor, answer: Tensor) -> Tensor:
    """(1, S) labels of a prompt with an answer behind it: of the answer alone."""
    labels = torch.full_like(ids, IGNORED)
    labels[:, -answer.shape[1] :] = answer
    return labels


def _summed(logits: Tensor, targets: Tensor, kept: Tensor) -> list[float]:
    likelihood = logits.float().log_softmax(-1).gather(-1, targets[..., None]).squeeze(-1)  # (P, L)
    return (likelihood * kept).sum(-1).tolist()


def _require_finite(found: list[dict[Ids, float]]) -> None:
    if not all(torch.isfinite(torch.tensor(list(values.values()))).all() for values in found):
        raise HostError(
            explain("the model's log-likelihoods are not finite numbers.", to_do="try --dtype float32 or bfloat16")
        )
