r"""Trains on Keras' JAX backend from a few files, on a machine without TensorFlow.

    KERAS_BACKEND=jax python examples/pretrained/train_on_jax.py --data parts \
        --workdir work/jax --variant M5 --learning_rate_schedule cosine \
        --max_epochs 20 --nofine_tuning --loss sdr …

Needs what requirements-jax.txt lists. Network, loss and augmentation are those of
`train`, and so are the flags that have a meaning here. All stems lie on the device, and
excerpts are cut there.

Writes WORKDIR/best, an ordinary checkpoint, after each epoch with a higher SDR on the
validation tracks than before; history.jsonl; and state.npz, from which the same command
continues after its last whole epoch. At the end weights-0.npz and more hold the best
weights in float16, in files below 16 MiB, to be carried away from the machine.

With --budget_seconds it trains as long as that:

    KERAS_BACKEND=jax python examples/pretrained/train_on_jax.py --data parts \
        --workdir work/jax --budget_seconds 590 --warmup_steps 1500 --nofine_tuning …
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys

from absl import flags

if not __package__:  # run by its path
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from waveunet_tf.commands import app, config_flags
from waveunet_tf.errors import InputError

_DATA = flags.DEFINE_string("data", None, "The folder of pack_stems.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "The folder to write.", required=True)
_PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "mixed_bfloat16"],
    "The numbers that layers compute with.",
)
_MAX_SECONDS = flags.DEFINE_float(
    "max_seconds",
    None,
    "Begin no epoch after this time, but for the first; the same command continues.",
    lower_bound=0,
)
_BUDGET_SECONDS = flags.DEFINE_float(
    "budget_seconds",
    None,
    "Train as long as this from the start on, instead of --max_epochs. After the "
    "warm-up the learning rate falls as a cosine over the time that is left.",
    lower_bound=1,
)
_RESERVE_SECONDS = flags.DEFINE_float(
    "reserve_seconds",
    25.0,
    "The end of --budget_seconds, for the last validation and for files.",
    lower_bound=0,
)
_INIT_FROM = flags.DEFINE_multi_string(
    "init_from",
    None,
    "Weights to begin with: a checkpoint, or .npz files that hold them together, as "
    "WORKDIR/weights-0.npz. By default random ones.",
)
config_flags.define_network_flags()
config_flags.define_training_flags()


def main(_):
    """Trains, and prints a line of JSON for each epoch."""
    if os.environ.get("KERAS_BACKEND") != "jax":
        raise app.UsageError("needs KERAS_BACKEND=jax in the environment")
    from examples.pretrained.budget import Budget

    budget = None
    if _BUDGET_SECONDS.value:
        budget = Budget(_BUDGET_SECONDS.value, reserve_seconds=_RESERVE_SECONDS.value)

    import keras

    from examples.pretrained import jax_epochs, jax_training
    from examples.pretrained.stem_parts import read_stem_parts
    from examples.pretrained.weight_arrays import read_weights, write_weights
    from waveunet_tf.data import augmentation

    config = config_flags.network_config_from_flags()
    training = config_flags.training_config_from_flags(flags.FLAGS.variant)
    _check_flags(config, training, budget)
    training = dataclasses.replace(training, best_by="sdr")
    keras.config.set_dtype_policy(_PRECISION.value)
    stems = read_stem_parts(_DATA.value, "train", config)
    for line in augmentation.share_lines(
        stems.data_sets, stems.frames, training, stems.weights
    ):
        print(line, flush=True)
    trainer = jax_training.Trainer(config, training, stems, budget)
    if _INIT_FROM.value and not os.path.exists(
        os.path.join(_WORKDIR.value, "state.npz")
    ):
        trainer.start_from(_INIT_FROM.value)
    jax_epochs.run_training(
        trainer,
        read_stem_parts(_DATA.value, "valid", config),
        _WORKDIR.value,
        max_seconds=_MAX_SECONDS.value,
    )
    best = os.path.join(_WORKDIR.value, "best")
    if not os.path.isdir(best):
        raise InputError(
            "`budget_seconds` must leave time for a step. Received: "
            f"{_BUDGET_SECONDS.value}, with {_RESERVE_SECONDS.value} for the end"
        )
    shapes = [weight.shape for weight in trainer.state["weights"]]
    write_weights(_WORKDIR.value, read_weights([best], shapes))


def _check_flags(config, training, budget) -> None:
    """Refuses what a training on JAX cannot do.

    Raises:
        UsageError: The flags ask for it.
    """
    from waveunet_tf.training import losses

    if flags.FLAGS.best_by == "loss":
        raise app.UsageError("keeps the best epoch by its SDR: needs --best_by sdr")
    if budget and (training.learning_rate_schedule == "cosine" or training.max_epochs):
        raise app.UsageError(
            "--budget_seconds has a cosine and an end of its own: no --max_epochs and "
            "no --learning_rate_schedule cosine"
        )
    if training.fine_tuning or not (budget or training.max_epochs):
        raise app.UsageError(
            "trains one stage: needs --nofine_tuning, and --max_epochs or "
            "--budget_seconds"
        )
    if config.has_spectrogram:  # whose statistics of batches would be lost
        raise app.UsageError(
            f"trains networks of waveforms. Received: --variant {flags.FLAGS.variant}"
        )
    if training.validation_mixture != "sum":
        raise app.UsageError("has no mixtures: needs --validation_mixture sum")
    if training.loss not in losses.OF_WAVEFORMS:
        known = ", ".join(losses.OF_WAVEFORMS)
        raise app.UsageError(f"--loss must be of {known}. Received: {training.loss}")


if __name__ == "__main__":
    app.run(main)
