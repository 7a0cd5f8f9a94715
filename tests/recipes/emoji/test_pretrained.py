"""Pretrained text models: a smaller vocabulary changes no token and no logit, and the host made with it is a host."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parrot_recipes.emoji import attribution, dataset, pretrained, trimming
from parrot_recipes.emoji.compute import Compute
from parrot_recipes.emoji.concepts import load_concepts
from parrot_recipes.emoji.errors import RecipeError
from parrot_recipes.emoji.features import load_features
from parrot_recipes.emoji.host import (
    build_host,
    load_host,
    load_text_model_and_tokenizer,
    load_vocabulary,
    projector,
    save_host,
)
from parrot_recipes.emoji.languages import CODES, LANGUAGES
from parrot_recipes.emoji.pretrained import ACCEPTED, PRETRAINED, Pretrained, load_pretrained
from parrot_recipes.emoji.schedule import Schedule
from parrot_recipes.emoji.special_tokens import SpecialTokens
from parrot_recipes.emoji.tokenizer import Vocabulary
from parrot_recipes.emoji.training import TrainingSet, train
from parrot_recipes.emoji.trimming import trim_model, trim_tokenizer, wrap_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch.testing import assert_close
from transformers import AutoProcessor, Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM

SPECIAL = SpecialTokens("<pad>", "<bos>", "<eos>", "<image>", spare="<unused0>", others=("<turn>",))
NAMES = [concept.names[code] for concept in load_concepts()[::4] for code in CODES]
WORDS = ["<pad>", "<bos>", "<eos>", "<unk>", "<turn>", "<unused0>"]


def like_gemma():
    """Spaces are letters, unknown letters are bytes."""
    backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return backend, [*WORDS, *(f"<0x{byte:02X}>" for byte in range(256))]


def like_smollm():
    """Everything is bytes."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return backend, WORDS


def trained(kind):
    backend, words = kind()
    alphabet = pre_tokenizers.ByteLevel.alphabet() if kind is like_smollm else []
    trainer = trainers.BpeTrainer(vocab_size=3000, special_tokens=words, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator([*NAMES, *(f" {name}" for name in NAMES)], trainer)
    return wrap_tokenizer(backend.to_str(), replace(SPECIAL, image="<unused0>"), "")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[like_gemma, like_smollm])
def whole(request):
    return trained(request.param)


def cut_to(whole, texts, parts=None):
    if parts is None:
        return wrap_tokenizer(trim_tokenizer(whole, texts, SPECIAL).backend, SPECIAL, "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trimming, "_with_parts", parts)
        return wrap_tokenizer(trim_tokenizer(whole, texts, SPECIAL).backend, SPECIAL, "")


some_names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=12)


@settings(deadline=None, max_examples=25)
@given(texts=some_names)
def test_the_texts_it_was_made_for_keep_their_tokens(whole, texts):
    small = cut_to(whole, texts)
    assert len(small) < len(whole)
    for text in texts:
        assert small.tokenize(text) == whole.tokenize(text)


