import dataclasses
import pathlib
import types

import numpy as np
import pytest

from tests.export.small_exports import music, one_pass, save_network
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.errors import InputError
from waveunet_tf.export import parity, parity_songs

# In one process, for the files that are converted once for all of these.
pytestmark = pytest.mark.xdist_group("tflite")


def test_snr_is_of_seconds_in_which_something_is_heard():
    rate_hz, signal = 100, np.full((450, 1), 0.5)
    signal[100:200] = 0
    noisy = signal.copy()
    noisy[:100] += 0.05  # 20 dB below
    noisy[200:300] += 0.005  # 40 dB below
    noisy[300:] += 0.0005
    decibels = parity.signal_to_noise_db({"x": signal}, {"x": noisy}, rate_hz)
    np.testing.assert_allclose(decibels, [20, 40, 60, 60][: len(decibels)])
    assert len(decibels) == 3  # of the half second at the end nothing


def test_snr_takes_all_sources_as_one_signal():
    """By hand: a power of 1 and 0.25, an error of 0.01 in one of them."""
    loud, quiet = np.ones((100, 1)), np.full((100, 1), 0.5)
    (decibels,) = parity.signal_to_noise_db(
        {"a": loud, "b": quiet}, {"b": quiet, "a": loud + 0.1}, 100
    )
    assert decibels == pytest.approx(10 * np.log10(1.25 / 0.01))


def test_silence_has_no_snr_and_a_short_song_one():
    silence = {"x": np.zeros((300, 2))}
    assert len(parity.signal_to_noise_db(silence, silence, 100)) == 0
    short = {"x": np.full((20, 2), 0.5)}
    assert parity.signal_to_noise_db(short, short, 100) == pytest.approx([294], abs=1)


def test_samples_that_are_no_numbers_are_no_silence():
    signal = {"x": np.full((300, 1), 0.5)}
    broken = {"x": signal["x"].copy()}
    broken["x"][150] = np.nan
    decibels = parity.signal_to_noise_db(signal, broken, 100)
    assert np.isnan(decibels).tolist() == [False, True, False]
    with pytest.raises(InputError, match="must give finite samples"):
        parity.signal_to_noise_db(broken, signal, 100)


def test_the_reference_is_the_network_itself(kept_checkpoint, tiny_config):
    song = parity_songs.ParitySong("song", music(3000), {})
    (stems,) = parity.keras_estimates(kept_checkpoint, [song])
    network = checkpoint.load_network(kept_checkpoint)
    for source, stem in one_pass(tiny_config, network, song.mixture).items():
        np.testing.assert_allclose(stems[source], stem, atol=1e-5)


def test_parity_sees_other_weights_and_another_network(
    kept_files, kept_checkpoint, tiny_config, tmp_path, monkeypatch
):
    monkeypatch.setattr(parity, "cost_in_a_process", parity.cost)
    path = kept_files["float32"]
    song = parity_songs.ParitySong("song", music(12_000), {})
    (own,) = parity.measure_files([path], kept_checkpoint, [song], {path: "name"})
    assert own.snr_db > 100 and own.sdr_change_db == {}
    assert (own.artefact, own.kind) == ("name", "float32")
    assert own.mib == pytest.approx(path.stat().st_size / 2**20)
    assert own.peak_mib > 20 and own.factor_1 > 0 and own.load_seconds > 0
    save_network(tmp_path / "other", tiny_config, seed=2)
    (row,) = parity.measure_files([path], tmp_path / "other", [song])
    assert row.snr_db < 20
    save_network(tmp_path / "third", dataclasses.replace(tiny_config, base_filters=5))
    with pytest.raises(InputError, match="must be of the checkpoint"):
        parity.measure_files([path], tmp_path / "third", [song])


def test_a_file_of_an_unknown_kind_is_not_measured(kept_files, monkeypatch):
    read_metadata = parity.tflite_file.read_metadata

    def changed(path, content):
        return {**read_metadata(path, content), "quantization": ["int4"]}

    monkeypatch.setattr(parity.tflite_file, "read_metadata", changed)
    with pytest.raises(InputError, match=r"its kind must be .* Received: \['int4'\]"):
        parity._kind(kept_files["float32"])


def test_scores_change_with_the_stems_and_not_without(
    kept_files, kept_checkpoint, monkeypatch
):
    cost = {"factor": 1.0, "peak_mib": 1.0, "load_seconds": 1.0}
    monkeypatch.setattr(parity, "cost_in_a_process", lambda *_: cost)
    mixture = music(16_000)
    stems = {"vocals": 0.4 * mixture, "accompaniment": 0.6 * mixture[::-1]}
    song = parity_songs.ParitySong("song", mixture, stems)
    paths = [kept_files["float32"], kept_files["int8"]]
    exact, coarse = parity.measure_files(paths, kept_checkpoint, [song])
    assert sorted(exact.sdr_change_db) == ["accompaniment", "vocals"]
    for change_db in exact.sdr_change_db.values():
        assert abs(change_db) < 1e-3
    assert any(abs(change_db) > 1e-3 for change_db in coarse.sdr_change_db.values())
    assert exact.snr_db > coarse.snr_db >= coarse.worst_snr_db


@pytest.mark.filterwarnings("error")
def test_a_silent_estimate_has_no_change_of_scores(
    kept_files, tiny_config, monkeypatch
):
    cost = {"factor": 1.0, "peak_mib": 1.0, "load_seconds": 1.0}
    monkeypatch.setattr(parity, "cost_in_a_process", lambda *_: cost)
    stems = {"accompaniment": music(16_000), "vocals": music(16_000)[::-1] / 2}
    song = parity_songs.ParitySong("song", sum(stems.values()), stems)
    noisy = {
        source: stem + music(16_000)[:, ::-1] / 9 for source, stem in stems.items()
    }
    reference = parity._Reference(song, noisy, parity._scores(song, noisy, tiny_config))
    silent = {**noisy, "vocals": np.zeros_like(stems["vocals"])}
    runner = types.SimpleNamespace(run=lambda mixture: silent)
    separator = types.SimpleNamespace(config=tiny_config, runner=lambda: runner)
    path = kept_files["float32"]
    row = parity._measure_file(path, path.name, "float32", separator, [reference])
    assert row.sdr_change_db == {"accompaniment": 0}


def test_songs_of_silence_cannot_be_measured(kept_files, kept_checkpoint):
    song = parity_songs.ParitySong("song", np.zeros((9000, 2), np.float32), {})
    with pytest.raises(InputError, match="are silent"):
        parity.measure_files([kept_files["float32"]], kept_checkpoint, [song])


def test_a_file_is_measured_in_a_process_of_its_own(kept_files, monkeypatch):
    """A relative path is that of the folder in which the command was called."""
    path = kept_files["float32"]
    monkeypatch.chdir(path.parent)
    cost = parity.cost_in_a_process(pathlib.Path(path.name), 1)
    assert 0 < cost["factor"] < 1 and cost["load_seconds"] > 0
    # Without TensorFlow, which alone takes more than 300 MiB.
    assert 20 < cost["peak_mib"] < 300


def test_a_process_that_dies_is_named_by_its_file(tmp_path):
    with pytest.raises(InputError, match="none.tflite: the process that measures it"):
        parity.cost_in_a_process(tmp_path / "none.tflite", 1)
