"""How an adapter routes each language on average, kept beside its weights.

    observer = RoutingObserver()
    with handle.add_observer(observer), handle.languages(...):
        ...                                                   # a pass over validation data, for example
    handle.save_pretrained("my-adapter")
    write_language_routing("my-adapter", observer.statistics())  # or: parrot measure-routing my-adapter --model ...
    freeze_routing("my-adapter", "my-adapter-tr", language="tr")

``parrot train`` stores it with every adapter it finishes whose samples say their language.

``routing.json`` names the weights it was measured with by their checksum. When the adapter is trained on and saved
again it no longer counts; the other files know nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from parrot_adapters.adapter.adapter_files import CONFIG, WEIGHTS
from parrot_adapters.atomic_files import as_path, write_json
from parrot_adapters.bounded_json import read_json_object
from parrot_adapters.errors import CheckpointError, ConfigError, explain, writing

if TYPE_CHECKING:
    from parrot_adapters.core import RoutingStatistics

__all__ = ["LanguageRouting", "read_language_routing", "write_language_routing"]

FILE = "routing.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class LanguageRouting:
    """The mean routing of one language.

    Attributes:
        weights: Mean routing weights, E numbers, after ``top_k``.
        decisions: Number of images that they are the mean of (of visual tokens, for a router that routes each token).
    """

    weights: tuple[float, ...]
    decisions: int


def write_language_routing(adapter: str | Path, statistics: RoutingStatistics) -> dict[str, LanguageRouting]:
    """Store the mean routing of each language beside a saved adapter, in ``routing.json``.

    Languages that were stored for the same weights stay; those of other weights go.

    Args:
        adapter: Directory of the adapter, with the very weights that were observed.
        statistics: Routing statistics of passes whose languages were declared or detected.

    Returns:
        Everything stored now, by BCP-47 tag.

    Raises:
        CheckpointError: There is no adapter, or its directory cannot be written.
        ConfigError: No language is known, or the statistics are of another number of experts.
    """
    directory, checksum, experts = _adapter(adapter)
    measured = {
        language: LanguageRouting(tuple(weights), statistics.counts[language])
        for language, weights in sorted(statistics.by_language.items())
        if language
    }
    if not measured:
        raise ConfigError("no language is known of what was routed: declare it with handle.languages([...])")
    if statistics.num_experts != experts:
        raise ConfigError(f"routing over {statistics.num_experts} experts is not that of an adapter of {experts}")
    stored = read_language_routing(directory) | measured
    described = {
        "format_version": FORMAT_VERSION,
        "weights_checksum": checksum,
        "languages": {
            language: {"weights": list(one.weights), "decisions": one.decisions} for language, one in stored.items()
        },
    }
    with writing(directory / FILE):
        write_json(directory / FILE, described, indent=2)
    return stored


def read_language_routing(adapter: str | Path) -> dict[str, LanguageRouting]:
    """Read the mean routing of each language that was measured with a saved adapter's present weights.

    Args:
        adapter: Directory of the adapter.

    Returns:
        Mean routing by BCP-47 tag; empty where nothing was measured, or only for other weights.

    Raises:
        CheckpointError: There is no adapter, or its ``routing.json`` cannot be understood.
    """
    directory, checksum, experts = _adapter(adapter)
    path = directory / FILE
    if not path.is_file():
        return {}
    described = read_json_object(path)
    measured_with = described.get("weights_checksum", described.get("weights_sha256"))  # the latter before version 3
    if measured_with != checksum:
        return {}
    try:
        found = {
            language: LanguageRouting(tuple(map(float, one["weights"])), int(one["decisions"]))
            for language, one in described["languages"].items()
        }
    except (ArithmeticError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(explain(f"{path} cannot be understood.", because=repr(error))) from error
    if any(len(one.weights) != experts for one in found.values()):
        raise CheckpointError(f"{path} does not hold one weight for each of {experts} experts")
    return found


def _adapter(adapter: str | Path) -> tuple[Path, str, int]:
    """Directory, checksum of the weights, number of experts."""
    from parrot_adapters.adapter.read_adapter_files import read_adapter

    directory = as_path(adapter, "adapter")
    stored = read_adapter(directory)
    stored.require_weights()
    described = read_json_object(directory / CONFIG)
    return directory, str(described["files"][WEIGHTS]), stored.config.num_experts
