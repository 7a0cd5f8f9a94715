"""Pages of one look: a stranger's template becomes a page that loads nothing, escapes all, reads well in the dark."""

from __future__ import annotations

import re
import sys
from importlib.resources import files
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

import parrot_adapters.pages
from parrot_adapters.errors import MissingDependencyError
from parrot_adapters.pages import data_url, flat, render_page

jinja2 = pytest.importorskip("jinja2")

INTERVAL = {"estimate": 0.4, "low": 0.25, "high": 0.5}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package of somebody else: call it with the text of its template and the page's values."""
    home = tmp_path / "stranger"
    home.mkdir()
    (home / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "stranger", raising=False)

    def rendered(template: str, **values: object) -> str:
        (home / "report.html").write_text(template, encoding="utf-8")
        return render_page("stranger", "report.html", **values)

    yield rendered
    sys.modules.pop("stranger", None)


def body(page: str) -> str:
    return page.split("<main>")[1]


def test_the_example_in_the_docstring_is_a_page(package):
    example = dedent(re.search(r"::\n\n(.*?)\n\nand beside", parrot_adapters.pages.__doc__, re.DOTALL)[1])
    page = package(example, languages={"ar": INTERVAL}, origin=flat({"host": {"width": 8}}))
    assert "<title>Accuracy by language</title>" in page
    assert "40.0 <small>25.0 to 50.0</small>" in page
    assert "left:25.0%;width:25.0%" in page
    assert "<td>host · width</td><td>8</td>" in page


def test_values_are_escaped_also_by_the_macros(package):
    evil = "<img src=x onerror=alert(1)>"
    page = package(
        '{% extends "parrot/browser.html" %}'
        '{% from "parrot/parts.html" import browsing, credits, notes, provenance %}'
        "{% block title %}{{ evil }}{% endblock %}"
        "{% block content %}{{ evil }}{{ notes([evil], evil) }}{{ provenance([(evil, evil)]) }}{{ credits([work]) }}"
        "{% call browsing(evil) %}{{ evil }}{% endcall %}{% endblock %}"
        "{% block cards %}browse(data.items, card, wanted);{% endblock %}",
        evil=evil,
        work=dict.fromkeys(["what", "who", "licence", "url", "changes"], evil),
        data={"items": [evil]},
    )
    assert "<img" not in page
    assert page.count("&lt;img") == 14


@pytest.mark.parametrize(("parent", "scripts"), [("page", False), ("browser", True)])
def test_a_page_may_load_nothing(package, parent, scripts):
    page = package(f'{{% extends "parrot/{parent}.html" %}}{{% block cards %}}{{% endblock %}}', data={})
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page)[1]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert ("script-src" in policy) == scripts, "only a page with a script may run one"
    assert not re.search(r'(?:src|href)\s*=\s*["\']', page)
    assert not re.search(r"@import|url\(|https?:", page)


def test_what_is_missing_is_named(package, monkeypatch):
    with pytest.raises(jinja2.UndefinedError, match="'nobody' is undefined"):
        package('{% extends "parrot/page.html" %}{% block content %}{{ nobody }}{% endblock %}')
    with pytest.raises(jinja2.TemplateNotFound, match=r"parrot/paeg\.html"):
        package('{% extends "parrot/paeg.html" %}')
    with pytest.raises(jinja2.TemplateRuntimeError, match="cards"):
        package('{% extends "parrot/browser.html" %}', data={})
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingDependencyError, match="pip install jinja2"):
        package("")


def test_filters_join_the_houses_own(package):
    page = package(
        "{{ x|percent }} {{ x|percent(0) }} {{ none|percent }} {{ x|twice }}", x=0.5, filters={"twice": "{0}{0}".format}
    )
    assert page == "50.0 50 – 0.50.5"


def test_a_bar_around_zero_and_one_with_a_mark(package):
    macro = '{% from "parrot/parts.html" import bar %}'
    around = package(macro + "{{ bar(x, reach=0.5) }}", x={"estimate": 0.0, "low": -0.25, "high": 0.5})
    assert "left:25.0%;width:75.0%" in around
    assert '<b style="left:50.0%">' in around
    assert "<s" not in around.replace("<span", "")
    assert '<s style="left:30.0%">' in package(macro + "{{ bar(x, chance=0.3) }}", x=INTERVAL)
    assert package(macro + "{{ bar(none) }}").strip() == ""


LEAVES = st.text() | st.integers() | st.booleans() | st.none()


@given(st.dictionaries(st.text(), st.recursive(LEAVES, lambda inner: st.dictionaries(st.text(), inner), max_leaves=8)))
def test_flat_keeps_every_leaf_but_none(values):
    def leaves(value):
        return sum(map(leaves, value.values())) if isinstance(value, dict) else value is not None

    rows = flat(values)
    assert len(rows) == leaves(values)
    assert all(isinstance(part, str) for row in rows for part in row)


def test_data_urls_hold_their_bytes():
    assert data_url(b"PNG") == "data:image/png;base64,UE5H"
    assert data_url(b"PNG", "image/jpeg") == "data:image/jpeg;base64,UE5H"


# --- readable in the light and in the dark (WCAG 2.1: contrast of text at least 4.5) ----------------------------------


def colours(look: str) -> list[dict[str, tuple[float, ...]]]:
    """The variables of each colour scheme, as red, green and blue from 0 to 1."""
    schemes = []
    for block in re.findall(r":root \{(.*?)\}", look, re.DOTALL):
        named = {name: tuple(bytes.fromhex(value)) for name, value in re.findall(r"--(\w+): #(\w{6})", block)}
        named |= {"heat": tuple(map(int, re.search(r"--heat: (\d+), (\d+), (\d+)", block).groups()))}
        schemes.append({name: tuple(part / 255 for part in colour) for name, colour in named.items()})
    return schemes


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    def luminance(colour: tuple[float, ...]) -> float:
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def unreadable(look: str) -> list[str]:
    strongest = float(re.search(r"rgba\(var\(--heat\), calc\((\S+) \* var\(--a\)\)\)", look)[1])
    found = []
    for number, scheme in enumerate(colours(look)):
        cell = tuple(strongest * h + (1 - strongest) * p for h, p in zip(scheme["heat"], scheme["paper"], strict=True))
        grounds = {"paper": scheme["paper"], "card": scheme["card"]}
        pairs = [(ink, ground) for ink in ("ink", "soft", "accent", "right", "wrong") for ground in grounds]
        pairs.append(("ink", "heat"))
        grounds["heat"] = cell
        found += [f"{number} {i} on {g}" for i, g in pairs if contrast(scheme[i], grounds[g]) < 4.5]
    return found


def test_every_text_can_be_read_in_both_schemes():
    look = files("parrot_adapters.pages").joinpath("look.css").read_text("utf-8")
    assert len(colours(look)) == 2
    assert unreadable(look) == []
    assert "0 soft on paper" in unreadable(look.replace("--soft: #5d6675", "--soft: #9aa3b0")), "the check bites"
    assert unreadable(look.replace("calc(.5 *", "calc(.9 *")), "and notices cells that are too strong"


def test_contrast_is_that_of_the_standard():
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    assert contrast((1, 1, 1), (1, 1, 1)) == pytest.approx(1)
