import dataclasses
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from tests.data.batches import first_batches, flat
from waveunet_tf.data import prepared, readers
from waveunet_tf.errors import InputError


@pytest.fixture(name="tensorflow_io")
def _tensorflow_io():
    """Skips where its operations do not load, as beside any TensorFlow but 2.16."""
    pytest.importorskip(
        "tensorflow_io", reason="needs tensorflow-io", exc_type=ImportError
    )


@pytest.mark.usefixtures("tensorflow_io")
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("channels", [1, 2])
def test_both_readers_give_the_same_samples(stems_dir, tiny_config, subtype, channels):
    for path in stems_dir.rglob("*.wav"):
        samples, rate_hz = soundfile.read(path)
        with soundfile.SoundFile(path, "w", rate_hz, 2, subtype) as file:
            file.title = "with a chunk before the samples"
            file.write(samples)
    config = dataclasses.replace(tiny_config, channels=channels)
    tracks = prepared.load_prepared(stems_dir, config, "train")
    one, other = (
        first_batches(tracks, config, 6, reader=reader)
        for reader in ("tensorflow_io", "soundfile")
    )
    for left, right in zip(flat(one), flat(other)):
        assert left.any()
        np.testing.assert_array_equal(left, right)


def test_what_tensorflow_io_cannot_read_soundfile_reads(stems_dir, tiny_config):
    path = stems_dir / "train" / "one" / "vocals.wav"
    samples, rate_hz = soundfile.read(path)
    soundfile.write(path, samples, rate_hz, subtype="PCM_16")  # the others are float
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    first_batches(tracks, tiny_config, 1)
    with pytest.raises(InputError, match="must be soundfile, for .* several kinds"):
        first_batches(tracks, tiny_config, 1, reader="tensorflow_io")
    with pytest.raises(InputError, match="`reader` must be one of auto"):
        first_batches(tracks, tiny_config, 1, reader="ffmpeg")


def test_without_tensorflow_io_soundfile_reads(stems_dir, tiny_config, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)  # as if not installed
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    assert first_batches(tracks, tiny_config, 1)
    with pytest.raises(InputError, match="tensorflow-io cannot be used"):
        readers.build_reader(tracks, 9, 2, reader="tensorflow_io")


def test_a_chunk_that_tensorflow_io_stumbles_over_is_found_in_any_stem(
    stems_dir, tiny_config
):
    for path in stems_dir.rglob("*.wav"):
        samples, rate_hz = soundfile.read(path)
        soundfile.write(path, samples, rate_hz, subtype="PCM_16")
    for path in stems_dir.rglob("vocals.wav"):  # a broadcast wave; it knows no padding
        content = path.read_bytes()
        place = content.index(b"data")
        bext = b"bext" + struct.pack("<I", 603) + bytes(604)
        whole = content[:place] + bext + content[place:]
        path.write_bytes(whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:])
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    one, other = (
        first_batches(tracks, tiny_config, 2, reader=reader)
        for reader in ("auto", "soundfile")
    )
    for left, right in zip(flat(one), flat(other)):
        assert left.any()
        np.testing.assert_array_equal(left, right)


def test_a_tensorflow_io_of_another_tensorflow_tells_its_reason_once(
    stems_dir, tiny_config, monkeypatch, tmp_path, recwarn, caplog
):
    monkeypatch.delitem(sys.modules, "tensorflow_io", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "tensorflow_io.py").write_text(
        "import warnings\n"
        "warnings.warn('unable to load libtensorflow_io.so')\n"
        "raise NotImplementedError('unable to open it\\nmore')\n"
    )
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    with caplog.at_level("INFO", logger="absl"):
        for _ in ("train", "valid"):
            reader = readers.build_reader(tracks, 9, 2)
            assert isinstance(reader, readers.SoundFileReader)
    assert [str(warning.message) for warning in recwarn] == []
    assert caplog.messages == [
        "reading with soundfile, for tensorflow-io cannot be used: unable to open it"
    ]


@pytest.mark.parametrize("reader", ["tensorflow_io", "soundfile"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_track_beyond_its_ends_is_silence(
    stems_dir, tiny_config, reader, channels, request
):
    if reader == "tensorflow_io":
        request.getfixturevalue("tensorflow_io")
    tracks = prepared.load_prepared(stems_dir, tiny_config, "valid")
    built = readers.build_reader(tracks, 1100, channels, reader=reader)
    whole = np.stack([soundfile.read(path)[0] for path in tracks[0].paths])
    if channels == 1:
        whole = whole.mean(axis=2, keepdims=True)
    padded = np.pad(whole, ((0, 0), (2000, 2000), (0, 0)))
    for start in (-30, 0, 500, 999, 1000, 1500, -1100, -1099):
        excerpt = built.read(
            tf.constant([0, 0]), tf.fill(2, tf.constant(start, tf.int64)), [1.0, 0.5]
        )
        expected = padded[:, 2000 + start : 3100 + start] * [[[1.0]], [[0.5]]]
        np.testing.assert_allclose(np.stack(excerpt), expected, atol=1e-7)


# Reads slowly, so that threads surely read when Python ends; keeps the iterator in a
# cycle, as TensorFlow's strategies do.
ENDING = """
import sys
import time
from tests.data.batches import TRAINING
from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.data import excerpts, prepared, readers

def read_slowly(self, *arguments):
    time.sleep(0.2)
    return read_at_once(self, *arguments)

read_at_once = readers.SoundFileReader._read_now
readers.SoundFileReader._read_now = read_slowly
config = WaveUNetConfig(num_levels=2, sample_rate_hz=8000, output_frames=128)
tracks = prepared.load_prepared(sys.argv[1], config, "train")
cycle = [iter(excerpts.random_excerpts(tracks, config, TRAINING, reader="soundfile"))]
cycle.append(cycle)
next(cycle[0])
del cycle
print("the end")
"""


@pytest.mark.slow
def test_python_ends_while_excerpts_are_read_ahead(stems_dir):
    ended = subprocess.run(
        [sys.executable, "-c", ENDING, stems_dir],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert ended.stdout == "the end\n"
    assert ended.returncode == 0


def test_a_track_whose_name_is_not_utf_8_is_read(stems_dir, tiny_config):
    folder = stems_dir / "train" / "one"
    folder.rename(folder.with_name(os.fsdecode(b"caf\xe9")))
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    assert any(left.any() for left in flat(first_batches(tracks, tiny_config, 2)))
