"""Streams: every sample once, one order for any number of processes, and a position that can be taken up again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_dialogues import picture

from parrot_adapters.data import Mixture, open_data
from parrot_adapters.data.settings import DataSettings, SourceSettings
from parrot_adapters.errors import ConfigError, DataError


def record(name: str, number: int, **more: Any) -> dict:
    said = [{"from": "human", "value": f"question {number}"}, {"from": "gpt", "value": "yes"}]
    return {"id": f"{name}{number}", "conversations": said, **more}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.jsonl: 150 Turkish samples; b.jsonl: 400, every tenth bad; c.json: 70, with an index."""
    made = tmp_path_factory.mktemp("streams")
    (made / "a.jsonl").write_text("\n".join(json.dumps(record("a", i, language="tr")) for i in range(150)))
    lines = [json.dumps(record("b", i)) if i % 10 else '{"broken' for i in range(400)]
    (made / "b.jsonl").write_text("\ufeff" + "\r\n\n".join(lines), "utf-8")
    (made / "c.json").write_text(json.dumps([record("c", i, lang="ar") for i in range(70)]))
    return made


def opened(folder: Path, seed: int = 0, names: str = "abc", weights: dict | None = None, **more: Any) -> Mixture:
    sources = tuple(
        SourceSettings(
            str(folder / f"{n}.json{'l' * (n != 'c')}"), streaming=n != "c", weight=(weights or {}).get(n, 1.0)
        )
        for n in names
    )
    made = open_data(DataSettings(sources, bad_samples="skip", **more), seed=seed)
    assert not made.seekable
    return made


def flat(lists: list[list[str]]) -> list[str]:
    return [name for one in lists for name in one]


def names(batches: Any) -> list[list[str]]:
    return [[dialogue.identity for dialogue in batch] for batch in batches]


EVERYTHING = sorted(
    [f"a{i}" for i in range(150)] + [f"b{i}" for i in range(400) if i % 10] + [f"c{i}" for i in range(70)]
)


@pytest.mark.parametrize("weights", [None, {"a": 0.1, "b": 5.0}, {"a": 0.0}])
def test_every_sample_comes_once(folder: Path, weights: dict | None) -> None:
    for epoch in (0, 1):
        made = opened(folder, weights=weights)
        assert sorted(flat(names(made.batches(3, epoch)))) == EVERYTHING
        assert made.rejects.counts() == {"bad-record": 40}


def test_the_first_block_is_mixed_by_weight(folder: Path) -> None:
    first = flat(names(opened(folder, weights={"a": 3.0}).batches(3, 0))[:64])
    share = sum(name.startswith("a") for name in first) / len(first)
    assert 0.5 < share < 0.7


@settings(deadline=None, max_examples=10)
@given(
    world=st.sampled_from([1, 2, 4]),
    size=st.integers(1, 5),
    epoch=st.integers(0, 2),
    done=st.integers(0, 200),
    ahead=st.integers(0, 60),
)
def test_order_shares_and_resuming(folder: Path, world: int, size: int, epoch: int, done: int, ahead: int) -> None:
    alone = names(opened(folder).batches(size, epoch))
    shares = [names(opened(folder).batches(size, epoch, rank=rank, world=world)) for rank in range(world)]
    together = [batch for turn in zip(*shares, strict=True) for batch in turn]
    assert together[: len(alone)] == alone
    assert all(batch == [] for batch in together[len(alone) :])

    rank = done % world
    done = min(done, len(shares[rank]))
    skipped = opened(folder).batches(size, epoch, rank=rank, world=world, skip=done)
    assert names(skipped) == shares[rank][done:]

    running = opened(folder).batches(size, epoch, rank=rank, world=world)
    stream = iter(running)
    for _ in range(min(done + ahead, len(shares[rank]))):  # a loader's workers run ahead of training
        next(stream)
    state = json.loads(json.dumps(running.state_dict(done)))
    resumed = opened(folder).batches(size, epoch, rank=rank, world=world)
    resumed.load_state_dict(state)
    assert names(resumed) == shares[rank][done:]


def test_resuming_reads_no_more_than_a_block_again(folder: Path) -> None:
    running = opened(folder, names="a").batches(1, 0)
    stream = iter(running)
    for _ in range(140):
        next(stream)
    state = running.state_dict(140)
    assert state["batches"] == 128
    assert state["streams"][0]["records"]["done"] == 128
    stream.close()


