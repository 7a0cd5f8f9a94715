"""``parrot freeze-routing``: an adapter with constant routing, as one plain expert that needs no prompt."""

from __future__ import annotations

import argparse

from parrot_adapters.cli.measure_routing import read_prompts
from parrot_adapters.errors import ConfigError

__all__ = ["command"]


def command(argv: list[str]) -> int:
    """Convert, verify, say how close. 0 done; 1 refused; 2 bad usage."""
    asked = _parser().parse_args(argv)
    weights = None if asked.weights is None else _numbers(asked.weights)
    if asked.prompts is not None:
        if weights is not None or asked.model is None:
            raise ConfigError("--prompts needs --model, and excludes --weights")
        weights = _measured(asked)
    from parrot_adapters.adapter.fold_experts import freeze_routing

    done = freeze_routing(asked.adapter, asked.out, weights=weights, language=asked.language)
    before, after = done.parameters
    print(f"routing      {', '.join(f'{share:.4f}' for share in done.weights)}")
    print(f"experts      one {done.expert} of hidden size {done.hidden_size} ({before:,} -> {after:,} parameters)")
    print(f"verified     largest difference {done.difference:.3g} on random tokens (allowed {done.bound:.3g})")
    print(f"written      {asked.out}")
    return 0


def _measured(asked: argparse.Namespace) -> list[float]:
    from parrot_adapters.analysis.measure_routing import measure_routing

    prompts = read_prompts(asked.prompts)
    mean, spread = measure_routing(
        asked.model, asked.adapter, prompts, images=asked.image or (), language=asked.language
    )
    print(f"measured     over {len(prompts)} prompts; weights vary by up to {float(spread.max()):.4f} (one std)")
    weights: list[float] = mean.tolist()
    return weights


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--weights {text!r} must be numbers with commas between them, such as 0.1,0.9") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parrot freeze-routing",
        description="Fold an adapter's mixture, under one language's routing, into one plain expert that needs no "
        "prompt. The routing is the router's own for that language where it has one (language-id), or what parrot "
        "measure-routing stored, or --weights, or measured over --prompts.",
    )
    parser.add_argument("adapter", metavar="ADAPTER", help="an adapter directory")
    parser.add_argument("out", metavar="OUT", help="the directory to make")
    parser.add_argument("--language", metavar="TAG", help="BCP-47 tag, such as tr")
    parser.add_argument("--weights", metavar="P,P,...", help="one weight per expert")
    parser.add_argument("--prompts", metavar="FILE", help="prompts of the language, one per line")
    parser.add_argument("--model", metavar="DIR", help="the host, for --prompts")
    parser.add_argument("--image", metavar="FILE", action="append", help="picture to ask about (repeatable); else grey")
    return parser
