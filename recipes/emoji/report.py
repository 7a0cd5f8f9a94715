"""One page that shows a run: figures, sample pictures with answers in each script, and what the numbers say.

`report.html` carries everything inside itself; the figures also lie beside it as PNG files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parrot_adapters.pages import data_url, render_page

from .art import TEST_ART, TRAIN_ART, load_pictures, png_bytes
from .attribution import CREDITS
from .concepts import stable_fraction
from .conclusion import conclusions, decided_winner
from .figures import draw_figures
from .languages import BY_CODE, CODES, LANGUAGES
from .scores import SPLITS, mean_of_others, per_language

if TYPE_CHECKING:
    from .quickstart import QuickstartResult

__all__ = ["write_report"]

SAMPLES = 6
THUMBNAIL = 144  # pixels; shown at half that


def write_report(result: QuickstartResult) -> None:
    """Write report.html and its figures into the run's directory."""
    figures = draw_figures(result.arms)
    for name, data in figures.items():
        (result.out / f"{name}.png").write_bytes(data)
    page = render_page(
        __package__,
        "report.html",
        result=result,
        config=result.config,
        splits=[(split, _rows(result, split)) for split in SPLITS],
        languages=LANGUAGES,
        by_code=BY_CODE,
        conclusions=conclusions(result.arms),
        figures={name: data_url(data) for name, data in figures.items()},
        samples=_samples(result),
        works=CREDITS,
        seen=sum(concept.split == "seen" for concept in result.setting.concepts),
        held_out=sum(concept.split == "held-out" for concept in result.setting.concepts),
        train_art=TRAIN_ART.capitalize(),
        test_art="OpenMoji",
    )
    (result.out / "report.html").write_text(page, encoding="utf-8")


def _rows(result: QuickstartResult, split: str) -> list[dict[str, Any]]:
    rows = []
    for arm in result.arms:
        choice, naming = per_language(arm.answers, "choice", split), per_language(arm.answers, "naming", split)
        rows.append(
            {
                "title": arm.title,
                "parameters": arm.parameters,
                "choice": [choice[code] for code in CODES],
                "choice_others": mean_of_others(arm.answers, "choice", split),
                "naming_english": naming[CODES[0]],
                "naming_others": mean_of_others(arm.answers, "naming", split),
                "in_language": mean_of_others(arm.answers, "in_language", split),
                "in_english": mean_of_others(arm.answers, "in_english", split),
            }
        )
    winner = decided_winner(result.arms, split)
    for row, arm in zip(rows, result.arms, strict=True):
        row["best"] = arm is winner
    return rows


def _samples(result: QuickstartResult) -> list[dict[str, Any]]:
    """Pictures with what each of three arms called them: drawn by hash, not by whether the answers are right."""
    concepts = result.setting.concepts
    arms = [arm for arm in result.arms if arm.key in ("stage-1", "none", *result.config.saved[:1])]
    answers = {(arm.key, a.concept, a.language): a for arm in arms for a in arm.answers}
    asked = sorted({a.concept for a in arms[0].answers}, key=lambda i: stable_fraction(f"sample/{concepts[i].code}"))
    seen = [index for index in asked if concepts[index].split == "seen"][: SAMPLES - 1]
    shown = seen + [index for index in asked if concepts[index].split == "held-out"][: SAMPLES - len(seen)]
    test, train = load_pictures(concepts, TEST_ART), load_pictures(concepts, TRAIN_ART)
    return [
        {
            "name": concepts[index].names["en"],
            "split": concepts[index].split,
            "test": data_url(png_bytes(test[index], THUMBNAIL)),
            "train": data_url(png_bytes(train[index], THUMBNAIL)),
            "rows": [
                {
                    "language": language,
                    "right": concepts[index].names[language.code],
                    "answers": [answers[arm.key, index, language.code] for arm in arms],
                }
                for language in LANGUAGES
            ],
            "arms": [arm.title for arm in arms],
            "choices": [sum(answers[arm.key, index, code].choice for code in CODES) for arm in arms],
        }
        for index in shown
    ]
