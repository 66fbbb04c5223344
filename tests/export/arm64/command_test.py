"""run_arm64, with a stand-in for the emulator."""

import platform
import stat
import sys

import pytest

from tests.command_line import check_refusal, run_here
from waveunet_tf.export.arm64 import machine

# In one process, for the files that are converted once for all of these.
pytestmark = [
    pytest.mark.xdist_group("tflite"),
    pytest.mark.skipif(
        (sys.platform, platform.machine()) != ("linux", "x86_64"),
        reason="ARM is compared with x86-64 Linux",
    ),
]
COMMAND = "waveunet_tf arm64"

# Stands for qemu: runs the same Python code here, and changes what it wrote.
STAND_IN = """\
#!{python}
import subprocess, sys
import numpy as np
own = sys.argv.index("-s") + 1
subprocess.run([sys.executable, *sys.argv[own:]], check=True)
stems = dict(np.load(sys.argv[-1]))
np.savez(sys.argv[-1], **{{name: stems[name] + np.float32(2e-6) for name in stems}})
"""


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def artefacts(kept_files, tmp_path):
    """A folder of a stream in float32 and in int8."""
    folder = tmp_path / "exported" / "artefacts"
    folder.mkdir(parents=True)
    for kind in ("float32", "int8"):
        (folder / kept_files[kind].name).write_bytes(kept_files[kind].read_bytes())
    return folder


def test_a_machine_that_computes_otherwise_leaves_with_1(artefacts, tmp_path):
    emulator = machine.find_machine(tmp_path).folder / "qemu-aarch64-static"
    write_program(emulator, STAND_IN.format(python=sys.executable))
    result = run_here(COMMAND, f"--artifacts={artefacts.parent}", f"--root={tmp_path}")
    check_refusal(result, 1, "artefacts/tflite_int8.tflite", "bit by bit", "2e-06")
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in result.stdout.splitlines()[2:]
    ]
    assert [row[0].rpartition("_")[2] for row in rows] == [
        "float32.tflite",
        "int8.tflite",
    ]
    assert [row[4] for row in rows] == ["1e-05", "bit-equal"]
    assert all(float(row[2]) > 0.01 for row in rows)  # there was something to compare
    assert all(float(row[3]) == pytest.approx(2e-6, rel=0.1) for row in rows)


def test_a_machine_that_dies_is_told_with_the_file(artefacts, tmp_path):
    emulator = machine.find_machine(tmp_path).folder / "qemu-aarch64-static"
    write_program(emulator, "#!/bin/sh\necho uncaught target signal 11 >&2\nexit 139\n")
    result = run_here(COMMAND, f"--artifacts={artefacts}", f"--root={tmp_path}")
    check_refusal(
        result, 1, "tflite_float32.tflite: on ARM", "139", "uncaught target signal 11"
    )


def test_a_folder_without_files_or_with_a_broken_one_is_refused(artefacts, tmp_path):
    result = run_here(
        COMMAND, f"--artifacts={tmp_path}/none", f"--root={tmp_path}/root"
    )
    check_refusal(result, 1, str(tmp_path), "*.tflite")
    whole = (artefacts / "tflite_int8.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(whole[:1000])
    result = run_here(COMMAND, f"--artifacts={tmp_path}", f"--root={tmp_path}/root")
    check_refusal(result, 1, "cut.tflite")
    assert not (tmp_path / "root").exists()
