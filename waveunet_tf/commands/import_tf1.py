r"""Turns a TF1 checkpoint of the original Wave-U-Net into one of this project's.

    waveunet import --tf1_checkpoint checkpoints/full-118123 \
        --variant M5-HighSR --output ~/m5

The shapes in the checkpoint show its levels, filters, kernel sizes, channels,
upsampling and number of outputs. The variant or flags give the rest: sample rate,
context, output type and activation, and the names of the sources. If they contradict
each other, nothing is written.
"""

import pathlib

from absl import flags

from waveunet_tf.checkpoints.adam import MOMENTS
from waveunet_tf.checkpoints.checkpoint import CONFIG, WEIGHTS
from waveunet_tf.commands import app, config_flags
from waveunet_tf.configs.networks import ARCHITECTURES
from waveunet_tf.system import files

_TF1_CHECKPOINT = flags.DEFINE_string(
    "tf1_checkpoint",
    None,
    "The prefix of the checkpoint: its path without .index. Or an .npz of its "
    "variables, with __ for / in their names.",
    required=True,
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "The checkpoint folder to write.", required=True, short_name="o"
)
_WITH_OPTIMIZER = flags.DEFINE_boolean(
    "with_optimizer",
    False,
    "Import Adam's moments and step too, from which `train --init_from` continues.",
)
_OVERWRITE = flags.DEFINE_boolean(
    "overwrite", False, "Replace a checkpoint that exists."
)
config_flags.define_network_flags(default_variant=None)
flags.adopt_module_key_flags(config_flags)


def main(_):
    """Imports the checkpoint, and prints the fields that its shapes do not show."""
    output = pathlib.Path(_OUTPUT.value)
    paths = [output / name for name in (CONFIG, WEIGHTS, MOMENTS)]
    files.require_new(*paths, overwrite=_OVERWRITE.value)
    overrides = config_flags.flag_overrides(*ARCHITECTURES.values())

    from waveunet_tf.checkpoints.tf1_import import assumed_fields, import_tf1

    variant, config = import_tf1(
        _TF1_CHECKPOINT.value,
        output,
        variant=flags.FLAGS.variant,
        overrides=overrides,
        with_optimizer=_WITH_OPTIMIZER.value,
    )
    assumed = assumed_fields(config)
    print(f"{output}: imported as {variant}")
    print("not in the checkpoint, but from the variant or flags:")
    for name, value in assumed.items():
        shown = ",".join(value) if isinstance(value, tuple) else value
        print(f"  --{name}={shown}")


if __name__ == "__main__":
    app.run(main)
