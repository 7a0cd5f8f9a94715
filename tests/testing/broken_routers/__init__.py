"""Deliberately broken routers, at least one for each check. Each is the good router with a single fault."""

from __future__ import annotations

from torch import nn

from parrot_adapters.testing import RouterTraits

from . import answers, invariance, modules, precision
from .good import Good

# check -> (router, traits under which exactly this check fails)
BROKEN: list[tuple[str, type[nn.Module], RouterTraits | None]] = [
    ("interface", answers.NotARouting, None),
    ("interface", precision.HalfLogits, None),
    ("interface", answers.HardCodedExperts, None),
    ("interface", answers.Unmarked, None),
    ("inputs_untouched", modules.WritesIntoText, None),
    ("inputs_untouched", modules.TurnsOnGradients, None),
    ("deterministic", modules.NoiseInEvaluation, None),
    ("deterministic", modules.NoiseOfPython, None),
    ("stateless", modules.RunningMean, None),
    ("stateless", modules.LateMemory, None),
    ("stateless", modules.Cached, None),
    ("stateless", modules.Stashed, None),
    ("weights_sum_to_one", answers.Sigmoid, None),
    ("weights_sum_to_one", answers.Negative, None),
    ("weights_sum_to_one", answers.TopOneKeepsItsShare, None),
    ("weights_sum_to_one", answers.UnbalancedInACrowd, None),
    ("training_mode", answers.DropoutOnWeights, None),
    ("active_experts", answers.TopKIgnored, None),
    ("active_experts", answers.ActiveIsALie, None),
    ("masked_values", invariance.GarbageScale, None),
    ("padding_length", invariance.MeanOverPadding, None),
    ("placeholders", invariance.AbsolutePositions, None),
    ("alone_equals_batch", invariance.BatchMean, None),
    ("alone_equals_batch", invariance.AThousandthOfTheBatch, None),
    ("alone_equals_batch", invariance.FirstLanguageRules, None),
    ("alone_equals_batch", invariance.BatchMeanInACrowd, None),
    ("alone_equals_batch_in_training", invariance.BatchMeanInTraining, None),
    ("alone_equals_batch", invariance.NextDoor, None),
    ("item_order", invariance.FirstComeFirstServed, RouterTraits(independent_items=False)),
    ("prompt_order", invariance.FirstPromptLeads, RouterTraits(independent_items=False)),
    ("empty_prompts", answers.NaNOnEmptyPrompts, None),
    ("empty_prompts", answers.GarbageOnEmptyPrompts, None),
    ("empty_items", answers.NaNOnEmptyItems, None),
    ("extreme_values", answers.Overflows, None),
    ("float32_inside", precision.HalfContext, None),
    ("softmax_in_float32", precision.HalfSoftmax, None),
    ("softmax_in_float32", precision.HalfSoftmaxAsItIs, None),
    ("float32_inside", precision.HalfSoftmaxForHalfInputs, None),
    ("float32_inside", precision.HalfSoftmaxHandedOn, None),
    ("autocast", precision.CollectsInABuffer, None),
    ("half_module", precision.HalfWhenCast, None),
    ("gradients_reach", modules.Detached, None),
    ("gradients_reach", modules.DeadEncoder, None),
    ("checkpointing", modules.TrainsItself, None),
    ("reads_text", answers.DeafToText, RouterTraits(uses_text=True)),
    ("reads_text", Good, RouterTraits(uses_text=False)),
    ("state_dict_round_trip", modules.Unsaved, None),
    ("config_round_trip", modules.CountsKeys, RouterTraits(options={"factors": {0: 3.0}})),
    ("config_round_trip", modules.EatsItsOptions, RouterTraits(options={"factors": {"all": 3.0}})),
    ("config_round_trip", modules.EatsItsOptions, RouterTraits(options={"factors": {"all": {1.0}}})),
    ("deepcopy", modules.Closure, None),
    ("deepcopy", modules.GraphStashed, None),
    ("pickles", modules.Lambda, None),
    ("compiled", modules.Uncompilable, RouterTraits(supports_compile=True)),
    ("device_kept", modules.CpuConstant, None),
    ("device_kept", modules.AnswersFromTheCpu, None),
]
# Some faults fail further checks too, and no wonder. (NotARouting can pass none.)
ALSO: dict[str, set[str]] = {
    "NoiseInEvaluation": {"device_kept"},
    "NoiseOfPython": {"checkpointing"},
    "HalfLogits": {"float32_inside"},
    "HalfSoftmaxAsItIs": {"weights_sum_to_one", "training_mode", "empty_prompts", "empty_items", "extreme_values"},
    "RunningMean": {"checkpointing", "deepcopy"},
    "Cached": {"alone_equals_batch"},
    "Sigmoid": {"training_mode", "empty_prompts", "empty_items", "extreme_values"},
    "Negative": {"training_mode", "empty_prompts", "empty_items", "extreme_values"},
    "GarbageScale": {"empty_prompts"},
    "FirstLanguageRules": {"prompt_order"},
    "UnbalancedInACrowd": {"alone_equals_batch"},
    "MeanOverPadding": {"placeholders"},
    "NextDoor": {"item_order"},
    "HalfContext": {"half_module"},
    "HalfSoftmaxForHalfInputs": {"half_module"},
    "HalfSoftmaxHandedOn": {"half_module"},
}
