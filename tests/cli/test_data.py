"""``parrot data check`` tells what is there and what is wrong; ``fetch`` brings a file whole or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.chat_processors import llava
from support.random_dialogues import picture

from parrot_adapters.cli import main
from parrot_adapters.data.catalogue import PARROT_DATA, PublishedFile
from parrot_adapters.data.fetch import fetch
from parrot_adapters.errors import DataError


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def record(number: int, text: str = "<image>\nBu ne?", answers: int = 1, **more: Any) -> dict:
    said = [{"from": "human", "value": text}, {"from": "gpt", "value": "kedi"}]
    said += [{"from": "human", "value": "emin misin?"}, {"from": "gpt", "value": "evet"}] * (answers - 1)
    return {"id": f"r{number}", "image": "good.png", "conversations": said, **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = picture(40, 8).data
    assert data is not None
    (tmp_path / "good.png").write_bytes(data)
    (tmp_path / "broken.png").write_bytes(data[:60])
    return tmp_path


@pytest.fixture
def processor(tmp_path: Path) -> str:
    llava().save_pretrained(tmp_path / "host")
    return str(tmp_path / "host")


def written(folder: Path, records: list[dict]) -> str:
    path = folder / "data.json"
    path.write_text(json.dumps(records))
    return str(path)


def checked(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, Any]:
    code = main(["data", "check", *argv, "--json"])
    return code, json.loads(capsys.readouterr().out)


# -- check ----------------------------------------------------------------------------------------------------------


def test_clean_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    languages = ["tr", "tr", "ar", None]
    path = written(folder, [record(i, language=tag, answers=i + 1) for i, tag in enumerate(languages)])
    code, found = checked(capsys, path)
    assert code == 0
    assert (found["records"], found["usable"], found["problems"]) == (4, 4, {})
    assert found["languages"] == {"tr": 2, "ar": 1, "unknown": 1}
    assert found["answers"] == {"count": 4, "least": 1, "median": 2.5, "p95": 4, "most": 4}
    assert found["lengths"]["unit"] == "characters"
    assert found["lengths"]["least"] == len("Bu ne?kedi")
    assert (found["pictures"]["width"]["most"], found["pictures"]["height"]["most"]) == (40, 8)
    assert found["files"][0]["format"] == "llava"


def test_lengths_in_tokens_are_the_collators(folder: Path, processor: str, capsys: pytest.CaptureFixture[str]) -> None:
    from parrot_adapters.data import Collator, open_data
    from parrot_adapters.data.settings import DataSettings, SourceSettings

    path = written(folder, [record(0), record(1, answers=3)])
    code, found = checked(capsys, path, "--processor", processor)
    assert code == 0
    mixture = open_data(DataSettings((SourceSettings(path),)), seed=0)
    lengths = [int(Collator(llava())([mixture[i]])["attention_mask"].sum()) for i in range(2)]
    assert [found["lengths"][key] for key in ("unit", "least", "most")] == ["tokens", *lengths]


BAD = {
    "empty-turn": record(1, "", image=None),
    "missing-image": record(2, image="gone.png"),
    "broken-image": record(3, image="broken.png"),
    "placeholder-mismatch": record(4, "<image><image>"),
    "over-long": record(5, "<image>" + "x" * 300),
    "control-token": record(6, "<image> </s>"),
    "no-assistant-turn": {"id": "r7", "conversations": []},
}


def test_every_problem_is_counted_with_an_example(
    folder: Path, processor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(folder, [record(0), *BAD.values(), record(8, image="broken.png")])
    code, found = checked(capsys, path, "--processor", processor, "--max-length", "200")
    assert code == 1
    assert {kind: entry["count"] for kind, entry in found["problems"].items()} == {
        kind: 1 + (kind == "broken-image") for kind in BAD
    }
    assert (found["records"], found["usable"]) == (9, 1)
    for kind, bad in BAD.items():
        example = found["problems"][kind]["examples"][0]
        assert example["identity"] == bad["id"]
        assert example["file"] == path
        assert example["reason"]
    assert found["lengths"]["most"] > 200, "an over-long sample still shows how long"


def test_headers_alone_miss_what_is_cut_off(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(folder, [record(0, image="broken.png")])
    assert checked(capsys, path)[0] == 1
    assert checked(capsys, path, "--headers-only")[0] == 0


def test_what_only_the_processor_refuses_is_found(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that is too thin for it, say: training would stop there."""

    class Refuses(type(llava())):  # type: ignore[misc]
        def __call__(self, *args: Any, images: Any = None, **more: Any) -> Any:
            if any(one.height > 20 * one.width for row in images or [] for one in row):
                raise ValueError("absolute aspect ratio must be smaller than 20")
            return super().__call__(*args, images=images, **more)

    host = llava()
    host.__class__ = Refuses
    monkeypatch.setattr("parrot_adapters.hosts.load_host.load_processor", lambda *given: host)
    (folder / "thin.png").write_bytes(picture(1, 30).data or b"")
    path = written(folder, [record(0), record(1, image="thin.png"), record(2, image="thin.png")])
    code, found = checked(capsys, path, "--processor", "any")
    assert (code, found["usable"], found["problems"]["processor"]["count"]) == (1, 1, 2)
    assert "aspect ratio" in found["problems"]["processor"]["examples"][0]["reason"]


