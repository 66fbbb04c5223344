r"""Trains on Keras' JAX backend from one file, on a machine without TensorFlow.

    KERAS_BACKEND=jax python examples/pretrained/train_on_jax.py --data stems.npz \
        --workdir work/jax --variant M5 --learning_rate_schedule cosine \
        --max_epochs 20 --nofine_tuning --loss sdr …

Needs keras, jax, absl-py, h5py and numpy. Network, loss and augmentation are those of
`train`, and so are the flags that have a meaning here. All stems lie on the device, and
excerpts are cut there.

Writes WORKDIR/best, an ordinary checkpoint, after each epoch with a higher SDR on the
validation tracks than before; history.jsonl; and state.npz, from which the same command
continues after its last whole epoch.
"""

from __future__ import annotations

import os
import pathlib
import sys

from absl import flags

if not __package__:  # run by its path
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from waveunet_tf.commands import app, config_flags

_DATA = flags.DEFINE_string("data", None, "The file of data_file.", required=True)
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
config_flags.define_network_flags()
config_flags.define_training_flags()


def main(_):
    """Trains, and prints a line of JSON for each epoch."""
    if os.environ.get("KERAS_BACKEND") != "jax":
        raise app.UsageError("needs KERAS_BACKEND=jax in the environment")
    import keras

    from examples.pretrained import jax_training
    from examples.pretrained.coded_stems import read_coded_stems
    from waveunet_tf.data import augmentation
    from waveunet_tf.training import losses

    config = config_flags.network_config_from_flags()
    training = config_flags.training_config_from_flags(flags.FLAGS.variant)
    if training.fine_tuning or not training.max_epochs:
        raise app.UsageError("trains one stage: needs --nofine_tuning and --max_epochs")
    if config.has_spectrogram:  # whose statistics of batches would be lost
        raise app.UsageError(
            f"trains networks of waveforms. Received: --variant {flags.FLAGS.variant}"
        )
    if training.loss not in losses.OF_WAVEFORMS:
        known = ", ".join(losses.OF_WAVEFORMS)
        raise app.UsageError(f"--loss must be of {known}. Received: {training.loss}")
    keras.config.set_dtype_policy(_PRECISION.value)
    stems = read_coded_stems(_DATA.value, "train", config)
    for line in augmentation.share_lines(
        stems.data_sets, stems.frames, training, stems.weights
    ):
        print(line, flush=True)
    trainer = jax_training.Trainer(config, training, stems)
    jax_training.run_training(
        trainer,
        read_coded_stems(_DATA.value, "valid", config),
        _WORKDIR.value,
        max_seconds=_MAX_SECONDS.value,
    )


if __name__ == "__main__":
    app.run(main)
