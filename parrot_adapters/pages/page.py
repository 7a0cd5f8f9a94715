"""From a template and values to a page that holds everything it shows, every text escaped."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from parrot_adapters.errors import MissingDependencyError

__all__ = ["data_url", "direction", "flat", "render_page", "thumbnail"]

OURS = "parrot/"
"""Begins the names of the templates that every package may build on."""
RIGHT_TO_LEFT = frozenset(["ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"])
SIDE = 192


def render_page(
    package: str, template: str, /, *, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any
) -> str:
    """Render a template with what it can build on (see :mod:`parrot_adapters.pages`).

    Values are escaped, a name that nobody gave is an error, and the page's own policy forbids it to load anything.

    Args:
        package: Package in which the template and those it includes lie, for example ``"parrot_adapters.analysis"``.
        template: File name of the template in that package.
        filters: Jinja filters by name, beside ``percent``, which writes a share in per cent with one decimal place
            (``percent(0)``: none), and None as a dash.
        values: What the template calls by name.

    Raises:
        MissingDependencyError: Jinja2 is not installed.
        jinja2.TemplateError: the template is missing, or at fault.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError("the page needs jinja2\n  to do  pip install jinja2") from error

    def source(name: str) -> str | None:
        home, inner = (__package__, name.removeprefix(OURS)) if name.startswith(OURS) else (package, name)
        found = files(home).joinpath(inner)
        return found.read_text("utf-8") if found.is_file() else None

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(source),
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "sort_keys": False, "separators": (",", ":")}
    environment.filters |= {"percent": _percent, **(filters or {})}
    return environment.get_template(template).render(**values)


def _percent(share: float | None, places: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{places}f}"


def flat(values: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Flatten nested values to rows for the macro ``provenance``: ``{"host": {"width": 8}}`` becomes ``("host · width",
    "8")``.

    What is None or an empty mapping is left out.

    Args:
        values: Mapping of names to values, which may be mappings again.
        prefix: Start of every name (default empty).
    """
    rows = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            rows += flat(value, f"{prefix}{key} · ")
        elif value is not None and value != {}:
            rows.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)))
    return rows


def direction(language: str) -> str:
    """Say in which direction a language is written: ``"rtl"`` or ``"ltr"``.

    Args:
        language: BCP-47 tag.
    """
    return "rtl" if language.split("-")[0] in RIGHT_TO_LEFT else "ltr"


def data_url(data: bytes, kind: str = "image/png") -> str:
    """Write bytes as an address that holds them, for the attribute ``src``.

    Args:
        data: Content, for example of a PNG file.
        kind: Media type of the content (default ``"image/png"``).
    """
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def thumbnail(picture: bytes) -> str:
    """Make a small JPEG copy of an encoded picture, as a data URL; empty where the picture cannot be decoded.

    Args:
        picture: Content of a picture file (PNG, JPEG ...).

    Raises:
        MissingDependencyError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("the report shows pictures\n  to do  pip install pillow") from error
    held = io.BytesIO()
    try:
        with Image.open(io.BytesIO(picture)) as image:
            image.draft("RGB", (SIDE, SIDE))  # JPEG decodes straight to about this size
            image.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
            if image.mode in ("RGBA", "LA", "P"):
                solid = image.convert("RGBA")
                paper = Image.new("RGB", solid.size, (255, 255, 255))
                paper.paste(solid, mask=solid.getchannel("A"))
                paper.save(held, "JPEG", quality=75)
            else:
                image.convert("RGB").save(held, "JPEG", quality=75)
    except (OSError, SyntaxError, ValueError):
        return ""
    return data_url(held.getvalue(), "image/jpeg")
