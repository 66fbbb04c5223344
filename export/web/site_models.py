"""The models of a site: exported, or taken as they are."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pathlib
import re
from collections.abc import Sequence

from absl import logging

from waveunet_tf.checkpoints import registry
from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.errors import InputError
from waveunet_tf.export.web import carried_steps
from waveunet_tf.separation import tflite_file
from waveunet_tf.system import files


@dataclasses.dataclass(frozen=True)
class SiteModel:
    """A line of the page's menu; `models.json` holds them in camel case.

    Attributes:
        name: The model's name.
        file: The file, relative to the site.
        bytes: The file's size.
        sha256: The file's hash.
        description: One line on what the model separates.
        quantization: The kind of the file's numbers, of kinds.KINDS.
        sample_rate_hz: The network's sample rate in Hz.
        channels: The network's audio channels.
        sources: The names of the stems.
    """

    name: str
    file: str
    bytes: int
    sha256: str
    description: str
    quantization: str
    sample_rate_hz: int
    channels: int
    sources: list[str]

    def to_json(self) -> dict:
        """Returns the line as the page reads it."""
        values = dataclasses.asdict(self)
        values["sampleRateHz"] = values.pop("sample_rate_hz")
        return values


def require_models(models: Sequence[str]) -> None:
    """Requires models to be there, before anything is fetched for their site.

    Args:
        models: See `write_models`.

    Raises:
        InputError: A checkpoint is not there or broken, or a name is no model's.
        OSError: A TFLite file is not there.
    """
    for model in models:
        path = pathlib.Path(files.expand_home(model))
        if path.suffix == ".tflite":
            os.stat(path)
        else:
            Checkpoint.open(model)


def write_models(
    models: Sequence[str], kinds: Sequence[str], chunk_frames: int, site: pathlib.Path
) -> list[SiteModel]:
    """Writes the files of models, and their licences, into a site.

    Args:
        models: Names of models, checkpoints, or TFLite files that `export` wrote.
        kinds: The kinds of files to export of a name or a checkpoint, of kinds.KINDS.
        chunk_frames: The frames of a stream's chunk.
        site: The site's folder.

    Raises:
        InputError: A model is unknown or broken, cannot stream, or loses too much.
    """
    folder = site / "models"
    folder.mkdir()
    written: list[SiteModel] = []
    for model in models:
        path = pathlib.Path(files.expand_home(model))  # no shell does it after a comma
        if path.suffix == ".tflite":
            content = path.read_bytes()
            tflite_file.read_metadata(path, content)
            target = _new(folder / f"{_unused(path.stem, written)}.tflite")
            target.write_bytes(content)
            written.append(_line(site, target, target.stem, ""))
        else:
            written += _exported(model, kinds, chunk_frames, site, written)
    return written


def _exported(
    model: str,
    kinds: Sequence[str],
    chunk_frames: int,
    site: pathlib.Path,
    others: list[SiteModel],
) -> list[SiteModel]:
    checkpoint = registry.find(model)
    name = _unused(checkpoint.resolve().name, others)
    carried = {}
    opened = Checkpoint.open(checkpoint)
    if importlib.util.find_spec("tensorflow") is None:
        carried = carried_steps.carried_models(opened, chunk_frames, kinds)
    if carried:
        if missing := [kind for kind in kinds if kind not in carried]:
            logging.info(
                "%s: %s, because %s needs TensorFlow",
                *(name, " and ".join(carried), " and ".join(missing)),
            )
        names = [f"{name}-{kind}.tflite" for kind in carried]
        targets = [_new(site / "models" / file) for file in names]
        for target, content in zip(targets, carried.values()):
            target.write_bytes(content)
    else:
        targets = _export(checkpoint, name, kinds, chunk_frames, site / "models")
    description = ""
    if (checkpoint / registry.CARD).exists():
        description = registry.read_card(checkpoint).description
    lines = [_line(site, target, name, description) for target in targets]
    if (licence := opened.licence()) is not None:
        (site / "licences").mkdir(exist_ok=True)
        (site / "licences" / f"model-{name}.txt").write_bytes(licence)
    return lines


def _export(
    checkpoint: pathlib.Path,
    name: str,
    kinds: Sequence[str],
    chunk_frames: int,
    target: pathlib.Path,
) -> list[pathlib.Path]:
    """Exports a checkpoint's files into a folder, and checks what they lose."""
    from waveunet_tf.export import checked_exports

    for kind in kinds:
        _new(target / f"{name}-{kind}.tflite")
    folder = target / f".{name}"
    options = checked_exports.TFLiteOptions(chunk_frames=chunk_frames)
    paths = {kind: folder / f"{name}-{kind}.tflite" for kind in kinds}
    checked_exports.write_tflite_files(checkpoint, paths, options)
    moved = [path.rename(target / path.name) for path in paths.values()]
    for other in folder.iterdir():  # what an export tells beside its files
        other.unlink()
    folder.rmdir()
    return moved


def _unused(name: str, others: list[SiteModel]) -> str:
    """Makes a file's name of a model's, which may be any folder's."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", name).strip(".-") or "model"
    if name in {other.name for other in others}:
        raise _twice(name)
    return name


def _new(target: pathlib.Path) -> pathlib.Path:
    """Requires a file to be no other model's, whose name may end with a kind."""
    if target.exists():
        raise _twice(target.stem)
    return target


def _twice(name: str) -> InputError:
    return InputError(f"`models` must have names that differ. Received: {name} twice")


def _line(
    site: pathlib.Path, path: pathlib.Path, name: str, description: str
) -> SiteModel:
    metadata = tflite_file.read_metadata(path, path.read_bytes())
    return SiteModel(
        name=name,
        file=path.relative_to(site).as_posix(),
        bytes=path.stat().st_size,
        sha256=files.file_sha256(path),
        description=description,
        quantization=metadata["quantization"],
        sample_rate_hz=metadata["sample_rate_hz"],
        channels=metadata["channels"],
        sources=metadata["sources"],
    )
