"""Epochs hold what they should, in an order that nothing but (seed, epoch) decides."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parrot_adapters.data import Mixture, Rejects, open_data
from parrot_adapters.data.settings import DataSettings, SourceSettings
from parrot_adapters.errors import ConfigError, DataError, ParrotWarning

LANGUAGES = (None, "en", "tr", "ar")


class FakeSource:
    """Samples of which only the language matters."""

    def __init__(self, languages: list[str | None], weight: float = 1.0) -> None:
        self.settings = SourceSettings("fake", weight=weight)
        self.languages, self.path = languages, Path("fake")

    def __len__(self) -> int:
        return len(self.languages)

    def __getitem__(self, position: int) -> Any:
        return position  # stands for a dialogue


def mixture(sources: list[FakeSource], seed: int = 0, **more: Any) -> Mixture:
    return Mixture(sources, DataSettings(tuple(s.settings for s in sources), **more), seed=seed, rejects=Rejects())  # type: ignore[arg-type]


def by_language(made: Mixture, indices: list[int]) -> Counter:
    tags = [tag for source in made.sources for tag in source.languages]
    return Counter(tags[i] for i in indices)


tags = st.lists(st.sampled_from(LANGUAGES), min_size=1, max_size=60)
some = st.lists(tags.map(FakeSource), min_size=1, max_size=3)
some_or_all = st.builds(FakeSource, tags, st.sampled_from([0.0, 0.3, 1.0, 2.5]))
# One source with weight, so that an epoch holds anything.
weighted = st.builds(lambda rest, whole: [*rest, whole], st.lists(some_or_all, max_size=2), tags.map(FakeSource))
seeds, epochs, sizes = st.integers(0, 5), st.integers(0, 3), st.integers(1, 9)


def flat(batches: Any) -> list[int]:
    return [index for batch in batches for index in batch]


# -- what an epoch holds --------------------------------------------------------------------------------------------


@given(sources=some, seed=seeds, epoch=epochs, size=sizes)
@settings(deadline=None)
def test_at_weight_one_every_sample_comes_once(sources: list[FakeSource], seed: int, epoch: int, size: int) -> None:
    made = mixture(sources, seed)
    assert len(made) == made.total == sum(map(len, sources))
    assert sorted(flat(made.batches(size, epoch))) == list(range(made.total))


@given(sources=weighted, seed=seeds, epoch=epochs)
@settings(deadline=None)
def test_weights(sources: list[FakeSource], seed: int, epoch: int) -> None:
    made = mixture(sources, seed)
    drawn = Counter(made.epoch(epoch).tolist())
    assert sum(drawn.values()) == len(made)
    wanted: dict[str | None, float] = {}
    for source in sources:
        for tag in source.languages:
            wanted[tag] = wanted.get(tag, 0.0) + source.settings.weight
    for tag, count in by_language(made, made.epoch(epoch).tolist()).items():
        assert abs(count - wanted[tag]) < 1 + 1e-9
    starts = [sum(map(len, sources[:n])) for n in range(len(sources))]
    for source, start in zip(sources, starts, strict=True):
        for tag in set(source.languages):
            times = {drawn[start + i] for i, other in enumerate(source.languages) if other == tag}
            assert max(times) - min(times) <= 1, "no sample comes twice before each came once"


def test_a_fraction_is_drawn_anew_in_each_epoch() -> None:
    """Else the same half would never be seen."""
    made = mixture([FakeSource(["en"] * 40, weight=0.5)])
    drawn = [set(made.epoch(epoch).tolist()) for epoch in range(16)]
    assert {len(each) for each in drawn} == {20}
    assert set.union(*drawn) == set(range(40))


@pytest.mark.filterwarnings("ignore:data.language_caps")
@given(sources=some, seed=seeds, epoch=epochs, caps=st.dictionaries(st.sampled_from(["en", "tr"]), st.integers(1, 20)))
@settings(deadline=None)
def test_caps(sources: list[FakeSource], seed: int, epoch: int, caps: dict[str, int]) -> None:
    made, free = mixture(sources, seed, language_caps=caps), mixture(sources, seed)
    drawn, everything = made.epoch(epoch).tolist(), by_language(free, list(range(free.total)))
    for tag, count in by_language(made, drawn).items():
        assert count == min(everything[tag], caps.get(tag, free.total))
    assert len(set(drawn)) == len(drawn)


def test_a_cap_on_a_language_that_nobody_speaks_is_told() -> None:
    with pytest.warns(ParrotWarning, match="no sample is in tlh; languages of the data: tr"):
        mixture([FakeSource(["tr"])], language_caps={"tlh": 3})


def test_a_cap_fits_its_language_however_it_is_written() -> None:
    assert len(mixture([FakeSource(["tr"] * 5)], language_caps={"TUR": 3})) == 3


@pytest.mark.parametrize(("temperature", "english"), [(1.0, 900), (2.0, 750)])
def test_temperature_draws_by_its_root(temperature: float, english: int) -> None:
    """Of 900 and 100 samples, at 2: in proportion to 30 and 10."""
    made = mixture([FakeSource(["en"] * 900 + ["tr"] * 100)], language_temperature=temperature)
    assert by_language(made, made.epoch(0).tolist()) == {"en": english, "tr": 1000 - english}


def test_an_epoch_without_samples_is_refused() -> None:
    with pytest.raises(ConfigError, match="an epoch would hold no sample"):
        mixture([FakeSource(["tr"] * 5, weight=0.0)])


@given(sources=some, temperature=st.sampled_from([1.0, 2.0, 5.0, 1000.0]), seed=seeds)
@settings(deadline=None)
def test_temperature(sources: list[FakeSource], temperature: float, seed: int) -> None:
    made = mixture(sources, seed, language_temperature=temperature)
    before = by_language(made, list(range(made.total)))
    after = by_language(made, made.epoch(0).tolist())
    assert sum(after.values()) == sum(before.values()) == len(made)
    flattened = {tag: count ** (1 / temperature) for tag, count in before.items()}
    for tag, value in flattened.items():
        assert abs(after[tag] - made.total * value / sum(flattened.values())) < 1
    assert dict(after) == {tag: n for tag, n in made.languages().items() if n}


def test_large_temperature_makes_languages_equal() -> None:
    made = mixture([FakeSource(["en"] * 90 + ["tr"] * 10)], language_temperature=1e6)
    assert made.languages() == {"en": 50, "tr": 50}


# -- order ----------------------------------------------------------------------------------------------------------


@given(sources=weighted, seed=seeds, epoch=epochs, size=sizes)
@settings(deadline=None)
def test_order_follows_from_seed_and_epoch(sources: list[FakeSource], seed: int, epoch: int, size: int) -> None:
    first, second = (list(mixture(sources, seed).batches(size, epoch)) for _ in range(2))
    assert first == second


def test_seeds_and_epochs_differ() -> None:
    orders = {
        tuple(mixture([FakeSource(["en"] * 40)], seed).epoch(epoch).tolist()) for seed in (0, 1) for epoch in (0, 1)
    }
    assert len(orders) == 4


def length(position: Any) -> int:
    return position * 7 % 50 + 1


def measured(sources: list[FakeSource], grouped: bool, budget: int | None, seed: int = 0) -> Mixture:
    made = mixture(sources, seed, group_by_length=grouped, token_budget=budget)
    made.measure(length)
    return made


ways = st.tuples(st.booleans(), st.sampled_from([None, 40, 120]))


@given(sources=some, seed=seeds, epoch=epochs, size=sizes, way=ways, world=st.sampled_from([1, 2, 4]))
@settings(deadline=None)
def test_processes_share_one_order(
    sources: list[FakeSource], seed: int, epoch: int, size: int, way: tuple, world: int
) -> None:
    made = measured(sources, *way, seed=seed)
    alone = list(made.batches(size, epoch))
    shares = [list(made.batches(size, epoch, rank=rank, world=world)) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1, "every process takes part in every step"
    together = [batch for turn in zip(*shares, strict=True) for batch in turn]
    assert together[: len(alone)] == alone
    assert all(batch == [] for batch in together[len(alone) :])
    assert len(together) - len(alone) < world


@given(sources=some, epoch=epochs, size=sizes, way=ways, world=st.sampled_from([1, 2]), skip=st.integers(0, 30))
@settings(deadline=None)
def test_skipping_gives_the_tail(
    sources: list[FakeSource], epoch: int, size: int, way: tuple, world: int, skip: int
) -> None:
    made = measured(sources, *way)
    whole = list(made.batches(size, epoch, world=world))
    rest = made.batches(size, epoch, world=world, skip=skip)
    assert list(rest) == whole[skip:]
    assert len(rest) == len(whole[skip:])


# -- lengths --------------------------------------------------------------------------------------------------------


@given(sources=some, epoch=epochs, size=sizes, grouped=st.booleans(), budget=st.integers(1, 200))
@settings(deadline=None)
def test_token_budget(sources: list[FakeSource], epoch: int, size: int, grouped: bool, budget: int) -> None:
    made = measured(sources, grouped, budget)
    batches = list(made.batches(size, epoch))
    assert sorted(flat(batches)) == list(range(made.total))
    for batch in batches:
        padded = len(batch) * max(length(made[i]) for i in batch)
        assert 1 <= len(batch) <= size
        assert padded <= budget or len(batch) == 1


def test_grouping_saves_padding() -> None:
    def padding(made: Mixture) -> int:
        found = 0
        for batch in made.batches(8, 0):
            lengths = [length(made[i]) for i in batch]
            found += sum(max(lengths) - n for n in lengths)
        return found

    sources = [FakeSource(["en"] * 800)]
    assert padding(measured(sources, True, None)) < 0.1 * padding(measured(sources, False, None))


def test_grouping_asks_for_lengths() -> None:
    made = mixture([FakeSource(["en"])], group_by_length=True)
    with pytest.raises(ConfigError, match="measure"):
        made.batches(2, 0)


# -- files ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> list[SourceSettings]:
    """Two files, 6 good samples in Turkish and 3 in unknown languages, one bad."""

    def record(number: int, answer: str, **more: Any) -> dict:
        turns = [{"from": "human", "value": f"question {number}"}, {"from": "gpt", "value": answer}]
        return {"id": f"r{number}", "conversations": turns, **more}

    (tmp_path / "tr.json").write_text(json.dumps([record(i, "evet", language="tr") for i in range(6)]))
    lines = [json.dumps(record(i, "" if i == 1 else "yes")) for i in range(4)]
    (tmp_path / "any.jsonl").write_text("\n".join(lines))
    return [SourceSettings(str(tmp_path / name)) for name in ("tr.json", "any.jsonl")]


def test_error_stops_at_the_first_bad_sample(files: list[SourceSettings]) -> None:
    with pytest.raises(DataError) as caught:
        open_data(DataSettings(tuple(files)), seed=0)
    for named in ("any.jsonl", "r1", "empty-turn"):
        assert named in str(caught.value)


def test_skip_counts_and_writes_once(files: list[SourceSettings], tmp_path: Path) -> None:
    for _ in range(2):  # as two processes, or a second run, would
        made = open_data(DataSettings(tuple(files), bad_samples="skip"), seed=0, rejects=tmp_path / "rejects.jsonl")
    assert (len(made), made.languages()) == (9, {"tr": 6, None: 3})
    assert made.rejects.counts() == {"empty-turn": 1}
    (entry,) = map(json.loads, (tmp_path / "rejects.jsonl").read_text().splitlines())
    assert (entry["identity"], entry["number"], entry["problem"]) == ("r1", 1, "empty-turn")


def test_samples_keep_their_number(files: list[SourceSettings]) -> None:
    made = open_data(DataSettings(tuple(files), bad_samples="skip"), seed=0)
    assert [made[i].number for i in range(6, 9)] == [0, 2, 3]
    assert made[7].identity == "r2"


def test_limit_and_language(files: list[SourceSettings]) -> None:
    from dataclasses import replace

    sources = (replace(files[0], limit=2), replace(files[1], language="en"))
    made = open_data(DataSettings(sources, bad_samples="skip"), seed=0)
    assert made.languages() == {"tr": 2, "en": 3}
    assert made[2].language == "en"


def test_nothing_usable(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"conversations": [{"from": "human", "value": "a"}]}]')
    with pytest.raises(DataError, match=r"no usable sample(.|\n)*no-assistant-turn"):
        open_data(DataSettings((SourceSettings(str(tmp_path / "a.json")),), bad_samples="skip"), seed=0)


def test_a_torch_loader_takes_it(files: list[SourceSettings]) -> None:
    from support.chat_processors import llava
    from torch.utils.data import DataLoader

    from parrot_adapters.data import Collator

    made = open_data(DataSettings(tuple(files), bad_samples="skip"), seed=0)
    collator = Collator(llava())

    def run(workers: int) -> list[list[str]]:
        batches = made.batches(2, 0)
        loader = DataLoader(made, batch_sampler=batches, collate_fn=collator, num_workers=workers)
        return [batch["parrot_identities"] for batch in loader]

    assert run(0) == run(2)
    assert sum(map(len, run(0))) == 9


def test_rejects_of_many_processes_are_written_once(tmp_path: Path) -> None:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    path = tmp_path / "rejects.jsonl"
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        list(pool.map(_reject_all, [path] * 4))
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(entry["number"] for entry in entries) == list(range(30))


def _reject_all(path: Path) -> None:
    from parrot_adapters.data import BadSample

    rejects = Rejects(path)
    for number in range(30):
        rejects.add(BadSample("empty-turn", "why"), source="f", number=number, identity=str(number))


def test_a_rejects_file_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    from parrot_adapters.data import BadSample

    path = tmp_path / "rejects.jsonl"
    Rejects(path).add(BadSample("empty-turn", "why"), source="f", number=1, identity="a")
    with path.open("a") as file:
        file.write('{"source": "f", "nu')
    later = Rejects(path)
    later.add(BadSample("over-long", "why"), source="f", number=2, identity="b")
    later.add(BadSample("empty-turn", "why"), source="f", number=1, identity="a")
    assert Rejects(path).counts() == later.counts() == {"empty-turn": 1, "over-long": 1}


def test_rejects_that_cannot_be_written_are_said(tmp_path: Path) -> None:
    from parrot_adapters.data import BadSample

    with pytest.raises(DataError, match="cannot be written down"):
        Rejects(tmp_path).add(BadSample("empty-turn", "why"), source="f", number=1, identity="a")
