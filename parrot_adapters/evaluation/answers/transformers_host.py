"""A vision-language model of transformers as the evaluation asks it: questions with pictures in, answers out.

R rows of a batch   S prompt tokens, padded on the left
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor

from parrot_adapters.data.decode_pictures import as_rgb, shown_size
from parrot_adapters.digests import json_digest
from parrot_adapters.errors import MissingDependencyError, explain, first_line
from parrot_adapters.evaluation.answers.host_protocol import Answer
from parrot_adapters.evaluation.benchmark.data_error import EvaluationDataError
from parrot_adapters.evaluation.benchmark.questions import Question
from parrot_adapters.hosts.called_prompts import generation_arguments
from parrot_adapters.hosts.load_host import describe_processor, load_host, plain_config
from parrot_adapters.hosts.picture_text import picture_text
from parrot_adapters.hosts.weight_digests import directory_digest, weights_digest

__all__ = ["EvaluationHost", "Inputs"]


class Inputs(NamedTuple):
    """A batch as the processor made it, still on the CPU."""

    tensors: dict[str, Tensor]
    """``input_ids`` and ``attention_mask`` are (R, S)."""
    languages: tuple[str | None, ...]
    firsts: Inputs | None = None
    """The first question about each picture, where several are about one."""


class EvaluationHost:
    """A model, its processor and perhaps an adapter.

    Args:
        model: with a language-model head; put into eval mode.
        processor: takes ``images`` and ``text``.
        adapter: the handle of an attached adapter, or None.
        identity: what enters a result: digests of host, adapter and processor.
    """

    def __init__(
        self, model: Any, processor: Any, adapter: Any = None, identity: Mapping[str, Any] | None = None
    ) -> None:
        self.model, self.processor, self.adapter = model.eval(), processor, adapter
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.identity = dict(identity or {})
        self._signs = _signs(processor, self.tokenizer)
        self._tokenizing = threading.Lock()  # a tokenizer is one thread's at a time

    @classmethod
    def load(
        cls,
        model: str,
        *,
        adapter: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        processor: Mapping[str, object] | None = None,
    ) -> EvaluationHost:
        """Load a host by directory or Hub name.

        Args:
            model: where host and processor are.
            adapter: an adapter made for it.
            dtype: ``auto`` keeps the checkpoint's.
            device: ``auto`` takes an accelerator if there is one.
            processor: settings of the processor that replace its stored ones, such as ``max_pixels``.

        Raises:
            ConfigError: the model cannot be loaded, or a setting is unknown to its processor.
        """
        if adapter is not None:
            from parrot_adapters.adapter.read_adapter_files import require_adapter

            require_adapter(adapter)  # before a large host is loaded
        host, made = load_host(model, dtype=dtype, device=device, processor_options=processor)
        identity: dict[str, Any] = {
            "name": str(model),
            "architecture": type(host).__name__,
            "weights": weights_digest(host),
            "config": json_digest(plain_config(host.config.to_dict())),
            "generation_config": json_digest(plain_config(host.generation_config.to_dict())),
            "processor": json_digest(describe_processor(made)),
            "dtype": str(host.dtype).removeprefix("torch."),
            "adapter": None,
        }
        handle = None
        if adapter is not None:
            from parrot_adapters.adapter.load import load_adapter

            handle = load_adapter(host, adapter, processor=made)
            identity["adapter"] = {"name": str(adapter), "digest": directory_digest(adapter)}
        return cls(host, made, handle, identity)

    # --- asking ------------------------------------------------------------------------------------------------

    def as_text(self, text: str) -> str:
        """Return a text in which nothing is one of the model's own signs: ``<image>`` asked about is ``< image>``.

        Args:
            text: Prompt or option, as a benchmark has it.
        """
        for sign in self._signs:
            text = text.replace(sign, f"{sign[0]} {sign[1:]}")
        return text

    def render(self, prompt: str, pictures: int) -> str:
        """The prompt in the host's own chat format, pictures first."""
        prompt = self.as_text(prompt)
        if getattr(self.processor, "chat_template", None):
            content = [*[{"type": "image"}] * pictures, {"type": "text", "text": prompt}]
            turns = [{"role": "user", "content": content}]
            return str(self.processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))
        return f"{picture_text(self.processor, pictures)}\n{prompt}"

    def lengths(self, asked: Sequence[Question]) -> list[int]:
        """About how many tokens each prompt has: what batches are ordered by."""
        found = []
        for question in asked:
            sizes = [_size(picture, question) for picture in question.pictures()]
            found.append(len(self.tokenize(question.prompt)) + self._visual(sizes))
        return found

    def encode(self, asked: Sequence[Question]) -> Inputs:
        """Decode the pictures and tokenize. Safe to call from another thread than the model's.

        Raises:
            EvaluationDataError: a picture cannot be decoded, or the processor refuses the batch; the message names
                the rows.
        """
        pictures = [[_decoded(picture, question) for picture in question.pictures()] for question in asked]
        texts = [self.render(question.prompt, len(shown)) for question, shown in zip(asked, pictures, strict=True)]
        bos = self.tokenizer.bos_token
        options: dict[str, Any] = {"text": texts, "padding": True, "return_tensors": "pt"}
        if any(pictures):
            options["images"] = pictures
        if bos and all(text.startswith(bos) for text in texts):
            options["add_special_tokens"] = False  # the template wrote it already
        with self._tokenizing:
            try:
                batch = self.processor(**options)
            except Exception as error:  # whatever a processor raises
                raise EvaluationDataError(
                    explain(
                        f"the host's {type(self.processor).__name__} refuses these questions.",
                        rows=", ".join(f"{question.subset} {question.index}" for question in asked[:4]),
                        because=first_line(error),
                    )
                ) from error
        tensors = {name: value for name, value in batch.items() if isinstance(value, Tensor)}
        return Inputs(tensors, tuple(question.language for question in asked))

    @torch.inference_mode()
    def generate(self, inputs: Inputs, max_new_tokens: int) -> list[Answer]:
        """Greedy replies, and how each row was routed."""
        tensors = self.on_device(inputs.tensors)
        with self.watched(inputs) as log:
            made = self.model.generate(
                **generation_arguments(self.model, tensors),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        new = _written(made, tensors["input_ids"]).tolist()
        stops = self._stops()
        with self._tokenizing:
            texts = self.tokenizer.batch_decode(new, skip_special_tokens=True)
        routing = log.rows(len(new))
        return [
            Answer(text.strip(), not stops.isdisjoint(ids), routed)
            for text, ids, routed in zip(texts, new, routing, strict=True)
        ]

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, nothing added."""
        with self._tokenizing:
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def unknown_share(self, texts: Iterable[str]) -> float:
        """Share of the tokens of some texts that are the unknown one; 0 for tokenizers that fall back to bytes."""
        unknown = getattr(self.tokenizer, "unk_token_id", None)
        ids = [token for text in texts for token in self.tokenize(text)]
        return 0.0 if unknown is None or not ids else ids.count(unknown) / len(ids)

    def on_device(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors where the model is; pixels in its dtype."""
        device, dtype = self.model.device, self.model.dtype
        return {
            name: value.to(device, dtype) if value.is_floating_point() else value.to(device)
            for name, value in tensors.items()
        }

    def watched(self, inputs: Inputs) -> _Watch:
        """A context in which the languages of a batch are declared and its routing is recorded."""
        return _Watch(self.adapter, inputs.languages)

    def _stops(self) -> set[int]:
        ids = self.model.generation_config.eos_token_id
        ids = self.tokenizer.eos_token_id if ids is None else ids
        return set(ids) if isinstance(ids, (list, tuple)) else {ids}

    def _visual(self, sizes: Sequence[tuple[int, int]]) -> int:
        count = getattr(self.processor, "_get_num_multimodal_tokens", None)
        if count is None or not sizes:
            return 0
        try:
            return sum(count(image_sizes=[list(size) for size in sizes]).num_image_tokens)
        except Exception:  # an estimate; any host's own trouble with it is no reason to stop
            return 0


def _written(made: Tensor, prompt: Tensor) -> Tensor:
    """What ``generate`` wrote; hosts that merge a prompt into embeddings themselves do not give the prompt back."""
    size = prompt.shape[1]
    return made[:, size:] if made.shape[1] >= size and torch.equal(made[:, :size], prompt.to(made.device)) else made


class _Watch:
    """Declares languages and reads the routing of one batch; does nothing without an adapter."""

    def __init__(self, adapter: Any, languages: Sequence[str | None]) -> None:
        self._adapter, self._languages = adapter, languages
        self._stack, self._log = ExitStack(), []  # type: ignore[var-annotated]

    def __enter__(self) -> _Watch:
        if self._adapter is not None:
            self._stack.enter_context(self._adapter.languages(list(self._languages)))
            self._log = self._stack.enter_context(self._adapter.record_routing())
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def rows(self, count: int) -> list[list[float] | None]:
        """The mean routing weights of each row, None for a row that saw no picture."""
        totals: list[Tensor | None] = [None] * count
        seen = [0] * count
        for record in self._log:
            owners = record.rows
            if record.unit == "token":
                owners = owners.repeat_interleave(record.offsets[1:] - record.offsets[:-1])
            for weights, row in zip(record.weights.float().cpu(), owners.tolist(), strict=True):
                before = totals[row]
                totals[row] = weights if before is None else before + weights
                seen[row] += 1
        return [
            None if total is None else [round(value, 5) for value in (total / n).tolist()]
            for total, n in zip(totals, seen, strict=True)
        ]


def _signs(processor: Any, tokenizer: Any) -> tuple[str, ...]:
    """Texts that are no text to the model: placeholders of pictures, ends of turns and so on; the longest first."""
    named = [getattr(processor, name, None) for name in ("image_token", "video_token", "boi_token", "eoi_token")]
    special = [*getattr(tokenizer, "all_special_tokens", ()), *named]
    return tuple(sorted({sign for sign in special if isinstance(sign, str) and len(sign) > 2}, key=len, reverse=True))


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("asking about pictures needs Pillow\n  to do  pip install pillow") from error
    return Image


def _size(picture: bytes, question: Question) -> tuple[int, int]:
    with _opened(picture, question) as image:
        return shown_size(image)


def _decoded(picture: bytes, question: Question) -> Any:
    with _opened(picture, question) as image:
        try:
            return as_rgb(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise _unreadable(question, error) from None


def _opened(picture: bytes, question: Question) -> Any:
    try:
        return _pillow().open(io.BytesIO(picture))
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(question, error) from None


def _unreadable(question: Question, error: Exception) -> EvaluationDataError:
    return EvaluationDataError(
        explain("a picture cannot be decoded.", row=f"{question.subset} {question.index}", because=first_line(error))
    )
