"""``parrot freeze-routing``: an adapter with constant routing, as one plain expert that needs no prompt."""

from __future__ import annotations

from collections.abc import Sequence

from parrot_adapters.cli.commands import argument, device_option, option, parrot_command
from parrot_adapters.cli.measure_routing import read_prompts
from parrot_adapters.errors import ConfigError

__all__ = ["command"]


@parrot_command(
    "freeze-routing",
    examples=["parrot freeze-routing runs/mixture/adapter runs/turkish --language tr"],
)
@argument("adapter", metavar="ADAPTER", help="an adapter directory")
@argument("out", metavar="OUT", help="the directory to make")
@option("--language", metavar="TAG", help="BCP-47 tag, such as tr")
@option("--weights", metavar="P,P,...", help="one weight per expert")
@option("--prompts", metavar="FILE", help="prompts of the language, one per line")
@option("--model", metavar="DIR", help="the host, for --prompts")
@option("--image", metavar="FILE", multiple=True, help="picture to ask about (repeatable); else grey")
@device_option("the host of --prompts")
def command(
    adapter: str,
    out: str,
    language: str | None,
    weights: str | None,
    prompts: str | None,
    model: str | None,
    image: tuple[str, ...],
    device: str,
) -> None:
    """Fold an adapter under one language's routing into one plain expert.

    The result needs no prompt. The routing is the router's own for that language where it has one (language-id), or
    what parrot measure-routing stored, or --weights, or measured over --prompts.

    Exit code: 0 done, 1 refused, 2 bad usage.
    """
    shares = None if weights is None else _numbers(weights)
    if prompts is not None and (shares is not None or model is None):
        raise ConfigError("--prompts needs --model, and excludes --weights")
    from parrot_adapters.adapter.fold_experts import freeze_routing, require_foldable
    from parrot_adapters.console import waiting

    require_foldable(adapter)  # before anything is measured
    if prompts is not None and model is not None:
        shares = _measured(model, adapter, read_prompts(prompts), image, language, device)
    with waiting("folding"):
        done = freeze_routing(adapter, out, weights=shares, language=language)
    before, after = done.parameters
    print(f"routing      {', '.join(f'{share:.4f}' for share in done.weights)}")
    print(f"experts      one {done.expert} of hidden size {done.hidden_size} ({before:,} -> {after:,} parameters)")
    print(f"verified     largest difference {done.difference:.3g} on random tokens (allowed {done.bound:.3g})")
    print(f"written      {out}")


def _measured(
    model: str, adapter: str, prompts: list[str], images: Sequence[str], language: str | None, device: str
) -> list[float]:
    from parrot_adapters.analysis.measure_routing import measure_routing
    from parrot_adapters.console import progress

    with progress("measuring") as shown:
        mean, spread = measure_routing(
            model, adapter, prompts, images=images, language=language, device=device, progress=shown
        )
    print(f"measured     over {len(prompts)} prompts; weights vary by up to {float(spread.max()):.4f} (one std)")
    weights: list[float] = mean.tolist()
    return weights


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--weights {text!r} must be numbers with commas between them, such as 0.1,0.9") from None
