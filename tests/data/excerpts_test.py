import dataclasses
import itertools

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from tests.data.batches import TRAINING, first_batches, flat
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import excerpts, prepared, windows
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes

SOURCES = ("accompaniment", "vocals")


def test_the_mixture_is_the_sum_and_the_sources_are_its_centre(stems_dir, tiny_config):
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
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
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
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
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    one = first_batches(tracks, tiny_config, 3, parallel_calls=1)
    three = first_batches(tracks, tiny_config, 3, parallel_calls=3)
    for left, right in zip(flat(one), flat(three)):
        np.testing.assert_array_equal(left, right)


def test_a_resumed_pipeline_goes_on_with_the_same_excerpts(stems_dir, tiny_config):
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    whole = first_batches(tracks, tiny_config, 3)
    resumed = first_batches(tracks, tiny_config, 1, first=8)
    for left, right in zip(flat(whole[2:]), flat(resumed)):
        np.testing.assert_array_equal(left, right)


def test_workers_share_the_excerpts(stems_dir, tiny_config):
    first = 5  # two workers share them from 0 on in devices_test.py
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    one_each = dataclasses.replace(TRAINING, batch_size=1)
    whole = first_batches(tracks, tiny_config, 9, one_each, first=first)
    share_of = {"first": first, "workers": 3, "parallel_calls": 2}
    for worker in range(3):
        share = first_batches(
            tracks, tiny_config, 3, one_each, worker=worker, **share_of
        )
        expected = whole[(worker - first) % 3 :: 3]
        for left, right in zip(flat(share), flat(expected)):
            np.testing.assert_array_equal(left, right)
    with pytest.raises(InputError, match="`worker` must be at least 0 and below 3"):
        first_batches(tracks, tiny_config, 1, worker=3, workers=3)


def constant_tracks(folder, levels, frames=4000):
    """Constant tracks: left 0.01 · track + 0.1 · source (from 1), right 0.5."""
    for number in range(levels):
        for source, name in enumerate(SOURCES):
            path = folder / "train" / f"{number:02}" / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            level = 0.01 * number + 0.1 * (source + 1)
            audio = np.tile([level, 0.5], (frames * (number + 1), 1))
            soundfile.write(path, audio, 8000, subtype="FLOAT")
    return folder


def centres(folder, config, count=60, **changes):
    """The middle frames of excerpts, (excerpts, sources, channels), without gains."""
    changes = {"min_gain": 1.0, "batch_size": 20, "seed": 1, **changes}
    tracks = prepared.load_prepared(folder, config, "train")
    frames = []
    for mixture, sources in first_batches(
        tracks, config, count, TrainingConfig(**changes)
    ):
        stacked = np.stack(list(sources.values()), axis=1)
        context = shapes.window_frames(config).context_frames
        centre = mixture[:, context : context + stacked.shape[2]]
        np.testing.assert_allclose(stacked.sum(axis=1), centre, atol=1e-6)
        frames.append(stacked[:, :, stacked.shape[2] // 2])
    return np.concatenate(frames)


def test_tracks_are_drawn_evenly_or_by_length(tiny_config, tmp_path):
    folder = constant_tracks(tmp_path, 4)
    for sampling, expected in {
        "even": [0.25] * 4,
        "length": [0.1, 0.2, 0.3, 0.4],
    }.items():
        vocals = centres(folder, tiny_config, track_sampling=sampling)[:, 1, 0]
        tracks = np.rint((vocals[vocals > 0] - 0.2) * 100).astype(int)
        shares = np.bincount(tracks, minlength=4) / len(tracks)
        np.testing.assert_allclose(shares, expected, atol=0.05)


@pytest.mark.parametrize(
    "reader", [pytest.param("auto", marks=pytest.mark.slow), "soundfile"]
)
def test_a_weight_gives_the_excerpts_of_a_data_set_that_is_named_as_often(
    tiny_config, tmp_path, reader
):
    one, other = constant_tracks(tmp_path / "a", 2), constant_tracks(tmp_path / "b", 1)
    weighted = prepared.load_all([one, other], tiny_config, "train", weights=[3, 1])
    named = prepared.load_all([one, other], tiny_config, "train")
    # Three times in a row each, for a track's place decides which draws fall on it.
    named = [*[named[0]] * 3, *[named[1]] * 3, named[2]]

    def read(tracks, **places):
        return flat(first_batches(tracks, tiny_config, 4, reader=reader, **places))

    expected = read(named)
    for found, wished in zip(read(weighted), expected):
        np.testing.assert_array_equal(found, wished)
    # Excerpt n is a function of the seed and n, wherever and by whom it is read.
    for first, worker in [(8, 0), (0, 1)]:
        places = {"first": first, "worker": worker, "workers": 1 + worker}
        for found, wished in zip(read(weighted, **places), read(named, **places)):
            np.testing.assert_array_equal(found, wished)
    for found, wished in zip(read(weighted, first=8), expected[6:]):
        np.testing.assert_array_equal(found, wished)


@pytest.mark.slow
def test_sources_are_remixed_with_the_wished_probability(tiny_config, tmp_path):
    folder = constant_tracks(tmp_path, 4)
    for probability, expected in {0.0: 0.0, 0.5: 0.375, 1.0: 0.75}.items():
        left = centres(folder, tiny_config, remix_probability=probability)[:, :, 0]
        left = left[(left > 0).all(axis=1)]
        differ = np.abs(left[:, 1] - left[:, 0] - 0.1) > 1e-3
        assert differ.mean() == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        pytest.param(
            "swap_probability",
            lambda frame: frame[..., 0] == 0.5,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "polarity_probability",
            lambda frame: frame[..., 1] < 0,
            marks=pytest.mark.slow,
        ),
        ("dropout_probability", lambda frame: ~frame.any(axis=-1)),
    ],
)
def test_augmentation_has_the_wished_probability(tiny_config, tmp_path, field, changed):
    folder = constant_tracks(tmp_path, 1, frames=40_000)  # few starts in the context
    rates = {}
    for probability in (0.0, 0.3, 1.0):
        frames = centres(folder, tiny_config, 30, **{field: probability})
        rates[probability] = changed(frames).mean()
    assert rates[0.0] < 0.02
    if field == "dropout_probability":  # but never of all sources at once
        assert rates[0.3] == pytest.approx(0.3 - 0.3**2, abs=0.05)
        assert rates[1.0] < 0.02
    else:
        assert rates[0.3] == pytest.approx(0.3, abs=0.05)
        assert rates[1.0] > 0.98


