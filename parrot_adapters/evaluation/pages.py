"""Self-contained pages: one template file, everything it shows inside it, every text escaped."""

from __future__ import annotations

import base64
import io
from importlib.resources import files
from typing import Any

from parrot_adapters.errors import MissingDependencyError

__all__ = ["direction", "render_page", "thumbnail"]

RIGHT_TO_LEFT = frozenset(["ar", "arc", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"])
SIDE = 192


def direction(language: str) -> str:
    """``rtl`` or ``ltr``: how a language is written."""
    return "rtl" if language.split("-")[0] in RIGHT_TO_LEFT else "ltr"


def render_page(template: str, **values: Any) -> str:
    """Render one of this package's templates.

    Raises:
        MissingDependencyError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError("the report needs jinja2\n  todo  pip install jinja2") from error

    def source(name: str) -> str:
        return files("parrot_adapters.evaluation").joinpath(name).read_text("utf-8")

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(source),
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "sort_keys": False, "separators": (",", ":")}
    environment.filters["percent"] = lambda value, places=1: "–" if value is None else f"{100 * value:.{places}f}"
    environment.filters["p"] = lambda value: "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0")
    environment.globals["direction"] = direction
    return environment.get_template(template).render(**values)


def thumbnail(picture: bytes) -> str:
    """A small copy of an encoded picture as a data URL; empty where the picture cannot be decoded."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("the report shows pictures\n  todo  pip install pillow") from error
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
    return f"data:image/jpeg;base64,{base64.b64encode(held.getvalue()).decode()}"
