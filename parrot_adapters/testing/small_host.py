"""A whole vision-language model of a few thousand random weights, made offline in milliseconds.

    host = small_llava()                      # a LlavaForConditionalGeneration
    processor = small_processor(host)         # its tokenizer knows bytes: every script can be asked and answered
    save_small_host(directory)                # both, as `load_host` and every command read them

For tests of plugins, for benchmarks (sizes are arguments) and for recipes that join models of their own. One seed, one
model: torch's global random state is neither read nor changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast

__all__ = ["byte_tokenizer", "lively_weights", "save_small_host", "small_llava", "small_processor"]

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<image>", "<user>", "<assistant>")
PAD, BOS, EOS, IMAGE = range(4)
CHAT_TEMPLATE = (
    "{{ '<bos>' }}{% for message in messages %}{{ '<' + message['role'] + '>' }}{% for part in message['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TEXT = {
    "model_type": "llama",
    "vocab_size": len(SPECIAL_TOKENS) + 256,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "pad_token_id": PAD,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
}
VISION = {
    "model_type": "clip_vision_model",
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 4,
}


def small_llava(
    *,
    text: Mapping[str, Any] | Any = None,
    vision: Mapping[str, Any] | Any = None,
    image: int = IMAGE,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    lively: bool = True,
    **config: Any,
) -> LlavaForConditionalGeneration:
    """A LLaVA of random weights, in eval mode: two layers of width 32, pictures of 16 x 16 pixels and 16 visual tokens.

    Args:
        text: Changes to the language model's configuration (a Llama; another ``model_type`` is another family), or a
            whole configuration of transformers; None (default) changes nothing.
        vision: Changes to the vision tower's configuration (a CLIP), or a whole configuration; None (default) changes
            nothing.
        image: Token id of the image placeholder.
        seed: Seed of the weights (default 0).
        dtype: Dtype of the weights (default float32).
        lively: True for weights at a scale at which inputs matter, False for transformers' own initialisation.
        config: Further settings of ``LlavaConfig``.
    """
    from transformers import GenerationConfig, LlavaConfig, LlavaForConditionalGeneration

    tower = _config(VISION, vision)
    if isinstance(tower, Mapping):
        config.setdefault("image_seq_length", (tower["image_size"] // tower["patch_size"]) ** 2)
    settings = LlavaConfig(text_config=_config(TEXT, text), vision_config=tower, image_token_index=image, **config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        host = LlavaForConditionalGeneration(settings)
        if lively:
            lively_weights(host)
    ids = {name: getattr(settings.text_config, name, None) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    host.generation_config = GenerationConfig(**ids)
    return host.to(dtype).eval()


def _config(standard: Mapping[str, Any], given: Mapping[str, Any] | Any) -> Any:
    return {**standard, **(given or {})} if given is None or isinstance(given, Mapping) else given


@torch.no_grad()
def lively_weights(model: torch.nn.Module) -> None:
    """Draw a model's weights anew, at a scale at which inputs matter; transformers' initialisation is nearly constant.

    Args:
        model: Model whose matrices are drawn; vectors (norms, biases) stay, but for class and newline embeddings
            and the gates of cross-attention, which begin shut.
    """
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2:
            parameter.normal_(0, parameter[0].numel() ** -0.5)
        elif name.endswith(("newline", "class_embedding", "_gate")):
            parameter.normal_()


def small_processor(host: LlavaForConditionalGeneration, *, chat_template: str = CHAT_TEMPLATE) -> LlavaProcessor:
    """The processor of a host of :func:`small_llava`, with a tokenizer that knows bytes.

    Args:
        host: Host whose picture and patch sizes the processor follows.
        chat_template: Chat template, in Jinja.
    """
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    seen = host.config.vision_config
    pictures = CLIPImageProcessorPil(
        size={"shortest_edge": seen.image_size}, crop_size={"height": seen.image_size, "width": seen.image_size}
    )
    return LlavaProcessor(
        pictures,
        byte_tokenizer(),
        patch_size=seen.patch_size,
        vision_feature_select_strategy=host.config.vision_feature_select_strategy,
        num_additional_image_tokens=1,  # CLIP's CLS
        chat_template=chat_template,
    )


def save_small_host(directory: Path | str, **settings: Any) -> Path:
    """Write a host and its processor, as :func:`parrot_adapters.hosts.load_host` and every command read them.

    Args:
        directory: Directory to write.
        settings: Arguments of :func:`small_llava`.
    """
    host = small_llava(**settings)
    host.save_pretrained(directory)
    small_processor(host).save_pretrained(directory)
    return Path(directory)


def byte_tokenizer(
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    merges: Sequence[tuple[str, str]] = (),
    *,
    add_bos: bool = False,
    **named: Any,
) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer: one id for each special token, for each byte and for each merge, in this order.

    Args:
        special_tokens: Control tokens, the first of them the padding.
        merges: Pairs of tokens that become one, as in a BPE vocabulary (default none).
        add_bos: Whether the BOS token is put in front of every text (default: no).
        named: Roles of tokens, as transformers names them (``bos_token="<s>"``); nothing for the standard ones.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    standard: dict[str, Any] = {
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "extra_special_tokens": {"image_token": "<image>"},
    }
    named = named or standard
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*special_tokens, *letters, *(left + right for left, right in merges)]
    backend = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(special_tokens))
    if add_bos:
        first = named["bos_token"]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{first} $A", special_tokens=[(first, tokens.index(first))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=special_tokens[0], clean_up_tokenization_spaces=False, **named
    )
