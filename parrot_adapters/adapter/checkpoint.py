"""Save an attached adapter; attach a saved one. What is in the directory: ``adapter_files.py``."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from parrot_adapters.adapter.attach import (
    assemble,
    config_from,
    detached_on_failure,
    free_host,
    layer_features,
    make_detector,
)
from parrot_adapters.adapter.build_layer import build_layer
from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.adapter.files import (
    CARD,
    CONFIG,
    FORMAT_VERSION,
    HASHED,
    LORA,
    LORA_CONFIG,
    LORA_WEIGHTS,
    PEFT_TYPE,
    PROJECTOR,
    WEIGHTS,
    check_file,
    find_file,
    read_tensors,
    save_tensors,
    sha256,
    staging_directory,
)
from parrot_adapters.adapter.handle import Attachment
from parrot_adapters.errors import (
    CheckpointError,
    ConfigError,
    HostMismatchError,
    ParrotWarning,
    PluginError,
    UnknownNameError,
    explain,
)
from parrot_adapters.hosts.chat_format import ChatFormat
from parrot_adapters.hosts.fingerprint import fingerprint, structure_differences, weights_differ
from parrot_adapters.hosts.lora import LanguageModelLora, lora_arguments
from parrot_adapters.hosts.parts import HostParts
from parrot_adapters.plugins import manager

__all__ = ["load_adapter", "save_adapter"]

# Stands where the name of a host from a Hub or a directory would: other libraries quote it in their errors.
NAMELESS = "(a host without a name: use parrot_adapters.load_adapter on it)"
PLUGIN_KEYS = ("kind", "name", "plugin", "distribution", "version")


@dataclass(frozen=True, eq=False)
class Stored:
    """An adapter directory, read and checked, nothing attached yet. ``weights`` is None where it has no module."""

    directory: Path
    config: AdapterConfig
    chat: ChatFormat
    host: Mapping[str, Any]
    plugins: Sequence[Mapping[str, Any]]
    weights: Mapping[str, Tensor] | None
    projector: Mapping[str, Tensor] | None
    lora_config: Mapping[str, Any] | None
    lora: Mapping[str, Tensor] | None

    def module_weights(self) -> Mapping[str, Tensor]:
        """The weights of its module.

        Raises:
            CheckpointError: it has none.
        """
        if self.weights is None:
            raise CheckpointError(
                explain(
                    f"the adapter in {self.directory} has no module: it holds a projector only, as stage 1 makes it.",
                    to_do="name the adapter of stage 2",
                )
            )
        return self.weights


# --- saving --------------------------------------------------------------------------------------------------------


def save_adapter(attachment: Attachment, directory: Path) -> None:
    """Write an attached adapter to a directory; see :meth:`Attachment.save_pretrained`."""
    if directory.exists() and not directory.is_dir():
        raise CheckpointError(f"cannot save to {directory}: it is a file")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        _write(attachment, directory)
    except OSError as error:
        raise CheckpointError(explain(f"cannot save to {directory}.", because=error)) from error


def _write(attachment: Attachment, directory: Path) -> None:
    switch, lora = attachment._switch, attachment._lora
    host = fingerprint(attachment.parts, None if switch is None else switch.host_weights())
    with staging_directory(directory) as staging:
        if attachment.module is not None:
            save_tensors(attachment.module.state_dict(), staging / WEIGHTS)
        if switch is not None:
            save_tensors(switch.adapter_weights(), staging / PROJECTOR)
        if lora is not None:
            (staging / LORA).mkdir()
            lora.save_config(staging / LORA)
            save_tensors(lora.state_dict(), staging / LORA_WEIGHTS)
        name = str(getattr(attachment.model.config, "_name_or_path", "") or "")
        (staging / CARD).write_text(_model_card(attachment, name), encoding="utf-8")
        described = {
            "peft_type": PEFT_TYPE,
            "format_version": FORMAT_VERSION,
            "library_name": "parrot_adapters",
            "library_version": version("parrot_adapters"),
            "base_model_name_or_path": name or NAMELESS,
            "module": attachment.module is not None,
            "adapter": attachment.config.to_dict(),
            "chat_format": attachment.chat.to_dict(),
            "host": host,
            "plugins": _plugins_used(attachment),
            "files": {name: sha256(staging / name) for name in HASHED if (staging / name).is_file()},
        }
        (staging / CONFIG).write_text(json.dumps(described, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _plugins_used(attachment: Attachment) -> list[dict[str, Any]]:
    config, parts = attachment.config, attachment.parts
    kinds = ("router", "expert", "summary") if attachment.module is not None else ()
    used = [manager.find(kind, getattr(config, kind)) for kind in kinds]
    described = [(c.kind, c.name, c.plugin) for c in used if c.plugin.source != "built in"]
    if parts.plugin is not None:
        described.append(("host", parts.model_type, parts.plugin))
    return [
        dict(zip(PLUGIN_KEYS, (kind, name, p.name, p.distribution, p.version), strict=True))
        for kind, name, p in described
    ]


def _model_card(attachment: Attachment, name: str) -> str:
    host = type(attachment.model).__name__
    return f"""---
