"""Makes the paths of stems from a template."""

from __future__ import annotations

import os
import pathlib
import re
import string
from collections.abc import Mapping

from waveunet_tf.audio import formats
from waveunet_tf.errors import InputError
from waveunet_tf.system.files import real_path

DEFAULT_TEMPLATE = "{track}/{source}.{ext}"
FIELDS = ("track", "source", "ext", "title", "artist", "album", "folder")
# Bytes of a file's name in UTF-8. File systems take 255; a temporary name has a prefix.
_MAX_BYTES = 200
# Names that are devices on Windows, whatever suffix they have.
_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE
)


def check_template(template: str) -> None:
    """Checks a template of stems' paths.

    Raises:
        InputError: The template is absolute, leads out of the folder, has other fields
            than `FIELDS`, or does not end in `.{ext}`.
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
    if leads_away(pathlib.PurePath(template)) or not template.endswith(".{ext}"):
        raise InputError(
            "`output_template` must lead to a file below the output folder and end in "
            f".{{ext}}. Received: {template}"
        )


def stem_path(
    output: pathlib.Path,
    template: str,
    song: pathlib.Path,
    source: str,
    suffix: str,
    tags: Mapping[str, str],
    *,
    folder: str | pathlib.PurePath = ".",
) -> pathlib.Path:
    """Makes the path of one stem, which never leaves the output folder.

    Args:
        output: The folder for all stems.
        template: A template that `check_template` accepts.
        song: The song's file, whose name is the track.
        source: The stem's name.
        suffix: The format's suffix, without a dot.
        tags: The song's tags. A missing title is replaced by the track, another missing
            tag by "unknown …".
        folder: The song's folder, below the one in which it was found.

    Raises:
        InputError: The song's name cannot name a folder, or the path leads out of the
            output folder, by its parts or by links that are there.
    """
    track = formats.song_name(song)
    values = {"title": track, "artist": "unknown artist", "album": "unknown album"}
    values.update({name: value for name, value in tags.items() if name in values})
    values = {name: _as_name(value) for name, value in values.items()}
    fixed = {"source": _as_name(source), "ext": suffix, "folder": folder}
    kept = pathlib.PurePath(folder).parts  # which are there, and so fit
    for size in range(_MAX_BYTES, 0, -10):  # shorter names, until all parts fit
        cut = {name: _cut(value, size) for name, value in values.items()}
        path = template.format(**cut, **fixed, track=_cut(track, size))
        made = pathlib.PurePath(path)
        if all(
            len(os.fsencode(part)) <= _MAX_BYTES or part in kept for part in made.parts
        ):
            break
    if leads_away(made):
        raise InputError(
            "`output_template` must lead to a file below the output folder for every "
            f"song. Received: {template}, which makes {path} of {song}"
        )
    target = output.joinpath(*map(_no_device, made.parts))
    # A link in the place of the file itself is replaced, and not followed.
    inside, outside = real_path(target.parent), real_path(output)
    if outside not in (inside, *inside.parents):
        raise InputError(
            f"{target}: must lie below the output folder, {output}, but links lead to "
            f"{inside}"
        )
    return target


def leads_away(path: pathlib.PurePath) -> bool:
    """Whether a path leads out of the folder that it is joined to, or names no file.

    Args:
        path: A path of any system: on Windows, `C:x` leads to another drive.
    """
    return bool(path.anchor) or ".." in path.parts or "\0" in str(path)


def _no_device(part: str) -> str:
    """Makes a part of a path one that is no device on Windows."""
    return f"_{part}" if _DEVICE.match(part) else part


def _as_name(value: str) -> str:
    """Makes a text a file's name that any system takes, without separators."""
    name = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]', "_", value).strip()
    return name if name.strip(".") else "_"


def _cut(name: str, size: int) -> str:
    """Cuts a name to the longest beginning of at most `size` bytes in UTF-8."""
    content = os.fsencode(name)
    if len(content) <= size:
        return name
    return content[:size].decode(errors="ignore") or "_"
