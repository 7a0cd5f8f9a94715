"""Adapters to and from the Hub: its own client against a server of the same HTTP interface, on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from support.adapters import disturb, logits, tiny_host, two_prompts

import parrot_adapters as pa
from parrot_adapters.errors import CheckpointError, ConfigError

INPUTS = two_prompts()
TOKEN = "hf_of_this_test"


class Hub(ThreadingHTTPServer):
    """Repositories as branches of files, all of them private: who has no token is told that there is nothing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.made: list[dict[str, Any]] = []
        self.commits: list[str] = []


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *ignored: Any) -> None:
        """Nothing on the console."""

    def reply(self, status: int, body: bytes | Any = b"", **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def missing(self, code: str) -> None:
        self.reply(404, b"", X_Error_Code=code)

    @property
    def words(self) -> list[str]:
        return self.path.split("?")[0].strip("/").split("/")

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.reply(401, {"error": "Invalid username or password."})
        words, repositories = self.words, self.server.repositories
        if words == ["api", "repos", "create"]:
            given = json.loads(raw)
            self.server.made.append(given)
            name = "/".join(filter(None, [given.get("organization"), given["name"]]))
            repositories.setdefault(name, {"main": {}})
            return self.reply(200, {"url": f"https://huggingface.co/{name}"})
        if words == ["api", "validate-yaml"]:
            return self.reply(200, {"errors": [], "warnings": []})
        name = "/".join(words[2:4])
        branches = repositories[name]
        if words[4] == "branch":
            branches.setdefault(words[5], dict(branches["main"]))
            return self.reply(200, {})
        if words[4] == "preupload":
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(raw)["files"]
            ]
            return self.reply(200, {"files": files})
        for line in raw.splitlines():
            entry = json.loads(line)
            if entry["key"] == "header":
                self.server.commits.append(entry["value"]["summary"])
            if entry["key"] == "file":
                branches[words[5]][entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        return self.reply(200, {"commitUrl": f"https://huggingface.co/{name}/commit/{'0' * 40}", "commitOid": "0" * 40})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        words = self.words
        api = words[0] == "api"
        name, revision = "/".join(words[2:4] if api else words[:2]), words[5] if api and len(words) > 5 else "main"
        if not api:
            revision = words[3]
        branches = self.server.repositories.get(name)
        if branches is None or self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.missing("RepoNotFound")
        by_commit = {sha(branch): branch for branch in branches}
        files = branches.get(by_commit.get(revision, revision))
        if files is None:
            return self.missing("RevisionNotFound")
        commit = sha(by_commit.get(revision, revision))
        if words[4:5] == ["tree"]:
            listed = ({"type": "file", "path": path, "size": len(held), "oid": "0"} for path, held in files.items())
            return self.reply(200, list(listed))
        if api:
            siblings = [{"rfilename": path} for path in files]
            return self.reply(200, {"id": name, "sha": commit, "siblings": siblings, "private": True})
        content = files.get("/".join(words[4:]))
        if content is None:
            return self.missing("EntryNotFound")
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        return self.reply(200, content, ETag=etag, X_Repo_Commit=commit)


def sha(branch: str) -> str:
    return hashlib.sha1(branch.encode()).hexdigest()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants

    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    for name, value in {
        "ENDPOINT": address,
        "HUGGINGFACE_CO_URL_TEMPLATE": template,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_OFFLINE": False,
    }.items():
        monkeypatch.setattr(constants, name, value)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def handle(small: Any) -> pa.Attachment:
    made = pa.attach(tiny_host(), small)
    disturb(made)
    made.add_adapter("second", small, train_projector=True)
    made.set_adapter("second")
    disturb(made, 2)
    return made


def test_there_and_back(hub, handle) -> None:
    wanted = logits(handle.model, INPUTS)
    handle.push_to_hub("somebody/tr", private=True, token=TOKEN, commit_message="Turkish, first try")
    assert hub.made[0]["visibility"] == "private"
    assert hub.commits == ["Turkish, first try"]
    fresh = tiny_host()
    pa.load_adapter(fresh, "somebody/tr", token=TOKEN)
    assert torch.equal(logits(fresh, INPUTS), wanted)
    beside = pa.attach(tiny_host())
    beside.load_adapter("somebody/tr", "tr", token=TOKEN)
    beside.set_adapter("tr")
    assert torch.equal(logits(beside.model, INPUTS), wanted)


def test_branches_and_subfolders(hub, handle) -> None:
    handle.push_to_hub("somebody/both", token=TOKEN, revision="later", path_in_repo="adapters/second")
    with handle.switched_to("default"):
        first = logits(handle.model, INPUTS)
    second = logits(handle.model, INPUTS)
    handle.push_to_hub("somebody/both", name="default", token=TOKEN)
    assert handle.active_adapter == "second"
    for wanted, options in ((first, {}), (second, {"revision": "later", "subfolder": "adapters/second"})):
        fresh = tiny_host()
        pa.load_adapter(fresh, "somebody/both", token=TOKEN, **options)
        assert torch.equal(logits(fresh, INPUTS), wanted)


def test_the_card(hub, handle) -> None:
    """The host by its Hub name, what its owner says, and no path of this machine."""
    handle.model.config._name_or_path = str(Path(__file__).parent)
    facts = {
        "languages": ["tr", "ar"],
        "data": ["somebody/pairs"],
        "licence": "apache-2.0",
        "results": {"MMMB tr": 61.5},
    }
    handle.push_to_hub("somebody/tr", token=TOKEN, **facts)
    card = hub.repositories["somebody/tr"]["main"]["README.md"].decode()
    for said in ("- tr\n- ar\n", "- somebody/pairs\n", "license: apache-2.0\n", "| MMMB tr | 61.5 |"):
        assert said in card
    assert "base_model:" not in card
    assert str(Path(__file__).parent) not in card
    handle.model.config._name_or_path = "llava-hf/llava-1.5-7b-hf"
    hub.repositories["somebody/tr"]["main"]["README.md"] = (card + "\nMy own words.\n").encode()
    handle.push_to_hub("somebody/tr", token=TOKEN)
    card = hub.repositories["somebody/tr"]["main"]["README.md"].decode()
    assert "base_model: llava-hf/llava-1.5-7b-hf\n" in card
    assert "My own words." in card
    assert "license: apache-2.0\n" in card


def test_what_is_not_there_is_said(hub, handle, tmp_path) -> None:
    handle.push_to_hub("somebody/tr", token=TOKEN)
    for name, options in (
        ("somebody/other", {"token": TOKEN}),
        ("somebody/tr", {"token": False}),
        ("somebody/tr", {"token": TOKEN, "revision": "nowhere"}),
    ):
        with pytest.raises(CheckpointError, match=r"the Hub has not given it(.|\n)*token="):
            pa.load_adapter(tiny_host(), name, **options)
    with pytest.raises(CheckpointError, match="not an adapter directory"):
        pa.load_adapter(tiny_host(), "somebody/tr", token=TOKEN, subfolder="nothing")
    with pytest.raises(ConfigError, match="names a version on the Hub"):
        pa.load_adapter(tiny_host(), tmp_path, revision="main")
    with pytest.raises(ConfigError, match="must be a folder inside"):
        pa.load_adapter(tiny_host(), tmp_path, subfolder="../elsewhere")
