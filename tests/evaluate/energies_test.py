import numpy as np
import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import energies

RATE_HZ = 1000


def test_energies_of_constants_are_their_closed_form():
    true = {"vocals": np.full((2500, 2), 0.5), "drums": np.zeros((2500, 2))}
    estimates = {"vocals": np.full((2500, 1), 0.25), "drums": np.full((2500, 2), 0.1)}
    result = energies.measure_energies("song", true, estimates, RATE_HZ)
    assert result.samples.tolist() == [2000, 2000, 1000]  # the last second is half
    np.testing.assert_allclose(result.reference["vocals"], [500, 500, 250])
    np.testing.assert_allclose(result.estimate["vocals"], [125, 125, 62.5])
    np.testing.assert_allclose(result.error["vocals"], [125, 125, 62.5])
    np.testing.assert_allclose(result.reference["drums"], 0)
    np.testing.assert_allclose(result.error["drums"], [20, 20, 10])


def test_levels_are_dbfs():
    assert energies.level_db(2000, 2000) == 0
    sine = np.sin(2 * np.pi * 10 * np.arange(RATE_HZ) / RATE_HZ)
    assert energies.level_db(np.sum(sine**2), RATE_HZ) == pytest.approx(-3.0103)
    np.testing.assert_array_equal(energies.level_db([0, 20], 2000), [-np.inf, -20])


def test_a_track_comes_back_as_it_was_written(tmp_path):
    generator = np.random.default_rng(0)
    names = ("vocals", "accompaniment, live")
    true = {name: generator.normal(size=(2300, 2)) for name in names}
    estimates = {name: generator.normal(size=(2300, 2)) for name in names}
    written = energies.measure_energies("a.b song", true, estimates, RATE_HZ)
    path = tmp_path / "test" / "a.b song.energies.csv"
    energies.write_track_energies(path, written)
    assert path.read_text().startswith(
        "source,start_seconds,window_seconds,samples,reference,estimate,error\n"
        "vocals,0,1,2000,"
    )
    (read,) = energies.read_system_energies(tmp_path).values()
    assert (read.name, read.window_seconds) == ("a.b song", 1)
    np.testing.assert_array_equal(read.samples, written.samples)
    for series in ("reference", "estimate", "error"):
        for name in names:
            np.testing.assert_allclose(
                getattr(read, series)[name], getattr(written, series)[name], rtol=1e-8
            )


HEADING = "source,start_seconds,window_seconds,samples,reference,estimate,error\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n",
        HEADING,
        HEADING + "vocals,0,1,2000,1,1\n",
        HEADING + "vocals,0,1,2000,1,1,nan\n",
        HEADING + "vocals,0,1,2000,1,1,loud\n",
        HEADING + "a,0,1,2000,1,1,0\nb,0,1,2000,1,1,0\nb,1,1,2000,1,1,0\n",
    ],
)
def test_what_is_no_file_of_energies_is_refused_by_name(tmp_path, text):
    (tmp_path / "x.energies.csv").write_text(text)
    with pytest.raises(InputError, match=r"x\.energies\.csv: must be energies"):
        energies.read_track_energies(tmp_path / "x.energies.csv")


def measure(true, estimate):
    return energies.measure_energies(
        "x", {"vocals": true}, {"vocals": estimate}, RATE_HZ
    )


def noise(frames=3 * RATE_HZ, scale=0.1):
    return np.random.default_rng(0).normal(0, scale, (frames, 2))


@pytest.mark.parametrize("gain", [0.5, 0.9, 2])
def test_whole_track_sdr_of_a_scaled_estimate_is_its_closed_form(gain):
    true = noise()
    result = energies.whole_track_sdr_db(measure(true, gain * true), "vocals")
    assert result == pytest.approx(-20 * np.log10(abs(1 - gain)), abs=1e-4)


def test_whole_track_sdr_of_perfect_and_silent_estimates():
    true = noise()
    energy = np.sum(true**2)
    perfect = energies.whole_track_sdr_db(measure(true, true), "vocals")
    assert perfect == pytest.approx(10 * np.log10(energy / 1e-7), abs=1e-6)
    assert energies.whole_track_sdr_db(measure(true, 0 * true), "vocals") == 0
    both = energies.whole_track_sdr_db(measure(0 * true, 0 * true), "vocals")
    assert both == 0
    left = energies.whole_track_sdr_db(measure(0 * true, true), "vocals")
    assert left == pytest.approx(10 * np.log10(1e-7 / energy), abs=1e-6)


def test_whole_track_sdr_of_noise_at_a_known_level_counts_the_last_window_too():
    true = noise(2500)
    estimate = true.copy()
    estimate[2000:] += 0.1  # where museval does not look
    expected = 10 * np.log10(np.sum(true**2) / (500 * 2 * 0.01))
    result = energies.whole_track_sdr_db(measure(true, estimate), "vocals")
    assert result == pytest.approx(expected, abs=1e-4)


def test_predicted_energy_at_silence_is_its_closed_form():
    true = noise()
    true[1000:] = 0
    estimate = np.zeros_like(true)
    estimate[:1000] = 0.7  # not in silence
    estimate[1000:2000] = 0.1  # 2000 samples of 0.01: an energy of 20
    result = energies.predicted_energy_at_silence_db(measure(true, estimate), "vocals")
    np.testing.assert_allclose(result, [10 * np.log10(20), -120], atol=1e-6)
    loud = energies.predicted_energy_at_silence_db(measure(noise(), true), "vocals")
    assert loud.shape == (0,)


def test_what_counts_as_silence_can_be_louder_than_zeros():
    true = np.concatenate([np.full((1000, 2), 1e-4), np.full((1000, 2), 1e-2)])
    track = measure(true, 0 * true + 0.1)
    assert not len(energies.predicted_energy_at_silence_db(track, "vocals"))
    result = energies.predicted_energy_at_silence_db(track, "vocals", silence_dbfs=-60)
    np.testing.assert_allclose(result, [10 * np.log10(20)], atol=1e-6)


def test_weighted_sdr_is_the_mean_of_equally_loud_frames():
    sdr = np.array([1.0, 2.0, 6.0])
    assert energies.weighted_sdr_db(sdr, np.array([5.0, 5, 5])) == pytest.approx(3)


def test_weighted_sdr_is_not_moved_by_a_nearly_silent_outlier():
    sdr = np.array([5.0, -60.0, np.nan, 7.0])
    energy = np.array([10.0, 1e-6, 3.0, 30.0])
    assert energies.weighted_sdr_db(sdr, energy) == pytest.approx(6.5, abs=1e-4)
    assert np.isnan(energies.weighted_sdr_db(sdr, np.zeros(4)))
    assert np.isnan(energies.weighted_sdr_db(np.full(4, np.nan), energy))


def test_levels_are_of_musevals_frames():
    track = measure(np.full((2500, 2), 0.1), np.zeros((2500, 2)))
    np.testing.assert_allclose(track.levels_db("vocals"), [-20, -20])
    short = measure(np.full((700, 2), 0.1), np.zeros((700, 2)))
    np.testing.assert_allclose(short.levels_db("vocals"), [-20])
