r"""Averages the weights of checkpoints of one network.

    python -m examples.pretrained.average --checkpoint work/a/best \
        --checkpoint work/b/best --output work/average

The average of trainings that began with the same weights often separates better than
each of them ("model soups", Wortsman et al., 2022, arXiv 2203.05482).
"""

from __future__ import annotations

from absl import flags

from waveunet_tf.commands import app

_CHECKPOINT = flags.DEFINE_multi_string(
    "checkpoint", None, "A checkpoint, or a model's name. Two or more.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "The checkpoint to write, a new folder.", required=True
)


def main(_):
    """Writes the average."""
    directories = _CHECKPOINT.value
    if len(directories) < 2:
        raise app.UsageError(
            f"--checkpoint must be given twice or more. Received: {directories[0]}"
        )

    from examples.pretrained.averaging import average_checkpoints

    average_checkpoints(directories, _OUTPUT.value)
    print(f"{_OUTPUT.value}: the average of {len(directories)}")


if __name__ == "__main__":
    app.run(main)
