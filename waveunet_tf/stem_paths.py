"""Where the stems of songs are written: names made from a template."""

from __future__ import annotations

import pathlib
import re
import string
from collections.abc import Mapping

from waveunet_tf import audio
from waveunet_tf.errors import InputError

DEFAULT_TEMPLATE = "{track}/{source}.{ext}"
FIELDS = ("track", "source", "ext", "title", "artist", "album")
# Of a file's name, in UTF-8, with room for a temporary name's prefix.
_MAX_BYTES = 200


def check_template(template: str) -> None:
    """Checks a template of the stems' paths.

    Raises:
        InputError: it is empty or absolute, leads out of the folder, or has other
            fields than `FIELDS`.
    """
    try:
        fields = [field for _, *field in string.Formatter().parse(template)]
    except ValueError as error:
        raise InputError(
            f"`output_template` must be a template: {error}. Received: {template}"
        ) from error
    for name, spec, conversion in fields:
        if name is not None and (name not in FIELDS or spec or conversion):
            raise InputError(
                f"`output_template` must have no fields but {', '.join(FIELDS)}, "
                f"plain in braces. Received: {template}"
            )
    path = pathlib.PurePath(template)
    if path.is_absolute() or ".." in path.parts or not path.suffix:
        raise InputError(
            "`output_template` must lead to a file with a suffix below the output "
            f"folder. Received: {template}"
        )


def stem_path(
    folder: pathlib.Path,
    template: str,
    song: pathlib.Path,
    source: str,
    suffix: str,
    tags: Mapping[str, str],
) -> pathlib.Path:
    """The path of one stem, which never leaves the folder.

    Args:
        folder: where all stems go.
        template: see check_template.
        song: the song's file, whose name is the track.
        source: of the stem.
        suffix: the format's, without a dot.
        tags: the song's. Without a title the track's name stands there, without another
            tag "unknown".
    """
    track = audio.stem_name(song)
    values = {"title": track, "artist": "unknown artist", "album": "unknown album"}
    values.update({name: value for name, value in tags.items() if name in values})
    values = {name: _as_name(value) for name, value in values.items()}
    path = template.format(**values, track=track, source=_as_name(source), ext=suffix)
    return folder.joinpath(*map(_cut, pathlib.PurePath(path).parts))


def _as_name(value: str) -> str:
    """Text as a file's name on any system, without separators."""
    name = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]', "_", value).strip()
    return name if name.strip(".") else "_"


def _cut(part: str) -> str:
    """Shortens a name before its suffix to what file systems hold."""
    if len(part.encode(errors="surrogateescape")) <= _MAX_BYTES:
        return part
    suffix = pathlib.PurePath(part).suffix
    suffix = suffix if len(suffix) < 9 else ""
    stem = part.removesuffix(suffix).encode(errors="surrogateescape")
    return stem[: _MAX_BYTES - len(suffix)].decode(errors="ignore") + suffix
