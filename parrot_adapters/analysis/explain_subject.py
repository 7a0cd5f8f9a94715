"""A host, its processor and an adapter from disk, and prompts about one picture as inputs of the host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from parrot_adapters.analysis.asked_picture import asked_picture
from parrot_adapters.analysis.explain import PromptInputs
from parrot_adapters.errors import ConfigError, explain
from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost
from parrot_adapters.hosts.load_host import load_processor
from parrot_adapters.hosts.picture_text import picture_text

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment

__all__ = ["Subject"]


class Subject:
    """What is looked at: an attached host and the means to ask it.

    Args:
        handle: of the adapter.
        processor: takes images and text.
    """

    def __init__(self, handle: Attachment, processor: Any) -> None:
        self.handle, self.processor = handle, processor
        self.tokenizer = getattr(processor, "tokenizer", processor)

    @classmethod
    def load(cls, model: str, adapter: str, *, device: str = "auto") -> Subject:
        """Load from directories.

        Args:
            model: the host, with its processor.
            adapter: made for it.
            device: ``auto`` takes an accelerator if there is one.

        Raises:
            ConfigError: the model cannot be loaded or has no image processor.
        """
        if not Path(model).exists() and Path(model).is_absolute():
            raise ConfigError(explain("there is no such model directory.", given=model))
        _require_image_processor(model)
        host = EvaluationHost.load(model, adapter=adapter, device=device)
        return cls(host.adapter, host.processor)

    def prompts(
        self, picture: str | Path, texts: Sequence[str], languages: Sequence[str | None] = ()
    ) -> list[PromptInputs]:
        """One row of inputs for each text, all about the same picture.

        Args:
            picture: an image file.
            texts: user turns, as plain text.
            languages: declared for each, or empty for none.

        Raises:
            ConfigError: the picture cannot be read, or there are not as many languages as texts.
        """
        if languages and len(languages) != len(texts):
            raise ConfigError(f"{len(languages)} languages for {len(texts)} prompts; declare one for each, or none")
        image = asked_picture(picture)
        declared = languages or [None] * len(texts)
        return [
            PromptInputs(text, self._inputs(image, text), language)
            for text, language in zip(texts, declared, strict=True)
        ]

    def decode(self, token: int) -> str:
        """How a token is written."""
        written = str(self.tokenizer.decode([token]))
        return written if written.strip() else str(self.tokenizer.convert_ids_to_tokens(token))

    def _inputs(self, image: Any, text: str) -> dict[str, Any]:
        rendered = self._rendered(text)
        bos = self.tokenizer.bos_token
        special = {"add_special_tokens": False} if bos and rendered.startswith(bos) else {}
        batch = self.processor(images=[[image]], text=[rendered], return_tensors="pt", **special)
        host = self.handle.model
        return {
            name: value.to(host.device, host.dtype) if value.is_floating_point() else value.to(host.device)
            for name, value in batch.items()
            if isinstance(value, Tensor)
        }

    def _rendered(self, text: str) -> str:
        template = getattr(self.processor, "chat_template", None)
        if not template:
            return f"{picture_text(self.processor, 1)}\n{text}"
        content = [{"type": "image"}, {"type": "text", "text": text}]
        turns: list[dict[str, Any]] = [{"role": "user", "content": content}]
        return str(self.processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))


def _require_image_processor(model: str) -> None:
    because = None
    try:
        if hasattr(load_processor(model), "image_processor"):
            return
    except ConfigError as error:
        because = error
    raise ConfigError(
        explain(
            "the model has no image processor, so a picture cannot be shown to it.",
            given=model,
            needs="preprocessor_config.json and the like, as processor.save_pretrained(DIR) writes them",
            because=because,
        )
    )
