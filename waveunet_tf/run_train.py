r"""Trains a Wave-U-Net on a prepared folder of stems.

    python -m waveunet_tf.run_train --variant M4 --data_dir ~/prepared \
        --workdir ~/m4

Writes WORKDIR/best (config.json and the weights of the best epoch) and
WORKDIR/history.jsonl (one line an epoch). Ctrl-C keeps both; to go on from there, give
another workdir and --init_from WORKDIR/best.
"""

from absl import flags

from waveunet_tf import cli

_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "The folder of stems that run_prepare wrote.", required=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "The folder to write, without a training in it.", required=True
)
_INIT_FROM = flags.DEFINE_string(
    "init_from",
    None,
    "A checkpoint of the same network to start from, with Adam's moments if it holds "
    "them; by default random weights.",
)
cli.define_network_flags()
cli.define_training_flags()
flags.adopt_module_key_flags(cli)


def main(_):
    config = cli.network_config_from_flags()
    training = cli.training_config_from_flags(flags.FLAGS.variant)

    from waveunet_tf.train import train

    progress = train(
        config,
        training,
        data_dir=_DATA_DIR.value,
        workdir=_WORKDIR.value,
        init_from=_INIT_FROM.value,
    )
    print(
        f"{_WORKDIR.value}/best: epoch {progress.best_epoch} of {progress.epoch}, "
        f"loss {progress.best_loss:.3e}"
    )


if __name__ == "__main__":
    cli.run(main)
