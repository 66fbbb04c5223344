"""Compares an exported file's stems on ARM with those on x86-64."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping

import numpy as np

import waveunet_tf
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import tables
from waveunet_tf.export.arm64 import stems
from waveunet_tf.export.arm64.machine import CPU, Machine
from waveunet_tf.separation import tflite_file

# The largest difference of a sample that is allowed; full scale is 1. Integers are
# exact. ARM sums floats in another order (2e-7 was measured), also those of float16,
# whose weights are widened. Where floats become integers within the network, a sum that
# differs in its last bit is sometimes rounded to the next integer: 3e-3 was measured on
# a song on which int8 weights themselves cost 6e-3. A wrong kernel gave 0.6.
BOUNDS = {
    "float32": 1e-5,
    "float16": 1e-5,
    "dynamic": 2e-2,
    "int8": 0.0,
    "int16x8": 0.0,
    "mixed": 2e-2,
}
_CODE = "import stems, sys; stems.write_stems(*sys.argv[1:])"


@dataclasses.dataclass(frozen=True)
class ArmRow:
    """The figures of an exported file.

    Attributes:
        artefact: The file's name.
        kind: The kind of its numbers, of BOUNDS.
        mode: "streaming" or "window".
        peak: The largest sample of all sources on x86-64; full scale is 1.
        difference: The largest difference of a sample between ARM and x86-64.
        equal: The share of samples that are equal bit by bit, 0 to 1.
    """

    artefact: str
    kind: str
    mode: str
    peak: float
    difference: float
    equal: float


def read_artefact_config(path: pathlib.Path) -> NetworkConfig:
    """Reads the network's config of a file that can be compared.

    Args:
        path: The exported file.

    Raises:
        InputError: The file is broken, is not one of this project's, or has a kind of
            numbers without a bound.
        OSError: The file cannot be read.
    """
    config, _, _ = tflite_file.load_tflite_file(path)
    kind = tflite_file.read_metadata(path, path.read_bytes()).get("quantization")
    if kind not in BOUNDS:
        raise InputError(
            f"{path}: `quantization` must be one of {', '.join(BOUNDS)}. "
            f"Received: {kind}"
        )
    return config


def compare_on_arm(
    path: pathlib.Path,
    mixture: np.ndarray,
    machine: Machine,
    *,
    name: str,
    cpu: str = CPU,
) -> ArmRow:
    """Separates a mixture with a file on both machines, on one thread each.

    Args:
        path: The exported file; `read_artefact_config` accepts it.
        mixture: The mixture, `(frames, channels)`, at the network's rate.
        machine: The ARM machine.
        name: The file's name in the table.
        cpu: qemu's name of the ARM processor.

    Raises:
        InputError: The file does not run on one of the machines.
    """
    metadata = tflite_file.read_metadata(path, path.read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        song = pathlib.Path(folder) / "mixture.npy"
        np.save(song, mixture)
        _copy_code(pathlib.Path(folder))
        arguments = ["-c", _CODE, str(path.absolute()), str(song)]
        arm = _stems(
            machine.command(*arguments, cpu=cpu),
            pathlib.Path(folder) / "arm.npz",
            f"{path}: on ARM",
            cwd=folder,
            environment=machine.environment(),
        )
        x86 = _stems(
            [sys.executable, *arguments],
            pathlib.Path(folder) / "x86.npz",
            f"{path}: on x86-64",
            cwd=folder,
            environment=os.environ,
        )
    return compare_stems(name, metadata["quantization"], metadata["mode"], arm, x86)


def _copy_code(folder: pathlib.Path) -> None:
    """Copies what both machines run, apart from the packages that x86-64 has beside it.

    Args:
        folder: The folder that both run it from.
    """
    package = pathlib.Path(waveunet_tf.__file__).parent
    ignored = shutil.ignore_patterns("pretrained", "__pycache__", "evaluate", "export")
    shutil.copytree(package, folder / package.name, ignore=ignored)
    shutil.copy(stems.__file__, folder)


def _stems(
    command: list[str],
    written: pathlib.Path,
    who: str,
    *,
    cwd: str,
    environment: Mapping[str, str],
) -> dict[str, np.ndarray]:
    """Runs stems.write_stems in a process, and reads what it wrote."""
    child = subprocess.run(
        [*command, str(written)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="backslashreplace",
        check=False,
        cwd=cwd,  # from which -c imports
        env=environment,
    )
    if child.returncode:
        reason = (child.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(f"{who} the process ended with {child.returncode}: {reason}")
    with np.load(written) as arrays:
        return dict(arrays)


def compare_stems(
    artefact: str,
    kind: str,
    mode: str,
    arm: Mapping[str, np.ndarray],
    x86: Mapping[str, np.ndarray],
) -> ArmRow:
    """Computes the figures of a file from its stems on both machines.

    Args:
        artefact: The file's name.
        kind: The kind of its numbers, of BOUNDS.
        mode: "streaming" or "window".
        arm: Source → `(frames, channels)`, of ARM, in float32.
        x86: The same of x86-64.
    """
    one, other = (
        np.concatenate([stems[name] for name in sorted(x86)], axis=1)
        for stems in (arm, x86)
    )
    return ArmRow(
        artefact=artefact,
        kind=kind,
        mode=mode,
        peak=float(np.abs(other).max()),
        difference=float(np.abs(one.astype(np.float64) - other).max()),
        equal=float(np.mean(one.view(np.uint32) == other.view(np.uint32))),
    )


def bound_failures(rows: list[ArmRow]) -> list[str]:
    """Returns a line for each file whose difference is beyond its bound."""
    lines = []
    for row in rows:
        bound = BOUNDS[row.kind]
        if bound and not row.difference <= bound:
            lines.append(
                f"{row.artefact}: ARM may differ by {bound:g} from x86-64, {row.mode}. "
                f"Received: {row.difference:.2g}"
            )
        if not bound and not row.equal == 1:
            lines.append(
                f"{row.artefact}: ARM must equal x86-64 bit by bit, {row.mode}. "
                f"Received: a difference of {row.difference:.2g}, "
                f"{row.equal:.2%} of the samples equal"
            )
    return lines


def format_comparison(rows: list[ArmRow]) -> str:
    """Formats the table as Markdown."""
    shown = [
        {
            "artefact": row.artefact,
            "mode": row.mode,
            "peak": row.peak,
            "largest difference": f"{row.difference:.1e}" if row.difference else "0",
            "allowed": f"{BOUNDS[row.kind]:.0e}" if BOUNDS[row.kind] else "bit-equal",
            "equal samples (%)": 100 * row.equal,
        }
        for row in rows
    ]
    return tables.to_lines(list(shown[0]), shown, "markdown")
