r"""Writes a checkpoint's weights in 8 bits, for a later training to begin with.

    python -m examples.pretrained.weights_of_checkpoint --checkpoint best \
        --output start.npz

`train_on_jax --init_from start.npz` reads the file, a quarter of float32's size.
"""

from __future__ import annotations

from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.system import files

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "The checkpoint's folder.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "The new .npz file.", required=True)


def main(_):
    """Writes the weights."""
    from examples.pretrained.weight_arrays import write_eight_bits
    from waveunet_tf.checkpoints.checkpoint import load_network

    files.require_new(_OUTPUT.value, overwrite=None)
    write_eight_bits(_OUTPUT.value, load_network(_CHECKPOINT.value).trainable_weights)
    print(_OUTPUT.value)


if __name__ == "__main__":
    app.run(main)
