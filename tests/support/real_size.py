"""The whole life of an adapter on a host of real dimensions, few layers and random weights, in a process of its own.

python tests/support/real_size.py llava        a line of JSON for each step: CPU seconds, peak memory so far in GiB
"""

from __future__ import annotations

import gc
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from PIL import Image
from torch import Tensor
from transformers.initialization import no_init_weights

import parrot_adapters as pa
from parrot_adapters.testing import small_processor

sys.path.insert(0, str(Path(__file__).parents[1]))
from support import benchmark_files, chat_processors
from support.real_architectures import CLIP_LARGE_336, gemma3_4b, llava_1_5_7b, qwen2_5_vl_7b

GIB = 2**30
CONFIG = {"placement": "both", "num_experts": 2}
"""Both placements in one life; two experts of the paper's width. Six are attached, saved and loaded once, on LLaVA."""


def peak() -> int:
    """Bytes of memory that this process has held at most. What getrusage says may be of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]


@contextmanager
def step(name: str, **facts: Any) -> Iterator[dict[str, Any]]:
    """Say what a step cost."""
    start = time.process_time()
    yield facts
    cpu = round(time.process_time() - start, 1)
    print(json.dumps({"step": name, "cpu": cpu, "peak": round(peak() / GIB, 2)} | facts), flush=True)


@torch.no_grad()
def draw(model: torch.nn.Module) -> None:
    """Weights at a scale at which inputs matter, without a draw for each of thousands of millions of numbers."""
    drawn = torch.randn(2**20 - 3, generator=torch.Generator().manual_seed(0))
    for name, parameter in model.named_parameters():
        flat = parameter.view(-1)
        scale = parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.0
        repeated = (drawn * scale).to(parameter.dtype)
        for start in range(0, len(flat) if scale else 0, len(repeated)):
            flat[start : start + len(repeated)] = repeated[: len(flat) - start]
        if not scale:  # Gemma's own norms multiply by one more than their weight; its vision tower's do not
            from_one = "gemma" in type(model).__name__.lower() and "vision_tower" not in name
            flat.fill_(1.0 if name.endswith("weight") and not from_one else 0.0)


def build(config: Any, architecture: str) -> Any:
    """A host in bfloat16."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with no_init_weights():
            model = getattr(transformers, architecture)(config)
    finally:
        torch.set_default_dtype(before)
    draw(model)
    model.generation_config.pad_token_id = 0
    model.generation_config.eos_token_id = None
    model.get_output_embeddings().register_forward_pre_hook(as_own_rows)
    return model.eval()


