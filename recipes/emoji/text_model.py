"""A text model of about one million parameters that knows six languages and has never seen a picture.

Remake the committed checkpoint (about 18 minutes on one core):

    python -m parrot_recipes.emoji.text_model

It learns one task: nine noisy embeddings that describe a concept, then a question, then the concept's name. The nine
slots stand where visual tokens will stand, and hold tokens of the name itself: drawn with repetition, in any order,
some lost, some wrong, all disturbed by noise. Description, question and name are always
of *one* language. So the model knows every name in every language, yet nothing has ever told it that two names mean
the same: the languages are siloed (`--linked` draws the description from any language instead, for comparison).
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .cache import cached_file
from .concepts import Concept, load_concepts
from .errors import RecipeError
from .languages import CODES, LANGUAGES
from .tokenizer import ASSETS, BOS, EOS, IMAGE, PAD, Vocabulary, load_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from transformers import Qwen2ForCausalLM

__all__ = ["TextModelConfig", "load_text_model", "new_text_model", "pretrain"]

SLOTS = 9  # where visual tokens will stand


@dataclass(frozen=True)
class TextModelConfig:
    vocab_size: int = 4096
    hidden_size: int = 128
    layers: int = 3
    steps: int = 3000
    batch_size: int = 128
    learning_rate: float = 2e-3
    noise: float = 1.5  # largest standard deviation of the noise on a slot, in units of the embeddings' own
    lost: float = 0.15  # share of a name's tokens that a description lacks
    wrong: float = 0.10  # share of slots that hold a token of some other name
    linked: bool = False
    seed: int = 0


def new_text_model(config: TextModelConfig = TextModelConfig()) -> Qwen2ForCausalLM:
    """An untrained text model."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(config.seed)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=3 * config.hidden_size,
            num_hidden_layers=config.layers,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=128,
            tie_word_embeddings=True,
            pad_token_id=PAD,
            bos_token_id=BOS,
            eos_token_id=EOS,
        )
    )


def load_text_model(kind: str = "siloed", seed: int = 0) -> Qwen2ForCausalLM:
    """A text model in float32: committed for seeds 0 to 2; others, and linked languages, are made on first use.

    Making takes about 18 minutes on one quiet core.

    Raises:
        RecipeError: ``kind`` is neither ``"siloed"`` nor ``"linked"``.
    """
    if kind not in ("siloed", "linked"):
        raise RecipeError(f"no text model {kind!r} is made here.\n  known  siloed, linked")
    from safetensors.torch import load_file

    committed = committed_checkpoint(seed)
    checkpoint = committed if kind == "siloed" and committed.exists() else _made_checkpoint(kind == "linked", seed)

    model = new_text_model()
    weights = {name: weight.float() for name, weight in load_file(checkpoint).items()}
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model.load_state_dict(weights)
    return model.eval()


def committed_checkpoint(seed: int) -> Path:
    """Where the text model of a seed is committed, if it is."""
    return ASSETS / ("text_model.safetensors" if seed == 0 else f"text_model_{seed}.safetensors")


def save_text_model(model: nn.Module, checkpoint: Path) -> None:
    from safetensors.torch import save_file

    weights = {name: weight.half() for name, weight in model.state_dict().items() if name != "lm_head.weight"}
    save_file(weights, checkpoint, metadata={"format": "pt"})


def _made_checkpoint(linked: bool, seed: int) -> Path:
    config = TextModelConfig(linked=linked, seed=seed)

    def build(path: Path) -> None:
        save_text_model(pretrain(Vocabulary(load_tokenizer()), config), path)

    name = "text_model_linked.safetensors" if linked else "text_model.safetensors"
    return cached_file(name, asdict(config), build)


class Naming:
    """Draws batches of the pre-training task."""

    def __init__(self, vocabulary: Vocabulary, config: TextModelConfig) -> None:
        self.config = config
        self.random = random.Random(config.seed)
        self.prompts = {code: vocabulary.prompt(code, SLOTS) for code in CODES}
        self.names = [{code: vocabulary.name(c.names[code]) for code in CODES} for c in load_concepts()]

    def describe(self, concept: int, language: str) -> list[int]:
        """SLOTS token ids: the name's own, shuffled, some lost, some wrong."""
        draw, config = self.random, self.config
        name = self.names[concept][language]
        kept = [token for token in name if draw.random() >= config.lost] or [draw.choice(name)]
        slots = (kept + draw.choices(kept, k=max(0, SLOTS - len(kept))))[:SLOTS]
        draw.shuffle(slots)
        return [
            draw.choice(self.names[draw.randrange(len(self.names))][language]) if draw.random() < config.wrong else slot
            for slot in slots
        ]

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """input ids (B, S) with IMAGE at the slots, the slots' tokens (B, SLOTS), labels (B, S)."""
        rows, slots, labels = [], [], []
        for _ in range(self.config.batch_size):
            concept, language = self.random.randrange(len(self.names)), self.random.choice(CODES)
            source = self.random.choice(CODES) if self.config.linked else language
            prompt, answer = self.prompts[language], [*self.names[concept][language], EOS]
            slots.append(self.describe(concept, source))
            rows.append(prompt + answer)
            labels.append([-100] * len(prompt) + answer)
        return _pad(rows, PAD), torch.tensor(slots), _pad(labels, -100)


