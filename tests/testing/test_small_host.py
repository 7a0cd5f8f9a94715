"""Small hosts: whole, offline, the same for the same seed, and without test libraries."""

from __future__ import annotations

import subprocess
import sys

import torch

import parrot_adapters as pa
from parrot_adapters.hosts.load_host import load_host
from parrot_adapters.testing import byte_tokenizer, lively_weights, save_small_host, small_llava, small_processor
from parrot_adapters.testing.small_host import IMAGE


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_one_seed_is_one_host_and_nothing_else_is_drawn():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one, same, other = small_llava(), small_llava(), small_llava(seed=1)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(weights(one), weights(same))
    assert not torch.equal(weights(one), weights(other))


def moved_by_the_picture(host):
    """How far apart two pictures put the logits of the last token."""
    ids = torch.tensor([[50, *[IMAGE] * 16, 51]])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        one, other = (
            host(input_ids=ids, pixel_values=torch.randn(1, 3, 16, 16, generator=generator)).logits[0, -1]
            for _ in range(2)
        )
    return (one - other).abs().max()


def test_a_lively_host_sees_its_picture():
    assert moved_by_the_picture(small_llava()) > 1
    assert moved_by_the_picture(small_llava(lively=False)) < 0.5


def test_sizes_families_and_configs_are_the_callers():
    wide = small_llava(text={"model_type": "qwen2", "hidden_size": 64}, vision={"image_size": 8}, dtype=torch.bfloat16)
    assert wide.config.text_config.model_type == "qwen2"
    assert wide.get_input_embeddings().weight.shape[1] == 64
    assert wide.dtype == torch.bfloat16
    assert wide.config.image_seq_length == 4
    given = wide.config
    again = small_llava(text=given.text_config, vision=given.vision_config, dtype=torch.bfloat16)
    assert torch.equal(weights(again), weights(wide))


def test_on_disk_it_is_a_host_for_every_command(tmp_path):
    host, processor = load_host(str(save_small_host(tmp_path / "host", seed=2)), device="cpu")
    assert torch.equal(weights(host), weights(small_llava(seed=2)))
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Çok güzel, 很好"}]}]
    asked = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    from PIL import Image

    inputs = processor(text=asked, images=Image.new("RGB", (20, 12), "red"), return_tensors="pt")
    assert int((inputs["input_ids"] == IMAGE).sum()) == host.config.image_seq_length
    assert processor.tokenizer.decode(inputs["input_ids"][0]).endswith("Çok güzel, 很好<assistant>")
    pa.self_test(pa.attach(host, {"num_experts": 2, "expert_hidden_size": 8}, processor=processor), dict(inputs))


def test_the_processor_follows_the_host():
    processor = small_processor(small_llava(vision={"image_size": 8, "patch_size": 2}))
    assert processor.patch_size == 2
    assert processor.image_processor.crop_size == {"height": 8, "width": 8}


def test_merges_and_special_tokens_are_the_callers():
    made = byte_tokenizer(["<pad>", "<s>", "<x>"], [("h", "i")], add_bos=True, bos_token="<s>")
    assert made("hi<x>").input_ids == [1, 3 + 256, 2]
    assert byte_tokenizer()("hi").input_ids == [byte_tokenizer().convert_tokens_to_ids(letter) for letter in "hi"]


def test_lively_weights_leave_norms_alone():
    norm = torch.nn.LayerNorm(4)
    lively_weights(norm)
    assert torch.equal(norm.weight, torch.ones(4))


WITHOUT_HYPOTHESIS = """
import sys
sys.modules["hypothesis"] = None
from parrot_adapters.testing import save_small_host, small_llava
from parrot_adapters.errors import MissingDependencyError
assert "pytest" not in sys.modules
try:
    from parrot_adapters.testing import check_router
except MissingDependencyError as error:
    assert "pip install 'parrot_adapters[test]'" in str(error)
else:
    sys.exit("checks without Hypothesis")
"""


def test_hosts_need_no_test_library_and_checks_say_what_they_need():
    done = subprocess.run([sys.executable, "-c", WITHOUT_HYPOTHESIS], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
