"""``parrot grow``: more experts for a trained adapter, its answers unchanged until they are trained."""

from __future__ import annotations

from click import IntRange

from parrot_adapters.cli.commands import argument, option, parrot_command
from parrot_adapters.errors import ConfigError

__all__ = ["command"]


@parrot_command(
    "grow",
    examples=["parrot grow runs/mixture/adapter runs/grown --experts 1"],
)
@argument("adapter", metavar="ADAPTER", help="an adapter directory")
@argument("out", metavar="OUT", help="the directory to make")
@option("--experts", metavar="N", type=IntRange(1), help="how many to add; else one per --language")
@option("--language", metavar="TAG", multiple=True, help="language of a new expert (repeatable)")
@option("--parent", metavar="E", multiple=True, type=int, help="expert to split (repeatable)")
def command(adapter: str, out: str, experts: int | None, language: tuple[str, ...], parent: tuple[int, ...]) -> None:
    """Add experts for new languages; answers unchanged until trained.

    Each new expert is split from a trained one, and the two share its routing weight between them, so that every answer
    is what it was until they are trained.

    Exit code: 0 done, 1 refused, 2 bad usage.
    """
    if experts is None and not language:
        raise ConfigError("say how many experts to add (--experts N), or for which languages (--language TAG)")
    from parrot_adapters.adapter.grow_experts import grow_adapter
    from parrot_adapters.console import waiting

    number = experts if experts is not None else len(language)
    with waiting("growing"):
        grown, difference = grow_adapter(adapter, out, number, parents=parent or None, languages=language or None)
    new = ", ".join(map(str, range(grown.num_experts - number, grown.num_experts)))
    names = f" for {', '.join(language)}" if language else ""
    print(f"experts      {grown.num_experts - number} -> {grown.num_experts}: new ones are {new}{names}")
    print(f"answers      unchanged until trained: at most {difference:.3g} on random prompts")
    print(f"written      {out}")
