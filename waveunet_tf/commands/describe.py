r"""Describes a network: its layers' sizes, parameters, work, context and memory.

    waveunet describe --variant M4 --plot m4.png
    waveunet describe --checkpoint ~/m4/best

Frames are those of one training window. Multiply-adds are for a second of output; MiB
is the size of a layer's output in float32.
"""

import pathlib

from absl import flags

from waveunet_tf.commands import app, config_flags
from waveunet_tf.configs.networks import ARCHITECTURES
from waveunet_tf.system import files

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "The checkpoint, or a model's name, whose network is described."
)
_PLOT = flags.DEFINE_string(
    "plot", None, "A picture to write (.png, .svg or .pdf), like figure 1 of the paper."
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace a picture that exists.")
config_flags.define_network_flags()
flags.adopt_module_key_flags(config_flags)


def main(_):
    """Prints the description, and draws the network if asked to."""
    plot = _PLOT.value and pathlib.Path(_PLOT.value)
    if plot and plot.suffix not in (".png", ".svg", ".pdf"):
        raise app.UsageError(f"--plot must end in .png, .svg or .pdf. Received: {plot}")
    if plot:
        files.require_new(plot, overwrite=_OVERWRITE.value)
    if not _CHECKPOINT.value:
        config = config_flags.network_config_from_flags()
    elif flags.FLAGS["variant"].present or config_flags.flag_overrides(
        *ARCHITECTURES.values()
    ):
        raise app.UsageError("--checkpoint has its own config and excludes its flags")
    else:
        from waveunet_tf.checkpoints.checkpoint import Checkpoint

        config = Checkpoint.open(_CHECKPOINT.value).config

    from waveunet_tf.networks.description import describe_network, format_description

    description = describe_network(config)
    print(format_description(description))
    if plot:
        from waveunet_tf.networks.plot import plot_network

        plot_network(description, plot)


if __name__ == "__main__":
    app.run(main)
