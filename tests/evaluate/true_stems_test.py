import shutil

import numpy as np
import pytest
import soundfile

from evaluate import true_stems
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.sigsep import import_sigsep
from waveunet_tf.errors import InputError


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
    came = true_stems.read_true_stems(
        write_track(tmp_path, stems), ("accompaniment", "vocals")
    )
    assert list(came.sources) == ["accompaniment", "vocals"]
    assert sorted(came.parts) == ["bass", "drums", "vocals"]
    np.testing.assert_array_equal(
        came.sources["accompaniment"], stems["bass"] + stems["drums"]
    )
    np.testing.assert_allclose(came.mixture, sum(stems.values()), atol=1e-6)
    assert came.sample_rate_hz == 8000


def test_prepared_halves_are_the_parts(tmp_path):
    stems = {name: noise(n) for n, name in enumerate(("accompaniment", "vocals"))}
    came = true_stems.read_true_stems(
        write_track(tmp_path, stems), ("vocals", "accompaniment")
    )
    assert sorted(came.parts) == ["accompaniment", "vocals"]
    for name, stem in stems.items():
        np.testing.assert_array_equal(came.sources[name], stem)


def test_a_source_that_is_not_there_is_refused(tmp_path):
    track = write_track(tmp_path, {"drums": noise(0), "bass": noise(1)})
    for source in ("vocals", "accompaniment"):
        with pytest.raises(InputError, match=f"no source {source}"):
            true_stems.read_true_stems(track, (source,))


def test_lossy_stems_are_rounded_to_16_bits_and_floats_are_not(tmp_path):
    stems = {name: noise(n) for n, name in enumerate(("drums", "vocals"))}
    track = write_track(tmp_path, stems)
    lossy = track.sources["drums"].path.with_suffix(".ogg")
    soundfile.write(lossy, stems["drums"], 8000)
    track.sources["drums"].path.unlink()
    (track,) = find_tracks(tmp_path)
    came = true_stems.read_true_stems(track, ("drums", "vocals")).sources
    steps = came["drums"] * 2**15
    np.testing.assert_array_equal(steps, np.rint(steps))
    np.testing.assert_array_equal(came["vocals"], stems["vocals"])


def test_energies_of_true_stems_have_no_estimates(tmp_path):
    stems = {name: np.full((8000, 2), 0.5, np.float32) for name in ("vocals", "drums")}
    came = true_stems.measure_true_stems(write_track(tmp_path, stems), ("vocals",))
    assert came.reference["vocals"] == [4000]
    assert came.estimate == came.error == {}


def test_musdb18_is_rounded_to_16_bits_before_it_is_summed(shared_data):
    tracks = find_tracks(shared_data / "musdb18-7s", subsets=("test",))
    came = true_stems.read_true_stems(tracks[0], ("accompaniment", "vocals"))
    for stem in (came.mixture, came.sources["accompaniment"], *came.parts.values()):
        steps = stem * 2**15
        np.testing.assert_array_equal(steps, np.rint(steps))
    raw, _ = tracks[0].read(("vocals",))
    assert 0 < np.abs(raw["vocals"] - came.sources["vocals"]).max() <= 0.5001 / 2**15


@pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="musdb's decoding is ffmpeg's"
)
def test_musdb18s_stems_are_those_of_musdb(shared_data):
    root = shared_data / "musdb18-7s"
    ours = {track.name: track for track in find_tracks(root, subsets=("test",))}
    database = import_sigsep("musdb").DB(root=str(root), subsets=["test"])
    for theirs in database.tracks[:2]:
        came = true_stems.read_true_stems(
            ours[theirs.name], ("accompaniment", "vocals")
        )
        for name in came.sources:
            expected = theirs.targets[name].audio
            # FFmpeg's decoders differ in the last bit from build to build.
            np.testing.assert_allclose(came.sources[name], expected, atol=3.1 / 2**15)
            assert np.mean(came.sources[name] != expected) < 1e-3
