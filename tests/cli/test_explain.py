"""``parrot explain`` on a miniature host, and the pages it writes."""

from __future__ import annotations

import json
import re

import pytest
from miniatures import ADAPTER, awake

import parrot_adapters as pa
from parrot_adapters.cli import main
from parrot_adapters.hosts.load_host import load_host
from parrot_adapters.testing import byte_tokenizer, save_small_host

pillow = pytest.importorskip("PIL.Image", reason="reads a picture")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    save_small_host(folder / "host")
    host, processor = load_host(str(folder / "host"), device="cpu")
    awake(pa.attach(host, ADAPTER, processor=processor)).save_pretrained(folder / "adapter")
    pillow.new("RGBA", (20, 12), (200, 30, 30, 128)).save(folder / "red.png")
    return folder


def arguments(saved, *more):
    given = ["explain", str(saved / "red.png"), "--model", str(saved / "host"), "--adapter", str(saved / "adapter")]
    return [*given, "--prompt", "w20 w21", "--prompt", "w40 w41 w42", *more]


def test_tables_page_figure_and_numbers(saved, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    out = {kind: tmp_path / f"e.{kind}" for kind in ("html", "png", "json")}
    options = [part for kind, path in out.items() for part in (f"--{kind}", str(path))]
    languages = ("--language", "en", "--language", "-")
    assert main(arguments(saved, *languages, *options)) == 0
    shown = capsys.readouterr().out
    assert "Without one expert" in shown
    assert "w20 w21 [en]" in shown
    found = json.loads(out["json"].read_text("utf-8"))
    assert [p["language"] for p in found["prompts"]] == ["en", None]
    assert found["num_experts"] == 3
    assert isinstance(found["prompts"][0]["token"][0], str)  # written, not a number
    assert out["png"].read_bytes().startswith(b"\x89PNG")
    page = out["html"].read_text("utf-8")
    assert not re.search(r"(src|href)=\"(?!data:)", page), "the page loads something"


def test_hosts_without_image_processor_are_told_what_is_missing(saved, tmp_path, capsys):
    load_host(str(saved / "host"), device="cpu")[0].save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    assert main([*arguments(saved), "--model", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "no image processor" in said
    assert "preprocessor_config.json" in said


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--prompt", "w20 w21"), "given twice"),
        (("--language", "en"), "1 languages for 2 prompts"),
        (("--model", "/no/such/model"), "no such model directory"),
    ],
)
def test_bad_usage(saved, capsys, more, message):
    assert main(arguments(saved, *more)) == 2
    assert message in capsys.readouterr().err


def test_unreadable_picture(saved, tmp_path, capsys):
    (tmp_path / "not.png").write_text("a picture")
    argv = arguments(saved)
    argv[1] = str(tmp_path / "not.png")
    assert main(argv) == 2
    assert "picture cannot be read" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_named(saved, tmp_path, capsys):
    pytest.importorskip("jinja2")
    (tmp_path / "file").write_text("no folder")
    assert main(arguments(saved, "--html", str(tmp_path / "file" / "e.html"))) == 2
    assert f"cannot write {tmp_path / 'file' / 'e.html'}" in capsys.readouterr().err