@settings(deadline=None, max_examples=25)
@given(texts=some_names, other=st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
def test_any_other_text_can_be_written(whole, texts, other):
    small = cut_to(whole, texts)
    other = other.replace("▁", " ")  # a space, to such a vocabulary
    assert small.decode(small.encode(other, add_special_tokens=False)) == other


def test_without_the_parts_of_words_the_tokens_are_others(whole):
    texts = NAMES[:40]
    broken = cut_to(whole, texts, parts=lambda words, merges: set(words))
    assert any(broken.tokenize(text) != whole.tokenize(text) for text in texts)


def test_special_words_have_their_roles(whole):
    small = cut_to(whole, ["cat"])
    assert small.decode([small.eos_token_id, small.pad_token_id]) == "<eos><pad>"
    assert small.tokenize("<turn>cat<image>")[0] == "<turn>"
    assert small.tokenize("<turn>cat<image>")[-1] == "<image>"
    assert "<unused0>" not in small.get_vocab()


def test_a_missing_special_word_is_named(whole):
    with pytest.raises(RecipeError, match="has no '<start>'"):
        trim_tokenizer(whole, ["cat"], replace(SPECIAL, others=("<start>",)))


def gemma(words):
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=words, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return Gemma3ForCausalLM(config).eval()


def llama(words, tied):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=words, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=tied, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("make", [gemma, lambda n: llama(n, True), lambda n: llama(n, False)])
@torch.inference_mode()
def test_kept_words_have_the_same_logits(make):
    whole = trained(like_gemma)
    model = make(len(whole))
    cut = trim_tokenizer(whole, NAMES[:30], SPECIAL)
    small = trim_model(model, cut.kept, {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2})
    assert small.config.vocab_size == len(cut.kept) < len(whole)
    assert model.config.vocab_size == len(whole)  # left as it was
    ids = torch.randint(len(cut.kept), (2, 9), generator=torch.Generator().manual_seed(0))
    assert_close(small(ids).logits, model(cut.kept[ids]).logits[..., cut.kept])
    assert not any(parameter.requires_grad for parameter in small.parameters())


# --- a host that speaks with one -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packaged():
    """A random Gemma in place of the package's."""
    tokenizer = trained(like_gemma)
    times = []

    def read():
        times.append(1)
        return gemma(len(tokenizer)), tokenizer

    model = Pretrained(
        "random, frozen", read, replace(SPECIAL, others=()), PRETRAINED["gemma3-270m"].chat_template, terms="https://x"
    )
    patch = pytest.MonkeyPatch()
    patch.setattr(pretrained, "PRETRAINED", {"random": model})
    patch.setenv(ACCEPTED, "1")
    yield times
    patch.undo()


def test_it_is_read_once(packaged):
    first, words = load_pretrained("random")
    again, _ = load_pretrained("random")
    assert len(packaged) == 1
    for (name, weight), (_, other) in zip(first.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(weight, other), name
    whole = gemma(len(trained(like_gemma)))
    ours, theirs = (model.model.layers[0].mlp.up_proj.weight for model in (first, whole))
    assert_close(ours, theirs, rtol=1e-3, atol=1e-6)  # half precision
    assert first.generation_config.eos_token_id == words.eos_token_id


def test_terms_have_to_be_accepted(packaged, monkeypatch):
    monkeypatch.delenv(ACCEPTED)
    with pytest.raises(RecipeError, match=r"(?s)https://x.*--accept-gemma-terms"):
        load_pretrained("random")
    with pytest.raises(RecipeError, match="no pretrained text model 'gemma'"):
        load_pretrained("gemma")


def test_an_export_speaks_with_it(packaged, tmp_path, monkeypatch):
    monkeypatch.setattr(attribution, "TEXT_MODELS", {"random": replace(attribution.CREDITS[0], what="a random model")})
    dataset.export(load_concepts()[:3], tmp_path, grid=2, text_model="random")
    assert load_host(tmp_path / "host").config.text_config.model_type == "gemma3_text"
    assert "a random model" in (tmp_path / "ATTRIBUTION.txt").read_text("utf-8")


def test_every_pretrained_model_is_credited():
    assert set(attribution.TEXT_MODELS) == set(PRETRAINED)
    assert "Gemma is provided under and subject to the Gemma Terms of Use" in attribution.attribution_text(*PRETRAINED)
    assert "Gemma" not in attribution.attribution_text("siloed")


def test_the_host_asks_as_its_processor_does(packaged, tmp_path):
    text_model, tokenizer = load_text_model_and_tokenizer("random")
    concepts = load_concepts()[:4]
    tower = load_features(concepts, grid=2, views=1, seed=0).tower(2)
    vocabulary = Vocabulary(tokenizer)
    host = build_host(tower, text_model, image=vocabulary.image)
    save_host(host, tmp_path, tokenizer)
    loaded, processor, words = load_host(tmp_path), AutoProcessor.from_pretrained(tmp_path), load_vocabulary(tmp_path)
    picture = torch.zeros(160, 160, 3, dtype=torch.uint8).numpy()
    for language in LANGUAGES:
        content = [{"type": "image"}, {"type": "text", "text": language.question}]
        chat = [{"role": "user", "content": content}]
        text = processor.apply_chat_template(chat, add_generation_prompt=True)
        ids = processor(images=[picture], text=[text], return_tensors="pt").input_ids[0].tolist()
        assert ids == words.prompt(language.code, 4) == vocabulary.prompt(language.code, 4)
        answered = [*chat, {"role": "assistant", "content": "fil"}]
        end = processor.apply_chat_template(answered)[len(text) :]
        assert words.encode(end) == [*words.name("fil"), words.eos]
    ids = torch.tensor([words.prompt("tr", 4)])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": torch.randn(1, 4, 1280)}
    with torch.inference_mode():
        assert_close(loaded(**inputs).logits, host(**inputs).logits)


def losses_of(text_model, tokenizer, compute):
    concepts = load_concepts()[:8]
    features = load_features(concepts, grid=2, views=1, seed=0)
    vocabulary = Vocabulary(tokenizer)
    host = build_host(features.tower(2), text_model, image=vocabulary.image)
    torch.manual_seed(0)
    groups = [(list(projector(host).parameters()), 1.0)]
    data = TrainingSet(concepts, features, vocabulary)
    return train(host, groups, data, Schedule(6, 1e-2, batch_size=8), 0, compute=compute)


def test_half_precision_learns_as_float32_does(packaged):
    """Autocast keeps copies of weights for as long as a block lasts: one around a whole training trains nothing."""
    text_model, tokenizer = load_text_model_and_tokenizer("random")
    whole, half = (losses_of(text_model, tokenizer, Compute("cpu", dtype)) for dtype in ("float32", "bfloat16"))
    assert half == pytest.approx(whole, abs=0.01)
    with Compute("cpu", "bfloat16").autocast():
        broken = losses_of(text_model, tokenizer, Compute("cpu", "bfloat16"))
    assert broken[-1] > whole[-1] + 0.05


def test_frozen_weights_rounded_once_give_the_same_bits(packaged):
    text_model, tokenizer = load_text_model_and_tokenizer("random")
    tower = load_features(load_concepts()[:4], grid=2, views=1, seed=0).tower(2)
    vocabulary = Vocabulary(tokenizer)
    host = build_host(tower, text_model, image=vocabulary.image)
    ids = torch.tensor([vocabulary.prompt("tr", 4)])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": torch.randn(1, 4, 1280)}
    half, before = Compute("cpu", "bfloat16"), {name: p.clone() for name, p in host.named_parameters()}
    with half.autocast():
        expected = host(**inputs).logits
        with half.frozen_linears(host):
            assert torch.equal(host(**inputs).logits, expected)
            rounded = {name for name, p in host.named_parameters() if p.dtype == torch.bfloat16}
    assert "model.language_model.layers.0.mlp.up_proj.weight" in rounded
    assert not any("multi_modal_projector" in name or "embed" in name or "lm_head" in name for name in rounded)
    assert all(torch.equal(p, before[name]) for name, p in host.named_parameters())
    with Compute().frozen_linears(host):
        assert not any(p.dtype == torch.bfloat16 for p in host.parameters())