def test_the_table_shows_it_all(folder: Path, processor: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(folder, [record(0, language="tr"), *BAD.values()])
    assert main(["data", "check", path, "--processor", processor, "--max-length", "200"]) == 1
    shown = capsys.readouterr().out
    for part in ("llava", "length in tokens", "picture width", "tr", "gone.png", "r3", "1 of 8 samples", *BAD):
        assert part in shown


def test_images_language_and_limit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = folder / "meta"
    elsewhere.mkdir()
    path = written(elsewhere, [record(i) for i in range(5)])
    assert checked(capsys, path)[0] == 1
    code, found = checked(capsys, path, "--images", str(folder), "--language", "tr", "--limit", "3")
    assert (code, found["languages"], found["records"]) == (0, {"tr": 3}, 3)


def test_a_narrow_terminal_shows_whole_paths(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["data", "check", str(written(folder, [record(0), record(1, image="broken.png")]))]) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if "broken.png" in line)
    assert str(folder / "broken.png") in line


def test_repeated_ids_are_told_and_are_no_problem(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = checked(capsys, written(folder, [record(0), record(0)]))
    assert (code, found["repeated_identities"]) == (0, 1)


def test_a_detector_hears_what_is_not_declared(
    folder: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    import parrot_adapters as pa

    class Detecting:
        def __init__(self, tokenizer: Any) -> None:
            self.tokenizer = tokenizer

        def __call__(self, ids: Any, mask: Any) -> list[str | None]:
            texts = [self.tokenizer.decode(row[m].tolist()) for row, m in zip(ids, mask, strict=True)]
            return ["tr" if "Bu" in text else None for text in texts]

    class Plugin:
        @pa.hookimpl
        def register_detectors(self, register: Any) -> None:
            register("bu", Detecting)

    name = pa.plugins.register(Plugin(), "bu-plugin")
    request.addfinalizer(lambda: pa.plugins.manager.unregister(name))
    path = written(folder, [record(0), record(1, "<image>👍"), record(2, language="ar")])
    code, found = checked(capsys, path, "--detector", "bu")
    assert (code, found["detected"], found["languages"]) == (0, {"tr": 1, "unknown": 1}, {"unknown": 2, "ar": 1})


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["check", "/nowhere/data.json"], 2, "no such file"),
        (["check", "FILE", "--format", "lava"], 2, "Did you mean 'llava'"),
        (["check", "FILE", "--processor", "/nowhere"], 2, "processor cannot be loaded"),
        (["check", "FILE", "--detector", "nobody"], 2, "no detector named"),
        (["fetch", "parot"], 2, "Did you mean 'parrot'"),
        (["fetch", "parrot", "--only", "sharegpt4v-sft-tk"], 2, "Did you mean 'sharegpt4v-sft-t"),
    ],
)
def test_bad_usage(folder: Path, argv: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(folder, [record(0)])
    assert main(["data", *(path if arg == "FILE" else arg for arg in argv)]) == code
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["look"], ["check"], ["check", "a", "--limit", "x"]])
def test_argparse_says_the_rest(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["data", *argv])
    assert caught.value.code == 2


