"""``parrot data check``, ``parrot plan`` and a run say the same of damaged data: what one refuses, all do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from miniatures import FAMILIES
from support.chat_processors import llava
from support.random_dialogues import picture

from parrot_adapters.data import Collator, open_data
from parrot_adapters.data.sample_checks import CHECKS
from parrot_adapters.data.settings import SourceSettings
from parrot_adapters.data.survey import survey
from parrot_adapters.errors import DataError
from parrot_adapters.training import load_config
from parrot_adapters.training.plan import make_plan

MOST = 200  # tokens of a sample


def record(number: int, text: str = "<image>\nBu ne?", **more: Any) -> dict[str, Any]:
    said = [{"from": "human", "value": text}, {"from": "gpt", "value": "kedi"}]
    return {"id": f"r{number}", "image": "good.png", "conversations": said, **more}


DAMAGED: dict[str, dict[str, Any]] = {
    "missing-image": record(1, image="gone.png"),
    "broken-image": record(1, image="broken.png"),
    "outside": record(1, image="../elsewhere.png"),
    "placeholder-mismatch": record(1, "<image><image>"),
    "empty-turn": record(1, "", image=None),
    "over-long": record(1, "<image>" + "x" * 300),
    "control-token": record(1, "<image> </s>"),
    "no-assistant-turn": {"id": "r1", "conversations": []},
    "bad-video": record(1, "<video>\nBu ne?", image=None, video=["clip.mp4"]),  # LLaVA's processor takes none
    "unread-field": record(1, tools=[{"name": "search"}]),
}


class Verdicts:
    """What the three say of some records beside a picture that is good and one that is cut off."""

    def __init__(
        self, folder: Path, records: list[dict[str, Any]], bad_samples: str, images: str | None = None
    ) -> None:
        data = picture(40, 8).data
        assert data is not None
        (folder / "good.png").write_bytes(data)
        (folder / "broken.png").write_bytes(data[:60])
        (folder / "clip.mp4").write_bytes(b"x")
        (folder / "train.json").write_text(json.dumps(records))
        host = FAMILIES["llava"].config()
        host.save_pretrained(folder / "host")
        source = {"path": "train.json"} | ({} if images is None else {"images": images})
        settings = {"sources": [source], "max_length": MOST, "bad_samples": bad_samples, "strict": True}
        (folder / "run.yaml").write_text(
            json.dumps(
                {
                    "recipe": "retrofit",
                    "out": "run",
                    "host": {"path": "host", "dtype": "float32"},
                    "adapter": {"num_experts": 1},
                    "data": settings,
                    "batch": {"size": 2, "per_device": 1},
                    "steps": 1,
                }
            )
        )
        self.run = load_config(folder / "run.yaml", [])
        self.host, self.processor = host, llava()

    def check(self) -> set[str]:
        source = self.run.data.sources[0]
        asked = SourceSettings(source.path, images=source.images)
        collator = Collator(self.processor, model_config=self.host, max_length=MOST)
        return set(survey(asked, collator=collator, strict=True).problems)

    def plan(self) -> Any:
        return make_plan(self.run, host_config=self.host, processor=self.processor, memory=False)

    def train(self) -> None:
        """As a run reads its data."""
        data = self.run.data
        mixture = open_data(data, seed=0)
        collator = Collator(
            self.processor, model_config=self.host, max_length=data.max_length, bad_samples=data.bad_samples
        )
        for number in range(len(mixture)):
            collator([mixture[number]])


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_one_refuses_all_refuse(tmp_path: Path, kind: str) -> None:
    made = Verdicts(tmp_path, [record(0), DAMAGED[kind]], "error")
    assert made.check() == {kind}
    assert made.plan().problems
    with pytest.raises(DataError, match=kind):
        made.train()


def test_what_is_skipped_is_counted_alike(tmp_path: Path) -> None:
    made = Verdicts(tmp_path, [record(0), *({**bad, "id": kind} for kind, bad in DAMAGED.items())], "skip")
    plan = made.plan()
    assert set(plan.data.unusable) == made.check() == set(DAMAGED)
    assert not plan.problems, "one sample is left"
    assert any("leaves them out" in note for note in plan.notes)


def test_a_folder_of_pictures_that_is_not_there(tmp_path: Path) -> None:
    made = Verdicts(tmp_path, [record(0), record(1)], "skip", images="nowhere")
    assert any("images does not exist" in problem for problem in made.plan().problems)
    for verdict in (made.check, made.train):
        with pytest.raises(DataError, match="no such folder of pictures"):
            verdict()


def test_what_all_accept(tmp_path: Path) -> None:
    made = Verdicts(tmp_path, [record(0), record(1)], "error")
    assert made.check() == set()
    assert made.plan().problems == ()
    made.train()


def test_text_alone_teaches_nothing_that_acts_on_pictures(tmp_path: Path) -> None:
    """A run stops there by itself (its gradients are zero)."""
    text = [record(number, "Bu ne?", image=None) for number in range(2)]
    made = Verdicts(tmp_path, text, "error")
    assert any("no sample of 2 shows a picture" in problem for problem in made.plan().problems)
    made.run = replace(made.run, train=replace(made.run.train, language_model="full"))
    assert made.plan().problems == ()
    assert Verdicts(tmp_path, [*text, record(2)], "error").plan().problems == ()


@pytest.mark.parametrize(("number", "kind"), [(0, "broken-image"), (2, "over-long")])
def test_every_check_of_the_list_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: str
) -> None:
    """The double: without one of them, those that share the list are blind alike."""
    monkeypatch.setattr("parrot_adapters.data.sample_checks.CHECKS", CHECKS[:number])
    made = Verdicts(tmp_path, [record(0), DAMAGED[kind]], "skip")
    assert made.check() == set()
    assert made.plan().data.unusable == {}
