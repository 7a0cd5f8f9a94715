"""``parrot score`` from the outside."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.folders import FIXTURES

from parrot_adapters.atomic_files import write_json
from parrot_adapters.cli import main
from parrot_adapters.evaluation import PROTOCOLS

MMMB = FIXTURES / "mmmb"
Row = Callable[..., dict]
Write = Callable[..., Path]


def arguments(out: Path, **changed: object) -> list[str]:
    given = {
        "benchmark": "mmmb",
        "data": MMMB / "data",
        "predictions": MMMB / "predictions_MMMB.jsonl",
        "protocol": "vlmevalkit-2025",
        "json": out,
    } | changed
    return [
        "score",
        *(text for name, value in given.items() if value is not None for text in (f"--{name}", str(value))),
    ]


def test_it_writes_the_result_and_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "deep" / "out.json"
    assert main(arguments(out)) == 0
    result = json.loads(out.read_text(encoding="utf-8"))
    expected = json.loads((MMMB / "expected.json").read_text(encoding="utf-8"))["vlmevalkit-2025"]["MMMB"]
    assert result["protocol"] == "vlmevalkit-2025"
    for name, vector in expected.items():
        assert result["subsets"][name]["overall"] == vector["accuracy"]["none"]["Overall"]
        assert result["subsets"][name]["hits"] == vector["hits"]
    overall = [subset["overall"] for subset in result["subsets"].values()]
    assert result["means"]["language_macro"] == pytest.approx(sum(overall) / 3)
    for name, subset in result["subsets"].items():
        assert result["robust"]["overall"][name] > subset["overall"]
        assert result["robust"]["not_found"][name] < result["not_found"][name]
        data = (MMMB / "data" / f"{name}.tsv").read_bytes()
        assert result["data"][name]["md5"] == hashlib.md5(data, usedforsecurity=False).hexdigest()
        assert result["data"][name]["published"] is False
    statistics = result["statistics"]
    english, arabic = (result["subsets"][f"MMMB_{language}"] for language in ("en", "ar"))
    assert set(statistics["intervals"]) == set(expected)
    assert statistics["intervals"]["MMMB_en"]["low"] < english["overall"] < statistics["intervals"]["MMMB_en"]["high"]
    assert statistics["erosion"]["MMMB_ar"]["estimate"] == pytest.approx(english["overall"] - arabic["overall"])
    assert "MMMB_en" not in statistics["erosion"]
    assert statistics["flips"]["MMMB_ar"]["questions"] == 89
    assert set(statistics["position_bias"]["MMMB_en"]["chosen"]) >= set("ABCD")
    printed = capsys.readouterr()
    for part in ("MMMB_ar", "reference", "robust", "none: replies in which", "unit mean", "language mean"):
        assert part in printed.out
    assert "spelled like a missing value vanish" in printed.err


def test_a_protocol_must_be_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out.json"
    assert main(arguments(out, protocol=None)) == 2
    said = capsys.readouterr().err
    assert "there is no default" in said
    for protocol in PROTOCOLS.values():
        assert protocol.name in said
        assert protocol.use in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("changed", "status", "says"),
    [
        ({"protocol": "vlmevalkit-2027"}, 2, "Did you mean 'vlmevalkit-202"),
        ({"benchmark": "mmmbb"}, 2, "Did you mean 'mmmb'?"),
        ({"data": "nowhere"}, 1, "no such directory"),
        ({"predictions": "nothing.jsonl"}, 1, "no such file of predictions"),
    ],
)
def test_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture, changed: dict[str, str], status: int, says: str
) -> None:
    out = tmp_path / "out.json"
    assert main(arguments(out, **changed)) == status
    assert says in capsys.readouterr().err
    assert not out.exists()


def test_all_predictions_unknown_leaves_no_number(
    tmp_path: Path, write_tsv: Write, write_jsonl: Write, row: Row, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out.json"
    folder = write_tsv([row(1)]).parent
    assert main(arguments(out, data=folder, predictions=write_jsonl([("en", 9, "A")]))) == 0
    assert json.loads(out.read_text())["subsets"]["MMMB_en"]["overall"] is None
    said = capsys.readouterr()
    assert "1 predictions are for rows that the file does not have" in said.err


@pytest.mark.usefixtures("own_languages")
def test_more_languages_for_the_robust_matcher(tmp_path: Path, write_tsv: Write, write_jsonl: Write, row: Row) -> None:
    extra = tmp_path / "finnish.json"
    extra.write_text(json.dumps({"fi": {"answer": ["vastaus"], "fillers": ["on"]}}))
    folder = write_tsv([row(1, answer="B")], "MMMB_fi").parent
    replies = write_jsonl([("fi", 1, "Vastaus on b, ei muu")])
    out = tmp_path / "out.json"
    assert main(arguments(out, data=folder, predictions=replies)) == 0
    assert json.loads(out.read_text())["robust"]["overall"] == {"MMMB_fi": 0.0}
    assert main([*arguments(out, data=folder, predictions=replies), "--language-data", str(extra)]) == 0
    assert json.loads(out.read_text())["robust"]["overall"] == {"MMMB_fi": 1.0}


def test_an_interrupted_write_leaves_the_old_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.json"
    write_json(out, {"old": 1})

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_json(out, {"new": 2})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(out, {"new": float("nan")})
    assert json.loads(out.read_text()) == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
