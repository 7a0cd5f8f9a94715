"""Everything one evaluation is told, typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from parrot_adapters.errors import ConfigError, explain, suggest
from parrot_adapters.evaluation.benchmark.benchmarks import Benchmark, benchmark_named
from parrot_adapters.evaluation.benchmark.prompts import PROMPT_STYLES, QUESTION_ALONE
from parrot_adapters.evaluation.benchmark.protocols import protocol_named
from parrot_adapters.evaluation.benchmark.tasks import CHOICE, OPEN, RETRIEVAL
from parrot_adapters.language_tags import canonical_language

__all__ = ["MATCHERS", "OPTION_SCORES", "SCORINGS", "THINKING", "EvaluationConfig"]

MATCHERS = ("reference", "robust")
SCORINGS = ("generate", "loglik")
OPTION_SCORES = ("letter", "text", "text-per-token", "text-per-byte")
THINKING = ("keep", "strip")


@dataclass(frozen=True)
class EvaluationConfig:
    """The settings of ``parrot evaluate``.

    Attributes:
        model: Directory or Hub name of the host.
        benchmark: ``mmmb``, ``mmbench`` or ``emoji``.
        data: Directory of the benchmark's TSV files, or ``AIDC-AI/Parrot-dataset`` to download them.
        protocol: Name of a protocol; there is no default. None for naming and retrieval, where no protocol says
            anything.
        out: Directory of answers and results. A run that was stopped goes on where it was.
        adapter: Directory of an adapter; None (default) for the bare host.
        languages: Languages to ask in; none for all that ``data`` has.
        prompt_style: ``default``, ``llava``, ``qwen2_vl`` or ``parrot``; or ``question``, which shows no options.
        matcher: Name of the matcher whose numbers come first; both are always reported.
        scoring: ``generate`` a reply, or compare the log-likelihoods of the options (``loglik``).
        option_score: Kind of likelihood that chooses, with ``loglik``; all are stored.
        batch_size: Number of rows asked at once. It changes no answer, which is checked before the run.
        limit: Number of questions of each language, the first ones; None (default) for all.
        max_new_tokens: Number of tokens at which a reply is cut off.
        dtype: Dtype of the weights; ``auto`` keeps the checkpoint's.
        device: ``auto`` for an accelerator if there is one.
        processor: Settings that replace the processor's own; they change scores.
        think: ``strip`` removes ``<think>...</think>`` from a reply before it is read.
        detector: Name of a registered language detector, asked whether replies are in the asked language; None
            (default) judges by scripts.
        task: ``choice``, ``comparison``, ``naming`` or ``retrieval``, as far as the benchmark has it.
    """

    model: str
    benchmark: str
    data: str
    protocol: str | None
    out: str
    adapter: str | None = None
    languages: Sequence[str] = ()
    prompt_style: str = "default"
    matcher: str = "reference"
    scoring: str = "generate"
    option_score: str = "letter"
    batch_size: int = 8
    limit: int | None = None
    max_new_tokens: int = 512
    dtype: str = "auto"
    device: str = "auto"
    processor: Mapping[str, object] = field(default_factory=dict)
    think: str = "keep"
    detector: str | None = None
    task: str = CHOICE

    @property
    def source(self) -> Benchmark:
        """The benchmark whose files are read."""
        return benchmark_named(self.benchmark).for_task(self.task)

    def __post_init__(self) -> None:
        _ = self.source
        if self.task not in OPEN:
            protocol_named(self.protocol)
        for name, known in (
            ("prompt_style", tuple(PROMPT_STYLES)),
            ("matcher", MATCHERS),
            ("scoring", SCORINGS),
            ("option_score", OPTION_SCORES),
            ("think", THINKING),
        ):
            given = getattr(self, name)
            if given not in known:
                raise ConfigError(
                    explain(
                        f"no {name.replace('_', ' ')} named {given!r}.{suggest(str(given), known)}",
                        known=", ".join(known),
                    )
                )
        if self.task in OPEN:
            self._ask_openly()
        elif (self.prompt_style, self.scoring, self.option_score) == (QUESTION_ALONE, "loglik", "letter"):
            raise ConfigError(
                explain(
                    f"prompt style {QUESTION_ALONE!r} shows no options, so their letters mean nothing.",
                    given="option score 'letter'",
                    to_do="--option-score text-per-token (or text, text-per-byte)",
                )
            )
        for name in ("batch_size", "max_new_tokens", "limit"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ConfigError(explain(f"{name.replace('_', ' ')} must be at least 1.", given=number))
        codes = tuple(dict.fromkeys(canonical_language(language) for language in self.languages))
        object.__setattr__(self, "languages", codes)

    def _ask_openly(self) -> None:
        """An open task says itself how it is asked: names are written, texts are retrieved by their likelihood."""
        if self.protocol is not None:
            raise ConfigError(
                explain(
                    f"protocols read multiple-choice replies; task {self.task!r} has none.",
                    given=f"protocol {self.protocol!r}",
                    to_do="leave the protocol out",
                )
            )
        if self.task == RETRIEVAL:
            object.__setattr__(self, "scoring", "loglik")
            if self.option_score == "letter":
                object.__setattr__(self, "option_score", "text-per-token")
        elif self.scoring != "generate":
            raise ConfigError(
                explain(f"task {self.task!r} reads generated replies.", given=f"scoring {self.scoring!r}")
            )

    def answer_settings(self) -> dict[str, object]:
        """The settings that decide what a model answers, other than the model and the prompt."""
        if self.scoring == "loglik":
            return {"scoring": "loglik"}
        return {"scoring": "generate", "max_new_tokens": self.max_new_tokens, "do_sample": False, "num_beams": 1}
