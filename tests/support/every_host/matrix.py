"""The life of an adapter on one model, check by check."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from miniatures import ADAPTER, awake
from miniatures.prompts import BOS, Image
from torch import Tensor

import parrot_adapters as pa
from support.every_host.build import Miniature, NotBuilt, miniature

CHECKS = (
    "identity",
    "effect",
    "self-test",
    "first step",
    "cache",
    "padding",
    "several",
    "none",
    "gradients",
    "deepcopy",
    "disabled",
    "save",
    "detached",
)
ONE: list[Any] = [BOS, 20, 21, Image(0), 22, 23]
OTHER: list[Any] = [BOS, 50, Image(1), 51, 52, 53, 54, 55]
SEVERAL: list[Any] = [BOS, 20, Image(0), 21, Image(1), 22, 23]
NONE: list[Any] = [BOS, 40, 41, 42]


def run(name: str) -> dict[str, Any]:
    """What came of a type.

    Returns:
        ``verdict`` (``works``, ``fails``, ``refused``, ``bare model fails`` or ``not built``), ``why``, and of what was
        attached ``seam``, ``unit`` and ``checks``: name -> ``ok``, ``bare: ...`` where the bare model cannot do it
        either, or what went wrong.
    """
    try:
        made = miniature(name)
        model = made.build().requires_grad_(False)
        failed = _refusal(model)
        if failed is not None:
            return {"verdict": "refused", "why": failed}
        inputs = made.batch([ONE])
    except NotBuilt as error:
        return {"verdict": "not built", "why": str(error)}
    try:
        bare = _logits(model, inputs)
        _generated(model, inputs, 2)
    except Exception as error:
        verdict = "bare model fails" if made.by_hand else "not built"
        return {"verdict": verdict, "why": f"{'' if made.by_hand else 'its miniature does not run: '}{_said(error)}"}
    life = _Life(made, model, inputs, bare)
    checks = {check: life.outcome(check) for check in CHECKS}
    wrong = {check: said for check, said in checks.items() if said != "ok" and not said.startswith("bare: ")}
    return {
        "verdict": "fails" if wrong else "works",
        "why": "; ".join(f"{check}: {said}" for check, said in wrong.items()),
        "seam": life.handle.seam,
        "unit": life.handle.parts.spec.unit,
        "checks": checks,
    }


def _refusal(model: Any) -> str | None:
    """Why no adapter can be attached; nothing may be left of the attempt."""
    before = set(model.state_dict()), [set(vars(module)) for module in model.modules()]
    try:
        pa.attach(model, ADAPTER, freeze_host=False).detach()
    except pa.ParrotError as error:
        if (set(model.state_dict()), [set(vars(module)) for module in model.modules()]) != before:
            return f"(and something of the attempt stayed) {error}"
        return " ".join(str(error).split("\n")[0].split())
    return None


class _Life:
    def __init__(self, made: Miniature, model: Any, inputs: dict[str, Any], bare: Tensor) -> None:
        self.made, self.model, self.inputs, self.bare = made, model, inputs, bare
        self.handle = pa.attach(model, ADAPTER)

    def outcome(self, check: str) -> str:
        """``ok``, or what went wrong."""
        step: Callable[[], str | None] = getattr(self, "check_" + check.replace(" ", "_").replace("-", "_"))
        try:
            return step() or "ok"
        except Exception as error:
            return _said(error) or type(error).__name__

    def check_identity(self) -> str | None:
        same = torch.equal(_logits(self.model, self.inputs), self.bare)
        return None if same else "attaching changed the logits"

    def check_effect(self) -> str | None:
        awake(self.handle)
        moved = (_logits(self.model, self.inputs) - self.bare).abs().max()
        return None if moved > 1e-4 and torch.isfinite(moved) else f"an awake adapter moves the logits by {moved:.2g}"

    def check_self_test(self) -> str | None:
        pa.self_test(self.handle, self.inputs)
        return None

    def check_first_step(self) -> str | None:
        step = _generated(self.model, self.inputs, 1).logits[0]
        here = _logits(self.model, self.inputs)[:, -1]
        with self.handle.disabled():
            own = (_generated(self.model, self.inputs, 1).logits[0] - self.bare[:, -1]).abs().max()
        gap = (step - here).abs().max()
        if gap < 1e-3 + 2 * own:
            return None
        return f"forward and the first generated step differ by {gap:.2g} (bare: {own:.2g})"

    def check_cache(self) -> str | None:
        outs = []
        for cache in (True, False):
            with self.handle.disabled():
                bare = self._or_bare(lambda cache=cache: _generated(self.model, self.inputs, 3, use_cache=cache))
            if isinstance(bare, str):
                return bare
            with self.handle.record_routing() as log:
                made = _generated(self.model, self.inputs, 3, use_cache=cache)
            if not all(torch.allclose(one.weights, log[0].weights, atol=1e-4) for one in log):
                return f"use_cache={cache}: routing changes while it writes"
            outs.append((torch.stack(list(made.logits)), torch.stack(list(bare.logits)), made.sequences))
        gap, own = (outs[0][0] - outs[1][0]).abs().max(), (outs[0][1] - outs[1][1]).abs().max()
        if torch.equal(outs[0][2], outs[1][2]) and gap < 5e-3 + 3 * own:
            return None
        return None if own > 1e-3 else f"with and without a cache logits differ by {gap:.2g} (bare: {own:.2g})"

    def check_padding(self) -> str | None:
        together = self._weights([ONE, OTHER])
        if isinstance(together, str):
            return together
        for number, prompt in enumerate([ONE, OTHER]):
            alone = self._weights([prompt])
            if isinstance(alone, str):
                return alone
            weights, rows = together
            here = weights[[row == number for row in rows]]
            if here.shape != alone[0].shape or not torch.allclose(here, alone[0], atol=1e-3):
                if (gap := self._bare_gap([ONE, OTHER], number)) > 1e-2:
                    return f"bare: row {number} of a batch has other logits than alone, by {gap:.2g}"
                return f"row {number} of a batch is routed otherwise than alone"
        return None

    def check_several(self) -> str | None:
        if self.made.one_each:
            return "bare: a prompt takes one picture"
        found = self._weights([SEVERAL, ONE])
        if isinstance(found, str):
            return found
        rows = found[1]
        return None if set(rows) == {0, 1} and rows == sorted(rows) else f"units of rows {rows}"

    def check_none(self) -> str | None:
        if self.made.one_each:
            return "bare: a prompt takes one picture"
        try:
            inputs = self.made.batch([NONE])
        except NotBuilt as error:
            return f"bare: {error}"
        with self.handle.disabled():
            bare = self._or_bare(lambda: _logits(self.model, inputs))
        if isinstance(bare, str):
            return bare
        return None if torch.equal(_logits(self.model, inputs), bare) else "a prompt without pictures is changed"

    def check_gradients(self) -> str | None:
        statistics = {name: value.clone() for name, value in self.model.named_buffers()}
        self.model.train()
        try:
            self.model(**self.inputs).logits.float().pow(2).mean().backward()
        finally:
            self.model.eval()
            for name, value in self.model.named_buffers():  # batch norms move in training, with an adapter or without
                if name in statistics and value.shape == statistics[name].shape:
                    value.copy_(statistics[name])
        mine = [parameter.grad for parameter in self.handle.parameters()]
        others = [n for n, p in self.model.named_parameters() if p.grad is not None and "parrot_adapter" not in n]
        self.model.zero_grad()
        if others:
            return f"frozen weights have gradients: {others[:2]}"
        return (
            None
            if any(grad is not None and grad.abs().sum() > 0 for grad in mine)
            else "no gradient reaches the adapter"
        )

    def check_deepcopy(self) -> str | None:
        twin = copy.deepcopy(self.model)
        now = _logits(self.model, self.inputs)
        if not torch.equal(_logits(twin, self.inputs), now):
            return "a copy has other logits"
        pa.attachment_of(twin).detach()
        return None if torch.equal(_logits(self.model, self.inputs), now) else "a copy shares its adapter"

    def check_disabled(self) -> str | None:
        with self.handle.disabled():
            now = _logits(self.model, self.inputs)
        return None if torch.equal(now, self.bare) else f"off by {(now - self.bare).abs().max():.2g}"

    def check_save(self) -> str | None:
        now = _logits(self.model, self.inputs)
        with tempfile.TemporaryDirectory() as folder:
            self.handle.save_pretrained(Path(folder))
            other = self.made.build().requires_grad_(False)
            loaded = pa.load_adapter(other, folder, strict=True)
        same = torch.equal(_logits(other, self.inputs), now)
        loaded.detach()
        return None if same else "a loaded adapter gives other logits"

    def check_detached(self) -> str | None:
        self.handle.detach()
        now = _logits(self.model, self.inputs)
        return None if torch.equal(now, self.bare) else f"off by {(now - self.bare).abs().max():.2g}"

    def _weights(self, prompts: list[Any]) -> tuple[Tensor, list[int]] | str:
        try:
            inputs = self.made.batch(prompts)
        except NotBuilt as error:
            return f"bare: {error}"
        with self.handle.disabled():
            bare = self._or_bare(lambda: _logits(self.model, inputs))
        if isinstance(bare, str):
            return bare
        with self.handle.record_routing() as log:
            _logits(self.model, inputs)
        return torch.cat([one.weights for one in log]), [row for one in log for row in one.rows.tolist()]

    def _bare_gap(self, prompts: list[Any], number: int) -> float:
        """How far the bare model's last logits of one prompt in a batch are from those of the prompt alone."""
        with self.handle.disabled():
            together = _logits(self.model, self.made.batch(prompts))[number, -1]
            alone = _logits(self.model, self.made.batch([prompts[number]]))[0, -1]
        return float((together - alone).abs().max())

    @staticmethod
    def _or_bare(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            return f"bare: {_said(error)}"


@torch.no_grad()
def _logits(model: Any, inputs: dict[str, Any]) -> Tensor:
    return model(**inputs).logits


def _generated(model: Any, inputs: dict[str, Any], steps: int, **options: Any) -> Any:
    given = {name: value for name, value in inputs.items() if name != "decoder_input_ids"}
    settings = {"max_new_tokens": steps, "min_new_tokens": steps, "do_sample": False, "output_logits": True}
    return model.generate(**given, **settings, return_dict_in_generate=True, **options)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
