"""``parrot env``: what a bug report should say of the machine and of what is installed."""

from __future__ import annotations

import os
import platform
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from parrot_adapters.cli.commands import option, parrot_command

__all__ = ["command"]

PACKAGES = (
    "parrot_adapters",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "safetensors",
    "huggingface_hub",
    "datasets",
)


@parrot_command(
    "env",
    examples=["parrot env --json"],
)
@option("--json", "as_json", is_flag=True, help="print only a JSON document")
def command(as_json: bool) -> None:
    """Versions, device and plugins: what to paste into a bug report."""
    from parrot_adapters.console import print_json, waiting

    with waiting("looking"):
        found = {
            "python": platform.python_version(),
            "executable": sys.executable,
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "packages": {name: _version(name) for name in PACKAGES},
            "torch": _torch(),
            "plugins": _plugins(),
        }
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        if isinstance(value, dict):
            for key, one in value.items():
                print(f"{f'{name}.{key}':<40}{'not installed' if one is None else one}")
        else:
            print(f"{name:<40}{value}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _torch() -> dict[str, Any]:
    import torch

    kind = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "built for": f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU",
        "accelerator": "none" if kind is None else kind.type,
        "devices": ", ".join(names) or "none",
        "threads": torch.get_num_threads(),
    }


def _plugins() -> dict[str, str]:
    """Every distribution with plugins, and what failed."""
    from parrot_adapters.errors import ParrotWarning
    from parrot_adapters.plugins import installed, manager

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ParrotWarning)  # said below
        manager.examine()
        failures = manager.failures()
    found = {point.dist.name: point.dist.version for point in installed() if point.dist}
    return found | {info.name: f"{'left out' if info.barred else 'FAILED'}: {info.error}" for info in failures}
