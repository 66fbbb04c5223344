"""An emulated 64-bit ARM machine with Debian's Python and LiteRT, for any user."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import pathlib
import platform
import shutil
import subprocess
import sys

from absl import logging

from waveunet_tf.errors import InputError
from waveunet_tf.system import files, user_folders

# Debian 12: the wheels exist for its Python.
_SUITE = "bookworm"
_SOURCES = """\
deb [signed-by={keyring}] http://deb.debian.org/debian {suite} main
deb [signed-by={keyring}] http://deb.debian.org/debian-security {suite}-security main
"""
_KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PYTHON = "3.11"
_PACKAGES = (
    *(f"python{_PYTHON}-minimal", f"libpython{_PYTHON}-stdlib", "libstdc++6"),
    "qemu-user-static:amd64",
)
_QEMU = "usr/bin/qemu-aarch64-static"
# They are unpacked in the versions that this Python has.
_WHEELS = ("ai-edge-litert", "numpy", "absl-py", "flatbuffers")
_PLATFORMS = ("manylinux_2_27_aarch64", "manylinux2014_aarch64")

# qemu's name of a processor of phones since 2019.
CPU = "cortex-a76"
_CORES = 4
_CORE = """\
processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid \
asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

"""
# Without these, programs would read of the x86-64 below; LiteRT 2.3 dies of that.
SYSTEM_FILES = {
    "proc/cpuinfo": "".join(_CORE.format(number=number) for number in range(_CORES)),
    "sys/devices/system/cpu/possible": f"0-{_CORES - 1}\n",
    "sys/devices/system/cpu/present": f"0-{_CORES - 1}\n",
}


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine that `get_machine` unpacked.

    Attributes:
        folder: The folder of `qemu-aarch64-static`; `root`, with Debian's files;
            `site`, with the wheels; and `versions.txt`, the list of their versions.
    """

    folder: pathlib.Path

    def command(self, *arguments: str, cpu: str = CPU) -> list[str]:
        """Returns the command that runs ARM's Python with these arguments.

        The program sees a file of the machine's root before one of this machine.

        Args:
            *arguments: Arguments of Python.
            cpu: qemu's name of the processor.
        """
        root = self.folder / "root"
        python = root / f"usr/bin/python{_PYTHON}"
        emulator = [str(self.folder / pathlib.Path(_QEMU).name), "-cpu", cpu]
        return [*emulator, "-L", str(root), str(python), "-S", "-s", *arguments]

    def environment(self) -> dict[str, str]:
        """Returns the command's environment, which has only the path of the wheels."""
        return {"PYTHONPATH": str(self.folder / "site")}


def default_folder() -> pathlib.Path:
    """Returns the folder in the user's cache that keeps machines."""
    return user_folders.cache_folder() / "arm64"


def find_machine(folder: str | os.PathLike) -> Machine:
    """Returns the machine with the wheels' versions of this Python, unpacked or not.

    Args:
        folder: The folder that keeps machines.
    """
    pins = [f"{name}-{importlib.metadata.version(name)}" for name in _WHEELS]
    return Machine(pathlib.Path(folder).absolute() / "-".join([_SUITE, *pins]))


