"""Fetches the JavaScript libraries of the page with npm, and bundles what uses them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping

from absl import logging

from waveunet_tf.errors import InputError
from waveunet_tf.system import files, user_folders

ROOM = pathlib.Path(__file__).parent
"""The folder of the page, the engine, and what pins their libraries."""
_MANIFESTS = ("package.json", "package-lock.json")
# npm checks each package against the hash in package-lock.json. No package's own script
# is run, and what lints and checks types is left out.
_FETCH = ("ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund")
# Its program is a script, or a native one where npm ran esbuild's own script: this
# interface is the same in both.
_BUNDLE = "require(process.argv[1]).buildSync(JSON.parse(process.argv[2]))"


@contextlib.contextmanager
def fetched_libraries() -> Iterator[pathlib.Path]:
    """Yields the folder `node_modules` of the libraries that package-lock.json pins.

    It is kept in the user's cache folder, where it is fetched once. If that cannot be
    written, it is fetched into a temporary folder.

    Raises:
        InputError: npm is missing, or cannot fetch the libraries.
    """
    kept = kept_folder()
    if not (kept / "node_modules").is_dir():
        try:
            with files.atomic_folder(kept) as part:
                _fetch(part)
        except OSError:
            # Another run may have been faster; else the folder cannot be written.
            if not (kept / "node_modules").is_dir():
                with tempfile.TemporaryDirectory() as folder:
                    _fetch(pathlib.Path(folder))
                    yield pathlib.Path(folder, "node_modules")
                return
    yield kept / "node_modules"


def kept_folder() -> pathlib.Path:
    """Returns the folder in which the pinned libraries are kept, or will be."""
    lock = hashlib.sha256((ROOM / _MANIFESTS[1]).read_bytes()).hexdigest()[:16]
    return user_folders.cache_folder() / "web" / lock


def _fetch(folder: pathlib.Path) -> None:
    # npm waits for minutes for a registry that does not answer, and says nothing.
    logging.info("fetching the page's libraries with npm, once")
    for name in _MANIFESTS:
        shutil.copyfile(ROOM / name, folder / name)
    _run([_program("npm"), *_FETCH], "the libraries cannot be fetched", folder=folder)


def bundle(
    modules: pathlib.Path,
    entry: pathlib.Path,
    target: pathlib.Path,
    *,
    output_format: str,
    constants: Mapping[str, object] | None = None,
) -> None:
    """Bundles a module and all that it imports into one script.

    Args:
        modules: The folder `node_modules`.
        entry: The module.
        target: The script to write.
        output_format: `iife`, for a classic script, or `esm`.
        constants: Name → the value that takes the name's place in the script.

    Raises:
        InputError: esbuild cannot bundle it.
    """
    defined = {name: json.dumps(value) for name, value in (constants or {}).items()}
    options = {
        "entryPoints": [str(entry)],
        "outfile": str(target),
        "format": output_format,
        "define": defined,
        "nodePaths": [str(modules)],
        "bundle": True,
        "minify": True,
        "target": "es2022",
        "logLevel": "error",
    }
    esbuild = str(modules / "esbuild")
    command = [_program("node"), "-e", _BUNDLE, esbuild, json.dumps(options)]
    _run(command, f"{entry.name} cannot be bundled")


def versions(modules: pathlib.Path) -> dict[str, str]:
    """Returns the libraries that package.json names, and their versions."""
    manifest = json.loads((ROOM / _MANIFESTS[0]).read_text(encoding="utf-8"))
    return {
        name: json.loads((modules / name / "package.json").read_text("utf-8"))[
            "version"
        ]
        for name in manifest["dependencies"]
    }


def _program(name: str) -> str:
    found = shutil.which(name)
    if not found:
        raise InputError(
            f"needs {name}: with Node.js 18 or later (on Debian: apt install nodejs "
            "npm) the site's libraries are fetched and bundled; the site needs neither"
        )
    return found


def _run(command: list[str], failure: str, folder: pathlib.Path | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise InputError(f"{failure}: {_reason(done.stderr or done.stdout)}")


def _reason(log: str) -> str:
    """Finds the line of a log that says most: the first of npm's that is prose."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    prose = [
        line.removeprefix("npm error ")
        for line in lines
        if not line.startswith(("npm warn", "npm error code", "npm error errno"))
    ]
    return (prose or lines or ["no reason given"])[0]
