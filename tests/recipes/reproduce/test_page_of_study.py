"""The study's page: what was decided and what was not stands on it, and it can be read on a phone."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from parrot_recipes.reproduce.conclusion import conclusions
from parrot_recipes.reproduce.report import write_report
from support.browser import needs_a_browser, width_needed

STORED = Path(__file__).resolve().parents[3] / "recipes" / "reproduce" / "results" / "remedies.json"


@pytest.fixture
def described():
    return json.loads(STORED.read_text("utf-8"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The page of the stored results, and its figures as matplotlib has them."""
    figures, savefig = [], Figure.savefig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda self, *a, **k: (figures.append(self), savefig(self, *a, **k))[1])
        page = write_report(json.loads(STORED.read_text("utf-8")), tmp_path_factory.mktemp("page"))
    return page.read_text("utf-8"), figures


def test_planned_comparisons_stand_on_the_page_decided_or_not(described, drawn):
    remedies = described["regimes"][described["main"]]["remedies"]
    table = drawn[0].split("Comparisons that were planned")[1].split("</table>")[0]
    rows = table.split("<tr>")[2:]
    assert len(rows) == len(remedies["planned"]) > 0
    for row, pair in zip(rows, remedies["planned"], strict=True):
        assert f"{remedies['arms'][pair['ours']]['title']} − {remedies['arms'][pair['theirs']]['title']}" in row
        assert f"{100 * pair['value']:+.1f} (" in row
        assert f"<td>{pair['p_holm']:.3f}</td>" in row
        assert ("<td>yes</td>" in row) == pair["decided"]
        assert ('class="up"' in row) == (pair["decided"] and pair["value"] > 0), "coloured only where decided"


def test_who_gains_most_is_not_called_the_best_where_nothing_parts_it_from_others(described):
    remedies = described["regimes"][described["main"]]["remedies"]
    sentence = "LoRA r = 24 gains most, but is not told apart from: one expert in the layers; in the layers, shared"
    assert sentence in " ".join(conclusions(described))
    for pair in remedies["planned"]:
        pair["decided"] = True
    assert "not told apart" not in " ".join(conclusions(described))


def test_gains_stand_from_the_largest_with_their_intervals(described):
    [said] = [sentence for sentence in conclusions(described) if "repair erosion" in sentence]
    arms = described["regimes"][described["main"]]["arms"].values()
    gains = {arm["title"]: arm["gain"] for arm in arms if arm.get("verdict", {}).get("repairs")}
    listed = said.split("gains in points: ")[1].removesuffix(". No other arm does.").split("; ")
    parts = [re.fullmatch(r"(.*) (\S+) \((\S+) to (\S+)\)", one).groups() for one in listed]
    assert {title: [float(x) for x in numbers] for title, *numbers in parts} == {
        title: [round(100 * gain[name], 1) for name in ("value", "low", "high")] for title, gain in gains.items()
    }
    values = [float(value) for _, value, *_ in parts]
    assert values == sorted(values, reverse=True)
    assert len(values) > 3


def test_adapters_of_several_sizes_are_not_said_to_be_of_one(described, drawn):
    sizes = {run["parameters"] for run in described["runs"] if run["regime"] == described["main"]} - {0}
    least, most = min(sizes), max(sizes)
    assert most > 1.5 * least
    assert f"hold about {round(least, -3):,} to {round(most, -3):,} parameters" in " ".join(drawn[0].split())


def test_titles_of_panels_stand_beside_each_other(drawn):
    found = 0
    for figure in drawn[1]:
        renderer = FigureCanvasAgg(figure).get_renderer()
        titled = [axes for axes in figure.axes if axes.get_title(loc="left")]
        ends = [axes._left_title.get_window_extent(renderer) for axes in titled]
        for one, other in pairwise(ends):
            found += 1
            assert one.x1 < other.x0 or other.y1 < one.y0, "a title runs into the next one"
    assert found >= 3


@pytest.mark.slow
@needs_a_browser
def test_no_sideways_scrolling_on_a_phone(drawn):
    assert width_needed(drawn[0], 390) == 390
    assert width_needed(drawn[0].replace("overflow-wrap: break-word", ""), 390) > 390, "the check bites"
