"""The host on disk is a standard one: every command loads it, and asks it what the recipe itself would ask."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from parrot_recipes.emoji import art, benchmark_files, evaluation, features, host, vision
from parrot_recipes.emoji.batches import IGNORE, encode_samples
from parrot_recipes.emoji.concepts import select_concepts
from parrot_recipes.emoji.languages import BY_CODE, LANGUAGES
from parrot_recipes.emoji.questions import make_questions
from parrot_recipes.emoji.text_model import load_text_model
from parrot_recipes.emoji.tokenizer import EOS, Vocabulary, load_tokenizer
from PIL import Image
from support.tiers import late_unless
from torch.testing import assert_close

import parrot_adapters as pa
from parrot_adapters.analysis.benchmark_samples import benchmark_questions
from parrot_adapters.errors import ConfigError, ParrotWarning, PluginError
from parrot_adapters.evaluation import EvaluationConfig
from parrot_adapters.evaluation.answers.evaluate import evaluate
from parrot_adapters.evaluation.answers.option_scorer import OptionScorer
from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost
from parrot_adapters.hosts.load_host import load_host, load_model, load_processor

ANIMALS = select_concepts(("animal",), max_words=1, limit=12)


def save(grid, directory):
    built = host.build_host(features.load_features(ANIMALS, grid=grid, views=2, seed=0).tower(grid), load_text_model())
    host.save_host(built, directory)
    return directory, built


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(directory, the host that was saved there)"""
    return save(3, tmp_path_factory.mktemp("host"))


def asked(processor, pictures, language):
    turns = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": language.question}]},
    ]
    text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    shown = [[Image.fromarray(picture)] for picture in pictures]
    return processor(images=shown, text=[text] * len(shown), return_tensors="pt", add_special_tokens=False)


@pytest.mark.parametrize("grid", late_unless([3], [2, 3]))
def test_chat_and_processor_make_the_recipes_own_batches(grid, tmp_path):
    directory, built = save(grid, tmp_path)
    model, processor = load_host(str(directory), device="cpu")
    pictures = art.load_pictures(ANIMALS, "openmoji")
    vocabulary, visual_tokens = Vocabulary(load_tokenizer()), built.config.image_seq_length
    for language in LANGUAGES:
        batch = asked(processor, pictures, language)
        expected = [vocabulary.prompt(language.code, visual_tokens)] * len(ANIMALS)
        assert batch["input_ids"].tolist() == expected, language.code
        assert torch.equal(batch["pixel_values"], vision.to_pixel_values(pictures))
    with torch.inference_mode():
        ours = built(
            input_ids=torch.tensor(expected), pixel_values=vision.to_pixel_values(pictures), use_cache=False
        ).logits
        assert torch.equal(model(**batch, use_cache=False).logits, ours)


def test_whole_conversations_are_the_recipes_training_samples(saved):
    _, built = saved
    processor, vocabulary = load_processor(str(saved[0])), Vocabulary(load_tokenizer())
    visual_tokens = built.config.image_seq_length
    picture = Image.fromarray(art.load_pictures(ANIMALS, "twemoji")[0])
    for language in LANGUAGES:
        turns = [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": language.question}]},
            {"role": "assistant", "content": [{"type": "text", "text": ANIMALS[0].names[language.code]}]},
        ]
        text = processor.apply_chat_template(turns, tokenize=False)
        ids = processor(images=[[picture]], text=[text], return_tensors="pt", add_special_tokens=False)["input_ids"]
        ours = encode_samples(vocabulary, ANIMALS, [(0, language.code)], visual_tokens).input_ids
        assert torch.equal(ids, ours), language.code


@torch.inference_mode()
def test_options_are_as_likely_for_parrot_evaluate_as_for_the_recipe(saved, tmp_path):
    """The same sums over a name's tokens; the recipe's mean also counts the end of the answer."""
    questions, pictures = make_questions(ANIMALS)[:4], art.load_pictures(ANIMALS, "openmoji")
    benchmark_files.write_benchmark(tmp_path, ANIMALS, questions, [], pictures)
    asked = benchmark_questions("emoji", str(tmp_path), ["en", "ar"], 4, "question")
    library = EvaluationHost.load(str(saved[0]), device="cpu")
    found = OptionScorer(library).score(asked, library.encode(asked))
    model, vocabulary = saved[1], Vocabulary(load_tokenizer())
    for question, scores in zip(asked, found, strict=True):
        options = [(option, question.language) for option in questions[question.index].options]
        samples = encode_samples(vocabulary, ANIMALS, options, model.config.image_seq_length)
        shown = vision.to_pixel_values(pictures[[questions[question.index].concept] * 4])
        logits = model(input_ids=samples.input_ids, attention_mask=samples.attention_mask, pixel_values=shown).logits
        targets = samples.labels[:, 1:]
        named = (targets != IGNORE) & (targets != EOS)
        likelihood = logits[:, :-1].log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
        ours = torch.where(named, likelihood, torch.zeros(())).sum(1)
        assert_close(torch.tensor(list(scores.scores["text"].values())), ours, atol=1e-3, rtol=1e-4)
        assert list(scores.scores["tokens"].values()) == named.sum(1).tolist()


