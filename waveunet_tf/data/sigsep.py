"""The SigSep packages, musdb and museval, without a system ffmpeg."""

from __future__ import annotations

import importlib.resources
import shutil
import types

import yaml


def import_sigsep(name: str) -> types.ModuleType:
    """Imports stempeg, musdb or museval, whether ffmpeg is installed or not.

    stempeg, on which the other two rest, refuses to be imported where it does not find
    ffmpeg and ffprobe, although only its own decoding calls them. This project decodes
    with PyAV, so for the time of the import both count as found.
    """
    which = shutil.which

    def which_or_ffmpeg(command, *args, **kwargs):
        found = which(command, *args, **kwargs)
        return command if not found and command in ("ffmpeg", "ffprobe") else found

    shutil.which = which_or_ffmpeg
    try:
        return importlib.import_module(name)
    finally:
        shutil.which = which


def musdb_setup() -> dict:
    """What musdb tells of MUSDB18: `stem_ids`, `validation_tracks`, …"""
    folder = importlib.resources.files(import_sigsep("musdb"))
    return yaml.safe_load((folder / "configs/mus.yaml").read_text(encoding="utf-8"))
