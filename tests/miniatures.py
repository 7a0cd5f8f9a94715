"""Random-weight miniature hosts, built offline from configs, and valid inputs for them.

A :class:`Family` knows how to build one model and how to turn images (small integers, their seeds) into the arguments
its processor would make and the ids that stand for them in a prompt. :meth:`Family.batch` does the rest:

    family = FAMILIES["llava"]
    model = family.build()
    inputs = family.batch([[20, 21, Image(1), 22], [30, 31, 32]])      # two rows, the second without images

All families share one vocabulary: ids below ``FIRST_WORD`` are special, the rest are words.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import Tensor

PAD, BOS, EOS, IMAGE, VIDEO, START, END = 0, 1, 2, 3, 4, 5, 6
TURN, END_TURN, USER, ASSISTANT, SYSTEM = 14, 15, 16, 17, 18  # of the chat template; the roles are ordinary words
VIDEO_START, VIDEO_END = 12, 13  # of glm4v
INDICATORS = (7, 8, 9, 10, 11)  # of ovis2
FIRST_WORD, VOCABULARY = 20, 96
WIDTH = 32
SIDE, PATCH = 16, 4  # pixels of an image, of a patch: 4 x 4 patches


@dataclass(frozen=True)
class Image:
    """An image in a prompt. The seed decides its pixels and, for hosts of dynamic resolution, its size."""

    seed: int


@dataclass(frozen=True)
class Video:
    """A video in a prompt, of two frames or more."""

    seed: int


Prompt = Sequence[int | Image | Video]

# Several images in a row, one, none; rows of different lengths.
PROMPTS: tuple[Prompt, ...] = (
    (BOS, 20, 21, Image(0), 22, Image(1), 23, 24, 25),
    (BOS, 30, Image(2), 31),
    (BOS, 40, 41, 42),
)
ADAPTER = {"num_experts": 3, "expert_hidden_size": 16}


@dataclass
class Encoded:
    """Images as a host takes them.

    Attributes:
        arguments: of the host's forward.
        tokens: the ids to put in the prompt for each image, in order.
    """

    arguments: dict[str, Tensor]
    tokens: list[list[int]]


@dataclass(frozen=True, eq=False)
class Family:
    """A family of hosts in miniature.

    Attributes:
        name: its ``config.model_type``.
        architecture: name of the class with a language-model head.
        config: makes the config.
        images: rows of image seeds -> what the processor would make of them.
        videos: likewise for videos; None where the family has none.
        extra: further arguments computed from the finished batch.
        twin: another family that is reached in the same way; None for one that is like no other.
        unit: what one routing is for.
        together: whether a batch may hold images and videos.
        known: documented faults of the host itself: name of a test -> reason.
    """

    name: str
    architecture: str
    config: Callable[[], Any]
    images: Callable[[list[list[int]]], Encoded]
    videos: Callable[[list[list[int]]], Encoded] | None = None
    extra: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda inputs: {}
    twin: str | None = None
    unit: str = "item"
    together: bool = True
    known: dict[str, str] = field(default_factory=dict)

    def build(self) -> Any:
        """The model, in float32 and eval mode; the same weights every time, and never run before."""
        return copy.deepcopy(_pristine(self))

    def batch(self, prompts: Sequence[Prompt], *, padding: str = "left", min_length: int = 0) -> dict[str, Any]:
        """Arguments of the host's forward for some prompts.

        Args:
            prompts: word ids, :class:`Image` and :class:`Video`.
            padding: ``"left"`` or ``"right"``.
            min_length: pad at least to this length.
        """
        inputs: dict[str, Any] = {}
        ids: dict[type, Any] = {}
        for kind, encode in ((Image, self.images), (Video, self.videos)):
            seeds = [[part.seed for part in prompt if isinstance(part, kind)] for prompt in prompts]
            if any(seeds):
                assert encode is not None, f"{self.name} takes no {kind.__name__}"
                encoded = encode(seeds)
                inputs |= encoded.arguments
                ids[kind] = iter(encoded.tokens)
        rows = [
            [i for part in prompt for i in ([part] if isinstance(part, int) else next(ids[type(part)]))]
            for prompt in prompts
        ]
        size = max(min_length, *map(len, rows))
        input_ids = torch.full((len(rows), size), PAD)
        mask = torch.zeros_like(input_ids)
        for number, row in enumerate(rows):
            here = slice(size - len(row), size) if padding == "left" else slice(0, len(row))
            input_ids[number, here] = torch.tensor(row)
            mask[number, here] = 1
        # Text first, as processors do: generate takes the batch size from the first tensor it finds.
        inputs = {"input_ids": input_ids, "attention_mask": mask} | inputs
        return inputs | self.extra(inputs)


@functools.cache
def _pristine(family: Family) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, family.architecture)(family.config())
        lively(model)
    model.eval()
    model.generation_config.eos_token_id = None  # so that generation has a fixed length
    model.generation_config.pad_token_id = PAD
    model.generation_config.suppress_tokens = list(range(FIRST_WORD))  # a generated placeholder has no image
    return model


def lively(model: torch.nn.Module) -> None:
    """Weights at a scale at which inputs matter; transformers' own initialisation is nearly constant."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() >= 2:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
            elif name.endswith(("newline", "class_embedding")):
                parameter.normal_()