def test_excerpts_of_a_tone_have_the_pitches_of_their_speeds(tiny_config, tmp_path):
    """Lower and higher ones, up to the largest change; stems share theirs."""
    frames, rate_hz = 20_000, tiny_config.sample_rate_hz
    tones = np.sin(0.2 * np.pi * np.arange(frames))[:, None].repeat(2, axis=1)
    folder = constant_tracks(tmp_path, 1, frames=frames)
    for path in folder.rglob("*.wav"):
        soundfile.write(path, 0.3 * tones, rate_hz, subtype="FLOAT")
    tracks = prepared.load_prepared(folder, tiny_config, "train")
    config = dataclasses.replace(tiny_config, output_frames=1000)
    training = dataclasses.replace(TRAINING, batch_size=40, max_speed_change=0.25)
    (mixture, sources), *_ = first_batches(tracks, config, 1, training)
    window = np.hanning(sources[SOURCES[0]].shape[1])[:, None]
    pitches = [
        np.abs(np.fft.rfft(window * source, 2**14, axis=1)[..., 0]).argmax(axis=1)
        / (0.1 * 2**14)
        for source in sources.values()
    ]
    np.testing.assert_allclose(pitches[0], pitches[1], atol=2e-3)
    assert 0.79 < pitches[0].min() < 0.9 < 1.1 < pitches[0].max() < 1.26
    context = shapes.window_frames(config).context_frames
    np.testing.assert_allclose(
        sum(sources.values()), mixture[:, context:-context], atol=1e-6
    )


def test_another_seed_gives_other_excerpts(stems_dir, tiny_config):
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    one, other = (
        first_batches(tracks, tiny_config, 1, dataclasses.replace(TRAINING, seed=seed))
        for seed in (1, 2)
    )
    assert not np.array_equal(flat(one)[0], flat(other)[0])


@pytest.mark.parametrize("remixed", [0, 1])
def test_an_accompaniment_is_the_sum_of_its_stems_each_remixed(
    constant_stems_dir, tiny_config, remixed
):
    tracks = prepared.load_prepared(constant_stems_dir, tiny_config, "train")
    config = dataclasses.replace(tiny_config, context=False, output_frames=16)
    training = dataclasses.replace(
        TRAINING, batch_size=8, min_gain=1, remix_probability=remixed
    )
    drawn = set()
    for mixture, sources in first_batches(tracks, config, 8, training):
        np.testing.assert_allclose(sum(sources.values()), mixture, atol=1e-7)
        levels = [sources[name][:, 8, 0] for name in ("accompaniment", "vocals")]
        for accompaniment, vocals in zip(*levels):
            digits = [
                np.base_repr(round(float(level) * 8**4), 8).zfill(4)
                for level in (accompaniment, vocals)
            ]
            assert digits[0][3] == "0"
            assert digits[1][:3] == "000"
            drawn.add(digits[0][:3] + digits[1][3])
    alike = {"1111", "2222", "3333"}
    assert set("".join(drawn)) == set("123")
    assert len(drawn) > 20 if remixed else drawn == alike


