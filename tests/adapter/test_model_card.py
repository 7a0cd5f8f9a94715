"""The model card: the library keeps its own part up to date and leaves the rest, which is its owner's, as it is."""

from __future__ import annotations

import json

import pytest
from huggingface_hub import ModelCard

import parrot_adapters as pa
from parrot_adapters.adapter import save
from parrot_adapters.adapter.model_card import BEGIN, END

OWNERS = """---
license: apache-2.0
language: [en, tr]
tags: [mine]
datasets:
- somebody/pictures
# a comment in the metadata
---
# Words before

{part}

## Words after

| my | table |
| --- | --- |
| 1 | 2 |
"""
WITHOUT_MARKS = """---
library_name: parrot_adapters
base_model: /home/somebody/host
tags: [parrot, multilingual, mixture-of-experts, adapter]
---
Load this adapter with parrot_adapters (not with peft or transformers alone):

```python
import parrot_adapters as pa
```

It rewrites the visual tokens of `LlavaForConditionalGeneration` as each prompt's text asks (PARROT, arXiv 2406.02539).

| router | expert | experts | hidden size | top_k | summary | text scope |
| --- | --- | --- | --- | --- | --- | --- |
| text-guided | swiglu | 6 | 4096 | None | mean | first-turn |
{after}"""


@pytest.fixture
def handle(host, small):
    return pa.attach(host, small)


def card(directory) -> str:
    return (directory / "README.md").read_bytes().decode("utf-8")


def part(text: str) -> str:
    return text[text.index(BEGIN) : text.index(END) + len(END)]


def check_owner_is_kept(handle, directory):
    """Save, let an owner write, save again: the owner's words and metadata are still there."""
    handle.save_pretrained(directory)
    (directory / "README.md").write_text(OWNERS.format(part=part(card(directory))), "utf-8")
    handle.save_pretrained(directory)
    text = card(directory)
    assert text.split("---\n", 2)[2] == OWNERS.format(part=part(text)).split("---\n", 2)[2], "the body changed"
    data = ModelCard(text).data
    assert (data.license, data.language, data.datasets) == ("apache-2.0", ["en", "tr"], ["somebody/pictures"])
    assert data.library_name == "parrot_adapters"
    assert data.tags == ["mine", "parrot", "multilingual", "mixture-of-experts", "adapter"]


def test_what_its_owner_wrote_stays(handle, tmp_path):
    check_owner_is_kept(handle, tmp_path / "adapter")


def test_the_check_bites_when_a_card_is_written_anew(handle, tmp_path, monkeypatch):
    whole = save.updated_card
    monkeypatch.setattr(save, "updated_card", lambda text, snapshot, facts: whole(None, snapshot))
    with pytest.raises(AssertionError, match="the body changed"):
        check_owner_is_kept(handle, tmp_path / "adapter")


def test_a_third_save_changes_no_byte(handle, tmp_path):
    check_owner_is_kept(handle, tmp_path / "adapter")
    before = card(tmp_path / "adapter")
    handle.save_pretrained(tmp_path / "adapter")
    assert card(tmp_path / "adapter") == before


def test_its_own_part_is_brought_up_to_date(handle, host, tmp_path):
    handle.save_pretrained(tmp_path)
    handle.detach()
    pa.attach(host, {"router": "uniform", "num_experts": 2, "expert_hidden_size": 4}).save_pretrained(tmp_path)
    text = card(tmp_path)
    assert "| uniform | swiglu | 2 | 4 |" in text
    assert "text-guided" not in text
    assert text.count(BEGIN) == text.count(END) == text.count("pa.load_adapter") == 1


def test_line_ends_stay(handle, tmp_path):
    (tmp_path / "README.md").write_bytes(b"---\r\nlicense: mit\r\n---\r\nMine.\r\n")
    handle.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_bytes().startswith(b"---\r\nlicense: mit\r\n")
    assert "\r\nMine." in card(tmp_path)


@pytest.mark.parametrize("text", ["---\nlicense: [mit\n---\nMine.\n", "---\n- a list\n---\nMine.\n"])
def test_a_card_that_cannot_be_read_is_left_and_the_adapter_saved(handle, tmp_path, text):
    (tmp_path / "README.md").write_text(text, "utf-8")
    with pytest.warns(pa.ParrotWarning, match=r"README\.md.*left as it is"):
        handle.save_pretrained(tmp_path)
    assert card(tmp_path) == text
    assert (tmp_path / "adapter_model.safetensors").is_file()


def test_a_card_without_metadata_gets_some(handle, tmp_path):
    (tmp_path / "README.md").write_text("Only words.\n", "utf-8")
    handle.save_pretrained(tmp_path)
    assert "Only words." in card(tmp_path)
    assert ModelCard(card(tmp_path)).data.library_name == "parrot_adapters"


@pytest.mark.parametrize("after", ["", "\nMy evaluation.\n"])
def test_the_part_that_had_no_marks_is_replaced(handle, tmp_path, after):
    (tmp_path / "README.md").write_text(WITHOUT_MARKS.format(after=after), "utf-8")
    handle.save_pretrained(tmp_path)
    text = card(tmp_path)
    assert text.count("pa.load_adapter") == text.count("| router |") == 1
    assert after.strip() in text
    assert "/home/somebody" not in text


def test_the_base_model_is_a_name_on_the_hub(handle, tmp_path):
    handle.model.config._name_or_path = "somebody/host"
    handle.save_pretrained(tmp_path)
    assert ModelCard(card(tmp_path)).data.base_model == "somebody/host"
    assert "from_pretrained('somebody/host')" in card(tmp_path)
    described = json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))
    assert described["base_model_name_or_path"] == "somebody/host"


def test_no_file_names_a_folder_of_this_machine(full, tmp_path):
    (tmp_path / "host").mkdir()
    full.model.config._name_or_path = str(tmp_path / "host")
    full.save_pretrained(tmp_path / "adapter")
    texts = [p for p in (tmp_path / "adapter").rglob("*") if p.suffix in (".md", ".json")]
    assert len(texts) == 3, "the card, the adapter's config and that of LoRA"
    assert [p.name for p in texts if str(tmp_path) in p.read_text("utf-8")] == []
    full.model.config._name_or_path = "somebody/host"  # the look finds a name where there is one
    full.save_pretrained(tmp_path / "named")
    assert all("somebody/host" in (tmp_path / "named" / p.relative_to(tmp_path / "adapter")).read_text() for p in texts)


def test_an_owners_base_model_stays_where_the_host_has_no_name(handle, tmp_path):
    (tmp_path / "README.md").write_text("---\nbase_model: owner/host\n---\n", "utf-8")
    handle.save_pretrained(tmp_path)
    assert ModelCard(card(tmp_path)).data.base_model == "owner/host"


def test_a_derived_adapter_keeps_the_owners_words(handle, tmp_path):
    check_owner_is_kept(handle, tmp_path / "adapter")
    pa.freeze_routing(tmp_path / "adapter", tmp_path / "out", weights=[1, 1, 1])
    text = card(tmp_path / "out")
    assert "## Words after" in text
    assert "- by: freeze-routing" in part(text)
    assert "| frozen | swiglu | 1 |" in part(text)
