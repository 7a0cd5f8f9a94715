"""The work behind ``parrot evaluate``: ask a model every question that has no answer yet, then score them all."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parrot_adapters.errors import HostError, ParrotError, ParrotWarning, explain, first_line
from parrot_adapters.evaluation.answers.askers import Asker, OptionAsker, ReplyAsker
from parrot_adapters.evaluation.answers.batching import batches, prefetched, spread
from parrot_adapters.evaluation.answers.evaluation_config import EvaluationConfig
from parrot_adapters.evaluation.answers.failed_answers import answer_batch, answer_or_name, where
from parrot_adapters.evaluation.answers.host_protocol import Answer
from parrot_adapters.evaluation.answers.open_questions import open_questions
from parrot_adapters.evaluation.answers.processes import this_process, wait_for_others
from parrot_adapters.evaluation.answers.store import AnswerStore, answer_key
from parrot_adapters.evaluation.benchmark.questions import Question, limited, load_questions, load_subsets
from parrot_adapters.evaluation.benchmark.subsets import Subset, named
from parrot_adapters.evaluation.benchmark.tasks import OPEN
from parrot_adapters.hosts.host_failures import failures_named, host_says
from parrot_adapters.hosts.key_value_cache import NoCacheError

__all__ = ["Evaluation", "evaluate", "load_host_of"]

CHECKED = 4
"""Rows on which batches are compared with one by one: the longest, the shortest, and two between."""
COMPARED = 2
"""Texts of a question that are computed with their whole prompt, for that check: its longest and its last."""
UNKNOWN = 0.1
"""Share of unknown tokens in the options of a language from which on it is said."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """What a run has asked and was told."""

    config: EvaluationConfig
    subsets: Mapping[str, Subset]
    """By language, only the rows asked for."""
    questions: Sequence[Question]
    answers: Sequence[Answer]
    """One for each question."""
    host: Mapping[str, Any]
    """The host's identity."""
    made: int
    """How many answers this process made; the others were on disk."""
    batch_size: int
    """As used: 1 where batches changed answers."""


def evaluate(config: EvaluationConfig, *, host: Any = None, progress: Progress | None = None) -> Evaluation | None:
    """Ask and collect.

    Args:
        config: what to ask whom.
        host: a loaded host in place of ``config.model``.
        progress: told how many questions are done, of how many.

    Returns:
        the finished run; None in a process that is not the first of several.

    Raises:
        ParrotError: the data, the model or the directory of results cannot be used. Answers so far stay on disk.
    """
    if config.detector is not None:
        from parrot_adapters.evaluation.matching.plain_text_detector import text_detector

        text_detector(config.detector)  # one that does not exist is better missed now than after the last answer
    benchmark = config.source
    subsets = load_subsets(config, benchmark)
    subsets = {
        code: replace(subset, rows=tuple(limited(subset.rows, config.limit))) for code, subset in subsets.items()
    }
    questions = load_questions(subsets, benchmark, config.prompt_style)
    if config.task in OPEN:
        questions = open_questions(config.task, questions, benchmark.name, config.prompt_style)
    process = this_process()
    with AnswerStore(Path(config.out) / process.file) as store:
        if store.unreadable:
            message = f"{store.path}: {store.unreadable} lines cannot be read (a crash?); those answers are made again"
            warnings.warn(message, ParrotWarning, stacklevel=2)
        host = host or load_host_of(config)
        _warn_of_unknown_text(host, questions)
        _warn_of_signs(host, questions)
        settings = config.answer_settings()
        keys = [answer_key(question, _rendered(host, question), host.identity, settings) for question in questions]
        mine = [(q, key) for q, key in zip(questions, keys, strict=True) if process.owns(key)]
        pending = [(question, key) for question, key in mine if key not in store.found]
        size = _ask(config, host, pending, store, progress, len(mine)) if pending else config.batch_size
        if process.rank:
            return None
        wait_for_others(store, keys)
        answers = [store.found[key] for key in keys]
    return Evaluation(config, subsets, questions, answers, dict(host.identity), len(pending), size)


def _rendered(host: Any, question: Question) -> str:
    with failures_named(HostError, "the host's chat format refuses a question.", {"row": where(question)}):
        return str(host.render(question.prompt, len(question.picture_hashes)))


