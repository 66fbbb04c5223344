r"""Exports a checkpoint for phones and servers.

    python -m export.run_export --checkpoint ~/m4/best --output ~/artefacts \
        --formats tflite_float32,tflite_dynamic
    python -m export.run_export --checkpoint ~/m4/best --output ~/artefacts \
        --formats tflite_int8,tflite_mixed --calibration_dir ~/prepared
    python -m export.run_export --checkpoint ~/m4/best --output ~/models \
        --formats saved_model --model_name waveunet --version 1

Writes OUTPUT/<format>.tflite, and beside them what each loses against the Keras network
on real music and what it costs, parity.md and parity.json. What loses too much is not
written. saved_model writes OUTPUT/<model_name>/<version>/ for TensorFlow Serving, after
comparing it with a separator, and the server's configuration in OUTPUT
(docs/serving.md).
"""

import pathlib
import re
import shutil

from absl import flags, logging

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError
from waveunet_tf.separation.litert_conversion import ConversionError
from waveunet_tf.system import files

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "The folder of config.json and weights, or a model's name.",
    required=True,
)
_OUTPUT = flags.DEFINE_string("output", None, "The folder to write.", required=True)
_FORMATS = flags.DEFINE_list(
    "formats",
    None,
    "What to write, comma separated. tflite_float32; tflite_float16: weights of half "
    "the size; tflite_dynamic: int8 weights; tflite_int8: all in int8; tflite_int16x8: "
    "int8 weights, int16 activations; tflite_mixed: int8, but the first and last "
    "layers in float32; saved_model: for TensorFlow Serving, songs of any length.",
    required=True,
)
_MODE = flags.DEFINE_enum(
    "mode",
    "streaming",
    ["streaming", "window"],
    "TFLite. streaming: a step of the exact stream, its state in and out; window: a "
    "window of training, for networks that cannot stream, too.",
)
_CHUNK_FRAMES = flags.DEFINE_integer(
    "chunk_frames",
    None,
    "Frames of the mixture, at the network's rate, that a step of the stream takes. "
    "TFLite: a multiple of 2^num_levels, 32768 by default; more frames wait longer but "
    "cost less. saved_model: the most that its signature stream takes at once, by "
    "default 16384.",
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
    "TFLite: songs with stems on which the loss is measured, as of run_musdb. Default: "
    "six seconds that a package carries.",
)
_MAX_SONGS = flags.DEFINE_integer(
    "max_songs", 4, "TFLite: how many of them, at most.", lower_bound=1
)
_MODEL_NAME = flags.DEFINE_string(
    "model_name", "waveunet", "saved_model: the name by which clients ask for it."
)
_VERSION = flags.DEFINE_integer(
    "version",
    1,
    "saved_model: its number; a server takes the highest.",
    lower_bound=1,
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace files that exist.")

# Of TFLite's stream: the longer, the less of the state is moved for a second of audio.
_STEP_FRAMES = 32768
# Rounding of float32 sums in another order, at outputs between -1 and 1.
_MAX_DIFFERENCE = 1e-5


def export_tflite(paths: dict[str, pathlib.Path]) -> None:
    """Writes TFLite files, format → path, with the table of what they lose and cost."""
    from export import (
        calibration,
        parity,
        parity_songs,
        parity_tables,
        quantize,
        tflite,
    )
    from waveunet_tf.checkpoints import checkpoint

    kinds = [name.partition("_")[2] for name in paths]
    calibrated = [kind for kind in kinds if kind in quantize.CALIBRATED]
    if calibrated and not _CALIBRATION_DIR.value:
        raise app.UsageError(f"tflite_{calibrated[0]} needs --calibration_dir")
    config = checkpoint.read_config(_CHECKPOINT.value)
    plan = tflite.plan(
        _CHECKPOINT.value, _MODE.value, _CHUNK_FRAMES.value or _STEP_FRAMES
    )
    if calibrated:
        excerpts = calibration.read_excerpts(_CALIBRATION_DIR.value, config)
    music = parity_songs.find_parity_songs(
        _DATA_DIR.value, config, max_songs=_MAX_SONGS.value
    )
    if not calibrated:  # dynamic ones do not depend on ranges, but round less with some
        excerpts = [song.mixture for song in music]
    folder = pathlib.Path(_OUTPUT.value)
    tables = [folder / name for name in parity_tables.TABLES]
    existing = [table for table in tables if table.exists()]
    if existing and not _OVERWRITE.value:
        raise InputError(
            f"{existing[0]}: must be a new file, or --overwrite be given (run_parity "
            "writes a table of all files of a folder)"
        )
    with files.atomic_files([*paths.values(), *tables]) as parts:
        names = {}
        contents = quantize.convert_plan(plan, kinds, excerpts)
        for part, path, (kind, content) in zip(parts, paths.values(), contents):
            part.write_bytes(content)
            names[part] = path.name
            logging.info("%s: %.1f MB, converted", kind, len(content) / 1e6)
        rows = parity.measure_files(list(names), _CHECKPOINT.value, music, names)
        print(parity_tables.format_parity(rows), flush=True)
        if failures := parity_tables.floor_failures(rows):
            raise InputError("; ".join([*failures, "nothing is written"]))
        parity_tables.write_tables(rows, music, parts[len(paths) :])


def export_saved_model(paths: dict[str, pathlib.Path]) -> None:
    """Writes the folder if it equals a separator; prints its size and difference."""
    from export import saved_model, saved_model_parity
    from export.serving import server_files

    logging.set_verbosity(logging.WARNING)  # TensorFlow tells of its every step
    (path,) = paths.values()
    with files.atomic_folder(path) as part:
        saved_model.write_saved_model(
            _CHECKPOINT.value,
            part,
            chunk_frames=_CHUNK_FRAMES.value or saved_model.STREAM_CHUNK_FRAMES,
        )
        server_files.write_warm_up(part, _MODEL_NAME.value)
        difference = saved_model_parity.largest_difference(_CHECKPOINT.value, part)
        if not difference <= _MAX_DIFFERENCE:
            raise InputError(
                f"{path}: must differ from the network by at most {_MAX_DIFFERENCE}, "
                f"but differs by {difference}; not written"
            )
        size = sum(file.stat().st_size for file in part.rglob("*"))
        if path.exists():  # and --overwrite was given
            shutil.rmtree(path)
    print(
        f"{path}: {size / 1e6:.2f} MB, largest difference from the network "
        f"{difference:.1e}"
    )
    folder = pathlib.Path(_OUTPUT.value)
    if hint := server_files.write_configs(folder, _MODEL_NAME.value, _VERSION.value):
        logging.warning("%s", hint)


def target(name: str) -> pathlib.Path:
    """What a format writes."""
    folder = pathlib.Path(_OUTPUT.value)
    if name == "saved_model":
        return folder / _MODEL_NAME.value / str(_VERSION.value)
    return folder / f"{name}.tflite"


FORMATS = {
    "tflite_float32": export_tflite,
    "tflite_float16": export_tflite,
    "tflite_dynamic": export_tflite,
    "tflite_int8": export_tflite,
    "tflite_int16x8": export_tflite,
    "tflite_mixed": export_tflite,
    "saved_model": export_saved_model,
}
"""Format → what writes some formats: a function of format → path."""


def main(_):
    names = list(dict.fromkeys(_FORMATS.value))
    if not names or not set(names) <= set(FORMATS):
        raise app.UsageError(
            f"--formats must be of {', '.join(FORMATS)}. "
            f"Received: {', '.join(names) or 'none'}"
        )
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", _MODEL_NAME.value):
        raise app.UsageError(
            "--model_name must be of letters, digits and _.-, for it is a folder and a "
            f"part of an address. Received: {_MODEL_NAME.value}"
        )
    paths = {name: target(name) for name in names}
    existing = [path for path in paths.values() if path.exists()]
    if existing and not _OVERWRITE.value:
        raise InputError(f"{existing[0]}: must be a new file, or --overwrite be given")
    for write in dict.fromkeys(FORMATS[name] for name in names):
        own = {name: path for name, path in paths.items() if FORMATS[name] is write}
        try:
            write(own)
        except ConversionError as error:
            raise InputError(f"{_CHECKPOINT.value}: {error}") from error


if __name__ == "__main__":
    app.run(main)
