"""The table of the page *Which remedy for my host?*: what each remedy is for, with the study's numbers behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parrot_recipes.emoji.languages import ENGLISH

from .registration import SPLIT

__all__ = ["WHEN", "decision_table"]

# Arms by what they are for; those that the study has not run are left out of the table.
WHEN: Mapping[str, str] = {
    "deep-declared": "text-only answers must stay as they are, and your application knows its users' language",
    "deep-taught": "text-only answers must stay as they are, and nobody says which language a prompt is in",
    "deep-1": "text-only answers must stay as they are; nothing to route, nothing to declare",
    "single": "a server takes embeddings only, so nothing can stand in the layers",
    "mixture": "you study routing: the paper's form",
    "lora-4": "text-only answers may change, perplexity may not rise; one merged model is served without any library",
    "lora-24": "text-only behaviour does not matter",
    "whole": "you may change the model, and have the memory to train all of it",
    "none": "the data alone",
}


def decision_table(found: Mapping[str, Any]) -> str:
    """Remedies with what they gain and cost, as Markdown.

    Args:
        found: of one regime of version 2 of the rules, as `results.json` holds it.
    """
    judged, scores = found["remedies"]["arms"], found["arms"]
    lines = [
        "| when | remedy | runs | five others | English | gain over no adapter | text perplexity, worst language "
        "| text-only answers kept | trained beside the projector |",
        f"|{' --- |' * 9}",
    ]
    for key, when in WHEN.items():
        if key not in judged:
            continue
        arm, choice = judged[key], scores[key]["scores"][SPLIT]["choice"]
        gain = arm.get("gain")
        cells = [
            when,
            arm["title"],
            str(arm["runs"]),
            f"{100 * choice['others']['value']:.1f}",
            f"{100 * choice[ENGLISH]['value']:.1f}",
            f"{100 * gain['value']:+.1f} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})" if gain else "",
            "0, bit for bit" if arm["leaves_text_alone"] else f"{100 * max(arm['drift'].values()):+.1f}%",
            f"{100 * arm['agreement']:.0f}%",
            f"{arm['trained_beside_projector']:,}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
