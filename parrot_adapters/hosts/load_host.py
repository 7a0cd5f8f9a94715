"""The one place that loads hosts: vision-language models of transformers and their processors, by directory or name."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import torch

from parrot_adapters.digests import json_digest
from parrot_adapters.errors import ConfigError, ParrotWarning, explain, first_line, suggest
from parrot_adapters.examples import example_path
from parrot_adapters.hosts.adapter_directory import refuse_adapter
from parrot_adapters.hosts.model_classes import make_classes_known, unknown_model_types

__all__ = ["describe_processor", "load_host", "load_model", "load_processor", "plain_config"]

DTYPES = ("auto", "float32", "bfloat16", "float16")


def load_host(
    name: str,
    *,
    dtype: str = "auto",
    device: str = "auto",
    processor_options: Mapping[str, object] | None = None,
    attn_implementation: str | None = None,
) -> tuple[Any, Any]:
    """Load a host and its processor.

    Args:
        name: directory or Hub name.
        dtype: of the weights; ``auto`` keeps the checkpoint's.
        device: ``auto`` takes an accelerator if there is one.
        processor_options: settings of the processor that replace its stored ones, such as ``max_pixels``.
        attn_implementation: ``eager``, ``sdpa``, ...; None for what transformers chooses.

    Returns:
        the model, in eval mode, and the processor.

    Raises:
        ConfigError: one of them cannot be loaded, weights are missing, or a setting is unknown.
        PluginError: a plugin that should bring the model's classes fails.
    """
    check_dtype(dtype)
    _device(device)
    processor = load_processor(name, processor_options)
    return load_model(name, dtype=dtype, device=device, attn_implementation=attn_implementation), processor


def load_model(name: str, *, dtype: str = "auto", device: str = "auto", attn_implementation: str | None = None) -> Any:
    """The model of :func:`load_host` alone, in eval mode; one that reads no pictures is loaded as what it is."""
    check_dtype(dtype)
    place = _device(device)  # what is not there is refused before anything is loaded
    name = str(example_path(name) or name)
    refuse_adapter(name)
    make_classes_known(name)
    options = {} if attn_implementation is None else {"attn_implementation": attn_implementation}
    try:
        model, loaded = _auto_class(name).from_pretrained(name, dtype=dtype, output_loading_info=True, **options)
        model.eval().to(place)
    except ConfigError:
        raise
    except Exception as error:  # of transformers, safetensors, the Hub, the accelerator
        unknown = unknown_model_types(name)
        raise ConfigError(
            explain(
                "the model cannot be loaded.",
                given=name,
                because=f"nobody brings the classes of model type {', '.join(unknown)}"
                if unknown
                else _why(name, error)["because"],
                to_do="install the plugin that does (its hook is register_model_classes)"
                if unknown
                else "give a directory or Hub name of a vision-language model of transformers",
            )
        ) from error
    if missing := sorted(loaded["missing_keys"]):
        raise ConfigError(
            explain(
                f"{len(missing)} of the model's weights are not in its files; with random ones it is another model.",
                given=name,
                missing=", ".join(missing[:4]),
            )
        )
    return model


def load_processor(name: str, options: Mapping[str, object] | None = None) -> Any:
    """The processor of :func:`load_host` alone, with some settings replaced.

    Raises:
        ConfigError: it cannot be loaded, or has no such setting.
    """
    name = str(example_path(name) or name)
    make_classes_known(name)
    settings = dict(options or {})
    try:
        made = _processor(name)
        if not settings:
            return made
        known = _settings_of(made)
        unknown = [key for key in settings if key not in known]
        if unknown:
            raise ConfigError(
                explain(
                    f"the processor has no setting {unknown[0]!r}.{suggest(unknown[0], known)}",
                    processor=type(made).__name__,
                    known=", ".join(sorted(known)),
                )
            )
        changed = _processor(name, **settings)
    except ConfigError:
        raise
    except Exception as error:  # transformers raises a dozen kinds here
        raise ConfigError(
            explain("the model's processor cannot be loaded.", given=name, **_why(name, error))
        ) from error
    if describe_processor(changed) == describe_processor(made):
        warnings.warn(f"--processor {settings}: the processor's own settings already", ParrotWarning, stacklevel=2)
    return changed


def _auto_class(name: str) -> Any:
    """Which of transformers' loaders knows a model: some that see (Phi-4-multimodal, LLaVA's own code) are listed among
    language models alone."""
    import transformers as library

    try:
        config = library.AutoConfig.from_pretrained(name)
    except Exception:  # whoever loads it says why
        return library.AutoModelForImageTextToText
    sees, writes = library.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, library.MODEL_FOR_CAUSAL_LM_MAPPING
    listed_elsewhere = type(config) in writes and type(config) not in sees
    return library.AutoModelForCausalLM if listed_elsewhere else library.AutoModelForImageTextToText


def check_dtype(name: str) -> None:
    """Refuse what is no dtype before anything is loaded.

    Raises:
        ConfigError: no dtype of that name.
    """
    if name not in DTYPES:
        raise ConfigError(explain(f"no dtype named {name!r}.{suggest(name, DTYPES)}", known=", ".join(DTYPES)))


def describe_processor(processor: Any) -> object:
    """Everything about a processor that can change a score, as plain data."""
    tokenizer = getattr(processor, "tokenizer", processor)
    images, videos = (getattr(processor, name, None) for name in ("image_processor", "video_processor"))
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return {
        **({} if videos is None else {"videos": plain_config(videos.to_dict())}),
        "processor": plain_config(processor.to_dict()) if hasattr(processor, "image_processor") else None,
        "images": None if images is None else plain_config(images.to_dict()),
        "tokenizer": json_digest(backend.to_str()) if backend is not None else json_digest(tokenizer.get_vocab()),
        "specials": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "template": str(getattr(processor, "chat_template", None)),
    }


def plain_config(value: Mapping[str, Any]) -> Any:
    """A config as plain data, without what says where or by which release it was stored."""
    dropped = ("_name_or_path", "name_or_path", "transformers_version", "_commit_hash", "tokenizer_file")
    cleaned = {key: item for key, item in value.items() if key not in dropped}
    return json.loads(json.dumps(cleaned, default=str, sort_keys=True))


def _processor(name: str, **settings: object) -> Any:
    from transformers import AutoProcessor

    from parrot_adapters.hosts.processors_without_video import load_without_videos

    try:
        return AutoProcessor.from_pretrained(name, **settings)
    except ImportError:
        if (made := load_without_videos(name, settings)) is None:
            raise
        return made


def _why(name: str, error: BaseException) -> dict[str, str]:
    """What transformers says; of a path that leads nowhere it says that this is no name on the Hub."""
    if isinstance(error, ImportError) and "torchvision" in str(error).lower():
        need = "pip install torchvision: video processors need it, even for pictures alone"
        return {"because": first_line(error), "to_do": need}
    if os.path.isdir(name):
        return {"because": " ".join(str(error).split()[:60]) or type(error).__name__}
    if os.path.isabs(name) or name.startswith((".", "~")) or name.count("/") > 1:
        return {"because": "there is no such directory", "to_do": "give a directory, or a name on the Hub"}
    return {"because": f"there is no directory of this name, and from the Hub: {first_line(error)}"}


def _settings_of(processor: Any) -> set[str]:
    known = set(processor.to_dict())
    for part in (getattr(processor, "image_processor", None), getattr(processor, "video_processor", None)):
        if part is not None:
            known |= {*getattr(getattr(part, "valid_kwargs", None), "__annotations__", {}), *part.to_dict()}
    return {name for name in known if not name.startswith("_") and not name.endswith(("_class", "_processor_type"))}


def _device(name: str) -> torch.device:
    if name == "auto":
        here = torch.cuda.is_available()
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if here else torch.device("cpu")
    counted = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    try:
        wanted = torch.device(name)
    except RuntimeError:
        wanted = None
    if wanted is None or (wanted.index or 0) >= counted.get(wanted.type, sys.maxsize):  # others are torch's to judge
        known = [kind if count == 1 else f"{kind}:{n}" for kind, count in counted.items() for n in range(count)]
        what = (
            f"no device named {name!r}." if wanted is None else f"this machine, or this torch, has no device {name!r}."
        )
        raise ConfigError(explain(what + suggest(name, counted), known=", ".join(("auto", *known))))
    return wanted
