"""What a user gets from pip: the wheel in environments of its own, by the network."""

import ctypes.util
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from tests import project
from tests.command_line import ROOT, check_refusal
from waveunet_tf.__main__ import COMMANDS

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("installation")]
PYTHONS = ("3.14", "3.13", "3.12", "3.11", "3.10")
# TensorFlow has no wheels for newer ones yet, but for a candidate of 2.22.
TENSORFLOWS_PYTHONS = PYTHONS[1:]
# pip takes a wheel for an older system only if it is told so.
PLATFORMS = {
    "macOS": ["macosx_14_0_arm64"],
    "Windows": ["win_amd64"],
    "Linux": [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 17)],
    "Linux on ARM": [f"manylinux_2_{minor}_aarch64" for minor in (28, 27, 26, 17)],
}
# Commands that show their help only with what an extra brings.
WITHOUT_HELP = {
    "plots": "evaluate",
    "report": "evaluate",
    "seams": "evaluate",
    "stand-in": "stand-in",
}


def call(*words, **options):
    return subprocess.run(
        [*map(str, words)], capture_output=True, text=True, check=False, **options
    )


def pip_install(python, *words):
    options = ("--disable-pip-version-check", "--quiet")
    result = call(python, "-m", "pip", "install", *options, *words)
    assert result.returncode == 0, result.stderr
    return result


@functools.cache
def python_of(version):
    """The Python of a version; None if there is none here."""
    homes = pathlib.Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    for python in (*homes, shutil.which(f"python{version}"), sys.executable):
        code = "import ensurepip, sys; print('{}.{}'.format(*sys.version_info))"
        if python and call(python, "-c", code).stdout.strip() == version:
            return python
    return None


@pytest.fixture(scope="module", autouse=True)
def network():
    words = "--dry-run --no-deps --ignore-installed --retries 0 --timeout 15 tqdm"
    result = call(sys.executable, "-m", "pip", "install", *words.split())
    if result.returncode:
        pytest.skip("needs a network: pip finds no packages")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return project.build(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def bare(built, tmp_path_factory):
    """An environment of the newest Python here with the wheel and no extras."""
    folder = tmp_path_factory.mktemp("bare")
    newest = next(filter(None, map(python_of, PYTHONS)))
    assert call(newest, "-m", "venv", folder).returncode == 0
    pip_install(folder / "bin" / "python", built[1])
    return folder


@pytest.fixture
def waveunet(bare, tmp_path):
    """Runs the installed command in another folder, as a new user."""
    home = tmp_path / "home"
    home.mkdir()

    def run(*words, **environment):
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), **environment}
        return call(bare / "bin" / "waveunet", *words, cwd=tmp_path, env=environment)

    return run


@pytest.fixture
def song(tmp_path):
    """Ten seconds of stereo."""
    samples = np.random.default_rng(1).uniform(-0.3, 0.3, (441000, 2))
    soundfile.write(tmp_path / "song.wav", samples, 44100)
    return tmp_path / "song.wav"


def test_the_first_song_separates_within_five_seconds(bare, waveunet, song):
    begin = time.monotonic()
    result = waveunet("separate", song, "--stems=vocals", "--format=mp3")
    seconds = time.monotonic() - begin
    assert result.returncode == 0, result.stderr
    assert soundfile.info(song.parent / "stems" / "song" / "vocals.mp3").frames
    assert not list(bare.glob("lib/*/site-packages/tensorflow*"))
    assert not list(bare.glob("lib/*/site-packages/keras*"))
    assert seconds < 5