def write_slots(model: Qwen2ForCausalLM, ids: Tensor, described: Tensor, noise: Tensor | float) -> Tensor:
    """Embeddings of ``ids`` (B, S, D) with ``described`` (B, SLOTS, D) and noise written at the image positions."""
    embed = model.get_input_embeddings()
    described = described + noise * embed.weight.detach().std() * torch.randn_like(described)
    return embed(ids).masked_scatter((ids == IMAGE)[..., None], described)


def pretrain(
    vocabulary: Vocabulary, config: TextModelConfig = TextModelConfig(), log_every: int = 100
) -> Qwen2ForCausalLM:
    """Train the text model from nothing."""
    model, task = new_text_model(config), Naming(vocabulary, config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * step / config.steps))
    )
    started = time.perf_counter()
    for step in range(config.steps):
        ids, slots, labels = task.batch()
        described = model.get_input_embeddings()(slots)
        embeddings = write_slots(model, ids, described, config.noise * torch.rand(len(ids), 1, 1))
        hidden = model.model(inputs_embeds=embeddings, attention_mask=(ids != PAD).long(), use_cache=False)[0][:, :-1]
        targets = labels[:, 1:]
        answered = targets != -100
        loss = nn.functional.cross_entropy(model.lm_head(hidden[answered]), targets[answered])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if log_every and (step + 1) % log_every == 0:
            elapsed = time.perf_counter() - started
            print(f"step {step + 1:5d}  loss {loss.item():.3f}  {elapsed:4.0f} s", flush=True)
    return model.eval()


@torch.inference_mode()
def naming_accuracy(
    model: Qwen2ForCausalLM,
    vocabulary: Vocabulary,
    *,
    noise: float = 0.0,
    crossed: bool = False,
    concepts: Sequence[Concept] | None = None,
) -> dict[str, float]:
    """Share of names the text model gives back exactly, per language, from a description with ``noise``.

    ``crossed`` describes in English (or, asked in English, in Russian) instead: a siloed model must fail at that.
    """
    accuracies = {}
    concepts = load_concepts()[::8] if concepts is None else concepts
    for code in CODES:
        source = code if not crossed else ("en" if code != "en" else "ru")
        slots = []
        for concept in concepts:
            name = vocabulary.name(concept.names[source])
            slots.append((name * SLOTS)[: max(SLOTS, len(name))][:SLOTS])
        ids = torch.tensor([vocabulary.prompt(code, SLOTS)] * len(concepts))
        embeddings = write_slots(model, ids, model.get_input_embeddings()(torch.tensor(slots)), noise)
        answers = model.generate(
            inputs_embeds=embeddings, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False
        )
        right = [
            vocabulary.decode(answer) == c.names[code] for answer, c in zip(answers.tolist(), concepts, strict=True)
        ]
        accuracies[code] = sum(right) / len(right)
    return accuracies


def _pad(rows: list[list[int]], value: int) -> Tensor:
    """Lists of ids, padded on the right, (B, S)."""
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=ASSETS, help="directory of tokenizer.json and text_model.safetensors"
    )
    parser.add_argument("--steps", type=int, default=TextModelConfig.steps)
    parser.add_argument("--seed", type=int, default=0, help="of its weights and its data (%(default)s)")
    parser.add_argument("--linked", action="store_true", help="tie the languages together (the comparison model)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    config = TextModelConfig(steps=arguments.steps, linked=arguments.linked, seed=arguments.seed)
    corpus = [concept.names[code] for concept in load_concepts() for code in CODES]
    corpus += [language.question for language in LANGUAGES] * 50
    tokenizer = train_tokenizer(corpus, config.vocab_size)
    vocabulary = Vocabulary(tokenizer)
    for code in CODES:
        lengths = [len(vocabulary.name(concept.names[code])) for concept in load_concepts()]
        print(f"{code}: {sum(lengths) / len(lengths):.1f} tokens a name, at most {max(lengths)}")

    model = pretrain(vocabulary, config)
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer.backend_tokenizer.save(str(arguments.out / "tokenizer.json"))
    save_text_model(model, arguments.out / committed_checkpoint(config.seed).name)
    for noise in (0.0, 0.5, 1.0):
        print(
            f"names given back, noise {noise}:",
            {k: round(v, 2) for k, v in naming_accuracy(model, vocabulary, noise=noise).items()},
        )
    print(
        "described in another language:",
        {k: round(v, 2) for k, v in naming_accuracy(model, vocabulary, crossed=True).items()},
    )


if __name__ == "__main__":
    main()
