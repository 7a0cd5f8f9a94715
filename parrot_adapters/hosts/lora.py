"""Stock LoRA of peft on the host's language model, and only there; put on, taken off and stored with the adapter."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from parrot_adapters.errors import CheckpointError, ConfigError, HostError, explain
from parrot_adapters.hosts.adapter_switch import AdapterSwitch, BareInBlocks
from parrot_adapters.hosts.host_parts import HostParts
from parrot_adapters.hosts.hub_name import hub_name
from parrot_adapters.hosts.lora_settings import PEFT_PREFIX, LoraPlan, checked_config, plan_lora
from parrot_adapters.hosts.offloaded_weights import running_device

__all__ = [
    "NAME",
    "LanguageModelLora",
    "is_own_lora",
    "lora_arguments",
    "stored_names",
]

NAME = "parrot_lm"  # peft's name for this set of LoRA weights; peft looks for it anywhere in a parameter's name
# Settings that say where LoRA came from, how it began and how it trains, not what it computes. Which layers it is on is
# compared by name, however that was written.
NOT_COMPUTED = (
    *("task_type", "peft_type", "peft_version", "auto_mapping", "base_model_name_or_path", "revision"),
    *("inference_mode", "runtime_config", "lora_dropout", "init_lora_weights"),
    *("loftq_config", "eva_config", "corda_config", "lora_ga_config"),
    *("target_modules", "exclude_modules", "layers_pattern"),
)


def is_own_lora(name: str) -> bool:
    """Whether a name in a host's state dict is a LoRA weight of the adapter."""
    return ".lora_" in name and f".{NAME}" in name


def stored_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The adapter's LoRA weights in a host's state dict, under the names a standard peft directory uses."""
    found = {}
    for name, value in state.items():
        if is_own_lora(name):
            stored = f"{PEFT_PREFIX}{name.replace(f'.{NAME}', '')}"
            # peft stores DoRA's magnitudes without their last level.
            found[stored.removesuffix(".weight") if ".lora_magnitude_vector" in stored else stored] = value
    return found


def lora_arguments(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of LoraConfig behind peft's own JSON; fields that a newer peft added are left to its defaults.

    Not ``inference_mode``, which freezes: a loaded adapter can be trained further.
    """
    from dataclasses import fields

    from peft import LoraConfig

    known = {f.name for f in fields(LoraConfig) if f.init}
    return {k: v for k, v in stored.items() if k in known - {"peft_type", "inference_mode"} and v is not None}


@dataclass(frozen=True, eq=False)
class _Aside:
    """LoRA that is not on its host: peft's layers by name, and what peft keeps of them on the model."""

    layers: dict[str, Any]
    peft_config: Any


