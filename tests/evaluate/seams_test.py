import dataclasses
import math

import numpy as np
import pytest

from waveunet_tf.configs.networks import VARIANTS
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import seams
from waveunet_tf.networks import shapes

RATE_HZ = 8000


def jumps(frames, hop, height):
    """A signal that jumps up by `height` at odd seams, and down at even ones."""
    return height * (np.arange(frames) // hop % 2.0)


def test_a_jump_on_a_ramp_has_exactly_its_energy_over_the_ramps():
    frames, hop = 20000, 2000
    ramp = 0.001 * np.arange(frames) + 0.005 * (np.arange(frames) // hop)
    places = range(hop, frames, hop)
    measured = seams.measure_seams(ramp[:, None], places, RATE_HZ)
    assert measured.seams == 9
    assert measured.seam_db == pytest.approx(20 * math.log10(6))
    assert measured.between_db == pytest.approx(0, abs=1e-9)
    assert measured.highest_between_db == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("height_over_sigma", [0, 2, 10])
def test_jumps_in_noise_have_the_measure_that_the_docstring_gives(height_over_sigma):
    frames, hop, sigma = 1_000_000, 2500, 0.01
    noise = np.random.default_rng(0).normal(0, sigma, (frames, 2))
    signal = noise + jumps(frames, hop, height_over_sigma * sigma)[:, None]
    measured = seams.measure_seams(signal, range(hop, frames, hop), RATE_HZ)
    wanted = 10 * math.log10(1 + height_over_sigma**2 / 2)
    assert measured.seam_db == pytest.approx(wanted, abs=0.5)
    assert measured.between_db == pytest.approx(0, abs=0.1)
    if height_over_sigma:
        assert measured.highest_between_db < 1 < measured.seam_db


def test_the_measure_does_not_depend_on_the_level():
    signal = np.random.default_rng(1).normal(0, 0.1, (9000, 1))
    places = range(1000, 9000, 1000)
    loud, quiet = (
        dataclasses.astuple(seams.measure_seams(gain * signal, places, RATE_HZ))
        for gain in (1, 1e-3)
    )
    assert loud == pytest.approx(quiet)


def test_silence_has_no_measure():
    measured = seams.measure_seams(np.zeros((5000, 2)), range(1000, 5000, 1000), 8000)
    assert math.isnan(measured.seam_db) and math.isnan(measured.between_db)


def test_the_seam_that_stands_out_is_found():
    signal = 0.01 * np.random.default_rng(3).normal(0, 1, (50000, 1))
    signal[30000:] += 0.5
    estimate = seams.Estimate("x", signal, RATE_HZ, range(10000, 50000, 10000), True)
    assert seams.outstanding_seam(estimate) == 30000 / RATE_HZ


def test_seams_are_where_one_windows_stems_end_and_the_nexts_begin(without_context):
    from waveunet_tf.separation.separator import load_separator

    separator = load_separator(without_context, engine="tensorflow")
    song = np.random.default_rng(4).uniform(-0.5, 0.5, (5000, 2))
    changed = song.copy()
    changed[2100:2900] = 0  # all but the ends of the third window
    first, second = (
        separator.separate(each, 8000)["vocals"] for each in (song, changed)
    )
    differing = np.flatnonzero((first != second).any(axis=1))
    places = shapes.seam_frames(separator.config, 5000)
    assert list(places) == [1024, 2048, 3072, 4096]
    assert 2048 <= differing[0] and differing[-1] < 3072
    begins = max(place for place in places if place <= differing[0])
    ends = min(place for place in places if place > differing[-1])
    assert (begins, ends) == (2048, 3072)


def test_networks_with_context_have_no_seams_and_fading_ones_in_the_middle():
    assert not shapes.seam_frames(VARIANTS["M4"], 10**7)
    transposed = dataclasses.replace(VARIANTS["M4"], upsampling="transposed")
    assert not shapes.seam_frames(transposed, 10**7)
    _, hop, overlap = shapes.song_windows(VARIANTS["U7"], 1)
    places = shapes.seam_frames(VARIANTS["U7"], 3 * hop)
    # A window's stems begin, fading in, `overlap` frames before the last one's end.
    assert list(places)[:2] == [hop - overlap // 2, 2 * hop - overlap // 2]


def test_a_network_without_seams_is_looked_at_where_anothers_are():
    m2, m3, m7 = VARIANTS["M2"], VARIANTS["M3"], VARIANTS["M7"]
    places = seams.find_seams({"m3": m3, "m2": m2, "m7": m7}, 4.0)
    assert places["m2"] == ([16384, 32768, 49152, 65536, 81920], True)
    assert places["m3"] == (places["m2"][0], False)
    assert places["m7"] == ([6086, 12173, 18260, 24347, 30434], False)
    alone = seams.find_seams({"m3": m3}, 4.0)
    assert alone["m3"] == (places["m2"][0], False)
    with pytest.raises(InputError, match=r"longer than a window .* Received: 0.70 s"):
        seams.find_seams({"m2": m2, "m3": m3}, 0.7)


def test_the_figure_shows_the_song_around_the_seam():
    frames, place = 9000, 4500
    click = np.zeros((frames, 2))
    click[place] = (1, -1)  # channels that cancel
    noise = np.random.default_rng(5).normal(0, 0.01, (frames, 2))
    figure = seams.plot_seam(
        [
            seams.Estimate("one", click + noise, RATE_HZ, [1500, place], True),
            seams.Estimate("other", noise, RATE_HZ, [1500, place], False),
        ],
        0.55,
        "vocals",
    )
    first, wave, second, flat = figure.axes[:4]
    assert first.get_title(loc="left") == "one"
    assert second.get_title(loc="left") == "other: no seams"
    measured = seams.measure_seams(click + noise, [1500, place], RATE_HZ)
    assert f"at its seams {measured.seam_db:+.1f} dB" in wave.get_title(loc="left")
    assert flat.get_title(loc="left").startswith("there ")
    lines = [line for line in wave.lines if line.get_gid() != "seam"]
    for line, sign in zip(lines, (1, -1), strict=True):  # one a channel
        at = int(np.argmax(sign * line.get_ydata()))
        assert line.get_xdata()[at] == 0 and sign * line.get_ydata()[at] > 0.9
    assert [text.get_text() for text in wave.get_legend().texts] == ["left", "right"]
    image = first.get_images()[0]
    power = image.get_array().mean(axis=0)
    left, right, low, high = image.get_extent()
    assert (left, right, low, high) == (-150, 150, 0, 4)
    loudest_ms = left + (right - left) * (np.argmax(power) + 0.5) / len(power)
    # The window of 256 frames sees the click while it is within its 32 ms.
    assert abs(loudest_ms) < 16
    assert np.ptp(second.get_images()[0].get_array().mean(axis=0)) < np.ptp(power)
