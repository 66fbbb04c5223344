import dataclasses
import shutil

import numpy as np
import pytest
import soundfile

from examples.pretrained import coded_stems
from tests.command_line import check_refusal, run_here
from waveunet_tf.errors import InputError


@pytest.fixture(scope="module")
def data(kept_stems_dir, tmp_path_factory):
    """The tiny stems in one file."""
    path = tmp_path_factory.mktemp("data") / "stems.npz"
    coded_stems.write_coded_stems([kept_stems_dir], path, max_bytes=10**6)
    return path


def snr_db(signal, noise):
    return 10 * np.log10(np.sum(np.square(signal)) / np.sum(np.square(noise)))


@pytest.mark.parametrize("level", [0.01, 0.3])
def test_eight_bits_keep_music_at_35_db_or_more(level):
    signal = np.random.default_rng(0).normal(0, level, 10_000).clip(-1, 1)
    decoded = np.asarray(coded_stems.decode_samples(coded_stems.encode_samples(signal)))
    assert decoded.dtype == np.float32
    assert snr_db(signal, decoded - signal) > 35


def test_every_code_is_decoded_to_what_encodes_to_it():
    codes = np.arange(-127, 128, dtype=np.int8).reshape(5, 51)
    decoded = np.asarray(coded_stems.decode_samples(codes))
    np.testing.assert_array_equal(coded_stems.encode_samples(decoded), codes)
    assert decoded.shape == codes.shape


def test_codes_follow_the_mu_law_of_g_711():
    """sgn(x) ln(1 + 255 |x|) / ln 256, in steps of 1/127."""
    samples = np.array([0, 1, -1, 1 / 255, -15 / 255, 3, -3])
    expected = [0, 127, -127, round(127 / 8), -round(127 / 2), 127, -127]
    assert coded_stems.encode_samples(samples).tolist() == expected


def test_a_file_holds_the_tracks_of_its_folder(data, kept_stems_dir, tiny_config):
    train = coded_stems.read_coded_stems(data, "train", tiny_config)
    assert (train.names, train.frames) == (["one", "two"], [4000, 2500])
    assert train.firsts == [0, 4000]
    for stem in ("accompaniment", "vocals"):
        codes = train.codes[stem][stem]
        assert codes.shape == (6500, 2)
        for name, first, frames in [("one", 0, 4000), ("two", 4000, 2500)]:
            samples, _ = soundfile.read(kept_stems_dir / "train" / name / f"{stem}.wav")
            decoded = np.asarray(
                coded_stems.decode_samples(codes[first : first + frames])
            )
            assert snr_db(samples, decoded - samples) > 35
    valid = coded_stems.read_coded_stems(data, "valid", tiny_config)
    assert (valid.names, valid.frames) == (["three"], [1000])


def test_tracks_of_several_folders_follow_each_other(
    stems_dir, kept_stems_dir, tiny_config, tmp_path
):
    written = coded_stems.write_coded_stems(
        [stems_dir, kept_stems_dir], tmp_path / "a.npz", max_bytes=10**6
    )
    assert written == (4, 13_000)
    stems = coded_stems.read_coded_stems(tmp_path / "a.npz", "train", tiny_config)
    assert stems.names == ["one", "two", "one", "two"]
    assert stems.firsts == [0, 4000, 6500, 10_500]


def test_a_file_holds_the_weights_of_its_folders(
    stems_dir, kept_stems_dir, tiny_config, tmp_path
):
    """One of them without tracks for validation."""
    shutil.rmtree(stems_dir / "valid")
    folders, path = [stems_dir, kept_stems_dir], tmp_path / "a.npz"
    coded_stems.write_coded_stems(folders, path, max_bytes=10**6, weights=[3, 1])
    train = coded_stems.read_coded_stems(path, "train", tiny_config)
    assert train.weights == [3, 3, 1, 1]
    assert train.data_sets == [str(folder) for folder in folders for _ in range(2)]
    valid = coded_stems.read_coded_stems(path, "valid", tiny_config)
    assert valid.names == ["three"]
    with pytest.raises(InputError, match="`data_weight` must be"):
        coded_stems.write_coded_stems(folders, path, max_bytes=10**6, weights=[3, 0])