library_name: parrot_adapters
base_model: {name or "unknown"}
tags: [parrot, multilingual, mixture-of-experts, adapter]
---
Load this adapter with parrot_adapters (not with peft or transformers alone):

```python
import parrot_adapters as pa
from transformers import {host}

model = {host}.from_pretrained({name or "PATH OF THE HOST"!r})
handle = pa.load_adapter(model, "PATH OF THIS DIRECTORY")
```

{_what_it_is(attachment)}
"""


def _what_it_is(attachment: Attachment) -> str:
    host, config = type(attachment.model).__name__, attachment.config
    if attachment.module is None:
        return f"It holds a projector for `{host}` and no experts: stage 1 of PARROT (arXiv 2406.02539)."
    return f"""It rewrites the visual tokens of `{host}` as each prompt's text asks (PARROT, arXiv 2406.02539).

| router | expert | experts | hidden size | top_k | summary | text scope |
| --- | --- | --- | --- | --- | --- | --- |
| {config.router} | {config.expert} | {config.num_experts} | {config.expert_hidden_size} | {config.top_k} | \
{config.summary} | {config.text_scope} |"""


# --- loading -------------------------------------------------------------------------------------------------------


def load_adapter(
    model: Any, directory: str | os.PathLike[str], *, processor: Any = None, strict: bool = False
) -> Attachment:
    """Attach an adapter from disk, or from the Hub when no such directory exists and the name is ``owner/name``.

    Everything is read and checked before the host is touched.

    Args:
        model: a host of the kind the adapter was made for.
        directory: what :meth:`Attachment.save_pretrained` wrote.
        processor: needed only by an adapter with a language detector.
        strict: refuse a host of the same architecture with other weights, instead of warning.

    Raises:
        CheckpointError: not an adapter directory, damaged, of a newer format, or holding NaN.
        HostMismatchError: made for another architecture (or other weights, with ``strict``).
        PluginError: a plugin it needs is missing.
        AlreadyAttachedError: the host carries an adapter.
    """
    stored = read_adapter(_local(directory))
    parts = free_host(model, stored.config)
    _require_plugins(stored, parts)
    here = fingerprint(parts)
    _require_architecture(stored, here)
    if weights_differ(stored.host, here):
        message = explain(
            f"the adapter in {stored.directory} was made for a host of this architecture with other weights.",
            made_for=stored.host.get("architecture"),
            to_do="load the host it was trained with (base_model_name_or_path in adapter_config.json)",
        )
        if strict:
            raise HostMismatchError(message)
        warnings.warn(message, ParrotWarning, stacklevel=2)
    layer = None
    if stored.weights is not None:
        layer = build_layer(stored.config, parts.width, layer_features(parts, stored.config))
        _load_exactly(layer, stored.weights, stored.directory / WEIGHTS)
    projector = parts.module(parts.projector)
    if stored.projector is not None and projector is not None:
        _check_names_and_shapes(projector.state_dict(), stored.projector, stored.directory / PROJECTOR)
    detector = make_detector(stored.config, processor)
    handle = assemble(
        parts,
        stored.config,
        layer,
        chat=stored.chat,
        detector=detector,
        owns_projector=stored.projector is not None,
        lora=stored.lora_config,
    )
    with detached_on_failure(handle):
        if stored.projector is not None and projector is not None:
            projector.load_state_dict(dict(stored.projector))
        if stored.lora is not None and handle._lora is not None:
            handle._lora.load_state_dict(stored.lora)
    return handle


def read_adapter(directory: Path) -> Stored:
    """Read and check an adapter directory.

    Raises:
        CheckpointError: as :func:`load_adapter`.
    """
    described = _read_config(directory)
    digests = {name: digest for name, digest in described["files"].items() if name in HASHED}
    files = {name: find_file(directory / name, digest) for name, digest in digests.items()}
    missing = [name for name, path in files.items() if not path.is_file()]
    needed = WEIGHTS if described.get("module", True) else PROJECTOR
    if missing or needed not in files:
        pickled = sorted(p.name for p in directory.glob("*") if p.suffix in (".bin", ".pt", ".pth", ".pkl"))
        raise CheckpointError(
            explain(
                f"the adapter in {directory} is incomplete.",
                missing=", ".join(missing) or needed,
                found=f"{', '.join(pickled)}: pickled weights are never loaded, they can run code" if pickled else None,
                to_do="copy the whole directory again, or save the adapter again",
            )
        )
    for name, path in files.items():
        check_file(path, digests[name])
    try:
        config = config_from(described["adapter"])
        chat = ChatFormat.from_dict(described.get("chat_format", {}))
        plugins = [{key: used[key] for key in PLUGIN_KEYS} for used in described.get("plugins", [])]
    except (ConfigError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(explain(f"{directory / CONFIG} cannot be understood.", because=error)) from error
    return Stored(
        directory=directory,
        config=config,
        chat=chat,
        host=described["host"],
        plugins=plugins,
        weights=read_tensors(files[WEIGHTS]) if WEIGHTS in files else None,
        projector=read_tensors(files[PROJECTOR]) if PROJECTOR in files else None,
        lora_config=lora_arguments(json.loads(files[LORA_CONFIG].read_text("utf-8"))) if LORA_CONFIG in files else None,
        lora=read_tensors(files[LORA_WEIGHTS]) if LORA_WEIGHTS in files else None,
    )


def read_projector(attachment: Attachment, directory: Path) -> Mapping[str, Tensor]:
    """The projector of an adapter directory, for a host that carries another adapter; see ``load_projector``."""
    stored = read_adapter(_local(directory))
    if stored.projector is None or attachment.projector is None:
        raise CheckpointError(
            explain(
                f"the adapter in {directory} has no projector of its own.",
                to_do="stage 1 makes one; for its module use load_adapter",
            )
        )
    path = stored.directory / PROJECTOR
    _require_architecture(stored, fingerprint(attachment.parts))
    _check_names_and_shapes(attachment.projector.state_dict(), stored.projector, path)
    return stored.projector


def read_lora(attachment: Attachment, lora: LanguageModelLora, directory: Path) -> Mapping[str, Tensor]:
    """The LoRA weights of an adapter directory, for an adapter with LoRA of the same kind; see ``load_lora``."""
    stored = read_adapter(_local(directory))
    if stored.lora is None or stored.lora_config is None:
        raise CheckpointError(
            explain(f"the adapter in {directory} has no LoRA.", to_do="name one that was trained with lora")
        )
    _require_architecture(stored, fingerprint(attachment.parts))
    if different := lora.differences(stored.lora_config, stored.lora):
        raise ConfigError(
            explain(
                f"the LoRA in {directory} is of another kind.",
                **different,
                to_do=f"set lora to what it was made with ({LORA_CONFIG})",
            )
        )
    return stored.lora


def _local(directory: str | os.PathLike[str]) -> Path:
    path = Path(directory)
    if path.exists() or str(directory).count("/") != 1 or str(directory).startswith((".", "/", "~")):
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(directory)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise CheckpointError(
            explain(f"no directory {str(directory)!r}, and the Hub has not given it.", hub_says=error)
        ) from error


def _read_config(directory: Path) -> dict[str, Any]:
    path = directory / CONFIG
    if not path.is_file():
        there = (
            ", ".join(sorted(p.name for p in directory.iterdir())[:8]) if directory.is_dir() else "no such directory"
        )
        raise CheckpointError(
            explain(f"{directory} is not an adapter directory: no {CONFIG}.", found=there or "an empty directory")
        )
    try:
        described = json.loads(path.read_text("utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise CheckpointError(explain(f"{path} is not valid JSON.", because=error)) from error
    if not isinstance(described, dict) or described.get("peft_type") != PEFT_TYPE:
        given = described.get("peft_type") if isinstance(described, dict) else type(described).__name__
        raise CheckpointError(
            explain(
                f"{path} does not describe a parrot adapter.",
                given=f"peft_type {given!r}, expected {PEFT_TYPE!r}",
                to_do="for a LoRA of peft use peft.PeftModel.from_pretrained",
            )
        )
    if described.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            explain(
                f"{path} has format version {described.get('format_version')!r}; this release reads {FORMAT_VERSION}.",
                made_by=f"parrot_adapters {described.get('library_version')}",
                to_do="upgrade parrot_adapters",
            )
        )
    absent = [key for key in ("adapter", "host", "files") if not isinstance(described.get(key), dict)]
    if absent:
        raise CheckpointError(f"{path} lacks {', '.join(absent)}")
    return described


def _load_exactly(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load weights in the dtypes they were saved in."""
    _check_names_and_shapes(module.state_dict(), weights, path)
    for name, own in module.state_dict(keep_vars=True).items():  # in place, so that shared weights stay shared
        own.data = own.data.to(weights[name].dtype)
    module.load_state_dict(dict(weights))


