"""An explanation as a picture (PNG) and as one self-contained page (HTML)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from parrot_adapters.errors import MissingDependencyError
from parrot_adapters.pages import data_url, render_page

if TYPE_CHECKING:
    from parrot_adapters.analysis.explain import Explanation

__all__ = ["explanation_page", "explanation_png"]

INK, GRID = "#3b4252", "#d8dee9"


def explanation_png(explanation: Explanation) -> bytes:
    """Routing of each prompt, and what each expert is worth to its answer; prompts are numbered as in the table.

    Numbers stand for prompts because no font has every script; the table and the page spell them out.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("drawing needs matplotlib\n  to do  pip install matplotlib") from error
    seen = explanation.prompts
    weights = [prompt.weights for prompt in seen]
    worth = [[other.kl for other in prompt.ablated] for prompt in seen]
    names = [f"{n} ({p.language})" if p.language else str(n) for n, p in enumerate(seen, 1)]
    with matplotlib.rc_context({"font.size": 9, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": GRID}):
        figure = Figure(figsize=(2.4 + 1.1 * explanation.num_experts, 1.3 + 0.42 * len(seen)), layout="constrained")
        axes = figure.subplots(1, 2)
        for axis, title, values, most, form in (
            (axes[0], "routing weight", weights, 1.0, "{:.2f}"),
            (axes[1], "lost without it (KL, nats)", worth, max(map(max, worth)) or 1.0, "{:.3f}"),
        ):
            axis.imshow(values, vmin=0, vmax=most, cmap="Blues", aspect="auto")
            for row, line in enumerate(values):
                for column, value in enumerate(line):
                    colour = "white" if value > 0.6 * most else INK
                    axis.text(column, row, form.format(value), ha="center", va="center", color=colour, fontsize=8)
            axis.set_title(title, fontsize=9)
            axis.set_xticks(range(explanation.num_experts))
            axis.set_xlabel("expert")
            axis.set_yticks(range(len(seen)), names if axis is axes[0] else [""] * len(seen))
            axis.tick_params(length=0, colors=INK)
        axes[0].set_ylabel("prompt")
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=150)
    return data.getvalue()


def explanation_page(explanation: Explanation, picture: bytes | None = None) -> str:
    """One HTML page that loads nothing from anywhere.

    Args:
        explanation: what to show.
        picture: PNG bytes of what the prompts are about, shown beside them.

    Raises:
        MissingDependencyError: jinja2 is not installed.
    """
    return render_page(
        "parrot_adapters.analysis",
        "explanation.html",
        filters={"two": lambda value: f"{value:.2f}", "nats": lambda value: f"{value:.3f}"},
        explanation=explanation,
        most=max((other.kl for p in explanation.prompts for other in p.ablated), default=0.0) or 1.0,
        picture=None if picture is None else data_url(picture),
    )
