"""The miniature's parts: tower, text model, host, scores."""

from __future__ import annotations

import random
import statistics
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from parrot_recipes.emoji import (
    arms,
    art,
    augment,
    batches,
    conclusion,
    features,
    host,
    picture_router,
    scores,
    training,
)
from parrot_recipes.emoji import text_model as text
from parrot_recipes.emoji.concepts import select_concepts
from parrot_recipes.emoji.evaluation import Answer
from parrot_recipes.emoji.languages import CODES
from parrot_recipes.emoji.presets import Arm, preset
from parrot_recipes.emoji.schedule import Schedule
from parrot_recipes.emoji.tokenizer import ASSISTANT, IMAGE, USER, Vocabulary, load_tokenizer
from parrot_recipes.emoji.vision import EmojiTowerConfig, load_tower, to_pixel_values
from torch.testing import assert_close

import parrot_adapters as pa

ANIMALS = select_concepts(("animal",), max_words=1, limit=12)


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary(load_tokenizer())


@pytest.fixture(scope="module")
def text_model():
    return text.load_text_model()


@pytest.fixture(scope="module")
def seen_by_tower():
    return features.load_features(ANIMALS, grid=2, views=2, seed=0)


@pytest.fixture
def miniature(seen_by_tower, text_model):
    return host.build_host(seen_by_tower.tower(2), text_model)


# --- vision ----------------------------------------------------------------------------------------------------------


def test_the_tower_passes_its_own_features_through():
    tower = load_tower(EmojiTowerConfig(grid=3))
    pixels = to_pixel_values(art.load_pictures(ANIMALS[:2], "openmoji"))
    with torch.inference_mode():
        made = tower(pixels).hidden_states[-1]
        assert made.shape == (2, 9, 1280)
        assert torch.equal(tower(made).last_hidden_state, made)


def test_cached_features_are_the_towers(seen_by_tower):
    pixels = to_pixel_values(art.load_pictures(ANIMALS, "openmoji"))
    with torch.inference_mode():
        assert_close(seen_by_tower.tower(2).encode(pixels), seen_by_tower.test.float(), atol=0.01, rtol=0.01)


def test_calibration_sees_seen_concepts_only(seen_by_tower):
    seen = torch.tensor([concept.split == "seen" for concept in ANIMALS])
    calibrated = seen_by_tower.train[seen].float()
    assert_close(calibrated.mean((0, 1, 2)), torch.zeros(1280), atol=2e-3, rtol=0)
    assert_close(calibrated.square().mean(), torch.tensor(1.0), atol=2e-3, rtol=0)


def test_the_tower_never_trains(miniature):
    miniature.train()
    assert not any(module.training for module in miniature.model.vision_tower.modules())
    assert not any(p.requires_grad for p in miniature.model.vision_tower.parameters())


def test_the_tower_explains_what_it_takes():
    with pytest.raises(pa.ParrotError, match=r"pixels \(B, 3, P, P\) or features"):
        load_tower()(torch.zeros(2, 3))


