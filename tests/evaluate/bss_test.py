import types

import numpy as np
import pytest

from waveunet_tf.data.sigsep import import_sigsep
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import bss, energies

RATE_HZ = 4000
SECONDS = 3
METRICS = ("SDR", "ISR", "SIR", "SAR")
HALVES = ("vocals", "accompaniment")
PARTS = ("vocals", "drums", "bass")


def stems(names=HALVES, frames=SECONDS * RATE_HZ, channels=1, seed=0):
    """Noise; mono, which museval scores eight times as fast as stereo."""
    generator = np.random.default_rng(seed)
    return {name: generator.normal(0, 0.1, (frames, channels)) for name in names}


def noisy(true, seed=1):
    """Estimates that err by noise at −10 dB."""
    noise = stems(true, *next(iter(true.values())).shape, seed=seed)
    return {name: stem + 10**-0.5 * noise[name] for name, stem in true.items()}


def museval_of(true, estimates, names):
    """Target → metric → dB of each second, as museval compares these targets."""
    scores = import_sigsep("museval").evaluate(
        [true[name] for name in names],
        [estimates[name] for name in names],
        win=RATE_HZ,
        hop=RATE_HZ,
    )
    return {
        name: {metric: scores[row][place] for row, metric in enumerate(METRICS)}
        for place, name in enumerate(names)
    }


def scored(true, estimates):
    """Target → metric → dB of each second, of our scores."""
    store = bss.score_estimates("song", true, estimates, RATE_HZ)
    store.validate()
    return {
        entry["name"]: {
            metric: np.array(
                [float(frame["metrics"][metric]) for frame in entry["frames"]]
            )
            for metric in METRICS
        }
        for entry in store.scores["targets"]
    }


def check_equal(ours, theirs, metrics=METRICS):
    for metric in metrics:
        np.testing.assert_allclose(ours[metric], theirs[metric], atol=1.1e-5)


def check_without_score(scores, seconds=SECONDS):
    for metric in METRICS:
        assert np.isnan(scores[metric]).tolist() == [True] * seconds


@pytest.mark.parametrize("noise_db", [-10, -30])
def test_noise_of_a_known_level_has_that_sdr(noise_db):
    true, noise = stems(), stems(seed=1)
    gain = 10 ** (noise_db / 20)
    scores = scored(true, {name: true[name] + gain * noise[name] for name in true})
    for target in true:
        assert scores[target]["SDR"] == pytest.approx([-noise_db] * 3, abs=0.5)


def test_the_scores_are_musevals_own_in_stereo():
    true, estimates = stems(frames=9000, channels=2), stems(frames=9000, channels=2)
    estimates = {name: 0.5 * stem + 0.01 for name, stem in estimates.items()}
    ours, theirs = scored(true, estimates), museval_of(true, estimates, HALVES)
    for name in HALVES:
        assert len(ours[name]["SDR"]) == 2
        check_equal(ours[name], theirs[name])


@pytest.mark.parametrize(
    "names",
    [
        PARTS,
        HALVES,
        ("vocals", "drums", "other", "accompaniment"),
        ("accompaniment", "drums"),
    ],
)
def test_targets_are_compared_as_museval_compares_those_of_musdb(names):
    true = stems(names, frames=RATE_HZ)
    estimates = noisy(true)
    track = types.SimpleNamespace(
        name="song",
        rate=RATE_HZ,
        targets={
            name: types.SimpleNamespace(audio=true[name])
            for name in bss.TARGETS
            if name in names
        },
    )
    theirs = import_sigsep("museval").eval_mus_track(track, estimates)
    assert bss.score_estimates("song", true, estimates, RATE_HZ).json == theirs.json


def test_a_mono_estimate_counts_for_both_channels():
    true = stems(frames=RATE_HZ, channels=2)
    mono = {name: stem.mean(axis=1, keepdims=True) for name, stem in true.items()}
    both = {name: stem.repeat(2, axis=1) for name, stem in mono.items()}
    assert (
        bss.score_estimates("song", true, mono, RATE_HZ).json
        == bss.score_estimates("song", true, both, RATE_HZ).json
    )


