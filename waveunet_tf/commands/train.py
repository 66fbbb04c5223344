r"""Trains a Wave-U-Net on a prepared folder of stems.

    waveunet train --variant M4 --data_dir ~/prepared \
        --workdir ~/m4

Writes WORKDIR/best (config.json, the weights of the best epoch and Adam's moments),
WORKDIR/history.jsonl (one line an epoch), WORKDIR/loss.png, WORKDIR/tensorboard and
WORKDIR/state. After Ctrl-C, a crash or a kill, the same command continues the training
as if nothing had happened.

--strategy mirrored trains on all GPUs of a machine. --strategy multiworker trains on
several machines: run the same command on each, with WORKDIR on a file system that all
of them see. Only the task differs in the variable TF_CONFIG:

    TF_CONFIG='{"cluster": {"worker": ["host0:12345", "host1:12345"]},
                "task": {"type": "worker", "index": 0}}'
"""

from __future__ import annotations

import signal
import sys

from absl import flags

from waveunet_tf.commands import app, config_flags
from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.data import prepared
from waveunet_tf.errors import InputError

_DATA_DIR = flags.DEFINE_multi_string(
    "data_dir",
    None,
    "The folder of stems that `prepare` wrote. Several may be given, for instance "
    "MUSDB18 and CCMixter.",
    required=True,
)
_DATA_WEIGHT = flags.DEFINE_multi_float(
    "data_weight",
    None,
    "How often a --data_dir counts: with 3 its tracks are drawn as if it was named "
    "three times. Once for each --data_dir, in their order. Default: 1 each.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "The folder to write: a new one, or that of a training of the same flags, which "
    "continues.",
    required=True,
)
_INIT_FROM = flags.DEFINE_string(
    "init_from",
    None,
    "A checkpoint of the same network to start from, with Adam's moments if it holds "
    "them. By default random weights.",
)
_SAVE_SECONDS = flags.DEFINE_float(
    "save_seconds",
    600.0,
    "Seconds between two states that are saved within an epoch.",
    lower_bound=0,
)
_REINIT_OUTPUT = flags.DEFINE_boolean(
    "reinit_output",
    False,
    "Allow an --init_from for other sources or another sample rate. The output layers "
    "then start from random weights.",
)
_PROFILE = flags.DEFINE_boolean(
    "profile", False, "Write a trace of ten steps into WORKDIR/tensorboard."
)
_OTHER_DATA = flags.DEFINE_boolean(
    "other_data",
    False,
    "Allow a stopped training to go on with other data than it began with.",
)
config_flags.define_network_flags()
config_flags.define_training_flags()
config_flags.define_config_flags({"": ComputeConfig()}, ComputeConfig)
flags.adopt_module_key_flags(config_flags)


class _Interrupt:
    """Catches SIGINT and SIGTERM within a `with` block, so that the training saves."""

    def __init__(self):
        self.number: int | None = None
        self._handlers = {}

    def __enter__(self) -> _Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, _) -> None:
        if self.number is not None:  # the second signal: stop without saving
            raise KeyboardInterrupt
        self.number = number

    def is_noted(self) -> bool:
        """Returns whether a signal was caught."""
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """The exit code of a process that the signal ends.

        Without a signal here, another worker received one.
        """
        return 128 + (self.number or signal.SIGTERM)


def main(_):
    """Trains as the flags say."""
    config = config_flags.network_config_from_flags()
    training = config_flags.training_config_from_flags(flags.FLAGS.variant)
    compute = config_flags.override(
        ComputeConfig(), config_flags.flag_overrides(ComputeConfig)
    )
    try:
        prepared.check_weights(_DATA_DIR.value, _DATA_WEIGHT.value)
    except InputError as error:
        raise app.UsageError(str(error)) from error
    if _REINIT_OUTPUT.value and not _INIT_FROM.value:
        raise app.UsageError("`reinit_output` needs `init_from`")

    from waveunet_tf.training.loop import Stopped, train

    interrupt = _Interrupt()
    try:
        with interrupt:
            progress = train(
                config,
                training,
                data_dirs=_DATA_DIR.value,
                data_weights=_DATA_WEIGHT.value,
                workdir=_WORKDIR.value,
                compute=compute,
                init_from=_INIT_FROM.value,
                reinit_output=_REINIT_OUTPUT.value,
                profile=_PROFILE.value,
                other_data=_OTHER_DATA.value,
                save_seconds=_SAVE_SECONDS.value,
                should_stop=interrupt.is_noted,
            )
    except Stopped as stop:
        print(f"interrupted {stop}; the same command goes on", file=sys.stderr)
        return interrupt.exit_code
    validated = any(prepared.has_subset(folder, "valid") for folder in _DATA_DIR.value)
    kind = "validation" if validated else "training"
    best = f"{kind} loss {progress.best_loss:.3e}"
    if training.best_by == "sdr":
        best = f"validation SDR {-progress.best_loss:.2f} dB"
    print(
        f"{_WORKDIR.value}/best: epoch {progress.best_epoch} of {progress.epoch} "
        f"({progress.step} steps), {best}"
    )


if __name__ == "__main__":
    app.run(main)
