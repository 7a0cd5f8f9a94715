"""What the config.json of an original PARROT checkpoint says, as configs of a LLaVA host and of an adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parrot_adapters.adapter.config import AdapterConfig
from parrot_adapters.bounded_json import read_json_object
from parrot_adapters.errors import CheckpointError, explain

__all__ = [
    "ReferenceConfig",
    "adapter_config",
    "host_config",
    "read_json",
    "read_reference_config",
    "require_plausible",
]

TEXT_MODELS = {"parrot_qwen2": "qwen2"}
PROJECTOR = "mlp2x_gelu"
LARGEST = 1e30  # a factor beyond it overflows float32
WHOLE = (
    *("num_experts", "moe_intermediate_size", "hidden_size", "vocab_size", "mm_hidden_size"),
    *("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size"),
)
REQUIRED = (
    "mm_vision_tower",
    "mm_hidden_size",
    "mm_projector_type",
    "mm_vision_select_layer",
    "mm_vision_select_feature",
    "num_experts",
    "moe_hidden_size",
    "moe_intermediate_size",
    "hidden_size",
    "vocab_size",
)


@dataclass(frozen=True)
class ReferenceConfig:
    """An original checkpoint, its configs read and found supported.

    Attributes:
        values: its ``config.json``.
        tower: the directory of its vision tower.
        vision: the tower's vision config.
    """

    values: Mapping[str, Any]
    tower: Path
    vision: Mapping[str, Any]

    @property
    def vocabulary(self) -> int:
        """Rows of the original's embedding table."""
        return int(self.values["vocab_size"])

    @property
    def tied(self) -> bool:
        """Whether the output layer shares the embedding table."""
        return bool(self.values.get("tie_word_embeddings", False))


def read_reference_config(source: Path, vision_tower: Path | None = None) -> ReferenceConfig:
    """Read and check the configs of an original checkpoint.

    Args:
        source: its directory.
        vision_tower: the directory of its vision tower; None looks where ``mm_vision_tower`` says, relative to
            ``source``.

    Raises:
        CheckpointError: not such a checkpoint, or one that a LLaVA host cannot express. All reasons are named.
    """
    if not (source / "config.json").is_file():
        raise CheckpointError(
            explain(
                f"{source} is not an original PARROT checkpoint: it has no config.json.",
                found=_listing(source),
                to_do="name the directory that holds config.json and the safetensors files",
            )
        )
    values = read_json(source / "config.json")
    missing = [key for key in REQUIRED if values.get(key) is None]
    if missing:
        raise CheckpointError(
            explain(
                f"{source} is not an original PARROT checkpoint.",
                given=f"model_type {values.get('model_type')!r}",
                missing=", ".join(missing) + " (in config.json)",
                to_do="to put a new adapter on this model, use parrot_adapters.attach",
            )
        )
    problems = _unsupported(values)
    if problems:
        raise CheckpointError(
            explain(f"{source} cannot be imported.", **{f"because_{i}": text for i, text in enumerate(problems, 1)})
        )
    tower = _find_tower(source, str(values["mm_vision_tower"]), vision_tower)
    return ReferenceConfig(values, tower, _vision_values(tower, values))


def require_plausible(reference: ReferenceConfig, tensors: int, tower_tensors: int) -> None:
    """Refuse configs that declare more layers or experts than there are tensors; even a sketch of them takes hours.

    Args:
        reference: The configs.
        tensors: Number of tensors of the checkpoint.
        tower_tensors: Number of tensors of the vision tower's own files.

    Raises:
        CheckpointError: They do.
    """
    text, vision = reference.values, reference.vision
    declared = {
        "num_hidden_layers": (text.get("num_hidden_layers") or 1, tensors),
        "num_experts": (text["num_experts"], tensors),
        "num_hidden_layers of the vision tower": (vision.get("num_hidden_layers", 12), tensors + tower_tensors),
    }
    beyond = {
        name: f"{many} declared, {held} tensors in the files" for name, (many, held) in declared.items() if many > held
    }
    if beyond:
        raise CheckpointError(explain("the weights are not those the config.json describes.", **beyond))


def adapter_config(reference: ReferenceConfig) -> AdapterConfig:
    """The adapter that computes what the original computes.

    ``moe_top_k`` is stored by the original but never used, so all experts are kept. Its output is
    ``mixture + moe_weight * tokens``, or the mixture alone without ``use_moe_residual``.
    """
    values = reference.values
    residual = values.get("moe_weight", 1.0) if values.get("use_moe_residual", True) else 0.0
    return AdapterConfig(
        router="text-guided",
        router_options={"normalize": "none"},
        expert="swiglu",
        num_experts=values["num_experts"],
        expert_hidden_size=values["moe_intermediate_size"],
        top_k=None,
        residual_scale=float(residual),
        moe_scale=1.0,
        summary="first-token",  # the projected CLS token: the host keeps it in front
        text_scope="reference",
    )


