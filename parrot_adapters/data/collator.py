"""From dialogues to a batch of the host's own arguments, by the host's own processor and chat template.

R  rows of the batch    S  positions
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from parrot_adapters.core.types import IGNORED
from parrot_adapters.data.answer_spans import Labelled, find_answers
from parrot_adapters.data.chat_text import ChatText, Written
from parrot_adapters.data.decode_pictures import picture_size, read_picture
from parrot_adapters.data.decode_videos import Frames, VideoShape, read_frames, video_shape
from parrot_adapters.data.dialogue import Dialogue, Picture, Turn, Video
from parrot_adapters.data.problems import BadSample
from parrot_adapters.data.rejects import Rejects
from parrot_adapters.errors import ConfigError, MissingDependencyError, explain, first_line
from parrot_adapters.hosts.encoder_decoder import has_decoder_of_its_own

__all__ = ["Collator"]

TRIED_SIZES = ((64, 64), (336, 336), (480, 640), (1600, 400))
"""Heights and widths: a processor that gives all of these as many tokens gives every picture as many."""

EMPTY = "(empty batch)"
"""Identity of the row that stands for a batch without samples."""


class Collator:
    """Makes batches. Called by a data loader, in this process or in workers.

    A batch is what the processor makes of prompts and pictures, padded on one side, plus ``labels`` (R, S), ``IGNORED``
    everywhere but on answers and their end-of-turn tokens. Up to an answer, a row holds the very ids that
    ``processor.apply_chat_template(..., add_generation_prompt=True)`` gives for that answer's prompt; where the
    tokenizer merges text across the border, that holds for the first answer of a dialogue.

    A bad sample that is only discovered here (a missing picture, too many tokens) is dropped from its batch under
    ``bad_samples="skip"``. A batch that loses all its samples, or is given none, becomes one row of one token without
    a label: it takes part in every collective operation and adds nothing to a loss that is normalised by tokens.

    Args:
        processor: Processor of the host.
        model_config: Configuration of the host, for its placeholder ids; None to read them off the processor alone.
        max_length: Length of the longest sample in tokens, visual tokens included.
        bad_samples: ``"error"`` raises at the first bad sample.
        rejects: File of skipped samples, or the :class:`Rejects` to add to; None to keep them in memory.
        padding_side: Side on which rows are filled up, ``"left"`` or ``"right"``.

    Raises:
        ConfigError: The processor cannot pad, its template cannot write a dialogue, or the host writes answers in
            another sequence than the prompt's.
    """

    def __init__(
        self,
        processor: Any,
        *,
        model_config: Any = None,
        max_length: int = 2048,
        bad_samples: Literal["error", "skip"] = "error",
        rejects: Rejects | str | Path | None = None,
        padding_side: Literal["left", "right"] = "right",
    ) -> None:
        if has_decoder_of_its_own(model_config):
            raise ConfigError(
                explain(
                    "answers cannot be learned behind the prompt: this host reads the prompt in an encoder, which "
                    "would read the answer too, and writes in a decoder.",
                    host=f"model_type {model_config.model_type!r}",
                    to_do="train it with transformers' own Trainer and labels for the decoder (attach works as on any "
                    "host), or take a host that writes behind its prompt",
                )
            )
        self.processor, self.max_length, self.bad_samples = processor, max_length, bad_samples
        self.rejects = rejects if isinstance(rejects, Rejects) else Rejects(rejects)
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.padding_side = padding_side
        if self.tokenizer.pad_token_id is None:
            if self.tokenizer.eos_token_id is None:
                raise ConfigError(
                    explain("the tokenizer has neither a padding nor an end token, so rows cannot be padded.")
                )
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.chat = ChatText(processor)
        self._placeholders = _placeholder_ids(processor, model_config)
        self._per_video: dict[tuple[int, int, int], int] = {}  # visual tokens by frames, height and width
        self._per_picture: int | None = None  # visual tokens; -1 where it depends on the size

    def __call__(self, dialogues: Sequence[Dialogue]) -> dict[str, Any]:
        """The batch of some dialogues.

        Args:
            dialogues: any number, none included.

        Returns:
            the host's forward arguments, ``labels`` (R, S) int64, and two keys that are not the host's:
            ``parrot_identities`` and ``parrot_languages``, one entry a row.

        Raises:
            DataError: a sample is bad, and none may be skipped.
            MissingDependencyError: the processor needs a package (for videos, for example) that is not installed.
        """
        samples = [sample for dialogue in dialogues if (sample := self._read(dialogue)) is not None]
        while samples:
            batch = self._process(samples)
            if batch is None:  # the processor refused one, which was told apart and dropped
                continue
            kept = self._label(samples, batch)
            if kept is not None:
                return kept
        return self._empty()

    def length(self, dialogue: Dialogue) -> int:
        """Number of tokens of a dialogue, visual tokens included, without decoding its pictures and videos.

        Frames that some hosts put around a picture are not counted, and what some write between a video's.

        Raises:
            BadSample: it cannot be written, or a picture or video cannot be opened.
            MissingDependencyError: it has a video file, and PyAV is not installed.
        """
        written = self.chat.write(dialogue.turns)
        shown = [part for turn in dialogue.turns for part in turn.parts]
        tokens = self._visual_tokens([part for part in shown if isinstance(part, Picture)])
        return (
            len(self._tokenize(written.text)) + tokens + self._video_tokens([v for v in shown if isinstance(v, Video)])
        )

    def check(self, dialogue: Dialogue) -> None:
        """Make the batch of one dialogue, as training will, for what only the processor can refuse.

        Raises:
            BadSample: it cannot be used.
            MissingDependencyError: the processor needs a package that is not installed.
        """
        sample = self._prepared(dialogue)
        try:
            batch = self._call([sample.written.text], [sample.pictures], [sample.videos])
        except ImportError as error:
            raise self._lacks_package(error) from error
        except Exception as error:  # whatever a processor raises
            raise BadSample("processor", first_line(error)) from None
        self._answers(sample, batch["input_ids"][0][batch["attention_mask"][0].bool()].tolist())

    # --- one sample --------------------------------------------------------------------------------------------

    def _read(self, dialogue: Dialogue) -> _Sample | None:
        try:
            return self._prepared(dialogue)
        except BadSample as problem:
            self._refuse(dialogue, problem)
            return None

    def _prepared(self, dialogue: Dialogue) -> _Sample:
        written = self.chat.write(dialogue.turns)
        plain = self._tokenize(written.text)
        self._refuse_over_long(len(plain))  # before a picture is decoded
        shown = [part for turn in dialogue.turns for part in turn.parts]
        pictures = [read_picture(part) for part in shown if isinstance(part, Picture)]
        videos = [self._video(part) for part in shown if isinstance(part, Video)]
        return _Sample(dialogue, written, plain, pictures, videos)

    def _refuse_over_long(self, length: int) -> None:
        if length > self.max_length:
            raise BadSample("over-long", f"{length} tokens; at most {self.max_length} are allowed (data.max_length)")

    def _video(self, video: Video) -> Frames:
        if getattr(self.processor, "video_processor", None) is None:
            raise BadSample("bad-video", f"the host's {type(self.processor).__name__} takes no videos")
        return read_frames(video, self._frames_wanted)

    def _frames_wanted(self, shape: VideoShape) -> list[int]:
        from parrot_adapters.hosts.video_sampling import frames_wanted

        if shape.sampled:
            return list(range(shape.frames))
        return frames_wanted(
            self.processor.video_processor, total=shape.frames, fps=shape.fps, height=shape.height, width=shape.width
        )

    def _refuse(self, dialogue: Dialogue, problem: BadSample) -> None:
        """Count a bad sample, or stop at it."""
        if self.bad_samples == "error":
            raise problem.as_error(source=dialogue.source, identity=dialogue.identity) from None
        self.rejects.add(problem, source=dialogue.source, number=dialogue.number, identity=dialogue.identity)

    # --- a batch -----------------------------------------------------------------------------------------------

    def _process(self, samples: list[_Sample]) -> dict[str, Any] | None:
        """The processor's tensors; None after a sample that it refuses was taken out of ``samples``."""
        try:
            return self._call(
                [s.written.text for s in samples], [s.pictures for s in samples], [s.videos for s in samples]
            )
        except ImportError as error:  # not the samples' fault: skipping them would hide it
            raise self._lacks_package(error) from error
        except Exception as error:  # whatever a processor raises
            for number, sample in enumerate(samples):
                try:
                    self._call([sample.written.text], [sample.pictures], [sample.videos])
                except Exception as own:
                    self._refuse(samples.pop(number).dialogue, BadSample("processor", first_line(own)))
                    return None
            raise ConfigError(
                explain(
                    "the processor takes each sample of a batch, but not the batch.",
                    samples=", ".join(sample.dialogue.identity for sample in samples),
                    because=first_line(error),
                    to_do="set batch.per_device to 1 for this host",
                )
            ) from error

    def _lacks_package(self, error: ImportError) -> MissingDependencyError:
        return MissingDependencyError(
            explain(f"the host's {type(self.processor).__name__} needs a package.", because=first_line(error))
        )

    def _call(self, texts: list[str], pictures: list[list[Any]], videos: list[list[Frames]]) -> dict[str, Any]:
        options: dict[str, Any] = {"padding": True, "return_tensors": "pt", "padding_side": self.padding_side}
        if any(pictures):
            options["images"] = pictures
        if any(videos):
            shown = [video for row in videos for video in row]
            options["videos"] = [video.pixels for video in shown]
            options["video_metadata"] = [video.metadata() for video in shown]
            options["do_sample_frames"] = False  # these are the frames
        if self._written_bos(texts[0]):
            options["add_special_tokens"] = False
        return dict(self.processor(text=texts, **options))

    def _label(self, samples: list[_Sample], batch: dict[str, Any]) -> dict[str, Any] | None:
        """The finished batch; None after samples that cannot be used were taken out of ``samples``."""
        ids, mask = batch["input_ids"], batch["attention_mask"].bool()
        labelled: list[Labelled] = []
        good: list[_Sample] = []
        for number, sample in enumerate(samples):
            try:
                labelled.append(self._answers(sample, ids[number][mask[number]].tolist()))
                good.append(sample)
            except BadSample as problem:
                self._refuse(sample.dialogue, problem)
        if len(good) < len(samples):
            samples[:] = good
            return None
        if any(row.origin != list(range(len(row.ids))) for row in labelled):
            batch = self._rebuilt(batch, labelled)
        return {
            **batch,
            **self._asked(samples, batch),
            "labels": self._labels(batch, labelled),
            "parrot_identities": [sample.dialogue.identity for sample in samples],
            "parrot_languages": [sample.dialogue.language for sample in samples],
        }

    def _answers(self, sample: _Sample, ids: list[int]) -> Labelled:
        self._refuse_over_long(len(ids))
        return find_answers(
            sample.written,
            sample.plain,
            ids,
            self._tokenize,
            plainly=self._plainly,
            placeholders=self._placeholders,
        )

    def _labels(self, batch: dict[str, Any], labelled: list[Labelled]) -> Tensor:
        ids, mask = batch["input_ids"], batch["attention_mask"].bool()
        labels = torch.full_like(ids, IGNORED)
        for number, row in enumerate(labelled):
            places = mask[number].nonzero().flatten()  # some processors pad on the side that their tokenizer says
            for begin, end in row.answers:
                labels[number, places[begin:end]] = ids[number, places[begin:end]]
        return labels

    def _asked(self, samples: list[_Sample], batch: dict[str, Any]) -> dict[str, Tensor]:
        """What the Q-Former of InstructBLIP reads beside the picture: what comes before the first answer.

        Its processor hands it the whole text; it would see the answer that is to be learned.
        """
        if "qformer_input_ids" not in batch:
            return {}
        prompts = [sample.written.text[: sample.written.answers[0][0]] for sample in samples]
        read = self.processor.qformer_tokenizer(prompts, padding=True, return_tensors="pt")
        return {"qformer_input_ids": read["input_ids"], "qformer_attention_mask": read["attention_mask"]}

    def _rebuilt(self, batch: dict[str, Any], labelled: list[Labelled]) -> dict[str, Any]:
        """The batch with the final ids; whatever else has a value per position follows them."""
        ids, mask = batch["input_ids"], batch["attention_mask"].bool()
        size = max(len(row.ids) for row in labelled)
        made = dict(batch)
        for name, value in batch.items():
            if not isinstance(value, Tensor) or value.shape != ids.shape:
                continue
            fill = self.tokenizer.pad_token_id if name == "input_ids" else 0
            made[name] = value.new_full((len(labelled), size), fill)
            for number, row in enumerate(labelled):
                here = slice(size - len(row.ids), size) if self.padding_side == "left" else slice(len(row.ids))
                kept = value[number][mask[number]][torch.tensor(row.origin)]
                made[name][number, here] = torch.tensor(row.ids) if name == "input_ids" else kept
        return made

    def _empty(self) -> dict[str, Any]:
        batch = self._call(["."], [[]], [[]])
        return {
            **batch,
            "labels": torch.full_like(batch["input_ids"], IGNORED),
            "parrot_identities": [EMPTY],
            "parrot_languages": [None],
        }

    # --- tokens ------------------------------------------------------------------------------------------------

    def _written_bos(self, text: str) -> bool:
        """Whether the template wrote the first special token itself (transformers' own rule)."""
        bos = self.tokenizer.bos_token
        return bool(bos) and text.startswith(bos)

    def _plainly(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _tokenize(self, text: str) -> list[int]:
        """As the processor does, without special tokens behind."""
        if self._written_bos(text):
            return self._plainly(text)
        ids, plain = list(self.tokenizer(text)["input_ids"]), self._plainly(text)
        in_front = next((i for i in range(len(ids) - len(plain) + 1) if ids[i : i + len(plain)] == plain), 0)
        return ids[: in_front + len(plain)]

    def _visual_tokens(self, pictures: Sequence[Picture]) -> int:
        """How many tokens pictures get beyond their placeholders; 0 where the processor does not tell."""
        if not pictures:
            return 0
        if self._per_picture is None:
            tried = {self._count([size]) for size in TRIED_SIZES}
            self._per_picture = tried.pop() if len(tried) == 1 else -1
        if self._per_picture >= 0:  # whatever its size: no file need be opened
            return self._per_picture * len(pictures)
        return self._count([picture_size(picture) for picture in pictures])

    def _video_tokens(self, videos: Sequence[Video]) -> int:
        """How many tokens videos get beyond their placeholders."""
        if not videos or getattr(self.processor, "video_processor", None) is None:
            return 0
        return sum(self._tokens_of_video(video_shape(video)) for video in videos)

    def _tokens_of_video(self, shape: VideoShape) -> int:
        """Of one video: as the processor says, or, where it does not, as it does with an empty one of this size."""
        try:
            numbers = self._frames_wanted(shape)
            size = (len(numbers), shape.height, shape.width)
            if size not in self._per_video:
                self._per_video[size] = self._said_of_video(size) or self._tried_video(shape, numbers)
            return self._per_video[size]
        except Exception:  # an estimate, as below; a video that cannot be sampled is refused when it is decoded
            return 0

    def _said_of_video(self, size: tuple[int, int, int]) -> int:
        try:
            return int(self.processor._get_num_multimodal_tokens(video_sizes=[list(size)]).num_video_tokens[0]) - 1
        except Exception:  # it has no such method, or one that knows no videos
            return 0

    def _tried_video(self, shape: VideoShape, numbers: list[int]) -> int:
        text = self.chat.write((Turn("user", (Video(),)), Turn("assistant", ("a",)))).text
        empty = Frames(np.zeros((len(numbers), shape.height, shape.width, 3), np.uint8), shape, numbers)
        return int(self._call([text], [[]], [[empty]])["input_ids"].shape[1]) - len(self._tokenize(text))

    def _count(self, sizes: Sequence[tuple[int, int]]) -> int:
        count = getattr(self.processor, "_get_num_multimodal_tokens", None)
        if count is None:
            return 0
        try:
            return int(sum(count(image_sizes=[list(size) for size in sizes]).num_image_tokens)) - len(sizes)
        except Exception:  # an estimate: a host's own trouble with it is no reason to stop
            return 0


class _Sample:
    """A dialogue that is ready for the processor."""

    def __init__(
        self, dialogue: Dialogue, written: Written, plain: list[int], pictures: list[Any], videos: list[Frames]
    ) -> None:
        self.dialogue, self.written, self.plain = dialogue, written, plain
        self.pictures, self.videos = pictures, videos


def _placeholder_ids(processor: Any, config: Any) -> frozenset[int]:
    """Ids that stand for a picture or a video in plain text."""
    tokenizer = getattr(processor, "tokenizer", processor)
    tokens = ("image_token", "video_token", "boi_token")
    written = {getattr(part, name, None) for part in (processor, tokenizer) for name in tokens}
    fields = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")
    known = {getattr(part, name, None) for part in (processor, config) for name in fields if part is not None}
    found = {tokenizer.convert_tokens_to_ids(str(token)) for token in written if token} | known
    return frozenset(number for number in found if isinstance(number, int))
