"""The miniature's own vocabulary, and the one way a question about a picture is written with it or with another.

<bos> <user> <image> x V  question  <assistant>  name <eos>
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .languages import BY_CODE, EVERY_LANGUAGE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = [
    "ASSETS",
    "ASSISTANT",
    "BOS",
    "CHAT_TEMPLATE",
    "EOS",
    "IMAGE",
    "PAD",
    "UNK",
    "USER",
    "Vocabulary",
    "load_tokenizer",
    "train_tokenizer",
]

ASSETS = Path(__file__).parent / "assets"
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>", "<image>", "<user>", "<assistant>")
PAD, BOS, EOS, UNK, IMAGE, USER, ASSISTANT = range(len(SPECIALS))
CHAT_TEMPLATE = (
    "{{ '<bos>' }}{% for message in messages %}{{ '<' + message['role'] + '>' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ '<eos>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


def train_tokenizer(corpus: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-pair vocabulary over names and questions; deterministic for a given corpus."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=list(SPECIALS), show_progress=False)
    backend.train_from_iterator(corpus, trainer)
    return _wrap(backend)


def load_tokenizer() -> PreTrainedTokenizerFast:
    """The committed vocabulary."""
    from tokenizers import Tokenizer

    return _wrap(Tokenizer.from_file(str(ASSETS / "tokenizer.json")))


def _wrap(backend: object) -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


class Vocabulary:
    """Token ids of questions and names, encoded once.

    Args:
        tokenizer: with a chat template that writes ``<image>`` for a picture, and answers that end with its eos token.

    Attributes:
        tokenizer: the same.
        pad: id that fills rows.
        eos: id that ends an answer.
        image: id of a picture's placeholder.
        unknown: id of what cannot be written, or None.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.pad: int = tokenizer.pad_token_id
        self.eos: int = tokenizer.eos_token_id
        self.image: int = tokenizer.convert_tokens_to_ids("<image>")
        self.unknown: int | None = tokenizer.unk_token_id
        self._names: dict[str, list[int]] = {}
        self._before_answers = self._written_before_answers()
        self._questions = {language.code: self._asked(language.question) for language in EVERY_LANGUAGE}

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def prompt(self, language: str, visual_tokens: int) -> list[int]:
        """Token ids up to where the answer begins."""
        before, after = self._questions[BY_CODE[language].code]
        return [*before, *[self.image] * visual_tokens, *after]

    def name(self, text: str) -> list[int]:
        """Token ids of an answer, without the eos token."""
        if text not in self._names:
            self._names[text] = self.encode(self._before_answers + text)
        return self._names[text]

    def decode(self, ids: Iterable[int]) -> str:
        """The text up to the first eos token."""
        kept = []
        for token in ids:
            if token == self.eos:
                break
            kept.append(int(token))
        return self.tokenizer.decode(kept, skip_special_tokens=True).strip()

    def _written_before_answers(self) -> str:
        """What the template writes between where an answer begins and its text: a space, or nothing."""
        asked = [{"role": "user", "content": "x"}]
        prompt = self.tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        answered = self.tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": "y"}], tokenize=False)
        return answered[len(prompt) :].partition("y")[0]

    def _asked(self, question: str) -> tuple[list[int], list[int]]:
        """Token ids before and after the picture."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        ids = self.encode(text)
        place = ids.index(self.image)
        return ids[:place], ids[place + 1 :]
