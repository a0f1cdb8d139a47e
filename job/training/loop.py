"""The training of one or several arms, step by step on the same batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from job.training.batches import BatchSource
from job.training.checkpoint import Checkpoints
from job.training.losses import require_finite
from job.training.progress import FoldProgress
from job.training.schedule import learning_rate
from job.training.trainer import Trainer

HISTORY_LINES = 200
"""Lines of the history of a whole training, at most, validations aside."""

Validate = Callable[[], dict[str, float | None]]
"""Mean Dice by structure over the validation exams, with the network as it is."""


@dataclass(frozen=True, kw_only=True)
class TrainingArm:
    """An arm that is trained, and what keeps its record."""

    trainer: Trainer
    validate: Validate | None
    """None: no patients are held out."""
    checkpoints: Checkpoints
    progress: FoldProgress


def train(arms: Sequence[TrainingArm], source: BatchSource) -> dict[int, Exception]:
    """Trains every arm from where it is to its last step; what ended arms before that, by their position.

    Arms that are ahead of others, as after a resume, wait for them: each batch is drawn and cut once for all that are
    at its step. The end of one arm is not the others': they go on. An arm that is asked to stop ends with `Stopped`
    and a checkpoint of its last finished step, one that diverges with `FloatingPointError`.
    """
    ends: dict[int, Exception] = {}
    under_way = dict(enumerate(arms))
    for arm in arms:
        arm.trainer.network.train()
    while True:
        for position, arm in list(under_way.items()):
            try:
                if _pause(arm):
                    del under_way[position]
            except Exception as error:
                ends[position] = error
                del under_way[position]
        if not under_way:
            return ends
        step = min(arm.trainer.step for arm in under_way.values())
        behind = {position: arm for position, arm in under_way.items() if arm.trainer.step == step}
        try:
            batch = source.batch(step, next(iter(behind.values())).progress.clock)
        except Exception as error:  # no arm can go on without it
            return ends | dict.fromkeys(under_way, error)
        for position, arm in behind.items():
            try:
                arm.trainer.update(batch, arm.progress.clock)
                arm.progress.beat("train", arm.trainer.step)
            except Exception as error:
                ends[position] = error
                del under_way[position]


def _pause(arm: TrainingArm) -> bool:
    """What is due between two updates: history, checkpoint, stop; whether the arm's training is done.

    Raises:
        Stopped: The worker was asked to stop; all is saved.
        FloatingPointError: The training diverged.
    """
    _record(arm)
    done, stop = arm.trainer.done, arm.progress.stop_requested
    if done or stop or arm.checkpoints.due:
        _save(arm)
    if stop and not done:
        raise arm.progress.stop()
    return done


def _record(arm: TrainingArm) -> None:
    """Adds a line to the history where one is due: loss since the last line, learning rate, Dice, seconds."""
    trainer, progress = arm.trainer, arm.progress
    settings, step = trainer.settings, trainer.step
    if trainer.recorded == step:
        return
    validate_every = settings.validate_every or max(settings.steps // 5, 1)
    validated = arm.validate is not None and (trainer.done or step % validate_every == 0)
    if trainer.done or validated or step % ceil(settings.steps / HISTORY_LINES) == 0:
        loss = trainer.loss_sum.item() / trainer.loss_steps
        require_finite(loss, step)
        line: dict[str, Any] = {
            "step": step,
            "loss": loss,
            "learning_rate": learning_rate(step - 1, settings),
        }
        if arm.validate is not None and validated:
            _save(arm)  # a stop in the middle costs the validation, not the training
            with progress.clock.phase("validate"):
                trainer.network.eval()
                line["dice"] = arm.validate()
                trainer.network.train()
        line["seconds"] = progress.clock.seconds()
        progress.record(line)
        trainer.loss_sum.zero_()
        trainer.loss_steps = 0
    trainer.recorded = step


def _save(arm: TrainingArm) -> None:
    """Writes a checkpoint; the history goes first, so that none of its lines is lost on a resume."""
    with arm.progress.clock.phase("checkpoint"):
        arm.progress.flush_history()
        arm.checkpoints.save(arm.trainer.step, arm.trainer.state())
