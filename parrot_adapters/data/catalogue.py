"""What PARROT was trained on, and where it is today, as the Hub showed it (sources at the end).

Sizes are rounded as the Hub prints them. No md5 of any of these files is published that we know of; what is downloaded
is compared with the size and the SHA-256 that the Hub itself declares for it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PARROT_DATA", "PublishedFile"]


@dataclass(frozen=True)
class PublishedFile:
    """A file of a training set.

    Attributes:
        name: as the original code calls the set.
        stage: in which it is used.
        language: BCP-47.
        samples: as its name or paper says, in thousands.
        dataset: on the Hub; None where we found nobody who publishes it.
        path: in that data set.
        megabytes: as the Hub prints it; None where unknown.
        licence: as declared there.
        images: where its pictures are.
        md5: None where nobody published one.
        archive: it holds pictures, and is fetched on request only.
    """

    name: str
    stage: int
    language: str
    samples: int
    dataset: str | None
    path: str
    megabytes: float | None
    licence: str
    images: str
    md5: str | None = None
    archive: bool = False


PARROT = "AIDC-AI/Parrot-dataset"
NOT_DECLARED = "none declared"
ABSENT = "said to be in AIDC-AI/Parrot-dataset, whose list of files does not have them"
LLAVA_PICTURES = "COCO train2017, GQA, OCR-VQA, TextVQA, Visual Genome, each from its own site"
SHAREGPT_PICTURES = "those of ShareGPT4V (COCO, LAION-CC-SBU, SAM, ...), each from its own site"


def _translated(language: str, samples: int, megabytes: float) -> PublishedFile:
    return PublishedFile(
        f"sharegpt4v-sft-{language}",
        2,
        language,
        samples,
        PARROT,
        f"sharegpt_4v/sharegpt4v_sft_{language}_{samples}k.json",
        megabytes,
        NOT_DECLARED,
        SHAREGPT_PICTURES,
    )


PARROT_DATA = (
    PublishedFile(
        "llava-pretrain-558k",
        1,
        "en",
        558,
        "liuhaotian/LLaVA-Pretrain",
        "blip_laion_cc_sbu_558k.json",
        181,
        "other (those of CC-3M and BLIP)",
        "images.zip beside it",
    ),
    PublishedFile(
        "llava-pretrain-558k (pictures)",
        1,
        "en",
        558,
        "liuhaotian/LLaVA-Pretrain",
        "images.zip",
        27_400,
        "other (those of CC-3M and BLIP)",
        "",
        archive=True,
    ),
    PublishedFile("laion-12k", 1, "en", 12, None, "laion_12k.json", None, NOT_DECLARED, ABSENT),
    PublishedFile("cc12m-645k", 1, "en", 645, None, "cc12m_645k.json", None, NOT_DECLARED, ABSENT),
    PublishedFile(
        "llava-finetune-665k",
        2,
        "en",
        665,
        "liuhaotian/LLaVA-Instruct-150K",
        "llava_v1_5_mix665k.json",
        1_030,
        "CC-BY-4.0, and OpenAI's terms of use",
        LLAVA_PICTURES,
    ),
    _translated("zh", 71, 116),
    _translated("pt", 14, 19.4),
    _translated("ar", 12, 36.6),
    _translated("tr", 17, 25.7),
    _translated("ru", 14, 53.8),
)
"""Sources: https://github.com/AIDC-AI/Parrot (README, table of data sets; parrot/utils/utils.py), and the file lists of
https://huggingface.co/datasets/AIDC-AI/Parrot-dataset (sharegpt_4v at 70b8bfb; the list holds no laion_12k.json and no
cc12m_645k.json, although that README names it as their source), liuhaotian/LLaVA-Pretrain (70f9d1e) and
liuhaotian/LLaVA-Instruct-150K (011f884). The sets of ShareGPT4V itself are CC-BY-NC-4.0."""