@pytest.mark.parametrize("silent", HALVES)
def test_beside_a_silent_source_the_other_has_the_scores_that_museval_gives_it(silent):
    (heard,) = set(HALVES) - {silent}
    true = stems()
    estimates = noisy(true)
    true[silent][:] = 0
    with pytest.raises(ValueError, match="should be non-silent"):
        museval_of(true, estimates, HALVES)
    scores = scored(true, estimates)
    check_without_score(scores[silent])
    theirs = museval_of(true, estimates, [heard])[heard]
    check_equal(scores[heard], theirs, ("SDR", "ISR", "SAR"))
    assert np.isfinite(scores[heard]["SDR"]).all()
    assert np.isnan(scores[heard]["SIR"]).all()  # nothing interferes


def test_of_three_sources_a_silent_one_is_left_out():
    true = stems(PARTS)
    estimates = noisy(true)
    true["drums"][:] = 0
    scores = scored(true, estimates)
    check_without_score(scores["drums"])
    theirs = museval_of(true, estimates, ["vocals", "bass"])
    for name in ("vocals", "bass"):
        check_equal(scores[name], theirs[name])
        assert np.isfinite(scores[name]["SIR"]).all()


def test_a_silent_estimate_has_no_score_and_its_source_still_interferes():
    true = stems()
    estimates = noisy(true)
    # Some of the vocals is left in the accompaniment.
    estimates["accompaniment"] += 0.5 * true["vocals"]
    theirs = museval_of(true, estimates, HALVES)
    estimates["vocals"] = np.zeros_like(true["vocals"])
    with pytest.raises(ValueError, match="should be non-silent"):
        museval_of(true, estimates, HALVES)
    scores = scored(true, estimates)
    check_without_score(scores["vocals"])
    check_equal(scores["accompaniment"], theirs["accompaniment"])
    assert scores["accompaniment"]["SIR"] == pytest.approx([6] * 3, abs=0.5)


def test_accompaniment_and_parts_of_a_song_without_vocals_are_scored():
    true = stems(PARTS, frames=2 * RATE_HZ)
    true["vocals"][:] = 0
    true["accompaniment"] = true["drums"] + true["bass"]
    estimates = noisy(true)
    scores = scored(true, estimates)
    assert list(scores) == ["drums", "bass", "vocals", "accompaniment"]
    check_without_score(scores["vocals"], seconds=2)
    parts = museval_of(true, estimates, ["drums", "bass"])
    for name in ("drums", "bass"):
        check_equal(scores[name], parts[name])
    alone = museval_of(true, estimates, ["accompaniment"])["accompaniment"]
    check_equal(scores["accompaniment"], alone, ("SDR", "ISR", "SAR"))


def test_where_all_sources_are_silent_no_second_has_a_score():
    true = {name: np.zeros_like(stem) for name, stem in stems().items()}
    scores = scored(true, stems())
    for name in HALVES:
        check_without_score(scores[name])


def test_where_all_estimates_are_silent_no_second_has_a_score():
    scores = scored(stems(), {name: 0 * stem for name, stem in stems().items()})
    for name in HALVES:
        check_without_score(scores[name])


@pytest.mark.parametrize("what", ["source", "estimate"])
def test_a_second_of_silence_has_no_score_for_any_source_as_in_museval(what):
    true = stems()
    estimates = noisy(true)
    changed = true if what == "source" else estimates
    changed["vocals"][RATE_HZ : 2 * RATE_HZ] = 0
    ours, theirs = scored(true, estimates), museval_of(true, estimates, HALVES)
    for name in HALVES:
        check_equal(ours[name], theirs[name])
        assert np.isnan(ours[name]["SDR"]).tolist() == [False, True, False]


def cancelling(pairs, target, part=slice(None)):
    """Makes right = −left of a target in all of these dicts."""
    for pair in pairs:
        pair[target][part, 1] = -pair[target][part, 0]


def turned_over(stems):
    """The same stems, the right channel negated, which changes no score."""
    return {name: stem * [1, -1] for name, stem in stems.items()}