def as_own_rows(head: torch.nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
    """The last token of a prompt is a slice with the prompt's strides, and torch multiplies that by a frozen matrix in
    bfloat16 without its fast kernels on a CPU: 13 s instead of 0.1 at Qwen's vocabulary, with an adapter or without.
    """
    (rows,) = given
    return (torch.empty_like(rows, memory_format=torch.contiguous_format).copy_(rows),)


@dataclass(frozen=True)
class Host:
    """A host of real widths, vocabulary and vision tower, with a processor whose tokenizer knows bytes."""

    architecture: str
    config: Any
    processor: Any

    def build(self) -> Any:
        """The same weights every time."""
        return build(self.config, self.architecture)

    def inputs(self) -> dict[str, Tensor]:
        """A question about a picture, in words from the end of the vocabulary."""
        content = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        made = dict(self.processor(text=[text], images=[[PICTURE]], return_tensors="pt"))
        ids = made["input_ids"]
        is_word = ids >= len(self.processor.tokenizer.added_tokens_decoder)
        made["input_ids"] = torch.where(is_word, self.config.get_text_config().vocab_size - ids, ids)
        made["pixel_values"] = made["pixel_values"].bfloat16()
        return made


PICTURE = Image.effect_noise((128, 96), 60).convert("RGB")


def llava() -> Host:
    """LLaVA-1.5-7B: width 4096, CLIP-L/14-336, 576 visual tokens, a vocabulary of 32,064."""
    config = llava_1_5_7b()
    config.text_config.num_hidden_layers, config.vision_config.num_hidden_layers = 1, 2
    processor = small_processor(SimpleNamespace(config=config))  # type: ignore[arg-type]  # it reads the config only
    return with_its_ids(Host("LlavaForConditionalGeneration", config, processor), image_token_id="<image>")


def qwen() -> Host:
    """Qwen2.5-VL-7B: width 3584, a vocabulary of 152,064, pictures of their own size."""
    config = qwen2_5_vl_7b()
    config.text_config.num_hidden_layers, config.vision_config.depth = 1, 1
    config.text_config.layer_types = config.text_config.layer_types[:1]
    made = Host(
        "Qwen2_5_VLForConditionalGeneration", config, chat_processors.qwen2_vl(patch=14, pixels=(56**2, 112**2))
    )
    ids = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>", "vision_start_token_id":
           "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}  # fmt: skip
    return with_its_ids(made, **ids)


def gemma() -> Host:
    """Gemma 3 4B: width 2560, a vocabulary of 262,208, SigLIP at 896 pixels, 256 visual tokens."""
    config = gemma3_4b()
    config.text_config.num_hidden_layers, config.vision_config.num_hidden_layers = 1, 1
    config.text_config.layer_types = config.text_config.layer_types[:1]
    made = Host("Gemma3ForConditionalGeneration", config, chat_processors.gemma3(side=896, tokens=256))
    return with_its_ids(made, image_token_id="<image_soft_token>", boi_token_index="<start_of_image>")


def with_its_ids(host: Host, **tokens: str) -> Host:
    """A host whose config names the ids that its tokenizer gives."""
    for name, token in tokens.items():
        setattr(host.config, name, host.processor.tokenizer.convert_tokens_to_ids(token))
    return host


def drop(handle: Any) -> None:
    """Give the memory of a host back to the next one."""
    handle.detach()
    handle.model.to("meta")
    gc.collect()


def life(name: str, made: Host, work: Path) -> None:
    """Attach, train, generate and save; on a fresh host load, answer alike, evaluate and be tested."""
    inputs = made.inputs()
    with step(f"{name}: host") as facts:
        host = made.build()
        with torch.inference_mode():
            bare = host(**inputs, logits_to_keep=1).logits[:, -1]
        facts["millions"] = millions(host)
    with step(f"{name}: attach") as facts:
        handle = pa.attach(host, CONFIG)
        facts |= {"millions": millions(handle), "width": handle.parts.width, "tokens": inputs["input_ids"].shape[1]}
    with step(f"{name}: train a step"):
        optimizer = torch.optim.SGD(handle.parameters(), lr=1.0)
        labels = inputs["input_ids"].masked_fill(inputs["input_ids"] == host.config.image_token_id, -100)
        before = [parameter.detach().clone() for parameter in handle.parameters()]
        host(**inputs, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        assert any(not torch.equal(new, old) for new, old in zip(handle.parameters(), before, strict=True))
        del before
    with step(f"{name}: generate"), torch.inference_mode():
        asked = {"max_new_tokens": 2, "min_new_tokens": 2, "do_sample": False, "output_logits": True}
        answer = host.generate(**inputs, **asked, return_dict_in_generate=True)
        assert not torch.equal(bare.float(), answer.logits[0].float()), "the adapter does nothing"
    with step(f"{name}: save"):
        handle.save_pretrained(work / name)
    with step(f"{name}: detached"), torch.inference_mode():
        handle.detach()
        assert torch.equal(host(**inputs, logits_to_keep=1).logits[:, -1], bare)
    drop(handle)
    with step(f"{name}: load on a fresh host") as facts:
        host = made.build()
        handle = pa.load_adapter(host, work / name, strict=True)
        facts["gigabytes"] = gigabytes(work / name)
    with step(f"{name}: the same answer"), torch.inference_mode():
        again = host.generate(**inputs, **asked, return_dict_in_generate=True)
        assert torch.equal(again.sequences, answer.sequences)
        assert all(torch.equal(now, then) for now, then in zip(again.logits, answer.logits, strict=True))
    evaluated(name, host, made.processor, handle, work)
    with step(f"{name}: self-test"):
        pa.self_test(handle, inputs)
    drop(handle)


def evaluated(name: str, host: Any, processor: Any, handle: Any, work: Path) -> None:
    """A question of a benchmark in two languages."""
    from parrot_adapters.evaluation.answers.evaluate import evaluate
    from parrot_adapters.evaluation.answers.evaluation_config import EvaluationConfig
    from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost

    data = benchmark_files.save_benchmark(work / "data", questions=1, languages=("en", "ar"))
    asked = EvaluationConfig(
        model="real-size", benchmark="mmmb", data=str(data), protocol="vlmevalkit-2025", out=str(work / f"{name} out"),
        batch_size=1, max_new_tokens=2,
    )  # fmt: skip
    with step(f"{name}: evaluate") as facts:
        facts["questions"] = evaluate(asked, host=EvaluationHost(host, processor, handle)).made
    assert facts["questions"] == 2


def standard(made: Host, work: Path) -> None:
    """The standard adapter, its six experts: attached, saved, and loaded to the same bits."""
    with step("llava: attach the standard adapter") as facts:
        handle = pa.attach(made.build())
        facts |= {"millions": millions(handle), "width": handle.parts.width}
    with torch.no_grad():
        draw(handle.module)
    with step("llava: save it") as facts:
        handle.save_pretrained(work / "standard")
        facts["gigabytes"] = gigabytes(work / "standard")
    with step("llava: load it"):
        host, module = handle.model, handle.module
        handle.detach()
        loaded = pa.load_adapter(host, work / "standard", strict=True)
    pairs = zip(loaded.module.state_dict().values(), module.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    drop(loaded)


def millions(held: Any) -> int:
    return round(sum(parameter.numel() for parameter in held.parameters()) / 1e6)


def gigabytes(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e9, 2)


def write_reference(source: Path, largest: int) -> None:
    """A released checkpoint of 1.4 GB as the original code writes it, in shards of a bounded size."""
    from parrot_adapters.hosts.tensor_files import TensorSource
    from parrot_adapters.hosts.weight_files import write_shards

    width, hidden, vocabulary, experts, inner = 4096, 11008, 32000, 6, 2560
    vision = {**CLIP_LARGE_336, "num_hidden_layers": 2}
    values = {
        "model_type": "parrot_qwen2", "mm_vision_tower": "tower", "mm_hidden_size": 1024, "mm_projector_type":
        "mlp2x_gelu", "mm_vision_select_layer": -2, "mm_vision_select_feature": "cls_patch", "num_experts": experts,
        "moe_hidden_size": width, "moe_intermediate_size": inner, "hidden_size": width, "vocab_size": vocabulary,
        "num_hidden_layers": 1, "num_attention_heads": 32, "num_key_value_heads": 32, "intermediate_size": hidden,
    }  # fmt: skip
    (source / "tower").mkdir(parents=True)
    (source / "config.json").write_text(json.dumps(values))
    (source / "tower" / "config.json").write_text(json.dumps(vision))
    with torch.device("meta"):
        tower = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**vision))
        text = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**{k: values[k] for k in (
            "hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
            "intermediate_size")}))  # fmt: skip
    inside = "model.vision_tower.vision_tower.vision_model."
    shapes = {f"{inside}{n.removeprefix('vision_model.')}": v.shape for n, v in tower.state_dict().items()}
    shapes |= {n: v.shape for n, v in text.state_dict().items()}
    for number, columns in ((0, 1024), (2, width)):
        shapes[f"model.mm_projector.{number}.weight"] = torch.Size((width, columns))
        shapes[f"model.mm_projector.{number}.bias"] = torch.Size((width,))
    shapes["model.moe_model.gate.weight"] = torch.Size((experts, width))
    for i in range(experts):
        for part, shape in (("gate", (inner, width)), ("up", (inner, width)), ("down", (width, inner))):
            shapes[f"model.moe_model.experts.{i}.{part}_proj.weight"] = torch.Size(shape)
    drawn = (torch.randn(2**20, generator=torch.Generator().manual_seed(0)) / 64).bfloat16()

    def pieces(numbers: int) -> Iterator[Tensor]:
        for start in range(0, numbers, len(drawn)):
            yield drawn[: numbers - start]

    def random(shape: torch.Size) -> TensorSource:
        return TensorSource(drawn.dtype, tuple(shape), lambda: pieces(shape.numel()))

    write_shards(source, {name: random(shape) for name, shape in shapes.items()}, largest)


