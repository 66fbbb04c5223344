"""Finds models by name: the user's, those of installed packages, and the project's.

A model is a folder `<models>/<name>/` that `pack` wrote: a checkpoint with weights in
float16, and its card, model.json, with a description and the hashes of its files.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import pathlib
from collections.abc import Iterable

from waveunet_tf.errors import InputError, naming
from waveunet_tf.system import arguments, files, user_folders

CARD = "model.json"
FORMAT_VERSION = 1
DEFAULT = "vocals"
ALIASES = {"vocals": "vocals-small"}
"""A name that has no weights of its own yet → the package's model that answers to it.
A folder of that name, in the package or the user's, precedes it."""
FOLDER_VARIABLE = "WAVEUNET_TF_MODELS"
"""The environment variable of the user's folder of models."""
_ALIAS_IS = "the same as {}, as it has no weights of its own yet"
PACKAGED = pathlib.Path(__file__).parents[1] / "pretrained"
"""The models of the package."""
NAMESPACE = "waveunet_tf_models"
"""A namespace of Python's (PEP 420): packages with models of their own install into
it, as `waveunet_tf_models/<name>/`."""


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """A model's card: what model.json says of the model.

    Attributes:
        description: One line on what the model separates.
        sources: The names of the sources, as in config.json.
        sample_rate_hz: The network's sample rate in Hz, as in config.json.
        channels: The audio channels, as in config.json.
        median_sdr_db: What was scored → the median SDR in dB.
        files: The name of each file of the checkpoint → its `size_bytes` and `sha256`.

    Raises:
        InputError: A value has the wrong type.
    """

    description: str
    sources: list[str]
    sample_rate_hz: int
    channels: int
    median_sdr_db: dict[str, float]
    files: dict[str, dict]

    def __post_init__(self):
        scores, described = self.median_sdr_db, self.files
        is_right = {
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
        for name, right in is_right.items():
            if not right:
                raise InputError(
                    f"`{name}` must be what `pack` writes. "
                    f"Received: {getattr(self, name)!r}"
                )

    @property
    def size_bytes(self) -> int:
        """The size of all files of the checkpoint, in bytes."""
        return sum(file["size_bytes"] for file in self.files.values())


def _is_list(values, of: type | tuple[type, ...]) -> bool:
    return isinstance(values, list) and all(isinstance(value, of) for value in values)


def own_folder() -> pathlib.Path:
    """Returns the user's folder of models: FOLDER_VARIABLE's, or one in his home."""
    own = os.environ.get(FOLDER_VARIABLE)
    if own:
        return pathlib.Path(files.expand_home(own))
    return user_folders.data_folder() / "models"


def names() -> list[str]:
    """Returns the names of all models."""
    return sorted(_models())


def _models() -> dict[str, pathlib.Path]:
    """Finds all models: name → folder.

    The user's precede those of installed packages, and these the project's own.
    """
    aliases = [PACKAGED / target / CARD for target in ALIASES.values()]
    models = {
        alias: card.parent for alias, card in zip(ALIASES, aliases) if card.exists()
    }
    for folder in (PACKAGED, *_installed(), own_folder()):
        models |= {card.parent.name: card.parent for card in folder.glob(f"*/{CARD}")}
    return models


def _installed() -> list[pathlib.Path]:
    """Lists the folders of models of installed packages, the first on the path last."""
    namespace = importlib.util.find_spec(NAMESPACE)
    places = namespace.submodule_search_locations if namespace else None
    return [pathlib.Path(place) for place in reversed([*(places or ())])]


def folder_of(name: str) -> pathlib.Path:
    """Returns the folder of a model.

    Args:
        name: The name of the model.

    Raises:
        InputError: No model has this name.
    """
    models = _models()
    if name not in models:
        raise InputError(f"{name}: must be a model's name; {_known()}")
    return models[name]


def _known() -> str:
    return f"{own_folder()} and the packages have {', '.join(names()) or 'none'}"


def find(model: str | os.PathLike) -> pathlib.Path:
    """Returns the folder of a checkpoint, from its path or from a model's name.

    A file or folder of that name in the working directory precedes a model.

    Args:
        model: The path or the name.

    Raises:
        InputError: A bare name is neither a path nor a model's name.
    """
    text = arguments.path("directory", model)
    path = pathlib.Path(files.expand_home(text))
    if path.exists() or not text or pathlib.PurePath(text).name != text:
        return path
    models = _models()
    if text in models:
        return models[text]
    raise InputError(
        f"{text}: must be a checkpoint's folder, but there is none, or a model's name; "
        f"{_known()}"
    )


def read_card(directory: str | os.PathLike) -> ModelCard:
    """Reads the card of a model.

    Args:
        directory: The folder of the model.

    Raises:
        InputError: The card is broken or has another format version.
        OSError: The card cannot be read.
    """
    path = pathlib.Path(directory) / CARD
    values = files.read_json(path)
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
    with naming(path):
        return ModelCard(**values)


def write_card(path: str | os.PathLike, card: ModelCard) -> None:
    """Writes a card.

    Args:
        path: The file.
        card: The card.

    Raises:
        OSError: The file cannot be written.
    """
    values = {"format_version": FORMAT_VERSION, **dataclasses.asdict(card)}
    text = json.dumps(values, indent=1, ensure_ascii=False)
    pathlib.Path(path).write_text(
        text + "\n", encoding="utf-8", errors="backslashreplace"
    )


def describe_file(path: pathlib.Path) -> dict[str, int | str]:
    """Returns what a card says of a file: its `size_bytes` and `sha256`."""
    return {
        "size_bytes": path.stat().st_size,
        "sha256": files.file_sha256(path),
    }


def verify_model(directory: pathlib.Path, file_names: Iterable[str]) -> dict[str, str]:
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


def describe_model(name: str) -> str:
    """Describes a model in a few lines, from its card; an alias takes one line.

    Args:
        name: The name of the model.

    Raises:
        InputError: There is no such model, or its card is broken.
        OSError: The card cannot be read.
    """
    folder = folder_of(name)
    if folder.name != name:
        return f"{name}: {_ALIAS_IS.format(folder.name)}"
    card = read_card(folder)
    channels = {1: "mono", 2: "stereo"}.get(card.channels, "?")
    facts = [
        ", ".join(card.sources),
        f"{card.sample_rate_hz} Hz {channels}",
        f"{card.size_bytes / 1e6:.1f} MB",
    ]
    scores = [
        f"{scored} {median:.2f} dB" for scored, median in card.median_sdr_db.items()
    ]
    lines = [f"{name}: {'; '.join(facts)}", f"  {card.description}"]
    return "\n".join([*lines, f"  median SDR: {'; '.join(scores) or 'not known'}"])