def awake(handle: Any) -> Any:
    """Give an untrained adapter something to say, the same every time; its handle again."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in handle.module.named_parameters():
            if name.endswith("down") or "gate" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return handle


def tokenizer() -> Any:
    """A tokenizer for the miniatures' vocabulary, with a chat template: word ``i`` is written ``wi``."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = {PAD: "<pad>", BOS: "<s>", EOS: "</s>", IMAGE: "<image>", VIDEO: "<video>", START: "<i>", END: "</i>"}
    names |= {TURN: "<turn>", END_TURN: "<end>", USER: "user", ASSISTANT: "assistant", SYSTEM: "system"}
    roles = (USER, ASSISTANT, SYSTEM)
    names |= {VOCABULARY - 3: "one", VOCABULARY - 2: "2", VOCABULARY - 1: "three"}  # what templates are tried with
    names = {i: names.get(i, f"<special{i}>" if i < FIRST_WORD else f"w{i}") for i in range(VOCABULARY)}
    made = Tokenizer(models.WordLevel({name: i for i, name in names.items()}, unk_token="<pad>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = [names[i] for i in range(FIRST_WORD) if i not in roles]
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>", additional_special_tokens=special
    )
    fast.chat_template = (
        "{% for message in messages %}<turn> {{ message['role'] }} {{ message['content'] }} <end> {% endfor %}"
        "{% if add_generation_prompt %}<turn> assistant {% endif %}"
    )
    return fast


def picture(seed: int, *shape: int) -> Tensor:
    """Pixels of a seed, the same every time, never zero (an all-zero image is padding to some hosts)."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + 1))


# --- images as processors hand them over -------------------------------------------------------------------------


def stacked(tokens: int, *, side: int = SIDE, name: str = "pixel_values", framed: bool = False) -> Callable:
    """One (3, side, side) picture per image, ``tokens`` placeholders each."""

    def encode(rows: list[list[int]]) -> Encoded:
        seeds = [seed for row in rows for seed in row]
        ids = [IMAGE] * tokens
        return Encoded(
            {name: torch.stack([picture(seed, 3, side, side) for seed in seeds])},
            [[START, *ids, END] if framed else ids for _ in seeds],
        )

    return encode


def anyres(rows: list[list[int]]) -> Encoded:
    """LLaVA-NeXT: a base tile and the tiles of a grid. Even seeds are square, odd ones twice as wide as high."""
    seeds = [seed for row in rows for seed in row]
    sizes = [(SIDE, 2 * SIDE) if seed % 2 else (SIDE, SIDE) for seed in seeds]
    tiles = [3 if seed % 2 else 2 for seed in seeds]  # base and the grid [16, 32] or [16, 16]
    pixels = torch.zeros(len(seeds), max(tiles), 3, SIDE, SIDE)
    for number, (seed, count) in enumerate(zip(seeds, tiles, strict=True)):
        pixels[number, :count] = picture(seed, count, 3, SIDE, SIDE)
    side = SIDE // PATCH
    lengths = [side * side + side * (side * (count - 1) + 1) for count in tiles]  # a newline ends each line of the grid
    return Encoded(
        {"pixel_values": pixels, "image_sizes": torch.tensor(sizes)}, [[IMAGE] * length for length in lengths]
    )


def clip(frames: int, tokens: int) -> Callable:
    """Videos of (frames, 3, side, side), ``tokens`` placeholders each."""

    def encode(rows: list[list[int]]) -> Encoded:
        seeds = [seed for row in rows for seed in row]
        pixels = torch.stack([picture(seed, frames, 3, SIDE, SIDE) for seed in seeds])
        return Encoded({"pixel_values_videos": pixels}, [[VIDEO] * tokens for _ in seeds])

    return encode


def patches(
    grids: Callable[[int], tuple[int, int, int]],
    *,
    token: int = IMAGE,
    pixels: str = "pixel_values",
    grid: str = "image_grid_thw",
    temporal: int = 2,
    merge: int = 2,
    extra: Callable[[int], dict[str, Tensor]] = lambda count: {},
    framed: bool = True,
) -> Callable:
    """Qwen-VL: patches of all images end to end, with the grid (t, h, w) of each."""

    def encode(rows: list[list[int]]) -> Encoded:
        seeds = [seed for row in rows for seed in row]
        shapes = [grids(seed) for seed in seeds]
        flat = [
            picture(seed, t * h * w, 3 * temporal * PATCH * PATCH)
            for seed, (t, h, w) in zip(seeds, shapes, strict=True)
        ]
        tokens = [[token] * (t * h * w // merge**2) for t, h, w in shapes]
        if framed:
            tokens = [[START, *ids, END] for ids in tokens]
        return Encoded({pixels: torch.cat(flat), grid: torch.tensor(shapes)} | extra(len(seeds)), tokens)

    return encode


def by_row(tokens: int) -> Callable:
    """Idefics: (rows, images, 3, side, side), rows with fewer images filled with zeros."""

    def encode(rows: list[list[int]]) -> Encoded:
        pixels = torch.zeros(len(rows), max(map(len, rows)), 3, SIDE, SIDE)
        for number, row in enumerate(rows):
            for position, seed in enumerate(row):
                pixels[number, position] = picture(seed, 3, SIDE, SIDE)
        # The processor separates images of a prompt by ids of their own.
        return Encoded({"pixel_values": pixels}, [[START, *[IMAGE] * tokens, END] for row in rows for _ in row])

    return encode


def packed(rows: list[list[int]]) -> Encoded:
    """Pixtral: padded to the largest, true sizes beside; patches are merged 2 x 2. Odd seeds are half as high."""
    seeds = [seed for row in rows for seed in row]
    sizes = [(SIDE // 2 if seed % 2 else SIDE, SIDE) for seed in seeds]
    pixels = torch.zeros(len(seeds), 3, max(h for h, _ in sizes), SIDE)
    for number, (seed, (h, w)) in enumerate(zip(seeds, sizes, strict=True)):
        pixels[number, :, :h, :w] = picture(seed, 3, h, w)
    lengths = [(h // (2 * PATCH)) * (w // (2 * PATCH)) for h, w in sizes]
    return Encoded({"pixel_values": pixels, "image_sizes": torch.tensor(sizes)}, [[IMAGE] * n for n in lengths])


def naflex(rows: list[list[int]]) -> Encoded:
    """LFM2-VL: patches padded to the longest image, their true shapes beside."""
    seeds = [seed for row in rows for seed in row]
    shapes = [(2, 4) if seed % 2 else (4, 4) for seed in seeds]
    most = max(h * w for h, w in shapes)
    pixels = torch.zeros(len(seeds), most, 3 * PATCH * PATCH)
    mask = torch.zeros(len(seeds), most, dtype=torch.int32)
    for number, (seed, (h, w)) in enumerate(zip(seeds, shapes, strict=True)):
        pixels[number, : h * w] = picture(seed, h * w, 3 * PATCH * PATCH)
        mask[number, : h * w] = 1
    return Encoded(
        {"pixel_values": pixels, "spatial_shapes": torch.tensor(shapes), "pixel_attention_mask": mask},
        [[IMAGE] * (h * w // 4) for h, w in shapes],
    )


def indicated(rows: list[list[int]]) -> Encoded:
    """Ovis2: an image is framed by visual indicators, which the host replaces by embeddings of their own."""
    encoded = stacked(SIDE // PATCH * SIDE // PATCH)(rows)
    return Encoded(encoded.arguments, [[INDICATORS[0], *ids, INDICATORS[1]] for ids in encoded.tokens])


def flat_patches(rows: list[list[int]]) -> Encoded:
    """Fuyu: (images, patches, pixels of a patch)."""
    seeds = [seed for row in rows for seed in row]
    pixels = torch.stack([picture(seed, 4, 3 * PATCH * PATCH) for seed in seeds])
    return Encoded({"pixel_values": pixels}, [[IMAGE] * 4 for _ in seeds])


# --- further arguments -------------------------------------------------------------------------------------------


def mm_token_types(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Qwen-VL's positions read which token is text (0), image (1) or video (2)."""
    ids = inputs["input_ids"]
    return {"mm_token_type_ids": (ids == IMAGE).int() + 2 * (ids == VIDEO).int()}


def image_token_types(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gemma 3 lets the tokens of an image see each other."""
    return {"token_type_ids": (inputs["input_ids"] == IMAGE).long()}


def prefix_token_types(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """PaliGemma: 1 marks what is to be answered; here, nothing."""
    return {"token_type_ids": torch.zeros_like(inputs["input_ids"])}


# --- configs -----------------------------------------------------------------------------------------------------

SPECIAL = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}


def text(model_type: str = "llama", **more: Any) -> dict[str, Any]:
    """A language model of two layers."""
    return {
        "model_type": model_type,
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        **SPECIAL,
        **more,
    }


def tower(model_type: str = "clip_vision_model", **more: Any) -> dict[str, Any]:
    """A vision tower of two layers."""
    return {
        "model_type": model_type,
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": PATCH,
        **more,
    }


def siglip(**more: Any) -> dict[str, Any]:
    return tower("siglip_vision_model", vision_use_head=False, **more)


def config(name: str, **values: Any) -> Callable[[], Any]:
    """A function that makes a config; nested dictionaries become configs there."""
    return lambda: getattr(transformers, name)(**values)


PINPOINTS = [[SIDE, SIDE], [SIDE, 2 * SIDE]]
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
GRID = {0: (1, 4, 4), 1: (1, 2, 4)}  # by the parity of the seed
FRAMED = {"vision_start_token_id": START, "vision_end_token_id": END, "image_token_id": IMAGE, "video_token_id": VIDEO}


def _grid(seed: int) -> tuple[int, int, int]:
    return GRID[seed % 2]


def _video_grid(seed: int) -> tuple[int, int, int]:
    return (2, *_grid(seed)[1:])


def _per_frame(rows: list[list[int]]) -> Encoded:
    """Qwen3-VL puts the placeholders of each frame in a frame of its own, with a time stamp before it."""
    encoded = patches(_video_grid, token=VIDEO, pixels="pixel_values_videos", grid="video_grid_thw", framed=False)(rows)
    halves = [len(ids) // 2 for ids in encoded.tokens]
    frame = [([START, *[VIDEO] * n, END]) for n in halves]
    return Encoded(encoded.arguments, [[FIRST_WORD, *f, FIRST_WORD + 1, *f] for f in frame])


def _glm_video(rows: list[list[int]]) -> Encoded:
    """GLM-4V writes a video with the image's placeholder, each frame in the image's frame, between video frames."""
    encoded = patches(_video_grid, pixels="pixel_values_videos", grid="video_grid_thw", framed=False)(rows)
    frame = [[START, *[IMAGE] * (len(ids) // 2), END] for ids in encoded.tokens]
    return Encoded(encoded.arguments, [[VIDEO_START, *f, *f, VIDEO_END] for f in frame])


def glm_token_types(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """As Qwen-VL's, where a placeholder between video frames is a video's."""
    ids = inputs["input_ids"]
    inside = (ids == VIDEO_START).cumsum(1) > (ids == VIDEO_END).cumsum(1)
    return {"mm_token_type_ids": (ids == IMAGE).int() * (1 + inside.int())}


QWEN_IMAGES = patches(_grid)
QWEN_VIDEOS = patches(_video_grid, token=VIDEO, pixels="pixel_values_videos", grid="video_grid_thw")


def _qwen3_vision(**more: Any) -> dict[str, Any]:
    return {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_heads": 2,
        "patch_size": PATCH,
        "out_hidden_size": WIDTH,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0],
        **more,
    }


MROPE3 = {**MROPE, "mrope_interleaved": True}

_ALL = (
    Family(
        "llava",
        "LlavaForConditionalGeneration",
        config("LlavaConfig", text_config=text(), vision_config=tower(), image_token_index=IMAGE),
        stacked(16),
    ),
    Family(
        "vipllava",
        "VipLlavaForConditionalGeneration",
        config(
            "VipLlavaConfig",
            text_config=text(),
            vision_config=tower(),
            image_token_index=IMAGE,
            vision_feature_layer=[-1, -2],
        ),
        stacked(16),
    ),
    Family(
        "llava_next",
        "LlavaNextForConditionalGeneration",
        config(
            "LlavaNextConfig",
            text_config=text(),
            vision_config=tower(),
            image_token_index=IMAGE,
            image_grid_pinpoints=PINPOINTS,
        ),
        anyres,
    ),
    Family(
        "llava_next_video",
        "LlavaNextVideoForConditionalGeneration",
        config(
            "LlavaNextVideoConfig",
            text_config=text(),
            vision_config=tower(),
            image_token_index=IMAGE,
            video_token_index=VIDEO,
            image_grid_pinpoints=PINPOINTS,
        ),
        anyres,
        clip(2, 8),
        twin="llava_next",
    ),
    Family(
        "llava_onevision",
        "LlavaOnevisionForConditionalGeneration",
        config(
            "LlavaOnevisionConfig",
            text_config=text("qwen2"),
            vision_config=siglip(),
            image_token_index=IMAGE,
            video_token_index=VIDEO,
            image_grid_pinpoints=PINPOINTS,
        ),
        anyres,
        clip(2, 9),
    ),
    Family(
        "video_llava",
        "VideoLlavaForConditionalGeneration",
        config(
            "VideoLlavaConfig",
            text_config=text(),
            vision_config=tower(),
            image_token_index=IMAGE,
            video_token_index=VIDEO,
        ),
        stacked(16, name="pixel_values"),
        clip(2, 34),
        twin="llava",
    ),
    Family(
        "qwen2_vl",
        "Qwen2VLForConditionalGeneration",
        config(
            "Qwen2VLConfig",
            text_config=text("qwen2_vl_text", rope_parameters=MROPE),
            vision_config={
                "depth": 2,
                "embed_dim": 16,
                "hidden_size": WIDTH,
                "num_heads": 2,
                "mlp_ratio": 2,
                "patch_size": PATCH,
            },
            **FRAMED,
        ),
        QWEN_IMAGES,
        QWEN_VIDEOS,
        mm_token_types,
    ),
    Family(
        "qwen2_5_vl",
        "Qwen2_5_VLForConditionalGeneration",
        config(
            "Qwen2_5_VLConfig",
            text_config=text("qwen2_5_vl_text", rope_parameters=MROPE),
            vision_config={
                "depth": 2,
                "hidden_size": 16,
                "intermediate_size": 24,
                "out_hidden_size": WIDTH,
                "num_heads": 2,
                "patch_size": PATCH,
                "window_size": 2 * PATCH * 2,
                "fullatt_block_indexes": [1],
            },
            **FRAMED,
        ),
        QWEN_IMAGES,
        QWEN_VIDEOS,
        mm_token_types,
        twin="qwen2_vl",
    ),
    Family(
        "qwen3_vl",
        "Qwen3VLForConditionalGeneration",
        config(
            "Qwen3VLConfig",
            text_config=text("qwen3_vl_text", head_dim=8, rope_parameters=MROPE3),
            vision_config=_qwen3_vision(),
            **FRAMED,
        ),
        QWEN_IMAGES,
        _per_frame,
        mm_token_types,
    ),
    Family(
        "qwen3_vl_moe",
        "Qwen3VLMoeForConditionalGeneration",
        config(
            "Qwen3VLMoeConfig",
            text_config=text(
                "qwen3_vl_moe_text",
                head_dim=8,
                rope_parameters=MROPE3,
                num_experts=4,
                num_experts_per_tok=2,
                moe_intermediate_size=16,
            ),
            vision_config=_qwen3_vision(),
            **FRAMED,
        ),
        QWEN_IMAGES,
        _per_frame,
        mm_token_types,
        twin="qwen3_vl",
    ),
    Family(
        "paligemma",
        "PaliGemmaForConditionalGeneration",
        config(
            "PaliGemmaConfig",
            text_config=text("gemma", head_dim=8),
            vision_config=siglip(projection_dim=WIDTH),
            image_token_index=IMAGE,
            projection_dim=WIDTH,
            hidden_size=WIDTH,
        ),
        stacked(16),
        extra=prefix_token_types,
        known={
            "test_generating_from_embeddings": "transformers: generate does not pass inputs_embeds on",
        },
    ),
    Family(
        "gemma3",
        "Gemma3ForConditionalGeneration",
        config(
            "Gemma3Config",
            text_config=text("gemma3_text", head_dim=8, sliding_window=64),
            vision_config=siglip(),
            image_token_index=IMAGE,
            boi_token_index=START,
            eoi_token_index=END,
            mm_tokens_per_image=4,
        ),
        stacked(4, framed=True),
        extra=image_token_types,
        known={
            "test_generating_from_embeddings": "transformers: generate does not pass inputs_embeds on",
        },
    ),
    Family(
        "internvl",
        "InternVLForConditionalGeneration",
        config(
            "InternVLConfig",
            text_config=text("qwen2"),
            vision_config=tower("internvl_vision", image_size=[SIDE, SIDE], patch_size=[PATCH, PATCH]),
            image_token_id=IMAGE,
        ),
        stacked(4, framed=True),
    ),
    Family(
        "idefics2",
        "Idefics2ForConditionalGeneration",
        config(
            "Idefics2Config",
            text_config=text("mistral"),
            vision_config=tower("idefics2_vision"),
            perceiver_config={
                "hidden_size": WIDTH,
                "resampler_n_latents": 3,
                "resampler_depth": 1,
                "resampler_n_heads": 2,
                "num_key_value_heads": 1,
                "resampler_head_dim": 8,
            },
            image_token_id=IMAGE,
        ),
        by_row(3),
        unit="run",
    ),
    Family(
        "idefics3",
        "Idefics3ForConditionalGeneration",
        config(
            "Idefics3Config",
            text_config=text(),
            vision_config=tower("idefics3_vision"),
            image_token_id=IMAGE,
            scale_factor=2,
        ),
        by_row(4),
        unit="run",
    ),
    Family(
        "smolvlm",
        "SmolVLMForConditionalGeneration",
        config(
            "SmolVLMConfig",
            text_config=text(),
            vision_config=tower("smolvlm_vision"),
            image_token_id=IMAGE,
            scale_factor=2,
        ),
        by_row(4),
        unit="run",
        twin="idefics3",
    ),
    Family(
        "mistral3",
        "Mistral3ForConditionalGeneration",
        config(
            "Mistral3Config",
            text_config=text("mistral", head_dim=8),
            vision_config=tower("pixtral", head_dim=12),
            image_token_index=IMAGE,
        ),
        packed,
    ),
    Family(
        "lighton_ocr",
        "LightOnOcrForConditionalGeneration",
        config(
            "LightOnOcrConfig",
            text_config=text("qwen3", head_dim=8),
            vision_config=tower("pixtral", head_dim=12),
            image_token_id=IMAGE,
        ),
        packed,
        twin="mistral3",
    ),
    Family(
        "aya_vision",
        "AyaVisionForConditionalGeneration",
        config("AyaVisionConfig", text_config=text("cohere2"), vision_config=siglip(), image_token_index=IMAGE),
        stacked(4),
    ),
    Family(
        "cohere2_vision",
        "Cohere2VisionForConditionalGeneration",
        config(
            "Cohere2VisionConfig",
            text_config=text("cohere2"),
            vision_config=siglip(),
            image_token_id=IMAGE,
            alignment_intermediate_size=32,
        ),
        stacked(4),
        twin="aya_vision",
    ),
    Family(
        "got_ocr2",
        "GotOcr2ForConditionalGeneration",
        config(
            "GotOcr2Config",
            text_config=text("qwen2"),
            vision_config={
                "hidden_size": 16,
                "output_channels": 8,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 32,
                "patch_size": 2,
                "window_size": 2,
                "global_attn_indexes": [1],
                "mlp_dim": 16,
            },
            image_token_index=IMAGE,
        ),
        stacked(16, side=32),
        twin="paligemma",
    ),
    Family(
        "glm4v",
        "Glm4vForConditionalGeneration",
        config(
            "Glm4vConfig",
            text_config=text("glm4v_text", rope_parameters={**MROPE, "partial_rotary_factor": 1.0}),
            vision_config={
                "depth": 2,
                "hidden_size": 16,
                "intermediate_size": 24,
                "num_heads": 2,
                "image_size": SIDE,
                "patch_size": PATCH,
                "out_hidden_size": WIDTH,
            },
            image_token_id=IMAGE,
            video_token_id=VIDEO,
            image_start_token_id=START,
            image_end_token_id=END,
            video_start_token_id=VIDEO_START,
            video_end_token_id=VIDEO_END,
        ),
        QWEN_IMAGES,
        _glm_video,
        glm_token_types,
        together=False,
        known={
            "test_beams": "transformers: beams take each other's images where a row has several",
        },
    ),
    Family(
        "lfm2_vl",
        "Lfm2VlForConditionalGeneration",
        config(
            "Lfm2VlConfig",
            text_config=text("lfm2", layer_types=["conv", "full_attention"]),
            vision_config={
                "model_type": "siglip2_vision_model",
                "hidden_size": 24,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "patch_size": PATCH,
                "num_patches": 16,
                "vision_use_head": False,
            },
            image_token_id=IMAGE,
            projector_hidden_size=16,
        ),
        naflex,
    ),
    Family(
        "ovis2",
        "Ovis2ForConditionalGeneration",
        config(
            "Ovis2Config",
            text_config=text("qwen2"),
            vision_config=tower("ovis2_vision", vocab_size=24),
            image_token_id=IMAGE,
            visual_indicator_token_ids=list(INDICATORS),
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
        ),
        indicated,
        known={
            "test_chunked_prefill": "transformers: chunks without images still want visual_indicator_features",
        },
    ),
    Family(
        "janus",
        "JanusForConditionalGeneration",
        config(
            "JanusConfig",
            text_config=text(),
            vision_config=tower(
                "janus_vision_model", projection_dim=WIDTH, num_image_tokens=16, mlp_ratio=1.0, depth=1
            ),
            vq_config={
                "embed_dim": 4,
                "num_embeddings": 8,
                "latent_channels": 8,
                "base_channels": 32,
                "channel_multiplier": [1, 1],
                "num_res_blocks": 1,
                "projection_dim": WIDTH,
                "image_token_embed_dim": WIDTH,
                "num_patches": 4,
            },
            image_token_id=IMAGE,
        ),
        stacked(16),
    ),
    Family(
        "deepseek_vl",
        "DeepseekVLForConditionalGeneration",
        config("DeepseekVLConfig", text_config=text(), vision_config=siglip(), image_token_id=IMAGE),
        stacked(16),
        twin="janus",
    ),
    Family(
        "fuyu",
        "FuyuForCausalLM",
        config(
            "FuyuConfig",
            text_config=text("persimmon"),
            image_size=2 * PATCH,
            patch_size=PATCH,
            image_token_id=IMAGE,
        ),
        flat_patches,
        known={
            "test_beams": "transformers: generate does not expand last_hidden_state for beams",
            "test_several_answers": "transformers: generate does not expand last_hidden_state for several answers",
            "test_chunked_prefill": "transformers: generate slices pooler_output, which Fuyu does not fill",
        },
    ),
    Family(
        "video_llama_3",
        "VideoLlama3ForConditionalGeneration",
        config(
            "VideoLlama3Config",
            text_config=text("qwen2"),
            vision_config={
                "hidden_size": 16,
                "intermediate_size": 24,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "patch_size": PATCH,
            },
            image_token_id=IMAGE,
            video_token_id=VIDEO,
        ),
        patches(_grid, temporal=1, framed=False, extra=lambda n: {"image_merge_sizes": torch.full((n,), 2)}),
        twin="qwen2_vl",
    ),
)

FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