def test_the_bare_install_does_not_grow(bare):
    """Nearly all is PyAV, LiteRT and NumPy (docs/decisions.md)."""
    files = [path for path in bare.glob("lib/*/site-packages/**/*") if path.is_file()]
    sizes = {}
    for path in files:
        name = path.relative_to(bare).parts[3].partition(".")[0]
        if "__pycache__" not in path.parts and not name.startswith("pip"):
            sizes[name] = sizes.get(name, 0) + path.stat().st_size / 1e6
    print(sorted(sizes.items(), key=lambda item: -item[1]))
    assert sum(sizes.values()) < 250  # MB


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_extras_shows_its_help_or_what_to_install(waveunet, command):
    result = waveunet(command, "--help")
    if command in WITHOUT_HELP:
        extra = f"pip install 'waveunet-tf[{WITHOUT_HELP[command]}]'"
        check_refusal(result, 1, "needs ", extra)
        assert result.stderr.count("\n") == 1
    else:
        assert (result.returncode, result.stderr) == (0, "")
        assert f"waveunet {command}" in result.stdout


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        ("train --variant=M4 --data_dir=. --workdir=out", "train"),
        ("describe --variant=M4", "train"),
        ("pack --checkpoint=checkpoint --name=a --description=b", "train"),
        ("import --tf1_checkpoint=song.wav --output=out", "train"),
        ("separate song.wav --checkpoint=checkpoint", "train"),
        ("separate song.wav --engine=tensorflow", "train"),
        ("prepare --dataset=musdb18 --source=. --output=out", "train"),
        ("export --checkpoint=vocals --output=out --formats=saved_model", "export"),
        ("client --server=localhost:1 --output_dir=out song.wav", "serving"),
    ],
)
def test_what_needs_an_extra_says_so_in_one_line(
    waveunet, song, tmp_path, words, extra
):
    """The same line for whoever has no network to look into."""
    model = ROOT / "waveunet_tf" / "pretrained" / "vocals-small"
    left_out = shutil.ignore_patterns("step-*", "model.json")
    shutil.copytree(model, tmp_path / "checkpoint", ignore=left_out)
    result = waveunet(*words.split())
    check_refusal(result, 1, "needs ", f"pip install 'waveunet-tf[{extra}]'")


def test_stems_are_prepared_without_an_extra(waveunet, song, tmp_path):
    for source in ("vocals", "accompaniment"):
        target = tmp_path / "in" / "train" / "one" / f"{source}.wav"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(song, target)
    words = "--dataset=folder --source=in --output=out --sample_rate_hz=22050"
    result = waveunet("prepare", *words.split(), "--sources=accompaniment,vocals")
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["tracks"]


def test_an_installed_version_below_the_range_is_one_line(waveunet, song, tmp_path):
    """soundfile of 2020, which brings no libsndfile of its own and has other names."""
    if not ctypes.util.find_library("sndfile"):
        pytest.skip("needs the system's libsndfile, or soundfile of 2020 fails sooner")
    old = tmp_path / "old"
    words = ("--no-deps", "--target", old, "soundfile==0.10.3.post1")
    pip_install(sys.executable, *words)
    result = waveunet("separate", song, PYTHONPATH=str(old))
    check_refusal(result, 1, "soundfile 0.10.3", "pip install 'soundfile>=")
    assert result.stderr.count("\n") == 1


def test_tensorflow_with_too_new_a_numpy_is_one_line(tmp_path):
    import tensorflow as tf

    if tf.__version__ > "2.18":
        pytest.skip(f"needs a TensorFlow for NumPy 1. Found: {tf.__version__}")
    words = ("--no-deps", "--target", tmp_path, "numpy==2.2.6")
    pip_install(sys.executable, *words)
    result = call(
        *(sys.executable, "-m", "waveunet_tf", "describe", "--variant=M4"),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    check_refusal(result, 1, "numpy 2.2.6 does not fit tensorflow", "numpy<2")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "others", [["numpy>=2", "protobuf>=5"], ["keras-hub"], ["audio-separator"]]
)
def test_the_bare_install_stands_beside_others(bare, others):
    python = bare / "bin" / "python"
    pip_install(python, "--dry-run", "waveunet-tf", *others)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_separating_needs_exists_for_the_platform(
    built, tmp_path, platform, python
):
    """As far as pip can tell from here: it reads markers as this system's own."""
    words = ["--dry-run", "--only-binary=:all:", "--target", tmp_path / "x"]
    for tag in PLATFORMS[platform]:
        words += ["--platform", tag]
    pip_install(sys.executable, *words, "--python-version", python, built[1])


@pytest.mark.parametrize("python", TENSORFLOWS_PYTHONS)
def test_every_extra_resolves_for_the_pythons_that_are_here(built, tmp_path, python):
    if not python_of(python):
        pytest.skip(f"needs a Python {python}")
    words = ["--dry-run", "--only-binary=:all:", "--target", tmp_path / "x"]
    pip_install(python_of(python), *words, f"{built[1]}[train]")
    pip_install(
        python_of(python), *words, f"{built[1]}[evaluate,export,serving,stand-in]"
    )


def test_pypi_would_take_both_packages(built, tmp_path):
    assert call(sys.executable, "-m", "venv", tmp_path).returncode == 0
    pip_install(tmp_path / "bin" / "python", "twine")
    result = call(tmp_path / "bin" / "twine", "check", "--strict", *built)
    assert result.returncode == 0, result.stdout