def _check_names_and_shapes(own: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path) -> None:
    missing, unknown = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    shapes = [
        f"{k}: {_form(given[k])} in the file, {_form(own[k])} expected"
        for k in sorted(own.keys() & given.keys())
        if own[k].shape != given[k].shape or own[k].is_floating_point() != given[k].is_floating_point()
    ]
    if missing or unknown or shapes:
        raise CheckpointError(
            explain(
                f"{path} does not fit the adapter its config describes.",
                missing=", ".join(missing[:5]) or None,
                unknown=", ".join(unknown[:5]) or None,
                shapes="; ".join(shapes[:5]) or None,
            )
        )


def _form(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {'floating' if tensor.is_floating_point() else tensor.dtype}"


def _require_architecture(stored: Stored, here: Mapping[str, Any]) -> None:
    if differences := structure_differences(stored.host, here):
        raise HostMismatchError(
            explain(
                f"the adapter in {stored.directory} was made for another host.",
                **{f"differs_{i}": text for i, text in enumerate(differences, 1)},
            )
        )


def _require_plugins(stored: Stored, parts: HostParts) -> None:
    for used in stored.plugins:
        if used["kind"] == "host":
            present = parts.plugin is not None and parts.plugin.name == used["plugin"]
        else:
            try:
                manager.find(used["kind"], used["name"])
                present = True
            except UnknownNameError:
                present = False
        if not present:
            origin = used["distribution"] or used["plugin"]
            raise PluginError(
                explain(
                    f"the adapter in {stored.directory} needs {used['kind']} {used['name']!r}, which is not available.",
                    made_with=f"{origin} {used['version'] or ''}".strip(),
                    to_do=f"pip install {used['distribution']}"
                    if used["distribution"]
                    else f"register the plugin {used['plugin']!r} first (parrot_adapters.plugins.register)",
                )
            )
