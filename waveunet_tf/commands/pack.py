r"""Packs a checkpoint as a small model, which commands find by its name.

    waveunet pack --checkpoint ~/m4/best --name vocals \
        --description "Vocals of pop songs, trained on my stems" \
        --median_sdr_db "validation vocals=4.9"
    waveunet pack --checkpoint ~/m4/best --name vocals \
        --description "…" --output_dir ~/models

Writes OUTPUT_DIR/<name>/: config.json, the weights rounded to float16, the network
converted for LiteRT, and the card model.json, with their hashes. `separate --model`,
and whatever else takes a checkpoint, then takes the model's name. If you choose
OUTPUT_DIR, set the environment variable WAVEUNET_TF_MODELS to it; the models of
installed packages stay known.
"""

import functools
import math
import pathlib
import re

from absl import flags

from waveunet_tf.checkpoints import registry
from waveunet_tf.checkpoints.checkpoint import CONFIG, WEIGHTS, Checkpoint
from waveunet_tf.commands import app
from waveunet_tf.system import files

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "The checkpoint: a folder of config.json and weights, or a model's name.",
    required=True,
)
_NAME = flags.DEFINE_string("name", None, "The name of the model.", required=True)
_DESCRIPTION = flags.DEFINE_string(
    "description",
    None,
    "One line on what the model separates and was trained on, for `waveunet models`.",
    required=True,
)
_MEDIAN_SDR = flags.DEFINE_multi_string(
    "median_sdr_db",
    [],
    "A score for `waveunet models`, as WHAT=DB, such as 'validation vocals=4.9'. May "
    "be given several times.",
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    f"The folder of models. Default: ${registry.FOLDER_VARIABLE}, or else a folder in "
    "your home, whose models all commands find.",
    short_name="o",
)
_CARRY_STEP = flags.DEFINE_boolean(
    "carry_step",
    True,
    "Add the network converted for LiteRT, with which the model separates at once and "
    "without TensorFlow. It is half as large again as the weights.",
)
_CARRY_DYNAMIC_STEP = flags.DEFINE_boolean(
    "carry_dynamic_step",
    False,
    "Add a second step, most of whose weights have 8 bits, for `waveunet export-web` "
    "where there is no TensorFlow. Needs --carry_step.",
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace a model of this name.")


def scores_from_flags() -> dict[str, float]:
    """Reads the scores: what was scored → the median SDR in dB.

    Raises:
        UsageError: A score is not WHAT=DB with a finite number.
    """
    scores = {}
    for text in _MEDIAN_SDR.value:
        what, _, decibels = text.rpartition("=")
        try:
            scores[what] = float(decibels)
        except ValueError:
            what = ""
        if not what or not math.isfinite(scores[what]):
            raise app.UsageError(f"--median_sdr_db must be WHAT=DB. Received: {text}")
    return scores


def main(_):
    """Packs the checkpoint, and prints the size of the model."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", _NAME.value):
        raise app.UsageError(
            "--name must be of letters, digits and _.-, as it names a folder. "
            f"Received: {_NAME.value}"
        )
    if not _DESCRIPTION.value.strip() or len(_DESCRIPTION.value.splitlines()) != 1:
        raise app.UsageError(
            f"--description must be one line. Received: {_DESCRIPTION.value!r}"
        )
    if _CARRY_DYNAMIC_STEP.value and not _CARRY_STEP.value:
        raise app.UsageError("--carry_dynamic_step needs --carry_step")
    scores = scores_from_flags()
    models = registry.own_folder()
    if _OUTPUT_DIR.value is not None:
        models = pathlib.Path(_OUTPUT_DIR.value)
    target = models / _NAME.value
    paths = [target / name for name in (CONFIG, WEIGHTS, registry.CARD)]
    files.require_new(*paths, overwrite=_OVERWRITE.value)

    from waveunet_tf.checkpoints.packing import pack
    from waveunet_tf.separation import engines

    config = Checkpoint.open(_CHECKPOINT.value).config
    card = pack(
        _CHECKPOINT.value,
        target,
        description=_DESCRIPTION.value.strip(),
        median_sdr_db=scores,
        convert=functools.partial(
            engines.convert_steps, config, dynamic=_CARRY_DYNAMIC_STEP.value
        )
        if _CARRY_STEP.value
        else None,
    )
    print(f"{target}: {card.size_bytes / 1e6:.2f} MB")


if __name__ == "__main__":
    app.run(main)
