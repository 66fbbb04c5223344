import numpy as np
import pytest
import soundfile

from tests.export.small_exports import music
from waveunet_tf.errors import InputError
from waveunet_tf.export import calibration, tflite
from waveunet_tf.networks import shapes


def test_calibration_reads_mixtures_of_the_networks_rate(tiny_config, tmp_path):
    with pytest.raises(InputError, match="must be a folder with audio files, but has"):
        calibration.read_excerpts(tmp_path, tiny_config)
    for number in range(20):
        folder = tmp_path / "train" / f"{number:02}"
        folder.mkdir(parents=True)
        song = np.full((8000 * 9, 1), number / 100)
        soundfile.write(folder / "mixture.wav", song, 8000, subtype="FLOAT")
        soundfile.write(folder / "vocals.wav", song, 8000)
    excerpts = calibration.read_excerpts(tmp_path, tiny_config)
    assert [round(100 * float(e[0, 0])) for e in excerpts] == [0, 3, 6, 9, 12, 15, 18]
    assert all(excerpt.shape == (8000 * 6, 2) for excerpt in excerpts)
    soundfile.write(tmp_path / "train" / "00" / "mixture.wav", song, 44100)
    with pytest.raises(InputError, match="00/mixture.wav: .* 8000 Hz.* 44100 Hz"):
        calibration.read_excerpts(tmp_path, tiny_config)


def test_without_mixtures_every_song_of_the_folder_counts(tiny_config, tmp_path):
    for name in ("a.wav", "deep/b.flac"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, music(900), 8000)
    (tmp_path / "notes.txt").write_text("no song")
    (tmp_path / "album.wav").mkdir()
    for name in ("._a.wav", ".Trashes/b.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7 no song either")
    excerpts = calibration.read_excerpts(tmp_path, tiny_config)
    assert [excerpt.shape for excerpt in excerpts] == [(900, 2)] * 2


def test_a_song_that_holds_no_numbers_is_refused(tiny_config, tmp_path):
    song = np.zeros((900, 2))
    song[450, 1] = np.nan
    soundfile.write(tmp_path / "song.wav", song, 8000, subtype="FLOAT")
    with pytest.raises(InputError, match="song.wav: .* finite samples.*NaN .* 450"):
        calibration.read_excerpts(tmp_path, tiny_config)


def test_a_song_of_many_channels_is_refused_by_its_name(tiny_config, tmp_path):
    soundfile.write(tmp_path / "song.wav", np.ones((900, 6)) / 2, 8000)
    with pytest.raises(InputError, match="song.wav: .* 1 or 2 channels.*: 6 channels"):
        calibration.read_excerpts(tmp_path, tiny_config)


def test_songs_without_a_sound_give_no_ranges(tiny_config, tmp_path):
    """An int8 file of ranges from 0 to 0 cannot be run."""
    soundfile.write(tmp_path / "a.wav", np.zeros((900, 2)), 8000)
    with pytest.raises(InputError, match="must have something to be heard"):
        calibration.read_excerpts(tmp_path, tiny_config)
    soundfile.write(tmp_path / "b.wav", music(900), 8000)
    assert len(calibration.read_excerpts(tmp_path, tiny_config)) == 2


def test_an_excerpt_is_the_middle_of_its_song(tiny_config, tmp_path):
    ramp = np.repeat(np.linspace(0, 1, 8000 * 10)[:, None], 2, axis=1)
    soundfile.write(tmp_path / "song.wav", ramp, 8000, subtype="FLOAT")
    (excerpt,) = calibration.read_excerpts(tmp_path, tiny_config)
    assert excerpt.dtype == np.float32
    np.testing.assert_allclose(excerpt[0], 0.2, atol=1e-4)
    np.testing.assert_allclose(excerpt[-1], 0.8, atol=1e-4)


class Engine:
    """Gives the mixture as each source and counts up its states."""

    chunk_frames = 64

    def __init__(self, config):
        frames = shapes.stream_state_frames(config)
        self.input_shapes = {"mixture": (1, 64, 2)}
        self.silence = {}
        for name, count in frames.items():
            self.input_shapes[f"state_{name}"] = (1, count, 1)
            self.silence[f"state_{name}"] = np.zeros((1, 1, 1), np.float32)
        self.sources = config.sources

    def __call__(self, mixture, **states):
        stems = dict.fromkeys(self.sources, mixture)
        return {**stems, **{name: state + 1 for name, state in states.items()}}


def test_every_call_of_an_engine_is_recorded_until_the_song_is_out(
    kept_checkpoint, tiny_config
):
    plan = tflite.plan(kept_checkpoint, "streaming", 64)
    song = music(200)
    calls = list(calibration.recorded_inputs(plan, Engine(tiny_config), [song, song]))
    latency = shapes.stream_plan(tiny_config).latency_frames
    assert len(calls) == 2 * -(-(200 + latency) // 64)
    own = calls[: len(calls) // 2]
    heard = np.concatenate([call["mixture"][0] for call in own])
    np.testing.assert_array_equal(heard[:200], song)
    assert not heard[200:].any()
    # Copies: each call keeps the state that it saw, and the second song begins anew.
    for number, call in enumerate(own):
        states = [value for name, value in call.items() if name != "mixture"]
        assert all((state == number).all() for state in states)
    np.testing.assert_array_equal(calls[len(own)]["mixture"], own[0]["mixture"])
