"""What the Trainer asks a run at the edges of its steps: when to log, save and stop."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from parrot_adapters.training.engines import keep_embeddings_whole
from parrot_adapters.training.zero import keep_visual_parts_whole

if TYPE_CHECKING:
    from parrot_adapters.training.trainer import ParrotTrainer

__all__ = ["RunCallback", "tensorboard_callbacks"]


class RunCallback(TrainerCallback):
    """When to log, save and stop."""

    def __init__(self, trainer: ParrotTrainer) -> None:
        self.trainer = trainer
        self.overdue = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Make sure that nobody waits for ever, and show where the run stands."""
        keep_embeddings_whole(self.trainer.model)
        if self.trainer.zero is not None:
            keep_visual_parts_whole(self.trainer.handle, self.trainer.zero)
        self.trainer.require_packing()
        self.trainer.started = time.monotonic()
        self.trainer.show_progress(state.global_step, state.max_steps, None)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Decide what follows this step."""
        trainer, config, step = self.trainer, self.trainer.run, state.global_step
        trainer.require_guarded()
        last, stop = step >= state.max_steps, bool(trainer.stopped_by)
        control.should_log = last or step % config.log.every == 0
        wanted = self.overdue or last or stop or step % config.checkpoint.every == 0
        # In the middle of a spike nobody knows yet whether these weights are worth keeping.
        control.should_save = wanted and (last or not trainer.guard.high)
        self.overdue = wanted and not control.should_save
        control.should_training_stop = control.should_training_stop or stop
        trainer.show_progress(step, state.max_steps, trainer.step_loss)


def tensorboard_callbacks(directory: Path | None) -> list[TrainerCallback]:
    """What writes TensorBoard's files there, if a directory is given."""
    if directory is None:
        return []
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    return [TensorBoardCallback(SummaryWriter(str(directory)))]