def test_epochs_and_seeds_differ(folder: Path) -> None:
    orders = {tuple(names(opened(folder, seed).batches(9, epoch))[0]) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


def test_each_block_is_shuffled_in_its_own_way(folder: Path) -> None:
    order = [int(name[1:]) for name in flat(names(opened(folder, names="a").batches(1, 0)))]
    first, second = order[:64], [number - 64 for number in order[64:128]]
    assert sorted(first) == sorted(second) == list(range(64))
    assert first != second


def test_caps_and_limits(folder: Path) -> None:
    capped = flat(names(opened(folder, language_caps={"tr": 20}).batches(4, 0)))
    assert sum(name.startswith("a") for name in capped) == 20
    assert len(capped) == len(EVERYTHING) - 130
    source = SourceSettings(str(folder / "a.jsonl"), streaming=True, limit=7)
    limited = open_data(DataSettings((source,)), seed=0)
    for epoch in (0, 1):
        assert sorted(flat(names(limited.batches(4, epoch)))) == [f"a{i}" for i in range(7)]


def test_grouping_and_budget(folder: Path) -> None:
    made = opened(folder, group_by_length=True, token_budget=60)
    with pytest.raises(ConfigError, match="measure"):
        made.batches(8, 0)
    made.measure(lambda dialogue: 10 + len(dialogue.identity))
    batches = list(made.batches(8, 0))
    assert sorted(flat(names(batches))) == EVERYTHING
    assert all(len(b) * max(10 + len(d.identity) for d in b) <= 60 for b in batches)


def test_packing(folder: Path) -> None:
    made = opened(folder, packing=True, max_length=40, token_budget=60)
    with pytest.raises(ConfigError, match="measure"):
        made.batches(8, 0)
    made.measure(lambda dialogue: 10 + len(dialogue.identity))
    batches = list(made.batches(8, 0))
    assert sorted(flat(names(batches))) == EVERYTHING
    tokens = [sum(10 + len(d.identity) for d in batch) for batch in batches]
    assert max(tokens) <= 60
    assert sum(tokens) / len(tokens) > 45


def test_temperature_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="language_temperature"):
        opened(folder, language_temperature=2.0)


def test_error_policy(folder: Path) -> None:
    made = open_data(DataSettings((SourceSettings(str(folder / "b.jsonl"), streaming=True),)), seed=0)
    with pytest.raises(DataError, match=r"b.jsonl:0(.|\n)*bad-record"):
        list(made.batches(4, 0))


def test_a_loader_with_workers_takes_it(folder: Path) -> None:
    from support.chat_processors import llava
    from torch.utils.data import DataLoader

    from parrot_adapters.data import Collator

    def run(workers: int) -> list[list[str]]:
        made = opened(folder, names="a")
        order = made.batches(25, 0)
        loader = DataLoader(made, batch_sampler=order, collate_fn=Collator(llava()), num_workers=workers)
        return [batch["parrot_identities"] for batch in loader]

    assert run(0) == run(2)
    assert sorted(flat(run(0))) == sorted(f"a{i}" for i in range(150))


# -- through ``datasets`` -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    datasets = pytest.importorskip("datasets")
    turns = [{"from": "human", "value": "<image>\nwhat?"}, {"from": "gpt", "value": "red"}]
    rows = [
        {"id": f"p{i}", "image": {"bytes": picture(8, 8).data, "path": None}, "conversations": turns} for i in range(90)
    ]
    string = datasets.Value("string")
    features = datasets.Features(
        {"id": string, "image": datasets.Image(), "conversations": [{"from": string, "value": string}]}
    )
    path = tmp_path_factory.mktemp("parquet") / "p.parquet"
    datasets.Dataset.from_list(rows, features=features).to_parquet(path)
    return path


@pytest.mark.parametrize("streaming", [True, False])
def test_parquet(parquet: Path, streaming: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    made = open_data(DataSettings((SourceSettings(str(parquet), streaming=streaming),)), seed=0)
    assert made.seekable is not streaming
    batches = [[made[one] for one in batch] for batch in made.batches(4, 0)]
    assert sorted(flat(names(batches))) == sorted(f"p{i}" for i in range(90))
    assert batches[0][0].turns[0].parts == (picture(8, 8), "what?")


def test_a_directory_may_hold_parquet_and_be_checked(
    parquet: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import datasets

    from parrot_adapters.cli import main

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    assert main(["data", "check", str(parquet.parent), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["usable"] == 90


@pytest.mark.parametrize(("kind", "separator"), [("csv", ","), ("tsv", "\t")])
def test_tables_of_text_are_streamed(
    kind: str, separator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [separator.join(row) for row in (("image", "caption"), *((f"{n}.png", f"cat {n}") for n in range(3)))]
    (tmp_path / f"a.{kind}").write_text("\n".join(rows), "utf-8")
    made = open_data(DataSettings((SourceSettings(str(tmp_path / f"a.{kind}"), streaming=True),)), seed=0)
    said = [dialogue.turns[1].parts for batch in made.batches(1, 0) for dialogue in batch]
    assert sorted(said) == [("cat 0",), ("cat 1",), ("cat 2",)]


def test_resuming_parquet(parquet: Path) -> None:
    def order() -> Any:
        return open_data(DataSettings((SourceSettings(str(parquet), streaming=True),)), seed=0).batches(1, 0)

    whole = names(order())
    running = order()
    stream = iter(running)
    for _ in range(80):
        next(stream)
    state = json.loads(json.dumps(running.state_dict(70)))
    stream.close()
    resumed = order()
    resumed.load_state_dict(state)
    assert state["streams"][0]["records"]["done"] == 64
    assert names(resumed) == whole[70:]


def test_a_file_that_is_not_there_is_no_name_of_the_hub() -> None:
    with pytest.raises(DataError, match="no such file"):
        open_data(DataSettings((SourceSettings("data/train.json"),)), seed=0)


def test_what_cannot_be_reached_is_said() -> None:
    for streaming in (True, False):
        with pytest.raises(DataError, match=r"owner/nothing(.|\n)*the Hub"):
            open_data(DataSettings((SourceSettings("owner/nothing", streaming=streaming),)), seed=0)
