"""The four scoring protocols behind published MMMB and Multilingual MMBench tables, as data.

Published numbers come from different moments of one harness (VLMEvalKit), which changed how an answer is read
and, for MMMB, what counts as one unit. Scores of two protocols cannot be compared, so each has a name and none is
a default.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from parrot_adapters.errors import ConfigError, explain, suggest
from parrot_adapters.evaluation.benchmark.benchmarks import Benchmark

__all__ = ["PROTOCOLS", "Protocol", "protocol_named"]


class Protocol(NamedTuple):
    """How replies are read and what one scored unit is."""

    name: str
    """Name that commands and configurations ask for."""
    use: str
    """When to choose it, in one line."""
    mmmb_unit: Literal["row", "circular"] = "row"
    """``circular``: rows that share ``index % 1e6`` are one unit, right only if every row is."""
    tail_only: bool = False
    """Whether a letter counts among the last four tokens only; long replies are not searched for an option's text."""
    answer_is: bool = False
    """Whether, where no letter was found, the phrase ``answer is X`` is looked for before an option's text is."""
    grouped_by_column: bool = False
    """Whether a circular set's groups come from its ``g_index`` column where it has one."""

    def unit(self, benchmark: Benchmark) -> Literal["row", "circular"]:
        """What one scored unit of ``benchmark`` is; for all but MMMB the benchmark itself says."""
        if benchmark.name == "mmmb":
            return self.mmmb_unit
        return "circular" if benchmark.circular else "row"


PROTOCOLS = {
    p.name: p
    for p in (
        Protocol(
            "paper-2024",
            mmmb_unit="circular",
            use="compare with the tables of the PARROT paper (MMMB circular)",
        ),
        Protocol(
            "vlmevalkit-2024",
            use="compare with harness results made before August 2025",
        ),
        Protocol(
            "vlmevalkit-2025",
            tail_only=True,
            grouped_by_column=True,
            use="compare with results from August 2025 to mid June 2026",
        ),
        Protocol(
            "vlmevalkit-2026",
            tail_only=True,
            answer_is=True,
            grouped_by_column=True,
            use="compare with results made since mid June 2026",
        ),
    )
}


def protocol_named(name: str | None) -> Protocol:
    """Find a protocol; there is no default, because each gives other numbers.

    Args:
        name: Name of the protocol; None, where nobody chose one, is an error.

    Raises:
        ConfigError: The name is missing or unknown; the message lists the four and when to use which.
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    width = max(map(len, PROTOCOLS))
    table = "\n".join(f"  {p.name:<{width}}  {p.use}" for p in PROTOCOLS.values())
    if name is None:
        what = "no scoring protocol was chosen, and there is no default: each gives other numbers."
    else:
        what = f"no scoring protocol named {name!r}.{suggest(name, PROTOCOLS)}"
    raise ConfigError(explain(what) + f"\n{table}")
