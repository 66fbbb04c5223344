"""Checks that an HDF5 file holds exactly the arrays that are to be loaded."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np

from waveunet_tf.errors import InputError


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
        InputError: The file is broken, its arrays have other shapes, or one of them
            holds NaN or infinity.
    """
    import h5py

    saved = []

    def note_shape(_, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            saved.append(item.shape)

    expected = sorted(tuple(variable.shape) for variable in variables)
    try:
        with h5py.File(path) as file:
            file.visititems(note_shape)
        if matches := sorted(saved) == expected:
            load_all()
    except (OSError, KeyError, ValueError, RuntimeError) as error:  # h5py's and Keras'
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
