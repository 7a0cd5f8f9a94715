"""``parrot freeze-routing`` and ``parrot grow``, and routing measured by running a host on prompts."""

from __future__ import annotations

import json

import pytest
import torch

import parrot_adapters as pa
from parrot_adapters.cli import main


def test_freeze_with_weights(save_adapter, tmp_path, capsys):
    source = save_adapter(num_experts=2)
    assert main(["freeze-routing", "--weights", "1,3", "--language", "tr", str(source), str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "0.2500, 0.7500" in told
    assert "largest difference" in told
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["adapter"]["router"] == "frozen"


def test_freeze_from_the_language_table(save_adapter, tmp_path, capsys):
    source = save_adapter(router="language-id", router_options={"languages": ["en", "tr"]}, num_experts=2)
    assert main(["freeze-routing", "--language", "tr", str(source), str(tmp_path / "out")]) == 0
    assert "0.0000, 1.0000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--language", "tr"], 2, "--prompts FILE --model DIR"),
        ([], 2, "which constant weights are meant?"),
        (["--weights", "a,b"], 2, "numbers with commas"),
        (["--prompts", "none.txt"], 2, "--prompts needs --model"),
        (["--prompts", "none.txt", "--model", "m"], 2, "cannot read the prompts"),
    ],
)
def test_freeze_refusals(save_adapter, tmp_path, capsys, arguments, status, message):
    assert main(["freeze-routing", *arguments, str(save_adapter(num_experts=2)), str(tmp_path / "out")]) == status
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_adapter_there(tmp_path, capsys):
    assert main(["freeze-routing", "--weights", "1", str(tmp_path), str(tmp_path / "out")]) == 1
    assert main(["grow", "--experts", "1", str(tmp_path), str(tmp_path / "out")]) == 1
    assert "not an adapter directory" in capsys.readouterr().err


def processor():
    """A tiny processor as LLaVA's, with a chat template, made of nothing."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import CLIPImageProcessor, LlavaProcessor, PreTrainedTokenizerFast

    words = ["[PAD]", "[BOS]", "[EOS]", "<image>", "[UNK]", "ne", "var", "burada", "?", "hangi", "renk", "USER", ":"]
    model = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    model.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=model, pad_token="[PAD]", unk_token="[UNK]")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    template = (
        "{% for m in messages %}USER : {% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }} {% endif %}{% endfor %}{% endfor %}"
    )
    images = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    return LlavaProcessor(
        images,
        tokenizer,
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )


def test_freeze_measured_over_prompts(host, save_adapter, tmp_path, capsys):
    from parrot_adapters.analysis.measure_routing import measure_routing

    source = save_adapter(num_experts=3)
    host.save_pretrained(tmp_path / "host")
    processor().save_pretrained(tmp_path / "host")
    (tmp_path / "tr.txt").write_text("burada ne var ?\n\nhangi renk ?\n")
    arguments = ["--language", "tr", "--prompts", str(tmp_path / "tr.txt"), "--model", str(tmp_path / "host")]
    assert main(["freeze-routing", *arguments, str(source), str(tmp_path / "out")]) == 0
    assert "over 2 prompts" in capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "adapter_config.json").read_text())["derived"]["weights"]
    each = [
        measure_routing(tmp_path / "host", source, [prompt], language="tr")[0]
        for prompt in ("burada ne var ?", "hangi renk ?")
    ]
    assert not torch.allclose(*each)
    assert written == pytest.approx(torch.stack(each).mean(0).tolist(), abs=1e-5)


def test_nothing_to_measure_where_the_router_reads_no_prompt(host, save_adapter, tmp_path, capsys):
    source = save_adapter(router="language-id", num_experts=3)
    host.save_pretrained(tmp_path / "host")
    processor().save_pretrained(tmp_path / "host")
    (tmp_path / "tr.txt").write_text("hangi renk ?\n")
    arguments = ["--language", "xx", "--prompts", str(tmp_path / "tr.txt"), "--model", str(tmp_path / "host")]
    assert main(["freeze-routing", *arguments, str(source), str(tmp_path / "out")]) == 2
    assert "nothing to measure" in capsys.readouterr().err


def test_grow(save_adapter, tmp_path, capsys, host):
    source = save_adapter(num_experts=2)
    assert main(["grow", "--language", "th", "--parent", "1", str(source), str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "2 -> 3: new ones are 2 for th" in told
    assert "unchanged until trained: at most" in told
    with pa.load_adapter(host, tmp_path / "out") as handle:
        assert handle.config.num_experts == 3


def test_grow_needs_a_number(save_adapter, tmp_path, capsys):
    assert main(["grow", str(save_adapter(num_experts=2)), str(tmp_path / "out")]) == 2
    assert "--experts N" in capsys.readouterr().err
