"""Adapters from and to the Hugging Face Hub."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from parrot_adapters.adapter.adapter_files import CARD
from parrot_adapters.adapter.model_card import CardFacts
from parrot_adapters.adapter.save import write_adapter
from parrot_adapters.adapter.snapshot import AdapterSnapshot
from parrot_adapters.atomic_files import as_path
from parrot_adapters.errors import CheckpointError, ConfigError, explain

__all__ = ["local_directory", "upload_adapter"]


def local_directory(
    directory: str | os.PathLike[str],
    *,
    revision: str | None = None,
    subfolder: str | None = None,
    token: str | bool | None = None,
) -> Path:
    """A directory as it is; a name ``owner/name`` that is none is fetched from the Hub.

    Args:
        directory: Directory or Hub name.
        revision: Branch, tag or commit on the Hub; None (default) for its main branch.
        subfolder: Folder in it that holds the adapter; None (default) for the whole. From the Hub, nothing else is
            fetched.
        token: Of the Hub; None (default) for the one that this machine has stored, False for none.

    Raises:
        CheckpointError: The Hub does not give it.
        ConfigError: A revision of a local directory, or a subfolder outside it.
    """
    path, inner = as_path(directory, "directory"), PurePosixPath(subfolder or "")
    if inner.is_absolute() or ".." in inner.parts:
        raise ConfigError(f"subfolder={subfolder!r} must be a folder inside {directory}")
    if os.path.exists(path) or str(directory).count("/") != 1 or str(directory).startswith((".", "/", "~")):
        if revision is not None:
            raise ConfigError(
                explain(
                    f"revision={revision!r} names a version on the Hub, and {str(directory)!r} is a directory here.",
                    to_do="leave revision out, or give a Hub name: owner/name",
                )
            )
        return path / inner
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = f"{inner}/*" if subfolder else None
    try:
        found = snapshot_download(str(directory), revision=revision, token=token, allow_patterns=wanted)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise CheckpointError(
            explain(
                f"no directory {str(directory)!r}, and the Hub has not given it.",
                revision=revision,
                hub_says=error,
                to_do="check the name and the revision; a private repository needs token=, or hf auth login",
            )
        ) from error
    return Path(found) / inner


def upload_adapter(
    snapshot: AdapterSnapshot,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    facts: CardFacts | None = None,
    **options: Any,
) -> Any:
    """Upload an adapter; what its owner wrote in the model card on the Hub stays.

    Args:
        snapshot: The adapter.
        repo_id: Name of the repository, ``owner/name``; made if needed.
        private: Whether a repository that is made is private; None for its owner's default.
        token: Of the Hub; None for the one that this machine has stored.
        revision: Branch, made if needed; None for the main one.
        facts: What its model card says besides; None for nothing.
        options: Further arguments of ``huggingface_hub.HfApi.upload_folder``.

    Returns:
        What ``upload_folder`` returns.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    api.create_repo(repo_id, private=private, exist_ok=True)
    if revision is not None and not revision.startswith("refs/"):
        api.create_branch(repo_id, branch=revision, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        if api.file_exists(repo_id, CARD, revision=revision):
            shutil.copyfile(api.hf_hub_download(repo_id, CARD, revision=revision), Path(folder) / CARD)
        write_adapter(snapshot, Path(folder), facts)
        return api.upload_folder(repo_id=repo_id, folder_path=folder, revision=revision, **options)
