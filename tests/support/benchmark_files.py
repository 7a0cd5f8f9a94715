"""Small benchmarks on disk, in MMMB's format: parallel questions, each with its picture."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image


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
