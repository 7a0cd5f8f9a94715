"""transformers' Trainer with what a run needs beyond it; everything else (engines, loop, schedule) is the Trainer's.

* batches: the mixture's micro-batches are dealt to the processes in turn, so the global batches are the same for any
  number of them, and a resumed run goes on where it stopped;
* loss: the host's mean over a micro-batch enters with the micro-batch's share of the global batch's learned tokens.
  Accumulation, several processes and one large batch so have the same gradient, whatever a host does with
  ``num_items_in_batch`` (Qwen-VL and Gemma 3 do not take it);
* checkpoints: what trains, atomically (``training/checkpoints.py``), in one form for all engines;
* packing: samples in one row are told apart by the arguments the host has for it, once it was seen to do so;
* metrics, the guards against divergence and against learning nothing, and stopping on a signal.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer

from parrot_adapters.atomic_files import write_json
from parrot_adapters.core.types import IGNORED
from parrot_adapters.data.packing import SEGMENTS, PackedCollator
from parrot_adapters.errors import TrainingError, explain, writing
from parrot_adapters.hosts.host_failures import failures_named
from parrot_adapters.hosts.packed_rows import packed_arguments, sequence_languages
from parrot_adapters.hosts.private_api import require_for_training
from parrot_adapters.training.batch_measures import measure, targets_of
from parrot_adapters.training.checkpoint_files import (
    TRAINER_STATE,
    stored_optimizer,
    stored_state,
    stored_weights,
    write_checkpoint,
)
from parrot_adapters.training.config_rules import learning_rate
from parrot_adapters.training.loss_guard import PATIENCE, LossGuard
from parrot_adapters.training.metrics import Measured, MetricsFile
from parrot_adapters.training.micro_batches import MicroBatches, TrainingData
from parrot_adapters.training.packing_check import require_packing
from parrot_adapters.training.run_directory import RunDirectory
from parrot_adapters.training.stop_signals import StopRequest
from parrot_adapters.training.trained_state import (
    load_optimizer_state,
    load_random_state,
    optimizer_state,
    random_state,
    trained_weights,
    whole,
)
from parrot_adapters.training.trainer_callback import RunCallback, tensorboard_callbacks
from parrot_adapters.training.zero import load_partitions, partitioned_optimizer_state
from parrot_adapters.training.zero_gradients import ZeroGradients

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment
    from parrot_adapters.training.training_config import TrainingConfig

__all__ = ["IDENTITIES", "LANGUAGES", "ParrotTrainer"]

IDENTITIES, LANGUAGES = "parrot_identities", "parrot_languages"


class ParrotTrainer(Trainer):
    """Trains an attached host.

    Args:
        handle: the adapter on the model that trains; under a sharding engine the copy that is sharded.
        run: the configuration.
        args: transformers' arguments.
        data: what is trained on.
        collator: samples -> the host's arguments, with the keys :data:`IDENTITIES` and :data:`LANGUAGES`; a
            :class:`PackedCollator` packs.
        groups: the optimizer's parameter groups, each with its ``role``.
        directory: of the run.
        stop: asked after each step.
        done: steps behind it; the checkpoint of that step is resumed from.
        progress: called with step, steps and what was logged.
        tensorboard: where its files go, if they are wanted.

    Attributes:
        stopped_by: the signal that ended the run early, or 0.
    """

    def __init__(
        self,
        handle: Attachment,
        *,
        run: TrainingConfig,
        args: Any,
        data: TrainingData,
        collator: Callable[[list[Any]], dict[str, Any]],
        groups: list[dict[str, Any]],
        directory: RunDirectory,
        stop: StopRequest,
        done: int = 0,
        progress: Callable[[int, int, Mapping[str, Any]], None] | None = None,
        tensorboard: Path | None = None,
    ) -> None:
        require_for_training()
        optimizer = {
            "params": groups,
            "lr": learning_rate(run),
            "betas": tuple(run.optim.betas),
            "eps": run.optim.epsilon,
        }
        super().__init__(
            model=handle.model,
            args=args,
            data_collator=collator,
            train_dataset=data,
            optimizer_cls_and_kwargs=(torch.optim.AdamW, optimizer),
            callbacks=[RunCallback(self), *tensorboard_callbacks(tensorboard)],
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = True  # so that the Trainer counts the global batch's tokens for us
        self.handle, self.run, self.data, self.stop = handle, run, data, stop
        self.directory, self.checkpoints = directory, directory.checkpoints
        self.done, self.resumed = done, str(self.checkpoints.path(done)) if done else None
        self.metrics, self.progress = MetricsFile(directory.metrics), progress
        self.guard, self.zero_gradients, self.measured = LossGuard(), ZeroGradients(), Measured()
        self.stopped_by, self.step_loss, self.started = 0, float("nan"), time.monotonic()
        self._micro_losses: list[Tensor] = []
        self._micro_tokens, self._micro_pictures, self._empty_steps = 0, False, 0
        self._identities: list[str] = []
        self._rate = float("nan")
        self._rates: dict[str, float] = {}
        self._grad_norm = float("nan")
        self._frozen = _frozen_parts(handle.parts.module(handle.parts.vision_tower))

    # --- the engine --------------------------------------------------------------------------------------------

    @property
    def zero(self) -> Any:
        """DeepSpeed's optimizer, once the engine has the model; None under other engines."""
        return self.optimizer.optimizer if self.is_deepspeed_enabled else None

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        """Hand model and optimizer to the engine. DeepSpeed would then look for a checkpoint of its own."""
        if not self.is_deepspeed_enabled:
            return super()._prepare_for_training(*args, **kwargs)
        call = inspect.signature(super()._prepare_for_training).bind(*args, **kwargs)
        checkpoint, call.arguments["resume_from_checkpoint"] = call.arguments["resume_from_checkpoint"], None
        prepared = super()._prepare_for_training(*call.args, **call.kwargs)
        self._load_optimizer_and_scheduler(checkpoint)
        return prepared

    # --- data --------------------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> DataLoader:
        """All micro-batches of this process, for the whole run: to the Trainer it is one epoch."""
        self.batches = MicroBatches(
            self.data,
            self.run.batch.per_device,
            self.run.batch.size // self.run.batch.per_device,
            self.args.max_steps,
            self.accelerator.process_index,
            self.accelerator.num_processes,
            pieces=self.run.engine.pieces,
            done=self.done,
            position=None if self.resumed is None else stored_state(self.resumed)["position"],
        )
        samples: Any = self.data  # a Dataset is whatever has a length and items
        return DataLoader(
            samples,
            batch_sampler=self.batches,
            collate_fn=self.data_collator,
            num_workers=self.run.data.workers,
            pin_memory=self.args.device.type == "cuda",
            generator=torch.Generator().manual_seed(self.run.seed),  # else it would draw from the global one
        )

    # --- a micro-batch -----------------------------------------------------------------------------------------

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The micro-batch's part of the global batch's mean loss, as the engine wants it."""
        for part in self._frozen:
            part.eval()  # the statistics that normalisation layers gather are weights too
        given = dict(inputs)
        identities, languages = given.pop(IDENTITIES, []), given.pop(LANGUAGES, None)
        self._identities += identities
        segments, prompts = given.pop(SEGMENTS, None), languages
        if segments is not None:
            given = packed_arguments(self.handle.parts.base, given, segments)
            prompts = None if languages is None else sequence_languages(languages, segments)
        targets = targets_of(given["labels"], self.model.config)
        tokens = int((targets != IGNORED).sum())
        with nullcontext() if prompts is None else self.handle.languages(prompts):
            outputs = model(**given)
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs[0]
        share = tokens / max(float(num_items_in_batch or 0), 1.0)
        # Without a token to learn the host's mean is 0 / 0; its gradient is zero, and must still flow everywhere.
        mine = loss * share if tokens else (loss * 0.0).nan_to_num(0.0)
        self._micro_losses.append(mine.detach())
        self._micro_tokens += tokens
        self._micro_pictures |= any(name.startswith("pixel_values") for name in given)
        if tokens:
            terms = self.handle.last_losses or {"language_model": loss.detach()}
            measure(self.measured, given, outputs, terms, targets, languages, segments, learned=tokens)
        scaled = mine * self.accelerator.num_processes  # engines average over processes
        return (scaled, outputs) if return_outputs else scaled

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Forward and backward of a micro-batch; where the host's code fails, its samples are named."""
        samples, pieces = inputs.get(IDENTITIES, ()), self.run.batch.per_device
        with failures_named(
            TrainingError,
            f"the host failed in step {self.state.global_step + 1}.",
            {"samples": ", ".join(samples) or None},
            last_checkpoint=self._last_checkpoint(),
            to_do=f"engine.pieces={pieces} goes on one by one, and tells which sample it is"
            if len(samples) > 1 and pieces > self.run.engine.pieces
            else None,
        ):
            return super().training_step(model, inputs, *args, **kwargs)

    def require_packing(self) -> None:
        """Refuse to pack at a host that would mix the samples of a row.

        Raises:
            ConfigError: this one does.
        """
        if isinstance(self.data_collator, PackedCollator):
            with self.compute_loss_context_manager():
                require_packing(
                    self.handle.model,
                    self.handle.parts.base,
                    self.data,
                    self.data_collator,
                    self.run.batch.per_device,
                    self.args.device,
                )

    def count_routing(self, record: Any) -> None:
        """An observer of the adapter."""
        if self.model.training:
            self.measured.routing.add(record)

    # --- an optimizer step -------------------------------------------------------------------------------------

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> float:
        """The Trainer asks for this between clipping and the optimizer's step: the last moment to refuse."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        self._grad_norm = float(whole(norm)) if isinstance(norm, Tensor) else float(norm if norm is not None else 0.0)
        groups = self.optimizer.param_groups
        self._rates = {group.get("role", "all"): float(group["lr"]) for group in groups}
        # The schedule is the same for all, so that of the first says what `optim.learning_rate` is worth now.
        first = groups[0]
        self._rate = float(first["lr"]) / float(first.get("initial_lr", first["lr"])) * learning_rate(self.run)
        loss = torch.stack(self._micro_losses).float().sum()
        others = torch.tensor(
            [float(self.stop.signal), float(self._micro_tokens), float(self._micro_pictures)], device=loss.device
        )
        everyone = self.accelerator.gather(torch.cat([loss[None], others])[None]).tolist()  # a row for each process
        losses, signals, tokens, pictures = zip(*everyone, strict=True)
        self.step_loss = sum(losses)
        self.stopped_by = int(max(signals))
        self._require_lesson(any(tokens))
        if wrong := self.guard.verdict(self.step_loss, self._grad_norm):
            self._diverged(wrong)
        self._require_gradient(any(pictures))
        self._micro_losses, self._identities, self._micro_tokens, self._micro_pictures = [], [], 0, False
        return self._grad_norm

    def _require_lesson(self, learned: bool) -> None:
        """A run whose samples are all skipped would else be done, with a loss of zero."""
        self._empty_steps = 0 if learned else self._empty_steps + 1
        step = self.state.global_step + 1
        if self._empty_steps >= PATIENCE or (self._empty_steps == step == self.state.max_steps):
            raise TrainingError(
                explain(
                    f"there was nothing to learn in the last {self._empty_steps} steps: every sample was skipped.",
                    rejects=str(self.directory.rejects),
                    last_checkpoint=self._last_checkpoint(),
                    to_do="mend the data; parrot data check FILE says what is wrong with it",
                )
            )

    def _require_gradient(self, pictured: bool) -> None:
        last = self.state.global_step + 1 == self.state.max_steps
        found = self.zero_gradients.verdict(self._grad_norm, samples=self.run.batch.size, pictured=pictured, last=last)
        if found is not None:
            wrong, to_do = found
            raise TrainingError(explain(wrong, last_checkpoint=self._last_checkpoint(), to_do=to_do))

    def require_guarded(self) -> None:
        """Refuse to go on unguarded.

        Raises:
            TrainingError: this release of transformers made a step without asking :meth:`_get_grad_norm`.
        """
        if self._micro_losses:
            raise TrainingError(
                explain(
                    "this release of transformers steps without asking for the gradient's norm, so nothing watches it.",
                    given=f"transformers {version('transformers')}",
                    to_do="pip install transformers==5.24",
                )
            )

    def _diverged(self, wrong: str) -> None:
        step = self.state.global_step + 1
        described = {
            "step": step,
            "what": wrong,
            "loss": repr(self.step_loss),
            "grad_norm": repr(self._grad_norm),
            "learning_rates": self._rates,
            "identities": gather_object(list(self._identities)),
        }
        if self.is_world_process_zero():
            with writing(self.directory.bad_batch, TrainingError):
                write_json(self.directory.bad_batch, described, indent=2)
        raise TrainingError(
            explain(
                f"training diverged at step {step}: {wrong}.",
                samples=str(self.directory.bad_batch),
                last_checkpoint=self._last_checkpoint(),
                to_do="look at the samples; a smaller optim.learning_rate (with --fresh: that is another run); where "
                "the loss is nan, engine.compute=float32 with host.dtype=float32 tells whether it is the precision",
            )
        )

    # --- logging -----------------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """A line of ``metrics.jsonl`` instead of what the Trainer gathered, and the same for its integrations."""
        if "loss" not in logs:  # the summary of a whole call; the result has it
            return
        measured = Measured.together(gather_object([self.measured]))
        self.measured = Measured()
        now = time.monotonic()
        line = {
            "step": self.state.global_step,
            "epoch": round(self.batches.epochs(self.state.global_step), 6),
            **measured.summary(),
            "lr": self._rate,
            "learning_rates": self._rates,
            "grad_norm": self._grad_norm,
            "tokens": measured.read,
            "tokens_per_second": round(measured.read / max(now - self.started, 1e-9), 1),
            **measured.padding(),
        }
        self.started = now
        if self.is_world_process_zero():
            self._append(line)
        super().log(dict(_numbers(line)), start_time)
        self.state.log_history.clear()  # metrics.jsonl has it, and checkpoints would carry it along
        self.show_progress(self.state.global_step, self.state.max_steps, line)

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            self.metrics.append(line)
        except OSError as error:
            raise TrainingError(
                explain(
                    f"{self.metrics.path} cannot be written.",
                    because=error,
                    last_checkpoint=self._last_checkpoint(),
                    to_do="free some space and repeat the command: it goes on from there",
                )
            ) from error

    def show_progress(self, step: int, steps: int, shown: Any) -> None:
        """Tell whoever draws the progress bar."""
        if self.progress is not None:
            line = shown if isinstance(shown, Mapping) else {} if shown is None else {"loss": shown}
            self.progress(step, steps, line)

    # --- checkpoints -------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        step = self.state.global_step
        if self.checkpoints.newest() == step:
            return
        bare = self.accelerator.unwrap_model(model)
        main, problem = self.is_world_process_zero(), None
        weights = trained_weights(bare, keep=main)
        if self.zero is not None:
            optimizer = partitioned_optimizer_state(bare, self.zero, keep=main)
        else:
            optimizer = optimizer_state(bare, self.optimizer, keep=main)
        processes = gather_object([{"random": random_state(), "measured": asdict(self.measured)}])
        try:
            self.metrics.flush()
            with self.checkpoints.writing(step) if main else nullcontext(self.checkpoints.pending(step)) as directory:
                if main:
                    write_checkpoint(directory, weights, optimizer, self._state_of_run(processes))
                    self.state.save_to_json(str(directory / TRAINER_STATE))
        except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have errors of their own
            problem = f"{type(error).__name__}: {error}"
        problem = next((found for found in gather_object([problem]) if found), None)
        if problem is not None:
            raise TrainingError(
                explain(
                    f"the checkpoint of step {step} cannot be written.",
                    because=problem.splitlines()[0],
                    last_checkpoint=self._last_checkpoint(),
                    to_do="free some space and repeat the command: it goes on from there",
                )
            )

    def _state_of_run(self, processes: list[Any]) -> dict[str, Any]:
        return {
            "schedule": self.lr_scheduler.state_dict(),
            "guard": self.guard.state_dict(),
            "zero_gradients": self.zero_gradients.state_dict(),
            "position": self.batches.position(self.state.global_step),
            "processes": processes,
            "threads": torch.get_num_threads(),
        }

    def _last_checkpoint(self) -> str:
        newest = self.checkpoints.newest()
        return "none yet" if newest is None else str(self.checkpoints.path(newest))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Nothing to do: the weights were loaded before any engine took the model (``training/run.py``)."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        state = stored_state(checkpoint)
        model, optimizer = self.accelerator.unwrap_model(self.model_wrapped), stored_optimizer(checkpoint)
        if self.zero is not None:
            load_partitions(model, self.zero, stored_weights(checkpoint), optimizer)
        else:
            load_optimizer_state(model, self.optimizer, optimizer)
        self.lr_scheduler.load_state_dict(state["schedule"])
        # The number of steps may have changed: the rate is what the schedule of this run says here.
        for group, base, shape in zip(
            self.optimizer.param_groups, self.lr_scheduler.base_lrs, self.lr_scheduler.lr_lambdas, strict=True
        ):
            group["initial_lr"] = base
            group["lr"] = base * shape(self.lr_scheduler.last_epoch)
        self.lr_scheduler._last_lr = [group["lr"] for group in self.optimizer.param_groups]
        self.guard.load_state_dict(state["guard"])
        self.zero_gradients.load_state_dict(state.get("zero_gradients"))
        mine, processes = self.accelerator.process_index, state["processes"]
        if len(processes) == self.accelerator.num_processes:
            self.measured = Measured.of(processes[mine]["measured"])
        elif mine == 0:  # another number of processes: one takes over what all had measured
            self.measured = Measured.together(Measured.of(one["measured"]) for one in processes)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            processes = stored_state(checkpoint)["processes"]
            load_random_state(processes[self.accelerator.process_index % len(processes)]["random"])


def _frozen_parts(tower: nn.Module | None) -> list[nn.Module]:
    """The largest modules of a vision tower in which nothing trains; Qwen-VL's tower also holds its projector."""
    if tower is None:
        return []
    flags = [parameter.requires_grad for parameter in tower.parameters()]
    if flags and not any(flags):
        return [tower]
    return [part for child in tower.children() for part in _frozen_parts(child)]


def _numbers(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """``a/b: number`` for everything that is one, as TensorBoard wants it."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "step":
            yield f"{prefix}{name}", float(value)