def imported(work: Path) -> None:
    """Import a released checkpoint, load what came of it, and ask it something."""
    from transformers import LlavaForConditionalGeneration

    from parrot_adapters.original.import_checkpoint import import_reference

    source, out = work / "source", work / "out"
    with step("import: write the checkpoint") as facts:
        write_reference(source, 2**28)
        shards = [path.stat().st_size for path in source.glob("*.safetensors")]
        facts |= {"gigabytes": round(sum(shards) / 1e9, 2), "largest_shard": max(shards)}
    before = peak()
    with step("import: import") as facts:
        import_reference(source, out, shard_bytes=2**28)
        facts["above"] = peak() - before
    shutil.rmtree(source)
    with step("import: load"):
        host = LlavaForConditionalGeneration.from_pretrained(out / "host").eval()
        handle = pa.load_adapter(host, out / "adapter", strict=True)
    with step("import: answer"), torch.inference_mode():
        token = host.config.image_token_id
        ids = torch.tensor([[1, *range(300, 310), *[token] * 577, *range(400, 405)]])
        pixels = torch.randn(1, 3, 336, 336, generator=torch.Generator().manual_seed(1)).bfloat16()
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}
        logits = host(**inputs).logits
        assert bool(logits.isfinite().all())
        with handle.disabled():
            assert not torch.equal(host(**inputs).logits, logits)


def main(name: str) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        if name == "import":
            imported(Path(place))
        else:
            made = {"llava": llava, "qwen": qwen, "gemma": gemma}[name]()
            if name == "llava":
                standard(made, Path(place))
            life(name, made, Path(place))


if __name__ == "__main__":
    main(sys.argv[1])
