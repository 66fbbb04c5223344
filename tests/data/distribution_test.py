"""Excerpts come from all of a track, alike often, with every reader and backend."""

import json

import numpy as np
import pytest
import soundfile

from tests.command_line import run_python
from tests.conftest import TINY
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.networks import shapes

LENGTHS = (3000, 1000)
WINDOW = shapes.window_frames(TINY)
TRAINING = TrainingConfig(batch_size=50, seed=5, min_gain=1.0)
COUNT = 1500


@pytest.fixture(scope="module")
def ramps_dir(tmp_path_factory):
    """Tracks whose left channel tells the frame, and whose right one the track."""
    folder = tmp_path_factory.mktemp("ramps")
    for number, frames in enumerate(LENGTHS):
        track = folder / "train" / str(number)
        track.mkdir(parents=True)
        ramp = (np.arange(frames) + 1) / 2**13  # exact in float32
        audio = np.stack([ramp, np.full(frames, (number + 1) / 4)], axis=1)
        soundfile.write(track / "accompaniment.wav", audio, 8000, subtype="FLOAT")
        soundfile.write(track / "vocals.wav", 0 * audio, 8000, subtype="FLOAT")
    return folder


def place_of(mixture):
    """The track, and the first frame, of an excerpt `(frames, channels)`."""
    first = np.flatnonzero(mixture[:, 0])[0]
    frame = round(mixture[first, 0] * 2**13) - 1
    return round(mixture[first, 1] * 4) - 1, frame - first


def check_uniform(places, lengths=LENGTHS):
    """Every track is drawn alike often, and its starts are uniform over all of it."""
    tracks = np.array([track for track, _ in places])
    for number, frames in enumerate(lengths):
        starts = np.sort([start for track, start in places if track == number])
        share = len(starts) / len(places)
        deviation = (share * (1 - share) / len(places)) ** 0.5
        assert abs(share - 1 / len(lengths)) < 4 * deviation, np.bincount(tracks)
        low = -WINDOW.context_frames
        high = max(frames + WINDOW.context_frames - WINDOW.input_frames, low)
        assert (starts.min() >= low, starts.max() <= high) == (True, True)
        # Kolmogorov's distance; beyond 1.95 / √n it comes once in a thousand times.
        expected = (starts - low + 1) / (high - low + 1)
        found = np.arange(1, len(starts) + 1) / len(starts)
        assert np.abs(found - expected).max() < 1.95 / len(starts) ** 0.5 + 1e-3
        # The ends, which a wrong rounding or range would leave out.
        assert starts.min() <= low + (high - low) * 0.02
        assert starts.max() >= high - (high - low) * 0.02


def places_in_pipeline(folder, training, **arguments):
    """The places of excerpts that tf.data reads."""
    # Not above: the process on JAX does without TensorFlow.
    from tests.data.batches import first_batches
    from waveunet_tf.data import prepared

    tracks = prepared.load_prepared(folder, TINY, "train")
    count = COUNT // training.batch_size
    batches = first_batches(tracks, TINY, count, training, **arguments)
    return [place_of(one) for mixture, _ in batches for one in mixture]


@pytest.mark.parametrize("reader", ["tensorflow_io", "soundfile"])
def test_starts_are_uniform_over_every_track(ramps_dir, reader):
    if reader == "tensorflow_io":
        pytest.importorskip("tensorflow_io", reason="needs TensorFlow 2.16")
    check_uniform(places_in_pipeline(ramps_dir, TRAINING, reader=reader))


def test_starts_of_remixed_stems_are_uniform_too(ramps_dir):
    """The vocals' are as well: without gain they are the mixture's other half."""
    training = TrainingConfig(
        batch_size=50, seed=6, min_gain=1.0, remix_probability=1.0
    )
    check_uniform(places_in_pipeline(ramps_dir, training))


def places_on_device():
    """The places of excerpts that are cut on the device, on this process' backend."""
    from examples.pretrained import coded_stems, device_excerpts

    # A code holds for 20 frames, and grows; another source tells the track.
    step = 20
    ramps = [np.arange(frames) // step for frames in LENGTHS]
    codes = np.concatenate(ramps).astype(np.int8)[:, None].repeat(2, axis=1)
    labels = np.repeat([40, 80], LENGTHS).astype(np.int8)[:, None].repeat(2, axis=1)
    names = dict(zip(TINY.sources, (codes + np.int8(-75), labels)))
    stems = coded_stems.CodedStems(
        ["a", "b"], list(LENGTHS), {name: {name: code} for name, code in names.items()}
    )
    draws = device_excerpts.draw_numbers(stems, TRAINING, 0, COUNT)
    _, targets = device_excerpts.cut_excerpts(draws, stems, WINDOW, TRAINING)
    ramp, label = (
        coded_stems.encode_samples(np.asarray(target))[..., 0].astype(int)
        for target in targets.values()
    )
    places = []
    for values, names in zip(ramp + 75, label):
        inside = np.flatnonzero(names)
        change = inside[np.flatnonzero(np.diff(values[inside]))[0] + 1]
        start = values[change] * step - change - WINDOW.context_frames
        places.append((int(names[inside[0]] // 40 - 1), int(start)))
    return places


def test_starts_on_the_device_are_uniform():
    check_uniform(places_on_device())


@pytest.mark.slow
def test_starts_on_the_device_are_those_of_each_backend():
    backend = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    result = run_python("-m", "tests.data.distribution_test", **backend)
    assert result.returncode == 0, result.stderr
    on_jax = [tuple(place) for place in json.loads(result.stdout)]
    assert on_jax == places_on_device()


if __name__ == "__main__":
    print(json.dumps(places_on_device()))