def _warn_of_unknown_text(host: Any, questions: Sequence[Question]) -> None:
    """A tokenizer without a script makes names of it alike; scores there say nothing about the model's languages."""
    share_of = getattr(host, "unknown_share", None)
    if share_of is None:  # a host of one's own need not know
        return
    by_subset: dict[str, set[str]] = {}
    for question in questions:
        by_subset.setdefault(question.subset, set()).update(question.options.values())
    found = {name: share_of(sorted(texts)) for name, texts in by_subset.items()}
    if shown := [f"{name} {share:.0%}" for name, share in found.items() if share >= UNKNOWN]:
        warnings.warn(
            f"the tokenizer has no tokens for much of the options' text in {', '.join(shown)}: texts that differ only "
            "there are one to this model",
            ParrotWarning,
            stacklevel=3,
        )


def _warn_of_signs(host: Any, questions: Sequence[Question]) -> None:
    """A question about ``<image>`` must not show a picture: it is asked as text, and that is said."""
    as_text = getattr(host, "as_text", None)
    if as_text is None:  # a host of one's own need not know
        return
    if rows := [f"{q.subset} {q.index}" for q in questions if as_text(q.prompt) != q.prompt]:
        warnings.warn(
            f"{len(rows)} questions contain signs of the model's own, such as <image>; they are asked with a space in "
            f"them, as text: {named(rows)}",
            ParrotWarning,
            stacklevel=3,
        )


def _ask(
    config: EvaluationConfig,
    host: Any,
    pending: Sequence[tuple[Question, str]],
    store: AnswerStore,
    progress: Progress | None,
    total: int,
) -> int:
    lengths = host.lengths([question for question, _ in pending])
    by_length = [pending[i] for i in sorted(range(len(pending)), key=lambda i: -lengths[i])]
    asker: Asker
    known: dict[str, Answer] = {}
    if config.scoring == "loglik":
        asker = _option_asker(host, by_length, known)
    else:
        asker = ReplyAsker(host, config.max_new_tokens)
    size, checked = config.batch_size, list[Answer]()
    if size > 1 and len(pending) > 1:
        size, checked = _checked_size(asker, by_length, size, known)
    store.add(checked)
    done = total - len(pending) + len(checked)
    answered = {answer.key for answer in checked}
    left = [i for i, (_, key) in enumerate(pending) if key not in answered]
    kinds = [len(pending[i][0].picture_hashes) for i in left]
    shared = [pending[i][0].picture_hashes for i in left] if config.scoring == "loglik" else None
    planned = batches([pending[i] for i in left], [lengths[i] for i in left], size, kinds, shared)
    if progress:
        progress(done, total)
    for batch, encoded in prefetched(planned, lambda batch: asker.encode([q for q, _ in batch])):
        store.add(answer_or_name(asker, batch, encoded))
        done += len(batch)
        if progress:
            progress(done, total)
    return size


def _checked_size(
    asker: Asker, pending: Sequence[tuple[Question, str]], size: int, known: Mapping[str, Answer]
) -> tuple[int, list[Answer]]:
    """The batch size to use, and the answers made on the way, which were asked one by one.

    Args:
        asker: asks.
        pending: questions with their keys, longest first.
        size: of a batch, as was asked for.
        known: answers by key that this asker has given before, one by one.
    """
    kind = len(pending[0][0].picture_hashes)
    sample = _sample([pair for pair in pending if len(pair[0].picture_hashes) == kind], min(CHECKED, size))
    alone = [known[pair[1]] if pair[1] in known else answer_or_name(asker, [pair])[0] for pair in sample]
    try:
        together = answer_batch(asker, sample)
    except ParrotError:
        raise
    except Exception as error:  # whatever keeps a host from batches; alone it has just worked
        reason = host_says(error)
    else:
        differ = [a for a, b in zip(alone, together, strict=True) if not asker.same(a, b)]
        if not differ:
            return size, alone
        rows = ", ".join(f"{answer.lang} {answer.index}" for answer in differ)
        reason = f"answers differ for {len(differ)} of {len(sample)} rows ({rows})"
    warnings.warn(
        f"this host does not answer in batches as one by one, so it is asked one by one: {reason}",
        ParrotWarning,
        stacklevel=4,
    )
    return 1, alone


