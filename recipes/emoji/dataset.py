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

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from parrot_adapters.errors import ConfigError, explain

from .art import TEST_ART, TRAIN_ART, drawn_concepts, load_pictures
from .attribution import attribution_text
from .benchmark_files import write_benchmark
from .concepts import Concept, select_concepts
from .languages import BY_CODE, EVERY_LANGUAGE, LANGUAGES, Language
from .presets import PRESETS, preset
from .pretrained import ACCEPTED, PRETRAINED
from .questions import make_comparisons, make_questions

__all__ = ["chosen_languages", "command", "export"]

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
    from .conversations import write_conversations
    from .host import fresh_host, load_text_model_and_tokenizer, save_host
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


def command(argv: list[str]) -> int:
    """The ``parrot emoji`` command."""
    parser = argparse.ArgumentParser(prog="parrot emoji", description="Build and export the emoji data set.")
    actions = parser.add_subparsers(dest="action", required=True)
    exporting = actions.add_parser("export", help="write MMMB-style TSV, LLaVA-style JSON and a host to train")
    add = exporting.add_argument
    add("--out", type=Path, required=True, help="directory to write into")
    add("--preset", choices=sorted(PRESETS), default="full", help="whose concepts and host (%(default)s: all concepts)")
    add("--views", type=int, default=1, help="of each training picture: as drawn, then inked, moved, recoloured")
    add("--languages", default="six", metavar="six|all|en,sw,...", help="of the questions (%(default)s)")
    add("--seed", type=int, default=0, help="of the host's projector and the views (%(default)s)")
    add("--text-model", choices=("siloed", *PRETRAINED), default="siloed", help="the host's (%(default)s, a miniature)")
    add("--accept-gemma-terms", action="store_true", help="say that you have accepted Gemma's terms")
    actions.add_parser("languages", help="the eighteen languages, and what the text model's vocabulary makes of them")
    actions.add_parser("credits", help="whose pictures and names these are")
    arguments = parser.parse_args(argv)

    from .console import Display

    display = Display()
    if arguments.action == "credits":
        display.console.print(attribution_text(*PRETRAINED), markup=False, highlight=False)
        return 0
    if arguments.action == "languages":
        from .coverage import coverage
        from .tokenizer import Vocabulary, load_tokenizer

        display.languages(coverage(Vocabulary(load_tokenizer()), drawn_concepts()))
        return 0
    if arguments.views < 1:
        raise ConfigError(f"--views must be at least 1, not {arguments.views}")
    from .quickstart import one_thread, quiet

    quiet()
    if arguments.accept_gemma_terms:
        os.environ[ACCEPTED] = "1"
    languages = chosen_languages(arguments.languages)
    config = preset(arguments.preset)
    concepts = drawn_concepts(select_concepts(config.categories, config.max_words, config.limit))
    with one_thread(), display.bar("drawing") as advance:
        counts = export(
            concepts,
            arguments.out,
            advance,
            grid=config.grid,
            views=arguments.views,
            seed=arguments.seed,
            languages=languages,
            text_model=arguments.text_model,
        )
    written = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    display.console.print(f"{arguments.out}: {written}; a host to train: {arguments.out / 'host'}", highlight=False)
    display.console.print("Pictures: Twemoji (CC-BY-4.0), OpenMoji (CC-BY-SA-4.0); keep ATTRIBUTION.txt with them.")
    return 0
