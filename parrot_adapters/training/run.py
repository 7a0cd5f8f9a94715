"""One training run, from wherever it stands to its end.

    handle = attach(model, AdapterConfig())
    set_trainable(handle, config)
    result = train(handle, processor, config, open_data(config.data, seed=config.seed))

Repeating the same command goes on from the last checkpoint, or says that the run is done.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from parrot_adapters.atomic_files import appearing_directory
from parrot_adapters.data.packing import PackedCollator
from parrot_adapters.errors import ConfigError, ParrotWarning, TrainingError, explain
from parrot_adapters.training.config_rules import accumulation_steps, with_recipe_defaults
from parrot_adapters.training.host_state import as_it_was, in_float32
from parrot_adapters.training.metrics import MetricsFile
from parrot_adapters.training.parameter_roles import parameter_groups
from parrot_adapters.training.progress import live_progress
from parrot_adapters.training.run_directory import RunDirectory
from parrot_adapters.training.stop_signals import stop_requests
from parrot_adapters.training.store_routing_after import keep_routing
from parrot_adapters.training.training_config import TrainingConfig

if TYPE_CHECKING:
    from parrot_adapters.adapter.handle import Attachment
    from parrot_adapters.training.micro_batches import TrainingData
    from parrot_adapters.training.trainer import ParrotTrainer

__all__ = ["TrainingResult", "prepare_run", "train"]


@dataclass(frozen=True)
class TrainingResult:
    """What became of a run.

    Attributes:
        steps: Number of optimizer steps done, over all calls.
        first: Step that this call began at; equal to ``steps`` where nothing was left to do.
        signal: Number of the signal that ended the run early, or 0.
        loss: Loss that was logged last; None where none was.
        seconds: Seconds that this call took.
        adapter: Directory of the adapter, once the run is done.
        host: Directory of the host, once the run is done and trained it.
    """

    steps: int
    first: int
    signal: int
    loss: float | None
    seconds: float
    adapter: Path | None
    host: Path | None

    @property
    def finished(self) -> bool:
        """Whether the run is done."""
        return self.adapter is not None


def train(
    handle: Attachment,
    processor: Any,
    config: TrainingConfig,
    data: TrainingData,
    *,
    collator: Callable[[list[Any]], dict[str, Any]] | None = None,
    deepspeed: Mapping[str, Any] | None = None,
    fresh: bool = False,
) -> TrainingResult:
    """Train an attached host, or go on with it.

    The handle has the trained weights afterwards, whatever the engine; what a run does to the host's settings is
    undone.

    Args:
        handle: Handle of the adapter, with what trains made trainable (:func:`parrot_adapters.training.set_trainable`).
        processor: Processor of the host.
        config: Configuration of the run.
        data: Data that is learned from; see :func:`parrot_adapters.data.open_data`.
        collator: Function that turns samples into the host's arguments, one sample a row; None (default) for
            :class:`parrot_adapters.data.Collator`. Under ``data.packing`` its batches are packed.
        deepspeed: DeepSpeed's configuration for ``zero2`` and ``zero3``.
        fresh: Whether to start over, whatever the directory holds (default: no).

    Raises:
        ConfigError: Another configuration began what is in ``config.out``, the engine cannot run here, or the host
            does not keep packed samples apart.
        TrainingError: The run diverged, a device ran out of memory, or a disk is full. The last checkpoint is intact.
        DataError: A sample is bad and none may be skipped.
    """
    started = time.monotonic()
    config = with_recipe_defaults(config)
    directory = prepare_run(config, fresh=fresh)
    try:
        return _Run(handle, processor, config, data, directory, collator, deepspeed).go(started)
    finally:
        directory.release()


def prepare_run(config: TrainingConfig, *, fresh: bool = False) -> RunDirectory:
    """Check that a run can begin or go on, and make its directory ready. Needs neither data nor host.

    :func:`train` does so itself; called before, it spares a vain wait for the host. Processes of a distributed run
    meet here.

    Args:
        config: Configuration of the run.
        fresh: Whether to start over, whatever the directory holds (default: no).

    Raises:
        ConfigError: Another configuration began what is in ``config.out``, somebody's own ``config.yaml`` is there, or
            the engine cannot run here.
        TrainingError: Another process trains there, or it cannot be written.
    """
    from parrot_adapters.training.engines import join_processes, number_of_processes, require_engine

    require_engine(config)
    accumulation_steps(config, number_of_processes())
    directory = RunDirectory(config)
    directory.require_own_config()
    if not fresh:
        directory.require_same_run()
    meet = join_processes(config)
    directory.leads = meet.is_main_process
    if directory.leads:
        directory.begin(fresh=fresh)
    meet.wait_for_everyone()
    return directory


class _Run:
    """The pieces of one call of :func:`train`."""

    def __init__(
        self,
        handle: Attachment,
        processor: Any,
        config: TrainingConfig,
        data: TrainingData,
        directory: RunDirectory,
        collator: Callable[[list[Any]], dict[str, Any]] | None,
        deepspeed: Mapping[str, Any] | None,
    ) -> None:
        from parrot_adapters.training.engines import decoder_layers, number_of_processes, training_arguments

        self.handle, self.processor, self.config, self.data = handle, processor, config, data
        self.directory = directory
        self.collator = _collator(handle, processor, config, data, directory) if collator is None else collator
        if config.data.packing and not isinstance(self.collator, PackedCollator):
            self.collator = PackedCollator(self.collator, config.data.max_length)
        self.steps = _steps(config, data)
        self.arguments = training_arguments(
            config,
            directory=directory.path,
            steps=self.steps,
            accumulation=accumulation_steps(config, number_of_processes()),
            layers=decoder_layers(handle) if config.engine.kind == "fsdp2" else (),
            deepspeed=deepspeed,
        )
        self.main = self.arguments.process_index == 0

    def go(self, started: float) -> TrainingResult:
        first = self.directory.checkpoints.newest() or 0
        done = self.directory.finished()
        if done is not None and done >= self.steps and self.directory.adapter.is_dir():
            self._load(done)
            return self._result(done, done, 0, started)
        if done is not None and not first:
            raise ConfigError(
                explain(
                    f"{self.directory.path} holds a finished run of {done} steps whose checkpoints are gone.",
                    to_do="--fresh starts over; or begin another run with start_from",
                )
            )
        if first > self.steps:
            raise ConfigError(
                explain(
                    f"{self.directory.path} is at step {first} already.",
                    given=f"{self.steps} steps",
                    to_do="ask for more steps, or start over with --fresh",
                )
            )
        with as_it_was(self.handle.model), in_float32(self.handle):
            trainer = self._train(first)
            if trainer.stopped_by and trainer.state.global_step < self.steps:
                return self._result(trainer.state.global_step, first, trainer.stopped_by, started)
            self._write_result()
        self._finish()
        return self._result(self.steps, first, 0, started)

    def _train(self, first: int) -> ParrotTrainer:
        from parrot_adapters.training.engines import ZERO
        from parrot_adapters.training.recompute import recompute_activations
        from parrot_adapters.training.trained_state import load_trained_weights, trained_weights
        from parrot_adapters.training.trainer import ParrotTrainer
        from parrot_adapters.training.zero import leave_deepspeed

        config, handle = self.config, self.handle
        handle.add_losses(config.losses, config.loss_options)
        if first:
            self._load(first)
        if self.main:
            MetricsFile(self.directory.metrics).go_back_to(first)
        if config.engine.gradient_checkpointing:
            recompute_activations(handle.model)
        working = self._working()
        with stop_requests() as stop, live_progress(config.log.progress and self.main) as shown:
            trainer = ParrotTrainer(
                working,
                run=config,
                args=self.arguments,
                data=self.data,
                collator=self.collator,
                groups=parameter_groups(working, config),
                directory=self.directory,
                stop=stop,
                done=first,
                progress=shown,
                tensorboard=self.directory.tensorboard if config.log.tensorboard and self.main else None,
            )
            self._require_engine(trainer)
            try:
                with (
                    working.add_observer(trainer.count_routing),
                    self._profiled(working),
                    _memory_errors(config),
                    warnings.catch_warnings(),
                ):
                    # Nothing here works in place on what the host returns, which is what it warns of.
                    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
                    trainer.train(resume_from_checkpoint=trainer.resumed)
                if working is not handle:
                    bare = trainer.accelerator.unwrap_model(trainer.model_wrapped)
                    load_trained_weights(handle.model, trained_weights(bare))
            finally:
                if config.engine.kind in ZERO:
                    leave_deepspeed(trainer.model_wrapped)
        return trainer

    def _profiled(self, working: Attachment) -> AbstractContextManager[Any]:
        """The first process's passes are recorded, where that is asked for."""
        if not (self.config.log.profile and self.main):
            return nullcontext()
        from parrot_adapters.analysis.time_profile import profiled

        return profiled(working.model, working, self.directory.profile)

    def _working(self) -> Attachment:
        """The handle on the model that an engine may take apart: this one, or a copy's."""
        from parrot_adapters.adapter.handle import attachment_of
        from parrot_adapters.training.engines import ON_A_COPY, SHARDED, pass_gradients_always, sharing_weights

        if self.config.engine.kind not in ON_A_COPY:
            return self.handle
        copied = attachment_of(sharing_weights(self.handle.model))
        assert copied is not None
        if self.config.engine.kind in SHARDED:
            pass_gradients_always(copied)
        return copied

    def _load(self, step: int) -> None:
        """Take over a checkpoint's weights."""
        from parrot_adapters.training.checkpoint_files import stored_state, stored_weights
        from parrot_adapters.training.trained_state import load_trained_weights

        checkpoint = self.directory.checkpoints.path(step)
        if not checkpoint.is_dir():
            return
        load_trained_weights(self.handle.model, stored_weights(checkpoint))
        threads = int(stored_state(checkpoint)["threads"])
        if threads != torch.get_num_threads():
            warnings.warn(
                f"the checkpoint was computed with {threads} threads, this run goes on with {torch.get_num_threads()}: "
                "last bits may differ from an uninterrupted run's (OMP_NUM_THREADS)",
                ParrotWarning,
                stacklevel=2,
            )

    def _write_result(self) -> None:
        """The adapter, and before it the host it belongs to if that trained too."""
        if self.main:
            with self._disk_errors():
                if self.config.train.language_model == "full" or self.config.train.vision_tower:
                    with appearing_directory(self.directory.host) as host:
                        self._save_host(host)
                # Where the host trained, it is saved beside the adapter, just above.
                self.handle.save_pretrained(self.directory.adapter, allow_changed_host=True)

    def _finish(self) -> None:
        """What is looked up with the finished adapter, now that the host is as a user has it; then the run is done."""
        if self.main:
            if self.config.engine.kind == "ddp":  # else this process has no whole model on its device
                keep_routing(self.handle, self.data, self.collator, self.directory.adapter)
            with self._disk_errors():
                self.directory.finish(self.steps)
        self._wait()

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                explain(
                    f"the result cannot be written to {self.directory.path}.",
                    because=error,
                    to_do="free some space and repeat the command: nothing is trained again",
                )
            ) from error

    def _save_host(self, directory: Path) -> None:
        """In the dtype it was loaded in; tensors under two names stay one."""
        dtype, cast = getattr(torch, self.config.host.dtype), {}
        for value in self.handle.model.state_dict().values():
            if value.is_floating_point() and value.data_ptr() not in cast:
                cast[value.data_ptr()] = value.to(dtype)
        state = {
            name: cast[value.data_ptr()] if value.is_floating_point() else value
            for name, value in self.handle.model.state_dict().items()
        }
        self.handle.model.save_pretrained(str(directory), state_dict=state)
        if self.processor is not None:
            self.processor.save_pretrained(str(directory))

    def _result(self, steps: int, first: int, signal: int, started: float) -> TrainingResult:
        lines = MetricsFile(self.directory.metrics).lines()
        return TrainingResult(
            steps=steps,
            first=first,
            signal=signal,
            loss=lines[-1]["loss"] if lines else None,
            seconds=time.monotonic() - started,
            adapter=None if signal else self.directory.adapter,
            host=self.directory.host if not signal and self.directory.host.is_dir() else None,
        )

    def _require_engine(self, trainer: ParrotTrainer) -> None:
        """``accelerate launch`` can set an engine of its own; the configuration's word counts."""
        kind = self.config.engine.kind
        given = "zero" if trainer.is_deepspeed_enabled else "fsdp2" if trainer.is_fsdp_enabled else "ddp"
        if not kind.startswith(given):
            raise ConfigError(
                explain(
                    f"the launcher set up {given}, and engine.kind is {kind}.",
                    to_do="launch without an engine of its own (accelerate launch --multi_gpu), or change engine.kind",
                )
            )

    def _wait(self) -> None:
        if self.arguments.world_size > 1:
            self.arguments.distributed_state.wait_for_everyone()


