"""The epochs of a training on JAX: steps, validation, and the way back."""

from __future__ import annotations

import json
import os
import time

from absl import logging

from examples.pretrained.coded_stems import CodedStems
from examples.pretrained.jax_states import States
from examples.pretrained.jax_training import LostAt, Trainer
from waveunet_tf.errors import InputError
from waveunet_tf.system import files, memory
from waveunet_tf.training import metrics
from waveunet_tf.training.guard import MAX_ROLLBACKS
from waveunet_tf.training.history import History


def run_training(
    trainer: Trainer,
    validation: CodedStems,
    workdir: str | os.PathLike,
    *,
    max_seconds: float | None = None,
) -> None:
    """Trains to the last epoch, from where an earlier call in the folder stopped.

    A training that is lost goes back to its last good state, with half the learning
    rate, as `train` does.

    Args:
        trainer: The training.
        validation: The validation tracks.
        workdir: The folder for `best`, `history.jsonl`, `state.npz` and `good.npz`.
        max_seconds: The time after which no further epoch begins; one is done always.

    Raises:
        InputError: The training was lost also after it went back three times; another
            run is at work in the folder; all validation tracks are silent; or the
            training has a budget, and the folder holds one that has begun.
        OSError: A file cannot be written.
    """
    with (
        files.locked_folder(workdir),
        memory.advising("training", "a lower --batch_size or fewer --output_frames"),
    ):
        _run_epochs(trainer, validation, workdir, max_seconds)


def _run_epochs(trainer, validation, workdir, max_seconds) -> None:
    """Runs the epochs that are left, or that fit into the budget."""
    files.remove_parts(workdir)  # of killed runs
    began, done = time.monotonic(), 0
    states, history = States(workdir, trainer), History(workdir)
    history.match(states.epochs, trainer.guard.rollbacks)
    budget = trainer.budget
    if budget and states.epochs:
        raise InputError(
            f"{workdir}: must be new for a training within a budget, but holds one of "
            f"{states.epochs} epochs; --init_from goes on from its weights"
        )
    while not budget.is_over if budget else states.epochs < trainer.training.max_epochs:
        started = time.monotonic()
        if max_seconds is not None and done and started - began > max_seconds:
            break
        done += 1
        try:
            loss = trainer.run_epoch(states.epochs)
        except LostAt as lost:
            states.go_back(lost)
            history.match(states.epochs, trainer.guard.rollbacks)
            record = trainer.guard.rollbacks[-1]
            print(json.dumps(record), flush=True)
            logging.warning(
                "%s; back to step %d at a learning rate of %.3g (%d of at most %d "
                "times)",
                *(record[name] for name in ("reason", "to_step", "learning_rate")),
                *(record["rollback"], MAX_ROLLBACKS),
            )
            continue
        sdr = trainer.validation_sdr_db(validation)
        states.epochs += 1
        steps = states.epochs * trainer.training.steps_per_epoch
        if budget:  # the last epoch may be shorter
            steps = budget.steps
        record = {
            "epoch": states.epochs,
            "stage": 1,
            "step": steps,
            "learning_rate": trainer.rate(steps - 1),
            "loss": loss,
            "validation_loss": None,
            "validation_sdr_db": sdr,
            "seconds": round(time.monotonic() - started, 2),
        }
        print(json.dumps(record), flush=True)
        history.append(record)
        mean = metrics.mean_sdr_db(sdr)
        if mean > states.best:
            states.best = mean
            trainer.save_best(os.path.join(workdir, "best"))
        states.save()
