"""The cache of converted steps: never of other code or weights, and never needed."""

import functools
import json
import os
import pathlib
import shutil

import pytest

import waveunet_tf
from tests.architecture import House
from tests.command_line import run_python
from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.separation import step_cache
from waveunet_tf.separation.step_cache import StepCache, step_hash

PACKAGE = pathlib.Path(waveunet_tf.__file__).parent
KINDS = ("tflite", "json")


@functools.cache
def files_of_a_step() -> set[pathlib.Path]:
    """The files that take part in a conversion, those of late imports included."""
    house = House(PACKAGE.parent)
    found, waiting = set(), ["waveunet_tf", "waveunet_tf.separation.engines"]
    while waiting:
        name = waiting.pop()
        path = house.modules.get(name)
        if path and path not in found:
            found.add(path)
            waiting += house.imports_of(name, late=True)
            waiting.append(name.rpartition(".")[0])  # the package around it
    return {path.relative_to(PACKAGE) for path in found}


@pytest.fixture
def package(tmp_path):
    """A copy of the package, which a test may change."""
    ignored = shutil.ignore_patterns("__pycache__", "*.h5")
    return pathlib.Path(shutil.copytree(PACKAGE, tmp_path / "package", ignore=ignored))


def test_a_step_depends_on_these_rooms():
    """Else the next test sees too little."""
    rooms = {path.parts[0] for path in files_of_a_step()}
    assert {"checkpoints", "configs", "networks", "separation", "system"} <= rooms
    for name in ("layers", "wave_u_net", "fused", "streaming", "build", "program"):
        assert pathlib.Path("networks", f"{name}.py") in files_of_a_step()


def test_the_key_changes_with_every_file_that_a_step_depends_on(
    kept_checkpoint, package
):
    checkpoint = Checkpoint.open(kept_checkpoint)
    key = step_hash(checkpoint, package)
    assert key == step_hash(checkpoint)  # the copy is the same code
    keys = {key}
    for name in files_of_a_step():
        content = (package / name).read_bytes()
        (package / name).write_bytes(content + b"\n# changed\n")
        keys.add(step_hash(checkpoint, package))
        (package / name).write_bytes(content)
    assert len(keys) == 1 + len(files_of_a_step())
    assert step_hash(checkpoint, package) == key


def test_the_key_changes_where_a_file_moves_or_is_added(kept_checkpoint, package):
    checkpoint = Checkpoint.open(kept_checkpoint)
    keys = {step_hash(checkpoint, package)}
    layers = package / "networks" / "layers.py"
    layers.rename(package / "networks" / "zlayers.py")
    keys.add(step_hash(checkpoint, package))
    (package / "networks" / "zlayers.py").rename(layers)
    (package / "networks" / "new.py").write_text("")
    keys.add(step_hash(checkpoint, package))
    assert len(keys) == 3


def test_the_key_ignores_what_is_no_code(kept_checkpoint, package):
    checkpoint = Checkpoint.open(kept_checkpoint)
    key = step_hash(checkpoint, package)
    (package / "pretrained" / "mine").mkdir()
    (package / "pretrained" / "mine" / "network.weights.h5").write_bytes(b"weights")
    (package / "networks" / "__pycache__").mkdir()
    (package / "networks" / "__pycache__" / "layers.cpython-311.pyc").write_bytes(b"x")
    (package / "song.wav").write_bytes(b"music")
    assert step_hash(checkpoint, package) == key
    files = step_cache.code_files(package)
    assert {path.suffix for path in files} == {".py"}


@pytest.mark.parametrize("name", ["config.json", "network.weights.h5"])
def test_the_key_changes_with_the_checkpoint(tiny_checkpoint, name):
    key = step_hash(Checkpoint.open(tiny_checkpoint))
    with (tiny_checkpoint / name).open("ab") as file:
        file.write(b" ")
    assert step_hash(Checkpoint.open(tiny_checkpoint)) != key


@pytest.mark.parametrize("library", ["tensorflow", "keras"])
def test_the_key_changes_with_the_libraries(kept_checkpoint, monkeypatch, library):
    key = step_hash(Checkpoint.open(kept_checkpoint))
    version = step_cache.metadata.version
    monkeypatch.setattr(
        step_cache.metadata,
        "version",
        lambda name: "99.0" if name == library else version(name),
    )
    assert step_hash(Checkpoint.open(kept_checkpoint)) != key


