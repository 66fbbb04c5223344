"""The project as a package: pyproject.toml, its files, and what is built of them."""

import importlib.metadata
import pathlib
import shutil
import subprocess
import tarfile
import zipfile

import pytest

from tests.command_line import run_python

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10; pytest brings it there
    import tomli as tomllib

ROOT = pathlib.Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]


def files() -> set[str]:
    """The paths of what belongs to the project, from its root."""
    if not (ROOT / ".git").exists():
        return {
            path.relative_to(ROOT).as_posix()
            for path in ROOT.rglob("*")
            if path.is_file()
            and not {".venv", "__pycache__", "node_modules"} & {*path.parts}
        }
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name for name in listed.split("\0") if (ROOT / name).is_file() and name}


def build(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Builds the source distribution and, from it alone, the wheel; without a network.

    Args:
        folder: Gets both, and what was built on the way.

    Returns:
        The source distribution and the wheel.
    """
    version = importlib.metadata.version("setuptools")
    if int(version.partition(".")[0]) < 77:
        pytest.skip(f"needs setuptools 77 or later to build. Found: {version}")
    for name in files():
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / "tree" / name)
    run_backend("build_sdist", folder / "tree", folder)
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder / "unpacked")
    (unpacked,) = (folder / "unpacked").iterdir()
    run_backend("build_wheel", unpacked, folder)
    (wheel,) = folder.glob("*.whl")
    return source, wheel


def names_in(wheel: pathlib.Path) -> set[str]:
    """The names of the files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {*archive.namelist()}


def run_backend(hook: str, project: pathlib.Path, target: pathlib.Path) -> None:
    """Calls setuptools as pip does: `build_sdist` or `build_wheel`."""
    code = f"from setuptools import build_meta as b; b.{hook}({str(target)!r})"
    result = run_python("-c", code, folder=project)
    assert result.returncode == 0, result.stderr
