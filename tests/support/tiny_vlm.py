"""Whole vision-language models in miniature, on disk: weights, tokenizer, processor and chat template, all offline.

The tokenizer knows bytes, so that every script can be asked and answered.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

SPECIALS = ("<pad>", "<bos>", "<eos>", "<image>", "<user>", "<assistant>", "<vision>", "</vision>", "<video>")
PAD, BOS, EOS, IMAGE = range(4)
TEMPLATE = (
    "{{ '<bos>' }}{% for message in messages %}{{ '<' + message['role'] + '>' }}{% for part in message['content'] %}"
    "{{ IMAGE if part['type'] == 'image' else part['text'] }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


def tokenizer() -> Any:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*SPECIALS, *letters])}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(SPECIALS))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
        clean_up_tokenization_spaces=False,
    )


def _text(**more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": len(SPECIALS) + 256,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "max_position_embeddings": 2048,
        **more,
    }


def save_llava(
    directory: Path, seed: int = 0, *, text: dict[str, Any] | None = None, vision: dict[str, Any] | None = None
) -> Path:
    """A LLaVA whose logits are far enough apart that answers do not hang on rounding.

    Args:
        directory: where to.
        seed: of the weights.
        text: changes to the language model's config.
        vision: changes to the vision tower's config.
    """
    vision = {
        "model_type": "clip_vision_model",
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 4,
        **(vision or {}),
    }
    side, patch = vision["image_size"], vision["patch_size"]
    torch.manual_seed(seed)
    config = transformers.LlavaConfig(
        text_config={"model_type": "llama", **_text(**(text or {}))},
        vision_config=vision,
        image_token_index=IMAGE,
        image_seq_length=(side // patch) ** 2,
        pad_token_id=PAD,
    )
    model = transformers.LlavaForConditionalGeneration(config).eval()
    _spread(model)
    model.generation_config = transformers.GenerationConfig(pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS)
    model.save_pretrained(directory)
    transformers.LlavaProcessor(
        transformers.CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}),
        tokenizer(),
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE.replace("IMAGE", "'<image>'"),
    ).save_pretrained(directory)
    return directory


def _spread(model: Any) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)


def picture(seed: int, size: tuple[int, int] = (20, 16)) -> str:
    """A picture of coarse noise in base64: PNG, or JPEG where it is large."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (min(size[1], 16), min(size[0], 20), 3), generator=generator, dtype=torch.uint8)
    held = io.BytesIO()
    large = size[0] > 100
    Image.fromarray(pixels.numpy()).resize(size).save(held, "JPEG" if large else "PNG")
    return base64.b64encode(held.getvalue()).decode()


WORDS = {
    "en": ("What is this?", ["cat", "dog", "a red fox", "ant"]),
    "ar": ("ما هذا؟", ["قطة", "كلب", "ثعلب أحمر", "نملة"]),
    "tr": ("Bu ne?", ["kedi", "köpek", "kızıl tilki", "karınca"]),
    "zh": ("这是什么？", ["猫", "狗", "红色的狐狸", "蚂蚁"]),
    "pt": ("O que é isto?", ["gato", "cão", "uma raposa vermelha", "formiga"]),
    "ru": ("Что это?", ["кот", "собака", "рыжая лиса", "муравей"]),
}


def save_benchmark(
    folder: Path,
    questions: int = 6,
    languages: Sequence[str] = ("en", "ar"),
    stem: str = "MMMB",
    passes: int = 1,
    size: tuple[int, int] = (20, 16),
) -> Path:
    """Parallel questions with a picture each; prompts of different lengths."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [picture(i, size) for i in range(questions)]
    for language in languages:
        asked, names = WORDS[language]
        with (folder / f"{stem}_{language}.tsv").open("w", encoding="utf-8", newline="") as file:
            columns = ["index", "question", "A", "B", "C", "D", "answer", "category", "image"]
            writer = csv.writer(file, delimiter="\t", lineterminator="\n")
            writer.writerow(columns)
            for k in range(passes):
                for i in range(questions):
                    options = [names[(i + j + k) % 4] for j in range(4)]
                    right = "ABCD"[(-k) % 4]
                    image = pictures[i] if k == 0 else str(i)
                    text = f"{asked} {'?' * (5 * (i % 8))}"
                    writer.writerow([i + k * 10**6, text, *options, right, f"kind {i % 2}", image])
    return folder
