"""A host, its processor and an adapter from disk, and prompts about one picture as inputs of the host."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from parrot_adapters.errors import ConfigError, HostError, MissingDependencyError, explain
from parrot_adapters.interop.evaluation_host import EvaluationHost
from parrot_adapters.seeing.explain import PromptInputs

if TYPE_CHECKING:
    from parrot_adapters.attachment import Attachment

__all__ = ["Subject"]


class Subject:
    """What is looked at: an attached host and the means to ask it.

    Args:
        handle: of the adapter.
        processor: takes images and text; a tokenizer with ``plain_pixels``.
        plain_pixels: for hosts without an image processor: pictures become squares of this many pixels, values 0 to 1.
    """

    def __init__(self, handle: Attachment, processor: Any, plain_pixels: int | None = None) -> None:
        self.handle, self.processor, self.plain_pixels = handle, processor, plain_pixels
        self.tokenizer = getattr(processor, "tokenizer", processor)

    @classmethod
    def load(cls, model: str, adapter: str, *, plain_pixels: int | None = None, modules: Sequence[str] = ()) -> Subject:
        """Load from directories.

        Args:
            model: the host, with its processor.
            adapter: made for it.
            plain_pixels: as above.
            modules: imported first, for hosts whose classes live in a package of their own.

        Raises:
            ConfigError: the model cannot be loaded or has no image processor.
        """
        for name in modules:
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise ConfigError(
                    explain("a module asked for cannot be imported.", given=name, because=error)
                ) from None
        if not Path(model).exists() and Path(model).is_absolute():
            raise ConfigError(explain("there is no such model directory.", given=model))
        if plain_pixels is not None:
            return cls._plain(model, adapter, plain_pixels)
        _require_image_processor(model)
        host = EvaluationHost.load(model, adapter=adapter)
        return cls(host.adapter, host.processor)

    @classmethod
    def _plain(cls, model: str, adapter: str, side: int) -> Subject:
        from transformers import AutoModelForImageTextToText, AutoTokenizer

        from parrot_adapters.checkpoint import load_adapter

        try:
            tokenizer = AutoTokenizer.from_pretrained(model)
            host = AutoModelForImageTextToText.from_pretrained(model).eval()
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ConfigError(
                explain(
                    "the model cannot be loaded.",
                    given=model,
                    because=str(error).splitlines()[0],
                    to_do="if its classes live in another package, name that: --import parrot_recipes.emoji.vision",
                )
            ) from error
        return cls(load_adapter(host, adapter, processor=tokenizer), tokenizer, side)

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
        image = _opened(Path(picture))
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
        if self.plain_pixels is None:
            bos = self.tokenizer.bos_token
            special = {"add_special_tokens": False} if bos and rendered.startswith(bos) else {}
            batch = self.processor(images=[[image]], text=[rendered], return_tensors="pt", **special)
            made = {name: value for name, value in batch.items() if isinstance(value, Tensor)}
        else:
            made = self._plain_inputs(image, rendered, self.plain_pixels)
        host = self.handle.model
        return {
            name: value.to(host.device, host.dtype) if value.is_floating_point() else value.to(host.device)
            for name, value in made.items()
        }

    def _plain_inputs(self, image: Any, rendered: str, side: int) -> dict[str, Tensor]:
        parts = self.handle.parts
        encoder, length = parts.encoders["image"], getattr(parts.config, "image_seq_length", None)
        ids = self.tokenizer(rendered, add_special_tokens=False)["input_ids"]
        if encoder.token_id not in ids or length is None:
            raise HostError("the chat template writes no image placeholder, or the config has no image_seq_length")
        at = ids.index(encoder.token_id)
        tokens = torch.tensor([[*ids[:at], *[encoder.token_id] * length, *ids[at + 1 :]]])
        square = image.resize((side, side))
        pixels = torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8).view(side, side, 3)
        return {
            "input_ids": tokens,
            "attention_mask": torch.ones_like(tokens),
            encoder.pixels: pixels.permute(2, 0, 1)[None].float() / 255,
        }

    def _rendered(self, text: str) -> str:
        template = getattr(self.processor, "chat_template", None)
        mark = getattr(self.processor, "image_token", "<image>")
        if not template:
            return f"{mark}\n{text}"
        content = [{"type": "image"}, {"type": "text", "text": text}]
        turns: list[dict[str, Any]] = [{"role": "user", "content": content}]
        return str(self.processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))


def _require_image_processor(model: str) -> None:
    from transformers import AutoProcessor

    because = None
    try:
        if hasattr(AutoProcessor.from_pretrained(model), "image_processor"):
            return
    except Exception as error:  # transformers raises a dozen kinds here
        because = str(error).splitlines()[0]
    raise ConfigError(
        explain(
            "the model has no image processor, so a picture cannot be shown to it.",
            given=model,
            because=because,
            needs="preprocessor_config.json and the like, as processor.save_pretrained(DIR) writes them",
            or_else="--plain-pixels SIDE where the host takes pixels from 0 to 1 (the quickstart's does, with 160)",
        )
    )


def _opened(path: Path) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("explaining reads a picture\n  to do  pip install pillow") from error
    try:
        with Image.open(path) as image:
            shown = image.convert("RGBA")
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(explain("the picture cannot be read.", file=path, because=error)) from None
    paper = Image.new("RGBA", shown.size, "white")  # transparent pictures on paper, as they are seen
    return Image.alpha_composite(paper, shown).convert("RGB")