def _sample(pending: Sequence[tuple[Question, str]], count: int) -> list[tuple[Question, str]]:
    """Questions from the longest to the shortest, half of them with another one about the same picture, if any is."""
    sample = spread(pending, count)
    for pair in sample[: count // 2]:
        others = [one for one in pending if one[0].picture_hashes == pair[0].picture_hashes and one not in sample]
        alone = [one for one in sample[1:-1] if one[0].picture_hashes != pair[0].picture_hashes]
        if pair[0].picture_hashes and others and alone:
            sample[sample.index(alone[-1])] = others[0]
    return sample


def _option_asker(
    host: Any, pending: Sequence[tuple[Question, str]], known: dict[str, Answer] | None = None
) -> OptionAsker:
    """With options packed, or a prompt's cache shared by them, if that gives what whole prompts give; else as
    ``generate`` says.

    Args:
        host: the model.
        pending: questions with their keys, longest first.
        known: gets the answers that the way which is taken gave, by key.

    Raises:
        HostError: no way gives what ``generate`` gives.
    """
    from parrot_adapters.evaluation.answers.option_scorer import OptionScorer

    known = {} if known is None else known
    whole = OptionAsker(host, OptionScorer(host, shared=False, texts=COMPARED))
    packed, shared = (OptionAsker(host, OptionScorer(host, packed=packed)) for packed in (True, False))
    sample = [pair for pair in spread(pending, 2) if pair[0].options]
    expected = [answer_or_name(whole, [pair])[0] for pair in sample]
    if (unpacked := _differs(packed, sample, expected, known)) is None:
        return packed
    if (reason := _differs(shared, sample, expected, known)) is None:
        message = f"this host cannot have its options packed into one row, so each has its own: {unpacked}"
        warnings.warn(message, ParrotWarning, stacklevel=4)
        return shared
    if all(_as_generated(whole, pair) for pair in sample):
        message = f"this host cannot share a prompt among its options, so each is computed whole: {reason}"
        warnings.warn(message, ParrotWarning, stacklevel=4)
        return OptionAsker(host, OptionScorer(host, shared=False))
    if all(_as_generated(shared, pair) for pair in sample):
        message = "this host reads an answer behind its prompt otherwise than generate does, so prompts are kept apart"
        warnings.warn(message, ParrotWarning, stacklevel=4)
        return shared
    raise HostError(
        explain(
            "options cannot be scored by log-likelihood: no way to it gives what this host's generate gives.",
            because=reason,
            to_do="evaluate it with --scoring generate",
        )
    )


def _differs(
    asker: OptionAsker, sample: Sequence[tuple[Question, str]], expected: Sequence[Answer], known: dict[str, Answer]
) -> str | None:
    """Why a way to score options cannot be taken; None if it gives what is expected, and then its answers are known."""
    try:
        given = [answer_batch(asker, [pair])[0] for pair in sample]
    except NoCacheError as error:
        return first_line(error)
    except ParrotError:
        raise
    except Exception as error:  # a cache we cannot take rows of, a forward without positions, ...
        return f"it fails then ({host_says(error)})"
    if not all(asker.same(one, other) for one, other in zip(expected, given, strict=True)):
        return "its log-likelihoods differ from those of whole prompts"
    known.update((answer.key, answer) for answer in given)
    return None


def _as_generated(asker: OptionAsker, pair: tuple[Question, str]) -> bool:
    """Does it find an option as likely as ``generate`` does, which is made to write it?"""
    with failures_named(HostError, "the host fails at a question.", {"row": where(pair[0])}):
        letter, expected = asker.scorer.as_generated(pair[0])
    try:
        [answer] = answer_batch(asker, [pair])
    except ParrotError:
        raise
    except Exception:  # said by our caller, which saw it first
        return False
    return answer.scores is not None and abs(answer.scores["text"][letter] - expected) <= asker.tolerance


def load_host_of(config: EvaluationConfig) -> Any:
    """The host that a run asks, with its adapter.

    Args:
        config: Configuration of the run.

    Raises:
        ConfigError: The model cannot be loaded.
    """
    from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost

    return EvaluationHost.load(
        config.model,
        adapter=config.adapter,
        dtype=config.dtype,
        device=config.device,
        processor=config.processor,
    )
