"""Real processors in miniature, built offline, with chat templates of the kinds that are in use.

The tokenizer knows bytes, so that every script can be written; ``MERGING`` ones also have merges that reach across the
border between prompt and answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models

from parrot_adapters.testing import byte_tokenizer

SIDE, PATCH = 16, 4

# Turns framed by control tokens, the end of turn included; a system prompt of its own when nobody gives one.
CHATML = (
    "{% for m in messages %}"
    "{% if loop.first and m['role'] != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif p['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ p['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Roles in plain words, pictures before text, nothing at the end of a turn (as LLaVA 1.5's).
PLAIN = (
    "{% for m in messages %}{% if m['role'] != 'system' %}{{ m['role'].upper() + ': ' }}{% endif %}"
    "{% for p in m['content'] if p['type'] == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for p in m['content'] if p['type'] == 'text' %}{{ p['text'] + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
# The answer right behind the header, an end token behind the answer.
TIGHT = (
    "{{ '<s>' }}{% for m in messages %}{{ m['role'] + ':' }}{% for p in m['content'] %}"
    "{{ '<image>' if p['type'] == 'image' else p['text'] }}{% endfor %}"
    "{% if m['role'] == 'assistant' %}{{ '</s>' }}{% else %}{{ '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
# Trims, calls the assistant "model", puts the system prompt into the first question (as Gemma 3's).
GEMMA = (
    "{{ '<bos>' }}{% set start = 0 %}{% if messages[0]['role'] == 'system' %}"
    "{% set prefix = messages[0]['content'][0]['text'] + '\n\n' %}{% set rest = messages[1:] %}"
    "{% else %}{% set prefix = '' %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ prefix if loop.first else '' }}{% for p in m['content'] %}"
    "{{ '<start_of_image>' if p['type'] == 'image' else p['text'] | trim }}{% endfor %}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
# 'User: ... <end_of_utterance>' lines; the space behind the colon depends on what follows (as Idefics 3's).
IDEFICS = (
    "{{ '<s>' }}{% for m in messages %}{{ m['role'] | capitalize }}"
    "{% if m['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}{% for p in m['content'] %}"
    "{{ '<image>' if p['type'] == 'image' else p['text'] }}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
# Opens the answer with a thought, which it forgets as soon as the next question comes.
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{% for p in m['content'] %}{% if p['type'] == 'image' %}<|image_pad|>{% else %}{{ p['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)

CHATML_TOKENS = ("<pad>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
LLAMA_TOKENS = ("<pad>", "<s>", "</s>", "<image>")


def llama(*more: str, merges: Sequence[tuple[str, str]] = (), bos: bool = True) -> Any:
    return byte_tokenizer(
        (*LLAMA_TOKENS, *more),
        merges,
        add_bos=bos,
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
    )


def clip_pictures() -> Any:
    return transformers.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})


def llava(template: str = PLAIN, merges: Sequence[tuple[str, str]] = ()) -> Any:
    return transformers.LlavaProcessor(
        clip_pictures(),
        llama(merges=merges),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )


def sentencepiece(*merges: tuple[str, str]) -> Any:
    """LLaVA 1.5's kind: spaces are letters, one is put in front of every stretch of text, unknown letters are bytes."""
    from tokenizers import normalizers
    from tokenizers.processors import TemplateProcessing

    letters = ["▁", *map(chr, range(33, 127)), "ö", "ن"]
    pairs = [("▁", "a"), ("▁", "x"), ("e", "s"), ("▁", "▁"), *merges]
    tokens = [*LLAMA_TOKENS, "<unk>", *(f"<0x{i:02X}>" for i in range(256)), *letters, *(a + b for a, b in pairs)]
    backend = Tokenizer(
        models.BPE({token: i for i, token in enumerate(tokens)}, pairs, byte_fallback=True, unk_token="<unk>")
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens(list(LLAMA_TOKENS))
    backend.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    made = llava()
    made.tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
        clean_up_tokenization_spaces=False,
    )
    return made


def llava_next() -> Any:
    return transformers.LlavaNextProcessor(
        transformers.LlavaNextImageProcessorPil(
            size={"shortest_edge": SIDE},
            crop_size={"height": SIDE, "width": SIDE},
            image_grid_pinpoints=[[16, 32], [32, 16], [32, 32]],
        ),
        llama(bos=False),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TIGHT,
    )


class _WithoutVideos(transformers.Qwen2VLProcessor):
    """Qwen2-VL's; its video processor needs torchvision, and no test here shows it a video."""

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        if argument is not None:
            return super().check_argument_for_proper_class(argument_name, argument)
        return type(None)


def qwen2_vl(template: str = CHATML, patch: int = PATCH, pixels: tuple[int, int] = (64, 1024)) -> Any:
    return _WithoutVideos(
        transformers.Qwen2VLImageProcessorPil(
            patch_size=patch, min_pixels=pixels[0], max_pixels=pixels[1], merge_size=2
        ),
        byte_tokenizer((*CHATML_TOKENS, "<|video_pad|>", "<|endoftext|>"), eos_token="<|im_end|>"),
        chat_template=template,
    )


def gemma3(side: int = SIDE, tokens: int = 4) -> Any:
    names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    special = ("<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", *names.values())
    newlines = [("Ċ", "Ċ"), ("ĊĊ", "Ċ"), ("ĊĊ", "ĊĊ")]  # as its vocabulary has them
    return transformers.Gemma3Processor(
        transformers.Gemma3ImageProcessorPil(size={"height": side, "width": side}),
        byte_tokenizer(
            special, newlines, add_bos=True, bos_token="<bos>", eos_token="<eos>", extra_special_tokens=names
        ),
        image_seq_length=tokens,
        chat_template=GEMMA,
    )


def idefics3() -> Any:
    return transformers.Idefics3Processor(
        transformers.Idefics3ImageProcessorPil(size={"longest_edge": 32}, max_image_size={"longest_edge": 16}),
        llama(
            *("<fake_token_around_image>", "<end_of_utterance>", "<global-img>"),
            *(f"<row_{r}_col_{c}>" for r in (1, 2) for c in (1, 2)),
            merges=[("Ċ", "Ċ"), ("Ġ", "a")],
        ),
        image_seq_len=4,
        chat_template=IDEFICS,
    )


MERGES = [(":", "y"), (":", ")"), (":)", ")"), ("e", "s"), ("Ċ", "u")]
PROCESSORS: dict[str, Callable[[], Any]] = {
    "llava": llava,
    "llava sentencepiece": sentencepiece,
    "llava merging": lambda: llava(TIGHT, MERGES),
    "llava_next": llava_next,
    "qwen2_vl": qwen2_vl,
    "qwen thinking": lambda: qwen2_vl(THINKING),
    "gemma3": gemma3,
    "idefics3": idefics3,
}