def _steps(config: TrainingConfig, data: TrainingData) -> int:
    from parrot_adapters.training.micro_batches import epoch_length

    if config.steps is not None:
        return config.steps
    length = epoch_length(data, config.batch.per_device)
    if length is None:
        raise ConfigError(explain("a stream does not know how long an epoch is.", to_do="set steps"))
    return math.ceil(config.epochs * length * config.batch.per_device / config.batch.size)


def _collator(
    handle: Attachment, processor: Any, config: TrainingConfig, data: Any, directory: RunDirectory
) -> Callable[[list[Any]], dict[str, Any]]:
    from parrot_adapters.data import Collator

    made = Collator(
        processor,
        model_config=handle.model.config,
        max_length=config.data.max_length,
        bad_samples=config.data.bad_samples,
        rejects=directory.rejects,
    )
    if config.data.group_by_length or config.data.packing or config.data.token_budget is not None:
        data.measure(made.length)
    return made


@contextmanager
def _memory_errors(config: TrainingConfig) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        pieces = min(2 * config.engine.pieces, config.batch.per_device)
        smaller = f"engine.pieces={pieces} (the same samples in each step), " if pieces > config.engine.pieces else ""
        raise TrainingError(
            explain(
                "the device ran out of memory.",
                torch_says=str(error).splitlines()[0],
                to_do=f"{smaller}engine.gradient_checkpointing=true; the run goes on with it from its last "
                "checkpoint. parrot plan says what the memory is for, train.language_model=lora takes less",
            )
        ) from error
