"""The multiple-choice benchmarks we can score, and where their published files come from."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import NamedTuple

from parrot_adapters.errors import ConfigError, explain, suggest
from parrot_adapters.evaluation.benchmark.tasks import CHOICE, COMPARISON, OPEN, TASKS
from parrot_adapters.language_tags import TAG, canonical_language
from parrot_adapters.plugins import blaming, manager

__all__ = ["BENCHMARKS", "HUB_DATASET", "Benchmark", "benchmark_named"]

HUB_DATASET = "AIDC-AI/Parrot-dataset"


class Benchmark(NamedTuple):
    """A set of parallel TSV files, one a language. ``Benchmark("mine", "MINE")`` reads ``MINE_en.tsv`` and so on."""

    name: str
    """Name that commands and configurations ask for."""
    stem: str
    """Start of the files' names: a language's file is ``<stem>_<code>.tsv``, Chinese being ``cn``."""
    hub_folder: str = ""
    """Folder of the published files in their dataset on the Hub; empty where none are published."""
    harness_name: str = ""
    """Name that the harness has for all languages at once."""
    md5: MappingProxyType[str, str] = MappingProxyType({})
    """MD5 of the published files, by language code; empty for a benchmark that is made here."""
    made_by: str = ""
    """Command that writes the files, where no published ones exist."""
    circular: bool = False
    """Whether a question is asked once for each of its options, rotated, and is right only if every pass is."""
    passes_in_file: bool = False
    """Whether the files hold the rotated passes already; otherwise they are made from the base rows."""
    tasks: tuple[str, ...] = (CHOICE,)
    """What its questions can be asked for; see :mod:`parrot_adapters.evaluation.benchmark.tasks`."""

    def for_task(self, task: str) -> Benchmark:
        """The benchmark whose files a task reads: comparisons have their own, ``<stem>-COMPARISON_<code>.tsv``.

        Raises:
            ConfigError: this benchmark has no such task.
        """
        if task not in self.tasks:
            raise ConfigError(
                explain(
                    f"benchmark {self.name!r} has no task {task!r}.{suggest(task, self.tasks)}",
                    has=", ".join(self.tasks),
                )
            )
        if task in OPEN:  # no options are shown, so none can be turned
            return self._replace(circular=False)
        return self._replace(stem=f"{self.stem}-COMPARISON") if task == COMPARISON else self

    def subset(self, language: str) -> str:
        """The name of a language's part, as the files spell it: ``MMMB_cn`` for ``zh``."""
        code = canonical_language(language)
        return f"{self.stem}_{'cn' if code == 'zh' else code}"

    def language(self, subset: str) -> str | None:
        """The language code of a file or part name of this benchmark, whatever its case; None if it is not one."""
        found = re.fullmatch(rf"{re.escape(self.stem)}_({TAG})", subset, re.IGNORECASE | re.ASCII)
        return canonical_language(found[1]) if found else None

    def published(self, language: str) -> str:
        """Where the published file of a language is, and its md5, in words."""
        subset = self.subset(language)
        if not self.md5:
            return f"{subset}.tsv" + (f" (written by: {self.made_by})" if self.made_by else "")
        if language not in self.md5:
            return f"{subset}.tsv (not a published language: {', '.join(self.md5)} are)"
        where = f"{self.hub_folder}/{subset.lower()}.tsv of the dataset {HUB_DATASET}"
        return f"{subset}.tsv, published as {where} (md5 {self.md5[language]})"


MMMB = Benchmark(
    "mmmb",
    "MMMB",
    "mmmb",
    "MMMB",
    MappingProxyType(
        {
            "ar": "f3a18b6385f1d9701840aa42de27aead",
            "zh": "13ed82fa89730037292fcaa27f08f430",
            "en": "1cd781a71ec5a2983c090b84105d6a01",
            "pt": "548ea2b3bb2da991790386f0015d30d1",
            "ru": "ce1cc8a0533425ab0d86b326ebfc2984",
            "tr": "0733739d43090327975294292bc5cd67",
        }
    ),
)
MMBENCH = Benchmark(
    "mmbench",
    "MMBench_dev",
    "mmbench",
    "MTL_MMBench_DEV",
    MappingProxyType(
        {
            "ar": "4271b4a0d0200e1a86380a878e0d64a4",
            "zh": "2ed5135326fed02c8e51ea50dda8222f",
            "en": "d9ab776fc018b3d45785e9a5c23431c2",
            "pt": "4ddfbcd27ef12444b908c03831cd0295",
            "ru": "5ba1171ff2e68f80637bf78349e402a5",
            "tr": "4fab39d501389d3d6cc90264bb708f11",
        }
    ),
    circular=True,
    passes_in_file=True,
)
EMOJI = Benchmark("emoji", "EMOJI", "", "EMOJI", made_by="parrot emoji export --out DIR", tasks=TASKS)

BENCHMARKS = {b.name: b for b in (MMMB, MMBENCH, EMOJI)}
"""The library's own; :func:`benchmark_named` knows those of plugins too."""


def benchmark_named(name: str) -> Benchmark:
    """Find a benchmark, one of the library's or a plugin's.

    Args:
        name: Name of the benchmark, for example ``"mmmb"``.

    Raises:
        ConfigError: There is none, or a plugin registered something else under that name.
        PluginError: Two plugins registered it, or what one registered fails.
    """
    found = manager.find("benchmark", name)
    with blaming(f"{found} could not be made."):
        made = found.factory() if callable(found.factory) else found.factory
    if not isinstance(made, Benchmark):
        raise ConfigError(
            explain(
                f"what {found.plugin} registered as the benchmark {name!r} is none.",
                given=repr(made),
                to_do="register a parrot_adapters.evaluation.Benchmark, or a function that returns one",
            )
        )
    return made._replace(name=name)
