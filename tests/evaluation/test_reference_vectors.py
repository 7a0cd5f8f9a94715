"""Every vector made by running the field's harness, reproduced exactly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cache

import pytest
from support.folders import FIXTURES

from parrot_adapters.evaluation import (
    BENCHMARKS,
    PROTOCOLS,
    build_prompt,
    extract_choice,
    find_subsets,
    load_subset,
    protocol_named,
    read_predictions,
    score_predictions,
    score_subset,
)

MMMB = FIXTURES / "mmmb"
SETS = {"MMMB": "mmmb", "MTL_MMBench_DEV": "mmbench"}


@cache
def vectors(name: str) -> dict:
    return json.loads((MMMB / name).read_text(encoding="utf-8"))


def cases() -> list[dict]:
    return [json.loads(line) for line in (MMMB / "extraction_cases.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_extraction_case(protocol: str) -> None:
    every = cases()
    assert len(every) == 1673
    wrong = [c for c in every if extract_choice(c["prediction"], c["options"], protocol) != c["expected"][protocol]]
    assert wrong == []


def prompt_vectors() -> Iterator[tuple[str, str, str, str]]:
    for subset, by_index in vectors("prompts.json").items():
        for index, by_column in by_index.items():
            if index.startswith("_"):
                continue
            for column, text in by_column.items():
                yield subset, index, column, text


def test_every_prompt_is_byte_exact() -> None:
    count = 0
    for benchmark in map(BENCHMARKS.__getitem__, ("mmmb", "mmbench")):
        for language, path in find_subsets(MMMB / "data", benchmark).items():
            rows = {str(row.index): row for row in load_subset(path, benchmark).rows}
            for subset, index, column, text in prompt_vectors():
                if subset != path.stem:
                    continue
                style, _, how = column.rpartition("_")
                built = build_prompt(
                    rows[index].cells,
                    benchmark=benchmark.name,
                    style=style or column,
                    language=language,
                    concat=how == "concat",
                )
                assert built == text, (subset, index, column)
                count += 1
    assert count == 5082


def test_every_picture_is_the_one_the_harness_shows() -> None:
    count = 0
    for benchmark in map(BENCHMARKS.__getitem__, ("mmmb", "mmbench")):
        for path in find_subsets(MMMB / "data", benchmark).values():
            subset = load_subset(path, benchmark)
            for index, digest in vectors("prompts.json")[path.stem]["_image_file_sha256"].items():
                (picture,) = subset.pictures(int(index))
                assert hashlib.sha256(picture).hexdigest() == digest
                count += 1
    assert count == 3 * (89 + 153)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("harness_name", SETS)
def test_every_score(protocol: str, harness_name: str) -> None:
    benchmark = BENCHMARKS[SETS[harness_name]]
    report = score_predictions(
        MMMB / "data", MMMB / f"predictions_{harness_name}.jsonl", protocol_named(protocol), benchmark
    )
    out = json.loads(json.dumps(report.as_json()))
    expected = vectors("expected.json")[protocol][harness_name]
    assert out["protocol"] == protocol
    assert set(out["subsets"]) == set(expected)
    for name, vector in expected.items():
        subset = out["subsets"][name]
        assert set(subset) == {"overall", "category", "l2_category", "split", "choices", "hits"}
        assert subset["choices"] == vector["choices"]
        assert subset["hits"] == vector["hits"]
        tables = vector["accuracy"]
        if set(tables) == {"none"}:
            assert subset["split"] == {}
        else:
            assert subset["split"] == {split: table["Overall"] for split, table in tables.items()}
        if len(tables) == 1:
            (table,) = tables.values()
            assert {"Overall": subset["overall"], **subset["category"], **subset["l2_category"]} == table


def test_the_vectors_tell_the_protocols_apart() -> None:
    """The double: a protocol scored as another one does not pass."""
    benchmark = BENCHMARKS["mmmb"]
    replies = read_predictions(MMMB / "predictions_MMMB.jsonl", benchmark)
    subset = load_subset(MMMB / "data" / "MMMB_en.tsv", benchmark)
    hits = {p: tuple(score_subset(subset, replies["en"], PROTOCOLS[p], benchmark).hits.items()) for p in PROTOCOLS}
    assert len(set(hits.values())) == len(PROTOCOLS)
