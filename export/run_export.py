r"""Exports a checkpoint for phones and servers.

    waveunet export --checkpoint ~/m4/best --output ~/artefacts \
        --formats tflite_float32,tflite_dynamic
    waveunet export --checkpoint ~/m4/best --output ~/artefacts \
        --formats tflite_int8,tflite_mixed --calibration_dir ~/prepared
    waveunet export --checkpoint ~/m4/best --output ~/models \
        --formats saved_model --model_name waveunet --version 1

Writes OUTPUT/<format>.tflite, and beside them the tables parity.md and parity.json:
what each file loses against the Keras network on real music, and what it costs. If a
file loses too much, nothing is written. saved_model writes
OUTPUT/<model_name>/<version>/ for TensorFlow Serving, if it equals a separator, and the
server's configuration in OUTPUT (docs/serve.md).
"""

import dataclasses
import pathlib
import re

from absl import flags, logging

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError
from waveunet_tf.export.kinds import CALIBRATED, KINDS, SAVED_MODEL
from waveunet_tf.separation.litert_conversion import ConversionError
from waveunet_tf.system import files, memory, own_folders

# For windows the network says how long they are.
_LESS_MEMORY = (
    "a step of fewer --chunk_frames, or a network that was trained with fewer "
    "--output_frames,"
)

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "The folder of config.json and weights, or a model's name.",
    required=True,
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "The folder to write.", required=True, short_name="o"
)
_FORMATS = flags.DEFINE_list(
    "formats",
    None,
    "The formats to write, comma separated. tflite_float32; tflite_float16: weights of "
    "half the size; tflite_dynamic: int8 weights; tflite_int8: all in int8; "
    "tflite_int16x8: int8 weights, int16 activations; tflite_mixed: int8, but the "
    "first and last layers in float32; saved_model: for TensorFlow Serving, songs of "
    "any length.",
    required=True,
)
_MODE = flags.DEFINE_enum(
    "mode",
    "streaming",
    ["streaming", "window"],
    "TFLite. streaming: a step of the exact stream, with its state in and out; window: "
    "a window of training, also for networks that cannot stream.",
)
_CHUNK_FRAMES = flags.DEFINE_integer(
    "chunk_frames",
    None,
    "Frames of the mixture, at the network's rate, that a step of the stream takes. "
    "TFLite: a multiple of 2^num_levels, by default 32768; more frames wait longer but "
    "cost less. saved_model: the most frames that its signature stream takes at once, "
    "by default 16384.",
    lower_bound=1,
)
_CALIBRATION_DIR = flags.DEFINE_string(
    "calibration_dir",
    None,
    "TFLite: songs at the network's rate, such as `prepare` writes, on which the "
    "ranges of integer activations are measured (tflite_int8, tflite_int16x8, "
    "tflite_mixed).",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "TFLite: songs with stems on which the loss is measured, as `score` takes them. "
    "Default: six seconds that a package carries.",
)
_MAX_SONGS = flags.DEFINE_integer(
    "max_songs", 4, "TFLite: the most songs to measure on.", lower_bound=1
)
_MODEL_NAME = flags.DEFINE_string(
    "model_name", "waveunet", "saved_model: the name by which clients ask for it."
)
_VERSION = flags.DEFINE_integer(
    "version",
    1,
    "saved_model: the model's version; a server takes the highest.",
    lower_bound=1,
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace files that exist.")

_TFLITE = {f"tflite_{kind}": kind for kind in KINDS}
FORMATS = (*_TFLITE, "saved_model")


def main(_):
    """Writes the TFLite files, then the SavedModel."""
    check_formats()
    folder = pathlib.Path(_OUTPUT.value)
    tflite_files = {
        _TFLITE[name]: folder / f"{name}.tflite"
        for name in formats()
        if name in _TFLITE
    }
    version = folder / _MODEL_NAME.value / str(_VERSION.value)
    wants_saved_model = "saved_model" in formats()
    files.require_new(*tflite_files.values(), overwrite=_OVERWRITE.value)
    if wants_saved_model:
        own_folders.require_own(version, SAVED_MODEL, overwrite=_OVERWRITE.value)
    try:
        with memory.advising("an export", _LESS_MEMORY):
            if tflite_files:
                export_tflite(tflite_files)
            if wants_saved_model:
                export_saved_model(version)
    except ConversionError as error:
        raise InputError(f"{_CHECKPOINT.value}: {error}") from error


def formats() -> list[str]:
    """Returns the formats of --formats, each once."""
    return list(dict.fromkeys(_FORMATS.value))


def check_formats() -> None:
    """Raises UsageError where a flag is out of range or another one is missing."""
    if not formats() or not set(formats()) <= set(FORMATS):
        raise app.UsageError(
            f"--formats must be of {', '.join(FORMATS)}. "
            f"Received: {', '.join(formats()) or 'none'}"
        )
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", _MODEL_NAME.value):
        raise app.UsageError(
            "--model_name must be of letters, digits and _.-, because it is a folder "
            f"and a part of an address. Received: {_MODEL_NAME.value}"
        )
    for name in formats():
        if _TFLITE.get(name) in CALIBRATED and not _CALIBRATION_DIR.value:
            raise app.UsageError(f"{name} needs --calibration_dir")


def export_tflite(paths: dict[str, pathlib.Path]) -> None:
    """Writes TFLite files, kind → path; prints the table of what they lose and cost."""
    from waveunet_tf.export import checked_exports, parity_tables

    options = checked_exports.TFLiteOptions(
        mode=_MODE.value,
        calibration_dir=_CALIBRATION_DIR.value,
        data_dir=_DATA_DIR.value,
        max_songs=_MAX_SONGS.value,
        overwrite=_OVERWRITE.value,
    )
    if _CHUNK_FRAMES.value:
        options = dataclasses.replace(options, chunk_frames=_CHUNK_FRAMES.value)
    checked_exports.write_tflite_files(
        _CHECKPOINT.value,
        paths,
        options,
        on_measured=lambda rows: print(parity_tables.format_parity(rows), flush=True),
    )


def export_saved_model(version: pathlib.Path) -> None:
    """Writes the version's folder; prints its size and difference."""
    from waveunet_tf.export import checked_exports, saved_model

    logging.set_verbosity(logging.WARNING)  # TensorFlow logs each step of saving
    difference, hint = checked_exports.write_version(
        _CHECKPOINT.value,
        pathlib.Path(_OUTPUT.value),
        _MODEL_NAME.value,
        _VERSION.value,
        chunk_frames=_CHUNK_FRAMES.value or saved_model.STREAM_CHUNK_FRAMES,
    )
    written = [path for path in version.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in written)
    print(
        f"{version}: {size / 1e6:.2f} MB, largest difference from the network "
        f"{difference:.1e}"
    )
    if hint:
        logging.warning("%s", hint)


if __name__ == "__main__":
    app.run(main)
