"""The whole life of an adapter on a host of real dimensions, few layers and random weights, in a process of its own.

python tests/support/real_size.py llava        a line of JSON for each step: CPU seconds, peak memory so far in GiB
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers.initialization import no_init_weights

import parrot_adapters as pa

sys.path.insert(0, str(Path(__file__).parents[1]))
from support import benchmark_files
from support.real_architectures import CLIP_LARGE_336, gemma3_4b, llava_1_5_7b, qwen2_5_vl_7b

GIB = 2**30
CONFIGS: dict[str, dict[str, Any]] = {"projector": {}, "layers": {"placement": "layers"}}
# A pass through a vocabulary of hundreds of thousands takes seconds, a self-test sixteen passes.
PLACEMENTS = {"llava": ("projector", "layers"), "qwen": ("projector",), "gemma": ("layers",)}


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
    return model.eval()


def ids_of(parts: list[list[int]]) -> dict[str, Tensor]:
    ids = torch.tensor([[token for part in parts for token in part]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def llava() -> tuple[Any, dict[str, Tensor]]:
    """LLaVA-1.5-7B: width 4096, CLIP-L/14-336, a vocabulary of 32,064. The placeholder is the byte tokenizer's."""
    config = llava_1_5_7b()
    config.text_config.num_hidden_layers, config.vision_config.num_hidden_layers, config.image_token_index = 1, 2, 3
    config.image_token_id = 3
    inputs = ids_of([[1, *range(300, 330)], [3] * 576, [*range(400, 420)]])
    return build(config, "LlavaForConditionalGeneration"), inputs | {"pixel_values": pixels(1, 3, 336, 336)}


def qwen() -> tuple[Any, dict[str, Tensor]]:
    """Qwen2.5-VL-7B: width 3584, a vocabulary of 152,064, pictures of their own size."""
    config = qwen2_5_vl_7b()
    config.text_config.num_hidden_layers, config.vision_config.depth = 1, 1
    config.text_config.layer_types = config.text_config.layer_types[:1]
    inputs = ids_of([[*range(300, 330), 151652], [151655] * 16, [151653, *range(400, 420)]])
    inputs["mm_token_type_ids"] = (inputs["input_ids"] == 151655).int()
    picture = {"pixel_values": pixels(64, 3 * 2 * 14 * 14), "image_grid_thw": torch.tensor([[1, 8, 8]])}
    return build(config, "Qwen2_5_VLForConditionalGeneration"), inputs | picture


def gemma() -> tuple[Any, dict[str, Tensor]]:
    """Gemma 3 4B: width 2560, a vocabulary of 262,208, SigLIP at 896 pixels."""
    config = gemma3_4b()
    config.text_config.num_hidden_layers, config.vision_config.num_hidden_layers = 1, 1
    config.text_config.layer_types = config.text_config.layer_types[:1]
    inputs = ids_of([[2, *range(300, 330), 255999], [262144] * 256, [256000, *range(400, 420)]])
    inputs["token_type_ids"] = (inputs["input_ids"] == 262144).long()
    return build(config, "Gemma3ForConditionalGeneration"), inputs | {"pixel_values": pixels(1, 3, 896, 896)}


def pixels(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).bfloat16()


def life(name: str, host: Any, inputs: dict[str, Tensor], config: dict[str, Any], work: Path) -> Any:
    """Attach, train, generate, save, load in place; the handle of what was loaded."""
    labels = {"labels": inputs["input_ids"].masked_fill(inputs["input_ids"] > 250_000, -100)}
    with step(f"{name}: attach") as facts:
        handle = pa.attach(host, config)
        facts["millions"] = round(sum(p.numel() for p in handle.parameters()) / 1e6)
        facts["width"] = handle.parts.width
    with step(f"{name}: train a step"):
        optimizer = torch.optim.SGD(handle.parameters(), lr=1.0)
        for _ in range(2):  # the router has a gradient where its experts are not all zero
            host(**inputs, **labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    with step(f"{name}: generate"), torch.inference_mode():
        answer = host.generate(**inputs, max_new_tokens=3, min_new_tokens=3, do_sample=False)
        wanted = host(**inputs).logits
        with handle.disabled():
            assert not torch.equal(host(**inputs).logits, wanted), "the adapter does nothing"
    with step(f"{name}: save"):
        handle.save_pretrained(work / name)
        handle.detach()
        del handle, optimizer
    with step(f"{name}: load") as facts:
        handle = pa.load_adapter(host, work / name, strict=True)
        facts["gigabytes"] = round(sum(p.stat().st_size for p in (work / name).glob("*.safetensors")) / 1e9, 2)
    with step(f"{name}: the same answers"), torch.inference_mode():
        assert torch.equal(host(**inputs).logits, wanted)
        assert torch.equal(host.generate(**inputs, max_new_tokens=3, min_new_tokens=3, do_sample=False), answer)
    return handle


def evaluated(host: Any, handle: Any, work: Path) -> None:
    """Two questions of a benchmark by log-likelihood, with pictures and processor of their own."""
    from parrot_adapters.evaluation.answers.evaluate import evaluate
    from parrot_adapters.evaluation.answers.evaluation_config import EvaluationConfig
    from parrot_adapters.evaluation.answers.transformers_host import EvaluationHost
    from parrot_adapters.testing import small_processor

    data = benchmark_files.save_benchmark(work / "data", questions=1, languages=("en", "ar"))
    asked = EvaluationConfig(
        model="real-size", benchmark="mmmb", data=str(data), protocol="vlmevalkit-2025", out=str(work / "out"),
        scoring="loglik", batch_size=1,
    )  # fmt: skip
    with step("evaluate") as facts:
        facts["questions"] = evaluate(asked, host=EvaluationHost(host, small_processor(host), handle)).made


def on_a_host(make: Callable[[], tuple[Any, dict[str, Tensor]]], work: Path) -> None:
    """The placements of a host, one after the other; the last is self-tested."""
    with step(f"{make.__name__}: host") as facts:
        host, inputs = make()
        facts["millions"] = round(sum(p.numel() for p in host.parameters()) / 1e6)
    for placement in PLACEMENTS[make.__name__]:
        handle = life(f"{make.__name__}, {placement}", host, inputs, CONFIGS[placement], work)
        if make is llava and placement == "projector":
            evaluated(host, handle, work)
        if placement == PLACEMENTS[make.__name__][-1]:
            with step(f"{make.__name__}, {placement}: self-test"):
                pa.self_test(handle, inputs)
        handle.detach()
        del handle


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
        inputs = ids_of([[1, *range(300, 310)], [token] * 577, [*range(400, 405)]])
        logits = host(**inputs, pixel_values=pixels(1, 3, 336, 336)).logits
        assert bool(logits.isfinite().all())
        with handle.disabled():
            assert not torch.equal(host(**inputs, pixel_values=pixels(1, 3, 336, 336)).logits, logits)


def main(name: str) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        if name == "import":
            imported(Path(place))
        else:
            on_a_host({"llava": llava, "qwen": qwen, "gemma": gemma}[name], Path(place))


if __name__ == "__main__":
    main(sys.argv[1])
