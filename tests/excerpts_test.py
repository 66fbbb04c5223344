import dataclasses
import itertools

import numpy as np
import pytest
import soundfile

from waveunet_tf import excerpts, shapes
from waveunet_tf.errors import InputError

SOURCES = ("accompaniment", "vocals")


def first_batches(tracks, config, count, **arguments):
    arguments = {"batch_size": 4, "seed": 5, **arguments}
    batches = excerpts.random_excerpts(tracks, config, **arguments)
    return list(itertools.islice(batches.as_numpy_iterator(), count))


def flat(batches):
    return [
        array for mixture, sources in batches for array in (mixture, *sources.values())
    ]


def test_the_mixture_is_the_sum_and_the_sources_are_its_centre(stems_dir, tiny_config):
    tracks = excerpts.load_prepared(stems_dir, tiny_config, "train")
    window = shapes.window_frames(tiny_config)
    for mixture, sources in first_batches(tracks, tiny_config, 3):
        assert mixture.shape == (4, window.input_frames, 2)
        assert mixture.dtype == np.float32
        assert list(sources) == list(SOURCES)
        context = window.context_frames
        np.testing.assert_allclose(
            sum(sources.values()),
            mixture[:, context : context + window.output_frames],
            atol=1e-6,
        )


def test_every_source_of_an_excerpt_is_a_piece_of_its_stem_with_a_gain(
    stems_dir, tiny_config
):
    tracks = excerpts.load_prepared(stems_dir, tiny_config, "train")
    gains = []
    for _, sources in first_batches(tracks, tiny_config, 4):
        for source, batch in sources.items():
            for excerpt in batch:
                best = None
                for track in tracks:
                    path = track.paths[SOURCES.index(source)]
                    padded = np.pad(soundfile.read(path)[0], ((300, 300), (0, 0)))
                    pieces = np.lib.stride_tricks.sliding_window_view(
                        padded, excerpt.shape
                    )[:, 0]
                    products = np.einsum("nfc,fc->n", pieces, excerpt)
                    energies = np.einsum("nfc,nfc->n", pieces, pieces)
                    piece = np.argmax(products / np.sqrt(energies + 1e-9))
                    gain = products[piece] / energies[piece]
                    error = np.abs(excerpt - gain * pieces[piece]).max()
                    best = min(best or (error, gain), (error, gain))
                assert best[0] < 1e-5
                gains.append(best[1])
    assert 0.7 <= min(gains) < 0.8
    assert 0.9 < max(gains) <= 1


def test_excerpts_do_not_depend_on_parallel_calls(stems_dir, tiny_config):
    tracks = excerpts.load_prepared(stems_dir, tiny_config, "train")
    one = first_batches(tracks, tiny_config, 3, parallel_calls=1)
    eight = first_batches(tracks, tiny_config, 3, parallel_calls=8)
    for left, right in zip(flat(one), flat(eight)):
        np.testing.assert_array_equal(left, right)


def test_a_resumed_pipeline_goes_on_with_the_same_excerpts(stems_dir, tiny_config):
    tracks = excerpts.load_prepared(stems_dir, tiny_config, "train")
    whole = first_batches(tracks, tiny_config, 3)
    resumed = first_batches(tracks, tiny_config, 1, first=8)
    for left, right in zip(flat(whole[2:]), flat(resumed)):
        np.testing.assert_array_equal(left, right)


def test_another_seed_gives_other_excerpts(stems_dir, tiny_config):
    tracks = excerpts.load_prepared(stems_dir, tiny_config, "train")
    one, other = (first_batches(tracks, tiny_config, 1, seed=seed) for seed in (1, 2))
    assert not np.array_equal(flat(one)[0], flat(other)[0])


def test_a_track_beyond_its_ends_is_silence(stems_dir, tiny_config):
    track = excerpts.load_prepared(stems_dir, tiny_config, "valid")[0]
    whole = np.stack([soundfile.read(path)[0] for path in track.paths])
    np.testing.assert_allclose(
        track.read(-30, 1100, 2), np.pad(whole, ((0, 0), (30, 70), (0, 0))), atol=1e-7
    )
    assert not track.read(1000, 50, 2).any()
    assert not track.read(-50, 50, 2).any()


def test_a_mono_network_gets_the_mean_of_the_channels(stems_dir, tiny_config):
    config = dataclasses.replace(tiny_config, channels=1)
    track = excerpts.load_prepared(stems_dir, config, "valid")[0]
    whole = np.stack([soundfile.read(path)[0] for path in track.paths])
    np.testing.assert_allclose(
        track.read(0, 1000, 1), whole.mean(axis=2, keepdims=True), atol=1e-7
    )


def test_validation_windows_cover_every_frame_once(stems_dir, tiny_config):
    tracks = excerpts.load_prepared(stems_dir, tiny_config, "valid")
    batches = excerpts.whole_track_windows(tracks, tiny_config, batch_size=3)
    pieces = []
    for mixture, sources, weights in batches.as_numpy_iterator():
        context = shapes.window_frames(tiny_config).context_frames
        np.testing.assert_allclose(
            sum(sources.values()), mixture[:, context:-context], atol=1e-6
        )
        for piece, weight in zip(sources["vocals"], weights):
            pieces.append(piece[weight[:, 0] == 1])
    expected, _ = soundfile.read(stems_dir / "valid" / "three" / "vocals.wav")
    np.testing.assert_allclose(np.concatenate(pieces), expected, atol=1e-7)


def rewrite(path, *, frames=None, channels=2, rate_hz=8000):
    soundfile.write(path, np.zeros((frames, channels)), rate_hz)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "train/two .* lacks vocals"),
        (lambda path: path.write_bytes(b"no wav"), r"vocals\.wav: must be a wav file"),
        (lambda path: rewrite(path, frames=0), "to its last frame"),
        (lambda path: rewrite(path, frames=2499), "must be of one length"),
        (lambda path: rewrite(path, frames=2500, rate_hz=44100), "sample rate, 8000"),
        (lambda path: rewrite(path, frames=2500, channels=1), "2 channels, but has 1"),
    ],
)
def test_stems_that_do_not_fit_the_network_are_refused_by_name(
    stems_dir, tiny_config, damage, message
):
    damage(stems_dir / "train" / "two" / "vocals.wav")
    with pytest.raises(InputError, match=message):
        excerpts.load_prepared(stems_dir, tiny_config, "train")


def test_an_excerpt_longer_than_every_track_is_refused(stems_dir, tiny_config):
    config = dataclasses.replace(tiny_config, output_frames=4001)
    tracks = excerpts.load_prepared(stems_dir, config, "train")
    with pytest.raises(InputError, match="longest track's 4000 frames"):
        excerpts.random_excerpts(tracks, config, batch_size=1, seed=0)
