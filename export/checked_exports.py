"""Writes exported files only if they are near enough to the network."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping

from absl import logging

from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.errors import InputError
from waveunet_tf.export import (
    calibration,
    parity,
    parity_songs,
    parity_tables,
    quantize,
    saved_model,
    saved_model_parity,
    tflite,
)
from waveunet_tf.export.kinds import CALIBRATED, SAVED_MODEL
from waveunet_tf.export.serving import server_files
from waveunet_tf.system import files, own_folders

# Rounding of float32 sums in another order, at outputs between -1 and 1.
_MAX_DIFFERENCE = 1e-5
MODEL_LICENCE = "MODEL-LICENSE.txt"
"""The weights' licence beside TFLite files, where the checkpoint has one."""


@dataclasses.dataclass(frozen=True)
class TFLiteOptions:
    """How TFLite files are made and measured.

    Attributes:
        mode: One of tflite.MODES.
        chunk_frames: The frames of a stream's chunk; more frames wait longer, but less
            of the state is moved for a second of audio.
        calibration_dir: The folder of songs on which the ranges of integer activations
            are measured; only kinds without them can do without it.
        data_dir: The data set on which the files are measured; None takes six seconds
            of real music that a package carries.
        max_songs: The most songs to measure on.
        overwrite: Whether tables of other files may be replaced.
    """

    mode: str = "streaming"
    chunk_frames: int = 32768
    calibration_dir: str | os.PathLike | None = None
    data_dir: str | os.PathLike | None = None
    max_songs: int = 4
    overwrite: bool = False


def write_tflite_files(
    checkpoint_dir: str | os.PathLike,
    paths: Mapping[str, pathlib.Path],
    options: TFLiteOptions,
    *,
    on_measured: Callable[[list[parity.ParityRow]], None] = lambda rows: None,
) -> None:
    """Writes TFLite files of a checkpoint, and the tables of what they lose and cost.

    The files and the tables parity.md and parity.json, which go into the folder of the
    first file, appear together or not at all. So does the weights' licence,
    MODEL_LICENCE.

    Args:
        checkpoint_dir: The checkpoint.
        paths: Kind, of kinds.KINDS, → the file to write.
        options: How to make and measure the files.
        on_measured: Is called with the figures of the files, good or bad.

    Raises:
        InputError: The network, the chunk or the songs do not fit, a table exists, or a
            file loses too much.
        ConversionError: TensorFlow cannot convert the network.
    """
    kinds = list(paths)
    calibrated = [kind for kind in kinds if kind in CALIBRATED]
    if calibrated and options.calibration_dir is None:
        raise InputError(f"`calibration_dir` must be given for {calibrated[0]}")
    tables = [next(iter(paths.values())).parent / name for name in parity_tables.TABLES]
    checkpoint = Checkpoint.open(checkpoint_dir)
    config, licence = checkpoint.config, checkpoint.licence()
    beside = list(tables)
    if licence is not None:
        beside.append(tables[0].with_name(MODEL_LICENCE))
    files.require_new(*beside, overwrite=options.overwrite)
    plan = tflite.plan(checkpoint_dir, options.mode, options.chunk_frames)
    if calibrated:
        excerpts = calibration.read_excerpts(options.calibration_dir, config)
    songs = parity_songs.find_parity_songs(
        options.data_dir, config, max_songs=options.max_songs
    )
    if not calibrated:  # dynamic needs no ranges, but equalized channels round less
        excerpts = [song.mixture for song in songs]
    with files.atomic_files([*paths.values(), *beside]) as parts:
        names = {}
        contents = quantize.convert_plan(plan, kinds, excerpts)
        for part, path, (kind, content) in zip(parts, paths.values(), contents):
            part.write_bytes(content)
            names[part] = path.name
            logging.info("%s: %.1f MB, converted", kind, len(content) / 1e6)
        rows = parity.measure_files(list(names), checkpoint_dir, songs, names)
        on_measured(rows)
        if failures := parity_tables.floor_failures(rows):
            raise InputError("; ".join([*failures, "nothing is written"]))
        own = parts[len(paths) :]
        parity_tables.write_tables(rows, songs, own[: len(tables)])
        for part in own[len(tables) :]:
            part.write_bytes(licence)


def write_version(
    checkpoint_dir: str | os.PathLike,
    folder: pathlib.Path,
    model_name: str,
    version: int,
    *,
    chunk_frames: int = saved_model.STREAM_CHUNK_FRAMES,
) -> tuple[float, str]:
    """Writes a version of a model for TensorFlow Serving, and the server's configs.

    The version's folder `<folder>/<model_name>/<version>` appears whole or not at all;
    one that was written earlier is replaced.

    Args:
        checkpoint_dir: The checkpoint.
        folder: The server's folder of models.
        model_name: The name by which clients ask for the model.
        version: The version's number.
        chunk_frames: The most frames that the signature `stream` takes at once.

    Returns:
        The largest difference from the network, where full scale is 1, and a hint on
        the server's config, or "".

    Raises:
        InputError: The checkpoint does not fit, the SavedModel differs too much from
            the network, or the path holds a character of patterns, or other files.
        OSError: The folder cannot be written.
    """
    path = folder / model_name / str(version)
    if set(str(path.absolute())) & set("*?[]\\"):
        raise InputError(
            f"{path}: must have none of *?[]\\ in its path, which TensorFlow, and so a "
            "server, takes for a pattern"
        )
    with own_folders.made_folder(path, SAVED_MODEL) as part:
        saved_model.write_saved_model(checkpoint_dir, part, chunk_frames=chunk_frames)
        server_files.write_warm_up(part, model_name)
        difference = saved_model_parity.largest_difference(checkpoint_dir, part)
        if not difference <= _MAX_DIFFERENCE:
            raise InputError(
                f"{path}: must differ from the network by at most {_MAX_DIFFERENCE}, "
                f"but differs by {difference}; not written"
            )
    return difference, server_files.write_configs(folder, model_name, version)
