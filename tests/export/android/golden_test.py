import numpy as np
import pytest
import soundfile

from waveunet_tf.audio import resample
from waveunet_tf.export.android import golden


def test_songs_are_loud_enough_to_clip_and_always_the_same():
    one, other = golden.song(5000, 2, 8000), golden.song(5000, 2, 8000)
    np.testing.assert_array_equal(one, other)
    assert one.shape == (5000, 2) and one.dtype == np.float32
    assert np.abs(one).max() > 1


def test_a_signal_below_an_edge_has_nothing_above_it_and_no_steps_at_its_ends():
    noise = np.random.default_rng(0).normal(0, 1, (8000, 1))
    low = golden.below(1000, noise, 8000)
    spectrum = np.abs(np.fft.rfft(low[:, 0]))
    assert spectrum[1100:].max() < 1e-4 * spectrum[:1000].max()
    assert abs(low[0, 0]) < 1e-6 and abs(low[-1, 0]) < 1e-6


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44100, 22050), (8000, 11025)])
def test_the_stand_in_resamples_a_tone_to_a_tone(from_hz, to_hz):
    seconds = np.arange(from_hz)[:, None] / from_hz
    tone = np.sin(2 * np.pi * 440 * seconds).astype(np.float32)
    resampler = golden.FilterResampler(from_hz, to_hz, 1)
    assert len(resampler.push(tone)) == 0
    actual = resampler.finish()
    assert actual.shape == (to_hz, 1)
    expected = np.sin(2 * np.pi * 440 * np.arange(to_hz)[:, None] / to_hz)
    middle = slice(to_hz // 4, -to_hz // 4)
    np.testing.assert_allclose(actual[middle], expected[middle], atol=1e-4)


def test_the_stand_in_gives_as_many_frames_as_are_wished():
    for frames in (0, 1, 999, 2000):
        resampler = golden.FilterResampler(8000, 4000, 2)
        resampler.push(golden.song(2000, 2, 8000))
        assert resampler.finish(frames).shape == (frames, 2)
    empty = golden.FilterResampler(8000, 4000, 2)
    assert empty.finish().shape == (0, 2)


def test_the_resampled_signals_agree_in_the_passband(tmp_path):
    golden.write_resampled(tmp_path / "resampled")
    exact = sorted((tmp_path / "resampled").glob("*-exact.wav"))
    assert len(exact) == 4
    for path in exact:
        one, rate_hz = soundfile.read(path)
        other, other_hz = soundfile.read(str(path).replace("-exact", "-soxr"))
        assert rate_hz == other_hz == int(path.stem.split("-")[1])
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_wav_files_are_of_each_format_with_what_libsndfile_reads(tmp_path):
    golden.write_wavs(tmp_path / "wavs")
    assert len(list((tmp_path / "wavs").glob("*-read.wav"))) == 8
    for subtype, most in (("PCM_16", 2**-15), ("PCM_24", 2**-23), ("FLOAT", 0)):
        wanted = golden.song(1001, 1, 8000).clip(-1, 1)
        read, _ = soundfile.read(tmp_path / "wavs" / f"WAV-{subtype}-read.wav")
        assert np.abs(read[:, None] - wanted).max() <= most + 1e-7


def test_a_case_is_a_song_and_stems_that_add_up(tmp_path):
    class Separator:
        def stream(self, rate_hz, channels):
            return self

        def push(self, block):
            return {"vocals": 0.25 * block, "rest": 0.75 * block}

        def finish(self):
            return {"vocals": np.zeros((0, 2)), "rest": np.zeros((0, 2))}

    mixture = golden.song(500, 2, 8000)
    golden.write_case(tmp_path / "case", Separator(), 8000, mixture)
    parts = {
        path.stem: soundfile.read(path)[0] for path in (tmp_path / "case").iterdir()
    }
    np.testing.assert_allclose(parts["song"], parts["vocals"] + parts["rest"])
    np.testing.assert_allclose(parts["song"], mixture)


def test_the_stand_in_leaves_no_trace():
    """Its lag is another one, and must not be taken for that of our resampler."""
    lag = resample.resampling_seconds(11025, 8000)
    with golden.java_resampler():
        assert resample.StreamResampler is golden.FilterResampler
        assert resample.resampling_seconds(11025, 8000) > lag
    assert resample.StreamResampler is not golden.FilterResampler
    assert resample.resampling_seconds(11025, 8000) == lag


def test_the_stand_in_takes_the_place_of_our_resampler():
    """The same methods, which write_case's separator calls."""
    ours = {name for name in vars(resample.StreamResampler) if name[0] != "_"}
    assert ours <= {name for name in vars(golden.FilterResampler) if name[0] != "_"}
