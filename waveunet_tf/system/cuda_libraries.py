"""Finds the CUDA libraries that TensorFlow loads, and says how to make it find them."""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.metadata
import importlib.util
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

from packaging.requirements import Requirement

from waveunet_tf.system import gpus

# Where CUDA lies that no package brought.
_CUDA = pathlib.Path("/usr/local/cuda")


@dataclasses.dataclass(frozen=True)
class Library:
    """A library that TensorFlow opens by its name.

    Attributes:
        file: Its file, such as libcudart.so.12.
        package: The package on PyPI that brings it.
        folder: The folder of `nvidia` in which that package puts it.
    """

    file: str
    package: str
    folder: str


# CUDA's major version → name of a library → the number of its file.
_NUMBERS = {
    "12": {"cudart": 12, "cublas": 12, "cufft": 11, "cusolver": 11, "cusparse": 12},
}
# A library → the folder, and the name of its package before "-cu12".
_FOLDERS = {
    "cudart": "cuda_runtime",
    "cublas": "cublas",
    "cufft": "cufft",
    "cusolver": "cusolver",
    "cusparse": "cusparse",
}


# What TensorFlow says of its build → the package of its extra that has this version.
_VERSIONS = {
    "cuda_version": "nvidia-cuda-runtime-cu12",
    "cudnn_version": "nvidia-cudnn-cu12",
}


def with_versions(build: Mapping[str, Any]) -> dict[str, Any]:
    """Adds the versions that TensorFlow, from 2.22 on, no longer says of its build.

    They are the oldest that its extra `and-cuda` takes.

    Args:
        build: What `tf.sysconfig.get_build_info()` returns.

    Returns:
        The same with `cuda_version` and `cudnn_version`, as far as they are known.
    """
    try:
        lines = importlib.metadata.requires("tensorflow") or ()
    except importlib.metadata.PackageNotFoundError:  # tensorflow-cpu, for example
        lines = ()
    oldest = {
        requirement.name: specifier.version
        for requirement in map(Requirement, lines)
        for specifier in requirement.specifier
        if specifier.operator in ("==", ">=")
    }
    versions = {
        name: ".".join(oldest[package].split(".")[:2])
        for name, package in _VERSIONS.items()
        if package in oldest and build.get("is_cuda_build")
    }
    return {**versions, **build}


def needed(cuda: str, cudnn: str) -> list[Library]:
    """Lists the libraries that TensorFlow opens.

    Args:
        cuda: The version of CUDA that TensorFlow was built for, such as 12.3.
        cudnn: That of cuDNN, such as 8; empty if it is not known.
    """
    major = cuda.partition(".")[0]
    libraries = [
        Library(
            f"lib{name}.so.{number}",
            f"nvidia-{_FOLDERS[name].replace('_', '-')}-cu{major}",
            _FOLDERS[name],
        )
        for name, number in _NUMBERS.get(major, {}).items()
    ]
    if cudnn:
        file = f"libcudnn.so.{cudnn.partition('.')[0]}"
        libraries.append(Library(file, f"nvidia-cudnn-cu{major}", "cudnn"))
    return libraries


def _folders_of_wheels() -> list[pathlib.Path]:
    spec = importlib.util.find_spec("nvidia")
    places = (spec.submodule_search_locations or ()) if spec else ()
    return [pathlib.Path(path) for path in places]


def problem_of(library: Library) -> str | None:
    """Says why a library cannot be opened, and the line that mends it."""
    try:
        ctypes.CDLL(library.file)
        return None
    except OSError:
        pass
    for folder in _folders_of_wheels():
        lib = folder / library.folder / "lib"
        if (lib / library.file).exists():
            return (
                f"{library.file} is installed, but not found: export "
                f"LD_LIBRARY_PATH=$(echo {folder}/*/lib | tr ' ' :)"
            )
    return f"{library.file} is missing: pip install {library.package}"


def ptxas_path() -> str | None:
    """Returns where XLA finds the assembler ptxas; None if nowhere.

    XLA looks in the folder of its flag, in PATH, beside NVIDIA's wheels and in CUDA's
    usual folder.
    """
    folders = []
    for flag in os.environ.get("XLA_FLAGS", "").split():
        name, _, value = flag.partition("=")
        if name == "--xla_gpu_cuda_data_dir":
            folders.append(pathlib.Path(value))
    folders += [folder / "cuda_nvcc" for folder in _folders_of_wheels()]
    folders.append(_CUDA)
    places = [
        *[folder / "bin" / "ptxas" for folder in folders[:-1]],
        shutil.which("ptxas"),
        folders[-1] / "bin" / "ptxas",
    ]
    for place in places:
        if place and os.access(place, os.X_OK):
            return str(place)
    return None


def ptxas_mend() -> str:
    """Returns the line that lets XLA find ptxas."""
    for folder in _folders_of_wheels():
        nvcc = folder / "cuda_nvcc"
        if (nvcc / "bin" / "ptxas").exists():  # but may not be run
            return f"chmod +x {nvcc}/bin/*"
    return "pip install nvidia-cuda-nvcc-cu12"


def explain_missing_gpu(build: dict) -> str:
    """Says in one line why TensorFlow finds no GPU, and what mends it.

    Args:
        build: What `with_versions` returns.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not any(
        word.strip() not in ("", "-1") for word in visible.split(",")
    ):
        return "CUDA_VISIBLE_DEVICES hides every GPU: unset CUDA_VISIBLE_DEVICES"
    if not build.get("is_cuda_build"):
        return "this TensorFlow was built without CUDA: pip install 'waveunet-tf[gpu]'"
    cuda, cudnn = build.get("cuda_version", ""), build.get("cudnn_version", "")
    if problem := gpus.driver_problem(gpus.driver_version(), cuda):
        return problem
    if visible is not None and not gpus.list_cards():
        return (
            f"CUDA_VISIBLE_DEVICES names no card of this machine. Received: {visible}"
        )
    problems = [problem_of(library) for library in needed(cuda, cudnn)]
    if found := [problem for problem in problems if problem]:
        more = f" (and {len(found) - 1} more)" if found[1:] else ""
        return f"{found[0]}{more}; `waveunet check-gpu` tells all"
    return "the driver and the libraries are there; `waveunet check-gpu` tells more"
