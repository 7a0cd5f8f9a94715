"""Pages of one look: self-contained HTML from a template that extends ``parrot/page.html``.

The library's own reports are made like this, and a recipe's or a plugin's can be. In a package of yours, a file
``report.html``::

    {% extends "parrot/page.html" %}
    {% from "parrot/parts.html" import bar, between, provenance %}
    {% block title %}Accuracy by language{% endblock %}
    {% block content %}
    <h1>Accuracy by language</h1>
    <table>{% for name, found in languages.items() %}
    <tr><td>{{ name }}</td><td>{{ found.estimate|percent }} {{ between(found) }}</td><td>{{ bar(found) }}</td></tr>
    {% endfor %}</table>
    {{ provenance(origin) }}
    {% endblock %}

and beside it ``render_page(__package__, "report.html", languages=..., origin=flat(...))``. The templates to build on:

- ``parrot/page.html``: head, look and frame; blocks ``title``, ``style`` (CSS of your own), ``content``.
- ``parrot/browser.html``: the same with a browser of many items; its first lines say what it asks for.
- ``parrot/parts.html``: the macros ``bar``, ``between``, ``notes``, ``provenance`` and ``credits``.
"""

from __future__ import annotations

from parrot_adapters.pages.page import data_url, direction, flat, render_page, thumbnail

__all__ = ["data_url", "direction", "flat", "render_page", "thumbnail"]
