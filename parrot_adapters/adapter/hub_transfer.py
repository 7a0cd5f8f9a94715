"""Adapters from and to the Hugging Face Hub."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from parrot_adapters.adapter.adapter_files import CARD
from parrot_adapters.adapter.save import write_adapter
from parrot_adapters.adapter.snapshot import AdapterSnapshot
from parrot_adapters.errors import CheckpointError, explain

__all__ = ["local_directory", "upload_adapter"]


def local_directory(directory: str | os.PathLike[str]) -> Path:
    """A directory as it is; a name ``owner/name`` that is none is fetched from the Hub.

    Raises:
        CheckpointError: The Hub does not give it.
    """
    path = Path(directory)
    if os.path.exists(path) or str(directory).count("/") != 1 or str(directory).startswith((".", "/", "~")):
        return path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(directory)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise CheckpointError(
            explain(f"no directory {str(directory)!r}, and the Hub has not given it.", hub_says=error)
        ) from error


def upload_adapter(snapshot: AdapterSnapshot, repo_id: str, **options: Any) -> Any:
    """Upload an adapter; what its owner wrote in the model card on the Hub stays.

    Args:
        snapshot: The adapter.
        repo_id: Name of the repository, ``owner/name``; made if needed.
        options: Further arguments of ``huggingface_hub.HfApi.upload_folder``.

    Returns:
        What ``upload_folder`` returns.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(repo_id, exist_ok=True)
    revision = options.get("revision")
    with tempfile.TemporaryDirectory() as folder:
        if api.file_exists(repo_id, CARD, revision=revision):
            shutil.copyfile(api.hf_hub_download(repo_id, CARD, revision=revision), Path(folder) / CARD)
        write_adapter(snapshot, Path(folder))
        return api.upload_folder(repo_id=repo_id, folder_path=folder, **options)