def host_config(reference: ReferenceConfig, image_token_id: int) -> Any:
    """The ``LlavaConfig`` of the host, its vocabulary large enough for the image placeholder.

    Raises:
        CheckpointError: transformers takes the values for impossible.
    """
    try:
        return _host_config(reference, image_token_id)
    except Exception as error:  # transformers has several kinds for it, none of them public
        raise CheckpointError(
            explain("the checkpoint's config.json holds values that make no model.", because=error)
        ) from error


def _host_config(reference: ReferenceConfig, image_token_id: int) -> Any:
    from dataclasses import fields

    from transformers import CLIPVisionConfig, LlavaConfig, Qwen2Config

    values = reference.values
    known = {f.name for f in fields(Qwen2Config)} | {"rope_theta", "rope_scaling"}
    foreign = {"architectures", "model_type", "transformers_version", "dtype"}
    text = Qwen2Config(**{key: values[key] for key in values.keys() & known - foreign})
    text.vocab_size = max(reference.vocabulary, image_token_id + 1)
    vision = CLIPVisionConfig(**{k: v for k, v in reference.vision.items() if k not in foreign | {"torch_dtype"}})
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=image_token_id,
        image_seq_length=(vision.image_size // vision.patch_size) ** 2 + 1,
        projector_hidden_act="gelu",
        vision_feature_select_strategy="full",
        vision_feature_layer=values["mm_vision_select_layer"],
        multimodal_projector_bias=True,
        tie_word_embeddings=reference.tied,
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: it is not valid JSON, or no object.
    """
    return read_json_object(path)


def _unsupported(values: Mapping[str, Any]) -> list[str]:
    found = []
    if values.get("model_type") not in TEXT_MODELS:
        found.append(f"model_type is {values.get('model_type')!r}; known: {', '.join(TEXT_MODELS)}")
    if not values.get("use_moe", True):
        found.append(
            "use_moe is false: the checkpoint ran without its experts (a stage 1 checkpoint; theirs are random)"
        )
    if values["mm_projector_type"] != PROJECTOR:
        found.append(f"mm_projector_type is {values['mm_projector_type']!r}; a LLaVA host has {PROJECTOR!r}")
    if values["mm_vision_select_feature"] != "cls_patch":
        found.append(
            f"mm_vision_select_feature is {values['mm_vision_select_feature']!r}; the original's experts need "
            "'cls_patch', which keeps the CLS token"
        )
    if values["moe_hidden_size"] != values["hidden_size"]:
        found.append(f"moe_hidden_size {values['moe_hidden_size']} differs from hidden_size {values['hidden_size']}")
    weight = values.get("moe_weight", 1.0)
    if not isinstance(weight, int | float) or abs(weight) > LARGEST:
        found.append(f"moe_weight is {weight!r}, not a number")
    for key in WHOLE:
        if values.get(key) is not None and not _is_whole(values[key]):
            found.append(f"{key} is {values[key]!r}, not a whole number of at least 1")
    return found


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31


def _find_tower(source: Path, named: str, given: Path | None) -> Path:
    places = [given] if given is not None else [source / named, source / Path(named).name]
    for place in places:
        if _is_file(place / "config.json"):
            return place
    raise CheckpointError(
        explain(
            f"the vision tower of {source} was not found.",
            named=f"mm_vision_tower {named!r}",
            looked_for=" and ".join(str(place / "config.json") for place in dict.fromkeys(places)),
            to_do="--vision-tower DIR names the tower's own directory (for clip-vit-large-patch14-336, the one that "
            "holds its config.json); nothing is downloaded",
        )
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _vision_values(tower: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    vision = read_json(tower / "config.json")
    if vision.get("model_type") == "clip":
        vision = vision.get("vision_config") or {}
    if not isinstance(vision, dict):
        raise CheckpointError(f"vision_config in {tower / 'config.json'} is {type(vision).__name__}, not an object")
    if vision.get("model_type") not in ("clip_vision_model", None):
        raise CheckpointError(
            explain(
                f"the vision tower in {tower} is no CLIP.",
                given=f"model_type {vision['model_type']!r}",
                because="the original's experts read the CLS token, which only CLIP towers have",
            )
        )
    width, layers = vision.get("hidden_size", 768), vision.get("num_hidden_layers", 12)
    if width != values["mm_hidden_size"]:
        raise CheckpointError(
            f"the vision tower in {tower} has width {width}; the checkpoint was made with {values['mm_hidden_size']}"
        )
    layer = values["mm_vision_select_layer"]
    if not _is_whole(layers):
        raise CheckpointError(f"num_hidden_layers in {tower / 'config.json'} is no whole number of at least 1")
    if not isinstance(layer, int) or not -layers - 1 <= layer <= layers:
        raise CheckpointError(f"mm_vision_select_layer is {layer!r}; the tower in {tower} has {layers} layers")
    return vision


def _listing(directory: Path) -> str:
    if not directory.is_dir():
        return "no such directory"
    return ", ".join(sorted(path.name for path in directory.iterdir())[:8]) or "an empty directory"