def test_views_are_repeatable_and_stay_pictures():
    pictures = torch.from_numpy(art.load_pictures(ANIMALS, "twemoji")).permute(0, 3, 1, 2).float() / 255
    first, second = (augment.training_views(pictures, 4, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (4, *pictures.shape)
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first[0], pictures)
    assert (first[1] <= pictures).all()  # ink only darkens
    never = augment.jitter(
        pictures, torch.Generator().manual_seed(0), flip=torch.zeros(len(pictures), dtype=torch.bool)
    )
    assert not torch.equal(never, augment.jitter(pictures, torch.Generator().manual_seed(0)))


# --- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_checkpoints_are_small(seed):
    assert text.committed_checkpoint(seed).stat().st_size < 3e6


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.few(1)
def test_a_text_model_knows_its_names_in_silos(seed, vocabulary):
    model = text.load_text_model(seed=seed)
    known = text.naming_accuracy(model, vocabulary, noise=0.0, concepts=ANIMALS)
    assert min(known.values()) >= 0.9
    crossed = text.naming_accuracy(model, vocabulary, noise=0.0, crossed=True, concepts=ANIMALS)
    assert max(crossed.values()) <= 0.2


def test_text_models_of_other_seeds_are_others():
    weights = [text.load_text_model(seed=seed).get_input_embeddings().weight for seed in range(3)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert torch.nn.functional.cosine_similarity(weights[one], weights[other], dim=-1).abs().mean() < 0.2


def test_remaking_the_text_model_is_repeatable(vocabulary):
    config = text.TextModelConfig(steps=2, batch_size=4)
    first, second = (text.pretrain(vocabulary, config, log_every=0).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_linked_text_model_is_made_once(monkeypatch):
    made = []

    def pretrain(_vocabulary, config):
        made.append(config.linked)
        return text.new_text_model(config)

    monkeypatch.setattr(text, "pretrain", pretrain)
    first, second = (text.load_text_model("linked").state_dict() for _ in range(2))
    assert made == [True]
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("code", CODES)
def test_a_prompt_is_what_the_chat_template_writes(vocabulary, code):
    from parrot_recipes.emoji.languages import BY_CODE

    content = [{"type": "image"}, {"type": "text", "text": BY_CODE[code].question}]
    rendered = vocabulary.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    assert vocabulary.encode(rendered) == vocabulary.prompt(code, visual_tokens=1)


@pytest.mark.parametrize("code", CODES)
def test_names_survive_the_vocabulary(vocabulary, code):
    for concept in ANIMALS:
        assert vocabulary.decode(vocabulary.name(concept.names[code])) == concept.names[code]


def test_samples_hide_everything_but_the_answer(vocabulary):
    samples = batches.encode_samples(vocabulary, ANIMALS, [(0, "en"), (1, "ar")], visual_tokens=4)
    for row, (index, code) in enumerate([(0, "en"), (1, "ar")]):
        answer = samples.labels[row][samples.labels[row] != batches.IGNORE].tolist()
        assert vocabulary.decode(answer) == ANIMALS[index].names[code]
        assert (samples.input_ids[row] == IMAGE).sum() == 4
        assert (samples.input_ids[row] == ASSISTANT).sum() == 1


# --- host and training -----------------------------------------------------------------------------------------------


def test_the_host_is_saved_and_loaded_whole(miniature, vocabulary, tmp_path):
    host.save_host(miniature, tmp_path)
    loaded = host.load_host(tmp_path)
    ids = torch.tensor([vocabulary.prompt("tr", 4)])
    inputs = {"input_ids": ids, "pixel_values": torch.randn(1, 4, 1280)}
    with torch.inference_mode():
        assert torch.equal(loaded(**inputs).logits, miniature(**inputs).logits)


def test_the_adapter_learns_where_a_question_ends(miniature):
    with pa.attach(miniature, pa.AdapterConfig(expert_hidden_size=8), processor=load_tokenizer()) as handle:
        assert handle.chat.user_header == (USER,)
        assert handle.chat.assistant_header == (ASSISTANT,)


def test_training_moves_the_projector_and_nothing_else(miniature, seen_by_tower, vocabulary):
    before = {name: weight.clone() for name, weight in miniature.state_dict().items()}
    data = training.TrainingSet(ANIMALS, seen_by_tower, vocabulary, multilingual=0.5)
    parameters = list(host.projector(miniature).parameters())
    training.train(miniature, [(parameters, 1.0)], data, Schedule(steps=2, learning_rate=1e-2, batch_size=4), seed=0)
    moved = {name for name, weight in miniature.state_dict().items() if not torch.equal(weight, before[name])}
    assert moved
    assert all("multi_modal_projector" in name for name in moved)


def test_the_adapter_is_in_training_mode_and_the_host_is_not(miniature, seen_by_tower, vocabulary):
    """Noise of top-k, its balancing, a language table's own loss: all ask whether they are being trained."""
    data = training.TrainingSet(ANIMALS, seen_by_tower, vocabulary, multilingual=0.5)
    adapter = {"router": "language-id", "router_options": {"mode": "table"}, "num_experts": 6, "expert_hidden_size": 4}
    arm, modes = Arm("table", "table", adapter), set()
    _, groups = arms.attach_arm(miniature, arm, preset("tiny_cpu"), vocabulary)
    handle = pa.attachment_of(miniature)
    handle.module.router.register_forward_hook(lambda router, *_: modes.add((router.training, miniature.training)))
    table = handle.module.router.table.detach().clone()
    training.train(miniature, groups, data, Schedule(steps=2, learning_rate=1e-2, batch_size=4), seed=0)
    assert modes == {(True, False)}
    assert not any(part.training for part in miniature.modules())
    # Experts that are the identity say nothing of which of them is right: only the router's own loss moves the table.
    sharper = handle.module.router.table.diagonal() - table.diagonal()
    assert (sharper > 0).any()


def test_topk_balances_while_the_recipe_trains(miniature, seen_by_tower, vocabulary):
    data = training.TrainingSet(ANIMALS, seen_by_tower, vocabulary)
    arm = Arm("top-k", "top-k", {"router": "top-k", "top_k": 1, "num_experts": 3, "expert_hidden_size": 4})
    handle, groups = arms.attach_arm(miniature, arm, preset("tiny_cpu"), vocabulary)
    training.train(miniature, groups, data, Schedule(steps=2, learning_rate=1e-2, batch_size=4), seed=0)
    assert handle.module.router.balance_steps.any()


def test_held_out_concepts_are_never_drawn(seen_by_tower, vocabulary):
    data = training.TrainingSet(ANIMALS, seen_by_tower, vocabulary, multilingual=0.5)
    asked, pictures = data.draw(random.Random(0), 500)
    assert {ANIMALS[index].split for index, _ in asked} == {"seen"}
    assert {language for _, language in asked} == set(CODES)
    assert pictures.shape == (500, 4, 1280)


def test_the_warm_start_brings_pictures_near_their_names(miniature, seen_by_tower, vocabulary):
    data = training.TrainingSet(ANIMALS, seen_by_tower, vocabulary)
    first = training.warm_start(miniature, data, Schedule(steps=1, learning_rate=1e-3, batch_size=16), seed=0)
    last = training.warm_start(miniature, data, Schedule(steps=30, learning_rate=2e-3, batch_size=16), seed=0)
    assert last < first / 2


def test_a_concept_drawn_twice_is_not_its_own_rival(miniature, seen_by_tower, vocabulary):
    data = training.TrainingSet(ANIMALS, seen_by_tower, vocabulary)
    asked, pictures = data.draw(random.Random(0), 1)
    again = SimpleNamespace(
        concepts=data.concepts,
        vocabulary=vocabulary,
        draw=lambda rng, size: (asked * size, pictures.repeat(size, 1, 1)),
    )
    alone, together = (
        training.warm_start(miniature, again, Schedule(steps=1, learning_rate=0.0, batch_size=size), seed=0)
        for size in (1, 8)
    )
    assert together == pytest.approx(alone)


def test_the_picture_router_ignores_the_question():
    router = picture_router.PictureOnlyRouter(8, 3)
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    summary, tokens, offsets = draw(2, 8), draw(6, 8), torch.tensor([0, 3, 6])
    first, second = (
        router(
            pa.RoutingInputs(
                summary, tokens, offsets, draw(2, 5, 8), torch.ones(2, 5, dtype=torch.bool), torch.arange(2)
            )
        )
        for _ in range(2)
    )
    assert torch.equal(first.logits, second.logits)
    assert_close(first.weights.sum(1), torch.ones(2))


# --- scores ----------------------------------------------------------------------------------------------------------


def answer(concept: int, language: str, right: bool, split: str = "seen") -> Answer:
    return Answer(concept, split, language, (0.0,) * 4, 0, right, "", right, right, False)


def answers_of(values: np.ndarray) -> list[Answer]:
    """(Q, L) of booleans."""
    return [answer(q, code, bool(values[q, column])) for q in range(len(values)) for column, code in enumerate(CODES)]


def test_tables_keep_questions_and_languages_apart():
    values = np.random.default_rng(0).random((7, 6)) < 0.5
    shuffled = answers_of(values)
    random.Random(0).shuffle(shuffled)
    assert (scores.table(shuffled, "choice", "seen") == values).all()
    with pytest.raises(ValueError, match="every question"):
        scores.table(shuffled[1:], "choice", "seen")


def test_intervals_agree_with_plain_resampling():
    values = (np.random.default_rng(1).random(60) < 0.3).astype(float)
    estimate = scores.share(values)
    draw = random.Random(0)
    slow = sorted(statistics.fmean(draw.choices(list(values), k=60)) for _ in range(4000))
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(slow[100], abs=0.03)
    assert estimate.high == pytest.approx(slow[-100], abs=0.03)


def test_comparisons_are_paired_by_question():
    easy = np.random.default_rng(2).random((50, 6)) < 0.5
    better = easy.copy()
    better[:5] = True  # never worse
    estimate = scores.compare(answers_of(better), answers_of(easy), "choice", "seen")
    apart = [scores.mean_of_others(answers_of(values), "choice", "seen") for values in (better, easy)]
    assert estimate.value == pytest.approx(apart[0].value - apart[1].value)
    assert estimate.high - estimate.low < 0.8 * sum(one.high - one.low for one in apart)
    same = scores.compare(answers_of(easy), answers_of(easy), "choice", "seen")
    assert same.value == 0
    assert -0.1 < same.low < 0 < same.high < 0.1  # other pictures might tell them apart
    assert scores.change(np.zeros(0)).value != 0  # nothing asked: not a number


def test_the_others_are_all_but_english():
    values = np.zeros((10, 6), bool)
    values[:, CODES.index("en")] = True
    assert scores.mean_of_others(answers_of(values), "choice", "seen").value == 0
    assert scores.compare(answers_of(values), answers_of(~values), "choice", "seen").value == -1


def test_erosion_is_english_minus_the_language():
    values = np.zeros((10, 6), bool)
    values[:, 0], values[:4, 1] = True, True
    gaps = scores.erosion(answers_of(values), "choice", "seen")
    assert gaps["zh"].value == pytest.approx(0.6)
    assert gaps["ru"].value == pytest.approx(1.0)
    assert "en" not in gaps


def test_language_information_spans_nothing_to_everything():
    assert conclusion.language_information(np.full((6, 6), 1 / 6)) == pytest.approx(0, abs=1e-9)
    assert conclusion.language_information(np.tile([1.0, 0, 0, 0, 0, 0], (6, 1))) == pytest.approx(0, abs=1e-9)
    assert conclusion.language_information(np.eye(6)) == pytest.approx(1)
