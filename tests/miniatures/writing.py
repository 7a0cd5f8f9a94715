"""A tokenizer for the miniatures: tests of chat templates need words that can be written."""

from __future__ import annotations

from typing import Any

import transformers

from miniatures.prompts import (
    ASSISTANT,
    BOS,
    END,
    END_TURN,
    EOS,
    FIRST_WORD,
    IMAGE,
    PAD,
    START,
    SYSTEM,
    TURN,
    USER,
    VIDEO,
    VOCABULARY,
)


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