class LanguageModelLora:
    """LoRA layers on a host's language model.

    Args:
        parts: the host.
        config: a ``peft.LoraConfig`` or its keyword arguments. ``target_modules`` as a list names layers of the
            language model; ``None`` or ``"all-linear"`` takes all its linear layers; a string is a regular expression
            over the host's full module names, as in peft.
        seed: of the initial weights; the global random state is never touched.

    Raises:
        ConfigError: the config is not plain LoRA, or its targets lie outside the language model or do not exist.
        HostError: the host has no known language-model path, or carries peft layers already.
    """

    def __init__(self, parts: HostParts, config: Any, seed: int = 0) -> None:
        from peft import inject_adapter_in_model

        plan = self.plan(parts, config)
        self.model = parts.outer
        self.config = plan.config
        self._aside: _Aside | None = None
        # peft freezes the whole host on injection; what was trainable stays the user's business.
        trainable = [(p, p.requires_grad) for p in parts.outer.parameters()]
        try:
            with torch.random.fork_rng(devices=[]):  # peft draws on the CPU
                torch.default_generator.manual_seed(seed)
                inject_adapter_in_model(plan.for_peft(), parts.outer, NAME)
        except ValueError as error:
            raise ConfigError(explain("lora found nothing to adapt.", peft_says=error)) from error
        for parameter, flag in trainable:
            parameter.requires_grad_(flag)
        for _, layer in _lora_layers(parts.outer):  # peft makes dropout that drops, whatever mode the host is in
            layer.train(layer.get_base_layer().training)

    @staticmethod
    def plan(parts: HostParts, config: Any) -> LoraPlan:
        """Check settings against a host, which is left alone; arguments and errors as for the class."""
        if parts.language_model is None:
            raise HostError(f"no language model found in {type(parts.outer).__name__}; declare its path in a HostSpec")
        if any(_lora_layers(parts.outer)):
            raise HostError("the host carries peft layers already; merge or unload them before attaching LoRA")
        return plan_lora(parts, config)

    def parameters(self) -> Iterator[nn.Parameter]:
        """The LoRA weights."""
        return (parameter for _, parameter in self._named_parameters())

    def install(self, switch: AdapterSwitch) -> None:
        """Let the layers compute the bare layer, bit for bit, inside the blocks of a switch."""
        for _, layer in _lora_layers(self.model):
            BareInBlocks(layer, layer.get_base_layer(), switch).put()

    def enable(self, *, on: bool) -> None:
        """Switch the layers on or off for the whole process; off computes the bare layer, bit for bit."""
        for _, layer in _lora_layers(self.model):
            flags = [p.requires_grad for p in layer.parameters()]
            layer.enable_adapters(on)
            for parameter, flag in zip(layer.parameters(), flags, strict=True):
                parameter.requires_grad_(flag)

    def remove(self) -> None:
        """Put the host's own layers back."""
        for name, layer in list(_lora_layers(self.model)):
            parent, _, child = name.rpartition(".")
            setattr(self.model.get_submodule(parent), child, layer.get_base_layer())
        if hasattr(self.model, "peft_config"):
            del self.model.peft_config

    def set_aside(self) -> None:
        """Take the layers off the host, whole, for :meth:`come_back`."""
        self._aside = _Aside(dict(_lora_layers(self.model)), self.model.peft_config)
        self.remove()

    def come_back(self) -> None:
        """Put the very layers that were set aside around the host's own again, wherever those have been moved."""
        if self._aside is None:
            return
        kept, self._aside = self._aside, None
        for name, layer in kept.layers.items():
            parent, _, child = name.rpartition(".")
            base = layer.get_base_layer()
            layer.train(base.training)
            device = running_device(base, base.weight)
            if any(p.device != device for name, p in layer.named_parameters() if "lora_" in name):
                layer.to(device)
            setattr(self.model.get_submodule(parent), child, layer)
        self.model.peft_config = kept.peft_config

    @property
    def layers(self) -> dict[str, Any]:
        """peft's layers by the names they have in the host, on it or set aside."""
        return dict(_lora_layers(self.model)) if self._aside is None else self._aside.layers

    @staticmethod
    def bare_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A host's state dict without LoRA weights, and under the names it has without LoRA layers."""
        return {name.replace(".base_layer.", "."): value for name, value in state.items() if ".lora_" not in name}

    def state_dict(self) -> dict[str, Tensor]:
        """Weights under the names a standard peft directory uses."""
        from peft.utils import get_peft_model_state_dict

        found = get_peft_model_state_dict(self.model, adapter_name=NAME, save_embedding_layers=False)
        return {f"{PEFT_PREFIX}{name}": value.detach() for name, value in found.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load what :meth:`state_dict` gave.

        Raises:
            CheckpointError: names or shapes differ.
        """
        mine = self.state_dict()
        if mine.keys() != state.keys() or any(mine[k].shape != state[k].shape for k in mine):
            different = sorted(k for k in mine.keys() | state.keys() if k not in mine or k not in state)
            raise CheckpointError(explain("llm_lora/ does not fit this host.", differing=different[:5] or "shapes"))
        with torch.no_grad():
            for name, parameter in self._named_parameters():
                stored = f"{PEFT_PREFIX}{name.replace(f'.{NAME}', '')}"
                # peft stores DoRA's magnitudes without their last level.
                parameter.copy_(state[stored] if stored in state else state[stored.removesuffix(".weight")])

    def differences(self, settings: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, str]:
        """In what stored LoRA is another than this: setting -> both values. Empty where its weights fit.

        Args:
            settings: arguments of LoraConfig (:func:`lora_arguments`).
            state: its weights, named as :meth:`state_dict` names them.

        Raises:
            ConfigError: the settings are no LoRA.
        """
        there, here = checked_config(settings).to_dict(), self.config.to_dict()
        found = {
            name: f"there {there.get(name)!r}, here {value!r}"
            for name, value in here.items()
            if name not in NOT_COMPUTED and value != there.get(name)
        }
        theirs, mine = _layer_names(state), _layer_names(self.state_dict())
        if theirs != mine:
            found["target_modules"] = f"there {there['target_modules']!r}, here {here['target_modules']!r}"
            found |= {
                f"only_{where}": f"{', '.join(sorted(names)[:3])}{' ...' if len(names) > 3 else ''}"
                for where, names in (("there", theirs - mine), ("here", mine - theirs))
                if names
            }
        return found

    @torch.no_grad()
    def merge(self) -> None:
        """Add it to the host's own weights, for good, and take the layers off.

        Summed in float32 and rounded once, to the dtype of the host's layer.
        """
        for _, layer in _lora_layers(self.model):
            base = layer.get_base_layer()
            dtype = base.weight.dtype
            layer.float()
            layer.merge(safe_merge=True, adapter_names=[NAME])
            base.to(dtype)
        self.remove()

    def _named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        for path, layer in self.layers.items():
            for name, parameter in layer.named_parameters():
                if "lora_" in name:
                    yield f"{path}.{name}", parameter

    def stored_config(self) -> dict[str, Any]:
        """Its settings as peft writes them to JSON; the host by its Hub name, if it has one."""
        config = copy.deepcopy(self.config)
        config.inference_mode = True
        config.base_model_name_or_path = hub_name(self.model.config)
        return {name: sorted(v) if isinstance(v, set) else v for name, v in config.to_dict().items()}


def _layer_names(state: Mapping[str, Tensor]) -> set[str]:
    return {name.removeprefix(PEFT_PREFIX).partition(".lora_")[0] for name in state}


def _lora_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in model.named_modules():
        if isinstance(module, BaseTunerLayer):
            yield name, module
