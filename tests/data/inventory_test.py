import warnings

import matplotlib.image
import numpy as np
import pytest
import soundfile

from tests.data.stems import RATE_HZ, two_known_tracks, write_stem
from waveunet_tf.audio import io
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import inventory
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.manifest import Settings
from waveunet_tf.data.preparation import prepare_tracks
from waveunet_tf.errors import InputError


@pytest.fixture(scope="module")
def prepared_dir(tmp_path_factory):
    return two_known_tracks(tmp_path_factory.mktemp("known"))


def test_levels_are_those_of_known_signals(prepared_dir):
    levels = inventory.measure_levels(prepared_dir)
    assert {count for count, _ in levels.values()} == {2}
    vocals = levels["train", "vocals"][1]
    assert vocals.seconds == pytest.approx(20)
    # Mean of the squares 1/8 (a sine of 1/2) and 1/16 (a square wave of 1/4).
    assert vocals.rms_dbfs == pytest.approx(10 * np.log10(3 / 32), abs=0.01)
    assert vocals.peak_dbfs == pytest.approx(20 * np.log10(0.5), abs=0.01)
    assert vocals.silence == 0
    accompaniment = levels["train", "accompaniment"][1]
    assert accompaniment.silence == pytest.approx(0.5, abs=0.02)


def test_the_table_has_a_line_for_each_subset_and_stem(prepared_dir):
    lines = inventory.format_table(prepared_dir).splitlines()
    (line,) = [line for line in lines if line.startswith("train   vocals")]
    assert line.split() == ["train", "vocals", "2", "0.01", "-10.3", "-6.0", "0%"]
    assert sum(line.startswith("train") for line in lines) == 3
    assert "8000 Hz, 32 bits; validation: as in the source" in lines
    assert "tracks with clipped samples: 0" in lines


def test_a_missing_file_is_named(prepared_dir, tmp_path):
    (tmp_path / "manifest.json").write_bytes(
        (prepared_dir / "manifest.json").read_bytes()
    )
    with pytest.raises(InputError, match="is in the manifest, but missing"):
        inventory.measure_levels(tmp_path)


def test_excerpts_are_sums_of_their_sources_and_the_same_for_a_seed(prepared_dir):
    drawn, again, other = (
        inventory.draw_excerpts(
            prepared_dir, "train", TrainingConfig(seed=seed), count=2, seconds=0.25
        )
        for seed in (3, 3, 4)
    )
    assert len(drawn) == 2
    for excerpt in drawn:
        assert list(excerpt) == ["mixture", "accompaniment", "vocals"]
        assert {stem.shape for stem in excerpt.values()} == {(RATE_HZ // 4, 2)}
        np.testing.assert_allclose(
            excerpt["accompaniment"] + excerpt["vocals"], excerpt["mixture"], atol=1e-6
        )
    np.testing.assert_array_equal(drawn[1]["mixture"], again[1]["mixture"])
    assert not np.array_equal(drawn[0]["mixture"], other[0]["mixture"])


@pytest.mark.parametrize("seconds", [11, 1e6, np.inf])
def test_an_excerpt_longer_than_every_track_is_refused(prepared_dir, seconds):
    with pytest.raises(InputError, match="`seconds` must be .* longest track's 10.0"):
        inventory.draw_excerpts(
            prepared_dir, "train", TrainingConfig(), count=1, seconds=seconds
        )


def test_excerpts_of_one_source_are_refused_by_the_folders_name(tmp_path):
    write_stem(tmp_path / "in" / "train" / "a" / "vocals.wav")
    settings = Settings(RATE_HZ, ("vocals",))
    prepare_tracks(find_tracks(tmp_path / "in"), tmp_path / "out", settings)
    with pytest.raises(InputError, match="out: must hold two sources .* vocals"):
        inventory.draw_excerpts(
            tmp_path / "out", "train", TrainingConfig(), count=1, seconds=0.01
        )


def noise_excerpts(count, frames=2000):
    generator = np.random.default_rng(0)
    return [
        {name: generator.uniform(-1, 1, (frames, 2)) for name in ("mixture", "vocals")}
        for _ in range(count)
    ]


def test_excerpts_are_written_by_number_and_name(tmp_path):
    excerpts = noise_excerpts(2)
    paths = inventory.write_excerpts(tmp_path, excerpts, 8000)
    names = ["0_mixture.wav", "0_vocals.wav", "1_mixture.wav", "1_vocals.wav"]
    assert [path.name for path in paths] == names
    samples, rate_hz = io.read(tmp_path / "1_vocals.wav")
    assert rate_hz == 8000
    np.testing.assert_allclose(samples, excerpts[1]["vocals"], atol=2 / 2**15)


@pytest.mark.parametrize(("count", "shape"), [(1, (600, 400)), (3, (600, 1200))])
def test_a_picture_has_a_column_for_each_excerpt(tmp_path, count, shape):
    path = tmp_path / "x.png"
    inventory.plot_excerpts(path, noise_excerpts(count), 8000)
    assert matplotlib.image.imread(path).shape[:2] == shape
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize("frames", [2, 800, 1024])
def test_excerpts_shorter_than_the_spectrograms_window_are_drawn(tmp_path, frames):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inventory.plot_excerpts(tmp_path / "x.png", noise_excerpts(1, frames), 8000)
    assert (tmp_path / "x.png").exists()


def test_channels_that_cancel_are_drawn_like_equal_ones(tmp_path):
    (noise,) = noise_excerpts(1)
    pictures = {}
    for name, right in {"equal": 1, "cancel": -1, "silent": 0}.items():
        stem = noise["vocals"][:, :1] * (right != 0) * [1, right]
        path = tmp_path / f"{name}.png"
        inventory.plot_excerpts(path, [{"vocals": stem}], 8000)
        pictures[name] = matplotlib.image.imread(path)[150:]  # the spectrogram
    np.testing.assert_array_equal(pictures["cancel"], pictures["equal"])
    assert not np.array_equal(pictures["cancel"], pictures["silent"])


def test_a_suffix_that_is_no_pictures_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"x\.txt: a picture's suffix must be one of"):
        inventory.plot_excerpts(tmp_path / "x.txt", noise_excerpts(1), 8000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("suffix", "most"), [("png", 163), ("webp", 40)])
def test_a_picture_with_more_columns_than_its_kind_holds_is_refused(suffix, most):
    """matplotlib draws fewer than 2¹⁶ pixels, of which a webp has 2¹⁴ - 1."""
    inventory.check_picture(f"x.{suffix}", most)
    inventory.check_picture("x.svg", 1000)
    with pytest.raises(InputError, match=f"x.{suffix}: .* at most {most} excerpts"):
        inventory.plot_excerpts(f"x.{suffix}", (most + 1) * noise_excerpts(1), 8000)


def test_a_data_set_without_levels_is_silence(tmp_path):
    """A file of zeros: no logarithm of 0."""
    levels = inventory._Levels()
    levels.add(np.zeros((5000, 2)))
    measured = levels.result(8000)
    assert (measured.rms_dbfs, measured.peak_dbfs, measured.silence) == (-200, -200, 1)


def test_levels_do_not_depend_on_how_audio_is_cut(tmp_path):
    samples = np.random.default_rng(1).normal(0, 0.001, (20_000, 2))
    soundfile.write(tmp_path / "x.wav", samples, 8000, subtype="FLOAT")
    results = []
    for cuts in ([], [1000, 1001, 5000], range(0, 20_000, 777)):
        levels = inventory._Levels()
        for block in np.split(samples, cuts):
            levels.add(block)
        results.append(levels.result(8000))
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0])
