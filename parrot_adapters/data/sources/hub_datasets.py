"""Records through ``datasets``: data sets of the Hub, parquet files, whatever else it reads. Pictures stay encoded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parrot_adapters.data.sources.source import IndexedSource, Source
from parrot_adapters.errors import DataError, MissingDependencyError, explain, first_line

__all__ = ["HubRecords", "HubStream", "cache_folders", "is_hub_name", "open_by_datasets", "read_by_datasets"]

BUILDERS = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".json": "json",
    ".jsonl": "json",
    ".csv": "csv",
    ".tsv": "csv",
}
ONLY_DATASETS = (".parquet", ".arrow", ".csv")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")


def is_hub_name(path: str) -> bool:
    """Whether a path that is no file reads like ``OWNER/NAME`` or ``OWNER/NAME:CONFIG``."""
    looks_so = HUB_NAME.fullmatch(path) is not None and Path(path).suffix.lower() not in (*BUILDERS, ".tar")
    return looks_so and not Path(path).exists()


def read_by_datasets(path: str) -> bool:
    """Whether only ``datasets`` can read it."""
    return is_hub_name(path) or (Path(path).suffix.lower() in ONLY_DATASETS and Path(path).is_file())


def cache_folders() -> tuple[Path, ...]:
    """Where ``datasets`` keeps the files of data sets that it downloaded; none where it is not installed."""
    try:
        from datasets.config import HF_DATASETS_CACHE
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return ()
    return (Path(HF_DATASETS_CACHE), Path(HF_HUB_CACHE))


def open_by_datasets(path: str, *, streaming: bool) -> Source:
    """The records of a file or a data set of the Hub.

    Args:
        path: a file, a directory or a Hub name; a name is downloaded, unless it is streamed.
        streaming: spare the index.

    Raises:
        DataError: it cannot be loaded.
        MissingDependencyError: ``datasets`` is not installed.
    """
    return HubStream(path) if streaming else HubRecords(path)


class HubRecords(IndexedSource):
    """Records by number, of a data set on disk (``datasets`` maps its files into memory).

    Args:
        path: a file, or a Hub name, which is downloaded.

    Raises:
        DataError: it cannot be loaded.
        MissingDependencyError: ``datasets`` is not installed.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._data = _load(path, streaming=False)
        for name, feature in self._data.features.items():
            if (encoded := _encoded(feature)) != feature:
                self._data = self._data.cast_column(name, encoded)

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, number: int) -> Any:
        return self._data[number]


class HubStream:
    """Records one after the other, without an index; its position can be kept and taken up again.

    Args:
        path: a file, a directory or a Hub name.

    Raises:
        DataError: it cannot be loaded.
        MissingDependencyError: ``datasets`` is not installed.
    """

    length = None

    def __init__(self, path: str) -> None:
        data = _load(path, streaming=True)
        # Columns of a table in text are known when it has been read: none of them is decoded.
        self._path, self._data, self._done = path, data if data.features is None else data.decode(False), 0

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        records = iter(self._data)
        try:
            for record in records:
                self._done += 1
                yield self._done - 1, record
        except DataError:
            raise
        except Exception as error:  # of the network, the Hub, the files
            raise _unreadable(self._path, error) from error
        finally:
            records.close()

    def state_dict(self) -> dict[str, Any]:
        """Where it is."""
        return {"done": self._done, "data": self._data.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._done = state["done"]
        self._data.load_state_dict(state["data"])


def _load(path: str, *, streaming: bool) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingDependencyError(
            "reading this source needs datasets\n  todo  pip install 'parrot_adapters[train]'"
        ) from error
    builder = BUILDERS.get(Path(path).suffix.lower())
    try:
        if builder is not None and Path(path).is_file():
            more = {"delimiter": "\t"} if path.lower().endswith(".tsv") else {}
            return datasets.load_dataset(builder, data_files=path, split="train", streaming=streaming, **more)
        name, _, config = path.partition(":")
        return datasets.load_dataset(name, config or None, split="train", streaming=streaming)
    except Exception as error:  # of the network, the Hub, the files
        raise _unreadable(path, error) from error


def _encoded(features: Any) -> Any:
    """The same features with pictures and videos as ``{"bytes", "path"}``."""
    import datasets

    if isinstance(features, dict):
        return type(features)({name: _encoded(feature) for name, feature in features.items()})
    if isinstance(features, datasets.List):
        return datasets.List(_encoded(features.feature))
    if isinstance(features, datasets.Image | datasets.Video):
        return type(features)(decode=False)
    return features


def _unreadable(path: str, error: Exception) -> DataError:
    return DataError(
        explain(
            "a data set cannot be read.",
            source=path,
            because=first_line(error),
            to_do="is the name right, and the Hub within reach? A local path must exist",
        )
    )
