"""Models by name: those that the package carries, or those of a folder of one's own.

A model is what `pack` writes: `<folder>/<name>/`, a checkpoint with its weights in
float16, and model.json, which tells what it is, and the size and hash of its files.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterable

from waveunet_tf.errors import InputError
from waveunet_tf.system import files

CARD = "model.json"
FORMAT_VERSION = 1
DEFAULT = "vocals"
FOLDER_VARIABLE = "WAVEUNET_TF_MODELS"
"""The environment variable of a folder of models, instead of the package's."""


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What model.json tells of a model.

    Attributes:
        description: one line.
        sources, sample_rate_hz, channels: as in its config.json.
        median_sdr_db: what was scored → the median SDR in dB.
        files: name → `size_bytes` and `sha256` of each file of the checkpoint.

    Raises:
        InputError: a value is not of its kind.
    """

    description: str
    sources: list[str]
    sample_rate_hz: int
    channels: int
    median_sdr_db: dict[str, float]
    files: dict[str, dict]

    def __post_init__(self):
        scores, described = self.median_sdr_db, self.files
        kinds = {
            "description": isinstance(self.description, str),
            "sources": _is_list(self.sources, str),
            "sample_rate_hz": type(self.sample_rate_hz) is int,
            "channels": type(self.channels) is int,
            "median_sdr_db": isinstance(scores, dict)
            and _is_list(list(scores.values()), (int, float)),
            "files": isinstance(described, dict)
            and all(
                isinstance(file, dict)
                and type(file.get("size_bytes")) is int
                and type(file.get("sha256")) is str
                for file in described.values()
            ),
        }
        for name, holds in kinds.items():
            if not holds:
                raise InputError(f"`{name}` is not what `pack` writes there")

    @property
    def size_bytes(self) -> int:
        """Of all its files."""
        return sum(file["size_bytes"] for file in self.files.values())


def _is_list(values, of: type | tuple[type, ...]) -> bool:
    return isinstance(values, list) and all(isinstance(value, of) for value in values)


def models_dir() -> pathlib.Path:
    """The folder that models are looked for in."""
    own = os.environ.get(FOLDER_VARIABLE)
    return pathlib.Path(own or pathlib.Path(__file__).parents[1] / "pretrained")


def names() -> list[str]:
    """The names of the models at hand."""
    return sorted(path.parent.name for path in models_dir().glob(f"*/{CARD}"))


def folder_of(name: str) -> pathlib.Path:
    """The folder of a model.

    Raises:
        InputError: there is none of that name.
    """
    if name not in names():
        raise InputError(f"{name}: must be a model's name; {_known()}")
    return models_dir() / name


def _known() -> str:
    return f"{models_dir()} has {', '.join(names()) or 'none'}"


def find(model: str | os.PathLike) -> pathlib.Path:
    """The folder of a checkpoint, from its path or from a model's name.

    A bare name is a path first: where there is such a file or folder, it is meant.

    Raises:
        InputError: a bare name is neither a path nor a model's.
    """
    text = os.fspath(model)
    path = pathlib.Path(text).expanduser()
    if path.exists() or not text or pathlib.PurePath(text).name != text:
        return path
    if text in names():
        return models_dir() / text
    raise InputError(
        f"{text}: must be a checkpoint's folder, but there is none, or a model's name; "
        f"{_known()}"
    )


def read_card(directory: str | os.PathLike) -> ModelCard:
    """Reads a model's model.json.

    Raises:
        InputError: it is broken or of another format version.
        OSError: it cannot be read.
    """
    path = pathlib.Path(directory) / CARD
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: must be JSON, but is not: {error}") from error
    version = values.pop("format_version", None) if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path}: `format_version` must be {FORMAT_VERSION}. Received: {version!r}"
        )
    known = {field.name for field in dataclasses.fields(ModelCard)}
    if set(values) != known:
        raise InputError(
            f"{path}: must have the fields {sorted(known)}. Received: {sorted(values)}"
        )
    try:
        return ModelCard(**values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def describe_file(path: pathlib.Path) -> dict[str, int | str]:
    """Returns what a card says of a file: its `size_bytes` and `sha256`."""
    return {
        "size_bytes": path.stat().st_size,
        "sha256": files.file_sha256(path),
    }


def verify(directory: pathlib.Path, file_names: Iterable[str]) -> dict[str, str]:
    """Compares a model's files with its card; a checkpoint without a card passes.

    Args:
        directory: The folder of the model, or of any checkpoint.
        file_names: The files to compare.

    Returns:
        File name → its SHA-256; empty if there is no card.

    Raises:
        InputError: A file is missing, cut or changed, or the card is broken.
        OSError: A file cannot be read.
    """
    if not (directory / CARD).exists():
        return {}
    packed, hashes = read_card(directory).files, {}
    for name in file_names:
        path = directory / name
        if not path.is_file():
            raise InputError(f"{path}: must be a file of the model, but is missing")
        expected, found = packed.get(name, {}), describe_file(path)
        for field, value in found.items():
            if value != expected.get(field):
                raise InputError(
                    f"{path}: must be as it was packed, of {field} "
                    f"{expected.get(field)}. Received: {value}"
                )
        hashes[name] = found["sha256"]
    return hashes


def describe(name: str) -> str:
    """A paragraph on a model, from its model.json.

    Raises:
        InputError, OSError: see read_card.
    """
    manifest = read_card(folder_of(name))
    channels = {1: "mono", 2: "stereo"}.get(manifest.channels, "?")
    facts = [
        ", ".join(manifest.sources),
        f"{manifest.sample_rate_hz} Hz {channels}",
        f"{manifest.size_bytes / 1e6:.1f} MB",
    ]
    scores = [
        f"{scored} {median:.2f} dB" for scored, median in manifest.median_sdr_db.items()
    ]
    lines = [f"{name}: {'; '.join(facts)}", f"  {manifest.description}"]
    return "\n".join([*lines, f"  median SDR: {'; '.join(scores) or 'not told'}"])
