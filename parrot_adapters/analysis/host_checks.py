"""The conformance checks of an attached adapter, tried on a host: ``parrot check host:DIR``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from parrot_adapters.adapter.attach import attach
from parrot_adapters.adapter.handle import Attachment
from parrot_adapters.adapter.load import load_adapter
from parrot_adapters.adapter.self_test import self_test
from parrot_adapters.errors import ConfigError, MissingDependencyError, ParrotError, explain, first_line
from parrot_adapters.hosts.host_parts import find_parts
from parrot_adapters.hosts.load_host import load_model, load_processor
from parrot_adapters.hosts.picture_text import picture_text

__all__ = ["HostOutcome", "load_host_and_inputs", "refused_host", "run_host_checks"]

SIDE = 336
PROMPT = "What is in this picture?"
ATTACHES = ("attaches", "its parts are found and an adapter fits")


@dataclass(frozen=True)
class HostOutcome:
    """What came of one conformance check of an attached adapter.

    Attributes:
        name: Name of the check.
        states: The property that must hold, in one sentence.
        error: What went wrong; None (default) where the check passed.
        seam: Name of the way by which the adapter reaches the host; None (default) where it did not attach.
    """

    name: str
    states: str
    error: str | None = None
    seam: str | None = None


def run_host_checks(model: Any, inputs: Mapping[str, Any], processor: Any = None) -> Iterator[HostOutcome]:
    """Try the checks of an attached adapter one after the other; the model is as it was afterwards.

    Args:
        model: Host without an adapter, in evaluation mode.
        inputs: Arguments of the host's forward by name: a batch with at least one image, and text in row 0.
        processor: Processor of the host, or None (default).

    Yields:
        The outcome of each check as soon as it is known.
    """
    frozen = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(False)  # as attaching leaves it: torch multiplies frozen weights in another way, at times
    try:
        yield from _outcomes(_State(model, inputs, processor))
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def refused_host(model: Any) -> HostOutcome | None:
    """The outcome of the first check where no adapter can be put on a host, whatever it is asked; None where one can.

    Args:
        model: Host without an adapter.
    """
    try:
        find_parts(model)
    except ParrotError as error:
        return HostOutcome(*ATTACHES, str(error))
    return None


def _outcomes(state: _State) -> Iterator[HostOutcome]:
    for name, states, check in (
        (*ATTACHES, state.attaches),
        ("unchanged", "attaching changes no logit by a bit", state.unchanged),
        (
            "self-test",
            "the adapter acts, reads the prompt, agrees in generate, and disabled() is the bare host",
            state.acts,
        ),
        ("round trip", "saved and loaded again it gives the same logits, bit for bit", state.round_trip),
        ("detached", "detach() gives the host back, bit for bit", state.detached),
    ):
        error = _error(check)
        yield HostOutcome(name, states, error, state.seam)
        if error is not None and state.handle is None:
            return  # without an adapter there is nothing more to try
    if state.handle is not None:
        state.handle.detach()


class _State:
    def __init__(self, model: Any, inputs: Mapping[str, Any], processor: Any) -> None:
        self.model, self.inputs, self.processor = model, dict(inputs), processor
        self.handle: Attachment | None = None
        self.before: Tensor | None = None
        self.seam: str | None = None

    def logits(self) -> Tensor:
        with torch.no_grad():
            out = self.model(**self.inputs)
        logits: Tensor | None = getattr(out, "logits", None)
        return out.last_hidden_state if logits is None else logits

    def attaches(self) -> None:
        try:
            self.before = self.logits()
        except Exception as error:
            said = f"{type(error).__name__}: {first_line(error)}"
            raise AssertionError(f"the host itself fails on these inputs, without an adapter: {said}") from error
        if self.before.isnan().any():
            raise AssertionError("the host's own logits are no numbers (nan), so there is nothing to compare")
        config = {"num_experts": 3, "expert_hidden_size": 16}
        self.handle = attach(self.model, config, processor=self.processor)
        self.seam = self.handle.seam

    def unchanged(self) -> None:
        self._same(self.logits())

    def acts(self) -> None:
        self_test(self.model, self.inputs)

    def round_trip(self) -> None:
        assert self.handle is not None
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.handle.require_module().parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(noise.to(parameter) * parameter.shape[-1] ** -0.5)
        expected = self.logits()
        with tempfile.TemporaryDirectory() as folder:
            self.handle.save_pretrained(folder)
            self.handle.detach()
            self.handle = load_adapter(self.model, folder, processor=self.processor)
        if not torch.equal(self.logits(), expected):
            raise AssertionError("the loaded adapter gives other logits")
        if torch.equal(expected, self.before if self.before is not None else expected):
            raise AssertionError("a perturbed adapter changed nothing: there is nothing to tell apart")

    def detached(self) -> None:
        assert self.handle is not None
        self.handle.detach()
        self._same(self.logits())

    def _same(self, logits: Tensor) -> None:
        assert self.before is not None
        if not torch.equal(logits, self.before):
            raise AssertionError(f"logits differ by {(logits - self.before).abs().max():.3g}")


def _error(check: Callable[[], None]) -> str | None:
    try:
        check()
    except (ParrotError, AssertionError) as error:
        return str(error)
    except Exception as error:  # whatever a stranger's model raises is this check's failure, not the command's
        return f"{type(error).__name__}: {error}"
    return None


def load_host_and_inputs(model: str, inputs: Path | None, device: str = "cpu") -> tuple[Any, dict[str, Tensor], Any]:
    """A host, a batch for it (empty where it can carry no adapter) and its processor, or None where it has none.

    Args:
        model: directory or Hub name.
        inputs: a safetensors file with the arguments of its forward by name; None asks the processor about a picture
            of noise.
        device: where both go.

    Raises:
        ConfigError: the model or the file cannot be read, or there is neither file nor image processor.
    """
    try:
        host = load_model(model, device=device)
    except ConfigError as error:
        if Path(model).exists():
            raise
        raise ConfigError(
            f"{error}\n  or else  a declaration alone cannot be tried: give a model's directory or Hub name, host:DIR"
        ) from error
    if refused_host(host) is not None:
        return host, {}, None
    processor, because = None, "it has a tokenizer alone"
    try:
        processor = load_processor(model)
    except ConfigError as error:  # a file of inputs needs no processor
        because = first_line(error.__cause__ or error)
    if inputs is not None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return host, _on(host, load_file(inputs)), processor
        except (OSError, SafetensorError) as error:
            raise ConfigError(explain("the inputs cannot be read.", file=inputs, because=error)) from None
    if not hasattr(processor, "image_processor"):
        raise ConfigError(
            explain(
                "the model has no image processor to make inputs with.",
                given=model,
                because=because,
                to_do="--inputs FILE.safetensors with the arguments of its forward (input_ids, pixel_values, ...)",
            )
        )
    return host, _on(host, _noise(processor)), processor


def _on(host: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.to(host.device) for name, value in batch.items()}


def _noise(processor: Any) -> dict[str, Tensor]:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("making a picture needs Pillow\n  to do  pip install pillow") from error
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (SIDE, SIDE, 3), generator=generator, dtype=torch.uint8)
    picture = Image.frombytes("RGB", (SIDE, SIDE), bytes(pixels.flatten().tolist()))
    text = f"{picture_text(processor, 1)}\n{PROMPT}"
    if getattr(processor, "chat_template", None):
        content = [{"type": "image"}, {"type": "text", "text": PROMPT}]
        turns: list[dict[str, Any]] = [{"role": "user", "content": content}]
        text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    try:
        batch = processor(images=[[picture]], text=[text], return_tensors="pt")
    except Exception as error:  # whatever a processor raises
        raise ConfigError(
            explain(
                f"the host's {type(processor).__name__} makes no inputs of a picture and a question.",
                because=first_line(error),
                to_do="--inputs FILE.safetensors with the arguments of its forward (input_ids, pixel_values, ...)",
            )
        ) from error
    return {name: value for name, value in batch.items() if isinstance(value, Tensor)}