def test_a_folder_on_another_machine_is_refused(kept_stems_dir, tmp_path):
    folders = [kept_stems_dir, "gs://bucket/prepared"]
    with pytest.raises(InputError, match="^gs://bucket/prepared: must be a folder on"):
        coded_stems.write_coded_stems(folders, tmp_path / "a.npz", max_bytes=10**6)


def test_what_does_not_fit_loses_the_ends_of_long_tracks(
    kept_stems_dir, tiny_config, tmp_path
):
    command = ["examples.pretrained.data_file", "--data_dir", kept_stems_dir]
    command += ["--output", tmp_path / "stems.npz", "--max_mb"]
    frame_bytes = 2 * 2
    room = (1000 + 2500 + 3000) * frame_bytes / 1e6  # two: 2500 frames, one: 4000
    result = run_here(*command, room)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("stems.npz: 2 training tracks, 5500 frames\n")
    stems = coded_stems.read_coded_stems(tmp_path / "stems.npz", "train", tiny_config)
    assert stems.frames == [3000, 2500]
    assert (tmp_path / "stems.npz").stat().st_size < room * 1e6 + 5000
    for size, subset in {0.001: "valid", 0.004: "train"}.items():
        refused = run_here(*command, size)
        check_refusal(refused, 1, f"must leave room for the {subset} tracks")


@pytest.mark.parametrize("budget", [0, 1, 5, 6, 7, 8, 23, 24, 25, 1000])
def test_the_longest_allowed_length_is_the_largest_that_fits(budget):
    frames = [3, 10, 4, 7]
    fitting = [
        cut
        for cut in range(max(frames) + 1)
        if sum(min(cut, length) for length in frames) <= budget
    ]
    assert coded_stems.longest_allowed(frames, budget) == max(fitting)


def test_tracks_of_another_form_are_refused(stems_dir, kept_stems_dir, tmp_path):
    for change in ("rate", "stem"):
        other = shutil.copytree(stems_dir, tmp_path / change)
        for path in other.rglob("vocals.wav"):
            samples, rate_hz = soundfile.read(path)
            if change == "stem":
                path.with_name("drums.wav").write_bytes(path.read_bytes())
            else:
                for stem in path.parent.glob("*.wav"):
                    soundfile.write(stem, samples, 2 * rate_hz, subtype="FLOAT")
        with pytest.raises(InputError) as error:
            coded_stems.write_coded_stems(
                [kept_stems_dir, other], tmp_path / "a.npz", max_bytes=10**6
            )
        assert str(error.value).startswith(f"{other}/valid/three: must have the form")
        assert not (tmp_path / "a.npz").exists()


def test_a_file_of_another_network_or_none_is_refused(data, tiny_config, tmp_path):
    for change, text in {
        ("channels", 1): "must have the network's 8000 Hz and 1 channels. Received: 8",
        ("sample_rate_hz", 44100): "must have the network's 44100 Hz and 2 channels",
        ("sources", ("drums", "vocals")): "but lacks drums",
    }.items():
        config = dataclasses.replace(tiny_config, **dict([change]))
        with pytest.raises(InputError, match=text):
            coded_stems.read_coded_stems(data, "train", config)
    for size in (0, 10, 3000):
        path = tmp_path / "broken.npz"
        path.write_bytes(data.read_bytes()[:size])
        with pytest.raises(InputError, match="broken.npz: must be a file of the stems"):
            coded_stems.read_coded_stems(path, "train", tiny_config)
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    for path in (tmp_path / "other.npz", tmp_path / "missing.npz"):
        with pytest.raises(InputError, match=f"{path}: must be a file of the stems"):
            coded_stems.read_coded_stems(path, "train", tiny_config)
