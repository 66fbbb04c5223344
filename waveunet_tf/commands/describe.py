r"""Tells what a network is made of: sizes, parameters, work, context, memory.

    python -m waveunet_tf describe --variant M4 --plot m4.png
    python -m waveunet_tf describe --checkpoint ~/m4/best

Frames are those of one window of training. Multiply-adds are for a second of output;
MiB is a layer's output in float32.
"""

import pathlib

from absl import flags

from waveunet_tf.commands import app, config_flags
from waveunet_tf.configs.networks import ARCHITECTURES
from waveunet_tf.errors import InputError

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Instead of a variant: a checkpoint's network, or a model's."
)
_PLOT = flags.DEFINE_string(
    "plot", None, "A picture to write (.png, .svg or .pdf), as the paper's figure 1."
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace a picture that exists.")
config_flags.define_network_flags()
flags.adopt_module_key_flags(config_flags)


def main(_):
    plot = _PLOT.value and pathlib.Path(_PLOT.value)
    if plot and plot.suffix not in (".png", ".svg", ".pdf"):
        raise app.UsageError(f"--plot must end in .png, .svg or .pdf. Received: {plot}")
    if plot and plot.exists() and not _OVERWRITE.value:
        raise InputError(f"{plot}: must be a new file, or --overwrite be given")
    if not _CHECKPOINT.value:
        config = config_flags.network_config_from_flags()
    elif flags.FLAGS["variant"].present or config_flags.flag_overrides(
        *ARCHITECTURES.values()
    ):
        raise app.UsageError("--checkpoint has its own config: no other flags for it")
    else:
        from waveunet_tf.checkpoints.checkpoint import read_config

        config = read_config(_CHECKPOINT.value)

    from waveunet_tf.networks.description import describe_network, format_description

    summary = describe_network(config)
    print(format_description(summary))
    if plot:
        from waveunet_tf.networks.plot import plot_network

        plot_network(summary, plot)


if __name__ == "__main__":
    app.run(main)