def get_machine(folder: str | os.PathLike) -> Machine:
    """Returns the machine of `find_machine`; loads and unpacks it (105 MB) if missing.

    Args:
        folder: The folder that keeps machines.

    Raises:
        InputError: This machine is not x86-64 with Linux, a tool is missing, or a
            server does not answer.
        OSError: The folder cannot be written.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise InputError(
            "ARM is compared with x86-64: this needs Linux on x86-64. "
            f"Received: {sys.platform} on {platform.machine()}"
        )
    machine = find_machine(folder)
    if machine.folder.is_dir():
        return machine
    with files.locked_folder(machine.folder.parent):
        if machine.folder.is_dir():  # Another process has unpacked it meanwhile.
            return machine
        files.remove_parts(machine.folder.parent)
        with files.atomic_folder(machine.folder) as part:
            logging.info("unpacking an ARM machine into %s, once", machine.folder)
            _unpack(Machine(part))
    return machine


def _unpack(machine: Machine) -> None:
    versions = _unpack_packages(machine.folder) + _unpack_wheels(machine.folder)
    files_by_path = {
        "versions.txt": "".join(f"{version}\n" for version in versions),
        **{f"root/{name}": text for name, text in SYSTEM_FILES.items()},
    }
    for name, text in files_by_path.items():
        path = machine.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    # Checks that the machine works, and compiles the modules that it imports.
    code = "import absl.logging, flatbuffers, ai_edge_litert.interpreter"
    _run("the ARM machine", machine.command("-c", code), machine.environment())


def _unpack_packages(part: pathlib.Path) -> list[str]:
    """Unpacks Debian's packages and qemu; returns their names with the versions.

    apt finds the packages that these need, and checks its signed index and the SHA-256
    of every file. It has its own configuration and state, with nothing installed.
    """
    if not _KEYRING.exists():
        raise InputError(
            f"{_KEYRING}: must be Debian's keys (package debian-archive-keyring), but "
            "is missing"
        )
    apt = part / "apt"
    for name in ("lists/partial", "archives/partial"):
        (apt / name).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(
        _SOURCES.format(keyring=_KEYRING, suite=_SUITE), encoding="utf-8"
    )
    options = {
        **{"Dir::State": apt, "Dir::State::status": apt / "status", "Dir::Cache": apt},
        **{"Dir::Etc::sourcelist": apt / "sources.list", "Dir::Etc::sourceparts": "-"},
        **{"APT::Architecture": "arm64", "APT::Architectures": "arm64,amd64"},
        # Otherwise root's apt would load as a user who may not see this folder.
        "APT::Sandbox::User": "root",
        "APT::Update::Error-Mode": "any",
    }
    command = ["apt-get", "-q"]
    for name, value in options.items():
        command += ["-o", f"{name}={value}"]
    _run("apt-get update", [*command, "update"])
    choice = ["--yes", "--download-only", "--no-install-recommends"]
    _run("apt-get install", [*command, "install", *choice, *_PACKAGES])
    packages = sorted((apt / "archives").glob("*.deb"))
    for package in packages:
        amd64 = package.name.endswith("_amd64.deb")
        target = apt / "x86" if amd64 else part / "root"
        _run("dpkg-deb", ["dpkg-deb", "--extract", str(package), str(target)])
    shutil.move(apt / "x86" / _QEMU, part)
    shutil.rmtree(apt)
    return [package.stem for package in packages]


def _unpack_wheels(part: pathlib.Path) -> list[str]:
    """Unpacks the wheels, whose SHA-256 pip checks; returns names with versions."""
    wheels = [f"{name}=={importlib.metadata.version(name)}" for name in _WHEELS]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--no-compile", "--only-binary=:all:", "--target", str(part / "site")]
    command += ["--implementation", "cp", "--python-version", _PYTHON]
    for name in _PLATFORMS:
        command += ["--platform", name]
    _run("pip install", [*command, *wheels])
    return wheels


def _run(what: str, command: list[str], env: dict[str, str] | None = None) -> None:
    """Runs a tool, and raises its first line of an error if it fails."""
    try:
        result = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="backslashreplace",
            check=False,
            env=env,
        )
    except FileNotFoundError as error:
        raise InputError(
            f"{command[0]}: must be installed, because the ARM machine is made of "
            "Debian's packages"
        ) from error
    if result.returncode:
        lines = result.stdout.strip().splitlines() or ["no reason given"]
        errors = [line for line in lines if line.startswith(("E: ", "ERROR: "))]
        reason = errors[0] if errors else lines[-1]
        raise InputError(f"{what} ended with {result.returncode}: {reason}")
