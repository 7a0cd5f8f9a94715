"""The emoji benchmark's files are a benchmark like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import benchmark_files
from support.evaluation_runs import ScriptedHost, page_text, run

from parrot_adapters.evaluation import EvaluationDataError


@pytest.mark.parametrize("protocol", ["paper-2024", "vlmevalkit-2026"])
def test_the_emoji_benchmark_is_scored_row_by_row(tmp_path: Path, protocol: str) -> None:
    data = benchmark_files.save_benchmark(tmp_path / "emoji", questions=8, languages=("en", "ar", "tr"), stem="EMOJI")
    result = run(tmp_path, ScriptedHost(), benchmark="emoji", data=str(data), protocol=protocol)
    content = result.result.as_json()
    assert content["unit"] == "row"
    assert set(content["subsets"]) == {"EMOJI_ar", "EMOJI_en", "EMOJI_tr"}
    assert all(len(subset["hits"]) == 8 for subset in content["subsets"].values())
    assert not any("published file" in warning for warning in content["warnings"])
    assert "Published scores" not in page_text(result)


def test_missing_files_say_how_to_make_them(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvaluationDataError, match="parrot emoji export"):
        run(tmp_path, ScriptedHost(), benchmark="emoji", data=str(tmp_path / "empty"))
    data = benchmark_files.save_benchmark(tmp_path / "emoji", stem="EMOJI")
    with pytest.raises(EvaluationDataError, match=r"EMOJI_sw\.tsv \(written by: parrot emoji export"):
        run(tmp_path, ScriptedHost(), benchmark="emoji", data=str(data), languages=("sw",))
