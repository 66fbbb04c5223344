r"""Exports a checkpoint for phones and servers.

    python -m export.run_export --checkpoint ~/m4/best --output ~/artefacts \
        --formats tflite_float32
    python -m export.run_export --checkpoint ~/m4/best --output ~/models \
        --formats saved_model --model_name waveunet --version 1

Writes OUTPUT/<format>.tflite, after running it on LiteRT beside the network; and
OUTPUT/<model_name>/<version>/, a SavedModel for TensorFlow Serving, after comparing it
with a separator, with the server's configuration in OUTPUT (docs/serving.md).
"""

import pathlib
import re
import shutil

from absl import flags, logging

from waveunet_tf import cli, files
from waveunet_tf.errors import InputError

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "The folder of config.json and weights.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "The folder to write.", required=True)
_FORMATS = flags.DEFINE_list(
    "formats",
    None,
    "What to write, comma separated. tflite_float32: one window of the network, in "
    "float32. saved_model: for TensorFlow Serving, songs of any length.",
    required=True,
)
_MODEL_NAME = flags.DEFINE_string(
    "model_name", "waveunet", "Of saved_model: the name by which clients ask for it."
)
_VERSION = flags.DEFINE_integer(
    "version",
    1,
    "Of saved_model: its number; a server takes the highest.",
    lower_bound=1,
)
_CHUNK_FRAMES = flags.DEFINE_integer(
    "chunk_frames",
    None,
    "Of saved_model: the most frames, at the network's rate, that its signature stream "
    "takes at once, unless 2^levels is more. Default: 16384.",
    lower_bound=1,
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace files that exist.")

# Rounding of float32 sums in another order, at outputs between -1 and 1.
_MAX_DIFFERENCE = 1e-5


def export_tflite_float32(path: pathlib.Path) -> None:
    """Writes the file if it equals the network, and prints its size and difference."""
    from export import parity, tflite

    content = tflite.convert_float32(_CHECKPOINT.value)
    with files.atomic_file(path) as part:
        part.write_bytes(content)
        difference = parity.window_difference(_CHECKPOINT.value, part)
        check_difference(path, difference)
    tell(path, path.stat().st_size, difference)


def export_saved_model(path: pathlib.Path) -> None:
    """Writes the folder if it equals a separator; prints its size and difference."""
    from export import parity, saved_model
    from export.serving import server_files

    with files.atomic_folder(path) as part:
        saved_model.save(
            _CHECKPOINT.value,
            part,
            chunk_frames=_CHUNK_FRAMES.value or saved_model.STREAM_CHUNK_FRAMES,
        )
        server_files.write_warm_up(part, _MODEL_NAME.value)
        difference = parity.saved_model_difference(_CHECKPOINT.value, part)
        check_difference(path, difference)
        size = sum(file.stat().st_size for file in part.rglob("*"))
        if path.exists():  # and --overwrite was given
            shutil.rmtree(path)
    tell(path, size, difference)
    folder = pathlib.Path(_OUTPUT.value)
    if hint := server_files.write_configs(folder, _MODEL_NAME.value, _VERSION.value):
        logging.warning("%s", hint)


def check_difference(path: pathlib.Path, difference: float) -> None:
    """Raises InputError if an artefact is not the network's."""
    if not difference <= _MAX_DIFFERENCE:
        raise InputError(
            f"{path}: must differ from the network by at most {_MAX_DIFFERENCE}, "
            f"but differs by {difference}; not written"
        )


def tell(path: pathlib.Path, size: int, difference: float) -> None:
    print(
        f"{path}: {size / 1e6:.2f} MB, largest difference from the network "
        f"{difference:.1e}"
    )


def target(name: str) -> pathlib.Path:
    """What a format writes."""
    folder = pathlib.Path(_OUTPUT.value)
    if name == "saved_model":
        return folder / _MODEL_NAME.value / str(_VERSION.value)
    return folder / f"{name}.tflite"


FORMATS = {"tflite_float32": export_tflite_float32, "saved_model": export_saved_model}


def main(_):
    names = _FORMATS.value
    if not names or not set(names) <= set(FORMATS):
        raise cli.UsageError(
            f"--formats must be of {', '.join(FORMATS)}. "
            f"Received: {', '.join(names) or 'none'}"
        )
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", _MODEL_NAME.value):
        raise cli.UsageError(
            "--model_name must be of letters, digits and _.-, for it is a folder and a "
            f"part of an address. Received: {_MODEL_NAME.value}"
        )
    logging.set_verbosity(logging.WARNING)  # the converter tells of its every step
    paths = {name: target(name) for name in names}
    existing = [path for path in paths.values() if path.exists()]
    if existing and not _OVERWRITE.value:
        raise InputError(f"{existing[0]}: must be a new file, or --overwrite be given")
    for name, path in paths.items():
        FORMATS[name](path)


if __name__ == "__main__":
    cli.run(main)