def test_scripts_that_the_tokenizer_cannot_write_are_named(saved, tmp_path):
    languages = [BY_CODE[code] for code in ("en", "es", "th")]
    pictures = art.load_pictures(ANIMALS, "openmoji")
    benchmark_files.write_benchmark(tmp_path, ANIMALS, make_questions(ANIMALS)[:2], [], pictures, languages)
    asked = EvaluationConfig(
        str(saved[0]), "emoji", str(tmp_path), None, str(tmp_path / "out"), task="naming", max_new_tokens=2
    )
    with pytest.warns(ParrotWarning, match=r"no tokens for much of the options' text in EMOJI_th \d\d%:"):
        evaluate(asked)


def test_other_pictures_become_squares(saved):
    _, processor = load_host(str(saved[0]), device="cpu")
    batch = asked(processor, [art.load_pictures(ANIMALS[:1], "openmoji")[0][:50, :90]], LANGUAGES[0])
    assert batch["pixel_values"].shape == (1, 3, art.PIXELS, art.PIXELS)


@pytest.mark.slow
def test_nothing_but_the_library_makes_the_tower_known(saved):
    """In a process that never imported the recipe: transformers alone fails, and not once the library is imported."""
    probe = (
        "import sys; from transformers import CONFIG_MAPPING, AutoModelForImageTextToText, AutoProcessor\n"
        f"directory = {str(saved[0])!r}\n"
        "print(type(AutoProcessor.from_pretrained(directory)).__name__)\n"
        "try: AutoModelForImageTextToText.from_pretrained(directory)\n"
        "except Exception as error: print('parrot_emoji_tower' in repr(error))\n"
        "import parrot_adapters\n"
        "print('llava' in CONFIG_MAPPING, 'no_such_type' in CONFIG_MAPPING)\n"
        "print('parrot_recipes.emoji.vision' in sys.modules)\n"
        "print(type(AutoModelForImageTextToText.from_pretrained(directory)).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    said = "LlavaProcessor True True False False LlavaForConditionalGeneration"
    assert done.stdout.split() == said.split(), done.stderr


@pytest.mark.slow
def test_the_library_may_be_imported_before_transformers(saved):
    """As the code of an adapter's model card does."""
    probe = (
        "import pickle, sys, parrot_adapters as pa\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
        "from transformers import CONFIG_MAPPING, LlavaForConditionalGeneration\n"
        f"print(type(LlavaForConditionalGeneration.from_pretrained({str(saved[0])!r}).model.vision_tower).__name__)\n"
        "print('parrot_emoji_tower' in pickle.loads(pickle.dumps(CONFIG_MAPPING)))\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.stdout.split() == ["EmojiTower", "True"], done.stderr


def test_classes_nobody_brings_are_named(saved, tmp_path):
    changed = tmp_path / "changed"
    changed.mkdir()
    for path in saved[0].iterdir():
        (changed / path.name).write_bytes(path.read_bytes().replace(b"parrot_emoji_tower", b"parrot_other_tower"))
    with pytest.raises(ConfigError, match=r"parrot_other_tower\n.*register_model_classes"):
        load_model(str(changed))

    class Broken:
        @pa.hookimpl
        def register_model_classes(self, register):
            register("parrot_other_tower", lambda: 1 / 0)

    from transformers import CONFIG_MAPPING

    with pytest.raises(KeyError, match="parrot_other_tower"):
        CONFIG_MAPPING["parrot_other_tower"]
    pa.plugins.register(Broken(), "broken-classes")
    try:
        with pytest.raises(PluginError, match=r"parrot_other_tower(.|\n)*ZeroDivisionError(.|\n)*broken-classes"):
            CONFIG_MAPPING["parrot_other_tower"]
        with pytest.raises(PluginError, match=r"parrot_other_tower(.|\n)*ZeroDivisionError(.|\n)*broken-classes"):
            load_model(str(changed))
    finally:
        pa.plugins.manager.unregister("broken-classes")


def test_lost_weights_are_not_made_up(saved, tmp_path):
    from safetensors.torch import load_file, save_file

    for path in saved[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if "projector" not in k}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ConfigError, match=r"weights are not in its files(.|\n)*projector"):
        load_model(str(tmp_path))


@torch.inference_mode()
def test_options_that_share_their_question_score_as_if_each_were_asked_alone(saved):
    _, built = saved
    questions, vocabulary = make_questions(ANIMALS)[:3], Vocabulary(load_tokenizer())
    shown = torch.randn(3, 9, 1280, generator=torch.Generator().manual_seed(0))
    handle = pa.attach(
        built, pa.AdapterConfig(num_experts=2, expert_hidden_size=4), processor=vocabulary.tokenizer
    )  # reads the question, and changes pictures once its weights are moved
    with handle:
        torch.nn.init.normal_(handle.module.experts.down, generator=torch.Generator().manual_seed(1))
        scores = evaluation._option_scores(built, ANIMALS, questions, shown, "ru", vocabulary, 9)
        for place, question in enumerate(questions):
            for number, option in enumerate(question.options):
                sample = encode_samples(vocabulary, ANIMALS, [(option, "ru")], 9)
                logits = built(
                    input_ids=sample.input_ids, attention_mask=sample.attention_mask, pixel_values=shown[[place]]
                ).logits
                answered = sample.labels[0, 1:] != IGNORE
                likelihood = logits[0, :-1].log_softmax(-1)[answered, sample.labels[0, 1:][answered]]
                assert_close(scores[place, number], likelihood.mean(), atol=1e-4, rtol=0)
    bare = evaluation._option_scores(built, ANIMALS, questions, shown, "ru", vocabulary, 9)
    assert (bare - scores).abs().max() > 1e-3  # the adapter acts
