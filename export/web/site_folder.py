"""The folder of a site: a page that separates songs in the browser."""

from __future__ import annotations

import base64
import contextlib
import json
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence

import waveunet_tf
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate.player import player_files
from waveunet_tf.export.web import libraries, site_models
from waveunet_tf.system import files, own_folders

_ROOM = pathlib.Path(__file__).parent
_WHAT, _MADE_BY = "site", "waveunet export-web"
FILES = "files.json"
"""The list of a site's files, by which a site is recognized."""
# Scripts that esbuild makes: file of the site → module, and its format.
_SCRIPTS = {
    "page.js": ("page/page.js", "esm"),
    "unstarted.js": ("page/unstarted.js", "iife"),
    "live-processor.js": ("page/live_processor.js", "iife"),
    "worker.js": ("engine/worker.js", "iife"),
}
_SERVICE_WORKER = "service-worker.js"
# One of these is loaded on first use, with a thread or more, as the browser can.
_BUILDS = ("", "_compat", "_threaded", "_jspi")
_LICENCES = {
    "mediabunny": "LICENSE",
    "@mediabunny/flac-encoder": "LICENSE",
}


def require_site_place(output: pathlib.Path, *, overwrite: bool) -> None:
    """Checks that a site may be written to a folder.

    Args:
        output: The folder.
        overwrite: Whether a site in it may be replaced.

    Raises:
        InputError: The folder holds a site and `overwrite` is False, or it holds
            anything else.
    """
    own_folders.require_own(output, _WHAT, overwrite=overwrite, own_files=_own_files)


def read_files(site: pathlib.Path) -> dict[str, dict]:
    """Reads the list of a site's files: name → its `bytes` and `sha256`.

    Raises:
        InputError: The folder is no site.
    """
    try:
        told = json.loads((site / FILES).read_text(encoding="utf-8"))
        if told["made_by"] == _MADE_BY:
            return told["files"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{site}: must be a folder that `{_MADE_BY}` made")


def replaced_folder(
    output: pathlib.Path,
) -> contextlib.AbstractContextManager[pathlib.Path]:
    """Yields a temporary folder, which replaces `output` unless the body fails."""
    return own_folders.made_folder(output, _WHAT, own_files=_own_files)


def _own_files(site: pathlib.Path) -> set[str]:
    return {*read_files(site), FILES}


def write_site(
    site: pathlib.Path, models: Sequence[str], kinds: Sequence[str], chunk_frames: int
) -> None:
    """Writes a site into an empty folder.

    Args:
        site: The folder.
        models: The models; see site_models.write_models.
        kinds: The kinds of files to export.
        chunk_frames: The frames of a stream's chunk.

    Raises:
        InputError: A model is not there or does not fit; the libraries cannot be
            fetched.
    """
    site_models.require_models(models)
    with libraries.fetched_libraries() as modules:
        lines = site_models.write_models(models, kinds, chunk_frames, site)
        menu = {"models": [line.to_json() for line in lines]}
        _write_json(site / "models.json", menu)
        _copy_page(site)
        _copy_libraries(site, modules)
        with _sources() as sources:
            for name, (module, output_format) in _SCRIPTS.items():
                libraries.bundle(
                    modules, sources / module, site / name, output_format=output_format
                )
            listed = _listed(site)
            libraries.bundle(
                modules,
                sources / "engine" / "service_worker.js",
                site / _SERVICE_WORKER,
                output_format="iife",
                constants={"FILES": _integrities(listed)},
            )
        told = {
            "made_by": _MADE_BY,
            "version": waveunet_tf.__version__,
            "libraries": libraries.versions(modules),
            "files": _listed(site),
        }
        _write_json(site / FILES, told)


def _copy_page(site: pathlib.Path) -> None:
    """Copies what of the page is no script: html, styles, pictures."""
    for path in sorted((_ROOM / "page").rglob("*")):
        if path.is_file() and path.suffix not in (".js", ".md"):
            target = site / path.relative_to(_ROOM / "page")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    (site / "player").mkdir()
    player_files.copy_player(site / "player")


def _copy_libraries(site: pathlib.Path, modules: pathlib.Path) -> None:
    (site / "wasm").mkdir()
    for build in _BUILDS:
        for suffix in ("js", "wasm"):
            name = f"litert_wasm{build}_internal.{suffix}"
            source = modules / "@litertjs" / "core" / "wasm" / name
            shutil.copyfile(source, site / "wasm" / name)
    licences = site / "licences"
    licences.mkdir(exist_ok=True)
    for library, name in _LICENCES.items():
        target = licences / f"{library.rpartition('/')[2]}.txt"
        shutil.copyfile(modules / library / name, target)
    for path in sorted((_ROOM / "licences").iterdir()):
        shutil.copyfile(path, licences / path.name)


@contextlib.contextmanager
def _sources() -> Iterator[pathlib.Path]:
    """Yields a copy of the scripts, beside which lie no other libraries."""
    with tempfile.TemporaryDirectory() as folder:
        room = pathlib.Path(folder, "export", "web")
        for name in ("engine", "page"):
            shutil.copytree(_ROOM / name, room / name)
        yield room


def _listed(site: pathlib.Path) -> dict[str, dict]:
    paths = sorted(path for path in site.rglob("*") if path.is_file())
    return {
        path.relative_to(site).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": files.file_sha256(path),
        }
        for path in paths
    }


def _integrities(listed: Mapping[str, dict]) -> dict[str, str]:
    """Returns the hashes as browsers check them (subresource integrity)."""
    return {
        name: "sha256-"
        + base64.b64encode(bytes.fromhex(about["sha256"])).decode("ascii")
        for name, about in listed.items()
    }


def _write_json(path: pathlib.Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
