import importlib.machinery

import pytest

from waveunet_tf.system import cuda_libraries, gpus
from waveunet_tf.system.cuda_libraries import Library

BUILD = {"is_cuda_build": True, "cuda_version": "12.3", "cudnn_version": "8"}


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A folder as NVIDIA's wheels make it, which Python finds as `nvidia`."""
    folder = tmp_path / "nvidia"
    folder.mkdir()

    def find(name):
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        return spec

    monkeypatch.setattr(cuda_libraries.importlib.util, "find_spec", find)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    return folder


def test_each_library_has_the_number_and_the_package_of_its_release():
    needed = {library.file: library for library in cuda_libraries.needed("12.3", "8")}
    assert needed["libcudart.so.12"].package == "nvidia-cuda-runtime-cu12"
    assert needed["libcufft.so.11"].package == "nvidia-cufft-cu12"
    assert needed["libcudnn.so.8"].package == "nvidia-cudnn-cu12"
    assert "libcudnn.so.9" in {one.file for one in cuda_libraries.needed("12.5", "9")}


def test_versions_that_tensorflow_does_not_tell_are_those_that_its_extra_takes(
    monkeypatch,
):
    lines = [
        'nvidia-cuda-runtime-cu12<13.0,>=12.5.82; extra == "and-cuda"',
        'nvidia-cudnn-cu12<10.0,>=9.10.2.21; extra == "and-cuda"',
        "numpy>=1.26",
    ]
    monkeypatch.setattr(cuda_libraries.importlib.metadata, "requires", lambda _: lines)
    silent = {"is_cuda_build": True}
    found = {"cuda_version": "12.5", "cudnn_version": "9.10"}
    assert cuda_libraries.with_versions(silent) == {**silent, **found}
    assert cuda_libraries.with_versions(BUILD) == BUILD
    without = {"is_cuda_build": False}
    assert cuda_libraries.with_versions(without) == without
    monkeypatch.setattr(cuda_libraries.importlib.metadata, "requires", lambda _: None)
    assert cuda_libraries.with_versions(silent) == silent
    assert cuda_libraries.needed("", "") == []


def test_a_library_that_can_be_opened_is_no_problem():
    assert cuda_libraries.problem_of(Library("libc.so.6", "none", "none")) is None


def test_a_missing_library_is_told_with_its_package(wheels):
    library = Library("libnone.so.12", "nvidia-none-cu12", "none")
    assert cuda_libraries.problem_of(library) == (
        "libnone.so.12 is missing: pip install nvidia-none-cu12"
    )


def test_a_library_that_is_only_not_found_is_told_with_the_path(wheels):
    (wheels / "none" / "lib").mkdir(parents=True)
    (wheels / "none" / "lib" / "libnone.so.12").write_bytes(b"")
    problem = cuda_libraries.problem_of(Library("libnone.so.12", "x", "none"))
    assert problem.startswith("libnone.so.12 is installed, but not found: export ")
    assert f"LD_LIBRARY_PATH=$(echo {wheels}/*/lib" in problem


def test_ptxas_is_found_where_xla_looks(wheels, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(cuda_libraries, "_CUDA", tmp_path / "none")
    assert cuda_libraries.ptxas_path() is None
    assert cuda_libraries.ptxas_mend() == "pip install nvidia-cuda-nvcc-cu12"
    ptxas = wheels / "cuda_nvcc" / "bin" / "ptxas"
    ptxas.parent.mkdir(parents=True)
    ptxas.write_text("#!/bin/sh\n")  # not yet to be run
    ptxas.chmod(0o644)
    assert cuda_libraries.ptxas_path() is None
    assert cuda_libraries.ptxas_mend().startswith("chmod +x ")
    ptxas.chmod(0o755)
    assert cuda_libraries.ptxas_path() == str(ptxas)
    other = tmp_path / "cuda" / "bin" / "ptxas"
    other.parent.mkdir(parents=True)
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("XLA_FLAGS", f"--a=b --xla_gpu_cuda_data_dir={tmp_path}/cuda")
    assert cuda_libraries.ptxas_path() == str(other)


@pytest.mark.parametrize(
    ("visible", "driver", "build", "words"),
    [
        ("", "550.1", BUILD, "unset CUDA_VISIBLE_DEVICES"),
        ("-1", "550.1", BUILD, "unset CUDA_VISIBLE_DEVICES"),
        (None, "550.1", {"is_cuda_build": False}, "pip install 'waveunet-tf[gpu]'"),
        (None, None, BUILD, "no NVIDIA driver"),
        (None, "470.1", BUILD, "too old for CUDA 12.3: install 525.60.13"),
        ("9", "550.1", BUILD, "names no card of this machine. Received: 9"),
        (None, "550.1", BUILD, "libcudart.so.12 is missing: pip install nvidia-"),
    ],
)
def test_the_first_cause_of_a_missing_gpu_is_told(
    wheels, monkeypatch, visible, driver, build, words
):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(gpus, "driver_version", lambda: driver)
    monkeypatch.setattr(gpus, "list_cards", lambda: [])

    def missing(file):
        raise OSError(file)

    monkeypatch.setattr(cuda_libraries.ctypes, "CDLL", missing)
    reason = cuda_libraries.explain_missing_gpu(build)
    assert words in reason and "\n" not in reason
