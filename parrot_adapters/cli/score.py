"""``parrot score``: score predictions that were made anywhere, under a named protocol."""

from __future__ import annotations

from parrot_adapters.cli.commands import json_option, option, parrot_command
from parrot_adapters.cli.score_table import protocol_list, score_table
from parrot_adapters.errors import ConfigError, writing
from parrot_adapters.evaluation import (
    BENCHMARKS,
    benchmark_named,
    load_languages,
    protocol_named,
)

__all__ = ["command"]


@parrot_command("score", epilog=protocol_list())
@option("--benchmark", required=True, metavar="NAME", help=" or ".join(BENCHMARKS))
@option("--data", required=True, metavar="DIR", help="directory of MMMB_<language>.tsv files")
@option(
    "--predictions",
    required=True,
    metavar="FILE",
    help='JSON lines {"lang", "index", "prediction"}, or a result file of the harness (xlsx, tsv, json)',
)
@option("--protocol", metavar="NAME", help="one of the four below; required")
@json_option(required=True)
@option("--language-data", metavar="FILE", help="more languages for the robust matcher, as JSON")
@option("--detector", metavar="NAME", help="a plugin's language detector for replies (else their script is read)")
def command(
    benchmark: str,
    data: str,
    predictions: str,
    protocol: str | None,
    json_file: str,
    language_data: str | None,
    detector: str | None,
) -> None:
    """Score predictions made elsewhere (MMMB, Multilingual MMBench).

    Exit code: 0 done, 1 failed, 2 bad usage.
    """
    by, of = protocol_named(protocol), benchmark_named(benchmark)
    if language_data:
        load_languages(language_data)
    detect = None
    if detector:
        from parrot_adapters.evaluation.matching.plain_text_detector import text_detector

        detect = text_detector(detector)
    from parrot_adapters.atomic_files import write_json
    from parrot_adapters.console import note, print_json, show, waiting
    from parrot_adapters.evaluation import score_predictions  # numpy with it: not for --help

    with waiting("scoring"):
        result = score_predictions(data, predictions, by, of, detector=detect, detector_name=detector or "script")
    if json_file == "-":
        print_json(result.as_json())
    else:
        with writing(json_file, ConfigError):
            write_json(json_file, result.as_json())
        show(score_table(result))
    for warning in result.warnings:
        note("score", warning)
