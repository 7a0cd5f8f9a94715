"""A world in which ``parrot train`` runs from YAML files: hosts, pictures and dialogues on disk. Imported by tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
import transformers
from PIL import Image

import parrot_adapters as pa
from parrot_adapters.data import Collator, open_data
from parrot_adapters.testing import lively_weights, small_llava
from parrot_adapters.training import load_config
from support import chat_processors

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 200)}
WORDS = {"en": ("red", "green", "blue"), "tr": ("kirmizi", "yesil", "mavi"), "ru": ("красный", "зелёный", "синий")}
ASKED = {"en": "Colour?", "tr": "Renk ne?", "ru": "Цвет?"}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
TOWER = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": chat_processors.SIDE,
    "patch_size": chat_processors.PATCH,
}


def llava():
    processor = chat_processors.llava()
    return small_llava(text={"vocab_size": len(processor.tokenizer)}), processor


def gemma3():
    processor = chat_processors.gemma3()
    ids = processor.tokenizer.convert_tokens_to_ids
    config = transformers.Gemma3Config(
        text_config={**TEXT, "vocab_size": len(processor.tokenizer), "head_dim": 8, "sliding_window": 64},
        vision_config={"model_type": "siglip_vision_model", **TOWER, "vision_use_head": False},
        mm_tokens_per_image=4,
        boi_token_index=ids("<start_of_image>"),
        eoi_token_index=ids("<end_of_image>"),
        image_token_index=ids("<image_soft_token>"),
    )
    return transformers.Gemma3ForConditionalGeneration(config), processor


def idefics3():
    processor = chat_processors.idefics3()
    config = transformers.Idefics3Config(
        text_config={"model_type": "llama", "vocab_size": len(processor.tokenizer), **TEXT},
        vision_config={**TOWER, "model_type": "idefics3_vision"},
        image_token_id=processor.tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=0,
        tie_word_embeddings=False,
    )
    return transformers.Idefics3ForConditionalGeneration(config), processor


FAMILIES = {"llava": llava, "gemma3": gemma3, "idefics3": idefics3}


def make_world(folder: Path, families: Iterable[str] = FAMILIES) -> Path:
    """A folder with hosts, pictures and dialogues, as users have them."""
    for name, colour in COLOURS.items():
        Image.new("RGB", (chat_processors.SIDE, chat_processors.SIDE), colour).save(folder / f"{name}.png")
    for file, languages in (("stage1.json", ("en",)), ("stage2.json", tuple(WORDS))):
        samples = [
            {
                "id": f"{name}-{language}-{n}",
                "image": f"{name}.png",
                "language": language,
                "conversations": [
                    {"from": "human", "value": f"<image>\n{ASKED[language]}"},
                    {"from": "gpt", "value": WORDS[language][number]},
                ],
            }
            for n in range(4)
            for number, name in enumerate(COLOURS)
            for language in languages
        ]
        (folder / file).write_text(json.dumps(samples, ensure_ascii=False), encoding="utf-8")
    for family in families:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model, processor = FAMILIES[family]()
            lively_weights(model)
        model.save_pretrained(folder / family)
        processor.save_pretrained(folder / family)
    return folder


def write(world: Path, out: Path, name: str, text: str, family: str = "llava") -> Path:
    """A run's file."""
    path = world / f"{out.name}-{name}-{family}.yaml"
    path.write_text(
        f"""
out: {out / name}
host: {{path: {family}, dtype: float32}}
steps: 12
batch: {{size: 4, per_device: 2}}
engine: {{device: cpu, compute: float32}}
optim: {{learning_rate: 5e-3}}
checkpoint: {{every: 5}}
log: {{every: 2, progress: false}}
{text}
""",
        encoding="utf-8",
    )
    return path


ADAPTER = "adapter: {num_experts: 2, expert_hidden_size: 16}"
STAGE1 = "recipe: stage1\ndata: {sources: [{path: stage1.json}]}"


def stage(kind: str, start: Path | None = None, more: str = "") -> str:
    started = "" if start is None else f"start_from: {start}\n"
    return f"recipe: {kind}\ndata: {{sources: [{{path: stage2.json}}]}}\n{ADAPTER}\n{started}{more}"


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]


def answers(host: Path, adapter: Path, file: Path) -> torch.Tensor:
    """Logits of a host with an adapter, both from disk."""
    from parrot_adapters.training import load_training_host

    config = load_config(file)
    model, processor = load_training_host(config)
    if host != Path(config.host.path):
        model = type(model).from_pretrained(host)
    handle = pa.load_adapter(model.eval(), adapter, processor=processor, strict=True)
    data = open_data(config.data, seed=0)
    batch = Collator(processor, model_config=model.config)([data[0], data[1], data[2]])
    with torch.no_grad():
        return handle.model(**{k: v for k, v in batch.items() if not k.startswith("parrot_")}).logits
