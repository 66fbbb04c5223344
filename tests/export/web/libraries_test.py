import json

import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.export.web import libraries

NPM = """#!/bin/sh
echo "$@" > npm-was-called
{}
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder of programs, alone on the PATH but for a shell's; and an empty cache."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("WAVEUNET_TF_CACHE", str(tmp_path / "cache"))
    return folder


def write_npm(programs, body):
    (programs / "npm").write_text(NPM.format(body))
    (programs / "npm").chmod(0o755)


def test_libraries_are_fetched_once_as_they_are_pinned(programs):
    write_npm(programs, "mkdir node_modules")
    with libraries.fetched_libraries() as modules:
        folder = modules.parent
    assert modules.is_dir()
    called = (folder / "npm-was-called").read_text().split()
    assert called[0] == "ci" and "--ignore-scripts" in called
    pinned = libraries.ROOM / "package-lock.json"
    assert (folder / "package-lock.json").read_bytes() == pinned.read_bytes()
    write_npm(programs, "exit 1")
    with libraries.fetched_libraries() as again:
        assert again == modules


def test_without_npm_one_line_says_what_to_install(programs, monkeypatch):
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(InputError, match="^needs npm: .*apt install"):
        with libraries.fetched_libraries():
            pass


def test_what_npm_says_becomes_one_line_and_nothing_is_kept(programs, tmp_path):
    write_npm(
        programs,
        "echo 'npm warn old' >&2; echo 'npm error code EAI_AGAIN' >&2;"
        "echo 'npm error network no such host' >&2; exit 1",
    )
    with pytest.raises(
        InputError, match="^the libraries cannot be fetched: network no such host$"
    ):
        with libraries.fetched_libraries():
            pass
    assert not any((tmp_path / "cache").rglob("*"))


def test_a_folder_that_cannot_be_written_is_no_hindrance(programs, tmp_path):
    write_npm(programs, "mkdir node_modules")
    (tmp_path / "cache").write_text("a file in the cache's place")
    with libraries.fetched_libraries() as modules:
        assert modules.is_dir()
    assert not modules.exists()


def test_all_versions_are_exact_and_have_a_hash():
    manifest = json.loads((libraries.ROOM / "package.json").read_text())
    lock = json.loads((libraries.ROOM / "package-lock.json").read_text())
    pinned = {**manifest["dependencies"], **manifest["devDependencies"]}
    for name, version in pinned.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    for name, package in lock["packages"].items():
        if name:
            assert package["integrity"].startswith("sha512-")


def test_a_bundle_holds_what_it_imports_and_constants(web_libraries, tmp_path):
    (tmp_path / "one.js").write_text('import {two} from "./two.js"; use(two, GIVEN);')
    (tmp_path / "two.js").write_text('export const two = "second";')
    target = tmp_path / "bundle.js"
    libraries.bundle(
        web_libraries,
        tmp_path / "one.js",
        target,
        output_format="iife",
        constants={"GIVEN": {"a": 1}},
    )
    script = target.read_text()
    assert '"second"' in script and "import" not in script and "a:1" in script
    (tmp_path / "one.js").write_text('import "./three.js";')
    with pytest.raises(InputError, match="one.js cannot be bundled: .*three"):
        libraries.bundle(
            web_libraries, tmp_path / "one.js", target, output_format="iife"
        )