@pytest.mark.parametrize("part", [slice(None), slice(RATE_HZ, 2 * RATE_HZ)])
def test_channels_that_cancel_are_heard_and_scored(part):
    """Negating all right channels makes them equal, which museval can score."""
    true = stems(frames=2 * RATE_HZ, channels=2)
    estimates = noisy(true)
    cancelling((true, estimates), "vocals", part)
    assert not bss.is_silent(true["vocals"])
    ours = scored(true, estimates)
    theirs = museval_of(turned_over(true), turned_over(estimates), HALVES)
    for name in HALVES:
        assert np.isfinite(ours[name]["SDR"]).all()
        check_equal(ours[name], theirs[name])


def test_a_second_of_zeros_beside_channels_that_cancel_has_no_score():
    true = stems(frames=2 * RATE_HZ, channels=2)
    estimates = noisy(true)
    cancelling((true, estimates), "vocals")
    true["vocals"][:RATE_HZ] = 0
    for scores in scored(true, estimates).values():
        assert np.isnan(scores["SDR"]).tolist() == [True, False]


@pytest.mark.filterwarnings("ignore:`rcond`")  # of museval's call
def test_a_singular_system_is_scored_by_least_squares(monkeypatch):
    """museval asks for least squares by a name that NumPy 2.5 no longer has."""
    true = stems(frames=RATE_HZ)
    estimates = noisy(true)
    expected = scored(true, estimates)

    def singular(*_):
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(np.linalg, "solve", singular)
    scores = scored(true, estimates)
    for name in HALVES:
        np.testing.assert_allclose(
            scores[name]["SDR"], expected[name]["SDR"], atol=0.01
        )


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("frames", [RATE_HZ // 2, RATE_HZ, RATE_HZ + 1])
def test_a_track_shorter_than_two_windows_has_one_frame(frames, silent):
    true = stems(frames=frames)
    estimates = noisy(true)
    theirs = museval_of(true, estimates, ["accompaniment"])["accompaniment"]
    if silent:
        true["vocals"][:] = 0
    scores = scored(true, estimates)
    assert len(scores["vocals"]["SDR"]) == 1
    check_equal(scores["accompaniment"], theirs, ("SDR", "ISR"))
    assert np.isnan(scores["vocals"]["SDR"][0]) == silent


@pytest.mark.parametrize("frames", [3999, 4000, 4001, 7999, 8000, 11000])
def test_energies_have_as_many_frames_as_scores_of_silence(frames):
    silence = {name: np.zeros((frames, 1)) for name in HALVES}
    measured = energies.measure_energies("song", silence, silence, RATE_HZ)
    assert len(scored(silence, silence)["vocals"]["SDR"]) == measured.frames


@pytest.mark.parametrize("more", [-400, -1, 1, 400])
def test_an_estimate_of_almost_its_targets_length_is_fitted(more):
    lines = []
    estimate = np.ones((SECONDS * RATE_HZ + more, 2))
    frames = SECONDS * RATE_HZ
    fitted = bss.fit_length("x.wav", estimate, frames, RATE_HZ, on_warning=lines.append)
    assert len(fitted) == frames
    assert fitted.sum() == 2 * min(frames, frames + more)
    (line,) = lines
    assert line.startswith(f"x.wav: has {frames + more} frames, its target {frames}: ")


@pytest.mark.parametrize("more", [-401, 401])
def test_an_estimate_of_another_length_is_refused(more):
    estimate = np.ones((SECONDS * RATE_HZ + more, 2))
    with pytest.raises(
        InputError, match="^x.wav: an estimate must have its target's 12"
    ):
        bss.fit_length("x.wav", estimate, SECONDS * RATE_HZ, RATE_HZ)


@pytest.mark.parametrize(
    ("estimates", "message"),
    [
        (stems(("vocals",)), "two or more"),
        (stems(("vocals", "piano")), "two or more of vocals, drums"),
        (stems(frames=100), "12000 frames, but for 0.1 s. Received: 100"),
        ({name: stem * np.nan for name, stem in stems().items()}, "finite"),
        ({name: stem[:, [0, 0]] for name, stem in stems().items()}, "1 channels"),
    ],
)
def test_estimates_that_cannot_be_scored_are_refused(estimates, message):
    with pytest.raises(InputError, match=f"^song: .*{message}"):
        bss.score_estimates("song", stems(), estimates, RATE_HZ)
