import shutil

import av
import numpy as np
import pytest
import soundfile

from waveunet_tf.audio import io
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.sigsep import import_sigsep
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import true_stems


def write_track(root, stems, rate_hz=8000):
    folder = root / "test" / "song"
    folder.mkdir(parents=True)
    for name, stem in stems.items():
        soundfile.write(folder / f"{name}.wav", stem, rate_hz, subtype="FLOAT")
    (track,) = find_tracks(root)
    return track


def noise(seed):
    return np.random.default_rng(seed).uniform(-0.3, 0.3, (900, 2)).astype(np.float32)


def test_accompaniment_is_the_sum_of_the_parts(tmp_path):
    stems = {name: noise(n) for n, name in enumerate(("bass", "drums", "vocals"))}
    read = true_stems.read_true_stems(
        write_track(tmp_path, stems), ("accompaniment", "vocals")
    )
    assert list(read.sources) == ["accompaniment", "vocals"]
    assert sorted(read.parts) == ["bass", "drums", "vocals"]
    np.testing.assert_array_equal(
        read.sources["accompaniment"], stems["bass"] + stems["drums"]
    )
    np.testing.assert_allclose(read.mixture, sum(stems.values()), atol=1e-6)
    assert read.sample_rate_hz == 8000


def test_prepared_halves_are_the_parts(tmp_path):
    stems = {name: noise(n) for n, name in enumerate(("accompaniment", "vocals"))}
    read = true_stems.read_true_stems(
        write_track(tmp_path, stems), ("vocals", "accompaniment")
    )
    assert sorted(read.parts) == ["accompaniment", "vocals"]
    for name, stem in stems.items():
        np.testing.assert_array_equal(read.sources[name], stem)


def test_a_source_that_is_not_there_is_refused(tmp_path):
    track = write_track(tmp_path, {"drums": noise(0), "bass": noise(1)})
    for source, lack in {
        "vocals": "no source vocals",
        "accompaniment": "neither accompaniment nor vocals",
    }.items():
        with pytest.raises(InputError, match=f"has {lack} "):
            true_stems.read_true_stems(track, (source,))


def test_vocals_alone_have_no_accompaniment(tmp_path):
    track = write_track(tmp_path, {"mixture": noise(0), "vocals": noise(1)})
    with pytest.raises(InputError, match="no source accompaniment .* only vocals"):
        true_stems.read_true_stems(track, ("accompaniment", "vocals"))
    with pytest.raises(InputError, match="no source accompaniment"):
        true_stems.true_files(track, ("accompaniment", "vocals"))


def test_lossy_stems_are_rounded_to_16_bits_and_floats_are_not(tmp_path):
    stems = {name: noise(n) for n, name in enumerate(("drums", "vocals"))}
    track = write_track(tmp_path, stems)
    lossy = track.sources["drums"].path.with_suffix(".ogg")
    soundfile.write(lossy, stems["drums"], 8000)
    track.sources["drums"].path.unlink()
    (track,) = find_tracks(tmp_path)
    read = true_stems.read_true_stems(track, ("drums", "vocals")).sources
    steps = read["drums"] * 2**15
    np.testing.assert_array_equal(steps, np.rint(steps))
    np.testing.assert_array_equal(read["vocals"], stems["vocals"])


@pytest.mark.parametrize(
    ("suffix", "form", "subtype"),
    [
        *[
            ("w64", "W64", "PCM_24"),
            ("rf64", "RF64", "FLOAT"),
            ("wave", "WAV", "FLOAT"),
        ],
        *[("caf", "CAF", "PCM_24"), ("au", "AU", "FLOAT"), ("aiff", "AIFF", "PCM_24")],
    ],
)
def test_stems_of_more_bits_are_not_rounded_in_any_lossless_format(
    suffix, form, subtype, tmp_path
):
    track = write_track(tmp_path, {"drums": noise(0), "vocals": noise(1)})
    vocals = track.sources["vocals"].path
    finer = vocals.with_suffix(f".{suffix}")
    vocals.unlink()
    soundfile.write(finer, noise(1), 8000, format=form, subtype=subtype)
    (track,) = find_tracks(tmp_path)
    read = true_stems.read_true_stems(track, ("vocals", "accompaniment"))
    expected, _ = soundfile.read(finer, dtype="float32")
    np.testing.assert_array_equal(read.sources["vocals"], expected)


