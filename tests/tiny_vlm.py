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


def save_llava(directory: Path, seed: int = 0) -> Path:
    """A LLaVA whose logits are far enough apart that answers do not hang on rounding."""
    torch.manual_seed(seed)
    config = transformers.LlavaConfig(
        text_config={"model_type": "llama", **_text()},
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 16,
            "patch_size": 4,
        },
        image_token_index=IMAGE,
        image_seq_length=16,
        pad_token_id=PAD,
    )
    model = transformers.LlavaForConditionalGeneration(config).eval()
    _spread(model)
    model.generation_config = transformers.GenerationConfig(pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS)
    model.save_pretrained(directory)
    transformers.LlavaProcessor(
        transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
        tokenizer(),
        patch_size=4,
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
    """A picture of noise as base64 PNG."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (size[1], size[0], 3), generator=generator, dtype=torch.uint8)
    held = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(held, "PNG")
    return base64.b64encode(held.getvalue()).decode()


WORDS = {
    "en": ("What is this?", ["cat", "dog", "a red fox", "ant"]),
    "ar": ("ما هذا؟", ["قطة", "كلب", "ثعلب أحمر", "نملة"]),
    "tr": ("Bu ne?", ["kedi", "köpek", "kızıl tilki", "karınca"]),
}


def save_benchmark(
    folder: Path, questions: int = 6, languages: Sequence[str] = ("en", "ar"), stem: str = "MMMB", passes: int = 1
) -> Path:
    """Parallel questions with a picture each; prompts of different lengths."""
    folder.mkdir(parents=True, exist_ok=True)
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
                    image = picture(i) if k == 0 else str(i)
                    text = f"{asked} {'?' * (5 * i)}"
                    writer.writerow([i + k * 10**6, text, *options, right, f"kind {i % 2}", image])
    return folder
