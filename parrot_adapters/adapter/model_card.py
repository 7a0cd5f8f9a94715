"""The model card of an adapter: a part that the library keeps up to date, and the rest, which is its owner's."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parrot_adapters.adapter.adapter_files import CARD
from parrot_adapters.errors import ParrotWarning, explain
from parrot_adapters.hosts.hub_name import as_hub_name

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

    from parrot_adapters.adapter.snapshot import AdapterSnapshot

__all__ = ["CardFacts", "read_card", "updated_card", "write_card"]

BEGIN = "<!-- parrot_adapters begins: saving the adapter rewrites what stands up to the end mark, and nothing else -->"
END = "<!-- parrot_adapters ends -->"
OWN_PART = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
# The body of cards written before there were marks.
UNMARKED = re.compile(
    r"Load this adapter with parrot_adapters \(not with .*?"
    r"(?:stage 1 of PARROT \(arXiv 2406\.02539\)\.|\| --- \|\n\|[^\n]*\|)"
    r"(?:\n\nDerived from another adapter:\n(?:\n- [^\n]*)+)?",
    re.DOTALL,
)
TAGS = ("parrot", "multilingual", "mixture-of-experts", "adapter")


def read_card(directory: Path) -> str | None:
    """The text of a directory's model card as it is, line ends included; None where there is none."""
    path = directory / CARD
    return path.read_bytes().decode("utf-8", errors="surrogateescape") if path.is_file() else None


def write_card(directory: Path, text: str) -> None:
    """Write what :func:`updated_card` gave, byte for byte."""
    (directory / CARD).write_text(text, encoding="utf-8", errors="surrogateescape", newline="")


@dataclass(frozen=True)
class CardFacts:
    """What a model card says of an adapter that its files do not tell.

    Attributes:
        languages: Tags of the languages that it is for.
        data: Hub names of the data that it was trained on.
        licence: Its licence, as the Hub calls it (``"apache-2.0"``).
        results: What was measured, name to number; written into the library's part of the card.
    """

    languages: Sequence[str] = ()
    data: Sequence[str] = ()
    licence: str | None = None
    results: Mapping[str, float] = field(default_factory=dict)


def updated_card(
    text: str | None,
    snapshot: AdapterSnapshot,
    derived: Mapping[str, Any] | None = None,
    facts: CardFacts | None = None,
) -> str:
    """A model card that describes an adapter, with everything its owner wrote left as it is.

    Args:
        text: The card so far; None for a new one. One whose metadata cannot be read is returned unchanged, with a
            warning.
        snapshot: The adapter.
        derived: How it was made out of another adapter, as name and value; None where it was not.
        facts: What it says besides; None (default) for nothing.
    """
    import yaml
    from huggingface_hub import ModelCard
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    part = f"{BEGIN}\n{_own_part(snapshot, derived)}{_results(facts)}\n{END}"
    if text is None or not REGEX_YAML_BLOCK.search(text):
        text = f"---\n{{}}\n---\n{text or ''}"
    try:
        card = ModelCard(text)
    except (ValueError, TypeError, yaml.YAMLError) as error:
        warnings.warn(
            explain(
                f"the model card ({CARD}) was left as it is: the metadata at its top cannot be read.",
                because=error,
                to_do="mend what stands between its first two lines ---, and save again",
            ),
            ParrotWarning,
            stacklevel=2,
        )
        return text
    known = card.data.to_dict()
    _update(card.data, snapshot)
    if facts is not None:
        said = {"language": list(facts.languages), "datasets": list(facts.data), "license": facts.licence}
        for key, value in said.items():
            if value:
                setattr(card.data, key, value)
    header = text[: len(text) - len(card.text)] if card.data.to_dict() == known else _header(card)
    return header + _with_part(card.text, part)


def _update(data: Any, snapshot: AdapterSnapshot) -> None:
    """Set the library's own keys; what the owner says of the base model stands where the adapter knows no better."""
    data.library_name = "parrot_adapters"
    if snapshot.base_model is not None:
        data.base_model = snapshot.base_model
    elif isinstance(data.base_model, str) and as_hub_name(data.base_model) in (None, "unknown"):
        data.base_model = None  # a path, as earlier releases wrote it
    tags = list(data.tags or ())
    data.tags = [*tags, *(tag for tag in TAGS if tag not in tags)]


def _header(card: ModelCard) -> str:
    whole: str = card.content
    return whole[: len(whole) - len(card.text)]


def _with_part(body: str, part: str) -> str:
    for place in (OWN_PART, UNMARKED):
        if place.search(body):
            return place.sub(lambda _: part, body, count=1)
    return f"{body.rstrip()}\n\n{part}\n".lstrip()


def _own_part(snapshot: AdapterSnapshot, derived: Mapping[str, Any] | None) -> str:
    host = _host_class(snapshot)
    facts = "" if derived is None else "\n\nDerived from another adapter:\n\n" + "\n".join(_facts(derived))
    return f"""Load this adapter with parrot_adapters (not with peft or transformers alone):

```python
import parrot_adapters as pa
from transformers import {host}

model = {host}.from_pretrained({snapshot.base_model or "PATH OF THE HOST"!r})
handle = pa.load_adapter(model, "PATH OF THIS DIRECTORY")
```

{_what_it_is(snapshot)}{facts}"""


def _what_it_is(snapshot: AdapterSnapshot) -> str:
    host, config = _host_class(snapshot), snapshot.config
    if snapshot.weights is None:
        return f"It holds a projector for `{host}` and no experts: stage 1 of PARROT (arXiv 2406.02539)."
    row = {
        "router": config.router,
        "expert": config.expert_kind,
        "experts": config.num_experts,
        "hidden size": config.expert_hidden_size,
        "top_k": config.top_k,
        "summary": config.summary,
        "text scope": config.text_scope,
    }
    where = {
        "projector": f"It rewrites the visual tokens of `{host}`",
        "layers": f"It adds to what the language model's layers of `{host}` make of visual tokens",
        "both": f"It rewrites the visual tokens of `{host}`, and adds to what the language model's layers make of them",
    }[config.placement]
    return f"""{where} as each prompt's text asks (PARROT, arXiv 2406.02539).

| {" | ".join(row)} |
|{" --- |" * len(row)}
| {" | ".join(map(str, row.values()))} |"""


def _results(facts: CardFacts | None) -> str:
    if facts is None or not facts.results:
        return ""
    return "\n\n| measured | result |\n| --- | --- |\n" + "\n".join(f"| {n} | {v} |" for n, v in facts.results.items())


def _facts(derived: Mapping[str, Any]) -> list[str]:
    return [f"- {name.replace('_', ' ')}: {value}" for name, value in derived.items()]


def _host_class(snapshot: AdapterSnapshot) -> str:
    return str(snapshot.host.get("architecture") or "AutoModelForImageTextToText")
