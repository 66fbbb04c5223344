import numpy as np
import pytest

from evaluate import bss
from waveunet_tf.data.sigsep import import_sigsep
from waveunet_tf.errors import InputError

RATE_HZ = 8000


def stems(names=("vocals", "accompaniment"), frames=3 * RATE_HZ):
    generator = np.random.default_rng(0)
    return {name: generator.normal(0, 0.1, (frames, 2)) for name in names}


def frame_values(scores, target, metric):
    targets = {entry["name"]: entry for entry in scores.scores["targets"]}
    frames = targets[target]["frames"]
    return [float(frame["metrics"][metric]) for frame in frames]  # they are Decimals


def test_noise_of_a_known_level_has_that_sdr():
    true = stems()
    noise = np.random.default_rng(1).normal(0, 0.01, true["vocals"].shape)
    estimates = {
        "vocals": true["vocals"] + noise,
        "accompaniment": true["accompaniment"] - noise,
    }
    scores = bss.score_track("song", true, estimates, RATE_HZ)
    for target in true:
        assert np.median(frame_values(scores, target, "SDR")) == pytest.approx(
            20, abs=0.3
        )


def test_the_scores_are_musevals_own():
    true, estimates = stems(), stems(frames=3 * RATE_HZ)
    estimates = {name: 0.5 * stem + 0.01 for name, stem in estimates.items()}
    scores = bss.score_track("song", true, estimates, RATE_HZ)
    names = list(true)
    sdr, isr, sir, sar = import_sigsep("museval").evaluate(
        [true[name] for name in names],
        [estimates[name] for name in names],
        win=RATE_HZ,
        hop=RATE_HZ,
    )
    for number, name in enumerate(names):
        for metric, values in {"SDR": sdr, "ISR": isr, "SIR": sir, "SAR": sar}.items():
            np.testing.assert_allclose(
                frame_values(scores, name, metric), values[number], atol=1e-5
            )


def test_a_mono_estimate_counts_for_both_channels():
    true = stems()
    mono = {name: stem.mean(axis=1, keepdims=True) for name, stem in true.items()}
    both = {name: stem.repeat(2, axis=1) for name, stem in mono.items()}
    assert (
        bss.score_track("song", true, mono, RATE_HZ).json
        == bss.score_track("song", true, both, RATE_HZ).json
    )


@pytest.mark.parametrize(
    ("estimates", "message"),
    [
        (stems(("vocals",)), "two or more"),
        (stems(("vocals", "piano")), "two or more of vocals, drums"),
        (stems(frames=100), "24000 frames. Received: 100"),
        ({name: stem * np.nan for name, stem in stems().items()}, "finite"),
        ({name: stem[:, [0, 1, 1]] for name, stem in stems().items()}, "2 channels"),
    ],
)
def test_estimates_that_cannot_be_scored_are_refused(estimates, message):
    with pytest.raises(InputError, match=message):
        bss.score_track("song", stems(), estimates, RATE_HZ)