def test_an_mp3_in_a_wav_is_lossy(tmp_path):
    track = write_track(tmp_path, {"drums": noise(0), "vocals": noise(1)}, 44100)
    vocals = track.sources["vocals"].path
    with av.open(str(vocals), "w", format="wav") as file:
        stream = file.add_stream("libmp3lame", rate=44100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(noise(1).T.copy(), "fltp", "stereo")
        frame.sample_rate = 44100
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    # As long as what the encoder makes of it.
    length = len(io.read(vocals)[0])
    soundfile.write(track.sources["drums"].path, np.ones((length, 2)) / 4, 44100)
    read = true_stems.read_true_stems(find_tracks(tmp_path)[0], ("vocals", "drums"))
    steps = read.sources["vocals"] * 2**15
    assert steps.any()
    np.testing.assert_array_equal(steps, np.rint(steps))


def test_energies_of_true_stems_have_no_estimates(tmp_path):
    stems = {name: np.full((8000, 2), 0.5, np.float32) for name in ("vocals", "drums")}
    read = true_stems.measure_true_stems(write_track(tmp_path, stems), ("vocals",))
    assert read.reference["vocals"] == [4000]
    assert read.estimate == read.error == {}


def test_musdb18_is_rounded_to_16_bits_before_it_is_summed(shared_data):
    tracks = find_tracks(shared_data / "musdb18-7s", subsets=("test",))
    read = true_stems.read_true_stems(tracks[0], ("accompaniment", "vocals"))
    for stem in (read.mixture, read.sources["accompaniment"], *read.parts.values()):
        steps = stem * 2**15
        np.testing.assert_array_equal(steps, np.rint(steps))
    raw, _ = tracks[0].read(("vocals",))
    assert 0 < np.abs(raw["vocals"] - read.sources["vocals"]).max() <= 0.5001 / 2**15


@pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="musdb's decoding is ffmpeg's"
)
def test_musdb18s_stems_are_those_of_musdb(shared_data):
    root = shared_data / "musdb18-7s"
    ours = {track.name: track for track in find_tracks(root, subsets=("test",))}
    database = import_sigsep("musdb").DB(root=str(root), subsets=["test"])
    for theirs in database.tracks[:2]:
        read = true_stems.read_true_stems(
            ours[theirs.name], ("accompaniment", "vocals")
        )
        for name in read.sources:
            expected = theirs.targets[name].audio
            # FFmpeg's decoders differ in the last bit from build to build.
            np.testing.assert_allclose(read.sources[name], expected, atol=3.1 / 2**15)
            assert np.mean(read.sources[name] != expected) < 1e-3


def test_a_song_without_vocals_has_silent_vocals_and_its_parts_as_accompaniment(
    tmp_path,
):
    stems = {name: noise(n) for n, name in enumerate(("bass", "drums", "vocals"))}
    stems["vocals"][:] = 0
    track = write_track(tmp_path, stems)
    true = true_stems.read_true_stems(track, ("accompaniment", "vocals"))
    assert not true.sources["vocals"].any()
    np.testing.assert_allclose(true.mixture, true.sources["accompaniment"], atol=1e-7)
    measured = true_stems.measure_true_stems(track, ("accompaniment", "vocals"))
    assert measured.reference["vocals"].tolist() == [0]
    assert measured.levels_db("vocals") == [-np.inf]
    assert measured.levels_db("accompaniment")[0] == pytest.approx(-12.2, abs=0.3)


def test_a_track_of_silence_alone_is_read(tmp_path):
    stems = {name: np.zeros((12000, 1)) for name in ("vocals", "drums")}
    track = write_track(tmp_path, stems)
    true = true_stems.read_true_stems(track, ("accompaniment", "vocals"))
    for stem in (true.mixture, *true.sources.values(), *true.parts.values()):
        assert stem.shape == (12000, 1) and not stem.any()
    measured = true_stems.measure_true_stems(track, ("vocals",))
    assert measured.samples.tolist() == [8000, 4000]
    assert measured.frames == 1  # The rest is no frame of museval's.


def test_seconds_of_silence_in_a_source_have_no_energy(tmp_path):
    vocals = np.random.default_rng(1).uniform(-0.3, 0.3, (24000, 1))
    vocals[8000:16000] = 0
    track = write_track(tmp_path, {"vocals": vocals, "drums": 0.5 * vocals})
    measured = true_stems.measure_true_stems(track, ("vocals", "accompaniment"))
    assert (measured.reference["vocals"] > 0).tolist() == [True, False, True]
    np.testing.assert_allclose(
        measured.reference["accompaniment"],
        measured.reference["vocals"] / 4,
        rtol=1e-5,
    )


def test_what_a_lossy_codec_leaves_of_silence_is_silence(tmp_path):
    """Steps below half of 2⁻¹⁵ are rounded to zero, as musdb does it."""
    faint = np.where(noise(1) > 0, 0.49, -0.49).astype(np.float32) / 2**15
    assert not true_stems._as_16_bit(faint).any()
    louder = true_stems._as_16_bit(1.1 * faint)
    np.testing.assert_allclose(np.abs(louder), 2.0**-15)
    beyond = np.array([[1.5, -1.5]], np.float32)
    assert true_stems._as_16_bit(beyond).tolist() == [[1 - 2**-15, -1]]
