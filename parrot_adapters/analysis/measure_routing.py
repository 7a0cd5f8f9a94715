"""How a host's adapter routes some prompts on average, measured by running it."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from parrot_adapters.analysis.asked_picture import asked_picture
from parrot_adapters.core.evaluation_mode import evaluation_mode
from parrot_adapters.core.routing_statistics import RoutingStatistics, Tally
from parrot_adapters.errors import ConfigError, HostError, MissingDependencyError, ParrotWarning, explain
from parrot_adapters.hosts.host_failures import failures_named
from parrot_adapters.hosts.picture_text import picture_text

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment
    from parrot_adapters.core.routing_record import RoutingRecord
    from parrot_adapters.evaluation.benchmark.questions import Question

__all__ = ["measure_prompts", "measure_questions", "measure_routing", "measure_samples"]

Progress = Callable[[int, int], object]

GREY = (128, 128, 128)
SIDE = 336


def measure_routing(
    model: str | Path,
    adapter: str | Path,
    prompts: Sequence[str],
    *,
    images: Sequence[str | Path] = (),
    language: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """Average the routing weights over prompts.

    Args:
        model: the host's directory, with its processor.
        adapter: the adapter's directory.
        prompts: user turns, as plain text.
        images: pictures to ask about, each with each prompt; none takes a grey one.
        language: declared for every prompt, for routers that read languages.
        device: where the host runs; ``auto`` takes an accelerator if there is one.
        progress: told how many prompts are done, of how many.

    Returns:
        (E,) the mean, and (E,) the standard deviation over images and prompts: how much freezing gives away.

    Raises:
        HostError: nothing was routed.
        ConfigError: the router goes by language alone, so there is nothing to measure.
    """
    rows = [record.weights.mean(0) for record in _records(model, adapter, prompts, images, language, device, progress)]
    measured = torch.stack(rows)  # (images * prompts, E)
    return measured.mean(0), measured.std(0, correction=0)


def measure_prompts(
    model: str | Path,
    adapter: str | Path,
    prompts: Sequence[str],
    *,
    images: Sequence[str | Path] = (),
    language: str,
    device: str = "auto",
    progress: Progress | None = None,
) -> RoutingStatistics:
    """As :func:`measure_routing`, as statistics that :func:`parrot_adapters.write_language_routing` keeps."""
    return RoutingStatistics.of(_records(model, adapter, prompts, images, language, device, progress))


@torch.no_grad()
def measure_questions(
    model: str,
    adapter: str,
    questions: Sequence[Question],
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> RoutingStatistics:
    """Statistics of the routing of a benchmark's questions, each declared in its language.

    Args:
        model: the host's directory, with its processor.
        adapter: the adapter's directory.
        questions: in as many languages as there are.
        device: where the host runs; ``auto`` takes an accelerator if there is one.
        progress: told how many questions are done, of how many.

    Raises:
        HostError: nothing was routed.
        ConfigError: the router goes by language alone, so there is nothing to measure.
    """
    from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost

    host, tally = EvaluationHost.load(model, adapter=adapter, device=device), Tally()
    _require_prompts_read(host.adapter)
    for number, question in enumerate(questions, 1):
        encoded = host.encode([question])
        named = failures_named(
            HostError, "the host fails at a question.", {"row": f"{question.subset} {question.index}"}
        )
        with named, host.adapter.languages([question.language]), host.adapter.record_routing() as log:
            host.model(**host.on_device(encoded.tensors))
        for record in log:
            tally.add(record)
        if progress is not None:
            progress(number, len(questions))
    if not sum(tally.counts.values()):
        raise HostError("no image was routed; do the benchmark's questions have pictures?")
    return tally.statistics()


@torch.no_grad()
def measure_samples(
    handle: Attachment, samples: Iterable[Any], collator: Callable[[list[Any]], dict[str, Any]]
) -> RoutingStatistics | None:
    """Statistics of the routing of training samples, as they are routed in training and inference alike.

    One at a time, so that none is padded and none needs more memory than it did in training.

    Args:
        handle: an attached host. Its mode is as before afterwards.
        samples: what the collator takes.
        collator: samples -> the host's arguments, with their languages under ``parrot_languages``.

    Returns:
        None if nothing was routed.
    """
    model, tally = handle.model, Tally()
    with evaluation_mode(model):
        for sample in samples:
            batch = collator([sample])
            languages = batch.get("parrot_languages") or [None]
            given = {name: _moved(value, model) for name, value in batch.items() if not name.startswith("parrot_")}
            whose = ", ".join(batch.get("parrot_identities", ())) or None
            named = failures_named(HostError, "the host fails at a sample.", {"sample": whose})
            with named, handle.languages(languages), handle.record_routing() as log:
                model(**given)
            for record in log:
                tally.add(record)
    return tally.statistics() if sum(tally.counts.values()) else None


def _moved(value: Any, model: Any) -> Any:
    """Tensors where the model is and, if they are floating, in its dtype; in lists too."""
    if isinstance(value, list | tuple):
        return [_moved(one, model) for one in value]
    if not isinstance(value, Tensor):
        return value
    return value.to(model.device, model.dtype if value.is_floating_point() else value.dtype)


def _records(
    model: str | Path,
    adapter: str | Path,
    prompts: Sequence[str],
    images: Sequence[str | Path],
    language: str | None,
    device: str,
    progress: Progress | None,
) -> list[RoutingRecord]:
    """What was routed for each prompt about each picture."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("measuring routing reads pictures\n  to do  pip install pillow") from error
    from parrot_adapters.adapter.load import load_adapter
    from parrot_adapters.hosts.load_host import load_host

    pictures: list[Any] = [asked_picture(path) for path in images]  # before a large host is loaded
    host, processor = load_host(str(model), device=device)
    handle = load_adapter(host, adapter, processor=processor)
    _require_prompts_read(handle)
    asked = list(itertools.product(pictures or [Image.new("RGB", (SIDE, SIDE), GREY)], prompts))
    records: list[RoutingRecord] = []
    for number, (picture, prompt) in enumerate(asked, 1):
        inputs = processor(images=[picture], text=[_asked(processor, prompt)], return_tensors="pt")
        with torch.no_grad(), handle.languages([language]), handle.record_routing() as log:
            host(**{name: _moved(value, host) for name, value in inputs.items()})
        records += log
        if progress is not None:
            progress(number, len(asked))
    if not records:
        raise HostError("no image was routed; does the processor put images into the prompt?")
    return records


def _require_prompts_read(handle: Attachment) -> None:
    if hasattr(handle.require_module().router, "language_weights"):
        raise ConfigError(
            explain(
                f"router {handle.config.router!r} does not read prompts, so there is nothing to measure.",
                to_do="leave out --prompts; its weights for --language are taken as they are",
            )
        )


def _asked(processor: Any, prompt: str) -> str:
    """The prompt with one image, in the host's own chat format."""
    if getattr(processor, "chat_template", None):
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        text: str = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        return text
    warnings.warn("the processor has no chat template; prompts are given bare", ParrotWarning, stacklevel=3)
    return f"{picture_text(processor, 1)}\n{prompt}"
