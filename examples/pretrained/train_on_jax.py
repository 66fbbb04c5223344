r"""Trains on Keras' JAX backend from one file, where there is no TensorFlow.

    KERAS_BACKEND=jax python examples/pretrained/train_on_jax.py --data stems.npz \
        --workdir work/jax --variant M5 --learning_rate_schedule cosine \
        --max_epochs 20 --nofine_tuning --loss sdr …

Needs keras, jax, absl-py, h5py and numpy. Network, loss and augmentation are those of
`train`, and so are the flags, as far as they have a meaning here; stems lie on the
device as a whole, and excerpts are cut there. Writes WORKDIR/best, an ordinary
checkpoint, whenever the validation tracks' SDR is higher than before, history.jsonl,
and state.npz, from which the same command goes on after its last whole epoch.
"""

from __future__ import annotations

import json
import math
import os
import pathlib
import sys
import time

import numpy as np
from absl import flags

if not __package__:  # run by its path
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from waveunet_tf.commands import app, config_flags

_DATA = flags.DEFINE_string("data", None, "What data_file wrote.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "The folder to write.", required=True)
_PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "mixed_bfloat16"],
    "Numbers that layers compute with.",
)
_MAX_SECONDS = flags.DEFINE_float(
    "max_seconds",
    None,
    "Begin no further epoch after so many seconds; the same command goes on.",
    lower_bound=0,
)
config_flags.define_network_flags()
config_flags.define_training_flags()


def main(_):
    began = time.monotonic()
    if os.environ.get("KERAS_BACKEND") != "jax":
        raise app.UsageError("needs KERAS_BACKEND=jax in the environment")
    import keras

    from examples.pretrained import jax_training, stems
    from waveunet_tf.training import losses

    config = config_flags.network_config_from_flags()
    training = config_flags.training_config_from_flags(flags.FLAGS.variant)
    if training.fine_tuning or not training.max_epochs:
        raise app.UsageError("trains one stage: needs --nofine_tuning and --max_epochs")
    if training.loss not in losses.OF_WAVEFORMS:
        known = ", ".join(losses.OF_WAVEFORMS)
        raise app.UsageError(f"--loss must be of {known}. Received: {training.loss}")
    keras.config.set_dtype_policy(_PRECISION.value)
    validation = stems.read(_DATA.value, "valid", config)
    trainer = jax_training.Trainer(
        config, training, stems.read(_DATA.value, "train", config)
    )
    workdir = pathlib.Path(_WORKDIR.value)
    workdir.mkdir(parents=True, exist_ok=True)
    first, best = 0, -math.inf
    if (workdir / "state.npz").exists():
        first, best = trainer.load(workdir / "state.npz")
    for epoch in range(first, training.max_epochs):
        limit, spent = _MAX_SECONDS.value, time.monotonic() - began
        if limit is not None and epoch > first and spent > limit:
            break
        started = time.monotonic()
        loss = trainer.run_epoch(epoch)
        sdr = trainer.validation_sdr_db(validation)
        record = {
            "epoch": epoch + 1,
            "loss": loss,
            "validation_sdr_db": sdr,
            "seconds": round(time.monotonic() - started, 2),
        }
        print(json.dumps(record), flush=True)
        with (workdir / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        mean = float(np.mean([level for level in sdr.values() if level is not None]))
        if mean > best:
            best = mean
            trainer.save_best(workdir / "best")
        trainer.save(workdir / "state.npz", epoch + 1, best)


if __name__ == "__main__":
    app.run(main)