def test_a_file_that_cannot_be_read_is_a_failure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "data.json").write_text('{"one": "object"}')
    assert main(["data", "check", str(folder / "data.json")]) == 1
    assert "one JSON object instead of a list" in capsys.readouterr().err


# -- fetch ----------------------------------------------------------------------------------------------------------


class Hub:
    """Stands for huggingface_hub: holds files, counts downloads."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.downloads, self.declared, self.breaks = files, 0, dict(files), False

    def HfApi(self) -> Hub:
        return self

    def get_paths_info(self, dataset: str, path: str, repo_type: str) -> list[Any]:
        content = self.declared[path]
        return [SimpleNamespace(size=len(content), lfs=SimpleNamespace(sha256=hashlib.sha256(content).hexdigest()))]

    def hf_hub_download(self, dataset: str, path: str, repo_type: str, local_dir: str) -> str:
        self.downloads += 1
        target = Path(local_dir) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.files[path][: 3 if self.breaks else None])
        if self.breaks:
            raise OSError("the line went dead")
        return str(target)


FILE = PublishedFile("small", 2, "tr", 1, "owner/set", "folder/small.json", None, "MIT", "nowhere")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub({"folder/small.json": b"[1, 2, 3]"})
    monkeypatch.setattr("parrot_adapters.data.fetch._hub", lambda: made)
    return made


def test_a_file_is_fetched_once_and_checked(hub: Hub, tmp_path: Path) -> None:
    for new in (True, False):
        (fetched,) = fetch([FILE], tmp_path / "out")
        assert (fetched.path.read_bytes(), fetched.new, hub.downloads) == (b"[1, 2, 3]", new, 1)
        assert "sha256 as the Hub declares" in fetched.checked
        assert "md5 unknown" in fetched.checked
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small.json"]


def test_a_published_md5_is_checked(hub: Hub, tmp_path: Path) -> None:
    from dataclasses import replace

    right = hashlib.md5(b"[1, 2, 3]", usedforsecurity=False).hexdigest()
    assert "md5 as published" in fetch([replace(FILE, md5=right)], tmp_path)[0].checked
    with pytest.raises(DataError, match="md5 differs"):
        fetch([replace(FILE, md5="0" * 32)], tmp_path)


@pytest.mark.parametrize("fault", ["breaks", "other content", "other size"])
def test_nothing_half_written(hub: Hub, tmp_path: Path, fault: str) -> None:
    if fault == "breaks":
        hub.breaks = True
    else:
        hub.files = {"folder/small.json": b"[1, 2, 4]" if fault == "other content" else b"[]"}
    with pytest.raises(DataError, match="line went dead" if fault == "breaks" else "differs"):
        fetch([FILE], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_damaged_file_that_lies_there_is_noticed(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "small.json").write_bytes(b"[1, 2, 9]")  # as long as the right one
    with pytest.raises(DataError, match=r"sha256 differs(.|\n)*delete small.json"):
        fetch([FILE], tmp_path)
    (tmp_path / "small.json").write_bytes(b"[1, 2")  # cut short: fetched again
    assert fetch([FILE], tmp_path)[0].new


def test_offline_it_says_so_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fetch", "parrot", "--out", str(tmp_path / "out")]) == 1  # the tests run with HF_HUB_OFFLINE
    shown = capsys.readouterr()
    assert "the Hub is needed" in shown.err
    assert not (tmp_path / "out").exists()


def test_the_list_needs_no_hub_and_tells_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fetch", "parrot", "--list"]) == 0
    shown = capsys.readouterr().out
    for file in PARROT_DATA:
        assert file.name in shown
        assert file.path in shown or file.dataset is None
    for part in ("27,400", "CC-BY-4.0", "none declared", "md5: none published", "not found"):
        assert part in shown


def test_what_nobody_publishes_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["data", "fetch", "parrot", "--only", "laion-12k", "--out", str(tmp_path)]) == 1
    assert "nobody publishes laion-12k" in capsys.readouterr().err


def test_help_needs_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from parrot_adapters.cli import main\n"
        "main(['data', 'fetch', 'parrot', '--list'])\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0
