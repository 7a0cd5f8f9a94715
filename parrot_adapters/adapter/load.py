"""Attach an adapter that was saved."""

from __future__ import annotations

import os
from typing import Any

from parrot_adapters.adapter.attach import attach_layer, bare_on_failure, find_unattached_parts
from parrot_adapters.adapter.handle import Attachment
from parrot_adapters.adapter.hub_transfer import local_directory
from parrot_adapters.adapter.prepare_stored import prepare_stored
from parrot_adapters.adapter.read_adapter_files import read_adapter

__all__ = ["load_adapter"]


def load_adapter(
    model: Any,
    directory: str | os.PathLike[str],
    *,
    processor: Any = None,
    strict: bool = False,
    freeze_host: bool = True,
    revision: str | None = None,
    subfolder: str | None = None,
    token: str | bool | None = None,
) -> Attachment:
    """Attach a saved adapter. Everything is read and checked before the host is touched.

    Args:
        model: Host of the kind that the adapter was made for.
        directory: Directory that :meth:`Attachment.save_pretrained` or a ``Trainer`` wrote, or a Hub name
            ``owner/name``.
        processor: Processor or tokenizer of the host; only an adapter with a language detector needs it.
        strict: Whether a host of the same architecture with other weights, or without what peft had put on it when the
            adapter was saved, is refused (default: a warning).
        freeze_host: Whether gradients into the host's own weights are stopped (default: yes), as for :func:`attach`.
        revision: Branch, tag or commit on the Hub; None (default) for its main branch.
        subfolder: Folder in the directory or repository that holds the adapter; None (default) for the whole.
        token: Token of the Hub; None (default) for the one that this machine has stored.

    Returns:
        The handle. As a context manager it detaches on leaving.

    Raises:
        CheckpointError: Not an adapter's directory, damaged, of a newer format, or holding NaN.
        HostMismatchError: The adapter was made for another architecture (or other weights, with ``strict``).
        PluginError: A plugin that it needs is missing.
        AlreadyAttachedError: The host carries an adapter.
    """
    stored = read_adapter(local_directory(directory, revision=revision, subfolder=subfolder, token=token))
    parts = find_unattached_parts(model, stored.config)
    made = prepare_stored(parts, stored, processor=processor, strict=strict)
    with bare_on_failure(model, parts, owns_projector=made.owns_projector):
        handle = attach_layer(
            parts,
            made.config,
            made.layer,
            chat=made.chat,
            detector=made.detector,
            owns_projector=made.owns_projector,
            lora=made.lora,
            freeze_host=freeze_host,
            wrapper=model,
            host_seen=made.host_seen,
        )
        handle.take_over(projector=made.projector_weights, lora=made.lora_weights, source=made.source)
        return handle
