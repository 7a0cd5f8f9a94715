"""``parrot diagnose``: does an adapter tell languages apart, keep what pictures show, and use its experts?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from parrot_adapters.cli.commands import device_option, json_option, option, parrot_command
from parrot_adapters.errors import ConfigError
from parrot_adapters.evaluation import BENCHMARKS, PROMPT_STYLES
from parrot_adapters.evaluation.benchmark.prompts import QUESTION_ALONE

if TYPE_CHECKING:
    from parrot_adapters.analysis.diagnose import Diagnosis
    from parrot_adapters.console import Table

__all__ = ["command", "diagnosis_lines", "diagnosis_tables"]


@parrot_command(
    "diagnose",
    examples=[
        "parrot diagnose --model example:emoji/host --adapter runs/mixture/adapter --data example:emoji --limit 4"
    ],
)
@option("--model", required=True, metavar="DIR_OR_NAME", help="a vision-language model of transformers")
@option("--adapter", required=True, metavar="DIR", help="an adapter made for it")
@option("--benchmark", default="emoji", metavar="NAME", help=", ".join(BENCHMARKS))
@option("--data", required=True, metavar="DIR", help="directory of the benchmark's TSV files")
@option("--second-view", metavar="DIR", help="the benchmark's files with other pictures of the same things: retrieval")
@option("--languages", default="", show_default=False, metavar="en,ar,...", help="which of them (all that are there)")
@option("--prompt-style", default="default", metavar="NAME", help=", ".join(PROMPT_STYLES))
@option("--limit", type=int, default=40, metavar="N", help="questions of each language")
@device_option()
@json_option()
@option("--strict", is_flag=True, help="exit 1 when something is flagged")
def command(json_file: str | None, strict: bool, **asked: Any) -> int:
    """Languages told apart, pictures kept, experts used, faults.

    Exit code: 0 whatever was found (with --strict: 1 when something is flagged), 2 bad usage.
    """
    if asked["limit"] < 1:
        raise ConfigError(f"--limit must be at least 1, not {asked['limit']}")
    from parrot_adapters.console import print_or_write_json, show

    found = _diagnose(**asked)
    if json_file != "-":
        show(*diagnosis_tables(found), *diagnosis_lines(found))
    print_or_write_json(found.to_dict(), json_file)
    return 1 if strict and found.flags() else 0


def _diagnose(
    model: str,
    adapter: str,
    benchmark: str,
    data: str,
    second_view: str | None,
    languages: str,
    prompt_style: str,
    limit: int,
    device: str,
) -> Diagnosis:
    from parrot_adapters.analysis import benchmark_samples as samples_of
    from parrot_adapters.analysis.diagnose import diagnose
    from parrot_adapters.console import progress, waiting
    from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost

    chosen = [code.strip() for code in languages.split(",") if code.strip()]
    questions = samples_of.benchmark_questions(benchmark, data, chosen, limit, prompt_style)
    views = samples_of.second_view(questions, second_view, benchmark) if second_view else None
    with waiting("loading the host"):
        host = EvaluationHost.load(model, adapter=adapter, device=device)
        alone = prompt_style == QUESTION_ALONE
        samples = samples_of.benchmark_samples(host, questions, by_text=alone, second_view=views)
    with progress("diagnosing") as shown:
        return diagnose(host.adapter, samples, progress=shown)


def diagnosis_tables(found: Diagnosis) -> list[Table]:
    """Routing by language; languages as told by it; accuracy without each expert; what faults cost."""
    experts = [f"e{e}" for e in range(found.routing.num_experts)]
    rows = [(x or "?", [f"{w:.2f}" for w in row]) for x, row in found.routing.by_language.items()]
    tables = [_table("Mean routing weights", experts, rows)]
    if found.probe is not None:
        probe = found.probe
        cells = [(x, [f"{v:.0%}" for v in row]) for x, row in zip(probe.languages, probe.confusion, strict=True)]
        title = f"Language told by routing: {probe.accuracy:.0%} right (chance {probe.chance:.0%})"
        tables.append(_table(title, [f"as {x}" for x in probe.languages], cells))
    if found.accuracy:
        cells = [
            (x, [f"{found.host_accuracy[x]:.0%}", f"{value:.0%}", *(f"{a - value:+.0%}" for a in found.ablation[x])])
            for x, value in found.accuracy.items()
        ]
        columns = ["host", "adapter", *(f"- {e}" for e in experts)]
        tables.append(_table("Accuracy, and its change without each expert", columns, cells))
    if found.faults:
        names = list(found.faults)
        languages = dict.fromkeys(x for by in found.faults.values() for x in by)
        cells = [(x, [_lost(found, name, x) for name in names]) for x in languages]
        tables.append(_table("Accuracy lost by a fault", names, cells))
    return tables


def diagnosis_lines(found: Diagnosis) -> list[str]:
    """What is not a table: pictures, purity, and every flag."""
    kept, routing = found.preservation, found.routing
    where = "" if kept.where == "projector" else f" as the {kept.where} leaves them"
    lines = [
        f"visual tokens{where}: cosine {kept.shift.cosine:.3f}, relative change {kept.shift.relative_norm:.3f}, "
        f"linear CKA {kept.cka:.3f} over {kept.tokens} tokens"
    ]
    if kept.retrieval_before is not None and kept.retrieval_after is not None:
        lines.append(f"another view found: {kept.retrieval_before:.0%} before, {kept.retrieval_after:.0%} after")
    if kept.category_before is not None and kept.category_after is not None and kept.category_chance is not None:
        told = f"{kept.category_before:.0%} before, {kept.category_after:.0%} after (chance {kept.category_chance:.0%})"
        lines.append(f"category told by the mean visual token: {told}")
    if routing.purity is not None and routing.language_information is not None:
        lines.append(
            f"purity {routing.purity:.2f} (one expert for all: {routing.purity_by_chance:.2f}), "
            f"language and expert share {routing.language_information:.2f} nats"
        )
    return [*lines, *(f"FLAG  {flag}" for flag in found.flags() or ["none"])]


def _lost(found: Diagnosis, name: str, language: str) -> str:
    fault = found.faults[name].get(language)
    return "" if fault is None else f"{fault.lost:+.0%}"


def _table(title: str, columns: Sequence[str], rows: Sequence[tuple[str, list[str]]]) -> Table:
    from parrot_adapters.console import Table

    return Table(("language", *columns), [(name, *cells) for name, cells in rows], title=title)
