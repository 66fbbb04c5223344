import shutil

import numpy as np
import pytest

from tests.data.stems import write_stem
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.sigsep import import_sigsep
from waveunet_tf.errors import InputError


def test_accompaniment_is_the_sum_of_all_but_the_vocals(tmp_path):
    for name, value in {"vocals": 0.5, "drums": 0.125, "bass": 0.25}.items():
        write_stem(tmp_path / "train" / "song" / f"{name}.wav", value=value)
    (track,) = find_tracks(tmp_path)
    stems, rate_hz = track.read(("accompaniment", "vocals"))
    assert rate_hz == 8000
    np.testing.assert_allclose(stems["accompaniment"], 0.375, atol=1e-4)
    np.testing.assert_allclose(stems["vocals"], 0.5, atol=1e-4)
    np.testing.assert_allclose(stems["mixture"], 0.875, atol=1e-4)


def test_an_accompaniment_beside_its_parts_is_not_counted_twice(tmp_path):
    stems = {"vocals": 0.125, "drums": 0.25, "bass": 0.125, "accompaniment": 0.375}
    for name, value in stems.items():
        write_stem(tmp_path / "train" / "song" / f"{name}.wav", value=value)
    (track,) = find_tracks(tmp_path)
    np.testing.assert_allclose(track.read(("vocals",))[0]["mixture"], 0.5, atol=1e-4)


def test_a_mixture_file_is_the_mixture(tmp_path):
    write_stem(tmp_path / "train" / "song" / "vocals.wav", value=0.5)
    write_stem(tmp_path / "train" / "song" / "mixture.wav", value=0.75)
    (track,) = find_tracks(tmp_path)
    assert list(track.sources) == ["vocals"]
    np.testing.assert_allclose(track.read(("vocals",))[0]["mixture"], 0.75, atol=1e-4)


@pytest.mark.parametrize(
    "other", [{"frames": 101}, {"channels": 1}, {"rate_hz": 16000}], ids=str
)
def test_stems_that_differ_are_refused_by_name(tmp_path, other):
    write_stem(tmp_path / "train" / "song" / "vocals.wav")
    write_stem(tmp_path / "train" / "song" / "drums.wav", **other)
    (track,) = find_tracks(tmp_path)
    with pytest.raises(InputError, match=r"train/song: .* must agree .*drums\.wav"):
        track.read(("vocals",))


def test_a_source_that_is_not_there_is_named(tmp_path):
    write_stem(tmp_path / "train" / "song" / "drums.wav")
    (track,) = find_tracks(tmp_path)
    with pytest.raises(InputError, match="has no source vocals .*, only drums"):
        track.read(("vocals",))
    with pytest.raises(InputError, match="has no source accompaniment"):
        track.read(("accompaniment",))


@pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="musdb's decoding is ffmpeg's"
)
def test_stem_mp4_decodes_to_the_samples_of_musdbs_own_decoding(shared_data):
    root = shared_data / "musdb18-7s"
    ours = {track.name: track for track in find_tracks(root)}
    database = import_sigsep("musdb").DB(root=str(root), subsets=["test"])
    for theirs in database.tracks[:3]:
        stems, rate_hz = ours[theirs.name].read(("accompaniment", "vocals"))
        assert rate_hz == theirs.rate
        for name, expected in {
            "mixture": theirs.audio,
            "vocals": theirs.targets["vocals"].audio,
            "accompaniment": theirs.targets["accompaniment"].audio,
        }.items():
            # musdb rounds each stem to 16 bits.
            np.testing.assert_allclose(stems[name], expected, atol=2.1 / 2**15)
