"""Exported files on ARM; the emulator itself in a slow test, where it is at hand."""

import platform
import stat
import sys

import numpy as np
import pytest

from export.arm64 import comparison, machine
from tests.command_line import check_refusal, run
from tests.export.tflite_test import export, music, save_network
from waveunet_tf.errors import InputError
from waveunet_tf.separation.separator import load_tflite_separator

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="ARM is compared with x86-64 Linux",
)
COMMAND = "export.run_arm64"

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


def compared(kind, change):
    """A row of random stems and the same, changed."""
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 300, 2)).astype(np.float32)
    x86 = dict(zip(("vocals", "accompaniment"), noise))
    arm = {name: stem.copy() for name, stem in x86.items()}
    arm["vocals"][7, 1] += np.float32(change)
    return comparison.compare_stems("x.tflite", kind, "streaming", arm, x86)


@pytest.mark.parametrize(
    ("kind", "change", "is_kept"),
    [
        ("float32", 9e-6, True),
        ("float32", 1.1e-5, False),
        ("float32", np.nan, False),
        ("float16", 1.1e-5, False),
        ("int8", 0, True),
        ("int8", 1e-6, False),
        ("int8", np.nan, False),
        ("int16x8", 1e-6, False),
        ("dynamic", 1.9e-2, True),
        ("dynamic", 2.1e-2, False),
        ("mixed", 1.9e-2, True),
        ("mixed", np.nan, False),
    ],
)
def test_a_difference_beyond_its_bound_is_told_in_a_line(kind, change, is_kept):
    row = compared(kind, change)
    assert row.equal == pytest.approx(1 if change == 0 else 1 - 1 / 1200)
    assert np.isnan(change) or row.difference == pytest.approx(change, abs=1e-7)
    lines = comparison.bound_failures([row])
    assert len(lines) == (0 if is_kept else 1)
    assert all("x.tflite: ARM m" in line and "Received" in line for line in lines)


def test_every_kind_of_file_has_a_bound():
    from export.kinds import KINDS

    assert sorted(comparison.BOUNDS) == sorted(KINDS)


def test_the_system_files_are_those_of_the_emulated_processor():
    files = machine.SYSTEM_FILES
    cores = files["proc/cpuinfo"].strip().split("\n\n")
    for number, core in enumerate(cores):
        told = dict(line.split(":") for line in core.splitlines())
        told = {name.strip(): value.strip() for name, value in told.items()}
        assert told["processor"] == str(number)
        assert told["CPU implementer"] == "0x41"  # Arm
        assert told["CPU part"] == "0xd0b"  # Cortex-A76
        assert {"asimd", "asimddp", "fphp"} <= set(told["Features"].split())
        assert "i8mm" not in told["Features"] and "sve" not in told["Features"]
    for name in ("possible", "present"):
        assert files[f"sys/devices/system/cpu/{name}"] == f"0-{len(cores) - 1}\n"


def test_the_command_emulates_in_the_machines_root(tmp_path):
    command = machine.Machine(tmp_path).command("-c", "pass", cpu="cortex-a53")
    assert command == [
        *(f"{tmp_path}/qemu-aarch64-static", "-cpu", "cortex-a53"),
        *("-L", f"{tmp_path}/root", f"{tmp_path}/root/usr/bin/python3.11"),
        *("-S", "-s", "-c", "pass"),
    ]
    assert "cortex-a76" in machine.Machine(tmp_path).command()


@pytest.fixture(scope="module")
def artefacts(tiny_config, tmp_path_factory):
    """A stream in float32 and in int8, of a tiny network."""
    folder = tmp_path_factory.mktemp("arm64")
    save_network(folder / "checkpoint", tiny_config)
    (folder / "artefacts").mkdir()
    for kind in ("float32", "int8"):
        path = folder / "artefacts" / f"tflite_{kind}.tflite"
        export(folder / "checkpoint", path, kind=kind)
    return folder / "artefacts"


def test_a_machine_that_computes_otherwise_leaves_with_1(artefacts, tmp_path):
    emulator = machine.find_machine(tmp_path).folder / "qemu-aarch64-static"
    write_program(emulator, STAND_IN.format(python=sys.executable))
    result = run(COMMAND, f"--artifacts={artefacts.parent}", f"--root={tmp_path}")
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
    result = run(COMMAND, f"--artifacts={artefacts}", f"--root={tmp_path}")
    check_refusal(
        result, 1, "tflite_float32.tflite: on ARM", "139", "uncaught target signal 11"
    )


def test_a_folder_without_files_or_with_a_broken_one_is_refused(artefacts, tmp_path):
    result = run(COMMAND, f"--artifacts={tmp_path}", f"--root={tmp_path}/root")
    check_refusal(result, 1, str(tmp_path), "*.tflite")
    whole = (artefacts / "tflite_int8.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(whole[:1000])
    result = run(COMMAND, f"--artifacts={tmp_path}", f"--root={tmp_path}/root")
    check_refusal(result, 1, "cut.tflite")
    assert not (tmp_path / "root").exists()


def test_a_file_of_an_unknown_kind_is_refused(artefacts, tmp_path):
    whole = (artefacts / "tflite_int8.tflite").read_bytes()
    path = tmp_path / "x.tflite"
    path.write_bytes(
        whole.replace(b'"quantization": "int8"', b'"quantization": "int4"')
    )
    with pytest.raises(InputError, match="x.tflite: `quantization` must .* int4"):
        comparison.read_artefact_config(path)


def test_a_missing_tool_or_server_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    keys = tmp_path / "keys.gpg"
    monkeypatch.setattr(machine, "_KEYRING", keys)
    root, tools = tmp_path / "root", tmp_path / "bin"
    with pytest.raises(InputError, match=r"keys.gpg: must be Debian's keys"):
        machine.get_machine(root)
    keys.touch()
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(InputError, match="apt-get: must be installed"):
        machine.get_machine(root)
    write_program(
        tools / "apt-get",
        "#!/bin/sh\necho Ign:1\necho E: no such server\necho E: more >&2\nexit 100\n",
    )
    with pytest.raises(InputError, match="apt-get update ended with 100: E: no such"):
        machine.get_machine(root)
    assert list(root.iterdir()) == []


def test_another_processor_than_x86_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(InputError, match="Received: linux on riscv64"):
        machine.get_machine(tmp_path)


@pytest.mark.slow
def test_arm_gives_what_x86_gives(artefacts):
    arm = machine.find_machine(machine.default_folder())
    if not arm.folder.is_dir():
        pytest.skip(f"needs what run_arm64 unpacks, which is not at {arm.folder}")
    song = music(3000)
    for path in sorted(artefacts.glob("*.tflite")):
        row = comparison.compare_on_arm(path, song, arm, name=path.name)
        assert comparison.bound_failures([row]) == []
        stems = load_tflite_separator(path).runner().run(song)
        peak = max(np.abs(stem).max() for stem in stems.values())
        assert row.peak == pytest.approx(peak, abs=1e-5)
