r"""Trains a Wave-U-Net on a prepared folder of stems.

    python -m waveunet_tf train --variant M4 --data_dir ~/prepared \
        --workdir ~/m4

Writes WORKDIR/best (config.json, the weights of the best epoch and Adam's moments),
WORKDIR/history.jsonl (one line an epoch), WORKDIR/loss.png, WORKDIR/tensorboard and
WORKDIR/state. After Ctrl-C, a crash or a kill the same command goes on where the
training stood, as if nothing had happened.

On all GPUs of a machine with --strategy mirrored; on several machines with --strategy
multiworker, the same command on each, WORKDIR on a file system that all of them see,
and the variable TF_CONFIG, whose task differs:

    TF_CONFIG='{"cluster": {"worker": ["host0:12345", "host1:12345"]},
                "task": {"type": "worker", "index": 0}}'
"""

import signal
import sys

from absl import flags

from waveunet_tf.commands import app, config_flags
from waveunet_tf.configs.training import ComputeConfig

_DATA_DIR = flags.DEFINE_multi_string(
    "data_dir",
    None,
    "The folder of stems that `prepare` wrote. May be given several times, such as "
    "for MUSDB18 and CCMixter together.",
    required=True,
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
_REINIT_OUTPUT = flags.DEFINE_boolean(
    "reinit_output",
    False,
    "Let --init_from be a checkpoint for other sources or another sample rate; its "
    "output layers are drawn anew.",
)
_PROFILE = flags.DEFINE_boolean(
    "profile", False, "Write a trace of ten steps into WORKDIR/tensorboard."
)
config_flags.define_network_flags()
config_flags.define_training_flags()
config_flags.define_config_flags({"": ComputeConfig()}, ComputeConfig)
flags.adopt_module_key_flags(config_flags)


def main(_):
    config = config_flags.network_config_from_flags()
    training = config_flags.training_config_from_flags(flags.FLAGS.variant)
    compute = config_flags.override(
        ComputeConfig(), config_flags.flag_overrides(ComputeConfig)
    )
    if _REINIT_OUTPUT.value and not _INIT_FROM.value:
        raise app.UsageError("`reinit_output` needs `init_from`")

    from waveunet_tf.training.loop import Stopped, train

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
            data_dirs=_DATA_DIR.value,
            workdir=_WORKDIR.value,
            compute=compute,
            init_from=_INIT_FROM.value,
            reinit_output=_REINIT_OUTPUT.value,
            profile=_PROFILE.value,
            save_seconds=_SAVE_SECONDS.value,
            should_stop=lambda: bool(came),
        )
    except Stopped as stop:
        print(f"interrupted {stop}; the same command goes on", file=sys.stderr)
        return 128 + (came[0] if came else signal.SIGTERM)  # or another worker was
    best = f"validation loss {progress.best_loss:.3e}"
    if training.best_by == "sdr":
        best = f"validation SDR {-progress.best_loss:.2f} dB"
    print(
        f"{_WORKDIR.value}/best: epoch {progress.best_epoch} of {progress.epoch} "
        f"({progress.step} steps), {best}"
    )


if __name__ == "__main__":
    app.run(main)