def test_an_excerpt_longer_than_every_track_is_refused(stems_dir, tiny_config):
    config = dataclasses.replace(tiny_config, output_frames=4001)
    tracks = prepared.load_prepared(stems_dir, config, "train")
    with pytest.raises(InputError, match="longest track's 4000 frames"):
        excerpts.random_excerpts(tracks, config, TRAINING)


def test_no_thread_that_tunes_keeps_a_process_from_ending(stems_dir, tiny_config):
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    for batches in (
        excerpts.random_excerpts(tracks, tiny_config, TRAINING),
        windows.whole_track_windows(tracks, tiny_config, batch_size=2),
        windows.listening_windows(tracks, tiny_config, 1.0),
    ):
        assert batches.options().autotune.enabled is False


@pytest.mark.parametrize(
    ("reader", "change"), [("tensorflow_io", 0), ("soundfile", 0), ("soundfile", 0.3)]
)
def test_excerpts_mixed_on_the_device_are_those_mixed_by_the_reader(
    stems_dir, tiny_config, reader, change
):
    if reader == "tensorflow_io":
        pytest.importorskip("tensorflow_io", exc_type=ImportError)
    for path in stems_dir.rglob("*.wav"):
        samples, rate_hz = soundfile.read(path)
        soundfile.write(path, samples, rate_hz, subtype="PCM_16")
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    training = dataclasses.replace(
        TRAINING,
        remix_probability=0.5,
        swap_probability=0.5,
        polarity_probability=0.3,
        dropout_probability=0.3,
        max_speed_change=change,
    )
    share = {"first": 5, "worker": 1, "workers": 2, "reader": reader}
    mixed = first_batches(tracks, tiny_config, 4, training, **share)
    stored = first_batches(tracks, tiny_config, 4, training, stored=True, **share)
    assert stored[0][0].dtype == np.int16
    mixer = excerpts.StoredMixer(tracks, tiny_config, training)
    mixed_later = [
        (mixture.numpy(), {name: source.numpy() for name, source in sources.items()})
        for mixture, sources in itertools.starmap(mixer, stored)
    ]
    # Sums of a sinc are rounded as each program orders them.
    for found, expected in zip(flat(mixed_later), flat(mixed), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 if change else 0)


def test_a_card_computes_the_places_of_other_speeds_itself(stems_dir, tiny_config):
    """TensorFlow computes int32 on the host: sizes, but not millions of places."""
    training = dataclasses.replace(TRAINING, max_speed_change=0.3, swap_probability=0.5)
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    stored = excerpts.random_excerpts(
        tracks, tiny_config, training, reader="soundfile", stored=True
    )
    mixer = excerpts.StoredMixer(tracks, tiny_config, training)
    graph = tf.function(mixer, autograph=False).get_concrete_function(
        *stored.element_spec
    )
    window = shapes.window_frames(tiny_config).input_frames
    outputs = [
        output for node in graph.graph.get_operations() for output in node.outputs
    ]
    large = [one for one in outputs if (one.shape.num_elements() or 0) >= window]
    assert {one.dtype for one in large} >= {tf.float32, tf.int64}
    assert tf.int32 not in {one.dtype for one in large}


@pytest.mark.parametrize(
    "kinds, stems, channels, output_frames, is_so",
    [
        ({("WAV", "PCM_16")}, 2, 2, 1000, True),
        ({("WAV", "PCM_16"), ("FLAC", "PCM_16")}, 2, 2, 1000, True),
        # 2 bytes x 8 stems are more than 4 bytes x (the mixture and 2 sources).
        ({("WAV", "PCM_16")}, 8, 2, 1000, False),
        # With a context as long as the output there is little of the sources.
        ({("WAV", "PCM_16")}, 4, 2, 4, False),
        ({("WAV", "PCM_16")}, 2, 1, 1000, False),
        ({("WAV", "PCM_16"), ("WAV", "FLOAT")}, 2, 2, 1000, False),
        ({("WAV", "PCM_24")}, 2, 2, 1000, False),
    ],
)
def test_excerpts_stay_16_bit_where_that_is_exact_and_fewer_bytes(
    tiny_config, kinds, stems, channels, output_frames, is_so
):
    names = tuple(map(str, range(stems)))
    track = prepared.PreparedTrack(
        "train/a", names, (names[:1], names[1:]), 5000, frozenset(kinds)
    )
    config = dataclasses.replace(
        tiny_config, channels=channels, output_frames=output_frames
    )
    assert excerpts.are_fewer_stored([track], config) == is_so
