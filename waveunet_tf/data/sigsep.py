"""The SigSep packages, musdb and museval, without a system ffmpeg."""

from __future__ import annotations

import importlib.resources
import shutil
import threading
import types

import numpy as np

_patching = threading.Lock()  # of shutil.which: dask's workers have threads


def import_sigsep(name: str) -> types.ModuleType:
    """Imports stempeg, musdb or museval, even where ffmpeg is not installed.

    The other two import stempeg, which refuses to be imported without ffmpeg and
    ffprobe, although only its own decoding calls them. This project decodes with PyAV,
    so both count as found during the import.

    museval catches NumPy's LinAlgError by a name that NumPy 2.5 no longer has; it gets
    the name back.
    """
    if not hasattr(np.linalg, "linalg"):
        np.linalg.linalg = np.linalg
    with _patching:
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
    """Reads what musdb knows of MUSDB18: `stem_ids`, `validation_tracks` and more."""
    import yaml  # comes with musdb

    folder = importlib.resources.files(import_sigsep("musdb"))
    return yaml.safe_load((folder / "configs/mus.yaml").read_text(encoding="utf-8"))
