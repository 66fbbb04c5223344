"""Reads files of arrays that may be broken: .npz, and HDF5 for given variables."""

from __future__ import annotations

import os
import pathlib
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from waveunet_tf.errors import InputError

if TYPE_CHECKING:  # a checkpoint's config is read without it
    import h5py

# What NumPy raises at a broken file, besides OSError; TypeError and AttributeError at
# one of a single array.
_BROKEN_NPZ = (ValueError, TypeError, AttributeError, LookupError, EOFError)
_BROKEN_NPZ += (RuntimeError, SyntaxError, MemoryError, tokenize.TokenError)
_BROKEN_NPZ += (zipfile.BadZipFile, zlib.error)


def read_npz(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads all arrays of an .npz file.

    Args:
        path: The file.

    Raises:
        InputError: It is no .npz file, is broken, or holds Python's objects.
        OSError: The file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except _BROKEN_NPZ as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path}: must be a whole .npz of arrays, but is not: {reason}"
        ) from error


def load_exactly(
    path: pathlib.Path, variables: list, load_all: Callable[[], None]
) -> None:
    """Loads arrays if the file holds those of the variables, and no others.

    Keras' own loading ignores arrays that it does not use.

    Args:
        path: The HDF5 file.
        variables: The variables to load.
        load_all: Loads them from the file.

    Raises:
        InputError: The file is broken, its arrays have other shapes or lie in other
            files, or one of them holds NaN or infinity.
    """
    import h5py

    expected = sorted(tuple(variable.shape) for variable in variables)
    try:
        with h5py.File(path) as file:
            saved = [dataset.shape for dataset in own_datasets(file)]
        if matches := sorted(saved) == expected:
            load_all()
    except InputError:
        raise
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        # h5py's and Keras'
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: must be whole, but is broken: {reason}") from error
    if not matches:
        other = [shape for shape in saved if shape not in expected]
        raise InputError(
            f"{path}: must hold the config's {len(expected)} arrays. Received: "
            f"{len(saved)} arrays"
            + (f", one of them of shape {other[0]}" if other else "")
        )
    for (
        variable
    ) in variables:  # as loaded, for float32 cannot hold all that float64 can
        if not np.isfinite(np.asarray(variable)).all():
            raise InputError(
                f"{path}: must hold finite numbers. Received: NaN or infinity in "
                f"{variable.path}"
            )


def own_datasets(file: h5py.File) -> list[h5py.Dataset]:
    """Lists a file's datasets, once it is certain that no other file is read for them.

    HDF5 follows links, and reads samples, wherever a file says: in any other file that
    the user may read. Nothing behind a link or in a dataset is read here.

    Args:
        file: An open file.

    Raises:
        InputError: A link leads to another place or file, or a dataset's numbers lie in
            other files or datasets.
    """
    import h5py

    datasets, groups, seen = [], [file["/"]], set()
    while groups:
        group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                _refuse(file, group, name, "a link")
            item = group[name]
            if (place := h5py.h5o.get_info(item.id).addr) in seen:
                continue
            seen.add(place)
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    _refuse(file, group, name, "numbers of other files or arrays")
                datasets.append(item)
    return datasets


def _refuse(file: h5py.File, group: h5py.Group, name: str, what: str) -> None:
    path = f"{group.name.rstrip('/')}/{name}"
    raise InputError(
        f"{file.filename}: must hold its arrays itself. Received: {what} in {path!r}"
    )
