"""The page that tells a reader of a model: what it learned from, and how good it is."""

from __future__ import annotations

import json
import pathlib
import re

from waveunet_tf.checkpoints import registry
from waveunet_tf.checkpoints.checkpoint import Checkpoint

PAGE = "README.md"
"""The page's file, which lies beside the weights."""
_LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)\)")


def card_page(name: str) -> str:
    """Returns the page of a model, or what its files tell where it has no page.

    Its links name files where they lie. A package lacks some of the source's files:
    their links are named as such.

    Args:
        name: The name of the model.

    Raises:
        InputError: There is no such model, or its card or config is broken.
        OSError: A file cannot be read.
    """
    folder = registry.folder_of(name)
    card = registry.read_card(folder)
    path = folder / PAGE
    if path.is_file():
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        text = _LINK.sub(lambda link: _resolved(link, folder), text)
    else:
        missing = f"{path} is not there: what it was trained on is not known."
        lines = [f"# {folder.name}", card.description, facts(name), missing]
        text = "\n\n".join(lines)
    if folder.name == name:
        return text
    return f"{registry.describe_model(name)}\n\n{text}"


def _resolved(link: re.Match, folder: pathlib.Path) -> str:
    """Returns a link with the path of its file, which may be missing here."""
    text, target = link.groups()
    file = target.partition("#")[0]
    if "://" in target or not file:
        return link.group()
    if (folder / file).exists():
        place, note = str((folder / file).resolve()), ""
    else:
        place, note = file.replace("../", ""), ", in the source only"
    return f"{place}{note}" if place.endswith(text) else f"{text} ({place}{note})"


def facts(name: str) -> str:
    """Makes a table of what a model's files tell: its config, sizes and hashes.

    Args:
        name: The name of the model.

    Raises:
        InputError: There is no such model, it is broken, or a file is not as packed.
        OSError: A file cannot be read.
    """
    folder = registry.folder_of(name)
    described = registry.read_card(folder).files
    registry.verify_model(folder, described)
    config = Checkpoint.open(folder).config.to_json()
    rows = [(field, _shown(value)) for field, value in config.items()]
    rows += [
        (file, f"{values['size_bytes']} bytes, SHA-256 {values['sha256']}")
        for file, values in described.items()
    ]
    lines = ["| | |", "|---|---|", *(f"| {left} | {right} |" for left, right in rows)]
    return "\n".join(lines)


def _shown(value) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
