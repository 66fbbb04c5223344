r"""Trains a Wave-U-Net on a prepared folder of stems.

    python -m waveunet_tf.run_train --variant M4 --data_dir ~/prepared \
        --workdir ~/m4

Writes WORKDIR/best (config.json, the weights of the best epoch and Adam's moments),
WORKDIR/history.jsonl (one line an epoch) and WORKDIR/state. After Ctrl-C, a crash or a
kill the same command goes on where the training stood, as if nothing had happened.
"""

import signal
import sys

from absl import flags

from waveunet_tf import cli

_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "The folder of stems that run_prepare wrote.", required=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "The folder to write: new, or of a training of the same flags, which then goes on.",
    required=True,
)
_INIT_FROM = flags.DEFINE_string(
    "init_from",
    None,
    "A checkpoint of the same network to start from, with Adam's moments if it holds "
    "them; by default random weights.",
)
_SAVE_SECONDS = flags.DEFINE_float(
    "save_seconds",
    600.0,
    "How often the state is saved within an epoch, in seconds.",
    lower_bound=0,
)
cli.define_network_flags()
cli.define_training_flags()
flags.adopt_module_key_flags(cli)


def main(_):
    config = cli.network_config_from_flags()
    training = cli.training_config_from_flags(flags.FLAGS.variant)

    from waveunet_tf.train import Stopped, train

    came = []

    def note(number, _):
        if came:  # asked twice: at once, without saving
            raise KeyboardInterrupt
        came.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    try:
        progress = train(
            config,
            training,
            data_dir=_DATA_DIR.value,
            workdir=_WORKDIR.value,
            init_from=_INIT_FROM.value,
            save_seconds=_SAVE_SECONDS.value,
            should_stop=lambda: bool(came),
        )
    except Stopped as stop:
        print(f"interrupted {stop}; the same command goes on", file=sys.stderr)
        return 128 + came[0]
    print(
        f"{_WORKDIR.value}/best: epoch {progress.best_epoch} of {progress.epoch}, "
        f"loss {progress.best_loss:.3e}"
    )


if __name__ == "__main__":
    cli.run(main)
