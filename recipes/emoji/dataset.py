"""The emoji data set and a host to train on: `parrot emoji export --out DIR`.

    DIR/EMOJI_en.tsv ...                 MMMB's format: one picture, one question, four options, test art
    DIR/EMOJI-COMPARISON_en.tsv ...      ... two pictures, one question, two options
    DIR/second-view/EMOJI_en.tsv         the first kind again, in training art: for `parrot diagnose --second-view`
    DIR/llava_stage1.json                LLaVA's format, English: the seen concepts, training art
    DIR/llava_stage2.json                ... in all six languages
    DIR/images/*.png                     ... and their pictures
    DIR/host                             text model, vision tower and a fresh projector, as transformers loads them
    DIR/ATTRIBUTION.txt                  whose pictures and names these are

The TSV files of one kind hold the same questions in the same order, row by row, in the six languages of training or,
with `--languages all`, in eighteen. `split`: is the concept's training picture in the LLaVA files (`seen`) or not
(`held-out`)?
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from parrot_adapters.cli.commands import SETTINGS, CommandGroup, option
from parrot_adapters.errors import ConfigError, explain

from .attribution import attribution_text
from .languages import BY_CODE, EVERY_LANGUAGE, LANGUAGES, Language
from .presets import PRESETS, preset

if TYPE_CHECKING:
    from .concepts import Concept

__all__ = ["chosen_languages", "command", "export"]

TEXT_MODELS = ("siloed", "gemma3-270m", "smollm2-135m")  # .pretrained has the last two; a test compares

Progress = Callable[[int, int], None]


def export(
    concepts: Sequence[Concept],
    out: Path,
    progress: Progress | None = None,
    *,
    grid: int = 3,
    views: int = 1,
    seed: int = 0,
    languages: Sequence[Language] = LANGUAGES,
    text_model: str = "siloed",
) -> dict[str, int]:
    """Write the data set of ``concepts``, and a host.

    Args:
        concepts: what is asked and trained.
        out: directory to write into.
        progress: told how many pictures are drawn, of how many.
        grid: the host's visual tokens are grid x grid.
        views: of each training picture.
        seed: of the host's projector and of the views.
        languages: of the questions.
        text_model: the host's: this recipe's own, or a pretrained one of a package (:mod:`.pretrained`).

    Returns:
        how many questions, training samples and pictures were written.
    """
    from .art import TEST_ART, TRAIN_ART, load_pictures
    from .benchmark_files import write_benchmark
    from .conversations import write_conversations
    from .host import fresh_host, load_text_model_and_tokenizer, save_host
    from .questions import make_comparisons, make_questions
    from .tokenizer import Vocabulary

    speaker, tokenizer = load_text_model_and_tokenizer(text_model)
    out.mkdir(parents=True, exist_ok=True)
    questions, comparisons = make_questions(concepts), make_comparisons(concepts)
    write_benchmark(out, concepts, questions, comparisons, load_pictures(concepts, TEST_ART, progress), languages)
    train = load_pictures(concepts, TRAIN_ART, progress)
    (out / "second-view").mkdir(exist_ok=True)
    write_benchmark(out / "second-view", concepts, questions, comparisons, train, LANGUAGES[:1])
    samples, pictures = write_conversations(out, concepts, train, views=views, seed=seed)
    host = fresh_host(concepts, train, speaker, image=Vocabulary(tokenizer).image, grid=grid, seed=seed)
    save_host(host, out / "host", tokenizer)
    (out / "ATTRIBUTION.txt").write_text(attribution_text(text_model), encoding="utf-8")
    asked = (len(questions) + len(comparisons)) * len(languages)
    return {"questions": asked, "training samples": samples, "training pictures": pictures}


def chosen_languages(codes: str) -> tuple[Language, ...]:
    """``"en,sw"``, ``"six"`` or ``"all"`` as languages.

    Raises:
        ConfigError: one of them is not among the eighteen.
    """
    if codes in ("six", "all"):
        return LANGUAGES if codes == "six" else EVERY_LANGUAGE
    wanted = [code.strip() for code in codes.split(",") if code.strip()]
    if unknown := [code for code in wanted if code not in BY_CODE]:
        raise ConfigError(explain(f"no language {', '.join(unknown)}.", known=", ".join([*BY_CODE, "six", "all"])))
    return tuple(language for language in EVERY_LANGUAGE if language.code in wanted)


@click.group("emoji", cls=CommandGroup, context_settings=SETTINGS)
def command() -> None:
    """Build and export the emoji benchmark, and a host to train."""


@command.command("export", examples=["parrot emoji export --preset quickstart --out runs/emoji"])
@option("--out", type=click.Path(path_type=Path), required=True, help="directory to write into")
@option(
    "--preset",
    "name",
    type=click.Choice(sorted(PRESETS)),
    default="full",
    metavar="NAME",
    help=f"whose concepts (full: all), host: {', '.join(sorted(PRESETS))}",
)
@option("--views", type=int, default=1, help="of each training picture: as drawn, then inked, moved, recoloured")
@option("--languages", default="six", metavar="six|all|en,sw,...", help="of the questions")
@option("--seed", type=int, default=0, help="of the host's projector and the views")
@option("--text-model", type=click.Choice(TEXT_MODELS), default="siloed", help="the host's; siloed is a miniature")
@option("--accept-gemma-terms", is_flag=True, help="say that you have accepted Gemma's terms")
def export_command(
    out: Path, name: str, views: int, languages: str, seed: int, text_model: str, accept_gemma_terms: bool
) -> None:
    """Write MMMB-style TSV, LLaVA-style JSON and a host to train."""
    from .art import drawn_concepts
    from .compute import one_thread, quiet
    from .concepts import select_concepts
    from .console import Display
    from .pretrained import ACCEPTED

    if views < 1:
        raise ConfigError(f"--views must be at least 1, not {views}")
    chosen = chosen_languages(languages)
    quiet()
    if accept_gemma_terms:
        os.environ[ACCEPTED] = "1"
    config = preset(name)
    concepts = drawn_concepts(select_concepts(config.categories, config.max_words, config.limit))
    display = Display()
    with one_thread(), display.bar("drawing") as advance:
        counts = export(
            concepts,
            out,
            advance,
            grid=config.grid,
            views=views,
            seed=seed,
            languages=chosen,
            text_model=text_model,
        )
    written = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    display.say(f"{out}: {written}; a host to train: {out / 'host'}")
    display.say("Pictures: Twemoji (CC-BY-4.0), OpenMoji (CC-BY-SA-4.0); keep ATTRIBUTION.txt with them.")


@command.command("languages", examples=["parrot emoji languages"])
def languages_command() -> None:
    """List the eighteen languages, and what the text model's vocabulary makes of them."""
    from .art import drawn_concepts
    from .console import Display
    from .coverage import coverage
    from .tokenizer import Vocabulary, load_tokenizer

    Display().languages(coverage(Vocabulary(load_tokenizer()), drawn_concepts()))


@command.command("credits", examples=["parrot emoji credits"])
def credits_command() -> None:
    """Say whose pictures and names these are."""
    from .pretrained import PRETRAINED

    print(attribution_text(*PRETRAINED))
