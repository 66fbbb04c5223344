r"""Packs a checkpoint as a model that is found by its name, small enough to ship.

    python -m waveunet_tf pack --checkpoint ~/m4/best --name vocals \
        --description "Vocals of pop songs, trained on my stems" \
        --median_sdr_db "validation vocals=4.9"
    python -m waveunet_tf pack --checkpoint ~/m4/best --name vocals \
        --description "…" --output_dir ~/models

Writes OUTPUT_DIR/<name>/: config.json and the weights, cast to float16, without the
optimizer's, and model.json, with their hashes. `separate --model` and all else that
takes a checkpoint then know it by its name. Those of another folder than the package's
are found there by setting the environment variable WAVEUNET_TF_MODELS to it.
"""

import math
import pathlib
import re

from absl import flags

from waveunet_tf.checkpoints import registry
from waveunet_tf.checkpoints.checkpoint import CONFIG, WEIGHTS
from waveunet_tf.commands import app
from waveunet_tf.errors import InputError

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "The folder of config.json and weights, or a model's name.",
    required=True,
)
_NAME = flags.DEFINE_string("name", None, "What to call the model.", required=True)
_DESCRIPTION = flags.DEFINE_string(
    "description",
    None,
    "One line on what it separates and what it was trained on, for --list_models.",
    required=True,
)
_MEDIAN_SDR = flags.DEFINE_multi_string(
    "median_sdr_db",
    [],
    "WHAT=DB, a score for --list_models, such as 'validation vocals=4.9'. May be given "
    "several times.",
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    f"The folder of models. Default: that of ${registry.FOLDER_VARIABLE}, or else "
    "the package's own.",
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace a model of that name.")


def scores_from_flags() -> dict[str, float]:
    """What was scored → the median SDR in dB.

    Raises:
        UsageError: a score is no WHAT=DB.
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
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", _NAME.value):
        raise app.UsageError(
            "--name must be of letters, digits and _.-, for it is a folder. "
            f"Received: {_NAME.value}"
        )
    if not _DESCRIPTION.value.strip() or len(_DESCRIPTION.value.splitlines()) != 1:
        raise app.UsageError(
            f"--description must be one line. Received: {_DESCRIPTION.value!r}"
        )
    scores = scores_from_flags()
    models = registry.models_dir()
    if _OUTPUT_DIR.value is not None:
        models = pathlib.Path(_OUTPUT_DIR.value).expanduser()
    target = models / _NAME.value
    paths = [target / name for name in (CONFIG, WEIGHTS, registry.CARD)]
    existing = [path for path in paths if path.exists()]
    if existing and not _OVERWRITE.value:
        raise InputError(f"{existing[0]}: must be a new file, or --overwrite be given")

    from waveunet_tf.checkpoints.packing import pack

    manifest = pack(
        _CHECKPOINT.value,
        target,
        description=_DESCRIPTION.value.strip(),
        median_sdr_db=scores,
    )
    print(f"{target}: {manifest.size_bytes / 1e6:.2f} MB")


if __name__ == "__main__":
    app.run(main)
