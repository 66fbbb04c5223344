"""Which tracks and which part of them are heard in a report."""

import math

import numpy as np
import pytest

from tests.evaluate.report.report_songs import RATE_HZ, noise, write_scores, write_stems
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import scores
from waveunet_tf.evaluate.estimators import FolderEstimator
from waveunet_tf.evaluate.report import selection


def test_an_excerpt_begins_where_the_quietest_source_is_loudest(tmp_path):
    stems = {
        "accompaniment": noise(10, seed=1),
        "vocals": noise(10, seed=2, level=0.01),
    }
    stems["vocals"][5 * RATE_HZ : 8 * RATE_HZ] *= 10
    write_stems(tmp_path, "song", stems)
    (track,) = find_tracks(tmp_path, subsets=("test",))
    excerpt = selection.read_excerpt(
        track, tuple(stems), {}, duration_seconds=3, left_out=pytest.fail
    )
    assert (excerpt.start_seconds, excerpt.duration_seconds) == (5, 3)
    whole = selection.read_excerpt(
        track, tuple(stems), {}, duration_seconds=99, left_out=pytest.fail
    )
    assert (whole.start_seconds, whole.duration_seconds) == (0, 10)


def test_typical_tracks_are_worst_median_and_best(tmp_path):
    for name, sdr in [("b", 3.0), ("c", 9.0), ("d", 1.0), ("e", 5.0), ("f", 7.0)]:
        write_scores(tmp_path, name, {"vocals": [sdr, sdr], "bass": [sdr, math.nan]})
    write_scores(tmp_path, "silent", {"vocals": [math.nan], "bass": [math.nan]})
    tracks = scores.read_system(tmp_path)
    assert selection.typical_tracks(tracks, set(tracks)) == ["d", "e", "c"]
    assert selection.typical_tracks(tracks, {"b", "f", "silent"}) == ["b", "f"]
    assert selection.typical_tracks(tracks, {"silent"}) == []


@pytest.fixture
def song(tmp_path):
    """A track of four seconds."""
    stems = {
        source: noise(4, seed=place)
        for place, source in enumerate(("accompaniment", "vocals"))
    }
    write_stems(tmp_path / "data", "plain", stems)
    (track,) = find_tracks(tmp_path / "data", subsets=("test",))
    return track


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda samples: samples * np.nan, "must hold finite samples"),
        (lambda samples: samples[:, [0, 0, 0]], "target's 2 channels. Received: 3"),
    ],
)
def test_broken_estimates_are_refused(change, text, song, tmp_path):
    stems = {source: noise(4, seed=1) for source in ("accompaniment", "vocals")}
    stems["vocals"] = change(stems["vocals"])
    write_stems(tmp_path, "plain", stems)
    estimator = FolderEstimator(tuple(stems), str(tmp_path))
    errors = []
    excerpt = selection.read_excerpt(
        song, tuple(stems), {"ours": estimator}, left_out=errors.append
    )
    assert excerpt.estimates == {}
    assert len(errors) == 1 and text in str(errors[0])


@pytest.mark.parametrize("start", [4, np.inf])
def test_an_excerpt_after_the_end_is_refused(song, start):
    with pytest.raises(InputError, match=f"before its end at 4.0 s. Received: {start}"):
        selection.read_excerpt(
            song, ("vocals",), {}, start_seconds=start, left_out=pytest.fail
        )


def test_an_excerpt_has_the_samples_of_mixture_sources_and_estimates(song, tmp_path):
    stems = {
        source: noise(4, seed=9, channels=1) for source in ("accompaniment", "vocals")
    }
    write_stems(tmp_path / "ours", "plain", stems)
    estimator = FolderEstimator(tuple(stems), str(tmp_path / "ours"))
    excerpt = selection.read_excerpt(
        song,
        tuple(stems),
        {"ours": estimator},
        start_seconds=1.5,
        duration_seconds=2,
        left_out=pytest.fail,
    )
    part = slice(12000, 28000)
    true, rate_hz = song.read(tuple(stems))
    assert (excerpt.sample_rate_hz, excerpt.start_seconds) == (rate_hz, 1.5)
    for source in stems:
        np.testing.assert_array_equal(excerpt.references[source], true[source][part])
        # A mono estimate is heard on both channels of a stereo song.
        np.testing.assert_allclose(
            excerpt.estimates["ours"][source],
            stems[source][part].repeat(2, axis=1),
            atol=1e-7,
        )
    np.testing.assert_allclose(
        excerpt.mixture, sum(excerpt.references.values()), atol=1e-6
    )


def test_a_silent_source_does_not_choose_the_excerpt_and_can_be_heard(tmp_path):
    stems = {"accompaniment": noise(8, seed=1), "vocals": noise(8, seed=2, level=0)}
    stems["accompaniment"][: 4 * RATE_HZ] *= 0.1
    write_stems(tmp_path, "song", stems)
    (track,) = find_tracks(tmp_path, subsets=("test",))
    estimator = FolderEstimator(tuple(stems), str(tmp_path))
    excerpt = selection.read_excerpt(
        track, tuple(stems), {"x": estimator}, duration_seconds=4, left_out=pytest.fail
    )
    assert excerpt.start_seconds == 4
    assert not excerpt.references["vocals"].any()
    assert not excerpt.estimates["x"]["vocals"].any()


def test_an_excerpt_of_silence_alone_begins_at_the_start(tmp_path):
    write_stems(tmp_path, "song", {"vocals": noise(2, seed=1, level=0)})
    (track,) = find_tracks(tmp_path, subsets=("test",))
    excerpt = selection.read_excerpt(track, ("vocals",), {}, left_out=pytest.fail)
    assert (excerpt.start_seconds, excerpt.duration_seconds) == (0, 2)
