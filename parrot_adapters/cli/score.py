"""``parrot score``: score predictions that were made anywhere, under a named protocol."""

from __future__ import annotations

import argparse
import sys

from parrot_adapters.atomic_files import write_json
from parrot_adapters.cli.score_table import score_table
from parrot_adapters.evaluation import (
    BENCHMARKS,
    PROTOCOLS,
    benchmark_named,
    load_languages,
    protocol_named,
    score_predictions,
)

__all__ = ["command"]


def command(argv: list[str]) -> int:
    """Score a file of predictions, write ``OUT.json``, print a table. 0 done; 2 bad usage."""
    asked = _parser().parse_args(argv)
    protocol = protocol_named(asked.protocol)
    benchmark = benchmark_named(asked.benchmark)
    if asked.language_data:
        load_languages(asked.language_data)
    detector = None
    if asked.detector:
        from parrot_adapters.evaluation.matching.plain_text_detector import text_detector

        detector = text_detector(asked.detector)
    report = score_predictions(
        asked.data, asked.predictions, protocol, benchmark, detector=detector, detector_name=asked.detector or "script"
    )
    from rich.console import Console

    from parrot_adapters.evaluation.scores.erosion import analyse

    analysis = analyse(report)
    write_json(asked.json, report.as_json() | {"statistics": analysis.as_json()})
    Console().print(score_table(report, analysis))
    for warning in report.warnings:
        print(f"parrot score: note: {warning}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    protocols = "\n".join(f"  {p.name:<16}{p.use}" for p in PROTOCOLS.values())
    parser = argparse.ArgumentParser(
        prog="parrot score",
        description=__doc__,
        epilog=f"protocols (there is no default):\n{protocols}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--benchmark", required=True, metavar="NAME", help=" or ".join(BENCHMARKS))
    parser.add_argument("--data", required=True, metavar="DIR", help="directory of MMMB_<language>.tsv files")
    parser.add_argument(
        "--predictions",
        required=True,
        metavar="FILE",
        help='JSON lines {"lang", "index", "prediction"}, or a result file of the harness (xlsx, tsv, json)',
    )
    parser.add_argument("--protocol", metavar="NAME", help="one of the four below; required")
    parser.add_argument("--json", required=True, metavar="OUT.json", help="where the result goes")
    parser.add_argument("--language-data", metavar="FILE", help="more languages for the robust matcher, as JSON")
    parser.add_argument(
        "--detector",
        metavar="NAME",
        help="a plugin's language detector for replies (else their script is read)",
    )
    return parser
