import importlib.metadata
import os
import pathlib
import platform
import stat
import sys

import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.export.arm64 import machine

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="ARM is compared with x86-64 Linux",
)


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


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


def test_a_machine_sees_no_variable_but_its_wheels(tmp_path):
    assert machine.Machine(tmp_path).environment() == {"PYTHONPATH": f"{tmp_path}/site"}


def test_a_machine_is_kept_by_its_versions_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("WAVEUNET_TF_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = machine.default_folder()
    assert folder == tmp_path / "waveunet_tf" / "arm64"
    found = machine.find_machine(folder)
    assert found.folder.parent == folder
    assert f"numpy-{importlib.metadata.version('numpy')}" in found.folder.name
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert machine.default_folder() == pathlib.Path(
        "/home/somebody/.cache/waveunet_tf/arm64"
    )
    monkeypatch.setenv("WAVEUNET_TF_CACHE", str(tmp_path / "own"))
    assert machine.default_folder() == tmp_path / "own" / "arm64"


def test_a_machine_that_another_process_unpacks_meanwhile_is_taken(
    tmp_path, monkeypatch
):
    lock = machine.files.locked_folder

    def late(folder):
        machine.find_machine(tmp_path).folder.mkdir()
        return lock(folder)

    monkeypatch.setattr(machine.files, "locked_folder", late)
    monkeypatch.setattr(machine, "_unpack", lambda _: pytest.fail("unpacked again"))
    assert machine.get_machine(tmp_path) == machine.find_machine(tmp_path)


def test_a_machine_that_is_there_is_not_unpacked_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "no tools"))
    machine.find_machine(tmp_path).folder.mkdir()
    assert machine.get_machine(tmp_path) == machine.find_machine(tmp_path)
    assert os.listdir(machine.find_machine(tmp_path).folder) == []


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