def test_the_key_needs_no_tensorflow(kept_checkpoint, monkeypatch):
    """So that a step that is kept runs where TensorFlow was removed."""

    def missing(name):
        raise step_cache.metadata.PackageNotFoundError(name)

    key = step_hash(Checkpoint.open(kept_checkpoint))
    monkeypatch.setattr(step_cache.metadata, "version", missing)
    assert step_hash(Checkpoint.open(kept_checkpoint)) not in ("", key)


class Converter:
    """Counts how often it is asked to convert."""

    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1
        return b"model " * 1000


@pytest.fixture
def convert():
    return Converter()


@pytest.fixture
def fresh_checkpoint(tiny_checkpoint, new_cache):
    """A checkpoint whose step was never converted."""
    return Checkpoint.open(tiny_checkpoint)


def test_a_step_is_converted_once_for_each_chunk(fresh_checkpoint, convert):
    for chunk_frames, times in [(64, 1), (64, 1), (128, 2), (64, 2)]:
        content = StepCache(fresh_checkpoint, chunk_frames).model(convert)
        assert content == b"model " * 1000
        assert convert.times == times


@pytest.mark.parametrize("size", [0, 5000])
def test_a_broken_model_is_made_anew(fresh_checkpoint, new_cache, convert, size):
    StepCache(fresh_checkpoint, 64).model(convert)
    (cached,) = new_cache.glob("*.tflite")
    cached.write_bytes(cached.read_bytes()[:size])
    assert StepCache(fresh_checkpoint, 64).model(convert) == b"model " * 1000
    assert convert.times == 2
    assert cached.stat().st_size == 6000


@pytest.mark.parametrize("content", [b"", b"no JSON", b"[1]", b"\xff"])
def test_broken_notes_are_no_notes(fresh_checkpoint, new_cache, convert, content):
    cache = StepCache(fresh_checkpoint, 64)
    cache.model(convert)
    (notes,) = new_cache.glob("*.json")
    notes.write_bytes(content)
    assert cache.note("sha256") is None
    cache.model(convert)
    assert convert.times == 2  # a model that is not vouched for is not used
    assert set(json.loads(notes.read_text())) == {"sha256"}


def test_notes_are_kept_beside_each_other(fresh_checkpoint, convert):
    cache = StepCache(fresh_checkpoint, 64)
    cache.write_note("faster", "litert")
    cache.model(convert)
    assert StepCache(fresh_checkpoint, 64).note("faster") == "litert"
    assert StepCache(fresh_checkpoint, 128).note("faster") is None


def test_the_steps_that_were_used_least_recently_are_removed(
    fresh_checkpoint, new_cache, convert, monkeypatch
):
    monkeypatch.setattr(step_cache, "_MAX_BYTES", 2 * 6000)
    for second, chunk_frames in enumerate([64, 128, 64, 256]):
        StepCache(fresh_checkpoint, chunk_frames).model(convert)
        for path in new_cache.glob(f"*-{chunk_frames}.tflite"):
            os.utime(path, (second, second))
        (new_cache / "README").write_text("a user's")
    left = {path.name.partition("-")[2] for path in new_cache.glob("*-*")}
    assert left == {f"{chunk}.{kind}" for chunk in (64, 256) for kind in KINDS}
    assert (new_cache / "README").exists()


def test_a_step_that_takes_all_the_room_is_kept(
    fresh_checkpoint, new_cache, convert, monkeypatch
):
    monkeypatch.setattr(step_cache, "_MAX_BYTES", 100)
    for chunk_frames in (64, 128, 128):
        StepCache(fresh_checkpoint, chunk_frames).model(convert)
    assert convert.times == 2
    assert [path.name.partition("-")[2] for path in new_cache.glob("*.tflite")] == [
        "128.tflite"
    ]


def test_without_a_place_nothing_is_kept(fresh_checkpoint, new_cache, convert, caplog):
    caplog.set_level("INFO", logger="absl")
    new_cache.parent.write_text("a file in the folder's place")
    cache = StepCache(fresh_checkpoint, 64)
    for times in (1, 2):
        assert cache.model(convert) == b"model " * 1000
        assert convert.times == times
    cache.write_note("faster", "litert")
    assert cache.note("faster") is None
    assert caplog.text.count("steps is not kept: ") == 1


def test_the_key_of_a_process_is_that_of_the_next(kept_checkpoint):
    code = (
        "from waveunet_tf.checkpoints.checkpoint import Checkpoint\n"
        "from waveunet_tf.separation.step_cache import step_hash\n"
        f"print(step_hash(Checkpoint.open({str(kept_checkpoint)!r})))\n"
    )
    child = run_python("-c", code)
    assert child.stdout.strip() == step_hash(Checkpoint.open(kept_checkpoint))
