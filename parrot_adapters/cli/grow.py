"""``parrot grow``: more experts for a trained adapter, its answers unchanged until they are trained."""

from __future__ import annotations

import argparse

from parrot_adapters.errors import ConfigError

__all__ = ["command"]


def command(argv: list[str]) -> int:
    """Grow, say what came of it. 0 done; 1 refused; 2 bad usage."""
    asked = _parser().parse_args(argv)
    languages = asked.language or None
    if asked.experts is None and languages is None:
        raise ConfigError("say how many experts to add (--experts N), or for which languages (--language TAG)")
    from parrot_adapters.adapter.grow_experts import grow_adapter

    number = asked.experts if asked.experts is not None else len(languages or ())
    grown, difference = grow_adapter(asked.adapter, asked.out, number, parents=asked.parent, languages=languages)
    first = grown.num_experts - number
    names = f" for {', '.join(languages)}" if languages else ""
    print(f"experts      {first} -> {grown.num_experts}: new ones are {_numbers(first, grown.num_experts)}{names}")
    print(f"answers      unchanged until trained: largest difference {difference:.3g} on random prompts")
    print(f"written      {asked.out}")
    return 0


def _numbers(first: int, end: int) -> str:
    return ", ".join(str(number) for number in range(first, end))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parrot grow",
        description="Add experts for new languages to a trained adapter. Until they are trained, every answer is what "
        "it was (python -m pydoc parrot_adapters.adapter.grow_experts says why).",
    )
    parser.add_argument("adapter", metavar="ADAPTER", help="an adapter directory")
    parser.add_argument("out", metavar="OUT", help="the directory to make")
    parser.add_argument("--experts", metavar="N", type=int, help="how many to add; else one per --language")
    parser.add_argument("--language", metavar="TAG", action="append", help="language of a new expert (repeatable)")
    parser.add_argument("--parent", metavar="E", action="append", type=int, help="expert to split (repeatable)")
    return parser
