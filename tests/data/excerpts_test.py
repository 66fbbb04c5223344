import dataclasses
import itertools
import sys

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import excerpts, manifest, preparation, prepared, readers
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes

SOURCES = ("accompaniment", "vocals")


TRAINING = TrainingConfig(batch_size=4, seed=5)


def first_batches(tracks, config, count, training=TRAINING, **arguments):
    batches = excerpts.random_excerpts(tracks, config, training, **arguments)
    return list(itertools.islice(batches.as_numpy_iterator(), count))


def flat(batches):
    return [
        array for mixture, sources in batches for array in (mixture, *sources.values())
    ]


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
    eight = first_batches(tracks, tiny_config, 3, parallel_calls=8)
    for left, right in zip(flat(one), flat(eight)):
        np.testing.assert_array_equal(left, right)


def test_a_resumed_pipeline_goes_on_with_the_same_excerpts(stems_dir, tiny_config):
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    whole = first_batches(tracks, tiny_config, 3)
    resumed = first_batches(tracks, tiny_config, 1, first=8)
    for left, right in zip(flat(whole[2:]), flat(resumed)):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("first", [0, 5])
def test_workers_share_the_excerpts(stems_dir, tiny_config, first):
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    one_each = dataclasses.replace(TRAINING, batch_size=1)
    whole = first_batches(tracks, tiny_config, 9, one_each, first=first)
    for worker in range(3):
        share = first_batches(
            tracks, tiny_config, 3, one_each, first=first, worker=worker, workers=3
        )
        expected = whole[(worker - first) % 3 :: 3]
        for left, right in zip(flat(share), flat(expected)):
            np.testing.assert_array_equal(left, right)
    with pytest.raises(InputError, match="`worker` must be at least 0 and below 3"):
        first_batches(tracks, tiny_config, 1, worker=3, workers=3)


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
        ("swap_probability", lambda frame: frame[..., 0] == 0.5),
        ("polarity_probability", lambda frame: frame[..., 1] < 0),
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


def test_another_seed_gives_other_excerpts(stems_dir, tiny_config):
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    one, other = (
        first_batches(tracks, tiny_config, 1, dataclasses.replace(TRAINING, seed=seed))
        for seed in (1, 2)
    )
    assert not np.array_equal(flat(one)[0], flat(other)[0])


@pytest.mark.parametrize("reader", ["tensorflow_io", "soundfile"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_track_beyond_its_ends_is_silence(stems_dir, tiny_config, reader, channels):
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


def test_a_data_set_may_be_on_another_file_system(tiny_config, tmp_path):
    """Of those that TensorFlow knows, only one is at hand."""
    generator = np.random.default_rng(0)
    names = ("vocals", "other", "drums")
    for source in names:
        path = tmp_path / "in" / "train" / "song" / f"{source}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, generator.normal(0, 0.1, (4000, 2)), 8000)
    settings = manifest.Settings(8000, names)
    preparation.prepare_tracks(find_tracks(tmp_path / "in"), tmp_path / "out", settings)
    here = prepared.load_prepared(tmp_path / "out", tiny_config, "train")
    there = prepared.load_prepared(f"file://{tmp_path}/out", tiny_config, "train")
    expected = first_batches(here, tiny_config, 2)
    for left, right in zip(flat(first_batches(there, tiny_config, 2)), flat(expected)):
        np.testing.assert_array_equal(left, right)
    with pytest.raises(InputError, match="must be tensorflow_io for files"):
        first_batches(there, tiny_config, 1, reader="soundfile")
    for change, message in {
        "sample_rate_hz": "sample rate, 8001 Hz, but has 8000",
        "sources": "lacks bass",
    }.items():
        value = 8001 if change == "sample_rate_hz" else ("bass", "vocals")
        config = dataclasses.replace(tiny_config, **{change: value})
        with pytest.raises(InputError, match=message):
            prepared.load_prepared(f"file://{tmp_path}/out", config, "train")
    with pytest.raises(InputError, match="must be what `prepare` wrote"):
        prepared.load_prepared(f"file://{tmp_path}/none", tiny_config, "train")


STEMS = ("bass", "drums", "other", "vocals")


@pytest.fixture
def constant_stems_dir(tmp_path):
    """Track k's nth stem is the constant (k + 1) 8^-(n + 1): a digit of its own."""
    for track in range(3):
        for place, stem in enumerate(STEMS):
            path = tmp_path / "constant" / "train" / str(track) / f"{stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            level = 8.0 ** -(place + 1) * (track + 1)
            soundfile.write(path, np.full((2000, 2), level), 8000, subtype="FLOAT")
    return tmp_path / "constant"


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


def test_all_folders_must_have_the_same_stems(
    constant_stems_dir, stems_dir, tiny_config
):
    folders = [stems_dir, constant_stems_dir]
    with pytest.raises(InputError, match="constant: must have the same stems as"):
        prepared.load_all(folders, tiny_config, "train")
    (constant_stems_dir / "train" / "0" / "vocals.wav").unlink()
    with pytest.raises(InputError, match="but lacks accompaniment, vocals"):
        prepared.load_prepared(constant_stems_dir, tiny_config, "train")


def test_validation_windows_cover_every_frame_once(stems_dir, tiny_config):
    tracks = prepared.load_prepared(stems_dir, tiny_config, "valid")
    batches = excerpts.whole_track_windows(tracks, tiny_config, batch_size=3)
    pieces = []
    for mixture, sources, weights, _ in batches.as_numpy_iterator():
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
        prepared.load_prepared(stems_dir, tiny_config, "train")


def test_an_excerpt_longer_than_every_track_is_refused(stems_dir, tiny_config):
    config = dataclasses.replace(tiny_config, output_frames=4001)
    tracks = prepared.load_prepared(stems_dir, config, "train")
    with pytest.raises(InputError, match="longest track's 4000 frames"):
        excerpts.random_excerpts(tracks, config, TRAINING)


def test_no_thread_that_tunes_keeps_a_process_from_ending(stems_dir, tiny_config):
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    for batches in (
        excerpts.random_excerpts(tracks, tiny_config, TRAINING),
        excerpts.whole_track_windows(tracks, tiny_config, batch_size=2),
        excerpts.listening_windows(tracks, tiny_config, 1.0),
    ):
        assert batches.options().autotune.enabled is False
